"""The Chromium of the tests: which one, how it is started, and what its microphone hears."""

import contextlib
import os
import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright

SENTENCE: Final = Path(__file__).parent / "sounds" / "weather.wav"
"""“What is the weather like today?”, 16 kHz mono, a second of silence before and after."""

PAUSE_SECONDS: Final = 4.0
"""What its microphone waits before it says the sentence again: long enough for an answer in between."""

_SHELL: Final = "chromium-headless-shell"  # the same without windows: a page in a third of the processor's time
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

_FLAGS: Final = (
    "--use-fake-ui-for-media-stream",  # nobody is there to press Allow
    "--use-fake-device-for-media-stream=device-count=2",  # cameras; there are always two microphones or more
    "--autoplay-policy=user-gesture-required",  # as strict as the browsers that people have
    "--allow-loopback-in-peer-connection",  # where loopback is the only interface, there are no candidates otherwise
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Without a graphics card sixty pictures a second of a moving page take a third of a core; ten do.
SELDOM: Final = "window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 100);"

UNWANTED: Final = ("--mute-audio",)
"""What Playwright would add by default; the tests listen."""


def executable(*, whole: bool = False) -> str:
    """The program of this machine; a `whole` one takes a plain address for a secure one if told to."""
    found = next(filter(None, map(shutil.which, _NAMES if whole else (_SHELL, *_NAMES))), None)
    assert found, "no Chromium on this machine: `make test` would have installed it"
    return found


def flags(microphone: Path) -> list[str]:
    """How it is started."""
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [*_FLAGS, f"--use-file-for-fake-audio-capture={microphone}", *sandbox]


def record_microphone(path: Path, *, speaks: bool = True) -> None:
    """Write the file that it hears over and over: the sentence, if it `speaks`, then `PAUSE_SECONDS` of silence."""
    with wave.open(str(SENTENCE)) as sentence, wave.open(str(path), "wb") as looped:
        looped.setparams(sentence.getparams())
        if speaks:
            looped.writeframes(sentence.readframes(sentence.getnframes()))
        looped.writeframes(bytes(2 * int(PAUSE_SECONDS * sentence.getframerate())))


@contextlib.asynccontextmanager
async def started(microphone: Path) -> AsyncIterator[Browser]:
    """A Chromium that hears this file, driven by Playwright's async API."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable(), args=flags(microphone), ignore_default_args=list(UNWANTED)
        )
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def profile(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh profile, allowed to use the microphone."""
    fresh = await browser.new_context(permissions=["microphone"], viewport={"width": 1280, "height": 800})
    fresh.set_default_timeout(10_000)
    await fresh.add_init_script(SELDOM)
    yield fresh
    await fresh.close()


@contextlib.asynccontextmanager
async def empty_page(context: BrowserContext) -> AsyncIterator[Page]:
    """An empty page; an exception that its scripts let escape is raised at the end."""
    escaped: list[Error] = []
    context.on("weberror", lambda web_error: escaped.append(web_error.error))
    yield await context.new_page()
    assert not escaped, f"the page's scripts failed: {escaped}"
