"""A call outlives its connections to the model: the whole relay, WebRTC on one side and a stand-in on the other."""

import asyncio
from typing import Any, Final

from relay.gemini import recall
from relay.standin.script import Script, parse
from tests.caller import Caller
from tests.running import running

INTERNAL: Final = "Internal error encountered."
STORY: Final[dict[str, Any]] = {"say": "Once upon a time a watchmaker lived by the river.", "seconds": 6.0}


def script(**fields: Any) -> Script:
    return parse(fields)


def news(caller: Caller) -> list[str]:
    """What the relay told of itself."""
    return [message.data["event"] for message in caller.of("server-message")]


async def test_a_crash_in_mid_sentence_is_told_and_the_call_goes_on() -> None:
    fault = {"kind": "close", "on": [1], "after_chunks": 3, "code": 1011, "reason": INTERNAL}
    story = script(faults=[fault], greeting=STORY, timings={"speed": 1.0})
    async with running(script=story) as house, Caller(house.base) as caller:
        await caller.dial()
        lost = await caller.message("server-message", where=lambda data: data["event"] == "reconnecting")
        resumed = await caller.message("server-message", where=lambda data: data["event"] == "resumed")
        assert resumed.at - lost.at <= 1.0
        async with asyncio.timeout(5):
            while not [message for message in caller.of("bot-started-speaking") if message.at > resumed.at]:
                await asyncio.sleep(0.02)
        assert not caller.of("error")
        caller.send("send-text", {"content": "and then?", "options": {}})
        await asyncio.sleep(1.0)
        assert not caller.of("error")
        assert house.calls == 1


async def test_after_a_crash_the_model_knows_what_was_heard_and_goes_on_from_there() -> None:
    fault = {"kind": "close", "on": [1], "after_s": 2.5, "code": 1011, "reason": INTERNAL}
    story = script(faults=[fault], greeting=STORY, timings={"speed": 1.0})
    async with running(script=story) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("server-message", where=lambda data: data["event"] == "resumed")
        await caller.message("bot-started-speaking")
        second = house.model.connections[1]
        ((turn,),) = [content["turns"] for content in second.of("clientContent")]
        assert turn["role"] == "model"
        heard = turn["parts"][0]["text"]
        assert STORY["say"].startswith(heard)
        assert 0 < len(heard) < len(STORY["say"])
        assert {"text": recall.GO_ON} in second.of("realtimeInput")
        assert not caller.of("error")


async def test_after_a_refused_handle_the_user_is_told_that_the_memory_is_shorter() -> None:
    faults = [
        {"kind": "close", "on": [1], "after_s": 4, "code": 1011, "reason": INTERNAL},
        {"kind": "refuse-setup", "on": [2], "code": 1007, "reason": "Request contains an invalid argument."},
    ]
    hello = {"say": "Hello, this is the watchmaker.", "seconds": 1.0}
    async with running(script=script(faults=faults, greeting=hello)) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("server-message", timeout=8, where=lambda data: data["event"] == "memory-shortened")
        assert news(caller) == ["reconnecting", "resumed", "memory-shortened"]
        (told,) = house.model.connections[2].of("clientContent")
        assert told["turns"] == [{"role": "model", "parts": [{"text": hello["say"]}]}]
        caller.send("send-text", {"content": "still there?", "options": {}})
        await caller.message("bot-started-speaking")
        assert not caller.of("error")


async def test_a_connection_of_four_seconds_after_another_is_not_noticed() -> None:
    brief = script(timings={"lifetime_s": 4, "time_left_s": 2})
    async with running("--greeting", "", script=brief) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        async with asyncio.timeout(20):
            while len(house.model.connections) < 5:
                await asyncio.sleep(0.05)
        lasted = house.model.connections
        assert all(len(connection.pcm) > 32_000 for connection in lasted[:4]), "each heard a second at least"
        assert not caller.of("error")
        assert news(caller) == []
        caller.send("send-text", {"content": "still there?", "options": {}})
        await caller.message("bot-started-speaking")
        assert not caller.of("error")


async def test_a_key_that_is_revoked_ends_the_call_at_once_and_says_so() -> None:
    faults = [
        {"kind": "close", "on": [1], "after_s": 1, "code": 1011, "reason": INTERNAL},
        {"kind": "refuse-setup", "on": [2, 3, 4], "code": 1008, "reason": "API key not valid."},
    ]
    async with running(script=script(faults=faults)) as house, Caller(house.base) as caller:
        await caller.dial()
        error = await caller.message("error", timeout=5)
        assert error.data["fatal"] is True
        assert "key" in error.data["error"]
        await caller.message("peerLeft")
        assert len(house.model.connections) == 2, "no storm"


async def test_a_model_that_speaks_garbage_is_left_for_another_connection() -> None:
    faults = [{"kind": "garbage", "on": [1], "after_s": 0.5 + n / 10, "what": "not-json"} for n in range(4)]
    async with running("--greeting", "", script=script(faults=faults)) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("server-message", where=lambda data: data["event"] == "resumed")
        caller.send("send-text", {"content": "still there?", "options": {}})
        await caller.message("bot-started-speaking")
        assert not caller.of("error")


async def test_a_service_that_answers_with_an_error_for_a_while_is_waited_for() -> None:
    faults = [
        {"kind": "close", "on": [1], "after_s": 1, "code": 1011, "reason": INTERNAL},
        {"kind": "refuse-upgrade", "on": [2, 3, 4], "status": 503, "body": "The service is currently unavailable."},
    ]
    async with running("--greeting", "", script=script(faults=faults)) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("server-message", where=lambda data: data["event"] == "resumed")
        caller.send("send-text", {"content": "still there?", "options": {}})
        await caller.message("bot-started-speaking")
        assert not caller.of("error")
