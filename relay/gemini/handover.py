"""What a connection to the model is given before what is said now: what was put back, then what waited, in order.

No faster than the network takes it: a conversation's pictures and fifteen seconds of sound at once would make the
connection drop what is said meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from relay.gemini import protocol
from relay.gemini.client import LiveClient
from relay.gemini.unfinished import Unfinished
from relay.gemini.unheard import Item, Waiting, Words

AT_ONCE_BYTES: Final = 48 * 1024  # unsent, while what waited is handed over: less than what makes sound be dropped
PUMP_SECONDS: Final = 0.02


class Memory(Protocol):
    """What was said and heard in turns of (role, text): those since a mark, and those that a new model is told."""

    @property
    def mark(self) -> int: ...
    def since(self, mark: int) -> Sequence[tuple[str, str]]: ...
    def seed(self) -> Sequence[tuple[str, str]]: ...


class Nothing:
    """No memory."""

    mark = 0

    def since(self, mark: int) -> Sequence[tuple[str, str]]:
        return []

    def seed(self) -> Sequence[tuple[str, str]]:
        return []


class Handover:
    """One conversation's. `put_back`, then `to` a connection, which `done` is told of when it has got everything."""

    def __init__(self, unfinished: Unfinished, waiting: Waiting, done: Callable[[LiveClient], None]) -> None:
        self._unfinished = unfinished
        self._waiting = waiting
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._back: deque[Item] = deque()  # put back, and not yet sent
        self._pump: asyncio.TimerHandle | None = None

    def put_back(self, turns: Sequence[tuple[str, str]]) -> None:
        """The next connection does not know these turns, nor what the last one left unfinished."""
        self._back = deque(self._unfinished.put_back(turns, self._loop.time()))

    def to(self, client: LiveClient) -> None:
        """Give it what was put back and what waits; if it is closed meanwhile, say `stop`."""
        self._pump = None
        while self._back or self._waiting:
            if client.unsent > AT_ONCE_BYTES:
                self._pump = self._loop.call_later(PUMP_SECONDS, self.to, client)
                return
            again = bool(self._back)
            item = self._back.popleft() if again else self._waiting.take()
            if not client.send(item.message if isinstance(item, Words) else protocol.audio_message(item)):
                return
            if again:
                continue  # it is known to have been said
            if isinstance(item, Words):
                self._unfinished.sent(item, self._loop.time())
            else:
                self._unfinished.question.heard.append(item)
        self._done(client)

    def stop(self) -> None:
        """The connection is left: what was put back is put back again into the next one. Idempotent."""
        self._back.clear()
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
