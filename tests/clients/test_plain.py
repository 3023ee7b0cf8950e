"""A page without any SDK: what a browser itself can do is enough for a call."""

from pathlib import Path
from typing import Final

from playwright.async_api import BrowserContext, Page

from tests.clients.way import way
from tests.running import Running, running

CALL: Final = """async (relay) => {
  const said = (window.said = []);
  const peer = (window.peer = new RTCPeerConnection());
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  window.microphone = microphone.getTracks()[0];
  peer.addTrack(window.microphone, microphone);
  const channel = (window.channel = peer.createDataChannel("anything"));
  channel.onmessage = ({ data }) => said.push(JSON.parse(data));
  await peer.setLocalDescription();
  const answer = await fetch(`${relay}/api/offer`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ sdp: peer.localDescription.sdp, type: "offer" }),
  });
  await peer.setRemoteDescription(await answer.json());
  await new Promise((open) => { channel.onopen = open; });
}"""
READY: Final = """() => channel.send(JSON.stringify(
  {label: "rtvi-ai", type: "client-ready", id: "1", data: {version: "2.1.0", about: {library: "mine"}}}))"""
TYPE: Final = """(words) => channel.send(JSON.stringify(
  {label: "rtvi-ai", type: "send-text", id: "2", data: {content: words}}))"""
ENERGY: Final = """async () => {
  for (const report of (await peer.getStats()).values())
    if (report.type === "inbound-rtp" && report.kind === "audio" && report.totalAudioEnergy > 0) return true;
  return false;
}"""


async def call(page: Page, relay: Running, site: str) -> None:
    await page.goto(f"{site}/app/index.html?app=kit")
    await page.evaluate(CALL, relay.base)


async def heard(page: Page, kind: str, words: str = "") -> None:
    await page.wait_for_function(
        "([kind, words]) => said.some(({type, data}) => type === kind && (data?.text ?? '').includes(words))",
        arg=[kind, words],
        timeout=15_000,
    )


async def test_forty_lines_without_an_sdk_make_a_call(context: BrowserContext, bundles: Path) -> None:
    page = await context.new_page()
    async with way("", bundles) as site, running("--allow-origin", site.base, "--greeting", "") as relay:
        await call(page, relay, site.base)
        await page.evaluate(READY)
        await heard(page, "bot-ready")
        await heard(page, "user-started-speaking")
        await heard(page, "user-transcription")
        await heard(page, "bot-output", "own words")
        await page.wait_for_function(ENERGY)
        await page.evaluate("() => { microphone.enabled = false; }")
        await page.evaluate(TYPE, "typed without an SDK")
        await heard(page, "bot-output", "typed without an SDK")
        await page.evaluate("() => peer.close()")


async def test_a_page_that_never_says_that_it_is_ready_is_served_all_the_same(
    context: BrowserContext, bundles: Path
) -> None:
    page = await context.new_page()
    async with way("", bundles) as site, running("--allow-origin", site.base, "--greeting", "Hello.") as relay:
        await call(page, relay, site.base)
        await page.evaluate("() => { microphone.enabled = false; }")  # nobody interrupts the greeting
        await heard(page, "bot-output", "Hello")
        await page.wait_for_function(ENERGY)
