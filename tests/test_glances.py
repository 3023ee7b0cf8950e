"""Camera and screen by turns, in virtual time."""

import itertools

import pytest

from relay.glances import PERIOD_SECONDS, TURN_SECONDS, Glances


def admitted(offers: list[tuple[float, int]]) -> list[tuple[float, int]]:
    glances = Glances()
    return [(at, track) for at, track in offers if glances.admit(track, at)]


def test_one_track_is_shown_a_picture_a_second() -> None:
    shown = admitted([(at / 10, 1) for at in range(100)])
    assert [at for at, _ in shown] == pytest.approx([n * PERIOD_SECONDS for n in range(10)])


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.95])
def test_two_tracks_take_turns_and_neither_waits_long(shift: float) -> None:
    offers = sorted([(n * 1.05, 1) for n in range(100)] + [(n * 1.02 + shift, 2) for n in range(100)])
    shown = admitted(offers)
    times = [at for at, _ in shown]
    assert all(later - at >= PERIOD_SECONDS for at, later in itertools.pairwise(times))
    for track in (1, 2):
        own = [at for at, of in shown if of == track]
        assert max(later - at for at, later in itertools.pairwise(own)) < 5


def test_a_track_that_shows_nothing_more_keeps_the_other_waiting_for_one_turn() -> None:
    glances = Glances()
    assert glances.admit(1, 0.0)
    assert not glances.admit(2, 0.5)
    assert not glances.admit(1, 1.1), "it is the other's turn"
    assert glances.admit(1, 0.5 + TURN_SECONDS)
