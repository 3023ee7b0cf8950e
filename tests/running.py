"""The whole relay in this process: real HTTP and WebRTC, and a WebSocket to a stand-in that writes everything down."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from relay.agent import Agent, AgentFunction, AgentSource
from relay.config import load
from relay.standin.script import Script
from relay.standin.server import Standin, serve
from relay.webrtc.port.sockets import Called
from relay.webrtc.port.switchboard import Switchboard
from signaling.app import House, serving
from signaling.https import Https
from signaling.model import Studio
from signaling.registry import Registry, State
from signaling.scrape import Figures, scraping
from signaling.sockets import listen, listen_for_https, listen_for_metrics, open_udp_port

KEY = "AIzaTESTKEYthatMustNeverBeShown"


@dataclass
class Running:
    """A relay that serves at `base`, and the model that it talks to."""

    base: str
    model: Standin
    registry: Registry
    metrics: str  # where its figures are, empty for nowhere
    secure: str = ""  # its address over HTTPS, empty for none
    dialling: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while it is to be known who calls
    board: Switchboard[Called] | None = None  # of the one UDP port

    @property
    def calls(self) -> int:
        return self.registry.count(State.LIVE)

    def holds(self, answer: str) -> bool:
        """Whether the peer connection that this SDP answered is not closed yet."""
        name = re.search(r"^a=ice-ufrag:(\S+)", answer, re.MULTILINE)
        assert name is not None, answer
        assert self.board is not None, "the calls have ports of their own"
        return name[1] in self.board


@contextlib.asynccontextmanager
async def running(
    *flags: str, script: Script | None = None, agent: Agent | AgentFunction | None = None, key: str = KEY
) -> AsyncIterator[Running]:
    """A relay with these flags, on a free port of 127.0.0.1, whose model follows `script`."""
    async with contextlib.AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve(script))
        arguments = ("--port", "0", "--gemini-url", model.url, "--ice-address", "127.0.0.1", *flags)
        config = load(arguments, {"GEMINI_API_KEY": key})
        sockets = listen(config)
        if (udp := await open_udp_port(config, sockets[0].getsockname()[1])) is not None:
            stack.callback(udp.close)
        studio = Studio(config, None, AgentSource(agent) if agent is not None else None, udp)
        stack.push_async_callback(studio.close)
        await studio.warm_up()
        registry = Registry(config.max_calls, studio.overloaded, studio.unaffordable)
        secure = listen_for_https(config)
        https = Https(config, secure[0].getsockname()[1]) if secure else None
        house = House(
            config=config, maker=studio.maker, registry=registry, speaker=studio, refused=studio.metrics.refuse,
            https=https,
        )  # fmt: skip
        await stack.enter_async_context(serving(house, sockets, secure))
        port, metrics = sockets[0].getsockname()[1], ""
        if watched := listen_for_metrics(config):
            figures = Figures(studio.metrics, registry, studio, udp.board if udp is not None else None)
            await stack.enter_async_context(scraping(figures, config, watched))
            metrics = f"http://127.0.0.1:{watched[0].getsockname()[1]}/metrics"
        yield Running(
            f"http://127.0.0.1:{port}", model, registry, metrics, https.base if https else "",
            board=udp.board if udp is not None else None,
        )  # fmt: skip
