"""One picture a second in all: camera and screen by turns. Pure: `now` is given."""

import math
from typing import Final

# What the model takes; each picture costs it 258 tokens.
PERIOD_SECONDS: Final = 1.0
# A track that was turned away waits for its turn so long; one that shows nothing more must not keep the other waiting.
TURN_SECONDS: Final = 2.0


class Glances:
    """Which of the pictures that come the model is shown."""

    def __init__(self) -> None:
        self._shown_at = -math.inf
        self._shown = 0  # the track of that picture
        self._refused: dict[int, float] = {}  # tracks that wait for their turn, and since when

    def admit(self, track: int, now: float) -> bool:
        """Whether this picture is shown; the model sees a later one of that track if not."""
        others = [at for other, at in self._refused.items() if other != track and now - at < TURN_SECONDS]
        if now - self._shown_at < PERIOD_SECONDS or (others and self._shown == track):
            self._refused[track] = now
            return False
        self._shown, self._shown_at = track, now
        self._refused.pop(track, None)
        return True
