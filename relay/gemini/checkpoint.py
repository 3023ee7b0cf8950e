"""How much of the conversation the newest handle holds: the rest is told again to whoever is resumed from it. Pure.

A handle comes right behind a turn, or behind the setup, and holds what the model knew then; what it is told meanwhile
is in the next one. Marks are numbers of turns, as the `Memory` counts them.
"""

import math
from collections.abc import Sequence
from typing import Final, Protocol

Turns = Sequence[tuple[str, str]]

# What was said so shortly before we heard of a turn's end may have reached the model after it.
CROSSING_SECONDS: Final = 0.5
MAX_TOLD: Final = 20  # sayings that are told apart, until a turn ends


class Memory(Protocol):
    """What was said and heard in turns of (role, text).

    `mark` is where the next one will stand, `lately` the first of those that a new model is told; `since` has those
    from one mark on, to another.
    """

    @property
    def mark(self) -> int: ...
    def lately(self) -> int: ...
    def since(self, mark: int, until: int | None = None) -> Turns: ...


class Nothing:
    """No memory."""

    mark = 0

    def lately(self) -> int:
        return 0

    def since(self, mark: int, until: int | None = None) -> Turns:
        return []


class Checkpoint:
    """The checkpoint of one conversation. The newest handle holds what is before `mark`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.mark = 0
        self.rested_at = -math.inf  # what was told before then, the next handle holds
        self._told: list[tuple[float, int]] = []  # when, and the mark of it: since then

    def accept(self, mark: int, now: float) -> None:
        """A new connection listens that knows what is before `mark`. It is told the rest now."""
        self.rested_at, self._told = -math.inf, [(now, mark)]

    def tell(self, mark: int, now: float) -> None:
        """The model is told what begins at `mark`."""
        if len(self._told) == MAX_TOLD:
            mark = self._told.pop()[1]
        self._told.append((now, mark))

    def rest(self, now: float) -> None:
        """The model's turn is over, or was interrupted."""
        self.rested_at = now - CROSSING_SECONDS
        self._told = [(at, mark) for at, mark in self._told if at >= self.rested_at]

    @property
    def whole(self) -> bool:
        """Whether a handle that comes now holds all that was said."""
        return not self._told

    def offer(self) -> None:
        """A handle came, and is taken."""
        self.mark = min((mark for _, mark in self._told), default=self._memory.mark)
