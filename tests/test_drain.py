"""Leaving: nobody new comes in, calls go on for as long as they may, and a second signal ends them at once."""

import asyncio
import time

import pytest

from relay.errors import BrowserFault
from signaling.drain import Leave, drain
from signaling.registry import Call, Registry, State
from tests.house import FakeCall, make_registry, refused, visiting


def opened(registry: Registry) -> FakeCall:
    made: list[FakeCall] = []

    def make(id: str, on_closed: object) -> Call:
        made.append(FakeCall(id, on_closed))  # type: ignore[arg-type]
        return made[0]

    registry.open(registry.reserve(0.0), make, 0.0)
    return made[0]


def seconds(began: float) -> float:
    return time.monotonic() - began


async def test_without_calls_nobody_waits() -> None:
    began = time.monotonic()
    await drain(make_registry(), 30.0, Leave())
    assert seconds(began) < 0.1


async def test_each_call_is_told_at_once_how_long_it_has_and_none_is_ended() -> None:
    registry = make_registry()
    calls = [opened(registry) for _ in range(3)]
    leaving = asyncio.create_task(drain(registry, 30.0, Leave()))
    await asyncio.sleep(0)
    assert [call.warned for call in calls] == [[30.0]] * 3
    assert not any(call.closed for call in calls)
    for call in calls:
        await call.close()
    await asyncio.wait_for(leaving, 1)


async def test_it_is_over_when_the_last_call_has_ended() -> None:
    registry = make_registry()
    first, last = opened(registry), opened(registry)
    leaving = asyncio.create_task(drain(registry, 30.0, Leave()))
    await asyncio.sleep(0)
    await first.close()
    await asyncio.sleep(0.12)
    assert not leaving.done()
    await last.close()
    await asyncio.wait_for(leaving, 0.5)


async def test_calls_that_do_not_end_have_their_time_and_not_more() -> None:
    registry, began = make_registry(), time.monotonic()
    opened(registry)
    await drain(registry, 0.3, Leave())
    assert 0.29 <= seconds(began) < 0.6  # the loop's timers round to a millisecond
    assert registry.count(State.LIVE) == 1  # to be closed by whoever owns the site


async def test_a_second_signal_ends_the_wait_at_once() -> None:
    registry, leave, began = make_registry(), Leave(), time.monotonic()
    opened(registry)
    leave.ask()
    assert (leave.asked.is_set(), leave.at_once.is_set()) == (True, False)
    asyncio.get_running_loop().call_later(0.05, leave.ask)
    await drain(registry, 30.0, leave)
    assert seconds(began) < 0.5


async def test_with_no_time_to_give_nobody_is_told_of_any() -> None:
    registry = make_registry()
    call = opened(registry)
    await drain(registry, 0.0, Leave())
    assert call.warned == []
    with pytest.raises(BrowserFault):
        registry.reserve(0.0)


async def test_while_it_drains_nobody_new_comes_in_and_who_is_in_may_come_back() -> None:
    async with visiting() as visit:
        promised = await visit.start()
        pc_id = (await visit.offer()).json["pc_id"]
        leaving = asyncio.create_task(drain(visit.registry, 30.0, Leave()))
        await asyncio.sleep(0)
        answered = await visit.ask("POST", "/start", json={})
        refused(answered, 503, "closing")
        assert int(answered.headers["Retry-After"]) > 0
        refused(await visit.offer(), 503, "closing")
        refused(await visit.offer(f"/sessions/{promised}/api/offer"), 503, "closing")
        again = await visit.offer(pc_id=pc_id, restart_pc=True)
        assert again.status == 200
        await visit.calls[0].close()
        await asyncio.wait_for(leaving, 1)


# --- while it starts ---


async def test_what_is_waited_for_at_the_start_is_given_up_when_the_owner_would_rather_leave() -> None:
    leave, began, cancelled = Leave(), time.monotonic(), asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cancelled.set()

    asyncio.get_running_loop().call_later(0.05, leave.ask)
    assert not await leave.unless_asked(slow())
    assert seconds(began) < 0.5
    assert cancelled.is_set()
    assert not await leave.unless_asked(slow())  # whoever has asked need not ask again


async def test_what_is_done_in_time_is_done_and_what_fails_fails() -> None:
    async def fails() -> None:
        raise OSError("no")

    assert await Leave().unless_asked(asyncio.sleep(0.01))
    with pytest.raises(OSError, match="no"):
        await Leave().unless_asked(fails())


def test_the_second_signal_alone_cuts_off_and_once() -> None:
    cuts: list[None] = []
    leave = Leave(lambda: cuts.append(None))
    leave.ask()
    assert cuts == []
    for _ in range(2):
        leave.ask()
    assert len(cuts) == 1
