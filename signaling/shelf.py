"""What was said on calls that are over: kept in memory for a while, for whoever has the call's resume secret."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from relay.transcript import Transcript
from signaling.tickets import Ticket

KEEP_SECONDS: Final = 600.0
MAX_KEPT: Final = 256  # as many as ended sessions are remembered; the oldest goes for the newest
MAX_KEPT_CHARACTERS: Final = 20_000_000  # of all: at most 80 MB, where a usual one has ten thousand


@dataclass(frozen=True, slots=True)
class Kept:
    """One call's transcript, and what opens it. `until` is on the event loop's clock."""

    transcript: Transcript = field(repr=False)
    ticket: Ticket
    until: float
    characters: int


class Shelf:
    """Transcripts by session id. What is due is deleted when it is due, asked for or not; owes one `close`."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}  # in the order in which they are due
        self._characters = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def put(self, id: str, transcript: Transcript, ticket: Ticket) -> None:
        """Keep it from now on for `KEEP_SECONDS`."""
        if self._closed:
            return
        self.drop(id)
        until = asyncio.get_running_loop().time() + KEEP_SECONDS
        self._kept[id] = kept = Kept(transcript, ticket, until, transcript.characters)
        self._characters += kept.characters
        while len(self._kept) > MAX_KEPT or self._characters > MAX_KEPT_CHARACTERS:
            self.drop(next(iter(self._kept)))
        self._wait()

    def find(self, id: str) -> Kept | None:
        """That call's, if it is still there."""
        return self._kept.get(id)

    def drop(self, id: str) -> bool:
        """Forget it now; False if there is none."""
        if (kept := self._kept.pop(id, None)) is None:
            return False
        self._characters -= kept.characters
        return True

    def close(self) -> None:
        """Forget all, and keep nothing any more; idempotent."""
        self._closed = True
        self._kept.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        return len(self._kept)

    def _wait(self) -> None:
        if self._timer is None and self._kept:
            oldest = next(iter(self._kept.values()))
            self._timer = asyncio.get_running_loop().call_at(oldest.until, self._sweep)

    def _sweep(self) -> None:
        self._timer, now = None, asyncio.get_running_loop().time()
        for id in [id for id, kept in self._kept.items() if kept.until <= now]:
            self.drop(id)
        self._wait()
