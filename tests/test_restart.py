"""A browser that comes back on a new connection, as after a change of network: the call is the same."""

import asyncio

from tests.caller import Caller
from tests.running import running
from tests.sound import read_wav

SENTENCE = read_wav("tests/sounds/weather.wav")


async def test_a_caller_that_comes_back_on_a_new_connection_goes_on_where_it_was() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-started-speaking")
        async with Caller(house.base) as again:
            again.session_id, again.pc_id = caller.session_id, caller.pc_id
            await again.offer(restart=True)
            async with asyncio.timeout(10):
                await again.connected.wait()
                await caller.ended.wait()
            await again.message("bot-stopped-speaking", timeout=15)
            assert again.packets, "what was being said goes on"
            again.say(SENTENCE)
            await again.message("user-stopped-speaking", timeout=10)
            await again.message("bot-started-speaking", timeout=10)
            assert len(house.model.connections) == 1
            assert house.calls == 1
            await again.goodbye()
            assert house.calls == 0
