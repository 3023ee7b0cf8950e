"""One clock for everybody who speaks: a tick every 20 ms while anybody wants one, without drift."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

PERIOD: Final = 0.020  # seconds: one Opus frame
# After a stall longer than this the missed ticks are forgotten rather than made up in a burst.
MAX_CATCH_UP: Final = 0.100

log = logging.getLogger(__name__)


class Ticker:
    """Calls each member with the time `now` once per period; the deadline is `due += PERIOD`, so nothing adds up.

    A member that raises is taken out and its error logged: one call's bug never stops another call's sound.
    """

    def __init__(self) -> None:
        self._members: dict[Callable[[float], None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.lateness = 0.0  # seconds the last tick came after its time

    def join(self, member: Callable[[float], None]) -> None:
        """Call `member(now)` every period from now on, until `leave`."""
        self._members[member] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + PERIOD
            self._timer = loop.call_at(self._due, self._tick)

    def leave(self, member: Callable[[float], None]) -> None:
        """Stop calling `member`; unknown members are fine."""
        self._members.pop(member, None)

    def close(self) -> None:
        """Stop ticking; idempotent."""
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.lateness = now - self._due
        for member in tuple(self._members):
            try:
                member(now)
            except Exception:
                log.exception("a call's tick failed; its sound stops")
                self.leave(member)
        if not self._members:
            self._timer = None
            return
        self._due += PERIOD
        if loop.time() - self._due > MAX_CATCH_UP:
            self._due = loop.time() + PERIOD
        self._timer = loop.call_at(self._due, self._tick)
