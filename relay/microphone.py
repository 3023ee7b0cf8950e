"""Is the microphone alive, while it is said to be on? Pure: `now` is given.

It may die with the connection that it came on, stop while its connection lives, or send nothing but digital silence,
as a headset does that has a switch of its own. Each is told once, and again only after it was heard.
Times are seconds on one clock that never goes back.
"""

from enum import Enum
from typing import Final

# Without a packet. Packets come every 20 ms, and every 400 ms from a browser that saves on silence.
STOPPED_SECONDS: Final = 3.0
# The path is alive if it brought something so long after the last sound, a connectivity check at least.
PATH_SECONDS: Final = 1.0
# Of digital silence. No room is as still; but a headset that suppresses noise may be, until somebody speaks.
SILENT_SECONDS: Final = 20.0


class Death(Enum):
    """How a microphone is found dead."""

    LEFT = "left"  # on a new connection nothing of it came
    STOPPED = "stopped"  # it was heard, and then no packet came, but for others
    SILENT = "silent"  # its packets hold nothing


class Microphone:
    """The microphone of one call. `poll` it about once a second; `deaths` counts what was told."""

    def __init__(self) -> None:
        self.deaths = dict.fromkeys(Death, 0)
        self.switched()

    def switched(self) -> None:
        """It was switched on or off, or comes on another connection: nothing is expected of it yet."""
        self._packets: int | None = None  # by the last look
        self._came_at: float | None = None  # when a look last saw that packets had come
        self._still_since = 0.0  # for so long they have held nothing
        self._told = False

    def left(self) -> None:
        """It did not come along to a new connection, as is told now."""
        self._tell(Death.LEFT, STOPPED_SECONDS)

    def poll(self, now: float, *, packets: int, sounded_at: float, path_at: float) -> float | None:
        """For how long nothing was heard of it, if that is to be told now.

        So many packets have come of it so far; at `sounded_at` the last sound that was not digital silence, and at
        `path_at` the last of whatever comes on its path.
        """
        fresh, self._packets = self._packets not in (None, packets), packets
        if fresh:
            return self._listen(now, sounded_at)
        came_at = self._came_at
        if came_at is None or now - came_at < STOPPED_SECONDS or path_at - came_at < PATH_SECONDS:
            return None
        return self._tell(Death.STOPPED, STOPPED_SECONDS)

    def _listen(self, now: float, sounded_at: float) -> float | None:
        if self._came_at is None or now - self._came_at >= STOPPED_SECONDS:
            self._still_since = now
        self._came_at = now
        if sounded_at > self._still_since:
            self._still_since, self._told = sounded_at, False
        return self._tell(Death.SILENT, SILENT_SECONDS) if now - self._still_since >= SILENT_SECONDS else None

    def _tell(self, death: Death, seconds: float) -> float | None:
        if self._told:
            return None
        self._told = True
        self.deaths[death] += 1
        return seconds
