"""How long a function call takes besides the function: the model's frame in, the relay's answer out, over a socket.

The model is in this process and its time is counted, so these figures are upper bounds.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve

from bench.report import Row, percentile
from relay import said
from relay.agent import Agent
from relay.functions import FunctionCalls
from relay.gemini.client import LiveClient
from relay.gemini.events import Event, FunctionCall, ToolCall
from relay.gemini.handshake import Target
from relay.gemini.protocol import Answer
from relay.rtvi import Message

OVERHEAD: Final = 5.0  # ms
CALLS, QUICK_CALLS = 500, 100
WARM_UP: Final = 20


def answer(place: str) -> dict[str, Any]:
    """The weather there."""
    return {"place": place, "degrees": 4}


async def answer_async(place: str) -> dict[str, Any]:
    """The weather there."""
    return answer(place)


def answer_client(place: str) -> dict[str, Any]:
    """The weather there."""
    return answer(place)


def rows(options: argparse.Namespace) -> list[Row]:
    """Every figure of this room."""
    return asyncio.run(_rows(QUICK_CALLS if options.quick else CALLS))


async def _rows(count: int) -> list[Row]:
    made = []
    async with connected() as model:
        for name, what in (
            ("answer", "a function of ours, in a thread"),
            ("answer_async", "a function of ours, async"),
            ("answer_client", "a function of the client that answers at once"),
        ):
            taken = [await model.call(name, n) for n in range(WARM_UP + count)][WARM_UP:]
            made.append(row(what, taken))
    return made


def row(what: str, taken: Sequence[float]) -> Row:
    """The row of one kind of function; `taken` in seconds."""
    milliseconds = [1000 * one for one in taken]
    return Row(
        f"call of {what}: overhead", [statistics.median(milliseconds)], "ms", OVERHEAD,
        f"p99 {percentile(milliseconds, 0.99):.2f}",
    )  # fmt: skip


class Model:
    """The model's end of a connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    async def call(self, name: str, number: int) -> float:
        """Seconds from the frame of one call of `name` to its answer."""
        call = {"name": name, "args": {"place": "Oslo"}, "id": f"{name}-{number}"}
        frame = json.dumps({"toolCall": {"functionCalls": [call]}}).encode()
        began = time.perf_counter()
        await self._socket.send(frame)
        told = json.loads(await self._socket.recv())
        taken = time.perf_counter() - began
        assert told["toolResponse"]["functionResponses"][0]["response"]["output"]["degrees"] == 4
        return taken


class Asker:
    """The model on the one connection that there is."""

    generation = 1

    def __init__(self, client: LiveClient) -> None:
        self._client = client

    def answer(self, message: Answer, connection: int) -> None:
        self._client.send(message.data)

    def call_off(self, calls: Sequence[tuple[int, FunctionCall]]) -> None:
        raise AssertionError("each call has an id of its own")


@asynccontextmanager
async def connected() -> AsyncIterator[Model]:
    """A model and the relay's connection to it, with functions behind it."""
    sockets: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def accept(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(b'{"setupComplete":{}}')
        sockets.put_nowait(socket)
        await socket.wait_closed()

    agent = Agent(tools=[answer, answer_async], client_tools=[answer_client])
    async with asyncio.TaskGroup() as group, serve(accept, "127.0.0.1", 0, compression=None) as server:
        target = Target(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", "gemini-3.8-live")

        def say(messages: Sequence[Message]) -> None:
            for message in messages:
                data = message["data"]
                if message["type"] == "llm-function-call-in-progress" and "function_name" in data:
                    result = answer(**data["arguments"])
                    calls.result(said.FunctionCallResult("", data["function_name"], data["tool_call_id"], result))

        def hear(event: Event) -> None:
            if isinstance(event, ToolCall):
                calls.begin(event.calls)

        client = LiveClient(target, agent.live_config(target.model), hear, lambda fault: None)
        calls = FunctionCalls(agent.toolbox, say, lambda: group)
        calls.connect(Asker(client))
        calls.library = ""
        await client.connect()
        yield Model(await sockets.get())
        calls.close()
        await client.close()
