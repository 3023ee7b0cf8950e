"""When one connection to the model is left for the next, and when it is hopeless: seconds and causes, no sockets."""

import heapq
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import FAULTS
from relay.gemini.course import LASTING_FAULTS, PASSING_CODES, TABLE, Cause, State, verdict
from relay.gemini.life import (
    ATTEMPT_SECONDS,
    BUDGET_SECONDS,
    CALM_SECONDS,
    DRAIN_SECONDS,
    EARLY_SECONDS,
    FIRST_WAIT,
    GO_AWAY_MARGIN,
    HANDLE_SECONDS,
    LATE_SECONDS,
    LONGEST_WAIT,
    ROTATE_SECONDS,
    SPREAD,
    STEADY_SECONDS,
    Action,
    Busy,
    Close,
    GiveUp,
    Life,
    Open,
    Tell,
    Timer,
    pause,
)

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "conversation.md"
START: Final = 1000.0
LOST: Final = ("model-lost", 1011)
UNREACHABLE: Final = ("model-unreachable", 0)


def live(handle: str = "", chance: Callable[[], float] = lambda: 0.0) -> Life:
    """A life whose first connection listens since `START`, and has been given `handle`."""
    life = Life(chance)
    assert life.open(START) == [Open(1, None, ATTEMPT_SECONDS)]
    life.upgraded(1)
    life.accepted(1, START)
    if handle:
        life.offered(1, handle, START)
    return life


def come_back(life: Life, now: float) -> list[Action]:
    """The socket is gone and the next connection's setup is accepted, all at once."""
    actions = life.gone(life.generation, now)
    life.upgraded(life.generation)
    return actions + life.accepted(life.generation, now)


# -- the table ------------------------------------------------------------------------------------------------


