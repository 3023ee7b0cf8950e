"""What is said to a browser that may be away: nothing final is lost, nothing acknowledged comes twice."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import outbox, rtvi
from relay.outbox import MAX_CHARACTERS, MAX_MESSAGES, Fate, Outbox

STAMP = "2026-01-01T00:00:00.000+00:00"


class Path:
    """A data channel: what was given to it, and how much of that is not acknowledged."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []
        self.fate = Fate.SENT
        self.acknowledged = 0

    def send(self, text: str, spare: bool) -> Fate:
        if self.fate is Fate.SENT:
            self.given.append(json.loads(text))
        return self.fate

    @property
    def words(self) -> list[str]:
        return [message["data"]["text"] for message in self.given]


def final(text: str) -> rtvi.Message:
    return rtvi.user_transcription(text, STAMP, final=True)


def interim(text: str) -> rtvi.Message:
    return rtvi.user_transcription(text, STAMP, final=False)


def test_what_is_said_goes_out_in_order_the_welcome_first() -> None:
    box, path = Outbox(), Path()
    box.put([final("one"), final("two")])
    box.put([final("zero"), final("half")], first=True)
    box.send(path.send)
    assert path.words == ["zero", "half", "one", "two"]


def test_what_was_not_acknowledged_is_said_again_and_the_rest_is_not() -> None:
    box, old, new = Outbox(), Path(), Path()
    box.send(old.send, [final(str(n)) for n in range(5)])
    box.acknowledged(but=2)
    box.rewind()
    box.put([final("5")])
    box.send(new.send)
    assert new.words == ["3", "4", "5"]


def test_nothing_is_said_twice_on_one_connection() -> None:
    box, path = Outbox(), Path()
    box.send(path.send, [final("one")])
    box.send(path.send, [final("two")])
    box.send(path.send)
    assert path.words == ["one", "two"]


def test_interim_words_wait_for_nobody() -> None:
    box, path = Outbox(), Path()
    box.put([interim("on"), final("one"), interim("tw")])
    box.put([final("two")])
    box.send(path.send)
    assert path.words == ["one", "two"]


def test_interim_words_that_were_lost_are_not_said_again() -> None:
    box, path = Outbox(), Path()
    box.send(Path().send, [interim("on"), final("one")])
    box.rewind()
    box.send(path.send)
    assert path.words == ["one"]


def test_what_is_longer_than_the_browser_takes_is_not_kept_and_it_is_told() -> None:
    box, path = Outbox(), Path()
    path.fate = Fate.TOO_LONG
    box.send(path.send, [final("too long"), interim("too")])
    assert (len(box), box.dropped) == (0, 1)
    path.fate = Fate.SENT
    box.send(path.send, [final("short")])
    told, short = path.given
    assert told["data"] == {"event": "missed", "messages": 1}
    assert short["data"]["text"] == "short"


def test_what_a_slow_browser_may_miss_is_not_kept() -> None:
    box, path = Outbox(), Path()
    path.fate = Fate.LEFT_OUT
    box.send(path.send, [interim("on")])
    assert (len(box), box.dropped) == (0, 0)


def test_what_nobody_is_there_for_any_more_waits_for_whoever_comes_next() -> None:
    box, old, new = Outbox(), Path(), Path()
    box.send(old.send, [final("one")])
    box.acknowledged(but=0)
    old.fate = Fate.NOBODY_THERE
    box.send(old.send, [final("two"), interim("thr"), final("three")])
    box.send(old.send, [final("four"), interim("fi")])
    box.rewind()
    box.send(new.send, [final("five")])
    assert (old.words, new.words) == (["one"], ["two", "three", "four", "five"])


def test_one_that_goes_in_the_middle_of_many_gets_the_rest_when_it_is_back() -> None:
    box, old, new = Outbox(), Path(), Path()

    def send(text: str, spare: bool) -> Fate:
        old.fate = Fate.SENT if len(old.given) < 3 else Fate.NOBODY_THERE
        return old.send(text, spare)

    box.put([final("0"), final("1")])
    box.send(send, [final("2"), final("3"), final("4")])
    box.acknowledged(but=1)
    box.rewind()
    box.send(new.send)
    assert (old.words, new.words) == (["0", "1", "2"], ["2", "3", "4"])


def test_how_many_are_lost_is_told_to_whoever_comes_if_nobody_was_there_to_be_told() -> None:
    box, old, new = Outbox(), Path(), Path()
    old.fate = Fate.NOBODY_THERE
    box.put([final(str(n)) for n in range(MAX_MESSAGES + 7)])
    box.send(old.send, [final("last")])
    assert (len(box), box.dropped) == (MAX_MESSAGES, 8)
    box.send(new.send)
    assert new.given[0]["data"] == {"event": "missed", "messages": 8}
    assert len(new.given) == 1 + MAX_MESSAGES


