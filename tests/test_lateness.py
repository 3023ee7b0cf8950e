"""When the loop is too late for one call more, and when it is not; no clock, no calls."""

from collections.abc import Iterable

from relay.lateness import LATE_SECONDS, MIN_CALLS, OVERLOAD_SECONDS, RECOVERY_SECONDS, WINDOW_SECONDS, Lateness
from relay.ticker import PERIOD, WATCH_PERIOD

LATE = LATE_SECONDS + 0.001
MANY = MIN_CALLS


def ticking(
    lateness: Lateness, start: float, seconds: float, pattern: Iterable[float], period: float = PERIOD
) -> float:
    """Tick from `start` for `seconds`, late by `pattern` over and over; the time after it."""
    late = list(pattern)
    for n in range(round(seconds / period)):
        lateness.tick(late[n % len(late)], start + n * period)
    return start + seconds


def test_a_loop_in_time_takes_calls_and_so_does_one_that_never_ticked() -> None:
    lateness = Lateness()
    assert not lateness.overloaded(5.0, MANY)
    now = ticking(lateness, 0.0, 60.0, [0.0, 0.001, LATE_SECONDS])
    assert not lateness.overloaded(now, MANY)


def test_late_for_five_seconds_is_an_overload_and_not_a_moment_before() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, OVERLOAD_SECONDS - 0.1, [LATE])
    assert not lateness.overloaded(now, MANY)
    now = ticking(lateness, now, 0.2, [LATE])
    assert lateness.overloaded(now, MANY)


def test_two_late_ticks_in_a_hundred_are_enough_if_they_go_on() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 10.0, [LATE, LATE, *[0.0] * 97])
    assert lateness.overloaded(now, MANY)


def test_the_slower_watch_finds_the_same() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 10.0, [LATE, 0.0, 0.0], WATCH_PERIOD)
    assert lateness.overloaded(now, MANY)
    now = ticking(lateness, now, 10.0, [0.0], WATCH_PERIOD)
    assert not lateness.overloaded(now, MANY)


def test_one_in_a_hundred_is_none() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 60.0, [*[0.0] * 99, LATE])
    assert not lateness.overloaded(now, MANY)


def test_a_single_stall_is_none_while_it_is_shorter_than_that() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 3.0, [0.0])
    lateness.tick(OVERLOAD_SECONDS - WINDOW_SECONDS - 0.5, now)
    for _ in range(200):
        now += PERIOD
        lateness.tick(0.0, now)
        assert not lateness.overloaded(now, MANY)


def test_a_loop_that_stands_still_for_second_after_second_is_overloaded() -> None:
    lateness, now = Lateness(), 0.0
    for _ in range(6):
        now += 1.5
        lateness.tick(1.5, now)
    assert lateness.overloaded(now, MANY)


def test_with_few_calls_it_is_not_the_calls() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 30.0, [LATE])
    assert [lateness.overloaded(now, calls) for calls in (0, MIN_CALLS - 1, MIN_CALLS)] == [False, False, True]


def test_it_is_over_after_five_seconds_in_time_and_not_before() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 30.0, [LATE])
    now = ticking(lateness, now, RECOVERY_SECONDS - 0.5, [0.0])
    assert lateness.overloaded(now, MANY)
    now = ticking(lateness, now, WINDOW_SECONDS + 1.0, [0.0])
    assert not lateness.overloaded(now, MANY)


def test_it_is_over_when_nothing_ticks_any_more() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 30.0, [LATE])
    assert lateness.overloaded(now, MANY)
    assert not lateness.overloaded(now + WINDOW_SECONDS + RECOVERY_SECONDS, MANY)


def test_a_relapse_begins_anew() -> None:
    lateness = Lateness()
    now = ticking(lateness, 0.0, 30.0, [LATE])
    now = ticking(lateness, now, WINDOW_SECONDS + RECOVERY_SECONDS, [0.0])
    now = ticking(lateness, now, OVERLOAD_SECONDS - 1.0, [LATE])
    assert not lateness.overloaded(now, MANY)
    now = ticking(lateness, now, 1.5, [LATE])
    assert lateness.overloaded(now, MANY)


def test_the_p99_is_of_the_window_and_the_histogram_of_everything() -> None:
    lateness = Lateness()
    assert lateness.p99(0.0) == 0.0
    now = ticking(lateness, 0.0, 10.0, [1.0])
    now = ticking(lateness, now, WINDOW_SECONDS, [0.001] * 98 + [0.5, 0.002])
    assert lateness.p99(now - PERIOD) == 0.002
    assert lateness.histogram.count == round((10.0 + WINDOW_SECONDS) / PERIOD)
    assert lateness.p99(now + WINDOW_SECONDS) == 0.0
