"""Which connection serves, in whatever order they are offered, stand and end, without one of them."""

import itertools
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.presence import LOST_SECONDS, Presence
from relay.succession import (
    CONNECT_SECONDS,
    Action,
    Ask,
    Client,
    End,
    Ending,
    GiveUp,
    Replace,
    Serve,
    Stand,
    State,
    Succession,
    Wait,
)

KEEP: Final = 60.0
CLOSED, DEAD, UNBEARABLE = Ending.CLOSED, Ending.DEAD, Ending.UNBEARABLE


class Call:
    """A succession of connections 1, 2, 3 …, and a clock. Asked when it last heard one, it says `heard`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.presence = Presence(self.now, KEEP)
        self.line = Succession[int](self.presence)
        self.offers = itertools.count(1)
        self.heard = self.now
        self.done: list[Action[int]] = []

    def do(self, actions: Sequence[Action[int]]) -> list[Action[int]]:
        """Take down what is to be done; what is asked is answered at once."""
        self.done += actions
        for action in actions:
            if isinstance(action, Ask):
                return self.do(self.line.ended(action.connection, CLOSED, self.now, self.heard))
        return list(actions)

    def wait(self, seconds: float, *, dark: bool = False) -> None:
        """Time passes, second by second, with packets or without."""
        for _ in range(round(seconds)):
            self.now += 1.0
            if not dark:
                self.heard = self.now
                self.presence.heard(self.heard)
            self.do(self.line.tick(self.now))

    def offer(self) -> int:
        connection = next(self.offers)
        self.do(self.line.offered(connection, self.now))
        return connection

    def stands(self, connection: int) -> list[Action[int]]:
        return self.do(self.line.stands(connection, self.now))

    def ends(self, connection: int, ending: Ending) -> list[Action[int]]:
        return self.do(self.line.ended(connection, ending, self.now))

    def newcomer(self) -> list[Action[int]]:
        return self.do(self.line.expect_newcomer())

    @property
    def gone(self) -> bool:
        return self.presence.gone(self.now)


def begun(*, returns: bool = False) -> Call:
    """A call whose first connection stands, and whose client is ready."""
    call = Call()
    call.stands(call.offer())
    call.line.welcomed(returns=returns)
    call.wait(3)
    call.done.clear()
    return call


# -- one connection -------------------------------------------------------------------------------------------


def test_the_first_connection_serves_and_is_spoken_to_when_its_client_is_ready() -> None:
    call = Call()
    assert (call.line.newest, call.line.listening) == (None, None)
    call.offer()
    assert call.stands(1) == [Stand(1, again=False)]
    assert call.done == [Serve(1), Stand(1, again=False)]
    assert (call.line.newest, call.line.listening) == (1, None)
    call.line.welcomed(returns=False)
    assert call.line.listening == 1


@pytest.mark.parametrize("ending", Ending)
def test_a_first_connection_that_ends_before_it_stands_ends_the_call_however_it_ends(ending: Ending) -> None:
    for dark in (0, LOST_SECONDS + 1):
        call = Call()
        call.offer()
        call.wait(dark, dark=True)
        assert call.ends(1, ending) == [End(hung_up=False)]


@pytest.mark.parametrize(("returns", "ending", "does"), [
    (False, CLOSED, End(hung_up=True)), (False, DEAD, Wait(1)), (False, UNBEARABLE, End(hung_up=False)),
    (True, CLOSED, Wait(1)), (True, DEAD, Wait(1)), (True, UNBEARABLE, End(hung_up=False)),
])  # fmt: skip
def test_whoever_ends_is_waited_for_if_his_path_is_dead_or_he_said_that_he_returns(
    returns: bool, ending: Ending, does: Action[int]
) -> None:
    call = begun(returns=returns)
    assert call.ends(1, ending) == [does]
    assert (call.line.listening is None) is isinstance(does, Wait)


def test_who_left_is_waited_for_from_then_on_and_who_was_lost_from_when_that_was_sure() -> None:
    for ending, seconds in ((CLOSED, KEEP), (DEAD, KEEP + LOST_SECONDS)):
        call = begun(returns=True)
        call.ends(1, ending)
        call.wait(seconds, dark=True)
        assert not call.gone
        call.wait(1, dark=True)
        assert call.gone


def test_a_goodbye_over_a_path_that_is_lost_is_none() -> None:
    call = begun()
    call.ends(1, DEAD)
    for ending in Ending:
        assert call.ends(1, ending) == [], "the library closes what it has given up"
    assert call.stands(1) == []
    call = begun()
    call.wait(LOST_SECONDS + 1, dark=True)
    assert call.ends(1, CLOSED) == [Wait(1)]
    assert call.done == [Ask(1), Wait(1)]
    call.wait(KEEP, dark=True)
    assert call.gone


def test_whoever_hangs_up_right_after_the_dark_has_hung_up_and_is_not_waited_for() -> None:
    """Nobody has looked since he is back; so it is asked when he was heard."""
    call = begun()
    call.wait(LOST_SECONDS + 20, dark=True)
    call.heard = call.now = call.now + 0.9
    assert call.ends(1, CLOSED) == [End(hung_up=True)]


def test_while_it_is_asked_whether_that_was_a_goodbye_the_next_connection_may_stand() -> None:
    call = begun()
    call.wait(LOST_SECONDS + 1, dark=True)
    assert call.line.ended(1, CLOSED, call.now) == [Ask(1)]
    call.stands(call.offer())
    assert call.line.ended(1, CLOSED, call.now, call.now) == []
    assert call.line.listening == 2


# -- the next of the same client ------------------------------------------------------------------------------


def test_the_next_serves_from_when_it_stands_and_the_old_one_until_then() -> None:
    call = begun()
    call.offer()
    assert (call.line.serving, call.line.listening, call.line.newest) == (1, 1, 2)
    assert call.stands(2) == [Replace(1, 2, newcomer=False), Stand(2, again=True)]
    assert (call.line.serving, call.line.listening, call.line.next) == (2, 2, None), "it need not be ready again"


@pytest.mark.parametrize("ending", Ending)
def test_one_that_was_replaced_ends_as_it_likes(ending: Ending) -> None:
    for dark in (0, LOST_SECONDS + 1):
        call = begun()
        call.stands(call.offer())
        call.wait(dark, dark=True)
        assert call.ends(1, ending) == []
        assert call.stands(1) == []
        assert call.line.listening == 2


@pytest.mark.parametrize("ending", Ending)
def test_however_the_old_one_ends_while_the_next_is_on_its_way_that_is_waited_for(ending: Ending) -> None:
    call = begun()
    call.offer()
    assert call.ends(1, ending) == [Wait(1)]
    assert call.line.listening is None
    assert call.stands(2) == [Replace(1, 2, newcomer=False), Stand(2, again=True)]
    assert call.line.listening == 2
    assert call.ends(2, CLOSED) == [End(hung_up=True)]


def test_a_next_one_that_never_stands_is_given_up_and_the_old_one_serves_on() -> None:
    call = begun()
    call.offer()
    call.wait(CONNECT_SECONDS)
    assert call.done == []
    call.wait(1)
    assert call.done == [GiveUp(2)]
    assert call.stands(2) == []
    assert (call.line.listening, call.line.newest) == (1, 1)
    call.wait(60)
    assert call.done == [GiveUp(2)]


def test_a_next_one_that_never_stands_keeps_no_call_whose_user_is_gone() -> None:
    call = begun()
    call.offer()
    call.ends(1, CLOSED)
    call.wait(KEEP, dark=True)
    assert call.done == [Wait(1), GiveUp(2)]
    assert not call.gone
    call.wait(1, dark=True)
    assert call.gone


@pytest.mark.parametrize("ending", Ending)
def test_a_next_one_that_ends_is_given_up_and_says_nothing_of_the_old_one(ending: Ending) -> None:
    call = begun()
    call.offer()
    assert call.ends(2, ending) == [GiveUp(2)]
    assert call.ends(2, ending) == []
    assert call.line.listening == 1


def test_of_two_next_ones_the_later_counts_and_has_its_own_time() -> None:
    call = begun()
    call.offer()
    call.wait(CONNECT_SECONDS - 1)
    call.offer()
    assert call.done == [GiveUp(2)]
    call.wait(CONNECT_SECONDS)
    assert call.stands(2) == []
    assert call.stands(3) == [Replace(1, 3, newcomer=False), Stand(3, again=True)]


def test_a_first_one_that_never_stood_may_be_replaced() -> None:
    call = Call()
    call.offer()
    call.offer()
    assert call.stands(2) == [Replace(1, 2, newcomer=False), Stand(2, again=False)]


# -- another client -------------------------------------------------------------------------------------------


def test_of_two_tabs_the_newest_has_the_call_and_the_other_may_end_as_it_likes() -> None:
    call = begun(returns=True)
    assert call.newcomer() == []
    assert (call.line.newest, call.line.listening) == (None, 1), "it has not offered, and the old one serves"
    call.offer()
    assert call.line.newest == 2
    assert call.stands(2) == [Replace(1, 2, newcomer=True), Stand(2, again=True)]
    assert (call.line.client, call.line.listening) == (Client.NEWCOMER, None), "it is not ready"
    assert call.ends(1, CLOSED) == []
    call.line.welcomed(returns=False)
    assert call.line.listening == 2
    assert call.ends(2, CLOSED) == [End(hung_up=True)], "it has not said that it returns"


def test_a_newcomer_whose_connection_changes_before_it_is_ready_is_a_newcomer_still_and_no_other() -> None:
    call = begun()
    call.newcomer()
    call.stands(call.offer())
    assert call.stands(call.offer()) == [Replace(2, 3, newcomer=False), Stand(3, again=True)]
    assert (call.line.client, call.line.listening) == (Client.NEWCOMER, None)


def test_who_expects_a_newcomer_gives_up_whatever_was_to_be_the_next() -> None:
    call = begun()
    call.offer()
    assert call.newcomer() == [GiveUp(2)]
    call.offer()
    assert call.newcomer() == [GiveUp(3)]
    assert call.stands(3) == []
    call.stands(call.offer())
    assert Replace(1, 4, newcomer=True) in call.done


def test_a_newcomer_that_never_stands_is_given_up_and_may_try_again() -> None:
    call = begun()
    call.newcomer()
    call.offer()
    call.wait(CONNECT_SECONDS + 1)
    assert call.done == [GiveUp(2)]
    assert (call.line.newest, call.line.listening) == (None, 1)
    call.stands(call.offer())
    assert call.line.client is Client.NEWCOMER


def test_a_page_that_is_reloaded_leaves_and_comes_back_as_a_newcomer() -> None:
    call = begun(returns=True)
    assert call.ends(1, CLOSED) == [Wait(1)]
    call.wait(2, dark=True)
    call.newcomer()
    call.stands(call.offer())
    assert call.done == [Wait(1), Replace(1, 2, newcomer=True), Stand(2, again=True)]
    assert not call.gone


# -- whatever happens -----------------------------------------------------------------------------------------

ends = st.tuples(st.just("ends"), st.integers(1, 6), st.sampled_from(Ending))
events = st.lists(
    st.one_of(
        st.just(("offer",)),
        st.just(("newcomer",)),
        st.tuples(st.just("stands"), st.integers(1, 6)),
        ends,
        st.tuples(st.just("wait"), st.sampled_from([1, 5, 12, 20]), st.booleans()),
        st.tuples(st.just("welcomed"), st.booleans()),
    ),
    max_size=40,
)


@given(events)
def test_in_whatever_order_one_serves_each_other_is_left_once_and_nobody_who_hung_up_is_waited_for(
    happens: list[tuple[object, ...]],
) -> None:
    call, left, offered = Call(), list[int](), 0
    line = call.line
    for what, *how in happens:
        before, next_one, state, client = line.serving, line.next, line.state, line.client
        call.done.clear()
        if what == "offer":
            offered = call.offer()
        elif what == "newcomer":
            call.newcomer()
        elif what == "stands":
            call.stands(how[0])  # type: ignore[arg-type]
        elif what == "wait":
            call.wait(how[0], dark=how[1])  # type: ignore[arg-type]
        elif what == "welcomed":
            line.welcomed(returns=how[0])  # type: ignore[arg-type]
        else:
            call.ends(*how)  # type: ignore[arg-type]
            if how == [before, CLOSED] and state is State.STANDING and next_one is None:
                waits = client is Client.RETURNING or call.heard < call.now - LOST_SECONDS
                assert call.done[-1] == (Wait(before) if waits else End(hung_up=True))
        for action in call.done:
            match action:
                case Replace(old, connection):
                    assert (old, connection) == (before, next_one)
                    left.append(old)
                case GiveUp(connection):
                    left.append(connection)
                case Wait(connection) | Ask(connection):
                    assert connection == before
        there = [one for one in (line.serving, line.next) if one is not None]
        assert sorted([*left, *there]) == list(range(1, offered + 1)), "each is there, or was left once"
        assert line.listening in (None, line.serving)
        if what == "ends" and how[0] in left and how[0] not in (before, next_one):
            assert call.done == [], "what was left may end as it likes"


def test_every_order_of_a_goodbye_a_next_offer_and_its_standing_leaves_the_call_where_it_should() -> None:
    """Whoever hangs up before he has offered anew has hung up; else the next connection has the call."""
    orders = {}
    for order in itertools.permutations(("goodbye", "offer", "stands")):
        call = begun()
        for what in order:
            if what == "goodbye":
                call.ends(1, CLOSED)
            elif what == "offer":
                call.offer()
            else:
                call.stands(2)
        orders[order] = (End(hung_up=True) in call.done, call.line.serving)
    assert orders == {
        ("goodbye", "offer", "stands"): (True, 2),
        ("goodbye", "stands", "offer"): (True, 1),
        ("offer", "goodbye", "stands"): (False, 2),
        ("offer", "stands", "goodbye"): (False, 2),
        ("stands", "goodbye", "offer"): (True, 1),
        ("stands", "offer", "goodbye"): (False, 1),
    }
