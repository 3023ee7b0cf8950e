"""The bundles of this run, and apps that talk to a relay of the test's own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from relay.agent import Agent
from relay.standin.script import Script
from tests.clients.app import PATIENCE, App
from tests.clients.bundle import bundle_apps
from tests.clients.way import Way, way
from tests.running import Running, running


@pytest.fixture(scope="session")
async def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the apps, ready to be served."""
    folder = tmp_path_factory.mktemp("bundles")
    await bundle_apps(folder)
    return folder


@dataclass
class Street:
    """A relay, the way to it, and an app at its end."""

    relay: Running
    way: Way
    app: App

    async def freed(self, *, within: float = 3.0) -> None:
        """The relay and the model have noticed that the call is over."""
        async with asyncio.timeout(within):
            while self.relay.calls or self.relay.model.open:
                await asyncio.sleep(0.02)


Streets = Callable[..., contextlib.AbstractAsyncContextManager[Street]]


@pytest.fixture(scope="session")
def streets(browser: Browser, bundles: Path) -> Streets:
    """Makes streets: ``async with streets() as street``. Each has a relay and a browser profile of its own."""

    @contextlib.asynccontextmanager
    async def made(
        *flags: str, script: Script | None = None, agent: Agent | None = None, piped: bool = False,
        greeting: str = "", **options: Any,
    ) -> AsyncIterator[Street]:  # fmt: skip
        async with (
            running("--greeting", greeting, *flags, script=script, agent=agent) as relay,
            way(relay.base, bundles, piped=piped) as between,
            await browser.new_context(permissions=["microphone"]) as profile,
        ):
            profile.set_default_timeout(1000 * PATIENCE)
            app = App(await profile.new_page(), between)
            await app.open(**options)
            yield Street(relay, between, app)

    return made
