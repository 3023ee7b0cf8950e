"""One clock for all calls: no drift, nobody's bug is another's silence, and it rests when nobody speaks."""

import asyncio

import pytest

from relay.ticker import PERIOD, WATCH_PERIOD, Ticker
from tests import virtual


def _nobody(error: Exception) -> None:
    raise error


def test_an_hour_of_ticks_does_not_drift() -> None:
    async def hour() -> list[float]:
        loop, ticker, ticks = asyncio.get_running_loop(), Ticker(), list[float]()
        started = loop.time()
        ticker.join(lambda now: ticks.append(now - started), _nobody)
        await asyncio.sleep(3600 + PERIOD / 2)
        ticker.close()
        return ticks

    ticks = virtual.run(hour())
    assert len(ticks) == 3600 / PERIOD
    assert max(abs(tick - (n + 1) * PERIOD) for n, tick in enumerate(ticks)) < 0.001


def test_a_member_that_raises_is_taken_out_and_its_owner_told_and_the_others_go_on() -> None:
    async def second() -> tuple[int, int, list[type]]:
        ticker, good, bad, told = Ticker(), [0], [0], list[type]()

        def fails(now: float) -> None:
            bad[0] += 1
            raise ZeroDivisionError

        def works(now: float) -> None:
            good[0] += 1

        ticker.join(fails, lambda error: told.append(type(error)))
        ticker.join(works, _nobody)
        await asyncio.sleep(1)
        ticker.close()
        return good[0], bad[0], told

    assert virtual.run(second()) == (50, 1, [ZeroDivisionError])


def test_nothing_ticks_when_nobody_wants_it_and_it_starts_again() -> None:
    async def rest() -> int:
        ticker, ticks = Ticker(), [0]

        def member(now: float) -> None:
            ticks[0] += 1
            if ticks[0] in (10, 20):
                ticker.leave(member)

        ticker.join(member, _nobody)
        await asyncio.sleep(10)
        assert ticks[0] == 10
        ticker.join(member, _nobody)
        await asyncio.sleep(10)
        return ticks[0]

    assert virtual.run(rest()) == 20


def test_after_a_stall_the_missed_ticks_are_not_made_up_in_a_burst() -> None:
    async def stall() -> list[float]:
        loop, ticker, ticks = asyncio.get_running_loop(), Ticker(), list[float]()
        ticker.join(ticks.append, _nobody)
        await asyncio.sleep(0.1)
        assert isinstance(loop, virtual.VirtualLoop)
        loop._advance(5.0)
        await asyncio.sleep(0.1)
        ticker.close()
        return ticks

    ticks = virtual.run(stall())
    assert len(ticks) <= 12


def test_while_a_call_lives_the_loop_is_watched_whether_anybody_speaks_or_not() -> None:
    async def watched() -> tuple[int, int, int]:
        ticker, noted = Ticker(), list[int]()
        ticker.watch()
        ticker.watch()
        await asyncio.sleep(10 + WATCH_PERIOD / 2)
        noted.append(ticker.lateness.histogram.count)
        ticker.unwatch()
        await asyncio.sleep(1)
        ticker.unwatch()
        await asyncio.sleep(1)
        noted.append(ticker.lateness.histogram.count)
        await asyncio.sleep(60)
        noted.append(ticker.lateness.histogram.count)
        ticker.close()
        return noted[0], noted[1], noted[2]

    idle, ended, later = virtual.run(watched())
    assert idle == round(10 / WATCH_PERIOD)
    assert ended == later


def test_who_begins_to_speak_waits_for_no_watch() -> None:
    async def speaks() -> list[float]:
        loop, ticker, ticks = asyncio.get_running_loop(), Ticker(), list[float]()
        ticker.watch()
        await asyncio.sleep(1.01)
        started = loop.time()
        ticker.join(lambda now: ticks.append(now - started), _nobody)
        await asyncio.sleep(0.1 + PERIOD / 2)
        ticker.unwatch()
        ticker.close()
        return ticks

    assert virtual.run(speaks()) == pytest.approx([PERIOD * (n + 1) for n in range(5)])


def test_a_tick_that_comes_late_is_noted_as_late_as_it_came() -> None:
    async def stall() -> float:
        loop, ticker = asyncio.get_running_loop(), Ticker()
        ticker.watch()
        await asyncio.sleep(2.5 * WATCH_PERIOD)
        assert isinstance(loop, virtual.VirtualLoop)
        loop._advance(WATCH_PERIOD / 2 + 0.3)
        await asyncio.sleep(WATCH_PERIOD)
        worst = ticker.lateness.p99(loop.time())
        ticker.close()
        return worst

    assert virtual.run(stall()) == pytest.approx(0.3)


def test_a_member_that_leaves_and_comes_back_within_its_tick_goes_on() -> None:
    async def turns() -> int:
        ticker, ticks = Ticker(), [0]

        def member(now: float) -> None:
            ticks[0] += 1
            ticker.leave(member)
            ticker.join(member, _nobody)

        ticker.join(member, _nobody)
        await asyncio.sleep(1 + PERIOD / 2)
        ticker.close()
        return ticks[0]

    assert virtual.run(turns()) == 50


def test_a_closed_ticker_ticks_no_more() -> None:
    async def closed() -> int:
        ticker, ticks = Ticker(), [0]

        def member(now: float) -> None:
            ticks[0] += 1
            ticker.close()

        ticker.join(member, _nobody)
        await asyncio.sleep(1)
        ticker.join(member, _nobody)
        ticker.watch()
        await asyncio.sleep(1)
        return ticks[0]

    assert virtual.run(closed()) == 1
