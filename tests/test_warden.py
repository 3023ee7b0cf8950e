"""One call within its bounds: warned, hushed, nudged, ended; by numbers, with a keeper that only writes down."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import pytest

from relay import rtvi
from relay.cost import Budget, Ledger, Prices, Rates
from relay.errors import FAULTS, RelayError
from relay.gemini import events
from relay.limits import WARN_SECONDS
from relay.warden import NO_ANSWER, PARTING_SECONDS, QUESTION_SECONDS, Warden
from relay.watchdog import ANSWER_SECONDS, STALL_SECONDS, Remedy, Trouble

MODEL = "gemini-3.8-live"
PRICES = Prices("EUR", {MODEL: Rates({"audio": 3.0}, {"audio": 12.0})})
TURN = events.Usage(prompt=1000, response=100, total=1100)
TURN_MONEY = (1000 * 3 + 100 * 12) / 1e6
SECOND = bytes(48_000)  # of the model's sound


@dataclass
class Book:
    """Everything a warden asked for, in order."""

    said: list[rtvi.Message] = field(default_factory=list)
    did: list[str] = field(default_factory=list)

    def say(self, messages: Sequence[rtvi.Message]) -> None:
        self.said += messages
        self.did += [str(message["data"].get("event", message["type"])) for message in messages]

    def nudge(self) -> None:
        self.did.append("nudge")

    def renew(self) -> None:
        self.did.append("renew")

    def hush(self, hushed: bool) -> None:
        self.did.append("hush" if hushed else "hear")

    def end(self, fault: RelayError) -> None:
        self.did.append(f"end {fault.code}")


@dataclass
class Watched:
    """A warden, its book, and a clock to move."""

    idle: float = 300.0
    longest: float = 3600.0
    ledger: Ledger = field(default_factory=Ledger)
    today: date = date(2026, 11, 22)
    now: float = 0.0
    calling: bool = False

    def __post_init__(self) -> None:
        self.book = Book()
        self.warden = Warden(
            self.book,
            self.now,
            idle=self.idle,
            longest=self.longest,
            ledger=self.ledger,
            today=lambda: self.today,
            calling=lambda: self.calling,
            name="0123abcd",
        )

    def to(self, until: float) -> list[str]:
        """Let time pass; what was done meanwhile."""
        before = len(self.book.did)
        while (due := self.warden.deadline) is not None and due <= until and not self.over:
            self.now = max(self.now, due)
            self.warden.poll(self.now)
        self.now = until
        return self.book.did[before:]

    @property
    def over(self) -> bool:
        return any(done.startswith("end") for done in self.book.did)

    def hear(self, event: events.Event) -> None:
        self.warden.model_event(event, self.now)

    def speak(self, seconds: float) -> None:
        self.warden.user_started(self.now)
        self.now += seconds
        self.warden.user_stopped(self.now, self.now + 0.5)
        self.now += 0.5

    def answer(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.hear(events.Audio(SECOND))
        self.warden.sound_started(self.now)
        self.hear(events.GenerationComplete())
        self.now += seconds
        self.warden.sound_stopped(self.now)
        self.hear(events.TurnComplete())


def test_a_quiet_call_is_warned_hushed_and_ended() -> None:
    watched = Watched()
    assert watched.to(1000.0) == ["idle-warning", "hush", "end idle"]
    assert watched.book.said == [rtvi.relay_event("idle-warning", seconds=60)]


def test_whoever_speaks_again_is_heard_again() -> None:
    watched = Watched()
    watched.to(250.0)
    watched.speak(1.0)
    watched.answer()
    assert watched.book.did == ["idle-warning", "hush", "hear"]
    assert watched.to(watched.now + 200.0) == []


def test_typing_keeps_a_call_too() -> None:
    watched = Watched()
    watched.to(250.0)
    watched.warden.wrote(250.0)
    assert watched.book.did[-1] == "hear"
    assert watched.to(250.0 + 239.0) == []


def test_a_long_speech_and_a_long_answer_are_not_quiet() -> None:
    watched = Watched(longest=0)
    watched.warden.user_started(0.0)
    assert watched.to(1000.0) == []
    watched.warden.user_stopped(1000.0, 1000.0)
    watched.hear(events.Audio(SECOND))
    watched.warden.sound_started(watched.now)
    watched.hear(events.GenerationComplete())
    assert watched.to(2000.0) == []


def test_a_function_that_runs_is_not_quiet() -> None:
    watched = Watched(longest=0, calling=True)
    assert watched.to(1000.0) == []


def test_the_longest_call_is_announced_and_ends_when_the_voice_has_finished() -> None:
    watched = Watched(idle=0)
    assert watched.to(3599.0) == ["limit-warning"]
    assert watched.book.said == [rtvi.relay_event("limit-warning", seconds=round(WARN_SECONDS))]
    watched.warden.sound_started(watched.now)
    assert watched.to(3602.0) == ["hush"]
    watched.warden.sound_stopped(watched.now)
    assert watched.book.did[-1] == "end call-limit"


def test_a_voice_that_does_not_finish_is_not_waited_for_long() -> None:
    watched = Watched(idle=0)
    watched.to(3599.0)
    watched.warden.sound_started(watched.now)
    watched.to(3600.0)
    watched.warden.user_started(watched.now)  # nor does talking on help
    assert watched.to(3600.0 + PARTING_SECONDS - 1) == []
    assert watched.to(3600.0 + PARTING_SECONDS) == ["end call-limit"]
    assert watched.warden.deadline is None


def test_a_model_that_does_not_answer_is_nudged_exchanged_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(idle=0, longest=0)
    watched.speak(1.0)
    assert watched.to(100.0) == ["slow-answer", "nudge", "renew", "error"]
    assert watched.book.said[-1] == rtvi.error(NO_ANSWER, code="no-answer")
    assert watched.warden.troubles == {(Trouble.SILENT, remedy): 1 for remedy in Remedy}
    assert caplog.messages == [f"call 0123abcd: the model is silent: {remedy.value}" for remedy in Remedy]


def test_a_typed_question_is_watched_too() -> None:
    watched = Watched(idle=0, longest=0)
    watched.warden.asked(0.0)
    assert watched.to(ANSWER_SECONDS) == ["slow-answer", "nudge"]


def test_a_cough_asks_for_nothing_unless_the_model_knows_better() -> None:
    watched = Watched(idle=0, longest=0)
    watched.speak(QUESTION_SECONDS / 2)
    assert watched.to(100.0) == []
    watched.speak(QUESTION_SECONDS / 2)
    watched.hear(events.InputTranscript(" "))
    assert watched.to(200.0) == []
    watched.speak(QUESTION_SECONDS / 2)
    watched.hear(events.InputTranscript("No!"))
    assert watched.to(300.0)[:2] == ["slow-answer", "nudge"]


def test_a_cough_disarms_nobody_who_waits_for_an_answer() -> None:
    watched = Watched(idle=0, longest=0)
    watched.speak(2 * QUESTION_SECONDS)
    watched.to(5.0)
    watched.speak(QUESTION_SECONDS / 2)
    assert watched.to(20.0) == ["slow-answer", "nudge"]


def test_a_short_word_that_was_answered_before_it_was_written_down_is_answered() -> None:
    watched = Watched(idle=0, longest=0)
    watched.speak(QUESTION_SECONDS / 2)
    watched.hear(events.Audio(SECOND))
    watched.hear(events.InputTranscript("No!"))
    watched.hear(events.GenerationComplete())
    watched.hear(events.TurnComplete())
    assert watched.to(100.0) == []


def test_an_answer_that_breaks_off_is_noticed_when_it_was_played() -> None:
    watched = Watched(idle=0, longest=0)
    watched.warden.asked(0.0)
    watched.hear(events.Audio(SECOND))
    assert watched.to(STALL_SECONDS + 0.9) == []
    assert watched.to(STALL_SECONDS + 1.0) == ["slow-answer", "nudge"]
    assert watched.warden.troubles == {(Trouble.STALLED, Remedy.NUDGE): 1}


def test_an_empty_turn_is_noticed_at_once_and_a_refused_one_is_told() -> None:
    watched = Watched(idle=0, longest=0)
    watched.warden.asked(0.0)
    watched.hear(events.TurnComplete())
    assert watched.book.did == ["slow-answer", "nudge"]
    watched.hear(events.TurnComplete("RESPONSE_REJECTED"))
    assert watched.book.did[2:] == ["error"]


def test_nobody_is_nudged_while_a_function_runs() -> None:
    watched = Watched(idle=0, longest=0)
    watched.warden.asked(0.0)
    watched.calling = True
    watched.hear(events.ToolCall((events.FunctionCall("1", "slow", {}),)))
    assert watched.to(60.0) == []
    watched.calling = False
    watched.warden.settle(60.0)
    assert watched.to(60.0 + ANSWER_SECONDS - 1) == []
    assert watched.to(60.0 + ANSWER_SECONDS) == ["slow-answer", "nudge"]


def test_nobody_is_nudged_while_there_is_no_model() -> None:
    watched = Watched(idle=0, longest=0)
    watched.warden.asked(0.0)
    watched.warden.away(1.0, away=True)
    assert watched.to(60.0) == []
    watched.warden.away(60.0, away=False)
    assert watched.to(60.0 + ANSWER_SECONDS) == ["slow-answer", "nudge"]


def test_what_the_call_costs_is_told_after_each_turn_where_there_are_prices() -> None:
    watched = Watched(ledger=Ledger(PRICES, model=MODEL))
    watched.hear(TURN)
    watched.hear(TURN)
    first, second = watched.book.said
    assert first["data"] == {"event": "cost", "money": pytest.approx(TURN_MONEY), "currency": "EUR", "tokens": 1100}
    assert second["data"]["money"] == pytest.approx(2 * TURN_MONEY)
    assert watched.warden.spent.turns == 2


def test_without_prices_nothing_is_said_of_money() -> None:
    watched = Watched()
    watched.hear(TURN)
    assert watched.book.did == []
    assert watched.warden.spent.tokens == 1100


ENOUGH = Budget(1000, tokens=True)


@pytest.mark.parametrize(
    ("ledger", "code"), [(Ledger(per_call=ENOUGH), "budget-call"), (Ledger(per_day=ENOUGH), "budget-day")]
)
def test_a_budget_that_is_exceeded_lets_the_voice_finish(ledger: Ledger, code: str) -> None:
    watched = Watched(ledger=ledger)
    watched.warden.sound_started(0.0)
    watched.hear(TURN)
    assert watched.book.did == ["hush"]
    watched.hear(TURN)
    watched.warden.sound_stopped(1.0)
    assert watched.book.did == ["hush", f"end {code}"]
    assert FAULTS[code].sentence


def test_an_hour_of_conversation_is_left_alone_and_ends_with_the_hour() -> None:
    """A question every 20 s, each answered within 2 s."""
    watched = Watched(ledger=Ledger(PRICES, model=MODEL))
    while not watched.over:
        watched.speak(2.0)
        watched.to(watched.now + 1.5)
        watched.answer(6)
        watched.hear(TURN)
        watched.to(watched.now + 10.0)
    did = [done for done in watched.book.did if done != "cost"]
    assert did == ["limit-warning", "end call-limit"]
    assert watched.now == pytest.approx(3600.0, abs=20.0)
    assert watched.warden.spent.turns == pytest.approx(180, abs=2)
    assert not watched.warden.troubles