def test_the_drawing_in_the_documents_is_the_table() -> None:
    (drawn,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    table = [
        f"{state.value} --> {following.value}: {cause.value}"
        for state, causes in TABLE.items()
        for cause, following in causes.items()
    ]
    lines = [line.strip() for line in drawn.splitlines()]
    assert sorted(lines) == sorted([*table, "[*] --> connecting", "closed --> [*]"])


def test_every_state_can_be_reached_and_all_but_the_last_can_be_left() -> None:
    reached = {State.CONNECTING} | {following for causes in TABLE.values() for following in causes.values()}
    assert reached == set(State) == set(TABLE)
    assert [state for state, causes in TABLE.items() if not causes] == [State.CLOSED]
    assert all(causes[Cause.HUNG_UP] is State.CLOSED for state, causes in TABLE.items() if state is not State.CLOSED)


def test_the_codes_of_faults_are_those_of_the_table_of_faults() -> None:
    assert set(FAULTS) >= LASTING_FAULTS


# -- opening --------------------------------------------------------------------------------------------------


def test_a_first_connection_goes_through_socket_and_setup_to_live() -> None:
    life = Life()
    states = [life.state]
    assert life.open(START) == [Open(1, None, ATTEMPT_SECONDS)]
    assert life.upgraded(1) == []
    states.append(life.state)
    assert life.accepted(1, START + 1) == []
    assert [*states, life.state] == [State.CONNECTING, State.SETUP, State.LIVE]


def test_a_second_upgrade_under_another_api_version_changes_nothing() -> None:
    life = Life()
    life.open(START)
    life.upgraded(1)
    assert life.upgraded(1) == []
    assert life.state is State.SETUP


@pytest.mark.parametrize("fault", ["setup-refused", "key-refused", "quota", "model-not-found"])
def test_a_first_connection_that_is_refused_is_not_tried_again(fault: str) -> None:
    life = Life()
    life.open(START)
    assert life.ended(1, fault, 0, START) == [Close(1), GiveUp(fault)]
    assert life.state is State.CLOSED
    assert life.timer is None


@pytest.mark.parametrize("fault", ["model-unreachable", "model-lost", "model-timeout"])
def test_a_first_connection_that_fails_early_is_tried_once_more_and_nobody_is_told(fault: str) -> None:
    life = Life()
    life.open(START)
    assert life.ended(1, fault, 1011, START + 1) == [Close(1)]
    assert life.gone(1, START + 1) == []
    assert life.timer == Timer(1, START + 1 + FIRST_WAIT)
    assert life.tick(1, START + 1 + FIRST_WAIT) == [Open(2, None, ATTEMPT_SECONDS - 1 - FIRST_WAIT)]
    assert life.tick(2, START + 3) == [], "nobody has heard of it yet"
    assert life.ended(2, fault, 1011, START + 3) == [Close(2), GiveUp(fault)]


def test_a_first_connection_that_is_made_at_the_second_attempt_is_like_any_other() -> None:
    life = Life()
    life.open(START)
    life.ended(1, *UNREACHABLE, START)
    life.gone(1, START)
    life.tick(1, START + FIRST_WAIT)
    life.upgraded(2)
    assert life.accepted(2, START + 4) == []
    assert life.ended(2, *LOST, START + 60) == [Close(2), Tell("reconnecting")]
    assert life.gone(2, START + 60) == [Open(3, None, ATTEMPT_SECONDS)]


def test_a_first_connection_that_fails_late_is_not_tried_again() -> None:
    life = Life()
    life.open(START)
    late = START + EARLY_SECONDS + 0.1
    assert life.ended(1, *UNREACHABLE, late) == [Close(1), GiveUp("model-unreachable")]


# -- planned changes ------------------------------------------------------------------------------------------


def test_in_a_pause_a_going_connection_is_left_at_once_for_one_with_the_newest_handle() -> None:
    life = live("old")
    life.offered(1, "new", START + 1)
    assert life.sent_away(1, 50, START + 500) == [Close(1)]
    assert life.gone(1, START + 500) == [Open(2, "new", ATTEMPT_SECONDS)]
    life.upgraded(2)
    assert life.accepted(2, START + 500.8) == [], "nobody is told of what nobody hears"
    assert life.state is State.LIVE


@pytest.mark.parametrize("what", list(Busy))
def test_while_something_is_said_a_going_connection_is_not_left(what: Busy) -> None:
    life = live("h")
    life.busy(what, True, START + 1)
    assert life.sent_away(1, 50, START + 2) == []
    assert life.state is State.DRAINING
    if what is not Busy.PLAYING:
        life.offered(1, "newer", START + 9)
    assert life.busy(what, False, START + 10) == [Close(1)]


def test_several_things_have_to_end_before_a_connection_is_left() -> None:
    life = live("h")
    for what in Busy:
        life.busy(what, True, START + 1)
    life.sent_away(1, 50, START + 2)
    life.offered(1, "newer", START + 2)
    ends = [life.busy(what, False, START + 3) for what in Busy]
    assert ends == [[], [], [], [Close(1)]]


def test_after_a_turn_the_handle_that_holds_it_is_waited_for() -> None:
    life = live("before")
    life.busy(Busy.GENERATING, True, START)
    life.sent_away(1, 50, START + 1)
    assert life.busy(Busy.GENERATING, False, START + 2) == []
    assert life.offered(1, "after", START + 2.1) == [Close(1)]
    assert life.handle == "after"


def test_a_handle_that_does_not_come_is_not_waited_for_long() -> None:
    life = live("before")
    life.busy(Busy.GENERATING, True, START)
    life.sent_away(1, 50, START + 1)
    life.busy(Busy.GENERATING, False, START + 2)
    assert life.timer == Timer(1, START + 2 + HANDLE_SECONDS)
    assert life.tick(1, START + 2 + HANDLE_SECONDS) == [Close(1)]


@pytest.mark.parametrize(("left", "used"), [(50, 50 - GO_AWAY_MARGIN), (10, 5), (4, 2), (0, 0), (-3, 0)])
def test_a_talk_without_a_pause_is_cut_before_the_model_cuts_it(left: float, used: float) -> None:
    life = live("h")
    life.busy(Busy.GENERATING, True, START)
    now = START + 100
    actions = life.sent_away(1, left, now)
    if used:
        assert actions == []
        assert life.timer == Timer(1, now + used)
        assert life.tick(1, now + used - 0.001) == []
        actions = life.tick(1, now + used)
    assert actions == [Close(1)]


def test_a_second_going_away_never_gives_more_time() -> None:
    life = live("h")
    life.busy(Busy.GENERATING, True, START)
    life.sent_away(1, 50, START)
    life.sent_away(1, 60, START)
    assert life.timer == Timer(1, START + 45)
    life.sent_away(1, 20, START)
    assert life.timer == Timer(1, START + 15)


def test_a_connection_is_left_at_nine_minutes_without_being_told() -> None:
    life = live("h")
    assert life.timer == Timer(1, START + ROTATE_SECONDS)
    assert life.tick(1, START + ROTATE_SECONDS - 0.001) == []
    assert life.tick(1, START + ROTATE_SECONDS) == [Close(1)]


def test_at_nine_minutes_a_pause_is_waited_for() -> None:
    life = live("h")
    life.busy(Busy.ASKED, True, START + 539)
    assert life.tick(1, START + ROTATE_SECONDS) == []
    assert life.state is State.DRAINING
    assert life.timer == Timer(1, START + ROTATE_SECONDS + DRAIN_SECONDS)
    assert life.tick(1, START + ROTATE_SECONDS + DRAIN_SECONDS) == [Close(1)]


def test_a_planned_change_that_takes_long_is_told() -> None:
    life = live("h")
    life.sent_away(1, 50, START + 60)
    life.gone(1, START + 60)
    assert life.tick(2, START + 60 + LATE_SECONDS) == [Tell("reconnecting")]
    life.upgraded(2)
    assert life.accepted(2, START + 63) == [Tell("resumed")]


def test_a_model_that_sends_everybody_away_at_once_is_not_asked_again_at_once() -> None:
    life, now, opened = live("h"), START + 10, 0
    while now < START + 20:
        life.sent_away(life.generation, 50, now)
        actions = life.gone(life.generation, now)
        while not actions:
            assert life.timer is not None
            now = life.timer.at
            actions = [action for action in life.tick(life.generation, now) if isinstance(action, Open)]
        opened += 1
        life.upgraded(life.generation)
        life.accepted(life.generation, now)
    assert 5 < opened < 30


# -- losses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(PASSING_CODES))
def test_a_lost_connection_is_told_and_resumed_at_once(code: int) -> None:
    life = live("h")
    life.busy(Busy.GENERATING, True, START + 59)
    assert life.ended(1, "model-lost", code, START + 60) == [Close(1), Tell("reconnecting")]
    assert life.gone(1, START + 60) == [Open(2, "h", ATTEMPT_SECONDS)]
    life.upgraded(2)
    assert life.accepted(2, START + 60.8) == [Tell("resumed")]
    life.sent_away(2, 50, START + 70)
    assert life.state is State.RESUMING, "the generation that was lost keeps nobody busy"


def test_the_socket_that_is_not_gone_is_waited_for() -> None:
    life = live("h")
    life.ended(1, *LOST, START + 60)
    for late in range(1, 20):
        assert not [action for action in life.tick(1, START + 60 + late) if isinstance(action, Open)]
    assert life.gone(1, START + 80) == [Open(2, "h", 10)]


def outage(seconds: float, chance: float) -> tuple[list[float], float | None]:
    """When it is tried during an outage, and when the model listens again; None if it is given up."""
    life, tries = live("h", lambda: chance), list[float]()
    now = begin = START + 100
    actions = life.ended(1, *LOST, now)
    while True:
        if Close(life.generation) in actions:
            actions += life.gone(life.generation, now)
        if any(isinstance(action, GiveUp) for action in actions):
            return tries, None
        if any(isinstance(action, Open) for action in actions):
            tries.append(now - begin)
            if now - begin >= seconds:
                return tries, now - begin
            actions = life.ended(life.generation, *UNREACHABLE, now)
            continue
        assert life.timer is not None
        now = max(now, life.timer.at)
        actions = life.tick(life.timer.generation, now)


@given(st.floats(0, 29.9), st.floats(0, 1))
def test_after_an_outage_the_model_listens_again_soon(seconds: float, chance: float) -> None:
    tries, back = outage(seconds, chance)
    assert tries[0] == 0
    if back is None:
        assert seconds + LONGEST_WAIT * (1 + SPREAD) > BUDGET_SECONDS
        return
    assert back - seconds <= pause(seconds, 1)
    if seconds <= 3.3:
        assert back - seconds <= 1.0
    assert len(tries) <= 30, "no storm"


@pytest.mark.parametrize("seconds", [30.0, 40.0, 1e9])
def test_a_long_outage_is_given_up_after_thirty_seconds(seconds: float) -> None:
    tries, back = outage(seconds, 0.5)
    assert back is None
    assert tries[-1] < BUDGET_SECONDS
    assert len(tries) <= 30


def test_waits_grow_from_a_quarter_second_to_four() -> None:
    assert pause(0, 0) == FIRST_WAIT
    assert pause(1e9, 0) == pause(1e9, 1) == LONGEST_WAIT
    assert pause(8, 1) == 2 * (1 + SPREAD)


def test_an_attempt_gets_no_more_time_than_is_left() -> None:
    life = live("h")
    life.ended(1, *LOST, START + 60)
    assert life.gone(1, START + 60 + 28) == [Open(2, "h", 2)]
    assert life.tick(2, START + 60 + BUDGET_SECONDS)[-1] == GiveUp("model-lost")
    assert life.state is State.CLOSED


def test_a_model_that_crashes_again_and_again_is_given_up() -> None:
    life, now, generations = live("h"), START + 60, 0
    while life.state is not State.CLOSED:
        life.ended(life.generation, *LOST, now)
        life.gone(life.generation, now)
        while life.state is State.RESUMING:
            assert life.timer is not None
            now = max(now, life.timer.at)
            life.tick(life.generation, now)
        if life.state is State.CONNECTING:
            life.upgraded(life.generation)
            life.accepted(life.generation, now + 0.1)
        now += 0.2
        generations += 1
    assert START + 60 + BUDGET_SECONDS <= now < START + 60 + BUDGET_SECONDS + 1
    assert generations < 30


def test_who_has_lived_for_a_while_has_the_whole_budget_again() -> None:
    life = live("h")
    life.ended(1, *LOST, START + 60)
    come_back(life, START + 80)
    now = START + 80 + STEADY_SECONDS
    life.ended(2, *LOST, now)
    assert life.gone(2, now) == [Open(3, "h", ATTEMPT_SECONDS)]


@pytest.mark.parametrize("fault", sorted(LASTING_FAULTS))
@pytest.mark.parametrize("opening", [False, True])
def test_what_another_attempt_would_meet_again_ends_it_at_once(fault: str, opening: bool) -> None:
    life = live("h")
    if opening:
        life.ended(1, *LOST, START + 60)
        life.gone(1, START + 60)
    generation = life.generation
    assert life.ended(generation, fault, 1008, START + 61) == [Close(generation), GiveUp(fault)]
    assert life.gone(generation, START + 62) == []


def refused(life: Life, now: float, code: int = 1008) -> list[Action]:
    """The model ends the newest connection as if something were wrong with it, and the next one is opened."""
    generation = life.generation
    return [*life.ended(generation, "model-lost", code, now), *life.gone(generation, now)]


def opened(actions: list[Action]) -> list[str | None]:
    """The handles that the connections are to stand on."""
    return [action.handle for action in actions if isinstance(action, Open)]


def accept(life: Life, now: float) -> None:
    life.upgraded(life.generation)
    life.accepted(life.generation, now)


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 4000])
def test_what_the_model_will_not_take_is_tried_with_the_handle_then_without_and_then_given_up(code: int) -> None:
    life = live("h")
    assert opened(refused(life, START + 60, code)) == ["h"]
    accept(life, START + 61)
    assert opened(refused(life, START + 71, code)) == [None]
    accept(life, START + 72)
    life.offered(3, "h 3", START + 72)
    assert refused(life, START + 82, code)[-1] == GiveUp("model-lost")


