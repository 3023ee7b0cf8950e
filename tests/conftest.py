"""What every test can count on: nothing is left behind, and there is one Chromium with a voice.

All tests and fixtures share one event loop (see `pyproject.toml`): Playwright's objects live in the loop that made
them, so a session's browser needs a session's loop, and what a test leaves in the loop is there to be counted.
"""

import os
import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright

from tests import leaks

SENTENCE: Final = Path(__file__).parent / "sounds" / "weather.wav"
"""“What is the weather like today?”, 16 kHz mono, a second of silence before and after."""

PAUSE_SECONDS: Final = 4.0
"""What Chromium's microphone waits before it says the sentence again: long enough for an answer in between."""

CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

CHROMIUM_FLAGS: Final = (
    "--use-fake-ui-for-media-stream",  # nobody is there to press Allow
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=user-gesture-required",  # as strict as the browsers that people have
    "--allow-loopback-in-peer-connection",  # where loopback is the only interface, there are no candidates otherwise
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """After every test, tasks, threads, descriptors and children are back to where they were before it.

    It is set up before the test's own fixtures and torn down after them, so that their cleaning up is judged too;
    fixtures of a wider scope, such as `browser`, are there before it looks first.
    """
    before = leaks.look()
    yield
    left = await leaks.left_behind(before)
    if left:
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that Chromium hears: the recorded sentence, then `PAUSE_SECONDS` of silence, over and over.

    Chromium takes one file per process and starts it anew for each stream, so the page hears the sentence one second
    after it got the microphone, and again every `PAUSE_SECONDS` + 3.8 seconds; a test that needs another sound
    replaces `getUserMedia` by a stream of its own.
    """
    path = tmp_path_factory.mktemp("microphone") / "sentence.wav"
    with wave.open(str(SENTENCE)) as sentence, wave.open(str(path), "wb") as looped:
        looped.setparams(sentence.getparams())
        looped.writeframes(sentence.readframes(sentence.getnframes()))
        looped.writeframes(bytes(2 * int(PAUSE_SECONDS * sentence.getframerate())))
    return path


@pytest.fixture(scope="session")
async def browser(microphone: Path) -> AsyncIterator[Browser]:
    """The one Chromium of this run, driven by Playwright's async API; a test takes `context` or `page` from it.

    A test must name one of the three as an argument (no `getfixturevalue`): then the browser is up before the leak
    check looks first, and is never taken for something that the test left behind.
    """
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    assert executable, "no Chromium on this machine: `make test` would have installed it"
    flags = [*CHROMIUM_FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    async with async_playwright() as playwright:
        # Playwright mutes Chromium by default; the tests listen.
        chromium = await playwright.chromium.launch(
            executable_path=executable, args=flags, ignore_default_args=["--mute-audio"]
        )
        yield chromium
        await chromium.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh browser profile of this test's own, allowed to use the microphone."""
    profile = await browser.new_context(permissions=["microphone"], viewport={"width": 1280, "height": 800})
    profile.set_default_timeout(10_000)
    yield profile
    await profile.close()


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """An empty page; an exception that its scripts let escape fails the test."""
    escaped: list[Error] = []
    context.on("weberror", lambda web_error: escaped.append(web_error.error))
    yield await context.new_page()
    assert not escaped, f"the page's scripts failed: {escaped}"
