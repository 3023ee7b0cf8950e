"""Calls with an agent of one's own, every part real: who takes it, its functions and the client's, searching."""

import asyncio
import json
import logging
from typing import Any

import pytest

from relay.agent import Agent, Refused
from relay.request import CallRequest
from relay.standin.script import Script, parse
from tests import caller as clients
from tests.caller import Caller
from tests.running import running


def script(**content: Any) -> Script:
    return parse(content)


def calling(*names: str, **line: Any) -> Script:
    """The model greets by calling these functions, and says their answers."""
    calls = [{"name": name, "args": {"place": "Oslo"}, "id": f"fc_{n}"} for n, name in enumerate(names)]
    then = {"say": "It is {result}.", "seconds": 0.3}
    return script(greeting={"say": "Let me look.", "seconds": 0.2, "calls": calls, "then": then} | line)


def show_map(place: str) -> None:
    """Show a place on the map."""
    raise AssertionError("it is the client's to run")


async def dial(caller: Caller, *, library: str = "@pipecat-ai/client-js") -> None:
    await caller.start()
    await caller.offer()
    await caller.opened.wait()
    caller.send("client-ready", {"version": "2.1.0", "about": {"library": library}})


# -- whose agent ----------------------------------------------------------------------------------------------


async def test_the_agent_is_made_of_what_start_and_the_offer_brought() -> None:
    def agent(call: CallRequest) -> Agent:
        return Agent(instructions=f"{call.body['name']} in {call.request_data['room']}.")

    async with running(agent=agent) as house, Caller(house.base, request_data={"room": 7}) as caller:
        await caller.start({"transport": "webrtc", "body": {"name": "Ada"}})
        await caller.offer()
        connection = await house.model.connected()
        async with asyncio.timeout(5):
            while connection.setup is None:
                await asyncio.sleep(0.02)
        assert connection.setup["systemInstruction"]["parts"][0]["text"] == "Ada in 7."


async def test_the_agent_is_asked_once_however_often_the_call_is_offered_again() -> None:
    asked: list[CallRequest] = []

    async def agent(call: CallRequest) -> Agent:
        asked.append(call)
        return Agent()

    async with running(agent=agent) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        await caller.offer()
        assert len(asked) == 1


async def test_a_call_that_the_agent_refuses_is_told_so_and_may_be_asked_for_again() -> None:
    def agent(call: CallRequest) -> Agent:
        if "shop" not in call.request_data:
            raise Refused("There is no such shop.")
        return Agent()

    async with running(agent=agent) as house, Caller(house.base) as caller:
        await caller.start()
        with pytest.raises(clients.Refused) as refused:
            await caller.offer()
        assert refused.value.status == 403
        assert refused.value.body["code"] == "agent-refused"
        assert refused.value.body["detail"] == "There is no such shop."
        assert house.calls == 0


async def test_an_agent_that_fails_costs_the_caller_a_clear_word_and_the_owner_a_line_of_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def agent(call: CallRequest) -> Agent:
        raise ValueError(call.body["name"])

    async with running(agent=agent) as house, Caller(house.base) as caller:
        await caller.start({"body": {"name": "canary"}})
        with pytest.raises(clients.Refused) as refused:
            await caller.offer()
        assert (refused.value.status, refused.value.body["code"]) == (500, "agent-failed")
        assert "log" in refused.value.body["info"]
        assert house.calls == 0
    assert "canary" not in caplog.text
    assert "ValueError at" in caplog.text
    assert "test_agent_call.py:" in caplog.text


# -- functions of the client ----------------------------------------------------------------------------------


async def test_the_clients_function_is_called_and_its_result_spoken_about() -> None:
    agent = Agent(client_tools=[show_map])
    async with running(script=calling("show_map"), agent=agent) as house, Caller(house.base) as caller:
        await dial(caller)
        call = await caller.message("llm-function-call-in-progress", timeout=10)
        assert call.data == {"tool_call_id": "fc_0", "function_name": "show_map", "arguments": {"place": "Oslo"}}
        caller.send(
            "llm-function-call-result",
            {"function_name": "show_map", "tool_call_id": "fc_0", "arguments": {}, "result": {"zoom": 3}},
        )
        stopped = await caller.message("llm-function-call-stopped")
        assert stopped.data["result"] == {"zoom": 3}
        await caller.message("bot-output", timeout=10, where=lambda data: '{"zoom": 3}' in data["text"])
        connection = await house.model.connected()
        assert connection.setup is not None
        (declared,) = connection.setup["tools"][0]["functionDeclarations"]
        assert declared["name"] == "show_map"
        assert len(connection.of("toolResponse")) == 1


