"""Pages in front of which nobody speaks, so that nothing is said into a test's words; and one with a voice.

`eyes` is watched from inside: which cameras and screens it opens, and what it tells the relay of them.
"""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from tests import chromium
from tests.network.namespace import obstacle

# Remembers the devices that were opened, the words that were sent, and the channel for words from outside.
WATCH: Final = """
window.opened = [];
window.told = [];
for (const name of ['getUserMedia', 'getDisplayMedia']) {
  const ask = MediaDevices.prototype[name];
  MediaDevices.prototype[name] = async function (...wishes) {
    const stream = await ask.apply(this, wishes);
    window.opened.push(...stream.getVideoTracks());
    return stream;
  };
}
const send = RTCDataChannel.prototype.send;
RTCDataChannel.prototype.send = function (text) {
  window.channel = this;
  if (text.includes('trackStatus')) {
    const { receiver_index: index, enabled } = JSON.parse(text).message;
    window.told.push([index, enabled]);
  }
  send.call(this, text);
};
"""


@pytest.fixture(scope="session")
async def quiet_browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A Chromium whose microphone is on, and hears nothing."""
    silence = tmp_path_factory.mktemp("microphone") / "silence.wav"
    chromium.record_microphone(silence, speaks=False)
    async with chromium.started(silence) as started:
        yield started


@pytest.fixture
async def context(quiet_browser: Browser) -> AsyncIterator[BrowserContext]:
    async with chromium.profile(quiet_browser) as fresh:
        yield fresh


@pytest.fixture
async def talker(browser: Browser) -> AsyncIterator[Page]:
    """A page in front of which the sentence is said, over and over."""
    async with chromium.profile(browser) as fresh, chromium.empty_page(fresh) as empty:
        yield empty


@pytest.fixture
async def eyes(page: Page) -> Page:
    """The page, watched; Chromium itself grants what it asks for."""
    await page.add_init_script(WATCH)
    return page


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if obstacle():
        terminalreporter.section("without a network")
        terminalreporter.write_line(f"not tested here: the local voice where there is no route, because {obstacle()}")
