"""One clock for everybody who speaks: a tick every 20 ms while anybody wants one, without drift.

It is the relay's watch as well: what comes late here is late for every call, so each tick's lateness is noted. While
calls live and nobody speaks it ticks for that alone: twice a second for the whole process, however many they are.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from relay.lateness import Lateness

PERIOD: Final = 0.020  # seconds: one Opus frame
# While nobody speaks. A wake of an idle process takes 120 µs, two thirds of them the kernel's and the loop's. Ten a
# second would cost as much as an idle call; two cost 0.025 % of a core, and in five seconds they know late from not.
WATCH_PERIOD: Final = 0.500
# After a stall longer than this the missed ticks are forgotten rather than made up in a burst.
MAX_CATCH_UP: Final = 0.100


class Ticker:
    """Calls each member with the time `now` once per period; the deadline is `due += PERIOD`, so nothing adds up.

    A member that raises is taken out, and its owner told: one call's bug never stops another's sound.
    """

    def __init__(self) -> None:
        self._members: dict[Callable[[float], None], Callable[[Exception], object]] = {}  # and who is told of its bug
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._watched = 0  # calls that live
        self._closed = False
        self.lateness = Lateness()

    @property
    def speaking(self) -> int:
        """How many lines are being sent sound."""
        return len(self._members)

    def join(self, member: Callable[[float], None], failed: Callable[[Exception], object]) -> None:
        """Call `member(now)` every period from now on, until `leave`; if it raises, `failed(error)` once, soon."""
        resting = not self._members
        self._members[member] = failed
        if resting:
            self._start(PERIOD)

    def leave(self, member: Callable[[float], None]) -> None:
        """Stop calling `member`; unknown members are fine."""
        self._members.pop(member, None)

    def watch(self) -> None:
        """A call lives: note how late the loop is, whether anybody speaks or not. Each owes one `unwatch`."""
        self._watched += 1
        if self._timer is None:
            self._start(WATCH_PERIOD)

    def unwatch(self) -> None:
        """A call has ended."""
        self._watched -= 1

    def close(self) -> None:
        """Stop ticking for good; idempotent."""
        self._closed = True
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, period: float) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._due = loop.time() + period
        self._timer = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.lateness.tick(now - self._due, now)
        self._timer = None
        for member in tuple(self._members):
            try:
                member(now)
            except Exception as error:
                if (failed := self._members.pop(member, None)) is not None:
                    loop.call_soon(failed, error)
        if self._timer is not None or self._closed:
            return  # a member started it anew, or closed it
        if self._members:
            self._due += PERIOD
        elif self._watched > 0:
            self._due += WATCH_PERIOD
        else:
            return
        if loop.time() - self._due > MAX_CATCH_UP:
            self._due = loop.time() + PERIOD
        self._timer = loop.call_at(self._due, self._tick)
