"""A model service on loopback that fails as told, and a clock that jumps, so that outages take no time.

Each connection is played by a script of its own: the n-th by the n-th script, and the last one again and again. The
service is as strict as Google's: while one connection is open another is closed with 1011.
"""

import asyncio
import base64
import contextlib
import json
import selectors
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests import virtual

REAL_SECONDS: Final = 0.001  # that the network gets before the clock jumps
INTERNAL: Final = "Internal error encountered."
INVALID: Final = "Request contains an invalid argument."


class LoopbackLoop(virtual.VirtualLoop):
    """Virtual time for sockets on loopback: the clock jumps when nothing has arrived for a moment."""

    def __init__(self) -> None:
        super().__init__()
        selector: Any = self.__dict__["_selector"]
        select = selectors.DefaultSelector.select

        def patient(timeout: float | None = None) -> Any:
            waits = timeout is None or timeout > 0
            ready = select(selector, REAL_SECONDS if waits else 0)
            if not ready and timeout:
                self._advance(timeout)
            return ready

        selector.select = patient

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)  # in a thread it would take hours


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run `main` in virtual time, with sockets; it must leave no task."""

    async def whole() -> None:
        await main()
        await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()

    with asyncio.Runner(loop_factory=LoopbackLoop) as runner:
        runner.run(whole())


class Visit:
    """One connection as the service sees it."""

    def __init__(self, number: int, socket: ServerConnection, setup: dict[str, Any], at: float) -> None:
        self.number = number
        self.socket = socket
        self.setup = setup
        self.opened_at = at
        self.closed_at: float | None = None
        self.ready_at: float | None = None
        self.pcm = bytearray()
        self.first_pcm_at: float | None = None
        self.heard: list[tuple[str, Any]] = []  # all but sound: kind and content, in order
        self.order: list[str] = []  # what came, sound as one entry however long
        self._more = asyncio.Event()

    @property
    def handle(self) -> str | None:
        handle = self.setup["setup"].get("sessionResumption", {}).get("handle")
        assert handle is None or isinstance(handle, str)
        return handle

    @property
    def texts(self) -> list[str]:
        """What was typed, asked in words, or put back."""
        found = []
        for kind, body in self.heard:
            if kind == "text":
                found.append(body)
            elif kind == "clientContent":
                found += [f"{turn['role']}: {turn['parts'][0]['text']}" for turn in body["turns"]]
        return found

    # ---- what it says ----

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def ready(self, handle: str = "") -> None:
        """Accept the setup, and offer a handle."""
        await self.say(setupComplete={})
        self.ready_at = asyncio.get_running_loop().time()
        if handle:
            await self.offer(handle)

    async def offer(self, handle: str) -> None:
        await self.say(sessionResumptionUpdate={"newHandle": handle, "resumable": True})

    async def speak(self, seconds: float = 0.2, text: str = "") -> None:
        """A piece of an answer."""
        data = base64.b64encode(bytes(int(seconds * 24_000)) * 2).decode()
        content: dict[str, Any] = {
            "modelTurn": {
                "role": "model",
                "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}],
            }
        }
        if text:
            content["outputTranscription"] = {"text": text}
        await self.say(serverContent=content)

    async def finish(self, handle: str = "") -> None:
        """An answer's end."""
        await self.say(serverContent={"generationComplete": True})
        await self.say(serverContent={"turnComplete": True})
        if handle:
            await self.offer(handle)

    async def call(self, id: str, name: str, **arguments: Any) -> None:
        await self.say(toolCall={"functionCalls": [{"id": id, "name": name, "args": arguments}]})

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code, reason)

    def cut(self) -> None:
        """No close frame: the network is gone."""
        self.socket.transport.abort()

    # ---- what it waits for ----

    async def until(self, done: Callable[["Visit"], object]) -> None:
        """Wait until what was heard is enough."""
        while not done(self):
            self._more.clear()
            await self._more.wait()

    async def listen(self) -> None:
        """Until the caller goes."""
        await self.socket.wait_closed()

    def take(self, message: dict[str, Any], now: float) -> None:
        ((kind, body),) = message.items()
        if kind == "realtimeInput":
            ((kind, body),) = body.items()
        if kind == "audio":
            self.pcm += base64.b64decode(body["data"])
            if self.first_pcm_at is None:
                self.first_pcm_at = now
            if self.order[-1:] != ["audio"]:
                self.order.append("audio")
        else:
            self.heard.append((kind, body))
            self.order.append(kind)
        self._more.set()


Script = Callable[[Visit], Awaitable[None]]


class Service:
    """The service, and what it saw. `down` while nothing answers at its address."""

    def __init__(self, scripts: Sequence[Script], bind: Callable[[], socket.socket] | None = None) -> None:
        """`bind` makes the socket to listen on, where that is not loopback."""
        self._scripts = scripts
        self._bind = bind
        self._server: Server | None = None
        self._open = 0
        self.host, self.port = "127.0.0.1", 0
        self.visits: list[Visit] = []
        self.refused_as_second = 0
        self.attempts = 0
        self.refuses: list[int] = []  # the next upgrades, with these HTTP statuses
        self.strict = True  # it takes no other connection while one is open, or seems so

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    @property
    def pcm(self) -> bytes:
        """All the sound that any connection took."""
        return b"".join(visit.pcm for visit in self.visits)

    async def up(self) -> None:
        where: dict[str, Any] = {"host": self.host, "port": self.port} if self._bind is None else {"sock": self._bind()}
        self._server = await serve(
            self._play, **where, compression=None, ping_interval=None, max_size=None, close_timeout=1,
            process_request=self._refuse,
        )  # fmt: skip
        self.host, self.port = self._server.sockets[0].getsockname()

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def pause(self, seconds: float) -> None:
        """Take no new connection for so long; those there are stay."""
        assert self._server is not None
        self._server.close(close_connections=False)
        self._server = None
        await asyncio.sleep(seconds)
        await self.up()

    def _refuse(self, connection: ServerConnection, _: Request) -> Response | None:
        return connection.respond(self.refuses.pop(0), "The service is unavailable.\n") if self.refuses else None

    async def _play(self, socket: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        self.attempts += 1
        try:
            setup = json.loads(await socket.recv())
            if self._open and self.strict:
                self.refused_as_second += 1
                await socket.close(1011, INTERNAL)
                return
            visit = Visit(len(self.visits) + 1, socket, setup, loop.time())
            self.visits.append(visit)
            self._open += 1
            script = self._scripts[min(visit.number, len(self._scripts)) - 1]
            playing = asyncio.create_task(self._perform(script, visit))
            try:
                with contextlib.suppress(ConnectionClosed):
                    async for message in socket:
                        visit.take(json.loads(message), loop.time())
            finally:
                self._open -= 1
                visit.closed_at = loop.time()
                playing.cancel()
                await asyncio.wait([playing])
        except ConnectionClosed:
            pass

    async def _perform(self, script: Script, visit: Visit) -> None:
        with contextlib.suppress(ConnectionClosed):
            await script(visit)


@asynccontextmanager
async def service(*scripts: Script, bind: Callable[[], socket.socket] | None = None) -> AsyncIterator[Service]:
    """A service that plays these scripts, one for each connection."""
    there = Service(scripts, bind)
    await there.up()
    try:
        yield there
    finally:
        await there.down()
