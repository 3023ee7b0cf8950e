"""Each fault a hundred times, in one relay that lives on: none may cost a call, and none may take longer than it may.

`RELAY_SOAK_FAULTS` sets how many times (default 100), `RELAY_SOAK_AT_ONCE` how many at once (default 1, and 4 of those
that wait in the dark most of the time): relay, model and callers share a core. A hundred of each take half an hour
on an idle machine.
"""

import asyncio
import math
import os
import statistics
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import pytest

from tests.network.faults import FAULTS, FLAGS, TALKATIVE, second_tab
from tests.network.test_faults import CLOSED_SECONDS, RETURN_SECONDS, STALE_SECONDS
from tests.running import running

TIMES: Final = int(os.environ.get("RELAY_SOAK_FAULTS", "100"))
AT_ONCE: Final = int(os.environ.get("RELAY_SOAK_AT_ONCE", "0"))
BESIDE: Final = {"blackout": 4}
BESIDE_OTHERS: Final = 1
ROUND_SECONDS: Final = 60.0  # for as many as are done at once: longer than any of them may take

T = TypeVar("T")


async def rounds(name: str, once: Callable[[], Awaitable[T]]) -> list[T]:
    """What comes of `TIMES` of them, several at once, in bounded time."""
    beside = AT_ONCE or BESIDE.get(name, BESIDE_OTHERS)
    places = asyncio.Semaphore(beside)

    async def one() -> T:
        async with places:
            return await once()

    async with asyncio.timeout(ROUND_SECONDS * math.ceil(TIMES / beside)):
        return await asyncio.gather(*(one() for _ in range(TIMES)))


@pytest.mark.parametrize("name", FAULTS)
async def test_a_hundred_times_nothing_is_lost(name: str) -> None:
    async with running(*FLAGS, script=TALKATIVE) as house:
        backs = await rounds(name, lambda: FAULTS[name](house))
        assert house.calls == 0
    for what in ("down", "up", "ready", "stale"):
        values = sorted(getattr(back, what) for back in backs)
        print(
            f"\n{name}, {what}: median {1000 * statistics.median(values):.0f} ms, worst {1000 * values[-1]:.0f}", end=""
        )
    assert all(max(back.down, back.up, back.ready) < RETURN_SECONDS + back.stalled for back in backs)
    assert all(back.stale < STALE_SECONDS + back.stalled for back in backs)


async def test_a_hundred_tabs_are_replaced() -> None:
    async with running(*FLAGS, script=TALKATIVE) as house:
        ended = await rounds("second tab", lambda: second_tab(house))
        assert house.calls == 0
    print(f"\nreplaced: median {1000 * statistics.median(ended):.0f} ms, worst {1000 * max(ended):.0f}")
    assert max(ended) < CLOSED_SECONDS
