"""The model's calls of functions, ours and the client's: each id is answered once, and a cancelled one never.

A call is open from `begin` until it is answered or cancelled. Whatever ends it takes it out of what is open, and only
who took it out may answer: a result, an error and a time-out cannot meet, in whatever order they come.

The model's ids are those of one connection to it, and the next may use the same. Here, and to the client, each call has
an id of its own: the model's, while no other call has had that.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from relay import rtvi, said
from relay.gemini import protocol
from relay.gemini.events import FunctionCall
from relay.history import History
from relay.tools import CALL_DEADLINE, CROWDED, FAILED, TOO_LONG, Declared, Response, Tools, fitting, overdue

# Seconds past its own deadline that a function of ours has to stop in; then it is answered for while it goes on.
STOP_SECONDS: Final = 1.0
# Calls of one conversation at a time; a model makes a handful.
MAX_OPEN: Final = 32
# Characters of JSON: a message to a browser stays well below 64 KiB (RFC 8841 §6.1), and a device reads less.
MAX_ARGUMENTS: Final = 16 * 1024
# Ids that are remembered as answered or cancelled: a repeated one is not answered again. A call takes a second or so.
MAX_PAST: Final = 1000
# These SDKs know a call by its old name alone; the others know both, and would run it twice.
OLD_LIBRARIES: Final = frozenset({"pipecat-client-ios", "Pipecat Android Client"})

NO_CLIENT: Final = {"error": "The user's app is not there to run it."}
LONG_ARGUMENTS: Final = {"error": "The arguments are too long."}


@dataclass(slots=True, eq=False)
class _Open:
    """One call without an answer, made on that `connection`.

    `task` runs a function of ours; `shown` when the client was told of the call.
    """

    connection: int
    call: FunctionCall
    declared: Declared | None
    timer: asyncio.TimerHandle
    ours: bool
    task: asyncio.Task[None] | None = None
    shown: bool = False


class Asker(Protocol):
    """The model, which calls on one connection after another."""

    @property
    def generation(self) -> int:
        """The number of the connection on which it speaks now."""

    def answer(self, message: protocol.Answer, connection: int, /) -> object:
        """Tell it what a function returned that it called there."""

    def call_off(self, calls: Sequence[tuple[int, FunctionCall]], /) -> None:
        """These, and where it called them: they will have no answer."""


class FunctionCalls:
    """One conversation's calls. `connect` it to the model before that speaks; owes one `close`.

    `say` takes what the client is told; `answered` is called when the model was told something. `tasks` gives the
    call's TaskGroup, None when it is over. Set `library` once the client is ready, to the name that it gave itself;
    until then there is nobody to run the client's functions.
    """

    def __init__(
        self,
        tools: Tools,
        say: Callable[[Sequence[rtvi.Message]], None],
        tasks: Callable[[], asyncio.TaskGroup | None],
        history: History | None = None,
        answered: Callable[[], object] = lambda: None,
    ) -> None:
        self.library: str | None = None
        self._tools = tools
        self._say = say
        self._answered = answered
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._history = history or History(0.0)
        self._open: dict[str, _Open] = {}
        self._past: dict[str, tuple[int, str]] = {}  # to the connection that called, and its id there
        self._numbers = itertools.count(1)
        self._over = False

    def connect(self, model: Asker) -> None:
        """This is the model."""
        self._model = model

    @property
    def running(self) -> bool:
        """Whether a call has no answer yet."""
        return bool(self._open)

    def begin(self, calls: Iterable[FunctionCall]) -> None:
        """The model wants these called, side by side; an id that has had its answer on this connection has no other."""
        connection, repeated = self._model.generation, []
        for call in calls:
            if call.id and (connection, call.id) in self._past.values():
                repeated.append((connection, call))
            elif not self._over and not (call.id and self._is_open(connection, call.id)):
                self._begin(self._named(call.id), connection, call)
        if repeated:
            self._model.call_off(repeated)

    def cancel(self, ids: Iterable[str]) -> None:
        """The model does not want these answers any more; the ids are its own."""
        connection, wanted = self._model.generation, set(ids)
        self._cancel(
            id for id, opened in self._open.items() if opened.connection == connection and opened.call.id in wanted
        )

    def interrupt(self) -> None:
        """The user has the floor: no answer is wanted any more, but of functions that the model does not wait for."""
        waits = {id: opened for id, opened in self._open.items() if opened.declared is None or opened.declared.waits}
        self._cancel(waits)
        if waits:
            self._model.call_off([(opened.connection, opened.call) for opened in waits.values()])

    def result(self, result: said.FunctionCallResult) -> None:
        """What a function of the client returned; ``{"error": sentence}`` when it failed.

        The client is told when nobody has asked for it.
        """
        call = self._open.get(result.call_id)
        if call is None or call.ours or call.call.name != result.name:
            self._say([rtvi.refusal(result.id, "No call of that function is open under that tool_call_id.")])
            return
        value = result.result
        failed = isinstance(value, dict) and value.keys() == {"error"} and isinstance(value["error"], str)
        self._answer(result.call_id, fitting(value if failed else {"output": value}), value)

    def too_long(self, id: str) -> None:
        """A client's result was too large to be read."""
        if (call := self._open.get(id)) is not None and not call.ours:
            self._answer(id, TOO_LONG)

    def close(self) -> None:
        """The conversation ends: nothing is answered any more, and what runs is stopped; idempotent."""
        self._over = True
        self._cancel(self._open)

    def _is_open(self, connection: int, id: str) -> bool:
        """Whether the model waits for an answer to that `id` of its own there."""
        return any((opened.connection, opened.call.id) == (connection, id) for opened in self._open.values())

    def _named(self, id: str) -> str:
        """An id that no call has or had: the model's, if it can be."""
        name = id or f"call-{next(self._numbers)}"
        while name in self._open or name in self._past:
            name = f"{id or 'call'}-{next(self._numbers)}"
        return name

    def _cancel(self, ids: Iterable[str]) -> None:
        for id in tuple(ids):
            if (call := self._take(id)) is not None:
                self._history.cancelled(id, self._loop.time())
                self._stopped(id, call, cancelled=True)

    def _begin(self, id: str, connection: int, call: FunctionCall) -> None:
        declared, group = self._tools.find(call.name), self._tasks()
        deadline = declared.deadline if declared is not None else CALL_DEADLINE
        ours = declared is None or declared.run is not None
        due = deadline + STOP_SECONDS if ours else deadline
        timer = self._loop.call_later(due, self._answer, id, overdue(deadline))
        opened = self._open[id] = _Open(connection, call, declared, timer, ours)
        self._history.called(id, call.name, dict(call.args), self._loop.time())
        if len(self._open) > MAX_OPEN or group is None:
            self._answer(id, CROWDED)
        elif not ours:
            self._hand_over(id, opened)
        else:
            opened.shown = True
            self._say(rtvi.function_call(id))
            opened.task = group.create_task(self._run(id, call), name="tool")

    def _hand_over(self, id: str, opened: _Open) -> None:
        """Let the client run it."""
        name, arguments = opened.call.name, opened.call.args
        if self.library is None:
            self._answer(id, NO_CLIENT)
        elif len(json.dumps(arguments)) > MAX_ARGUMENTS:
            self._answer(id, LONG_ARGUMENTS)
        elif self.library in OLD_LIBRARIES:
            self._say([rtvi.legacy_function_call(id, name, arguments)])
        else:
            opened.shown = True
            self._say([rtvi.function_call_started(name), rtvi.function_call_in_progress(id, name, arguments)])

    async def _run(self, id: str, call: FunctionCall) -> None:
        response = FAILED
        try:
            response = await self._tools.run(call)
        finally:  # a function can cancel itself; when we did, its id is not open any more
            self._answer(id, response)

    def _answer(self, id: str, response: Response, result: Any = None) -> None:
        if (opened := self._take(id)) is None:
            return
        call, scheduling = opened.call, opened.declared.scheduling if opened.declared is not None else None
        self._model.answer(protocol.tool_message(call.id, call.name, response, scheduling), opened.connection)
        self._answered()
        self._history.returned(id, response, self._loop.time())
        self._stopped(id, opened, result=result)

    def _take(self, id: str) -> _Open | None:
        """This call, open no more: who gets it may answer it."""
        opened = self._open.pop(id, None)
        if opened is None:
            return None
        self._past[id] = opened.connection, opened.call.id
        if len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]
        opened.timer.cancel()
        if opened.task is not None and opened.task is not asyncio.current_task():
            opened.task.cancel()
        return opened

    def _stopped(self, id: str, opened: _Open, *, cancelled: bool = False, result: Any = None) -> None:
        if opened.shown:
            name = "" if opened.ours else opened.call.name
            self._say([rtvi.function_call_stopped(id, name, result, cancelled=cancelled)])
