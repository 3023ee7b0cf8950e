"""Who speaks, and what a call is made of: the stand-in's process while the model is local, and new sessions.

Nothing heavy is imported at the top: the child starts before aiohttp is there, aiortc comes while we already listen.
"""

import asyncio
import contextlib
import functools
import importlib
import logging
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import relay
from relay.config import KEY_VARIABLES, Config, ConfigError, Secret
from relay.cost import Ledger, seconds_to_midnight
from relay.metrics import Live, Metrics
from relay.request import CallRequest
from signaling.registry import Call, MakeCall

if TYPE_CHECKING:
    from relay.agent import AgentSource
    from relay.lateness import Lateness
    from relay.ticker import Ticker
    from relay.transcribe import Transcriber
    from relay.webrtc.port.sockets import Port

START_SECONDS: Final = 10.0  # for the stand-in to say where it listens
STOP_SECONDS: Final = 1.0  # for it to go when asked; then it is killed
STEADY_SECONDS: Final = 5.0  # one that died sooner than this is not started again
# About 2 s together, in a thread while we already listen; one by one, so that a stop waits for the one at hand only.
SLOW_IMPORTS: Final = ("google.genai.types", "aiortc", "relay.session")
MAX_AGENT_WORDS: Final = 300  # characters of an agent file's own complaint
COMMAND: Final = (sys.executable, "-m", "relay.standin", "--port", "0", "--with-parent")

_LISTENING: Final = re.compile(rb"listening on (ws://127\.0\.0\.1:\d{1,5})\s*$")

Cast = Callable[[CallRequest], Awaitable[MakeCall]]
"""what the app asks -> what makes that call, with the agent that takes it"""

log = logging.getLogger(__name__)


class StandInFailed(Exception):
    """The stand-in did not start; the text is a sentence."""


class StandIn:
    """The stand-in as a child process of its own. `start`, then `ready`; owes one `close`."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._life: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self.url = ""  # empty while it does not listen

    @property
    def well(self) -> bool:
        """It listens."""
        return bool(self.url)

    async def start(self) -> None:
        """Start the process and come back without waiting for it to listen."""
        self._process = await self._spawn()
        self._life = asyncio.create_task(self._live(self._process), name="stand-in")

    async def ready(self) -> None:
        """Wait until it listens; raises `StandInFailed`."""
        assert self._life is not None, "start() comes first"
        listening = asyncio.create_task(self._listening.wait())
        try:
            await asyncio.wait((self._life, listening), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if not self.well:
            raise StandInFailed("The stand-in did not start; its own words are above.")

    async def close(self) -> None:
        """Stop the process; idempotent."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
        if self._process is not None:  # a task that is cancelled before its first step does not stop it
            await _stop(self._process)

    async def _spawn(self) -> asyncio.subprocess.Process:
        # Its own session: Ctrl-C in the terminal is for us, and we stop it when the calls have ended.
        # Its standard input is a pipe from us, which ends when we do.
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(os.environ),
            start_new_session=True,
        )

    async def _live(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._attend(process)
            finally:
                self.url = ""
                await _stop(process)
            log.error("the stand-in has ended with code %s", process.returncode)
            if loop.time() - began < STEADY_SECONDS:
                log.error("it is not started again, having lived under %g s; new calls will fail", STEADY_SECONDS)
                return
            process = self._process = await self._spawn()

    async def _attend(self, process: asyncio.subprocess.Process) -> None:
        """Read its first word, then everything it says, until it says no more."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                while line := await process.stdout.readline():
                    if match := _LISTENING.search(line):
                        self.url = match.group(1).decode()
                        self._listening.set()
                        break
        except (TimeoutError, ValueError):  # ValueError: a line without end
            return
        while await process.stdout.read(4096):
            pass


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Ours without what the stand-in has no use for, secrets above all, and with the way to our own packages."""
    kept = {name: text for name, text in environ.items() if name not in KEY_VARIABLES and not name.startswith("RELAY_")}
    ours = str(Path(relay.__file__).resolve().parent.parent)
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (ours, kept.get("PYTHONPATH"))))
    return kept


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

    @property
    def well(self) -> bool:
        """Somebody is there to speak, as far as we can know without calling."""
        return self._standin is None or self._standin.well

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
        from relay.call import CallSettings
        from relay.gemini.client import Target
        from relay.session import Session
        from relay.ticker import Ticker
        from relay.transcribe import Transcriber
        from relay.webrtc.peer import prepare
        from relay.webrtc.reach import reach_of

        config, source = self._config, self._source or AgentSource(Agent())
        media = prepare(config.ice_addresses, loopback=config.on_loopback, reach=reach_of(config), port=self._port)
        ticker = self._ticker = Ticker()
        if config.transcription == "flash":
            await asyncio.to_thread(importlib.import_module, "google.genai")
            self._transcriber = Transcriber(config.transcription_model)
        transcriber = self._transcriber
        self.tier = media.tier
        log.info("sound takes the %s path", media.tier)
        now = asyncio.get_running_loop().time

        def make(agent: Agent, request: CallRequest, id: str, on_closed: Callable[[object], None]) -> Call:
            target = Target(self._url(), config.gemini_model, config.gemini_api_version, self._key())
            chosen = request.settings(config.allow_body)
            settings = CallSettings(
                target=target,
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
                transcriber=transcriber,
                opus_bitrate=config.opus_bitrate,
                opus_complexity=config.opus_complexity,
                keep=config.keep,
                about={"model": config.gemini_model if config.model == "gemini" else "stand-in"},
            )

            def closed(session: Live) -> None:
                self.metrics.leave(session, now())
                ticker.unwatch()
                on_closed(session)

            session = Session(id, settings, media=media, ticker=ticker, on_closed=closed)
            self.metrics.enter(session, now())
            ticker.watch()
            return session

        async def cast(request: CallRequest) -> MakeCall:
            return functools.partial(make, await source.for_call(request), request)

        return cast

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