def test_what_the_model_will_not_take_once_in_a_while_is_forgiven() -> None:
    life, now = live("h"), START
    for _ in range(5):
        now += CALM_SECONDS
        assert opened(refused(life, now)) == ["h"]
        accept(life, now)
    now += CALM_SECONDS - 1
    assert opened(refused(life, now)) == [None]


def test_a_model_that_takes_nothing_has_two_more_connections_at_once_and_no_storm() -> None:
    life, now, connections = live(), START, 1
    while life.state is not State.CLOSED:
        now += 0.5
        for action in refused(life, now, 1007):
            if isinstance(action, Open):
                connections += 1
                accept(life, now)
    assert connections == 3


def test_a_refusal_of_what_is_said_ends_it_at_once() -> None:
    life = live("h")
    assert life.ended(1, "setup-refused", 1008, START + 60)[-1] == GiveUp("setup-refused")


# -- refused handles ------------------------------------------------------------------------------------------


def test_after_a_refused_handle_the_model_is_begun_afresh_at_once() -> None:
    life = live("bad")
    life.ended(1, *LOST, START + 60)
    life.gone(1, START + 60)
    life.upgraded(2)
    assert life.ended(2, "setup-refused", 1007, START + 61) == [Close(2)]
    assert life.gone(2, START + 61) == [Open(3, None, ATTEMPT_SECONDS)]
    life.upgraded(3)
    assert life.ended(3, "setup-refused", 1007, START + 62)[-1] == GiveUp("setup-refused"), "it was not the handle"


