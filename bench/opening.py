"""From the offer to the model's first word in a Chromium: the page, the relay and a stand-in that is warm.

The page is the relay's own, without a window; `make test` installs Playwright and a Chromium, and without them there
are no figures. All times are the browser's: when it posts its offer, when things come.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from bench.report import Row
from tests.process import owners_relay

OPENINGS, QUICK_OPENINGS = 20, 5
FIRST_WORD: Final = 250.0  # ms from the offer
THOUGHT: Final = 150.0  # ms; the stand-in's `latency_ms`
START_SECONDS: Final = 20.0
PACKET_MS: Final = 20.0
SILENCE_BYTES: Final = 3  # a packet of the silence that goes before, to have the browser's sound running
WORD_BYTES: Final = 160  # one of anything else, at 64 kb/s

# Notes when the page posts an offer, and what comes of it, in ms of the page's clock. The browser's statistics are made
# anew every 50 ms at most, so the first packet with a word is reckoned back from the last one that they know.
WATCH = """
window.noted = {};
const note = (what) => { window.noted[what] ??= performance.now(); };
const ask = window.fetch;
window.fetch = async (...request) => {
  const offers = request[1]?.method === 'POST' && String(request[0]).endsWith('/offer');
  if (offers) note('offer');
  const answer = await ask(...request);
  if (offers) note('answer');
  return answer;
};
const Original = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Original {
  constructor(...args) {
    super(...args);
    this.oniceconnectionstatechange = () => { if (this.iceConnectionState === 'connected') note('ice'); };
    this.addEventListener('connectionstatechange', () => { if (this.connectionState === 'connected') note('dtls'); });
    let known = {packetsReceived: 0, bytesReceived: 0};
    const look = async () => {
      const stats = await this.getStats();
      for (const stat of stats.values()) {
        if (stat.type !== 'inbound-rtp' || stat.kind !== 'audio' || !stat.packetsReceived) continue;
        const packets = stat.packetsReceived - known.packetsReceived;
        const sound = stat.bytesReceived - known.bytesReceived - SILENCE_BYTES * packets;
        known = stat;
        if (sound < WORD_BYTES / 2) continue;
        const since = Math.min(packets, Math.round(sound / WORD_BYTES)) - 1;
        window.noted.word = stat.lastPacketReceivedTimestamp - performance.timeOrigin - PACKET_MS * since;
        return;
      }
      if (this.connectionState !== 'closed') setTimeout(look, 10);
    };
    look();
  }
  createDataChannel(...args) {
    const channel = super.createDataChannel(...args);
    channel.addEventListener('open', () => note('channel'));
    channel.addEventListener('message', ({data}) => { if (data.includes('"bot-ready"')) note('ready'); });
    return channel;
  }
};
"""
for _name, _number in (("PACKET_MS", PACKET_MS), ("SILENCE_BYTES", SILENCE_BYTES), ("WORD_BYTES", WORD_BYTES)):
    WATCH = WATCH.replace(_name, f"{_number:g}")
NAMES: Final = {
    "answer": "to the answer",
    "ice": "to a path",
    "dtls": "to its keys",
    "channel": "to the channel for words",
    "ready": "to the relay's welcome",
    "word": "to the model's first word",
}


def rows(options: argparse.Namespace) -> list[Row]:
    """Every figure of this room; none, with the reason in one line, where it cannot be measured."""
    reason = "" if importlib.util.find_spec("playwright") else "Playwright is not installed"
    if reason:
        print(f"No figures of openings in a Chromium: {reason}.")
        return []
    noted = asyncio.run(openings(QUICK_OPENINGS if options.quick else OPENINGS))
    made = []
    for name, words in NAMES.items():
        target, note = (FIRST_WORD, f"of them {THOUGHT:g} the stand-in's own") if name == "word" else (None, "")
        took = [one[name] - one["offer"] for one in noted if name in one]
        made.append(Row(f"Chromium, from its offer {words}", took, "ms", target, note))
    return made


async def openings(count: int) -> list[dict[str, float]]:
    """What was noted of so many calls, one after the other; of one more before them, which warms everything up."""
    from tests import chromium

    noted = []
    with tempfile.TemporaryDirectory(prefix="opening-") as name:
        microphone = Path(name) / "silence.wav"
        chromium.record_microphone(microphone, speaks=False)
        async with relay() as base, chromium.started(microphone) as browser, chromium.profile(browser) as profile:
            for _ in range(1 + count):
                noted.append(await opening(await profile.new_page(), base))
    return noted[1:]


async def opening(page: Any, base: str) -> dict[str, float]:
    """One call, until its first word."""
    await page.add_init_script(WATCH)
    await page.goto(base)
    await page.get_by_role("button", name="Start talking").click()
    await page.wait_for_function("() => window.noted.word")
    noted = await page.evaluate("() => window.noted")
    await page.close()
    return dict(noted)


@contextlib.asynccontextmanager
async def relay() -> AsyncIterator[str]:
    """A relay with its stand-in, in a folder without settings; its address."""
    flags = ("--model", "local", "--local-voice", "off", "--log-level", "warning", "--keep", "0")
    with tempfile.TemporaryDirectory(prefix="opening-", ignore_cleanup_errors=True) as folder:
        async with owners_relay(Path(folder), *flags, patience=START_SECONDS) as base:
            yield base
