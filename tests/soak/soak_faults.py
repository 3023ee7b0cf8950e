"""Each fault of the network a hundred times, in one relay that lives on: none may cost a call, or take too long.

The callers are aiortc's, in this process. A hundred of each take a dozen minutes on an idle machine.
"""

import asyncio
from typing import Final

import pytest

from tests.network.faults import FAULTS, FLAGS, TALKATIVE, second_tab, vanished
from tests.network.test_faults import CLOSED_SECONDS, RETURN_SECONDS, STALE_SECONDS
from tests.running import Running, running
from tests.soak.rounds import Rounds

# At once: relay and callers share a core, but in the dark there is little to do. They begin so many seconds apart, lest
# they come back together.
BESIDE: Final = {"blackout": (7, 3.3), "vanished": (25, 1.0)}
FREED_SECONDS: Final = 2.0
CONSENT_SECONDS: Final = 35.0  # a client that does not say goodbye is given up by then


async def freed(house: Running) -> None:
    """No call is left, now or in a moment."""
    async with asyncio.timeout(FREED_SECONDS):
        while house.calls:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_hundred_times_nothing_is_lost(kind: str) -> None:
    rounds = Rounds(kind, *BESIDE.get(kind, ()))
    async with running(*FLAGS, script=TALKATIVE) as house:
        backs = await rounds.of(lambda: FAULTS[kind](house))
        names = ("down", "up", "ready", "gone", "stale", "stalled", "answered")
        rounds.tell(**{name: [getattr(back, name) for back in backs] for name in names})
        await freed(house)
    assert all(max(back.down, back.up, back.ready, back.answered) < RETURN_SECONDS + back.stalled for back in backs)
    assert all(back.gone < CLOSED_SECONDS + back.stalled for back in backs)
    assert all(back.stale < STALE_SECONDS + back.stalled for back in backs)


async def test_a_hundred_tabs_are_replaced() -> None:
    rounds = Rounds("second tab")
    async with running(*FLAGS, script=TALKATIVE) as house:
        ended = await rounds.of(lambda: second_tab(house))
        rounds.tell(closed=ended)
        await freed(house)
    assert max(ended) < CLOSED_SECONDS


async def test_a_hundred_clients_that_say_no_goodbye_are_given_up() -> None:
    rounds = Rounds("vanished", *BESIDE["vanished"])
    async with running(*FLAGS, script=TALKATIVE) as house:
        gone = await rounds.of(lambda: vanished(house))
        rounds.tell(gone=gone)
        await freed(house)
    assert max(gone) < CONSENT_SECONDS
