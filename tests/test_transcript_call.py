"""What was said on a whole call, over HTTP: the relay, WebRTC on one side and a stand-in on the other."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from relay.agent import Agent
from relay.standin.script import parse
from tests.caller import Caller
from tests.running import Running, running

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."


async def read(house: Running, caller: Caller, form: str = "json") -> tuple[int, Any]:
    way = f"{house.base}/sessions/{caller.session_id}/transcript?format={form}"
    key = {"Authorization": f"Bearer {caller.secret}"}
    async with aiohttp.ClientSession(headers=key) as http, http.get(way) as answer:
        return answer.status, await answer.json() if form == "json" else await answer.text()


async def rest(caller: Caller, count: int = 1) -> None:
    """Until the model has been heard out so many times."""
    async with asyncio.timeout(10):
        while len(caller.of("bot-stopped-speaking")) < count:
            await asyncio.sleep(0.02)


async def test_a_call_can_be_read_while_it_lives_and_after_it_and_not_once_it_is_deleted() -> None:
    script = parse({"replies": [{"say": "It is Paris. I am sure."}]})
    async with running("--greeting", "", script=script) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.send("send-text", {"content": "What is the capital of France?", "options": {}})
        await rest(caller)
        async with asyncio.timeout(5):  # the last word has been heard, then the model ends its turn
            while "ended" not in (told := (await read(house, caller))[1])["turns"][-1]:
                await asyncio.sleep(0.02)
        assert (told["over"], told["dropped"]) == (False, 0)
        user, model = told["turns"]
        assert (user["role"], user["text"], user["how"]) == ("user", "What is the capital of France?", "typed")
        assert (model["role"], model["text"], model["how"]) == ("assistant", "It is Paris. I am sure.", "spoken")
        assert "interrupted" not in model
        assert 0.5 < model["ended"] - model["began"] < 5.0
        assert user["ended"] <= model["began"] < model["ended"] <= told["seconds"]
        await caller.hang_up()
        async with asyncio.timeout(5):
            while house.calls:
                await asyncio.sleep(0.02)
        after = (await read(house, caller))[1]
        assert after == {**told, "over": True, "seconds": after["seconds"]}
        vtt = (await read(house, caller, "vtt"))[1]
        assert "<v Assistant>It is Paris.\n" in vtt
        assert "<v Assistant>I am sure.\n" in vtt
        key = {"Authorization": f"Bearer {caller.secret}"}
        await caller.request("DELETE", f"/sessions/{caller.session_id}", {}, headers=key)
        assert (await read(house, caller))[0] == 404


def told(caller: Caller) -> str:
    """How much of the long answer the captions tell as heard."""
    outputs = [message.data for message in caller.of("bot-output") if "spoken_progress" in message.data]
    return next((row["spoken_progress"]["accumulated_text"] for row in outputs[::-1] if row["text"] == LONG), "")


async def test_an_interruption_leaves_in_the_transcript_what_the_captions_told_as_heard() -> None:
    script = parse({"replies": [{"say": LONG}, {"say": "Stopped."}]})
    async with running("--greeting", "", script=script) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.send("send-text", {"content": "Count.", "options": {}})
        await caller.message("bot-started-speaking")
        async with asyncio.timeout(10):
            while len(told(caller).split()) < 3:
                await asyncio.sleep(0.02)
        caller.send("send-text", {"content": "Stop!", "options": {}})
        await rest(caller, 2)
        heard = told(caller)
        turns = (await read(house, caller))[1]["turns"]
        assert [(turn["role"], turn["text"]) for turn in turns] == [
            ("user", "Count."),
            ("assistant", heard),
            ("user", "Stop!"),
            ("assistant", "Stopped."),
        ]
        assert turns[1]["interrupted"]
        assert 3 <= len(heard.split()) < len(LONG.split())
        assert LONG.startswith(heard)


async def test_calls_of_functions_stand_in_the_transcript() -> None:
    def add(one: int, other: int) -> int:
        """Add two numbers."""
        return one + other

    async with running("--greeting", "", agent=Agent(tools=[add])) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.send("send-text", {"content": 'call add {"one": 1, "other": 2}', "options": {}})
        await rest(caller)
        turns = (await read(house, caller))[1]["turns"]
        (called,) = [turn for turn in turns if turn["role"] == "tool"]
        assert (called["name"], called["arguments"]) == ("add", {"one": 1, "other": 2})
        assert (called["state"], "3" in json.dumps(called["result"])) == ("answered", True)


@pytest.mark.parametrize("model", ["gemini-3.8-live", "gemini-3.1-flash-live-preview"])
async def test_the_model_is_told_of_prior_turns_before_it_is_asked_anything(model: str) -> None:
    prior = [{"role": "user", "text": "I am Ada."}, {"role": "assistant", "text": "Hello, Ada."}]
    async with (
        running("--gemini-model", model, script=parse({"greeting": {"say": "Welcome back."}})) as house,
        Caller(house.base) as caller,
    ):
        await caller.start({"history": prior})
        await caller.offer()
        await caller.opened.wait()
        caller.client_ready()
        await rest(caller)
        turns = (await read(house, caller))[1]["turns"]
        assert [(turn["text"], turn["how"]) for turn in turns] == [
            ("I am Ada.", "prior"),
            ("Hello, Ada.", "prior"),
            ("Welcome back.", "spoken"),
        ]
        told = json.dumps(house.model.connections[0].messages)
        assert told.index("I am Ada.") < told.index("Hello, Ada.") < told.index("Say hello")
