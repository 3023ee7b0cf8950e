"""A page with an official client in it, as the tests drive it; see `apps/kit.js`."""

import json
from typing import Any, Final

from playwright.async_api import Page

from tests.clients.way import Way

PATIENCE: Final = 30.0  # seconds for what takes one, on a machine that has much else to do

START: Final = "client => client.startBotAndConnect({endpoint: '/start', requestData: {}})"


class App:
    """One page with one `PipecatClient`, called `client` in what `run` is given."""

    def __init__(self, page: Page, way: Way) -> None:
        self.page = page
        self.way = way
        page.on("pageerror", lambda error: print("the app's script failed:", error))  # shown when a test fails

    async def open(self, *, media: str = "wav", name: str = "kit", **options: Any) -> None:
        """Load the app and make its client; `media` as in `kit.js`, `options` are `transport` and `client`."""
        await self.page.goto(f"{self.way.base}/app/index.html?app={name}")
        await self.page.wait_for_function("window.loaded")
        if name == "kit":
            await self.page.evaluate("options => kit.make(options)", {"media": media, **options})

    async def attempt(self, script: str, argument: Any = None) -> dict[str, Any]:
        """What `script`, a function of (client, argument), comes to: ``{"value": …}`` or ``{"error": …}``."""
        outcome: dict[str, Any] = await self.page.evaluate(
            f"argument => kit.attempt(() => ({script})(kit.client, argument))", argument
        )
        return outcome

    async def run(self, script: str, argument: Any = None) -> Any:
        """The same, of something that must not fail."""
        outcome = await self.attempt(script, argument)
        assert "error" not in outcome, outcome
        return outcome["value"]

    async def connect(self) -> Any:
        """`/start`, offer and handshake; what the bot said when it was ready."""
        return await self.run(START)

    async def begin(self, script: str = START) -> None:
        """Start what may not end; its outcome, once there is one, is `window.outcome`."""
        await self.page.evaluate(
            f"() => {{ kit.attempt(() => ({script})(kit.client)).then(o => window.outcome = o); }}"
        )

    async def outcome(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """What `begin` has come to."""
        await self.page.wait_for_function("window.outcome", timeout=timeout * 1000)
        found: dict[str, Any] = await self.page.evaluate("window.outcome")
        return found

    async def event(self, name: str, nth: int = 1, *, timeout: float = PATIENCE) -> Any:
        """What came with the n-th event of that name, once it is there."""
        await self.page.wait_for_function(
            "([name, nth]) => kit.log.filter(entry => entry[1] === name).length >= nth",
            arg=[name, nth],
            timeout=timeout * 1000,
        )
        return (await self.events(name))[nth - 1]

    async def events(self, name: str) -> list[Any]:
        """What came with each event of that name so far: its arguments, or the one that there was."""
        log: list[tuple[float, str, list[Any]]] = await self.page.evaluate("kit.log")
        return [args[0] if len(args) == 1 else args for _, event, args in log if event == name]

    async def states(self) -> list[str]:
        """The transport's states, in order."""
        return await self.events("transportStateChanged")

    async def state(self) -> str:
        return str(await self.page.evaluate("kit.client.state"))

    async def said(self, kind: str) -> list[dict[str, Any]]:
        """What the client has sent over its data channels: RTVI messages, or signalling ones, of this type."""
        return _of(kind, await self.page.evaluate("wire.sent"))

    async def heard(self, kind: str) -> list[dict[str, Any]]:
        """What came to it, whatever the SDK made of it."""
        return _of(kind, await self.page.evaluate("wire.heard.filter(frame => typeof frame === 'string')"))

    async def hears(self, kind: str, *, timeout: float = PATIENCE) -> dict[str, Any]:
        """The first message of that type on the wire, once it is there."""
        await self.page.wait_for_function(
            "kind => wire.heard.some(frame => typeof frame === 'string' && frame.includes(`\"${kind}\"`))",
            arg=kind,
            timeout=timeout * 1000,
        )
        return (await self.heard(kind))[0]

    async def sound(self) -> float:
        """The energy of what has come from the bot so far."""
        energy: float = await self.page.evaluate(
            """async () => {
              for (const report of (await peers.at(-1).getStats()).values())
                if (report.type === 'inbound-rtp' && report.kind === 'audio') return report.totalAudioEnergy;
              return 0;
            }"""
        )
        return energy


def _of(kind: str, frames: list[str]) -> list[dict[str, Any]]:
    bodies = [json.loads(frame) for frame in frames if frame.startswith("{")]
    return [body for body in bodies if kind in (body["type"], body.get("message", {}).get("type"))]
