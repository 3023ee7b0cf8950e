"""Is the browser still to be waited for, and how often may it come on a new connection? Pure: `now` is given.

Times are seconds on one clock that never goes back.
"""

from collections import deque
from typing import Final

# Between two consent checks of a live browser pass 2.5 s (Chromium) to 5 s (RFC 7675 §5.1).
LOST_SECONDS: Final = 10.0
# An honest client whose path is dead offers anew three times a minute, for ever.
MAX_RESTARTS: Final = 5
RESTARTS_SECONDS: Final = 60.0


class Presence:
    """One browser's, which is waited for `keep` seconds after it is lost: after `LOST_SECONDS` without a packet.

    What is `heard` comes from a connection that has proven who is at its other end.
    """

    def __init__(self, now: float, keep: float) -> None:
        self._keep = keep
        self._heard = now
        self._left = False
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)

    def heard(self, at: float) -> None:
        """A packet came then; of several connections the latest counts."""
        if at > self._heard:
            self._heard, self._left = at, False

    def left(self, now: float) -> None:
        """It said that its connection ends, but not that the call does."""
        self._heard, self._left = max(self._heard, now), True

    def lost(self, now: float) -> bool:
        """Nothing has come from it for so long that its connection, should it end now, has ended without a goodbye."""
        return now - self._heard > LOST_SECONDS

    def gone(self, now: float) -> bool:
        """It does not come back: `keep` seconds have passed since it left, or since it was lost."""
        return now - self._heard > self._keep + (0.0 if self._left else LOST_SECONDS)

    def restart(self, now: float) -> bool:
        """May it take a new connection? Counted if so: `MAX_RESTARTS` within `RESTARTS_SECONDS`."""
        if len(self._restarts) == MAX_RESTARTS and now - self._restarts[0] < RESTARTS_SECONDS:
            return False
        self._restarts.append(now)
        return True
