"""A call that nobody uses, and one that lasts for ever, are told so and ended; in numbers, without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.limits import WARN_SECONDS, WARN_SHARE, Limits, Notice

IDLE, LONGEST = 300.0, 3600.0
ENDS = ("idle", "call-limit")  # of the call; the other words are warnings


def told(limits: Limits, until: float, *, busy: bool = False) -> list[tuple[float, Notice]]:
    """Every notice until then, or until the end, and when."""
    said: list[tuple[float, Notice]] = []
    while limits.deadline is not None and limits.deadline <= until:
        at = limits.deadline
        notice = limits.poll(at, busy=busy)
        if notice is not None:
            said.append((at, notice))
            if notice.word in ENDS:
                break
        else:
            assert limits.deadline > at
    return said


def test_a_quiet_call_is_warned_at_four_minutes_and_ended_at_five() -> None:
    limits = Limits(1000.0, idle=IDLE, longest=LONGEST)
    assert limits.poll(1000.0 + IDLE * WARN_SHARE - 0.01) is None
    assert told(limits, 1e6) == [(1240.0, Notice("idle-warning", 60.0)), (1300.0, Notice("idle"))]


def test_a_word_takes_the_warning_back() -> None:
    limits = Limits(0.0, idle=IDLE, longest=0)
    assert not limits.stirred(10.0)
    [(at, _)] = told(limits, 250.0)
    assert at == 250.0
    assert limits.idle_warned
    assert limits.stirred(260.0)
    assert not limits.idle_warned
    assert told(limits, 1e6) == [(500.0, Notice("idle-warning", 60.0)), (560.0, Notice("idle"))]


def test_a_long_speech_is_not_quiet() -> None:
    limits = Limits(0.0, idle=IDLE, longest=0)
    assert told(limits, 5000.0, busy=True) == []
    assert not limits.idle_warned


def test_the_longest_call_is_told_two_minutes_before_its_end() -> None:
    limits = Limits(0.0, idle=0, longest=LONGEST)
    assert told(limits, 1e6) == [(3480.0, Notice("limit-warning", WARN_SECONDS)), (3600.0, Notice("call-limit"))]


def test_a_short_longest_call_is_told_late_in_it() -> None:
    limits = Limits(0.0, idle=0, longest=60.0)
    assert told(limits, 1e6) == [(48.0, Notice("limit-warning", 12.0)), (60.0, Notice("call-limit"))]


def test_no_talking_prolongs_it() -> None:
    limits = Limits(0.0, idle=IDLE, longest=LONGEST)
    said = []
    for second in range(0, 4000, 10):
        limits.stirred(float(second))
        said += told(limits, second + 10.0)
        if said and said[-1][1].word in ENDS:
            break
    assert [notice.word for _, notice in said] == ["limit-warning", "call-limit"]
    assert said[-1][0] == LONGEST


def test_without_limits_there_is_nothing_to_wait_for() -> None:
    limits = Limits(0.0, idle=0, longest=0)
    assert limits.deadline is None
    assert limits.poll(1e9) is None


def test_who_comes_later_can_be_told_what_was_warned_of_and_what_is_left() -> None:
    limits = Limits(0.0, idle=IDLE, longest=LONGEST)
    assert limits.standing(0.0) == {}
    assert limits.poll(250.0) == Notice("idle-warning", 50.0)
    assert limits.standing(260.0) == {"idle-warning": 40.0}
    limits.stirred(270.0)
    assert limits.standing(280.0) == {}
    assert limits.poll(LONGEST - WARN_SECONDS) == Notice("limit-warning", WARN_SECONDS)
    limits.closing(3500.0, 30.0)
    assert limits.standing(3510.0) == {"limit-warning": 90.0, "closing": 20.0}
    assert limits.standing(3610.0) == {"limit-warning": 0.0, "closing": 0.0}


def test_a_late_look_tells_what_is_left_then() -> None:
    limits = Limits(0.0, idle=IDLE, longest=0)
    assert limits.poll(290.0) == Notice("idle-warning", 10.0)
    assert limits.poll(290.0) is None
    assert limits.poll(301.0) == Notice("idle")


def test_an_hour_of_conversation_ends_with_the_hour() -> None:
    """A question every 20 s, in virtual time, until the limit."""
    limits, now, words = Limits(0.0, idle=IDLE, longest=LONGEST), 0.0, list[str]()
    while "call-limit" not in words:
        limits.stirred(now)
        words += [notice.word for _, notice in told(limits, now + 20.0)]
        now += 20.0
    assert words == ["limit-warning", "call-limit"]
    assert now == pytest.approx(LONGEST, abs=20.0)


@given(st.floats(1, 1000), st.floats(1, 10_000), st.lists(st.floats(0, 200), max_size=50))
def test_nobody_is_cut_off_without_a_warning_and_each_comes_once(
    idle: float, longest: float, pauses: list[float]
) -> None:
    limits, now, words = Limits(0.0, idle=idle, longest=longest), 0.0, list[str]()
    for pause in [*pauses, 20_000.0]:
        words += [notice.word for _, notice in told(limits, now + pause)]
        now += pause
        if words and words[-1] in ("idle", "call-limit"):
            break
        if limits.stirred(now):
            words.append("back")
    end = words.pop()
    assert end in ("idle", "call-limit")
    assert words.count("limit-warning") == (1 if end == "call-limit" else words.count("limit-warning"))
    if end == "idle":
        assert words[-1] == "idle-warning" or words[-2:] == ["idle-warning", "limit-warning"]
