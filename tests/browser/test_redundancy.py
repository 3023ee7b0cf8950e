"""What a real browser makes of an answer with redundancy: each packet brings the one before, bit by bit."""

import asyncio
from typing import Final

import pytest
from playwright.async_api import Page

from relay.audio import red
from relay.audio.jitter import JitterBuffer
from relay.audio.packet import FRAME_TICKS
from relay.webrtc.media import prepare
from relay.webrtc.peer import Peer
from tests.test_peer import Owner

CALL: Final = """async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  window.connection = new RTCPeerConnection();
  for (const track of stream.getTracks()) window.connection.addTrack(track, stream);
  await window.connection.setLocalDescription();
  return window.connection.localDescription.sdp;
}"""
ANSWER: Final = "(sdp) => window.connection.setRemoteDescription({ type: 'answer', sdp })"
PACKETS: Final = 60


@pytest.mark.parametrize("tier", ["raw", "middle"])
async def test_each_packet_of_chromium_brings_the_one_before(page: Page, tier: str) -> None:
    owner = Owner()
    peer = Peer(prepare(["127.0.0.1"], tiers=[tier]), owner)
    try:
        await page.route("**/*", lambda route: route.fulfill(body="<p>calling</p>", content_type="text/html"))
        await page.goto("http://localhost/")  # a microphone is for secure places only
        await page.evaluate(ANSWER, await peer.answer(await page.evaluate(CALL)))
        async with asyncio.timeout(10):
            while len(owner.rtp) < PACKETS:
                await asyncio.sleep(0.02)
        assert peer.line.gate is not None
        assert not peer.line.gate.dropped
        opus = peer.line.gate.payload_type
        jitter = JitterBuffer()
        for n, ((sequence, timestamp, ssrc, payload), whole) in enumerate(zip(owner.rtp, owner.red, strict=True)):
            found = red.read(whole, opus)
            assert found is not None
            assert found.primary == payload
            if n and sequence == owner.rtp[n - 1][0] + 1:
                assert found.redundant == (red.Block(FRAME_TICKS, owner.rtp[n - 1][3]),)
            if n % 2 == 0:  # as if every other one were lost
                jitter.push(sequence, timestamp, payload, ssrc, 0.0, found.redundant)
                jitter.poll(0.0)
        assert jitter.red == jitter.in_order - 1 > PACKETS // 3
        assert jitter.lost == 0
    finally:
        await page.evaluate("() => window.connection?.close()")
        await peer.close()