def test_where_there_is_too_much_figures_and_text_ahead_go_first_and_no_final_word_is_lost() -> None:
    box, path = Outbox(), Path()
    for n in range(MAX_MESSAGES):
        box.put([rtvi.bot_llm_text("ahead"), final(str(n)), rtvi.metrics_ttfb(0.1, "m")])
    box.send(path.send)
    assert box.dropped == 0
    finals = [message["data"]["text"] for message in path.given if message["type"] == "user-transcription"]
    assert finals == [str(n) for n in range(MAX_MESSAGES)]


def test_beyond_that_the_oldest_goes_and_is_counted() -> None:
    box, path = Outbox(), Path()
    box.put([final(str(n)) for n in range(MAX_MESSAGES + 7)])
    assert (len(box), box.dropped) == (MAX_MESSAGES, 7)
    box.send(path.send)
    told, *_ = path.given
    assert told["data"] == {"event": "missed", "messages": 7}
    assert path.given[1]["data"]["text"] == "7"
    assert box.dropped == 0, "it is told once"


def test_long_messages_are_bounded_by_their_length() -> None:
    box = Outbox()
    for _ in range(20):
        box.put([final("x" * (MAX_CHARACTERS // 10))])
        assert len(box) < 10
    assert box.dropped == 20 - len(box)


def test_another_client_gets_what_concerns_it_and_not_the_words_that_it_is_told_anyway() -> None:
    box, path = Outbox(), Path()
    box.send(Path().send, [final("old"), rtvi.error("Trouble."), rtvi.BOT_STARTED_SPEAKING])
    box.put([rtvi.function_call_in_progress("1", "f", {}), rtvi.error_response("9", "no")])
    box.put([rtvi.relay_event("mic-dead")])
    box.begin_anew()
    box.put([rtvi.plain("bot-ready")], first=True)
    box.send(path.send)
    kinds = [message["type"] for message in path.given]
    assert kinds == ["bot-ready", "error", "llm-function-call-in-progress", "server-message"]


def test_another_client_gets_nothing_that_it_is_told_anew_or_that_may_hold_no_longer() -> None:
    box, path = Outbox(), Path()
    box.send(Path().send, [rtvi.relay_event("history", turns=[]), rtvi.relay_event("idle-warning", seconds=60)])
    box.put([rtvi.relay_event(name) for name in ("reconnecting", "resumed", "limit-warning", "closing")])
    box.begin_anew()
    box.send(path.send)
    assert path.given == []


def test_the_kinds_that_are_told_apart_are_kinds_of_rtvi() -> None:
    assert not outbox.LESSER & outbox.LASTING


def finals(messages: list[dict[str, Any]]) -> list[str]:
    return [message["data"]["text"] for message in messages if message["data"]["final"]]


act = st.one_of(
    st.tuples(st.just("say"), st.booleans()),
    st.tuples(st.just("acknowledge"), st.integers(0, 6)),
    st.tuples(st.just("replace"), st.booleans()),
    st.tuples(st.just("go"), st.none()),
)


@given(st.lists(act, max_size=60))
def test_whatever_happens_each_final_word_arrives_on_the_connection_that_stays_or_was_acknowledged(
    acts: list[tuple[str, Any]],
) -> None:
    box, path, open_, said = Outbox(), Path(), True, 0
    arrived: list[str] = []
    for what, how in acts:
        if what == "say":
            words = [final(str(said)), interim("…")]
            said += 1
            if open_:
                box.send(path.send, words)
            else:
                box.put(words)
        elif what == "acknowledge":
            path.acknowledged = max(path.acknowledged, len(path.given) - how)
            box.acknowledged(but=len(path.given) - path.acknowledged)
        elif what == "go":
            path.fate = Fate.NOBODY_THERE  # which nobody has told us
        else:
            arrived += finals(path.given[: path.acknowledged])
            path, open_ = Path(), how
            box.rewind()
            if open_:
                box.send(path.send)
    if path.fate is not Fate.SENT:
        arrived += finals(path.given[: path.acknowledged])
        path = Path()
        box.rewind()
    box.send(path.send)
    arrived += finals(path.given)
    assert arrived == [str(n) for n in range(said)]


@pytest.mark.parametrize("kind", sorted(outbox.LESSER))
def test_no_final_word_is_of_a_lesser_kind(kind: str) -> None:
    assert kind not in {"user-transcription", "user-input", "bot-output", "bot-transcription"}
