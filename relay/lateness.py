"""How late the event loop is, and whether that is too late for one call more. Pure.

Every call shares one event loop, so what makes one late makes all late: a tick that was due now and comes 30 ms from
now is 30 ms without sound in somebody's ear. CPU load says less: a loop at 90 % can be punctual, and one at 30 % can
stand still behind another process.

The rule. The p99 of the last `WINDOW_SECONDS` is *high* when more than 1 % of the ticks in it came later than
`LATE_SECONDS`. When it has been high for `OVERLOAD_SECONDS` without a break and `MIN_CALLS` are running, no further
call is taken in. When it has not been high for `RECOVERY_SECONDS`, or fewer calls than that are left, calls are taken
in again. One stall, however long, is no overload, unless it alone lasts so long.
"""

from collections import deque
from typing import Final

from relay.histogram import Histogram

# A browser's jitter buffer holds 20 to 40 ms of our sound: later than this and it begins to run dry.
LATE_SECONDS: Final = 0.020
HIGH_SHARE: Final = 0.01  # p99
# 100 ticks, the fewest of which 1 % is one. A stall of 100 ms (five late ticks) is forgotten after as long.
WINDOW_SECONDS: Final = 2.0
# Longer than a garbage collection, an import or a neighbour's cron job; shorter than a caller's patience.
OVERLOAD_SECONDS: Final = 5.0
RECOVERY_SECONDS: Final = 5.0
# With fewer it is not the calls that make us late, and to refuse them would help nobody.
MIN_CALLS: Final = 5
# Seconds, for the histogram: uvloop's clock tells milliseconds; a tick is 20; from 100 on those missed are not made up.
EDGES: Final = (0.001, 0.002, 0.005, 0.010, LATE_SECONDS, 0.040, 0.100, 0.250, 1.0)


class Lateness:
    """The ticks of one loop. `tick` costs a microsecond; the questions look at the window anew."""

    def __init__(self) -> None:
        self.histogram = Histogram(EDGES)  # of all ticks since the beginning
        self._window: deque[tuple[float, float]] = deque()  # (when it came, how late), bounded by time
        self._late = 0  # of those, later than `LATE_SECONDS`
        self._high_since: float | None = None
        self._high_until = float("-inf")  # when it was last seen high
        self._overloaded = False

    def tick(self, late: float, now: float) -> None:
        """One tick came at `now`, `late` seconds after its time (monotonic seconds)."""
        self.histogram.add(late)
        self._window.append((now, late))
        if late > LATE_SECONDS:
            self._late += 1
            self._look(now, since=now - late)
        elif self._late or self._overloaded:
            self._look(now, since=now)
        else:
            self._forget(now)

    def p99(self, now: float) -> float:
        """Seconds of lateness that 99 % of the window's ticks stayed within; 0.0 when nothing has ticked."""
        self._forget(now)
        worst = sorted(late for _, late in self._window)
        return worst[-(int(len(worst) * HIGH_SHARE) + 1)] if worst else 0.0

    def overloaded(self, now: float, calls: int) -> bool:
        """Should a further call be refused at `now`, while `calls` are running?"""
        self._look(now, since=now)
        return self._overloaded and calls >= MIN_CALLS

    def _look(self, now: float, since: float) -> None:
        self._forget(now)
        if self._late > HIGH_SHARE * len(self._window):
            self._high_since = since if self._high_since is None else self._high_since
            self._high_until = now
            self._overloaded = self._overloaded or now - self._high_since >= OVERLOAD_SECONDS
        else:
            self._high_since = None
            self._overloaded = self._overloaded and now - self._high_until < RECOVERY_SECONDS

    def _forget(self, now: float) -> None:
        window, oldest = self._window, now - WINDOW_SECONDS
        while window and window[0][0] <= oldest:
            self._late -= window.popleft()[1] > LATE_SECONDS
