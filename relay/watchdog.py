"""Does the model answer? No sound after a question, a sentence that breaks off, a turn without a word. Pure.

Trouble is met three times at most: with a nudge, then with another connection, then the user is told. While the user
speaks, a function runs, or there is no connection, nothing is expected of the model. Times are seconds on one clock
that never goes back.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Final

# From the end of a turn to the first sound of its answer. The service needs 1 to 3 s, at its worst 10.
ANSWER_SECONDS: Final = 15.0
# In the middle of an answer, after all that came was played. Bad hours at the service bring gaps of 1 to 2 s.
STALL_SECONDS: Final = 5.0


class Trouble(Enum):
    """What is wrong."""

    SILENT = "silent"  # no answer begins
    STALLED = "stalled"  # one that began does not go on
    EMPTY = "empty"  # one ended without a word


class Remedy(Enum):
    """What is to be done about it, in this order."""

    NUDGE = "nudge"  # ask the model to go on
    RESUME = "resume"  # go on with another connection
    TELL = "tell"  # the user may know better


_ORDER: Final = tuple(Remedy)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Do this about that."""

    trouble: Trouble
    remedy: Remedy


class Watchdog:
    """The watchdog of one call. After each call look at `deadline`, and `poll` then."""

    def __init__(self) -> None:
        self._due: float | None = None  # when the model is to have been heard; None if nobody waits
        self._patience = ANSWER_SECONDS  # what that was reckoned with
        self._in_turn = False  # a turn has begun that owes its completion
        self._answered = False  # it was heard since the question
        self._called = False  # it has had a function called since the question
        self._speaking = False  # the user
        self._plays_until = 0.0
        self._held: set[Hashable] = set()
        self._trouble: Trouble | None = None  # which remedies have been tried for,
        self._step = 0  # and how many of them

    # ---- the user ----

    def spoken_to(self) -> None:
        """The user begins to speak: nobody waits for an answer meanwhile."""
        self._speaking = True

    def asked(self, now: float) -> None:
        """The user has spoken or written: an answer is awaited. Trouble that was there before is still there."""
        self._speaking = self._answered = self._called = False
        self._expect(now, ANSWER_SECONDS)

    def said_nothing(self) -> None:
        """The user has ceased, and it was too short for a question: one from before it still waits for its answer."""
        self._speaking = False

    # ---- the model ----

    def heard(self, now: float, seconds: float = 0.0) -> None:
        """The model spoke so many seconds of sound, or wrote."""
        self._in_turn = self._answered = True
        if self._trouble is not Trouble.STALLED:
            self._well()
        self._plays_until = max(self._plays_until, now) + seconds
        self._expect(self._plays_until, STALL_SECONDS)

    def called(self, now: float) -> None:
        """The model had functions called: that is a word, too, and the answer comes after it."""
        self._in_turn = self._called = True
        self._expect(max(now, self._plays_until), ANSWER_SECONDS)

    def generated(self) -> None:
        """All of this generation is here."""
        if self._answered:
            self._well()
            self._due = None

    def interrupted(self, now: float) -> None:
        """What was being said is cut, for the user's sake, who is to be answered."""
        self._plays_until = 0.0
        self._in_turn = True  # the turn that was cut is told to be complete now
        self._answered = self._called = False
        self._expect(now, ANSWER_SECONDS)

    def completed(self, now: float, reason: str = "") -> Verdict | None:
        """A turn is over. One without a word, awaited, is trouble; if the model gives a `reason`, no nudge helps."""
        in_turn, self._in_turn = self._in_turn, False
        if in_turn:
            if self._answered:
                self._well()
            if self._answered or self._called:
                self._due = None
            return None
        if self._due is None or self._speaking:
            return None
        if reason:
            self._step = len(_ORDER) - 1
        return self._trouble_is(Trouble.EMPTY, now)

    def cut(self, now: float) -> None:
        """What came of it is not played any more, and not waited for."""
        self._plays_until = 0.0
        if self._due is not None:
            self._due = min(self._due, now + self._patience)

    # ---- who keeps it from answering ----

    def hold(self, why: Hashable) -> None:
        """For this reason nothing is expected now; several may hold."""
        self._held.add(why)

    def is_held(self, why: Hashable) -> bool:
        """Whether this is a reason now."""
        return why in self._held

    def release(self, why: Hashable, now: float) -> None:
        """This reason is gone; with the last one the time begins anew."""
        if why in self._held:
            self._held.remove(why)
            if not self._held and self._due is not None:
                self._expect(max(now, self._plays_until), self._patience)

    # ---- time ----

    @property
    def deadline(self) -> float | None:
        """When `poll` is due."""
        return None if self._held or self._speaking else self._due

    def poll(self, now: float) -> Verdict | None:
        """What is to be done by `now`."""
        if self.deadline is None or now < self.deadline:
            return None
        return self._trouble_is(Trouble.STALLED if self._patience == STALL_SECONDS else Trouble.SILENT, now)

    # ---- within ----

    def _expect(self, now: float, seconds: float) -> None:
        self._patience = seconds
        self._due = now + seconds

    def _well(self) -> None:
        self._trouble, self._step = None, 0

    def _trouble_is(self, trouble: Trouble, now: float) -> Verdict:
        trouble = self._trouble = self._trouble or trouble
        remedy = _ORDER[self._step]
        self._step += 1
        self._answered = self._called = False
        if remedy is Remedy.TELL:
            self._well()
            self._due = None
        else:
            self._expect(now, ANSWER_SECONDS)
        return Verdict(trouble, remedy)
