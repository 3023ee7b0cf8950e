"""What a real browser's camera and screen become: pictures in the right colours, one a second, of few bits."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from playwright.async_api import Page

from relay.webrtc.eyes import CAMERA, PERIOD_SECONDS, SCREEN
from relay.webrtc.media import prepare
from relay.webrtc.peer import Peer
from relay.webrtc.sdp import VIDEO_KILOBITS_PER_SECOND
from tests.camera import BLUE, GREEN, RED, Colour, alike, opened, seen
from tests.clients.firefox import firefox, own_address
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
# A page of its own: Firefox's sound is a tone, and its sections show what canvases are painted in.
FIREFOX_CALL: Final = """(async () => {
  const audio = await navigator.mediaDevices.getUserMedia({ audio: true });
  window.connection = new RTCPeerConnection();
  connection.addTransceiver(audio.getTracks()[0], { streams: [audio] });
  for (const colour of ['red', 'blue']) {
    const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 480 });
    const paint = canvas.getContext('2d');
    setInterval(() => {
      paint.fillStyle = colour;
      paint.fillRect(0, 0, 640, 480);
    }, 33);
    connection.addTransceiver(canvas.captureStream(30).getTracks()[0], { direction: 'sendonly' });
  }
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
})()"""
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
        await asyncio.wait_for(owner.connected.wait(), 20)
        yield peer, owner
    finally:
        await page.evaluate("() => window.connection?.close()")
        await peer.close()


async def shows(owner: Owner, track: int, colours: list[Colour]) -> bytes:
    """Wait for a picture of those colours."""
    async with asyncio.timeout(20):
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
        assert await page.evaluate(LOST) <= 0, "by what we report; one that was overtaken by the first counts as a gain"


async def test_a_screen_beside_the_camera_is_seen_smaller_and_apart(page: Page) -> None:
    async with shown(page, "", (320, 240), (1920, 1080)) as (peer, owner):
        await page.evaluate("window.colours[1] = ['lime', 'red']")
        peer.watch(SCREEN, True)
        screen = await shows(owner, SCREEN, [GREEN, RED])
        assert max(opened(screen).shape) <= 768
        assert {track for _, track, _ in owner.pictures} == {SCREEN}
        peer.watch(CAMERA, True)
        await shows(owner, CAMERA, [RED, BLUE])


async def test_firefox_shows_camera_and_screen_too(tmp_path: Path) -> None:
    owner = Owner()
    peer = Peer(prepare([own_address()]), owner)  # Firefox takes no part in calls over loopback
    try:
        async with blank_page() as url, firefox(tmp_path) as fox:
            await fox.open(url)
            answer = json.dumps({"type": "answer", "sdp": await peer.answer(await fox.run(FIREFOX_CALL))})
            await fox.run(f"window.connection.setRemoteDescription({answer})")
            await asyncio.wait_for(owner.connected.wait(), 20)
            peer.watch(CAMERA, True)
            peer.watch(SCREEN, True)
            await shows(owner, CAMERA, [RED])
            await shows(owner, SCREEN, [BLUE])
    finally:
        await peer.close()


@asynccontextmanager
async def blank_page() -> AsyncIterator[str]:
    """A page without anything, from this machine: a secure place."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<p>showing</p>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    try:
        await web.SockSite(runner, listening).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        await runner.cleanup()
