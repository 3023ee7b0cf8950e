"""A page that is watched from inside: which cameras and screens it opens, and what it tells the relay of them."""

from typing import Final

import pytest
from playwright.async_api import Page

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


@pytest.fixture
async def eyes(page: Page) -> Page:
    """The page, watched; Chromium itself grants what it asks for."""
    await page.add_init_script(WATCH)
    return page