def test_a_handle_that_proves_bad_right_after_the_setup_is_refused_too() -> None:
    life = live("bad")
    life.ended(1, *LOST, START + 60)
    come_back(life, START + 60)
    assert life.ended(2, "model-lost", 1007, START + 61) == [Close(2), Tell("reconnecting")]
    assert life.handle is None


def test_a_refusal_because_the_old_socket_is_still_open_is_tried_again_with_the_handle() -> None:
    life = live("good")
    life.sent_away(1, 50, START + 60)
    life.gone(1, START + 60)
    life.upgraded(2)
    life.ended(2, "model-unreachable", 1011, START + 60.1)
    assert life.gone(2, START + 60.1) == []
    assert life.tick(2, START + 60.1 + FIRST_WAIT) == [Open(3, "good", ATTEMPT_SECONDS)]


@given(st.sampled_from(sorted(FAULTS)), st.integers(0, 4999), st.booleans(), st.booleans(), st.integers(1, 9))
def test_every_end_has_a_verdict_that_the_table_knows(
    fault: str, code: int, live: bool, resumed: bool, refusals: int
) -> None:
    cause = verdict(fault, code, live=live, resumed=resumed, refusals=refusals)
    states = (State.LIVE, State.DRAINING) if live else (State.CONNECTING, State.SETUP)
    assert all(cause in TABLE[state] for state in states)


