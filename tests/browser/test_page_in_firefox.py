"""The page in Firefox, which calls nobody by loopback: a call, and its camera."""

import asyncio
from pathlib import Path
from typing import Final

from tests.browser.test_eyes import CAMERA, PICTURES_PER_S
from tests.clients.firefox import firefox, own_address
from tests.running import running

WATCH: Final = """(() => {
  window.peers = [];
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...args) { super(...args); window.peers.push(this); }
  };
  window.failed = [];
  for (const type of ['error', 'unhandledrejection'])
    addEventListener(type, event => window.failed.push(String(event.message ?? event.reason)));
})()"""
SENT: Final = f"""peers[0].getStats().then(reports => {{
  for (const report of reports.values())
    if (report.type === 'outbound-rtp' && report.mid === '{CAMERA}')
      return [report.framesSent, report.packetsSent, Math.max(report.frameWidth, report.frameHeight)];
}})"""
STATES: Final = "['listening', 'hearing', 'thinking', 'speaking']"


async def test_a_call_is_held_and_the_camera_is_shown_in_firefox_too(tmp_path: Path) -> None:
    async with (
        running("--greeting", "", "--ice-address", own_address()) as relay,
        firefox(tmp_path) as fox,
    ):
        await fox.open(relay.base)
        await fox.run(WATCH)
        await fox.run("document.getElementById('start').click()")
        await fox.until(f"{STATES}.includes(document.documentElement.dataset.state)")
        await fox.run("document.getElementById('camera').click()")
        await fox.until("document.getElementById('camera-view').videoWidth > 0")
        model = await relay.model.connected()
        async with asyncio.timeout(20):
            while sum("video" in body for body in model.of("realtimeInput")) < 2:
                await asyncio.sleep(0.05)
        before = await fox.run(SENT)
        await asyncio.sleep(2.0)
        after = await fox.run(SENT)
        assert 1 <= after[0] - before[0] <= 2 * PICTURES_PER_S + 1
        assert 0 < after[2] <= 640
        await fox.run("document.getElementById('camera').click()")
        await fox.until("document.getElementById('camera').getAttribute('aria-pressed') === 'false'")
        await asyncio.sleep(0.5)
        before = await fox.run(SENT)
        await asyncio.sleep(1.0)
        assert (await fox.run(SENT))[:2] == before[:2]
        assert await fox.run("window.failed") == []
