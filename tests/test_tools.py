"""The model's calls to Python functions: each is answered, whatever the function does."""

import asyncio
import dataclasses
import itertools
import logging
import threading
import time
from datetime import date
from typing import Any

import pytest
from google.genai import types
from pydantic import BaseModel

from relay.gemini.events import FunctionCall
from relay.gemini.protocol import tool_message
from relay.thread import MAX_THREADS
from relay.tools import CROWDED, MAX_DEADLINE, MAX_RESULT, MAX_RUNNING, Tool, ToolError, Tools, tool


def call(name: str, **args: Any) -> FunctionCall:
    return FunctionCall("fc_1", name, args)


def get_weather(city: str, days: int = 3) -> dict[str, Any]:
    """Look up the weather."""
    return {"city": city, "days": days}


async def double(number: int) -> int:
    """Twice the number."""
    await asyncio.sleep(0)
    return 2 * number


async def test_a_function_is_declared_by_its_name_hints_and_docstring() -> None:
    weather, twice = Tools([get_weather, double]).declarations
    assert (weather.name, weather.description) == ("get_weather", "Look up the weather.")
    assert weather.parameters_json_schema == {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3}},
        "required": ["city"],
    }
    assert twice.name == "double"


async def test_sync_and_async_functions_give_their_output() -> None:
    tools = Tools([get_weather, double])
    assert await tools.run(call("get_weather", city="Oslo")) == {"output": {"city": "Oslo", "days": 3}}
    assert await tools.run(call("double", number=21)) == {"output": 42}


async def test_arguments_may_be_called_anything() -> None:
    def echo(function: str, call: str) -> str:
        """Echo."""
        return function + call

    assert await Tools([echo]).run(FunctionCall("1", "echo", {"function": "a", "call": "b"})) == {"output": "ab"}


async def test_numbers_come_as_the_hints_say() -> None:
    assert await Tools([double]).run(call("double", number=21.0)) == {"output": 42}
    assert await Tools([double]).run(call("double", number="21")) == {"output": 42}


async def test_a_slow_sync_function_delays_nobody() -> None:
    released = threading.Event()

    def wait() -> str:
        """Wait."""
        released.wait(5)
        return threading.current_thread().name

    running = asyncio.create_task(Tools([wait]).run(call("wait")))
    await asyncio.sleep(0.02)
    assert not running.done()
    released.set()
    assert await running == {"output": "owner's function"}


async def test_an_unknown_function_and_unfit_arguments_are_errors_the_model_can_mend() -> None:
    tools = Tools([get_weather])
    assert await tools.run(call("nothing")) == {"error": "There is no such function."}
    missing = await tools.run(call("get_weather", town="canary"))
    assert "city" in missing["error"]
    assert "town" in missing["error"]
    assert "canary" not in missing["error"]


async def test_what_does_not_fit_inside_a_function_is_not_blamed_on_its_arguments() -> None:
    class Row(BaseModel):
        number: int

    def read() -> Row:
        """Read a row."""
        return Row.model_validate({"number": "canary"})

    assert await Tools([read]).run(call("read")) == {"error": "The function failed."}


async def test_a_tool_error_is_told_in_its_own_words() -> None:
    def fail() -> None:
        """Fail."""
        raise ToolError("The shop is closed.")

    assert await Tools([fail]).run(call("fail")) == {"error": "The shop is closed."}


