"""Whether the browser is there, and how often it may come back."""

from hypothesis import given
from hypothesis import strategies as st

from relay.config import Config
from relay.presence import LOST_SECONDS, MAX_RESTARTS, RESTARTS_SECONDS, Presence

KEEP = 60.0
CLIENT_RETURNS = 12.5 + 4 * 2.0  # seconds after the last packet: what the official clients take, with all their tries


def test_a_browser_is_waited_for_as_long_as_the_owner_says_from_when_it_was_lost() -> None:
    presence = Presence(100.0, KEEP)
    assert not presence.gone(100.0 + LOST_SECONDS + KEEP)
    assert presence.gone(100.1 + LOST_SECONDS + KEEP)


def test_one_that_is_heard_again_is_here() -> None:
    presence = Presence(0.0, KEEP)
    presence.heard(LOST_SECONDS + KEEP)
    assert not presence.gone(2 * (LOST_SECONDS + KEEP))


def test_one_that_was_not_heard_for_long_is_lost() -> None:
    presence = Presence(0.0, KEEP)
    presence.heard(20.0)
    assert not presence.lost(20.0 + LOST_SECONDS)
    assert presence.lost(20.1 + LOST_SECONDS)


def test_an_older_connection_takes_nothing_back() -> None:
    presence = Presence(0.0, KEEP)
    presence.heard(50.0)
    presence.heard(20.0)
    assert not presence.gone(50.0 + LOST_SECONDS + KEEP)


def test_one_that_left_is_waited_for_from_then_on() -> None:
    presence = Presence(0.0, KEEP)
    presence.heard(20.0)
    presence.left(21.0)
    assert not presence.gone(21.0 + KEEP)
    assert presence.gone(21.1 + KEEP)
    presence.heard(30.0)
    assert not presence.gone(30.0 + LOST_SECONDS + KEEP), "unless it comes back"


def test_an_owner_may_wait_for_nobody() -> None:
    presence = Presence(0.0, 0.0)
    assert not presence.gone(LOST_SECONDS)
    assert presence.gone(LOST_SECONDS + 0.1)


def test_the_official_clients_come_back_in_time() -> None:
    assert not Presence(0.0, Config().keep).gone(CLIENT_RETURNS)


def test_five_new_connections_a_minute_are_let_in_and_refused_ones_do_not_count() -> None:
    presence = Presence(0.0, KEEP)
    assert [presence.restart(float(second)) for second in range(MAX_RESTARTS + 3)] == [True] * MAX_RESTARTS + [
        False
    ] * 3
    assert not presence.restart(RESTARTS_SECONDS - 0.1)
    assert presence.restart(RESTARTS_SECONDS)
    assert not presence.restart(RESTARTS_SECONDS + 0.5)
    assert presence.restart(RESTARTS_SECONDS + 1)


def test_a_client_that_tries_every_twenty_seconds_is_not_refused_for_that() -> None:
    presence = Presence(0.0, KEEP)
    assert all(presence.restart(20.0 * attempt) for attempt in range(100))


@given(st.lists(st.floats(0, 1000), max_size=60))
def test_no_minute_has_more_than_five(times: list[float]) -> None:
    presence = Presence(0.0, KEEP)
    let_in = [now for now in sorted(times) if presence.restart(now)]
    for first, sixth in zip(let_in, let_in[MAX_RESTARTS:], strict=False):
        assert sixth - first >= RESTARTS_SECONDS
