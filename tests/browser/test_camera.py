"""What a real browser's camera and screen become: pictures in the right colours, one a second, of few bits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Final

import pytest
from playwright.async_api import Page

from relay.webrtc.eyes import CAMERA, PERIOD_SECONDS, SCREEN
from relay.webrtc.peer import Peer, prepare
from relay.webrtc.sdp import VIDEO_KILOBITS_PER_SECOND
from tests.camera import BLUE, GREEN, RED, Colour, alike, opened, seen
from tests.test_peer import Owner

CLOCK_SECONDS: Final = 0.005  # how early a timer may come

# Stripes that are drawn anew 30 times a second, with noise that keeps the encoder busy.
CALL: Final = """async ([codec, sizes]) => {
  const audio = await navigator.mediaDevices.getUserMedia({ audio: true });
  window.connection = new RTCPeerConnection();
  window.connection.addTransceiver(audio.getTracks()[0], { streams: [audio] });
  window.colours = [];
  window.sections = sizes.map(([width, height], n) => {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const paint = canvas.getContext('2d');
    window.colours.push(['red', 'blue']);
    setInterval(() => {
      window.colours[n].forEach((colour, i, { length }) => {
        paint.fillStyle = colour;
        paint.fillRect((i * width) / length, 0, width / length, height);
      });
      for (let i = 0; i < 300; i++) {
        paint.fillStyle = `hsl(${Math.random() * 360} 90% 50%)`;
        paint.fillRect(Math.random() * width, (Math.random() * height) / 8, 9, 9);
      }
    }, 33);
    const [track] = canvas.captureStream(30).getTracks();
    const section = window.connection.addTransceiver(track, { direction: 'sendonly' });
    const { codecs } = RTCRtpSender.getCapabilities('video');
    if (codec) section.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === `video/${codec}`));
    return section;
  });
  await window.connection.setLocalDescription();
  return window.connection.localDescription.sdp;
}"""
ANSWER: Final = "(sdp) => window.connection.setRemoteDescription({ type: 'answer', sdp })"
SENT: Final = """async () => {
  let sent = null;
  for (const report of (await window.sections[0].sender.getStats()).values())
    if (report.type === 'outbound-rtp') sent = report;
  return sent;
}"""
LOST: Final = """async () => {
  for (const report of (await window.sections[0].sender.getStats()).values())
    if (report.type === 'remote-inbound-rtp') return report.packetsLost;
  return null;
}"""


@asynccontextmanager
async def shown(
    page: Page, codec: str, *sizes: tuple[int, int], tier: str = "raw"
) -> AsyncIterator[tuple[Peer, Owner]]:
    """Chromium shows stripes in as many sections as there are sizes."""
    owner = Owner()
    peer = Peer(prepare(["127.0.0.1"], tiers=[tier]), owner)
    try:
        await page.route("**/*", lambda route: route.fulfill(body="<p>calling</p>", content_type="text/html"))
        await page.goto("http://localhost/")  # a microphone is for secure places only
        await page.evaluate(ANSWER, await peer.answer(await page.evaluate(CALL, [codec, list(sizes)])))
        await asyncio.wait_for(owner.connected.wait(), 10)
        yield peer, owner
    finally:
        await page.evaluate("() => window.connection?.close()")
        await peer.close()


async def shows(owner: Owner, track: int, colours: list[Colour]) -> bytes:
    """Wait for a picture of those colours."""
    async with asyncio.timeout(10):
        while True:
            for _, of, jpeg in owner.pictures:
                if of == track and alike(seen(jpeg, len(colours)), colours, 40):
                    return jpeg
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
@pytest.mark.parametrize("tier", ["raw", "middle"])
async def test_what_chromium_shows_is_seen_in_its_colours(page: Page, tier: str, codec: str) -> None:
    async with shown(page, codec, (640, 480), tier=tier) as (peer, owner):
        peer.watch(CAMERA, True)
        jpeg = await shows(owner, CAMERA, [RED, BLUE])
        assert max(opened(jpeg).shape) <= 640
        await page.evaluate("window.colours[0] = ['blue', 'lime', 'red']")
        await shows(owner, CAMERA, [BLUE, GREEN, RED])


async def test_of_thirty_frames_a_second_one_is_seen_and_few_bits_are_sent(page: Page) -> None:
    async with shown(page, "", (640, 480)) as (peer, owner):
        peer.watch(CAMERA, True)
        await shows(owner, CAMERA, [RED, BLUE])
        before = await page.evaluate(SENT)
        await asyncio.sleep(4)
        after: Any = await page.evaluate(SENT)
        seconds = (after["timestamp"] - before["timestamp"]) / 1000
        kilobits = 8 * (after["bytesSent"] - before["bytesSent"]) / 1000
        assert kilobits / seconds < 1.3 * VIDEO_KILOBITS_PER_SECOND
        assert after["pliCount"] - before["pliCount"] <= seconds + 1
        times = [at for at, *_ in owner.pictures]
        assert len(times) >= 3
        assert all(later - earlier >= PERIOD_SECONDS - CLOCK_SECONDS for earlier, later in pairwise(times))
        assert peer.line.gate is not None
        assert not peer.line.gate.dropped
        assert await page.evaluate(LOST) == 0, "by what we report"


async def test_a_screen_beside_the_camera_is_seen_smaller_and_apart(page: Page) -> None:
    async with shown(page, "", (320, 240), (1920, 1080)) as (peer, owner):
        await page.evaluate("window.colours[1] = ['lime', 'red']")
        peer.watch(SCREEN, True)
        screen = await shows(owner, SCREEN, [GREEN, RED])
        assert max(opened(screen).shape) <= 768
        assert {track for _, track, _ in owner.pictures} == {SCREEN}
        peer.watch(CAMERA, True)
        await shows(owner, CAMERA, [RED, BLUE])