@pytest.mark.parametrize(
    ("kind", "sync"),
    [*itertools.product([ValueError, StopIteration, SystemExit, TimeoutError], [True, False]),
     (KeyboardInterrupt, True), (asyncio.CancelledError, True)],
)  # fmt: skip
async def test_any_other_failure_keeps_its_words_from_model_and_log(
    kind: type[BaseException], sync: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        """Fail."""
        raise kind("canary")

    async def fail_later() -> None:
        """Fail."""
        raise kind("canary")

    caplog.set_level(logging.DEBUG)
    function = fail if sync else fail_later
    assert await Tools([function]).run(call(function.__name__)) == {"error": "The function failed."}
    (record,) = [record for record in caplog.records if record.name == "relay.tools"]
    assert "test_tools.py:" in record.getMessage()
    assert "canary" not in caplog.text


async def test_a_function_that_takes_too_long_is_answered_for() -> None:
    stopped = asyncio.Event()
    released = threading.Event()

    async def forever() -> None:
        """Never return."""
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    def hang() -> None:
        """Never return."""
        released.wait(5)

    tools = Tools([forever, hang], deadline=0.05)
    for name in ("forever", "hang"):
        assert await tools.run(call(name)) == {"error": "The function did not answer in 0.05 seconds."}
    assert stopped.is_set()
    released.set()


async def test_a_cancelled_call_stops_and_answers_nothing() -> None:
    stopped = asyncio.Event()

    async def forever() -> None:
        """Never return."""
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    tools = Tools([forever, double])
    running = asyncio.create_task(tools.run(call("forever")))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()
    assert await tools.run(call("double", number=1)) == {"output": 2}


async def test_so_many_run_at_a_time_and_the_next_is_told_to_come_back() -> None:
    gate = asyncio.Event()

    async def wait() -> str:
        """Wait."""
        await gate.wait()
        return "done"

    tools = Tools([wait])
    running = [asyncio.create_task(tools.run(call("wait"))) for _ in range(MAX_RUNNING)]
    await asyncio.sleep(0)
    assert "Too many" in (await tools.run(call("wait")))["error"]
    gate.set()
    assert await asyncio.gather(*running) == [{"output": "done"}] * MAX_RUNNING
    assert await tools.run(call("wait")) == {"output": "done"}


async def test_a_thread_that_hangs_takes_one_of_the_places_until_it_ends() -> None:
    released = threading.Event()

    def hang() -> None:
        """Never return."""
        released.wait(5)

    def once() -> int:
        """Return."""
        return 1

    before = threading.active_count()
    tools = Tools([hang], deadline=0.001), Tools([hang, once], deadline=0.001)
    for n in range(MAX_THREADS):
        assert "did not answer" in (await tools[n % 2].run(call("hang")))["error"]
    assert await tools[1].run(call("once")) == CROWDED, "whoever's agent it is"
    assert threading.active_count() == before + MAX_THREADS
    released.set()
    async with asyncio.timeout(5):
        while threading.active_count() > before:
            await asyncio.sleep(0.01)
    assert await Tools([once]).run(call("once")) == {"output": 1}


@dataclasses.dataclass
class Day:
    when: date


@pytest.mark.parametrize(
    ("output", "told"),
    [(None, None), (Day(date(2026, 11, 22)), {"when": "2026-11-22"}), ({1}, [1]), (float("nan"), None),
     ((1, "ø"), [1, "ø"])],
)  # fmt: skip
async def test_what_a_function_returns_is_told_as_json(output: Any, told: Any) -> None:
    def give() -> Any:
        """Give it."""
        return output

    response = await Tools([give]).run(call("give"))
    assert response == {"output": told}
    tool_message("fc_1", "give", response)


async def test_what_cannot_be_told_or_is_too_long_is_an_error() -> None:
    def thing() -> Any:
        """Give a thing."""
        return object()

    def endless() -> Any:
        """Give for ever."""
        return itertools.count()

    tools = Tools([thing, endless])
    assert await tools.run(call("thing")) == await tools.run(call("endless")) == {"error": "The function failed."}


class Much(BaseModel):
    numbers: list[int]


def ring() -> list[Any]:
    rows: list[Any] = []
    rows.append(rows)
    return rows


@pytest.mark.parametrize(
    "much",
    [lambda: "x" * (MAX_RESULT + 1), lambda: "ø" * MAX_RESULT, lambda: "x" * 10_000_000, lambda: [7] * 3_000_000,
     lambda: [{"city": "Oslo", "rows": list(range(100))}] * 25_000, lambda: Much(numbers=[7] * 1_000_000), ring],
)  # fmt: skip
async def test_a_result_that_is_too_long_is_told_as_that_and_never_written_down(much: Any) -> None:
    output = much()

    async def give() -> Any:
        """Give much."""
        return output

    tools = Tools([give])
    began = time.thread_time()
    assert await tools.run(call("give")) == {"error": "The function's result is too long."}
    assert time.thread_time() - began < 0.1, "to write 10 MB down would take far longer, and hold up every call"


async def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tools are called double"):
        Tools([double, double])


def test_two_tools_of_one_name_are_refused_whoever_runs_them() -> None:
    with pytest.raises(ValueError, match="two tools are called double"):
        Tools([double], [double])


@pytest.mark.parametrize("name", ["", "a b", "ø", "x" * 65])
def test_a_name_that_the_model_cannot_call_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be called"):
        Tools(client=[{"name": name}])
    with pytest.raises(ValueError, match="cannot be called"):
        Tools([lambda: 1])


async def test_a_tool_says_how_it_is_called_and_stays_a_function() -> None:
    @tool(blocking=False, scheduling="SILENT", deadline=3)
    def note(text: str) -> int:
        """Note it."""
        return len(text)

    tools = Tools([note, tool(double, blocking=True), get_weather])
    assert [(one.name, one.behavior) for one in tools.declarations] == [
        ("note", types.Behavior.NON_BLOCKING), ("double", types.Behavior.BLOCKING), ("get_weather", None),
    ]  # fmt: skip
    declared = tools.find("note")
    assert declared is not None
    assert (declared.scheduling, declared.deadline) == ("SILENT", 3)
    assert note("four") == 4
    assert await tools.run(call("note", text="four")) == {"output": 4}
    assert await tools.run(call("double", number=1)) == {"output": 2}


async def test_a_tool_may_have_a_deadline_of_its_own() -> None:
    @tool(deadline=0.01)
    async def forever() -> None:
        """Never return."""
        await asyncio.Event().wait()

    assert await Tools([forever]).run(call("forever")) == {"error": "The function did not answer in 0.01 seconds."}


@pytest.mark.parametrize(
    "wrong",
    [{"scheduling": "SILENT"}, {"scheduling": "SILENT", "blocking": True}, {"scheduling": "SOON", "blocking": False},
     {"deadline": 0}, {"deadline": MAX_DEADLINE + 1}],
)  # fmt: skip
def test_what_a_tool_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"scheduling|deadline"):
        tool(double, **wrong)


