"""Which sound a piece of the model's text belongs to. Pure: no clock.

Text comes beside its sound, before it or behind. Behind an interruption it may still be of what was cut, until the end
of that is told. Positions are samples on the playout's scale, which never goes back.
"""

from typing import Final

# An interrupted reply whose end is not told is over by now; what comes later is another.
STALE_SECONDS: Final = 2.0
# Sound and text of one message reach us within this time; of two messages hardly ever.
TOGETHER_SECONDS: Final = 0.005


class Place:
    """Where a conversation's text belongs. `stale_until`: until then it is of the interrupted reply; None: none is."""

    def __init__(self) -> None:
        self.stale_until: float | None = None
        self._begun = 0  # where the newest message's sound begins
        self._came = float("-inf")  # when the newest sound came

    def sound(self, position: int, now: float) -> None:
        """Sound that begins at `position`."""
        if now - self._came >= TOGETHER_SECONDS:
            self._begun = position
        self._came = now

    def text(self, position: int, now: float) -> int:
        """Where text begins to sound that comes when there is sound up to `position`."""
        return self._begun if now - self._came < TOGETHER_SECONDS else position

    def cut(self, now: float, *, open: bool) -> None:
        """The sound is cut, and what comes next is not of it, unless the end of an `open` reply is still to be told."""
        self._came = float("-inf")
        if open:
            self.stale_until = now + STALE_SECONDS

    def over(self) -> bool:
        """The interrupted reply is over; False if there is none."""
        stale, self.stale_until = self.stale_until is not None, None
        return stale