# -- on demand, and the end -----------------------------------------------------------------------------------


def test_a_connection_of_no_use_is_left_as_if_it_were_lost() -> None:
    life = live("h")
    assert life.renew(START + 60) == [Close(1), Tell("reconnecting")]
    assert life.renew(START + 60) == []
    assert life.gone(1, START + 60) == [Open(2, "h", ATTEMPT_SECONDS)]


def test_the_end_closes_what_is_open_and_nothing_happens_after_it() -> None:
    life = live("h")
    assert life.close() == [Close(1)]
    assert life.close() == []
    assert life.timer is None
    assert life.gone(1, START + 1) == life.ended(1, *LOST, START + 1) == life.tick(1, START + 1e6) == []


# -- always ---------------------------------------------------------------------------------------------------

NAMES: Final = (
    *("upgraded", "accepted", "offered", "sent_away", "lost", "refused", "fatal"),
    *("gone", "renew", "busy", "idle", "tick", "close"),
)


def do(life: Life, name: str, generation: int, amount: float, now: float) -> list[Action]:
    what = list(Busy)[int(amount) % len(Busy)]
    match name:
        case "upgraded":
            return life.upgraded(generation)
        case "accepted":
            return life.accepted(generation, now)
        case "offered":
            return life.offered(generation, f"{amount}", now)
        case "sent_away":
            return life.sent_away(generation, amount, now)
        case "lost":
            return life.ended(generation, *LOST, now)
        case "refused":
            return life.ended(generation, "setup-refused", 1007, now)
        case "fatal":
            return life.ended(generation, "quota", 1008, now)
        case "gone":
            return life.gone(generation, now)
        case "renew":
            return life.renew(now)
        case "busy" | "idle":
            return life.busy(what, name == "busy", now)
        case "tick":
            return life.tick(generation, now)
    return life.close()


STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(NAMES + NAMES[:4] + ("gone", "gone", "tick", "tick")),
        st.integers(0, 3).map(lambda n: max(0, n - 2)),  # how many generations ago
        st.floats(0, 100),
        st.floats(0, 700),
    ),
    max_size=60,
)


