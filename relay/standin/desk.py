"""Who is written down next: finals first and in order, and of each call only the newest partial."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Final

THREADS: Final = 2  # each takes a core while it writes; a third would only make all of them late
MAX_FINALS: Final = 256  # waiting; more than that is no conversation, and is refused


class Crowded(Exception):
    """More is waiting to be written down than will ever be."""


class Desk:
    """Sound → words in threads of its own, for all calls. `write` is `Recognizer.text`, or the like of it."""

    def __init__(self, write: Callable[[bytes], str], threads: int = THREADS) -> None:
        self._write = write
        self._finals: deque[tuple[bytes, Future[str]]] = deque()
        self._partials: OrderedDict[Hashable, tuple[bytes, Future[str]]] = OrderedDict()
        self._work = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, name=f"ears-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def final(self, call: Hashable, pcm: bytes) -> "Future[str]":
        """The words of a whole utterance; a partial of this call that still waits is cancelled.

        `cancel()` it when speech goes on after all. The future's exception is `Crowded` when there is no room.
        """
        future: Future[str] = Future()
        with self._work:
            self._forget(call)
            if self._closed or len(self._finals) >= MAX_FINALS:
                future.set_exception(Crowded("More than enough waits to be written down."))
            else:
                self._finals.append((pcm, future))
                self._work.notify()
        return future

    def partial(self, call: Hashable, pcm: bytes) -> "Future[str]":
        """The words so far; cancelled when a newer one, or the final, is asked for before its turn comes."""
        future: Future[str] = Future()
        with self._work:
            self._forget(call)
            if self._closed:
                future.cancel()
            else:
                self._partials[call] = (pcm, future)
                self._work.notify()
        return future

    def close(self) -> None:
        """What waits is cancelled, what is being written is finished. May be called twice."""
        with self._work:
            self._closed = True
            waiting = [*self._finals, *self._partials.values()]
            self._finals.clear()
            self._partials.clear()
            self._work.notify_all()
        for _, future in waiting:
            future.cancel()
        for thread in self._threads:
            thread.join()

    def _forget(self, call: Hashable) -> None:
        if (old := self._partials.pop(call, None)) is not None:
            old[1].cancel()

    def _next(self) -> tuple[bytes, "Future[str]"] | None:
        with self._work:
            while not self._finals and not self._partials:
                if self._closed:
                    return None
                self._work.wait()
            return self._finals.popleft() if self._finals else self._partials.popitem(last=False)[1]

    def _serve(self) -> None:
        while (item := self._next()) is not None:
            pcm, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._write(pcm))
            except Exception as error:  # the call hears of it
                future.set_exception(error)
