"""A model that takes its time, and one that refuses one caller of several."""

import asyncio

import pytest

from relay.agent import Agent
from relay.gemini import events
from relay.standin.script import parse
from tests.caller import Caller
from tests.running import running
from tests.talk import SECOND, Call, play, voice
from tests.test_call import free

SLOW_SECONDS = 3.0


async def test_an_answer_that_takes_three_seconds_is_waited_for_without_a_word() -> None:
    script = parse({"replies": [{"say": "It is Paris.", "latency_ms": 1000 * SLOW_SECONDS}]})
    async with running(script=script, agent=Agent(greeting="")) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        asked = asyncio.get_running_loop().time()
        caller.send("send-text", {"content": "What is the capital of France?", "options": {}})
        await caller.message("bot-started-speaking", timeout=10)
        assert asyncio.get_running_loop().time() - asked >= SLOW_SECONDS - 0.1
        assert not caller.of("server-message")
        assert not caller.of("error")
        assert len(house.model.connections) == 1
        await caller.hang_up()
        await free(house)


@pytest.mark.parametrize("barge_in", ["model", "local"])
def test_whoever_speaks_while_an_answer_is_awaited_is_heard_and_answered(barge_in: str) -> None:
    async def main(call: Call) -> None:
        await call.speak(voice(1.0))
        await call.rest(SLOW_SECONDS)
        before = len(call.wire)
        call.does(events.Interrupted(), events.TurnComplete())  # as the service gives up what it had not begun
        await call.speak(voice(1.0))
        await call.rest(1.0)
        edges = [message["type"] for message in call.said if message["type"].startswith("user-st")]
        assert edges == ["user-started-speaking", "user-stopped-speaking"] * 2
        assert len(call.wire) == before, "nothing was to be heard yet"
        call.does(events.OutputTranscript("Yes."), events.Audio(SECOND), events.GenerationComplete())
        await call.rest(2.0)
        assert len(call.wire) >= before + 50, "the answer to what was said last is heard whole"
        assert "error" not in [message["type"] for message in call.said]

    play(main, barge_in=barge_in)


@pytest.mark.parametrize(
    "fault",
    [{"kind": "refuse-upgrade", "status": 429, "body": "quota"},
     {"kind": "refuse-setup", "code": 1008, "reason": "API key not valid."}],
    ids=["quota", "key"],
)  # fmt: skip
async def test_a_call_that_the_model_refuses_costs_no_other_call_anything(fault: dict[str, object]) -> None:
    script = parse({"faults": [{**fault, "on": [2]}]})
    async with running("--greeting", "", script=script) as house:
        async with Caller(house.base) as first, Caller(house.base) as second:
            await first.dial()
            await first.message("bot-ready")
            await second.dial()
            error = await second.message("error", timeout=5)
            assert error.data["fatal"] is True
            await second.message("peerLeft")
            first.send("send-text", {"content": "Are you there?", "options": {}})
            await first.message("bot-stopped-speaking", timeout=10)
            assert not first.of("error")
            assert not first.of("server-message")
            async with Caller(house.base) as third:
                await third.dial()
                await third.message("bot-ready")
                await third.hang_up()
            await first.hang_up()
        await free(house)
        assert len(house.model.connections) <= 3, "nobody tries again and again"
