"""Firefox, driven by WebDriver BiDi over its own WebSocket (https://w3c.github.io/webdriver-bidi/).

    async with firefox(folder) as fox:
        await fox.open("http://127.0.0.1:8000/")
        assert await fox.run("document.title")

Its microphone is a tone that it makes itself.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, ClientWebSocketResponse

START_SECONDS: Final = 30.0
COMMAND_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
MAX_MESSAGE_BYTES: Final = 16 << 20
PREFERENCES: Final[dict[str, Any]] = {
    "media.navigator.streams.fake": True,  # a tone for a microphone
    "media.navigator.permission.disabled": True,  # nobody is there to press Allow
    "media.autoplay.default": 0,
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "media.gmp-manager.updateEnabled": False,
}

Json = dict[str, Any]


class Fox:
    """One window of a running Firefox."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._window = ""

    async def begin(self) -> None:
        await self._command("session.new", {"capabilities": {}})
        windows = await self._command("browsingContext.getTree", {})
        self._window = windows["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Load a page, to its `load` event."""
        await self._command("browsingContext.navigate", {"context": self._window, "url": url, "wait": "complete"})

    async def run(self, expression: str) -> Any:
        """What a JavaScript expression, or the promise that it is, comes to; it must fit into JSON."""
        script = f"Promise.resolve({expression}).then(value => JSON.stringify(value ?? null))"
        asked = {"expression": script, "target": {"context": self._window}, "awaitPromise": True}
        outcome = await self._command("script.evaluate", {**asked, "userActivation": True})
        assert outcome["type"] == "success", outcome["exceptionDetails"]["text"]
        return json.loads(outcome["result"]["value"])

    async def until(self, expression: str, *, timeout: float = COMMAND_SECONDS) -> Any:
        """Wait for an expression to be true; what it is then."""
        async with asyncio.timeout(timeout):
            while not (found := await self.run(expression)):
                await asyncio.sleep(0.05)
        return found

    async def end(self) -> None:
        with contextlib.suppress(AssertionError, TimeoutError):
            await self._command("browser.close", {})

    async def _command(self, method: str, params: Json) -> Json:
        id = next(self._ids)
        await self._socket.send_json({"id": id, "method": method, "params": params})
        async with asyncio.timeout(COMMAND_SECONDS):
            while (answer := await self._socket.receive_json()).get("id") != id:
                pass  # an event
        assert answer["type"] == "success", answer
        result: Json = answer["result"]
        return result


@contextlib.asynccontextmanager
async def firefox(folder: Path) -> AsyncIterator[Fox]:
    """A Firefox without a window on the screen, with a profile of its own in `folder`."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program, "no Firefox on this machine: `make test` would have installed it"
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (folder / "user.js").write_text("".join(lines))
    process = await asyncio.create_subprocess_exec(
        program, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        async with asyncio.timeout(START_SECONDS):
            found = None
            while not (found := re.search(rb"ws://\S+", line := await process.stderr.readline())):
                assert line, "Firefox ended before it listened"
        reader = asyncio.create_task(_drain(process.stderr))
        address = found.group().decode() + "/session"
        async with ClientSession() as http, http.ws_connect(address, max_msg_size=MAX_MESSAGE_BYTES) as socket:
            fox = Fox(socket)
            await fox.begin()
            yield fox
            await fox.end()
        reader.cancel()
    finally:
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def own_address() -> str:
    """This machine's own on its network: Firefox takes no part in calls over loopback. Nothing is sent for this."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))  # an address that is nobody's (RFC 5737)
        except OSError:
            raise AssertionError("Firefox needs a network interface besides loopback") from None
        return str(probe.getsockname()[0])


async def _drain(pipe: asyncio.StreamReader) -> None:
    """A pipe that nobody reads would stop it."""
    while await pipe.readline():
        pass
