"""The model's calls to Python functions: declare them, run them within bounds, answer each exactly once.

`Tools.run` always comes back with something to tell the model, for a call without an answer wedges the conversation.
"""

import asyncio
import functools
import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from google.genai import types
from pydantic import ValidationError, validate_call
from pydantic_core import to_jsonable_python

from relay.errors import place
from relay.gemini.events import FunctionCall
from relay.thread import in_thread

CALL_DEADLINE: Final = 20.0  # seconds for one call; the model waits meanwhile
MAX_RUNNING: Final = 64  # calls at a time, of all conversations with one agent; more are told to come back
MAX_RESULT: Final = 32 * 1024  # characters of JSON; the model reads it all as context, turn after turn

log = logging.getLogger(__name__)


class ToolError(Exception):
    """Raised by a tool to tell the model what went wrong: the text reaches the model, and it may say it aloud."""


class Tools:
    """Python functions the model may call, sync or async. Their names, hints and docstrings are what it reads.

    Sync functions run in a daemon thread each, so a slow one delays nobody. `deadline` is in seconds.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]] = (), *, deadline: float = CALL_DEADLINE) -> None:
        self._deadline = deadline
        self._running = 0
        self._functions: dict[str, Callable[..., Any]] = {}
        self.declarations: list[types.FunctionDeclaration] = []
        for function in functions:
            declaration = types.FunctionDeclaration.from_callable_with_api_option(
                callable=function, use_json_schema=True
            )
            name = declaration.name or ""
            if name in self._functions:
                raise ValueError(f"two tools are called {name}")
            self._functions[name] = validate_call(function)
            self.declarations.append(declaration)

    async def run(self, call: FunctionCall) -> dict[str, Any]:
        """The `response` for the model: ``{"output": …}`` or ``{"error": sentence}``. Raises only when cancelled."""
        function = self._functions.get(call.name)
        if function is None:
            return {"error": "There is no such function."}
        if self._running >= MAX_RUNNING:
            return {"error": "Too many functions are running. Try again in a moment."}
        self._running += 1
        try:
            async with asyncio.timeout(self._deadline) as timeout:
                output = await self._call(function, call.args)
            return _answer(output)
        except ToolError as error:
            return {"error": str(error)}
        except (Exception, SystemExit) as error:
            if isinstance(error, ValidationError) and error.title == function.__qualname__:
                return {"error": f"The arguments do not fit: {_misfits(error)}"}
            if isinstance(error, TimeoutError) and timeout.expired():
                return {"error": f"The function did not answer in {self._deadline:g} seconds."}
            # Its words may hold what the user said: the log learns where, not what.
            log.warning("tool %s failed: %s at %s", call.name, type(error).__name__, place(error))
            return {"error": "The function failed."}
        finally:
            self._running -= 1

    async def _call(self, function: Callable[..., Any], args: Mapping[str, Any]) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(**args)
        self._running += 1  # a thread cannot be stopped: it counts until it ends by itself, answered for or not
        return await in_thread(functools.partial(function, **args), self._thread_ended)

    def _thread_ended(self) -> None:
        self._running -= 1


def _answer(output: Any) -> dict[str, Any]:
    response = {"output": to_jsonable_python(output, inf_nan_mode="null")}
    if len(json.dumps(response)) > MAX_RESULT:
        return {"error": "The function's result is too long."}
    return response


def _misfits(error: ValidationError) -> str:
    """Which arguments, and why; what was given stays out, for the model knows it."""
    return "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors(include_input=False))
