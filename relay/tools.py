"""The functions that the model may call: declare them, run those that are ours within bounds.

`Tools.run` comes back with something to tell the model; whose call is answered how and when is `functions`' affair.
"""

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Final, Literal, get_args, overload

from google.genai import types
from pydantic import BaseModel, ValidationError, validate_call
from pydantic_core import to_jsonable_python

from relay.errors import place
from relay.gemini.events import FunctionCall
from relay.thread import Crowded, called

CALL_DEADLINE: Final = 20.0  # seconds for one call; the model waits meanwhile
MAX_DEADLINE: Final = 600.0  # seconds; a conversation that waits longer for one function is over
MAX_RUNNING: Final = 64  # calls at a time, of all conversations with one agent; more are told to come back
MAX_RESULT: Final = 32 * 1024  # characters of JSON; the model reads it all as context, turn after turn

Scheduling = Literal["SILENT", "WHEN_IDLE", "INTERRUPT"]
Function = Callable[..., Any]
Response = dict[str, Any]
"""``{"output": …}`` or ``{"error": sentence}``"""

CROWDED: Final = {"error": "Too many functions are running. Try again in a moment."}
FAILED: Final = {"error": "The function failed."}
TOO_LONG: Final = {"error": "The function's result is too long."}

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # what Gemini takes

log = logging.getLogger(__name__)


class ToolError(Exception):
    """Raised by a tool to tell the model what went wrong: the text reaches the model, and it may say it aloud."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function, or the declaration of one of the client's, and how the model calls it; see `tool`."""

    function: Function | types.FunctionDeclaration | Mapping[str, Any]
    blocking: bool | None = None
    scheduling: Scheduling | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.scheduling is not None and self.scheduling not in get_args(Scheduling):
            raise ValueError(f"scheduling is one of {', '.join(get_args(Scheduling))}")
        if self.scheduling is not None and self.blocking is not False:
            raise ValueError("scheduling is for a tool with blocking=False")
        if self.deadline is not None and not 0 < self.deadline <= MAX_DEADLINE:
            raise ValueError(f"a deadline is more than 0 and at most {MAX_DEADLINE:g} seconds")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        if not callable(self.function):
            raise TypeError("a declaration cannot be called")
        return self.function(*args, **kwargs)


@overload
def tool(
    function: Function | types.FunctionDeclaration | Mapping[str, Any],
    *,
    blocking: bool | None = None,
    scheduling: Scheduling | None = None,
    deadline: float | None = None,
) -> Tool: ...
@overload
def tool(
    *, blocking: bool | None = None, scheduling: Scheduling | None = None, deadline: float | None = None
) -> Callable[[Function], Tool]: ...
def tool(
    function: Function | types.FunctionDeclaration | Mapping[str, Any] | None = None,
    *,
    blocking: bool | None = None,
    scheduling: Scheduling | None = None,
    deadline: float | None = None,
) -> Tool | Callable[[Function], Tool]:
    """A tool that is called in its own way: ``tool(function, …)``, or ``@tool(…)`` above the function.

    `blocking`: whether the model waits for the answer; left out, the model does as it usually does. One that does not
    wait hears of the answer by `scheduling`: at once (INTERRUPT), after what it is saying (WHEN_IDLE, its own choice),
    or as something to know (SILENT). `deadline` is in seconds.
    """
    if function is None:
        return lambda function: Tool(function, blocking, scheduling, deadline)
    return Tool(function, blocking, scheduling, deadline)


@dataclass(frozen=True, slots=True)
class Declared:
    """One function that the model knows of. Without `run` it is the client's."""

    declaration: types.FunctionDeclaration
    run: Function | None
    scheduling: Scheduling | None
    deadline: float

    @property
    def waits(self) -> bool:
        """Whether the model may be waiting for its answer."""
        return self.declaration.behavior is not types.Behavior.NON_BLOCKING


