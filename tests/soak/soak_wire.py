"""A Chromium that changes its address or loads its page again, a hundred times; and a model whose network goes dark.

Another call is begun after every four: the relay takes five connections a minute of one, and six calls a minute of one
address. A hundred of each take a dozen minutes on an idle machine.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from relay.gemini.dial import UNACKNOWLEDGED_MS
from signaling.admission import START_SECONDS
from tests.network.comeback import Back, address_change, reload
from tests.network.half_open import Noticed, half_open
from tests.network.measure import SCRIPT
from tests.network.street import Street, street
from tests.network.test_return import CLOSED_SECONDS, RETURN_SECONDS
from tests.network.visitor import Visitor
from tests.soak.rounds import TIMES, Rounds

A_CALL: Final = 4
SETTLE_SECONDS: Final = 0.3  # between two
BESIDE: Final = 10  # the ten seconds of sound that each of them has kept cross one wire, which is made of Python
NOTICED_SECONDS: Final = 10.0  # a path to the model that is dead
ASKED_SECONDS: Final = 3.0  # of light, until the question is asked again: the first packet is repeated after one

_addresses = itertools.cycle(f"10.99.0.{host}" for host in range(10, 250))
FAULTS: Final[dict[str, Callable[[Street, Visitor], Awaitable[Back]]]] = {
    "address change": lambda here, visitor: address_change(here, visitor, next(_addresses)),
    "reload": lambda here, visitor: reload(here, visitor, "user", "Say hello."),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_hundred_times_chromium_comes_back(kind: str) -> None:
    rounds, backs = Rounds(f"Chromium, {kind}"), list[Back]()
    async with street() as here, here.relay("--greeting", "", script=SCRIPT):
        while len(backs) + len(rounds.lost) < TIMES:
            next_call = time.monotonic() + START_SECONDS
            try:
                async with here.call() as visitor:
                    await visitor.have_it_speak(SETTLE_SECONDS)
                    for _ in range(min(A_CALL, TIMES - len(backs) - len(rounds.lost))):
                        backs.append(await FAULTS[kind](here, visitor))
                        await asyncio.sleep(SETTLE_SECONDS)
                    await visitor.hang_up()  # a page that is only gone is waited for, and would end in a later round
            except Exception as error:
                rounds.lose(error)
            await asyncio.sleep(next_call - time.monotonic())
    names = ("down", "up", "ready", "gone", "stalled")
    rounds.tell(**{name: [getattr(back, name) for back in backs] for name in names})
    assert all(max(back.down, back.up, back.ready) < RETURN_SECONDS + back.stalled for back in backs)
    assert all(back.gone < CLOSED_SECONDS + back.stalled for back in backs)


async def test_a_hundred_dead_paths_to_the_model_are_noticed_and_the_question_is_kept() -> None:
    rounds, found = Rounds("half open", BESIDE), list[Noticed]()
    while (left := TIMES - len(found) - len(rounds.lost)) > 0:
        try:
            found += await half_open(min(rounds.beside, left), UNACKNOWLEDGED_MS)
        except Exception as error:
            rounds.lose(error)
    rounds.tell(noticed=[each.after for each in found], asked=[each.back for each in found])
    assert all(each.after < NOTICED_SECONDS + each.stalled for each in found)
    assert all(each.back < ASKED_SECONDS + each.stalled for each in found)
