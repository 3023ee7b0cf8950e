"""How long a call may be quiet, how long it may last, and when the relay leaves. Pure: `now` is given.

Quiet is when nobody speaks, types or is shown anything new to speak of: neither the user nor the model. Times are
seconds on one clock that never goes back.
"""

from dataclasses import dataclass
from typing import Final, Literal

WARN_SHARE: Final = 0.8  # of the quiet time that is allowed: then the app is told
# Before the longest call ends: long enough to take leave, and to call again.
WARN_SECONDS: Final = 120.0

Warned = Literal["idle-warning", "limit-warning", "closing"]
Word = Warned | Literal["idle", "call-limit"]
"""The warnings are the names of `rtvi.RelayEvent`, the ends are codes of `errors.FAULTS`."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told now; a warning says how many seconds are left, an end none."""

    word: Word
    seconds: float = 0.0


class Limits:
    """The limits of one call; 0 is none. After each call look at `deadline`, and `poll` then."""

    def __init__(self, now: float, *, idle: float, longest: float) -> None:
        self._idle = idle
        self._quiet_since = now
        self.idle_warned = False  # nothing has been heard since the warning
        self._limit_warned = False
        self._ends_at = now + longest if longest else None
        self._warns_at = now + max(WARN_SHARE * longest, longest - WARN_SECONDS) if longest else None
        self._closes_at: float | None = None

    def closing(self, now: float, seconds: float) -> None:
        """The relay leaves in so many seconds, and ends the call itself then."""
        self._closes_at = now + seconds

    def standing(self, now: float) -> dict[Warned, float]:
        """What was warned of and is still to come, and how many seconds are left."""
        ends: dict[Warned, float | None] = {
            "idle-warning": self._idle_due if self.idle_warned else None,
            "limit-warning": self._ends_at if self._limit_warned else None,
            "closing": self._closes_at,
        }
        return {word: max(0.0, at - now) for word, at in ends.items() if at is not None}

    def stirred(self, now: float) -> bool:
        """Somebody began or ceased to speak, or wrote. True if that takes a warning back."""
        self._quiet_since = max(self._quiet_since, now)
        warned, self.idle_warned = self.idle_warned, False
        return warned

    @property
    def deadline(self) -> float | None:
        """When `poll` is due."""
        due = (self._ends_at if self._limit_warned else self._warns_at, self._idle_due)
        return min((at for at in due if at is not None), default=None)

    @property
    def _idle_due(self) -> float | None:
        return self._quiet_since + self._idle * (1 if self.idle_warned else WARN_SHARE) if self._idle else None

    def poll(self, now: float, *, busy: bool = False) -> Notice | None:
        """What was due by `now`, one thing at a time; `busy` while somebody speaks or a function runs."""
        if self._ends_at is not None and now >= self._ends_at:
            return Notice("call-limit")
        if self._warns_at is not None and not self._limit_warned and now >= self._warns_at:
            self._limit_warned = True
            assert self._ends_at is not None
            return Notice("limit-warning", self._ends_at - now)
        if busy:
            self.stirred(now)
        if self._idle_due is None or now < self._idle_due:
            return None
        if self.idle_warned:
            return Notice("idle")
        self.idle_warned = True
        return Notice("idle-warning", max(0.0, self._quiet_since + self._idle - now))
