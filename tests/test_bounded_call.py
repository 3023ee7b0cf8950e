"""A whole call within its owner's bounds: what it may cost, whose ear it has, and a model that does not answer."""

import asyncio

import pytest

import relay.watchdog
from relay.agent import Agent
from relay.standin.script import parse
from tests.caller import Caller, Refused
from tests.running import running
from tests.sound import Sound, compare, read_wav
from tests.test_call import free

SENTENCE = read_wav("tests/sounds/weather.wav")
SPOKEN = SENTENCE.part(1.0, 2.9)


@pytest.mark.parametrize("budget", ["call", "day"])
async def test_a_call_that_has_cost_too_much_is_ended_in_words_when_the_voice_has_finished(budget: str) -> None:
    async with running(f"--budget-{budget}", "1tokens") as house, Caller(house.base) as caller:
        await caller.dial()
        error = await caller.message("error", timeout=20)
        assert (error.data["code"], error.data["fatal"]) == (f"budget-{budget}", True)
        assert error.data["error"].endswith(".")
        assert "bot-stopped-speaking" in caller.types(), "the greeting was heard to its end"
        await free(house)


async def test_when_the_days_budget_is_spent_nobody_is_taken_in_and_told_when_to_come_again() -> None:
    async with running("--budget-day", "1tokens") as house:
        async with Caller(house.base) as caller:
            await caller.dial()
            await caller.message("error", timeout=20)
        await free(house)
        async with Caller(house.base) as second:
            with pytest.raises(Refused) as refused:
                await second.dial()
            assert (refused.value.status, refused.value.body["code"]) == (503, "budget-day")


async def test_with_our_own_ear_a_caller_is_heard_whole_and_answered() -> None:
    agent = Agent(greeting="")
    async with running("--barge-in", "local", agent=agent) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.say(SENTENCE)
        await caller.message("bot-started-speaking", timeout=20)
        heard = Sound(house.model.received_pcm(), 16_000)
        assert compare(SPOKEN, heard).same, "the model hears the caller"
        kinds = [next(iter(body)) for body in house.model.connections[0].of("realtimeInput")]
        assert (kinds[0], kinds[-1]) == ("activityStart", "activityEnd")
        await caller.hang_up()
        await free(house)


async def test_a_model_that_falls_silent_is_nudged_and_then_exchanged_and_the_question_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay.watchdog, "ANSWER_SECONDS", 1.5)
    script = parse({"faults": [{"kind": "silence", "after_s": 0.0, "on": [1]}]})
    async with running(script=script, agent=Agent(greeting="")) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.say(SENTENCE)
        slow = await caller.message("server-message", timeout=20)
        assert slow.data["event"] == "slow-answer"
        await caller.message("bot-started-speaking", timeout=20)
        assert len(house.model.connections) == 2
        await caller.hang_up()
        await free(house)


async def test_a_question_between_our_own_marks_outlives_its_connection() -> None:
    agent = Agent(greeting="")
    async with running("--barge-in", "local", agent=agent) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.say(SENTENCE)
        await caller.message("user-started-speaking")
        await asyncio.sleep(0.7)
        await house.model.close(1011, "Internal error encountered.")
        await caller.message("bot-started-speaking", timeout=20)
        first, second = house.model.connections
        assert first.of("realtimeInput")[0] == {"activityStart": {}}
        kinds = [next(iter(body)) for body in second.of("realtimeInput")]
        assert kinds.count("activityStart") == kinds.count("activityEnd") == 1
        assert kinds.index("activityStart") < kinds.index("activityEnd")
        assert compare(SPOKEN, Sound(house.model.received_pcm(2), 16_000)).same, "the whole question"
        await caller.hang_up()
        await free(house)
