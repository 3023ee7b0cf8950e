"""The stand-in's sockets: a WebSocket server on loopback, one `Conversation` for each connection.

With a workshop, and once that has its models, it is a conversation of the local voice; else it says back what it hears.

`websockets` rather than aiohttp: it starts in a quarter of the time, and it comes with google-genai.
"""

import asyncio
import functools
import json
import logging
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as websocket_server
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from relay.standin import wire
from relay.standin.conversation import Conversation
from relay.standin.local import LocalConversation
from relay.standin.memory import Shelf
from relay.standin.rest import Door, Rest
from relay.standin.script import Script
from relay.standin.timeline import Close, Raw, Say
from relay.standin.witness import Heard
from relay.standin.workshop import Seat, Workshop

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 100
MAX_MESSAGE_BYTES: Final = 4 << 20
# Letters of base64, a multiple of eight: 0.8 s of sound at 16 kHz. To listen to it takes up to 12 ms, and all wait.
PORTION: Final = 32 * 1024
MAX_QUEUE: Final = 64  # client frames read ahead
CLOSE_TIMEOUT_S: Final = 0.5  # for the closing handshake
PATH: Final = re.compile(
    r"/{1,2}ws/google\.ai\.generativelanguage\.(v1|v1beta|v1alpha)"
    r"\.GenerativeService\.BidiGenerateContent(Constrained)?"
)


# The library writes request headers into its debug log, and a client's key is one of them.
_SOCKETS: Final = logging.getLogger(__name__ + ".socket")
_SOCKETS.setLevel(logging.INFO)


