"""The whole relay in this process: real HTTP and WebRTC, and a WebSocket to a stand-in that writes everything down."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from relay.agent import Agent
from relay.config import load
from relay.standin.script import Script
from relay.standin.server import Standin, serve
from signaling.__main__ import listen
from signaling.app import House, serving
from signaling.model import Studio
from signaling.registry import Registry, State

KEY = "AIzaTESTKEYthatMustNeverBeShown"


@dataclass
class Running:
    """A relay that serves at `base`, and the model that it talks to."""

    base: str
    model: Standin
    registry: Registry

    @property
    def calls(self) -> int:
        return self.registry.count(State.LIVE)


@contextlib.asynccontextmanager
async def running(*flags: str, script: Script | None = None, agent: Agent | None = None) -> AsyncIterator[Running]:
    """A relay with these flags, on a free port of 127.0.0.1, whose model follows `script`."""
    async with contextlib.AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve(script))
        arguments = ("--port", "0", "--gemini-url", model.url, "--ice-address", "127.0.0.1", *flags)
        config = load(arguments, {"GEMINI_API_KEY": KEY})
        sockets = listen(config)
        studio = Studio(config, None, agent)
        stack.push_async_callback(studio.close)
        await studio.warm_up()
        registry = Registry()
        house = House(config=config, maker=studio.maker, registry=registry, media=lambda: studio.tier)
        await stack.enter_async_context(serving(house, sockets))
        port = sockets[0].getsockname()[1]
        yield Running(f"http://127.0.0.1:{port}", model, registry)
