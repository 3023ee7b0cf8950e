"""`/healthz` and `/status`: is the relay well, and who speaks. Nothing about any caller, and no key."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

import relay
from relay.lateness import Lateness
from signaling.registry import Registry, State


class Speaker(Protocol):
    """How the one who speaks is, and the way of its sound; asked anew each time. `model.Studio` is one."""

    @property
    def well(self) -> bool:
        """Somebody is there to speak."""
        ...

    @property
    def voice(self) -> str:
        """How the local voice is; empty where another model speaks."""
        ...

    @property
    def tier(self) -> str:
        """How sound reaches us; empty while it starts."""
        ...

    @property
    def lateness(self) -> Lateness | None:
        """How late the event loop is; None while it starts."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """What may be known.

    `secure` is the address over HTTPS, for a page that came over HTTP; empty where there is none.
    """

    model: str  # gemini, local or url
    model_name: str
    registry: Registry
    speaker: Speaker
    secure: Callable[[], str] = lambda: ""
    checks: Callable[[], Mapping[str, str]] = dict  # of each thing that was looked at: ok, or what to do

    async def healthz(self, request: web.Request) -> web.Response:
        """200 and "ok", or 503 and "degraded" when the stand-in is gone: a watchdog should then restart us.

        `accepting` is for whoever shares out calls: false while all lines are busy or sound is late. That is no
        illness, and a restart would only end the calls there are. Nor is "draining": it is leaving of itself.
        """
        well = self.speaker.well
        status = "draining" if self.registry.closing else "ok"
        accepting = self.registry.refusal(asyncio.get_running_loop().time()) is None
        told = {
            "status": status if well else "degraded",
            "version": relay.__version__,
            "model": self.model,
            "modelName": self.model_name,
            "calls": self.registry.count(State.LIVE),
            "accepting": accepting,
            "media": self.speaker.tier,
            **({"localVoice": voice} if (voice := self.speaker.voice) else {}),
            "secureUrl": self.secure() or None,
            "checks": dict(self.checks()),
        }
        return web.json_response(told, status=200 if well else 503)

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when calls can be made, 503 while the relay starts or leaves: who shares out calls sends none then."""
        ready = self.speaker.well and bool(self.speaker.tier) and not self.registry.closing
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def status(self, request: web.Request) -> web.Response:
        """What Pipecat's Console asks a server before it shows its button: is it there, and how is it called."""
        return web.json_response({"status": "ready", "transports": ["webrtc"]})
