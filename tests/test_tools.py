"""The model's calls to Python functions: each is answered, whatever the function does."""

import asyncio
import dataclasses
import logging
import threading
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from relay.gemini.events import FunctionCall
from relay.gemini.protocol import tool_message
from relay.tools import MAX_RESULT, MAX_RUNNING, ToolError, Tools


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


@pytest.mark.parametrize("kind", [ValueError, StopIteration, SystemExit, TimeoutError])
@pytest.mark.parametrize("sync", [True, False])
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

    before = threading.active_count()
    tools = Tools([hang, double], deadline=0.001)
    for _ in range(MAX_RUNNING):
        assert "did not answer" in (await tools.run(call("hang")))["error"]
    assert "Too many" in (await tools.run(call("double", number=1)))["error"]
    released.set()
    async with asyncio.timeout(5):
        while threading.active_count() > before:
            await asyncio.sleep(0.01)
    assert await tools.run(call("double", number=1)) == {"output": 2}


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

    def much() -> str:
        """Give much."""
        return "x" * (MAX_RESULT + 1)

    tools = Tools([thing, much])
    assert await tools.run(call("thing")) == {"error": "The function failed."}
    assert await tools.run(call("much")) == {"error": "The function's result is too long."}


async def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tools are called double"):
        Tools([double, double])
