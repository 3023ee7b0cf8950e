"""Sessions by id: promised, live, ended; all bounded."""

from collections.abc import Callable

import pytest

from relay.errors import BrowserFault
from relay.flags import MAX_CALLS
from signaling.registry import MAX_ENDED, MAX_RESERVED, RESERVED_SECONDS, Call, State
from tests.house import FakeCall, make_registry


def make(id: str, on_closed: Callable[[object], None]) -> Call:
    return FakeCall(id, on_closed)


def code(caught: pytest.ExceptionInfo[BrowserFault]) -> str:
    return caught.value.code


async def test_an_id_has_128_bits_and_is_never_given_twice() -> None:
    registry = make_registry()
    ids = {registry.reserve(0.0).id for _ in range(MAX_RESERVED)}
    assert len(ids) == MAX_RESERVED
    assert all(len(bytes.fromhex(id)) == 16 for id in ids)


async def test_a_promise_is_kept_for_a_minute() -> None:
    registry = make_registry()
    entry = registry.reserve(100.0)
    assert registry.find(entry.id, 100.0 + RESERVED_SECONDS) is entry
    with pytest.raises(BrowserFault) as caught:
        registry.find(entry.id, 100.1 + RESERVED_SECONDS)
    assert code(caught) == "unknown-session"
    assert registry.count(State.RESERVED) == 0


async def test_promises_are_bounded_and_the_refusal_says_when_to_come_back() -> None:
    registry = make_registry()
    for _ in range(MAX_RESERVED):
        registry.reserve(0.0)
    with pytest.raises(BrowserFault) as caught:
        registry.reserve(0.0)
    assert code(caught) == "too-many-calls"
    assert caught.value.retry_after > 0
    registry.reserve(RESERVED_SECONDS + 1)


async def test_promised_and_live_calls_are_bounded_together() -> None:
    registry = make_registry(max_calls=3)
    live = registry.open(registry.reserve(0.0), make, 0.0)
    registry.open(registry.reserve(0.0), make, 0.0)
    promised = registry.reserve(0.0)
    with pytest.raises(BrowserFault) as caught:
        registry.reserve(0.0)
    assert code(caught) == "too-many-calls"
    assert caught.value.retry_after > 0
    registry.open(promised, make, 0.0)  # a promise is kept
    await live.close()
    registry.reserve(0.0)


async def test_unless_it_is_told_otherwise_it_takes_as_many_calls_as_one_core_can() -> None:
    registry = make_registry()
    for _ in range(MAX_CALLS):
        registry.open(registry.reserve(0.0), make, 0.0)
    with pytest.raises(BrowserFault) as caught:
        registry.reserve(0.0)
    assert code(caught) == "too-many-calls"


async def test_a_promise_that_ran_out_in_mid_offer_is_not_kept_beyond_the_limit() -> None:
    registry = make_registry(max_calls=1)
    slow = registry.reserve(0.0)
    later = RESERVED_SECONDS + 1
    registry.open(registry.reserve(later), make, later)
    with pytest.raises(BrowserFault) as caught:
        registry.open(slow, make, later)
    assert code(caught) == "too-many-calls"


async def test_while_sound_is_late_nobody_is_taken_in_and_the_refusal_says_when_to_come_back() -> None:
    asked, late = list[tuple[float, int]](), False

    def overloaded(now: float, calls: int) -> bool:
        asked.append((now, calls))
        return late

    registry = make_registry(overloaded=overloaded)
    live = registry.reserve(0.0)
    call = registry.open(live, make, 1.0)
    promised = registry.reserve(2.0)
    late = True
    for attempt in (lambda: registry.reserve(3.0), lambda: registry.open(promised, make, 3.0)):
        with pytest.raises(BrowserFault) as caught:
            attempt()
        assert code(caught) == "busy"
        assert caught.value.retry_after > 0
    assert asked[-1] == (3.0, 1)
    assert registry.open(live, make, 3.0) is call  # who is here stays
    late = False
    registry.open(promised, make, 4.0)
    assert registry.refusal(4.0) is None


async def test_a_live_session_is_found_by_both_its_ids_until_it_ends() -> None:
    registry = make_registry()
    entry = registry.reserve(0.0)
    call = registry.open(entry, make, 0.0)
    assert registry.open(entry, make, 0.0) is call
    registry.name(entry, "pc")
    assert registry.find(entry.id, 1000.0) is entry
    assert registry.find_pc("pc") is entry
    await call.close()
    with pytest.raises(BrowserFault) as caught:
        registry.find(entry.id, 1000.0)
    assert code(caught) == "unknown-peer"
    with pytest.raises(BrowserFault) as caught:
        registry.find_pc("pc")
    assert code(caught) == "unknown-peer"
    assert registry.count(State.LIVE) == 0


async def test_a_new_pc_id_replaces_the_old_one() -> None:
    registry = make_registry()
    entry = registry.reserve(0.0)
    registry.open(entry, make, 0.0)
    registry.name(entry, "old")
    registry.name(entry, "new")
    assert registry.find_pc("new") is entry
    with pytest.raises(BrowserFault):
        registry.find_pc("old")


async def test_an_ended_session_gets_no_call_and_no_name() -> None:
    registry = make_registry()
    entry = registry.reserve(0.0)
    registry.end(entry)
    registry.end(entry)
    with pytest.raises(BrowserFault):
        registry.open(entry, make, 0.0)
    registry.name(entry, "pc")
    with pytest.raises(BrowserFault):
        registry.find_pc("pc")


async def test_the_oldest_ended_sessions_are_forgotten() -> None:
    registry = make_registry()
    first = registry.reserve(0.0)
    registry.end(first)
    for _ in range(MAX_ENDED):
        registry.end(registry.reserve(0.0))
    assert registry.count(State.ENDED) == MAX_ENDED
    with pytest.raises(BrowserFault) as caught:
        registry.find(first.id, 0.0)
    assert code(caught) == "unknown-session"


async def test_a_closing_registry_gives_back_its_calls_and_takes_nobody_in() -> None:
    registry = make_registry()
    promised = registry.reserve(0.0)
    call = registry.open(registry.reserve(0.0), make, 0.0)
    assert registry.close() == [call]
    with pytest.raises(BrowserFault) as caught:
        registry.reserve(0.0)
    assert code(caught) == "closing"
    with pytest.raises(BrowserFault) as caught:
        registry.open(promised, make, 0.0)
    assert code(caught) == "closing"


def test_while_the_days_budget_is_spent_nobody_is_promised_a_session() -> None:
    seconds = [0]
    registry = make_registry(unaffordable=lambda: seconds[0])
    entry = registry.reserve(0.0)
    seconds[0] = 4000
    with pytest.raises(BrowserFault) as refused:
        registry.reserve(0.0)
    assert (refused.value.code, refused.value.retry_after) == ("budget-day", 4000)
    with pytest.raises(BrowserFault) as refused:
        registry.open(entry, lambda id, closed: None, 0.0)  # type: ignore[arg-type, return-value]
    assert refused.value.code == "budget-day"
    seconds[0] = 0
    registry.reserve(0.0)