async def test_an_ios_client_gets_the_old_form() -> None:
    agent = Agent(client_tools=[show_map])
    async with running(script=calling("show_map"), agent=agent) as house, Caller(house.base) as caller:
        await dial(caller, library="pipecat-client-ios")
        call = await caller.message("llm-function-call", timeout=10)
        assert call.data == {"tool_call_id": "fc_0", "function_name": "show_map", "args": {"place": "Oslo"}}
        result = {"function_name": "show_map", "tool_call_id": "fc_0", "arguments": {}, "result": "shown"}
        caller.send("llm-function-call-result", result)
        await caller.message("bot-output", timeout=10, where=lambda data: "shown" in data["text"])
        assert not caller.of("llm-function-call-in-progress")


async def test_without_a_data_channel_the_model_hears_at_once_that_nobody_can_run_it() -> None:
    agent = Agent(client_tools=[show_map])
    async with running(script=calling("show_map"), agent=agent) as house, Caller(house.base, channel=False) as caller:
        await caller.dial()
        connection = await house.model.connected()
        async with asyncio.timeout(10):
            while not connection.of("toolResponse"):
                await asyncio.sleep(0.02)
        (answer,) = connection.of("toolResponse")[0]["functionResponses"]
        assert "app" in answer["response"]["error"]


async def test_a_result_that_nobody_asked_for_is_refused_and_the_call_goes_on() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        id = caller.send("llm-function-call-result", {"function_name": "f", "tool_call_id": "x", "result": 1})
        refused = await caller.message("error-response")
        assert refused.id == id
        caller.send("send-text", {"content": "still there?"})
        await caller.message("bot-started-speaking", timeout=10)


async def test_an_interruption_cancels_a_call_and_its_late_result_reaches_nobody() -> None:
    agent = Agent(client_tools=[show_map])
    async with running(script=calling("show_map"), agent=agent) as house, Caller(house.base) as caller:
        await dial(caller)
        await caller.message("llm-function-call-in-progress", timeout=10)
        caller.send("send-text", {"content": "never mind"})
        stopped = await caller.message("llm-function-call-stopped", timeout=10)
        assert stopped.data["cancelled"] is True
        caller.send("llm-function-call-result", {"function_name": "show_map", "tool_call_id": "fc_0", "result": 1})
        await caller.message("error-response")
        await caller.message("bot-output", timeout=10, where=lambda data: "never mind" in data["text"])
        assert not (await house.model.connected()).of("toolResponse")


async def test_hanging_up_on_open_calls_leaves_nothing_behind() -> None:
    async def hang(place: str) -> None:
        """Never return."""
        await asyncio.Event().wait()

    agent = Agent(tools=[hang], client_tools=[show_map])
    async with running(script=calling("hang", "show_map"), agent=agent) as house, Caller(house.base) as caller:
        await dial(caller)
        for _ in range(2):
            await caller.message("llm-function-call-in-progress", timeout=10)
        await caller.hang_up()
        async with asyncio.timeout(5):
            while house.calls or house.model.open:
                await asyncio.sleep(0.02)


# -- searching and computing ----------------------------------------------------------------------------------


async def test_what_an_answer_rests_on_is_shown_and_what_was_computed_is_not_spoken() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example/", "title": "a.example"}}],
        "groundingSupports": [{"segment": {"text": "It is 42."}, "groundingChunkIndices": [0]}],
    }
    line = {"say": "It is 42.", "seconds": 0.3, "code": "print(6 * 7)", "grounding": grounding}
    agent = Agent(google_search=True, code_execution=True)
    async with running(script=script(greeting=line), agent=agent) as house, Caller(house.base) as caller:
        await caller.dial()
        found = await caller.message("bot-llm-search-response", timeout=10)
        assert found.data["search_result"] == "It is 42."
        assert found.data["origins"][0]["site_uri"] == "https://a.example/"
        await caller.message("bot-stopped-speaking", timeout=10)
        assert "print" not in json.dumps([message.data for message in caller.messages])
        assert "not run" not in json.dumps([message.data for message in caller.messages])
        connection = await house.model.connected()
        assert connection.setup is not None
        assert connection.setup["tools"] == [{"googleSearch": {}}, {"codeExecution": {}}]