class Tools:
    """The functions that the model may call. Names, hints and docstrings are what it reads.

    `functions` are Python, sync or async; a sync one runs in a daemon thread each, so a slow one delays nobody.
    `client` are those that the user's app runs: the signature of a function, which is never run here, or a declaration.
    `deadline` is in seconds, for those that name none of their own.
    """

    def __init__(
        self,
        functions: Sequence[Function | Tool] = (),
        client: Sequence[Function | Tool | types.FunctionDeclaration | Mapping[str, Any]] = (),
        *,
        deadline: float = CALL_DEADLINE,
    ) -> None:
        self._running = 0
        self._declared: dict[str, Declared] = {}
        for given, ours in [*((one, True) for one in functions), *((one, False) for one in client)]:
            declared = _declared(given if isinstance(given, Tool) else Tool(given), ours, deadline)
            name = declared.declaration.name or ""
            if not _NAME.fullmatch(name):
                raise ValueError(f"a tool cannot be called {name[:80]!r}")
            if name in self._declared:
                raise ValueError(f"two tools are called {name}")
            self._declared[name] = declared

    @property
    def declarations(self) -> list[types.FunctionDeclaration]:
        """What the model is told of them."""
        return [declared.declaration for declared in self._declared.values()]

    def find(self, name: str) -> Declared | None:
        """What is declared under that name."""
        return self._declared.get(name)

    async def run(self, call: FunctionCall) -> Response:
        """What to tell the model of a call of ours. Raises only when cancelled.

        A function that takes no notice of being cancelled holds it up.
        """
        declared = self._declared.get(call.name)
        if declared is None or declared.run is None:
            return {"error": "There is no such function."}
        if self._running >= MAX_RUNNING:
            return CROWDED
        self._running += 1
        try:
            async with asyncio.timeout(declared.deadline) as timeout:
                output = await called(declared.run, **call.args)
            return told(output)
        except ToolError as error:
            return {"error": str(error)[:MAX_RESULT]}
        except Crowded:
            return CROWDED
        except (Exception, SystemExit) as error:
            if isinstance(error, ValidationError) and error.title == declared.run.__qualname__:
                return {"error": f"The arguments do not fit: {_misfits(error)}"}
            if isinstance(error, TimeoutError) and timeout.expired():
                return overdue(declared.deadline)
            # Its words may hold what the user said: the log learns where, not what.
            log.warning("tool %s failed: %s at %s", call.name, type(error).__name__, place(error))
            return FAILED
        finally:
            self._running -= 1


def told(output: Any) -> Response:
    """What a function gave, as the model is told it; raises what making JSON of it raises."""
    if _too_long(output):
        return TOO_LONG
    return fitting({"output": to_jsonable_python(output, inf_nan_mode="null")})


def fitting(response: Response) -> Response:
    """The same, or that it is too long."""
    return response if len(json.dumps(response)) <= MAX_RESULT else TOO_LONG


def overdue(deadline: float) -> Response:
    return {"error": f"The function did not answer in {deadline:g} seconds."}


def _declared(tool: Tool, ours: bool, deadline: float) -> Declared:
    function = tool.function
    if isinstance(function, types.FunctionDeclaration | Mapping):
        if ours:
            raise ValueError("a tool of ours is a function")
        declaration = types.FunctionDeclaration.model_validate(function).model_copy()
    else:
        declaration = types.FunctionDeclaration.from_callable_with_api_option(callable=function, use_json_schema=True)
    if tool.blocking is not None:
        declaration.behavior = types.Behavior.BLOCKING if tool.blocking else types.Behavior.NON_BLOCKING
    run = validate_call(function) if ours and callable(function) else None
    return Declared(declaration, run, tool.scheduling, tool.deadline or deadline)


def _too_long(output: Any) -> bool:
    """Whether its JSON is sure to be longer than `MAX_RESULT`, found out in no more than so many steps.

    To write down 10 MB for that would hold up all calls for a quarter of a second, and a generator may never end.
    """
    length, left = 0, [output]
    while left and length <= MAX_RESULT:
        value = left.pop()
        length += 1
        if isinstance(value, str | bytes | bytearray):
            length += len(value)
        elif isinstance(value, dict | list | tuple | set | frozenset | deque):
            length += len(value)
            if length <= MAX_RESULT:
                left += value
                left += value.values() if isinstance(value, dict) else ()
        elif isinstance(value, int | float | None):
            pass
        elif isinstance(value, Iterator):
            raise TypeError("a tool gives its result whole")
        elif isinstance(value, BaseModel) or is_dataclass(value):
            left += getattr(value, "__dict__", {}).values()
    return length > MAX_RESULT


def _misfits(error: ValidationError) -> str:
    """Which arguments, and why; what was given stays out, for the model knows it."""
    return "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors(include_input=False))
