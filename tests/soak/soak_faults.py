"""Each fault a hundred times, in one relay that lives on: none may cost a call, and none may take longer than it may.

`RELAY_SOAK_FAULTS` sets how many times (default 100), `RELAY_SOAK_AT_ONCE` how many at once (default 1).
"""

import asyncio
import os
import statistics
from typing import Final

import pytest

from tests.network.faults import FAULTS, FLAGS, TALKATIVE, Return, second_tab
from tests.network.test_faults import CLOSED_SECONDS, RETURN_SECONDS, STALE_SECONDS
from tests.running import running

TIMES: Final = int(os.environ.get("RELAY_SOAK_FAULTS", "100"))
AT_ONCE: Final = int(os.environ.get("RELAY_SOAK_AT_ONCE", "1"))


@pytest.mark.parametrize("name", FAULTS)
async def test_a_hundred_times_nothing_is_lost(name: str) -> None:
    places, backs = asyncio.Semaphore(AT_ONCE), list[Return]()
    async with running(*FLAGS, script=TALKATIVE) as house:

        async def once() -> None:
            async with places:
                backs.append(await FAULTS[name](house))

        await asyncio.gather(*(once() for _ in range(TIMES)))
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
        ended = [await second_tab(house) for _ in range(TIMES)]
        assert house.calls == 0
    print(f"\nreplaced: median {1000 * statistics.median(ended):.0f} ms, worst {1000 * max(ended):.0f}")
    assert max(ended) < CLOSED_SECONDS