def test_a_client_tool_is_declared_by_a_signature_or_a_declaration() -> None:
    def show(place: str) -> None:
        """Show a place on the map."""
        raise AssertionError("it is the client's to run")

    row = {"name": "close", "description": "Close it.", "parameters": {"type": "object", "properties": {}}}
    tools = Tools([double], [show, row, tool(types.FunctionDeclaration(name="ring"), blocking=False)])
    assert [one.name for one in tools.declarations] == ["double", "show", "close", "ring"]
    schema = tools.declarations[1].parameters_json_schema
    assert schema is not None
    assert schema["required"] == ["place"]
    assert tools.declarations[3].behavior is types.Behavior.NON_BLOCKING
    assert [found.run is None for name in ("double", "show", "ring") if (found := tools.find(name))] == [
        False, True, True,
    ]  # fmt: skip


async def test_a_client_tool_is_never_run_here() -> None:
    assert await Tools(client=[get_weather]).run(call("get_weather", city="Oslo")) == {
        "error": "There is no such function."
    }


def test_a_declaration_alone_is_no_tool_of_ours() -> None:
    with pytest.raises(ValueError, match="a tool of ours is a function"):
        Tools([Tool({"name": "close"})])
    with pytest.raises(TypeError):
        Tool({"name": "close"})()
