"""What stands between a client and the relay: HTTP that can be watched and bent, UDP that can be cut.

    async with way(relay, bundles) as between:
        between.instead = lambda asked: failing(500) if asked.is_offer else None
        between.bend = lambda answer: {**answer, "pc_id": None}

The apps are served from it, too, so a page and what it talks to are of one origin.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, ClientTimeout, web

Json = dict[str, Any]

FORWARD_SECONDS: Final = 30.0
SHUTDOWN_SECONDS: Final = 0.2  # requests that a test keeps waiting on purpose
HERE: Final = "127.0.0.1"
NOT_FORWARDED: Final = {"host", "origin", "referer", "content-length", "connection", "transfer-encoding"}


@dataclass(slots=True)
class Asked:
    """One request that came by, and what it was answered."""

    at: float
    method: str
    path: str
    body: Any
    headers: dict[str, str]
    status: int = 0
    answer: Any = None

    @property
    def is_offer(self) -> bool:
        return self.method == "POST" and self.path.endswith("/api/offer")

    @property
    def is_start(self) -> bool:
        return self.method == "POST" and self.path.endswith("/start")


class Way:
    """The server at `base`. `instead` may answer in the relay's place; `bend` sees each answer to an offer."""

    def __init__(self, relay: str, folder: Path, piped: bool) -> None:
        self.base = ""
        self.asked: list[Asked] = []
        self.pipes: list[Pipe] = []
        self.instead: Callable[[Asked], Awaitable[web.Response | None] | web.Response | None] = lambda asked: None
        self.bend: Callable[[Json], Json] = lambda answer: answer
        self.dead = False  # what is answered from now on leads nowhere
        self._relay = relay
        self._folder = folder
        self._piped = piped
        self._http = ClientSession(timeout=ClientTimeout(total=FORWARD_SECONDS), auto_decompress=False)

    @property
    def offers(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.is_offer]

    @property
    def patches(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "PATCH"]

    def cut(self) -> None:
        """From now on nothing gets through what is there; a new connection would."""
        for pipe in self.pipes:
            pipe.dead = True

    async def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        await self._http.close()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request: a file of the apps, the test's own answer, or the relay's."""
        if request.path.startswith("/app/"):
            return web.FileResponse(self._folder / request.path.removeprefix("/app/"))
        raw = await request.read()
        asked = Asked(
            asyncio.get_running_loop().time(), request.method, request.path, _read(raw), dict(request.headers)
        )
        self.asked.append(asked)
        answer = self.instead(asked)
        if not isinstance(answer, web.Response | None):
            answer = await answer
        if answer is None:
            answer = await self._forward(request, raw, asked)
        asked.status, asked.answer = answer.status, _read(answer.body if isinstance(answer.body, bytes) else b"")
        return answer

    async def _forward(self, request: web.Request, raw: bytes, asked: Asked) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_FORWARDED}
        target = self._relay + request.path_qs
        async with self._http.request(request.method, target, data=raw, headers=headers) as answer:
            body = await answer.read()
            if asked.is_offer and answer.status == 200:
                body = json.dumps(self.bend(await self.lead(json.loads(body)))).encode()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in NOT_FORWARDED}
            return web.Response(status=answer.status, body=body, headers=kept)

    async def lead(self, answer: Json) -> Json:
        """Put a pipe's address where the relay's own stood."""
        if not self._piped:
            return answer
        ports: dict[str, int] = {}
        for port in set(re.findall(r"a=candidate:\S+ 1 udp \d+ \S+ (\d+) typ host", answer["sdp"])):
            pipe = await Pipe.open(int(port))
            pipe.dead = self.dead
            self.pipes.append(pipe)
            ports[port] = pipe.port
        sdp = re.sub(
            r"(a=candidate:\S+ 1 udp \d+) \S+ (\d+) typ host",
            lambda found: f"{found[1]} {HERE} {ports[found[2]]} typ host",
            answer["sdp"],
        )
        return {**answer, "sdp": sdp}


class Pipe:
    """Datagrams from whoever sends to `port` to a port of the relay, and back, unless it is dead."""

    def __init__(self) -> None:
        self.port = 0
        self.dead = False
        self._browser: Any = None
        self._near: asyncio.DatagramTransport
        self._far: asyncio.DatagramTransport

    @classmethod
    async def open(cls, target: int) -> "Pipe":
        pipe, loop = cls(), asyncio.get_running_loop()
        pipe._near, _ = await loop.create_datagram_endpoint(lambda: _End(pipe._outward), local_addr=(HERE, 0))
        pipe._far, _ = await loop.create_datagram_endpoint(lambda: _End(pipe._homeward), remote_addr=(HERE, target))
        pipe.port = pipe._near.get_extra_info("sockname")[1]
        return pipe

    def close(self) -> None:
        self._near.close()
        self._far.close()

    def _outward(self, data: bytes, sender: Any) -> None:
        self._browser = sender
        if not self.dead:
            self._far.sendto(data)

    def _homeward(self, data: bytes, _: Any) -> None:
        if not self.dead and self._browser is not None:
            self._near.sendto(data, self._browser)


class _End(asyncio.DatagramProtocol):
    def __init__(self, heard: Callable[[bytes, Any], None]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._heard(data, addr)


def said(status: int, body: Any, **headers: str) -> web.Response:
    """An answer in JSON."""
    return web.json_response(body, status=status, headers=headers)


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


@contextlib.asynccontextmanager
async def way(relay: str, folder: Path, *, piped: bool = False) -> AsyncIterator[Way]:
    """A way to `relay` on a free port, with the apps in `folder`; `piped`, the media goes through it as well."""
    between = Way(relay, folder, piped)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", between.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HERE, 0)
        await site.start()
        between.base = f"http://{HERE}:{runner.addresses[0][1]}"
        yield between
    finally:
        await runner.cleanup()
        await between.close()
