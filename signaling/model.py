"""Who speaks, and what a call is made of: new sessions, with what they share.

Nothing heavy is imported at the top: aiortc comes while we already listen.
"""

import asyncio
import functools
import importlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay.config import Config, ConfigError
from relay.cost import Ledger, seconds_to_midnight
from relay.metrics import Live, Metrics
from relay.request import CallRequest
from relay.values import Secret
from signaling.registry import Call, MakeCall
from signaling.standin import StandIn

if TYPE_CHECKING:
    from relay.agent import Agent, AgentSource
    from relay.call import CallSettings
    from relay.lateness import Lateness
    from relay.ticker import Ticker
    from relay.transcribe import Transcriber
    from relay.webrtc.media import Media
    from relay.webrtc.port.sockets import Port

# About 2 s together, in a thread while we already listen; one by one, so that a stop waits for the one at hand only.
SLOW_IMPORTS: Final = ("google.genai.types", "aiortc", "relay.session")
MAX_AGENT_WORDS: Final = 300  # characters of an agent file's own complaint
Cast = Callable[[CallRequest], Awaitable[MakeCall]]
"""what the app asks -> what makes that call, with the agent that takes it"""

log = logging.getLogger(__name__)


class Studio:
    """Makes the calls: warms up once, in the background, then hands out `MakeCall`. Owes one `close`."""

    def __init__(
        self, config: Config, standin: StandIn | None, source: "AgentSource | None", port: "Port | None" = None
    ) -> None:
        """`port` is the UDP port of all calls; the owner closes it."""
        self._config = config
        self._port = port
        self._standin = standin
        self._source = source  # None: the friendly one
        self._ticker: Ticker | None = None
        self._transcriber: Transcriber | None = None
        self._warm: asyncio.Task[Cast] | None = None
        self.ledger = Ledger(
            config.prices, model=config.gemini_model, per_call=config.budget_call, per_day=config.budget_day
        )
        self.metrics = Metrics(time.process_time, self.ledger.total, self.ledger.currency)
        self.tier = ""  # how sound reaches us on this machine; empty while warming up
        self.silent: set[str] = set()  # STUN and TURN servers, by URL, that do not answer; whoever asks them says so

    @property
    def well(self) -> bool:
        """Somebody is there to speak, as far as we can know without calling."""
        return self._standin is None or self._standin.well

    @property
    def voice(self) -> str:
        """How the local voice is: `starting`, `ready`, `off`, or a sentence about what is missing; empty elsewhere."""
        return "" if self._standin is None else self._standin.voice

    @property
    def lateness(self) -> "Lateness | None":
        """How late the event loop is; None while warming up."""
        return self._ticker.lateness if self._ticker is not None else None

    @property
    def speaking(self) -> int:
        """How many callers are being sent sound."""
        return self._ticker.speaking if self._ticker is not None else 0

    def overloaded(self, now: float, calls: int) -> bool:
        """Would one call more make all of them late?"""
        return self._ticker is not None and self._ticker.lateness.overloaded(now, calls)

    def unaffordable(self) -> int:
        """Seconds until the next day if this one's budget is spent, else 0."""
        now = datetime.now()
        return seconds_to_midnight(now) if self.ledger.used_up(now.date()) else 0

    def warm_up(self) -> "asyncio.Task[Cast]":
        """Begin to import what a call needs; the task ends when calls can be made."""
        if self._warm is None:
            self._warm = asyncio.create_task(self._prepare(), name="warming up")
        return self._warm

    async def maker(self, request: CallRequest) -> MakeCall:
        """What makes the call that is asked for, once everything is there; raises what `AgentSource.for_call` does."""
        # shielded: one caller who hangs up does not stop it for all
        cast = await asyncio.shield(self.warm_up())
        return await cast(request)

    async def close(self) -> None:
        """Stop warming up and ticking; idempotent."""
        if self._warm is not None:
            self._warm.cancel()
            await asyncio.gather(self._warm, return_exceptions=True)
        if self._transcriber is not None:
            await self._transcriber.close()
        if self._ticker is not None:
            self._ticker.close()

    async def _prepare(self) -> Cast:
        for name in SLOW_IMPORTS:
            await asyncio.to_thread(importlib.import_module, name)
        from relay.agent import Agent, AgentSource
        from relay.ticker import Ticker
        from relay.transcribe import Transcriber
        from relay.webrtc.media import prepare
        from relay.webrtc.reach import reach_of

        config, source = self._config, self._source or AgentSource(Agent())
        reach = reach_of(config, self.silent)
        media = prepare(config.ice_addresses, loopback=config.on_loopback, reach=reach, port=self._port)
        ticker = self._ticker = Ticker()
        if config.transcription == "flash":
            await asyncio.to_thread(importlib.import_module, "google.genai")
            self._transcriber = Transcriber(config.transcription_model)
        self.tier = media.tier
        log.info("sound takes the %s path", media.tier)

        async def cast(request: CallRequest) -> MakeCall:
            return functools.partial(self._make, media, ticker, await source.for_call(request), request)

        return cast

    def _make(
        self,
        media: "Media",
        ticker: "Ticker",
        agent: "Agent",
        request: CallRequest,
        id: str,
        on_closed: Callable[[object], None],
    ) -> Call:
        from relay.session import Session

        now = asyncio.get_running_loop().time

        def closed(session: Live) -> None:
            self.metrics.leave(session, now())
            ticker.unwatch()
            on_closed(session)

        session = Session(id, self._settings(agent, request), media=media, ticker=ticker, on_closed=closed)
        self.metrics.enter(session, now())
        ticker.watch()
        return session

    def _settings(self, agent: "Agent", request: CallRequest) -> "CallSettings":
        from relay.call import CallSettings
        from relay.gemini.handshake import Target

        config = self._config
        chosen = request.settings(config.allow_body)
        return CallSettings(
            target=Target(self._url(), config.gemini_model, config.gemini_api_version, self._key()),
            agent=agent,
            voice=chosen.get("voice", config.voice),
            language=chosen.get("language", config.language),
            instructions=chosen.get("instructions", config.instructions),
            greeting=config.greeting,
            idle=float(config.idle),
            longest=float(config.max_call),
            prior=request.prior,
            ledger=self.ledger,
            barge_in=config.barge_in,
            transcriber=self._transcriber,
            opus_bitrate=config.opus_bitrate,
            opus_complexity=config.opus_complexity,
            keep=config.keep,
            about={"model": config.gemini_model if config.model == "gemini" else "stand-in"},
        )

    def _url(self) -> str:
        return self._config.gemini_url if self._standin is None else self._standin.url

    def _key(self) -> Secret | None:
        return self._config.api_key if self._standin is None else None


def load_agent(path: Path) -> "AgentSource":
    """Whose agent takes the calls; whatever is wrong with the file becomes one sentence."""
    from relay import agent

    try:
        return agent.load_agent(path)
    except agent.AgentError as exc:
        words = str(exc)
    except (Exception, SystemExit) as exc:  # a file that leaves, or that is no text
        words = f"{path.name} fails when it is run: {type(exc).__name__}: {exc}"
    words = " ".join(words.split()).rstrip(".")[:MAX_AGENT_WORDS]
    raise ConfigError(f"--agent cannot be used: {words}.")
