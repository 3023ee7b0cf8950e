"""What becomes of each packet a caller sends: decided before, so that a run can be repeated."""

import random
from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 50  # packets
FIRST: Final = SECOND  # the first second arrives whole: the start of the talk must be found in what was heard
LONGEST: Final = 60 * SECOND  # no stretch of talk is longer

# A radio that stalls, then a hole; between them time to see how soon the delay is back where it was.
STALL_AT: Final = 2 * SECOND
STALL: Final = 10  # packets: 200 ms held back, then all at once
HOLE_AT: Final = 4 * SECOND
HOLE: Final = 5  # packets: 100 ms never sent
BUMPS_SECONDS: Final = 6.0  # a stretch of talk that holds both, and what follows


@dataclass(frozen=True, slots=True)
class Fate:
    """Numbers of the packets that never leave, and of those that wait for the end of their stall."""

    dropped: frozenset[int] = field(default_factory=frozenset)
    held: frozenset[int] = field(default_factory=frozenset)


def losing(share: float, seed: int) -> Fate:
    """Each packet is lost on its own with the probability `share`."""
    rng = random.Random(seed)
    return Fate(frozenset(number for number in range(LONGEST) if rng.random() < share and number >= FIRST))


def bumpy() -> Fate:
    """One stall, one hole."""
    return Fate(frozenset(range(HOLE_AT, HOLE_AT + HOLE)), frozenset(range(STALL_AT, STALL_AT + STALL - 1)))