class Standin:
    """A running server. `url` is what a client connects to, less the path."""

    def __init__(self, script: Script, record: bool, shop: Workshop | None = None) -> None:
        self.script = script
        self.shop = shop
        self.url = ""
        self.port = 0
        self.connections: list[Heard] = []  # all of them when recording, else the open ones
        self.rest = Rest(script, record, shop)
        self._record = record
        self._count = 0
        self._open: set[Heard] = set()
        self._arriving = 0  # they wait for the models
        self._shelf = Shelf()
        self._changed = asyncio.Event()

    @property
    def open(self) -> list[Heard]:
        """The connections that are open now, oldest first."""
        return sorted(self._open, key=lambda heard: heard.number)

    def received_pcm(self, connection: int = 1) -> bytes:
        """The 16 kHz sound of the n-th connection, counted from 1."""
        return bytes(self.connections[connection - 1].pcm)

    async def connected(self, connection: int = 1) -> Heard:
        """The n-th connection, once it is there."""
        while len(self.connections) < connection:
            self._changed.clear()
            await self._changed.wait()
        return self.connections[connection - 1]

    async def send(self, message: wire.Json | bytes | str, connection: int = 1) -> None:
        """Sends a message, or a frame as it is, past the conversation: a test's own fault."""
        frame = wire.phrase(message) if isinstance(message, dict) else message
        await self.connections[connection - 1].socket.send(frame)

    async def close(self, code: int, reason: str = "", connection: int = 1) -> None:
        """Closes the n-th connection as the service would."""
        await self.connections[connection - 1].socket.close(code, wire.cut(reason))

    def drop(self, connection: int = 1) -> None:
        """Cuts the n-th connection without a word."""
        self.connections[connection - 1].socket.transport.abort()

    def admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answers an upgrade that is not to be: a wrong path, too many lines, or a fault."""
        if not PATH.fullmatch(request.path.partition("?")[0]):
            return socket.respond(HTTPStatus.NOT_FOUND, "There is no model at this address.\n")
        if len(self._open) + self._arriving >= MAX_CONNECTIONS:
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "All lines are busy.\n")
        fault = self.script.fault("refuse-upgrade", self._count + 1)
        if fault is not None:
            self._count += 1
            return socket.respond(HTTPStatus(fault.status), fault.body)
        return None

    async def talk(self, socket: ServerConnection) -> None:
        """One connection from the upgrade to its end."""
        self._count += 1
        number, seed = self._count, self.script.seed
        dice = random.SystemRandom() if seed is None else random.Random(f"{seed} {number}")
        wake = asyncio.Event()
        conversation, seat = await self._conversation(number, dice, wake)
        with self._kept(number, conversation, socket) as heard:
            reader = asyncio.create_task(self._listen(heard, wake))
            try:
                await self._speak(heard, wake)
            except ConnectionClosed:
                pass
            except Exception:
                log.exception("connection %d failed while speaking", number)
            finally:
                conversation.hang_up()
                if seat is not None:
                    seat.close()
                reader.cancel()
                await asyncio.wait([reader])
                await socket.close(1011, "Internal error encountered.")  # nothing to do unless one of us failed

    @contextmanager
    def _kept(self, number: int, conversation: Conversation, socket: ServerConnection) -> Iterator[Heard]:
        """While the block runs the connection is one of those that are open; then it is written down how it ended."""
        request = socket.request
        assert request is not None
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        heard = Heard(number, request.path, headers, conversation, time.monotonic(), socket)
        self._open.add(heard)
        self.connections.append(heard)
        self._changed.set()
        log.info("connection %d opened", number)
        try:
            yield heard
        finally:
            heard.closed = (socket.close_code or 1006, socket.close_reason or "")
            self._open.discard(heard)
            if not self._record:
                self.connections.remove(heard)
            log.info(
                "connection %d closed after %.1f s with %d, %d utterances",
                number,
                time.monotonic() - heard.opened,
                heard.closed[0],
                len(conversation.utterances),
            )

    async def _conversation(
        self, number: int, dice: random.Random, wake: asyncio.Event
    ) -> tuple[Conversation, Seat | None]:
        """Who takes the connection, known when the models are loaded; what the client says meanwhile waits."""
        if self.shop is None:
            return Conversation(self.script, self._shelf, number, dice.getrandbits), None
        self._arriving += 1
        try:
            heard = await self.shop.ready()
        finally:
            self._arriving -= 1
        if not heard:
            return Conversation(self.script, self._shelf, number, dice.getrandbits), None
        seat = Seat(self.shop, wake.set)
        return LocalConversation(self.script, self._shelf, number, dice.getrandbits, seat, _clock), seat

    async def _listen(self, heard: Heard, wake: asyncio.Event) -> None:
        conversation = heard.conversation
        try:
            async for frame in heard.socket:
                for number, portion in enumerate(portions(frame)):
                    if number:
                        await asyncio.sleep(0)  # whoever else is on the line has a turn
                    now, due = time.monotonic(), conversation.due()
                    if conversation.receive(portion, now) and self._record:
                        heard.take(portion, now)
                    if conversation.due() != due or conversation.closed:
                        wake.set()
        except ConnectionClosed:
            pass
        except Exception:
            log.exception("connection %d failed while listening", heard.number)
        finally:
            conversation.hang_up()  # a resume may come before our own close is through
            wake.set()

    async def _speak(self, heard: Heard, wake: asyncio.Event) -> None:
        conversation, socket = heard.conversation, heard.socket
        while True:
            for out in conversation.collect(time.monotonic()):
                if isinstance(out, Say):
                    if self._record:
                        heard.told(out.message)
                    await socket.send(wire.phrase(out.message))
                elif isinstance(out, Raw):
                    await socket.send(out.data)
                elif isinstance(out, Close):
                    if out.code is None:
                        socket.transport.abort()
                    else:
                        await socket.close(out.code, out.reason)
                    return
            if conversation.closed:
                return
            due = conversation.due()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                    await wake.wait()
            wake.clear()


def portions(frame: str | bytes) -> list[str | bytes]:
    """A frame of a lot of sound, and nothing else, as several of no more than is listened to at a time; or itself."""
    if len(frame) <= PORTION:
        return [frame]
    with suppress(wire.Refusal):
        match wire.read(frame):
            case "realtimeInput", {"audio": {"data": str(data), **rest}, **beside} if data and not beside:
                pieces = (data[at : at + PORTION] for at in range(0, len(data), PORTION))
                return [json.dumps({"realtimeInput": {"audio": {**rest, "data": piece}}}) for piece in pieces]
    return [frame]


def _clock() -> datetime:
    return datetime.now().astimezone()


@asynccontextmanager
async def serve(
    script: Script | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    record: bool = True,
    shop: Workshop | None = None,
) -> AsyncIterator[Standin]:
    """A stand-in inside this process, until the block ends. With `record` it keeps what each connection sent.

    With a workshop, which the caller starts and closes, it has ears, wits and a voice.
    """
    standin = Standin(script or Script(), record, shop)
    options: dict[str, Any] = {"max_size": MAX_MESSAGE_BYTES, "max_queue": MAX_QUEUE, "compression": None}
    server: Server = await websocket_server(
        standin.talk,
        host,
        port,
        create_connection=cast(type[ServerConnection], functools.partial(Door, standin.rest)),
        ssl=tls,
        process_request=standin.admit,
        open_timeout=None,  # see `rest.py`
        ping_interval=None,
        close_timeout=CLOSE_TIMEOUT_S,
        server_header=None,
        logger=_SOCKETS,
        **options,
    )
    standin.port = next(iter(server.sockets)).getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    standin.url = f"{'wss' if tls else 'ws'}://{shown}:{standin.port}"
    try:
        yield standin
    finally:
        server.close()
        standin.rest.close()
        await server.wait_closed()


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What `serve` needs to speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # some builds of Python leave it to the system
    context.load_cert_chain(certificate, key)
    return context
