"""How much longer a hole waits on a path that makes packets late: as long as the latest of them needed. Pure.

On a path that reorders, waiting longer drops less; on one that only loses, it would be delay for nothing.
"""

from collections import deque
from typing import Final

# With exponential jitter of mean 20 ms this drops 0.6 % as late, where 60 ms drop 1.0 % and 40 ms 2.6 %.
LATE_HOLD_SECONDS: Final = 0.070
# The latest packet so far is seldom the latest to come.
MARGIN_SECONDS: Final = 0.010
# Such a path has a late packet every second or so; after 5 s without one it has become another path.
LATE_MEMORY_SECONDS: Final = 5.0


class Patience:
    """What late packets have taught; each lesson is forgotten after `LATE_MEMORY_SECONDS`."""

    def __init__(self) -> None:
        self._lessons: deque[tuple[float, float]] = deque()  # seconds needed, until when; each shorter and newer

    def was_needed(self, seconds: float, now: float) -> None:
        """A packet came at `now` whose hole had to wait, or would have had to, for so long."""
        while self._lessons and self._lessons[-1][0] <= seconds:
            self._lessons.pop()
        self._lessons.append((seconds, now + LATE_MEMORY_SECONDS))

    def hold(self, since: float) -> float:
        """How long a hole should wait of which one knows since then; 0 without a lesson."""
        while self._lessons and self._lessons[0][1] <= since:
            self._lessons.popleft()
        return min(self._lessons[0][0] + MARGIN_SECONDS, LATE_HOLD_SECONDS) if self._lessons else 0.0
