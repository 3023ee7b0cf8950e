"""Is the browser there? Heard, lost, back or gone, and how often it may come on a new connection. Pure: `now` is given.

Times are seconds on one clock that never goes back.
"""

from collections import deque
from enum import Enum
from typing import Final

# Between two consent checks of a live browser pass 2.5 s (Chromium) to 5 s (RFC 7675 §5.1).
LOST_SECONDS: Final = 10.0
# From then on. The official clients give their network 12.5 s from the last packet before they offer anew, and try
# four times within 6 s; whoever is not back after that does not come, and holds a line and the model's connection.
GRACE_SECONDS: Final = 25.0
# An honest client whose path is dead offers anew three times a minute, for ever.
MAX_RESTARTS: Final = 5
RESTARTS_SECONDS: Final = 60.0


class Whereabouts(Enum):
    """Where the browser is, as far as its packets tell."""

    HERE = "here"
    LOST = "lost"  # it may come back
    GONE = "gone"  # it will not


class Presence:
    """One browser's. What is `heard` comes from a connection that has proven who is at its other end."""

    def __init__(self, now: float) -> None:
        self._heard = now
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)

    def heard(self, at: float) -> None:
        """A packet came then; of several connections the latest counts."""
        self._heard = max(self._heard, at)

    def whereabouts(self, now: float) -> Whereabouts:
        """Here, lost for `LOST_SECONDS`, or gone `GRACE_SECONDS` later."""
        quiet = now - self._heard
        if quiet <= LOST_SECONDS:
            return Whereabouts.HERE
        return Whereabouts.LOST if quiet <= LOST_SECONDS + GRACE_SECONDS else Whereabouts.GONE

    def restart(self, now: float) -> bool:
        """May it take a new connection? Counted if so: `MAX_RESTARTS` within `RESTARTS_SECONDS`."""
        if len(self._restarts) == MAX_RESTARTS and now - self._restarts[0] < RESTARTS_SECONDS:
            return False
        self._restarts.append(now)
        return True
