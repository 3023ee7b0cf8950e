"""A street with the browser at one end and the relay at the other: three processes in two namespaces, and the wire.

    async with street() as here, here.relay(script=…), here.call() as visitor:
        here.line.down.trouble = Trouble(loss=0.10)

The stand-in that speaks is a process in the relay's namespace; the page is the relay's own, in a Chromium.
"""

import asyncio
import contextlib
import re
import shlex
import sys
import tempfile
import urllib.request
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, async_playwright

from tests import chromium
from tests.network.visitor import Visitor
from tests.network.wire import FAR, NEAR, Line, wire
from tests.process import environment as owners_environment

PORT, METRICS_PORT = 7860, 7861  # the namespace is ours alone
TOKEN: Final = "a-token-for-the-network-tests"
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
PATIENCE_MS: Final = 20_000  # for anything that a page is waited for: a bad network takes its time
ROOT: Final = Path(__file__).parent.parent.parent
WORDS: Final = (1.0, 2.9)  # seconds of the sentence between which somebody speaks
SPEECH_SECONDS: Final = 58.0  # of a model that does not stop; the stand-in says 60 at most


@dataclass(frozen=True, slots=True)
class Street:
    """The wire, a Chromium in its `near` namespace, and a folder for files."""

    line: Line
    browser: Browser
    folder: Path

    @property
    def base(self) -> str:
        """Where the relay serves."""
        return base(self.line.far.address)

    @property
    def log(self) -> str:
        """What the relay, the last one if there were several, has written into its log."""
        return (self.folder / "relay.log").read_text()

    @contextlib.asynccontextmanager
    async def relay(
        self, *flags: str, script: str = "{}", module: str = "signaling", **environment: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """The relay in `far`, serving at `base`, and a stand-in with this script (JSON) for a model.

        Another `module` may be a relay in its place, and take what it understands of the flags.
        """
        path = self.folder / "script.json"
        path.write_text(script)
        async with self._process("relay.standin", "--script", str(path)) as (_, words):
            model = re.search(r"ws://\S+", words)
            assert model, words
            flags = ("--gemini-url", model.group(), "--metrics-port", str(METRICS_PORT), *flags)
            flags = ("--host", self.line.far.address, "--port", str(PORT), "--drain", "0", *flags)
            async with self._process(module, *flags, **environment) as (process, words):
                assert self.base in words, words
                yield process

    @contextlib.asynccontextmanager
    async def call(self, script: str = "") -> AsyncIterator[Visitor]:
        """Somebody who opens the relay's address in a profile of their own, where `script` runs first, and presses the
        button.
        """
        profile = await self.browser.new_context()
        await profile.add_init_script(script)
        profile.set_default_timeout(PATIENCE_MS)
        try:
            visitor = Visitor(await profile.new_page())
            await visitor.dial(f"{self.base}/#token={TOKEN}")
            yield visitor
        finally:
            await profile.close()

    async def counted(self) -> dict[str, float]:
        """The relay's own figures, by name and labels as Prometheus reads them."""

        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics") as answer:
                return str(answer.read().decode())

        text = await asyncio.to_thread(self.line.far.within, read)
        words = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in words}

    @contextlib.asynccontextmanager
    async def _process(
        self, module: str, *flags: str, **environment: str
    ) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
        """A Python module run in `far`, with the first line it said."""
        ours = owners_environment()
        with (self.folder / f"{'relay' if module == 'signaling' else module}.log").open("w") as log:
            process = await asyncio.create_subprocess_exec(
                *self.line.far.command(sys.executable, "-m", module, *flags),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, cwd=ROOT,
                env={**ours, "GEMINI_API_KEY": "AIzaNetworkTests", "RELAY_ACCESS_TOKEN": TOKEN, **environment},
            )  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.communicate(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.communicate()


@contextlib.asynccontextmanager
async def street(seed: int = 1, *flags: str, near: str = NEAR, far: str = FAR) -> AsyncIterator[Street]:
    """Everything but the relay, `flags` for Chromium; raises `OSError` where no namespaces can be made."""
    with tempfile.TemporaryDirectory(prefix="street-") as name:
        folder = Path(name)
        microphone = folder / "microphone.wav"
        chromium.record_microphone(microphone)
        write_speech(folder / "speech.wav")
        async with wire(seed, near, far) as line, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=_program(folder, line),
                # a microphone is for secure places only, and this address is none
                args=[*chromium.flags(microphone), *flags, f"--unsafely-treat-insecure-origin-as-secure={base(far)}"],
                ignore_default_args=list(chromium.UNWANTED),
            )
            try:
                yield Street(line, browser, folder)
            finally:
                await browser.close()


def base(address: str) -> str:
    """Where a relay at that address serves."""
    return f"http://{address}:{PORT}"


def _program(folder: Path, line: Line) -> Path:
    """Something to start that starts Chromium in `near`."""
    path = folder / "chromium"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(line.near.command(chromium.executable(whole=True)))} "$@"\n')
    path.chmod(0o700)
    return path


def write_speech(path: Path) -> None:
    """The words of the sentence without a pause, over and over for `SPEECH_SECONDS`."""
    with wave.open(str(chromium.SENTENCE)) as sentence, wave.open(str(path), "wb") as speech:
        rate = sentence.getframerate()
        sentence.setpos(round(WORDS[0] * rate))
        words = sentence.readframes(round((WORDS[1] - WORDS[0]) * rate))
        speech.setparams(sentence.getparams())
        speech.writeframes((words * round(SPEECH_SECONDS))[: 2 * round(SPEECH_SECONDS * rate)])
