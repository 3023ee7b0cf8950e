"""A model that does not answer is nudged, then exchanged, then told of; one that does is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.watchdog import ANSWER_SECONDS, STALL_SECONDS, Remedy, Trouble, Verdict, Watchdog

LADDER = [Remedy.NUDGE, Remedy.RESUME, Remedy.TELL]


def watched(dog: Watchdog, until: float) -> list[tuple[float, Verdict]]:
    """Everything it says of itself until then, and when."""
    said = []
    while dog.deadline is not None and dog.deadline <= until:
        at = dog.deadline
        verdict = dog.poll(at)
        assert verdict is not None
        said.append((at, verdict))
    return said


def test_nothing_is_expected_of_a_model_that_nobody_asked() -> None:
    dog = Watchdog()
    assert dog.deadline is None
    assert dog.poll(1e6) is None
    assert dog.completed(1e6) is None


def test_no_sound_within_fifteen_seconds_is_met_with_a_nudge_then_a_connection_then_words() -> None:
    dog = Watchdog()
    dog.asked(100.0)
    assert dog.poll(100.0 + ANSWER_SECONDS - 0.001) is None
    expected = [(100.0 + (n + 1) * ANSWER_SECONDS, Verdict(Trouble.SILENT, LADDER[n])) for n in range(3)]
    assert watched(dog, 1000.0) == expected
    assert dog.deadline is None


def test_an_answer_in_time_is_left_alone_however_long_it_plays() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(14.9, 60.0)  # a minute of it, all at once
    dog.generated()
    assert watched(dog, 1000.0) == []
    assert dog.completed(75.0) is None
    assert watched(dog, 1000.0) == []


def test_a_sentence_that_breaks_off_is_noticed_after_what_came_of_it_was_played() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    for n in range(10):
        dog.heard(1.0 + n * 0.05, 0.2)
    dry = 1.0 + 10 * 0.2
    (at, verdict), *_ = watched(dog, 1000.0)
    assert at == pytest.approx(dry + STALL_SECONDS)
    assert verdict == Verdict(Trouble.STALLED, Remedy.NUDGE)


def test_a_model_slower_than_time_is_waited_for() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    for n in range(20):
        dog.heard(1.0 + n * 2.0, 0.2)
        assert watched(dog, 1.0 + n * 2.0 + 1.9) == []


def test_a_stall_that_comes_again_after_the_nudge_is_worse() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(1.0, 0.2)
    [(at, first)] = watched(dog, 8.0)
    dog.heard(at + 1.0, 0.2)
    [(_, second)] = watched(dog, at + 10.0)
    assert [first.remedy, second.remedy] == LADDER[:2]
    assert second.trouble is Trouble.STALLED


def test_a_whole_answer_makes_everything_well() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(1.0, 0.2)
    [(at, _)] = watched(dog, 8.0)
    dog.heard(at + 1.0, 0.2)
    dog.generated()
    assert dog.completed(at + 2.0) is None
    dog.asked(50.0)
    [(_, verdict)] = watched(dog, 66.0)
    assert verdict == Verdict(Trouble.SILENT, Remedy.NUDGE)


def test_a_turn_without_a_word_is_trouble_at_once() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    assert dog.completed(2.0) == Verdict(Trouble.EMPTY, Remedy.NUDGE)
    assert dog.completed(4.0) == Verdict(Trouble.EMPTY, Remedy.RESUME)
    assert dog.completed(6.0) == Verdict(Trouble.EMPTY, Remedy.TELL)
    assert dog.completed(8.0) is None


def test_a_turn_that_the_model_ends_for_a_reason_is_told_and_not_nudged() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    assert dog.completed(2.0, "RESPONSE_REJECTED") == Verdict(Trouble.EMPTY, Remedy.TELL)
    assert dog.deadline is None


def test_the_clock_stands_while_a_function_runs_and_begins_anew_after_it() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.called(1.0)
    dog.hold("function")
    assert dog.deadline is None
    assert dog.poll(500.0) is None
    dog.release("function", 500.0)
    assert dog.deadline == 500.0 + ANSWER_SECONDS


def test_of_several_reasons_to_wait_the_last_counts() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.hold("function")
    dog.hold("away")
    dog.hold("away")
    dog.release("away", 20.0)
    assert dog.deadline is None
    dog.release("function", 30.0)
    dog.release("function", 40.0)  # once is enough
    assert dog.deadline == 30.0 + ANSWER_SECONDS


def test_a_turn_that_only_called_a_function_is_not_empty_and_owes_nothing_more() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.called(1.0)
    assert dog.completed(1.1) is None
    assert dog.deadline is None


def test_nobody_waits_while_the_user_speaks() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.spoken_to()
    assert dog.deadline is None
    dog.heard(1.0, 0.2)  # the rest of what it said
    assert dog.deadline is None
    dog.asked(30.0)
    assert dog.deadline == 30.0 + ANSWER_SECONDS


def test_a_cough_is_no_question() -> None:
    dog = Watchdog()
    dog.spoken_to()
    dog.said_nothing()
    assert dog.deadline is None


def test_a_cough_takes_no_question_away_that_waits_for_its_answer() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.spoken_to()
    assert dog.poll(1000.0) is None, "nobody is nudged while the user speaks"
    dog.said_nothing()
    assert watched(dog, ANSWER_SECONDS) == [(ANSWER_SECONDS, Verdict(Trouble.SILENT, Remedy.NUDGE))]


def test_a_sentence_that_breaks_off_is_noticed_behind_a_cough_too() -> None:
    for early in (True, False):  # the cough, or the last of the sound
        dog = Watchdog()
        dog.asked(0.0)
        if early:
            dog.spoken_to()
        dog.heard(1.0, 2.0)
        if not early:
            dog.spoken_to()
        dog.said_nothing()
        [(at, verdict)] = watched(dog, 1.0 + 2.0 + STALL_SECONDS)
        assert (at, verdict) == (1.0 + 2.0 + STALL_SECONDS, Verdict(Trouble.STALLED, Remedy.NUDGE))


def test_who_is_cut_by_a_cough_is_to_go_on() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(1.0, 30.0)
    dog.spoken_to()
    dog.interrupted(2.0)
    dog.said_nothing()
    assert dog.completed(2.5) is None, "the turn that was cut"
    [(_, verdict)] = watched(dog, 2.0 + ANSWER_SECONDS)
    assert verdict == Verdict(Trouble.SILENT, Remedy.NUDGE)


def test_sound_that_was_cut_is_not_waited_for() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(1.0, 300.0)
    dog.cut(2.0)
    assert dog.deadline == 2.0 + STALL_SECONDS


def test_a_turn_without_a_word_while_the_user_speaks_is_no_trouble_yet() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.spoken_to()
    assert dog.completed(1.0) is None
    dog.said_nothing()
    assert dog.deadline == ANSWER_SECONDS


def test_whoever_interrupts_is_to_be_answered_and_the_end_of_the_cut_turn_is_not_empty() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(1.0, 5.0)
    dog.spoken_to()
    dog.interrupted(2.0)
    dog.asked(3.0)
    assert dog.completed(3.1) is None
    assert dog.deadline == 3.0 + ANSWER_SECONDS
    assert dog.completed(5.0) == Verdict(Trouble.EMPTY, Remedy.NUDGE)


def test_an_interruption_that_is_told_late_takes_no_question_away() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(1.0, 5.0)
    dog.spoken_to()
    dog.asked(2.0)
    dog.heard(2.1, 0.2)  # was under way
    dog.interrupted(2.2)
    assert dog.completed(2.3) is None
    assert dog.deadline == 2.2 + ANSWER_SECONDS


def test_the_end_of_a_turn_that_was_playing_when_the_next_question_came_is_not_empty() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    dog.heard(1.0, 5.0)
    dog.generated()
    dog.asked(3.0)
    assert dog.completed(6.0) is None
    assert dog.deadline == 3.0 + ANSWER_SECONDS


def test_trouble_outlives_a_question_that_is_asked_again() -> None:
    dog = Watchdog()
    dog.asked(0.0)
    [(_, nudge)] = watched(dog, 16.0)
    dog.spoken_to()  # hello?
    dog.asked(20.0)
    [(_, resume)] = watched(dog, 36.0)
    assert [nudge.remedy, resume.remedy] == LADDER[:2]


STEPS = ["ask", "speak", "cough", "sound", "call", "generated", "complete", "cut", "hold", "release", "wait"]


@given(st.lists(st.sampled_from(STEPS), max_size=60))
def test_whatever_happens_remedies_come_in_order_and_in_bounded_number(steps: list[str]) -> None:
    dog, now, verdicts, asked = Watchdog(), 0.0, 0, 0
    for step in steps:
        now += 1.0
        completed = None
        match step:
            case "ask":
                dog.asked(now)
                asked += 1
            case "speak":
                dog.spoken_to()
            case "cough":
                dog.said_nothing()
            case "sound":
                dog.heard(now, 0.2)
                asked += 1
            case "call":
                dog.called(now)
                asked += 1
            case "generated":
                dog.generated()
            case "complete":
                completed = dog.completed(now)
            case "cut":
                dog.interrupted(now)
                asked += 1
            case "hold":
                dog.hold("x")
            case "release":
                dog.release("x", now)
            case "wait":
                now += 20.0
                verdict = dog.poll(now)
                verdicts += verdict is not None
        verdicts += completed is not None
    dog.release("x", now)
    verdicts += len(watched(dog, now + 1e6))
    assert dog.deadline is None
    assert verdicts <= len(LADDER) * asked