class Seen:
    """What the owner of a life sees of it, and must always see."""

    def __init__(self) -> None:
        self.sockets = 0
        self.told = False
        self.given_up = False

    def note(self, life: Life, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Open(generation=generation):
                    assert (self.sockets, generation) == (0, life.generation)
                    self.sockets = 1
                case Close(generation=generation):
                    assert (self.sockets, generation) == (1, life.generation)
                case Tell(name=news):
                    assert self.told is (news == "resumed")
                    self.told = news == "reconnecting"
                case GiveUp():
                    assert not self.given_up
                    assert life.state is State.CLOSED
                    self.given_up = True


@given(STEPS)
def test_whatever_is_told_in_whatever_order_there_are_never_two_sockets(
    steps: list[tuple[str, int, float, float]],
) -> None:
    life, now, seen = Life(), START, Seen()
    seen.note(life, life.open(now))
    for name, ago, amount, seconds in steps:
        now += seconds if name == "tick" else min(seconds, 1.0)
        if name == "gone" and not ago:
            if life.state not in (State.RESUMING, State.CLOSED):
                continue  # the owner says so of what it was told to close
            seen.sockets = 0
        before = life.state
        actions = do(life, name, life.generation - ago, amount, now)
        seen.note(life, actions)
        if ago and name in (*NAMES[:8], "tick"):
            assert actions == [], "what is told of a dead connection does nothing"
            assert life.state is before
        if before is State.CLOSED:
            assert (life.state, actions) == (State.CLOSED, [])


@given(STEPS)
def test_a_timer_that_is_due_moves_things_on(steps: list[tuple[str, int, float, float]]) -> None:
    life, now = Life(), START
    life.open(now)
    for name, ago, amount, seconds in steps:
        now += min(seconds, 1.0)
        do(life, name, life.generation - ago, amount, now)
        for _ in range(10):  # whoever obeys the timer comes to rest
            if (timer := life.timer) is None or timer.at > now:
                break
            life.tick(timer.generation, now)
        else:
            raise AssertionError("it wants to be called again and again")


def talk(minutes: float, setup: float) -> tuple[list[tuple[float, str]], list[float]]:
    """An hour of turns, and what the model's side does meanwhile: what happened, and how long nobody listened.

    The user asks every 20 s; the answer begins a second later, is sent in one and played in six.
    """
    life = live("handle 0")
    number, deaf, story = itertools.count(1), list[float](), list[tuple[float, str]]()
    order = itertools.count()
    queue: list[tuple[float, int, str, int]] = []

    def plan(at: float, what: str, generation: int = 0) -> None:
        heapq.heappush(queue, (at, next(order), what, generation))

    for turn in range(int(minutes * 3)):
        begin = START + 20 * turn + 3
        for offset, what in [(0, "+asked"), (3, "+generating"), (3, "-asked"), (3, "+playing"), (4, "-generating")]:
            plan(begin + offset, what)
        plan(begin + 9, "-playing")
        plan(begin + 9.05, "handle")
    left = 0.0
    while queue:
        if (timer := life.timer) is not None and timer.at < queue[0][0]:
            now, what, generation = timer.at, "tick", timer.generation
        else:
            now, _, what, generation = heapq.heappop(queue)
        if what == "tick":
            actions = life.tick(generation, now)
        elif what == "handle":
            actions = life.offered(life.generation, f"handle {next(number)}", now)
        elif what == "gone":
            actions = life.gone(generation, now)
        elif what == "accepted":
            life.upgraded(generation)
            actions = life.accepted(generation, now)
            deaf.append(now - left)
        else:
            actions = life.busy(Busy(what[1:]), what[0] == "+", now)
        for action in actions:
            story.append((now - START, type(action).__name__))
            if isinstance(action, Close):
                left = now
                assert (now - START - 3) % 20 >= 9 or (now - START) % 20 < 3, "between turns"
                plan(now + 0.05, "gone", action.generation)
            elif isinstance(action, Open):
                plan(now + setup, "accepted", action.generation)
    return story, deaf


@pytest.mark.parametrize("setup", [0.0, 0.8, 3.0])
def test_an_hour_of_talk_changes_connections_every_nine_minutes_in_pauses(setup: float) -> None:
    story, deaf = talk(60, setup)
    closes = [at for at, what in story if what == "Close"]
    assert len(closes) == 6
    lives = [later - earlier for earlier, later in itertools.pairwise([0.0, *closes])]
    assert all(ROTATE_SECONDS <= life <= ROTATE_SECONDS + DRAIN_SECONDS for life in lives)
    assert [what for _, what in story].count("Open") == 6
    assert max(deaf) <= setup + 0.2
