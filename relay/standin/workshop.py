"""The models of the local voice and the threads they work in, one set for all calls; each call takes a `Seat`.

Loaded in the background, so that the stand-in listens at once. What is done comes back in the event loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from relay.standin.desk import Desk
from relay.standin.recording import Watch

if TYPE_CHECKING:
    from relay.standin.models import Models

log = logging.getLogger(__name__)

T = TypeVar("T")


class Workshop:
    """`start` it; then `ready` tells whether there are models. Owes one `close`."""

    def __init__(self, weights: Path | None = None) -> None:
        self.models: Models | None = None
        self.desk: Desk | None = None
        self.missing = ""  # a sentence: why there are no models
        self._weights = weights
        self._loading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to load, which takes a second or two."""
        self._loading = asyncio.create_task(self._load(), name="loading the local voice")

    async def ready(self) -> bool:
        """Whether there are models, once that is known."""
        if self._loading is not None:
            await asyncio.shield(self._loading)
        return self.models is not None

    def new_watch(self) -> Watch:
        """What tells where in a recording somebody speaks."""
        assert self.models is not None
        return Watch(self.models.vad().probability)

    async def text(self, pcm: bytes) -> str:
        """The words of a recording at 16 kHz; raises `desk.Crowded`."""
        assert self.desk is not None
        return await asyncio.wrap_future(self.desk.final(object(), pcm))

    async def close(self) -> None:
        """What is under way is finished, the rest forgotten; idempotent."""
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
        if self.desk is not None:
            await asyncio.to_thread(self.desk.close)
        if self.models is not None:
            await asyncio.to_thread(self.models.voice.close)

    async def _load(self) -> None:
        from relay.standin import models

        began = time.monotonic()
        try:
            self.models = await asyncio.to_thread(models.load, self._weights)
            self.desk = Desk(self.models.recognizer.text)
            log.info("the local voice is ready after %.1f s", time.monotonic() - began)
        except models.Missing as missing:
            self.missing = str(missing)
            log.warning("%s", self.missing)
        except Exception:
            self.missing = "The local voice does not load; the log says why."
            log.exception("the local voice does not load")


class Seat:
    """One call's place in the workshop. `wake` is called after each thing that came back; owes one `close`."""

    def __init__(self, shop: Workshop, wake: Callable[[], None]) -> None:
        assert shop.models is not None
        assert shop.desk is not None
        self._desk = shop.desk
        self._voice = shop.models.voice
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._open: set[Future[str] | Future[bytes]] = set()
        self.probability = shop.models.vad().probability

    def partial(self, pcm: bytes, told: Callable[[str, float], None]) -> None:
        """The words so far of 16 kHz sound, unless newer ones are asked for first."""
        self._wait(self._desk.partial(self, pcm), told)

    def final(self, pcm: bytes, told: Callable[[str, float], None]) -> Callable[[], None]:
        """The words of a whole utterance, empty for none; what is given back takes that wish back."""
        return self._wait(self._desk.final(self, pcm), told, "")

    def speak(self, sentence: str, made: Callable[[bytes, float], None]) -> Callable[[], None]:
        """A sentence's sound, empty if it cannot be spoken."""
        return self._wait(self._voice.order(sentence), made, b"")

    def close(self) -> None:
        """Nothing is wanted any more; idempotent."""
        for wish in list(self._open):
            wish.cancel()
        self._open.clear()

    def _wait(
        self, wish: "Future[T]", told: Callable[[T, float], None], otherwise: T | None = None
    ) -> Callable[[], None]:
        def back() -> None:
            if wish not in self._open:
                return
            self._open.discard(wish)
            if wish.cancelled():
                return
            if error := wish.exception():
                log.warning("the local voice could not: %s", error)
            value = otherwise if error else wish.result()
            if value is not None:
                told(value, time.monotonic())
                self._wake()

        def take_back() -> None:
            self._open.discard(wish)
            wish.cancel()

        self._open.add(wish)  # type: ignore[arg-type]
        wish.add_done_callback(lambda _: self._soon(back))
        return take_back

    def _soon(self, back: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(back)
