"""Keeps one call within bounds: how quiet, how long, how expensive it is; does the model answer? Pure: no clock.

It is told what happens on the call, and tells its keeper what is to be done. Where a call is to end it lets the voice
finish first, and what the user says meanwhile is not heard any more.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final, Protocol

from relay import rtvi
from relay.cost import Ledger, Spent
from relay.errors import OwnerFault, RelayError
from relay.gemini import events
from relay.limits import Limits, Warned
from relay.watchdog import Remedy, Trouble, Verdict, Watchdog

# A voice that we heard for less may have been a cough or a door; the model's transcript tells a short word from those.
QUESTION_SECONDS: Final = 0.5
# For the voice to finish once the call is to end.
PARTING_SECONDS: Final = 30.0
MONEY_DIGITS: Final = 6  # a turn costs less than a cent

NO_ANSWER: Final = "The model does not answer. Say it again, or start a new call."

log = logging.getLogger(__name__)


class Hands(Protocol):
    """Who does it. `nudge` asks the model to go on, `renew` takes another connection to it.

    While `hush` is true nothing is to reach the model. `end` ends the call.
    """

    def say(self, messages: Sequence[rtvi.Message]) -> None: ...
    def nudge(self) -> None: ...
    def renew(self) -> None: ...
    def hush(self, hushed: bool) -> None: ...
    def end(self, fault: RelayError) -> None: ...


class Warden:
    """The warden of one call. After each call look at `deadline`, and `poll` then.

    `calling` says whether functions run; `name` is the call's in the log.
    """

    def __init__(
        self,
        keeper: Hands,
        now: float,
        *,
        idle: float,
        longest: float,
        ledger: Ledger,
        today: Callable[[], date],
        calling: Callable[[], bool],
        name: str,
    ) -> None:
        self._keeper = keeper
        self._limits = Limits(now, idle=idle, longest=longest)
        self._dog = Watchdog()
        self._ledger = ledger
        self._today = today
        self._calling = calling
        self._name = name
        self._speaking: float | None = None  # since when the user has been
        self._doubtful = False  # it has just ceased, too soon for us to know a question
        self._sounding = False
        self._parting: RelayError | None = None  # why the call ends when the voice has finished,
        self._parts_at: float | None = None  # or then; None once its keeper was told
        self.spent = Spent()
        self.troubles: Counter[tuple[Trouble, Remedy]] = Counter()

    # ---- the user ----

    def user_started(self, now: float) -> None:
        """The user's voice begins."""
        self._speaking, self._doubtful = now, False
        self._dog.spoken_to()
        self._stirred(now)

    def user_stopped(self, at: float, now: float) -> None:
        """It has ceased, at `at`."""
        began, self._speaking = self._speaking, None
        self._doubtful = began is None or at - began < QUESTION_SECONDS
        if self._doubtful:
            self._dog.said_nothing()
        else:
            self._dog.asked(now)
        self._stirred(now)

    def asked(self, now: float) -> None:
        """The model was asked in writing."""
        self._dog.asked(now)
        self._stirred(now)

    def wrote(self, now: float) -> None:
        """The user did something else than to ask."""
        self._stirred(now)

    # ---- the model ----

    def model_event(self, event: events.Event, now: float) -> None:
        """What the model sent."""
        match event:
            case events.Audio(pcm=pcm):
                self._doubtful = False
                self._dog.heard(now, len(pcm) / 2 / events.OUTPUT_RATE)
            case events.OutputTranscript(text=text) | events.ModelText(text=text, thought=False) if text:
                self._dog.heard(now)
            case events.InputTranscript(text=text) if text.strip() and self._doubtful:
                self._doubtful = False
                self._dog.asked(now)
            case events.Interrupted():
                self._dog.interrupted(now)
            case events.GenerationComplete():
                self._dog.generated()
            case events.TurnComplete(reason=reason):
                self._judge(self._dog.completed(now, reason))
            case events.ToolCall():
                self._dog.called(now)
                self._dog.hold("function")
                return  # it is about to begin
            case events.Usage():
                self.pay(event, now)
        self.settle(now)

    def cut(self, now: float) -> None:
        """Nothing more is heard of what the model said; do not tell of what it goes on to say until it knows."""
        self._dog.cut(now)

    def settle(self, now: float) -> None:
        """Functions may have come to their end."""
        if not self._calling():
            self._dog.release("function", now)

    def away(self, now: float, *, away: bool) -> None:
        """There is no connection to the model, or again."""
        if away:
            self._dog.hold("away")
        else:
            self._dog.release("away", now)

    # ---- the voice ----

    def sound_started(self, now: float) -> None:
        """The model begins to be heard."""
        self._sounding = True
        self._stirred(now)

    def sound_stopped(self, now: float) -> None:
        """It was heard to its end, or cut."""
        self._sounding = False
        self._stirred(now)
        if self._parting is not None:
            self._end(self._parting)

    # ---- time ----

    @property
    def deadline(self) -> float | None:
        """When `poll` is due."""
        if self._parting is not None:
            return self._parts_at
        return min((at for at in (self._limits.deadline, self._dog.deadline) if at is not None), default=None)

    def poll(self, now: float) -> None:
        """Do what is due by `now`."""
        if self._parting is not None:
            if self._parts_at is not None and now >= self._parts_at:
                self._end(self._parting)
            return
        self.settle(now)
        self._judge(self._dog.poll(now))
        busy = self._speaking is not None or self._sounding or self._calling()
        notice = self._limits.poll(now, busy=busy)
        if notice is None:
            return
        if notice.word == "idle" or notice.word == "call-limit":
            self._part(OwnerFault(notice.word), now)
            return
        self._keeper.say([_told(notice.word, notice.seconds)])
        if notice.word == "idle-warning":
            self._keeper.hush(True)

    # ---- what holds ----

    def closing(self, seconds: float, now: float) -> None:
        """The relay leaves in so many seconds, and the call with it."""
        self._limits.closing(now, seconds)
        self._keeper.say([_told("closing", seconds)])

    def standing(self, now: float) -> list[rtvi.Message]:
        """What the client was told and what still holds: for one that comes in the middle."""
        away = [rtvi.relay_event("reconnecting")] if self._dog.is_held("away") else []
        return [*away, *(_told(word, left) for word, left in self._limits.standing(now).items())]

    # ---- within ----

    def _stirred(self, now: float) -> None:
        self.settle(now)
        if self._limits.stirred(now) and self._parting is None:
            self._keeper.hush(False)

    def pay(self, usage: events.Usage, now: float, model: str = "") -> None:
        """So much was used, of another model than the one that speaks if it is named."""
        code = self._ledger.enter(self.spent, usage, self._today(), model)
        if self._ledger.currency:
            money = round(self.spent.money, MONEY_DIGITS)
            self._keeper.say([rtvi.relay_event("cost", money=money, currency=self._ledger.currency,
                                               tokens=self.spent.tokens)])  # fmt: skip
        if code is not None:
            self._part(OwnerFault(code), now)

    def _part(self, why: RelayError, now: float) -> None:
        if self._parting is not None:
            return
        self._parting, self._parts_at = why, now + PARTING_SECONDS
        if self._sounding:
            self._keeper.hush(True)
        else:
            self._end(why)

    def _end(self, why: RelayError) -> None:
        if self._parts_at is not None:
            self._parts_at = None
            self._keeper.end(why)

    def _judge(self, verdict: Verdict | None) -> None:
        if verdict is None or self._parting is not None:
            return
        self.troubles[verdict.trouble, verdict.remedy] += 1
        log.warning("call %s: the model is %s: %s", self._name, verdict.trouble.value, verdict.remedy.value)
        match verdict.remedy:
            case Remedy.NUDGE:
                self._keeper.say([rtvi.relay_event("slow-answer")])
                self._keeper.nudge()
            case Remedy.RESUME:
                self._keeper.renew()
            case Remedy.TELL:
                self._keeper.say([rtvi.error(NO_ANSWER, code="no-answer")])


def _told(warned: Warned, seconds: float) -> rtvi.Message:
    return rtvi.relay_event(warned, seconds=round(seconds))
