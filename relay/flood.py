"""How many messages one client may send. Pure: `now` is given.

Ask `FloodGate` of every frame before it is read, and tell it of those that broke a limit.
"""

import math
from enum import Enum, auto
from typing import Final

MESSAGES_PER_SECOND: Final = 50.0  # a client in conversation sends 1 to 5
BURST_MESSAGES: Final = 100.0  # what a page may have stored up while its tab slept
MAX_REFUSED: Final = 100  # refused messages, then the session closes
REFUSED_MEMORY: Final = 10.0  # seconds without a refusal after which the earlier ones are forgotten
OVERSIZE_WEIGHT: Final = 10  # refusals that one message over a limit of size or depth counts for


class Ruling(Enum):
    """What becomes of a message: serve it; refuse it and tell the client once; refuse it; close the session."""

    PASS = auto()
    TELL = auto()
    DROP = auto()
    CLOSE = auto()


class FloodGate:
    """How many messages one client may send: a bucket of tokens, and a memory of what had to be refused."""

    def __init__(self) -> None:
        self._tokens = BURST_MESSAGES
        self._filled = -math.inf
        self._refused = 0
        self._refused_at = -math.inf

    def allow(self, now: float) -> Ruling:
        """Ask this of every frame before `read`."""
        self._tokens = min(BURST_MESSAGES, self._tokens + max(0.0, now - self._filled) * MESSAGES_PER_SECOND)
        self._filled = max(self._filled, now)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return Ruling.PASS
        return self._refuse(now, 1)

    def refuse(self, now: float) -> Ruling:
        """A message broke a limit of size or depth."""
        return self._refuse(now, OVERSIZE_WEIGHT)

    def _refuse(self, now: float, weight: int) -> Ruling:
        if now - self._refused_at > REFUSED_MEMORY:
            self._refused = 0
        self._refused_at = now
        first = self._refused == 0
        self._refused += weight
        if self._refused >= MAX_REFUSED:
            return Ruling.CLOSE
        return Ruling.TELL if first else Ruling.DROP
