"""The stand-in's process, while the model is local: started, listened to, started again, stopped.

Nothing heavy is imported: the child starts before aiohttp is there.
"""

import asyncio
import contextlib
import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import relay
from relay.config import KEY_VARIABLES, Config

START_SECONDS: Final = 10.0  # for the stand-in to say where it listens
STOP_SECONDS: Final = 1.0  # for it to go when asked; then it is killed
STEADY_SECONDS: Final = 5.0  # one that died sooner than this is not started again, unless it can do without its voice
MAX_SENTENCE: Final = 400  # characters of what it says of its voice
COMMAND: Final = (sys.executable, "-m", "relay.standin", "--port", "0", "--with-parent")
STARTING: Final = "starting"
READY: Final = "ready"
OFF: Final = "off"

_LISTENING: Final = re.compile(rb"listening on (ws://127\.0\.0\.1:\d{1,5})\s*$")
_VOICE: Final = re.compile(rb"^local voice: (.+?)\s*$")

log = logging.getLogger(__name__)


def command(config: Config) -> tuple[str, ...]:
    """How the owner wants it: with ears, wits and a voice where there are any."""
    if config.local_voice == "off":
        return COMMAND
    weights = ("--local-weights", str(config.local_weights.absolute())) if config.local_weights is not None else ()
    return (*COMMAND, "--local", *weights)


def without_voice(command: tuple[str, ...]) -> tuple[str, ...]:
    """The same process, which then loads no models: they may have been what killed it."""
    return command[: command.index("--local")]


class StandInFailed(Exception):
    """The stand-in did not start; the text is a sentence."""


class StandIn:
    """The stand-in as a child process of its own. `start`, then `ready`; owes one `close`."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self.voice = self._at_first  # or READY, or a sentence about what is missing
        self._process: asyncio.subprocess.Process | None = None
        self._life: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self.url = ""  # empty while it does not listen

    @property
    def _at_first(self) -> str:
        return STARTING if "--local" in self._command else OFF

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
                self._listening.clear()
                await _stop(process)
            log.error("the stand-in has ended with code %s", process.returncode)
            brief = loop.time() - began < STEADY_SECONDS
            if self._at_first == STARTING and (brief or self.voice == STARTING):
                self._command = without_voice(self._command)
                self._hear_of_voice(f"The local voice ended its process at the start (code {process.returncode}).")
            elif brief:
                log.error("it is not started again, having lived under %g s; new calls will fail", STEADY_SECONDS)
                return
            elif self._at_first == STARTING:
                self.voice = STARTING
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
        while line := await _line(process.stdout):
            if match := _VOICE.search(line):
                self._hear_of_voice(match.group(1).decode(errors="replace"))

    def _hear_of_voice(self, told: str) -> None:
        self.voice = told[:MAX_SENTENCE]
        if self.voice == READY:
            log.info("the local voice is ready")
        else:
            log.warning("your own words are said back to you: %s", self.voice)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or what there is of one without end."""
    try:
        return await stream.readline()
    except ValueError:
        return b"\n"


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
