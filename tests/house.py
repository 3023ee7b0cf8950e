"""A relay's HTTP side in this process, on a free loopback port, with calls that only note what is asked of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from relay.config import Config, load
from relay.errors import BrowserFault, RelayError
from relay.files import Files
from relay.flags import MAX_CALLS
from relay.lateness import Lateness
from relay.request import CallRequest
from relay.transcript import Role, Transcript, Turn
from signaling.app import House, serving
from signaling.registry import Call, MakeCall, Overloaded, Registry
from signaling.sockets import listen

OFFER = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"


@dataclass(frozen=True)
class FakeAnswer:
    sdp: str
    pc_id: str


@dataclass(eq=False)
class FakeCall:
    """Answers every offer; `fault` makes it refuse, `slow` makes it wait, `stuck` keeps its close from ending."""

    id: str
    on_closed: Callable[[object], None]
    fault: Exception | None = None
    slow: float = 0.0
    stuck: bool = False
    request: CallRequest = field(default_factory=CallRequest)
    offers: list[tuple[str, str | None, bool]] = field(default_factory=list)
    files: Files = field(default_factory=Files)
    connections: int = 0
    newcomers: int = 0
    met: list[str] = field(default_factory=list)
    ails: RelayError | None = None
    said: list[str] = field(default_factory=list)
    warned: list[float] = field(default_factory=list)
    closed: bool = False
    why: str = ""

    async def answer(self, sdp: str, *, pc_id: str | None, restart: bool) -> FakeAnswer:
        self.offers.append((sdp, pc_id, restart))
        await asyncio.sleep(self.slow)
        if self.fault is not None:
            raise self.fault
        return FakeAnswer("v=0 answer", f"pc-{self.id}{'+' * self.newcomers}")

    async def meet(self, candidates: Sequence[str]) -> None:
        self.met += candidates

    def trouble(self) -> RelayError | None:
        return self.ails

    def expect_newcomer(self) -> str:
        self.newcomers += 1
        return f"pc-{self.id}{'+' * self.newcomers}"

    def transcript(self, *, over: bool = False) -> Transcript:
        turns = tuple(Turn(Role.USER, text, began=1.0, ended=2.0) for text in self.said)
        return Transcript(0.0, 3.0, over, 0, turns)

    def warn(self, seconds: float) -> None:
        self.warned.append(seconds)

    async def close(self, fault: RelayError | None = None) -> None:
        self.closed = True
        self.why = fault.code if fault is not None else ""
        if self.stuck:
            await asyncio.Event().wait()
        self.on_closed(self)


@dataclass
class FakeSpeaker:
    """Who speaks, as far as the house asks."""

    well: bool = True
    voice: str = ""
    tier: str = "raw"
    lateness: Lateness | None = None


@dataclass
class Answered:
    """One HTTP answer, read to its end."""

    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass
class Visit:
    """A running house and somebody who talks to it."""

    base: str
    http: aiohttp.ClientSession
    registry: Registry
    calls: list[FakeCall]

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    async def ask(self, method: str, path: str, **more: Any) -> Answered:
        async with self.http.request(method, self.base + path, allow_redirects=False, **more) as answer:
            body = await answer.read()
            is_json = answer.content_type == "application/json" and body
            return Answered(answer.status, answer.headers, body, await answer.json() if is_json else None)

    async def start(self, **more: Any) -> str:
        answered = await self.ask("POST", "/start", json={}, **more)
        assert answered.status == 200, answered.json
        return str(answered.json["sessionId"])

    async def offer(self, where: str = "/api/offer", **body: Any) -> Answered:
        return await self.ask("POST", where, json={"sdp": OFFER, "type": "offer", **body})


def make_registry(
    max_calls: int = MAX_CALLS,
    overloaded: Overloaded = lambda now, calls: False,
    unaffordable: Callable[[], int] = lambda: 0,
) -> Registry:
    return Registry(max_calls, overloaded, unaffordable)


def settings(*arguments: str) -> Config:
    return load(["--port", "0", *arguments], {})


@contextlib.asynccontextmanager
async def visiting(
    *arguments: str,
    shape: Callable[[FakeCall], None] = lambda call: None,
    page: Path | None = None,
    speaker: FakeSpeaker | None = None,
    overloaded: Overloaded = lambda now, calls: False,
    refused: Callable[[str], None] = lambda code: None,
) -> AsyncIterator[Visit]:
    """Serve with these flags; `shape` bends each new call before it is used."""
    calls: list[FakeCall] = []

    async def maker(request: CallRequest) -> MakeCall:
        def make(id: str, on_closed: Callable[[object], None]) -> Call:
            call = FakeCall(id, on_closed, request=request)
            shape(call)
            calls.append(call)
            return call

        return make

    config = settings(*arguments)
    registry = make_registry(config.max_calls, overloaded)
    sockets = listen(config)
    house = House(
        config=config, maker=maker, registry=registry, page=page, speaker=speaker or FakeSpeaker(), refused=refused,
    )  # fmt: skip
    base = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    async with serving(house, sockets), aiohttp.ClientSession(auto_decompress=False) as http:
        yield Visit(base, http, registry, calls)


def refused(answered: Answered, status: int, code: str) -> None:
    """The answer is an error as every client can read it."""
    assert (answered.status, answered.json and answered.json["code"]) == (status, code), answered
    assert set(answered.json) == {"code", "info", "detail"}
    assert answered.json["info"].endswith(".")


BAD_SDP = BrowserFault("bad-sdp", "made for a test")
