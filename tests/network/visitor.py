"""Somebody on the page of the relay: speaks when told to, writes down what is heard, reads Chromium's statistics."""

import asyncio
import json
from array import array
from dataclasses import dataclass
from typing import Any, Final

from playwright.async_api import Page

from tests.sound import Sound

HEARD_RATE: Final = 12_000  # Hz of what is written down
USED_TO_IT_SECONDS: Final = 2.0  # for Chromium's buffer to settle when sound begins

# Keeps the page's peer connections, and gives it a microphone in a room where only `SAY` is heard.
WATCH: Final = """
window.peers = [];
const Original = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Original {
  constructor(...args) { super(...args); window.peers.push(this); }
};
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  window.room = context.createMediaStreamDestination();
  new ConstantSourceNode(context, {offset: 0}).connect(window.room);
  await context.resume();
  return window.room.stream;
};
"""

# Playwright wraps each number that passes; text it passes as it is.
SAY: Final = """(text) => {
  const [samples, rate] = JSON.parse(text);
  const buffer = new AudioBuffer({length: samples.length, sampleRate: rate});
  buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
  const voice = new AudioBufferSourceNode(window.room.context, {buffer});
  voice.connect(window.room);
  voice.start();
}"""

# Writes down what the page plays, the mean of each four samples, and when each 11 ms of it were there.
LISTEN: Final = """() => {
  const context = new AudioContext({sampleRate: 48000});
  const ear = context.createScriptProcessor(512, 1, 1);
  window.heard = [];
  ear.onaudioprocess = ({inputBuffer}) => {
    const [samples, thin] = [inputBuffer.getChannelData(0), []];
    for (let at = 0; at < samples.length; at += 4)
      thin.push(Math.round(8191 * (samples[at] + samples[at + 1] + samples[at + 2] + samples[at + 3])));
    window.heard.push([Date.now() / 1000, thin]);
  };
  context.createMediaStreamSource(document.querySelector('audio').srcObject).connect(ear).connect(context.destination);
}"""

STATS: Final = """async () => {
  const stats = await window.peers.at(-1).getStats();
  const heard = [...stats.values()].find((one) => one.type === 'inbound-rtp' && one.kind === 'audio') ?? {};
  return {heard, peers: window.peers.length};
}"""


@dataclass(frozen=True, slots=True)
class Stats:
    """What Chromium says of the sound of its newest peer connection, and how many of them the page has made."""

    heard: dict[str, Any]
    peers: int

    def since(self, before: "Stats") -> dict[str, float]:
        """What became of the sound between two looks; see `measure.concealment`."""
        numbers = {name: value for name, value in self.heard.items() if isinstance(value, int | float)}
        more = {name: value - before.heard.get(name, 0) for name, value in numbers.items()}
        packets = more["packetsReceived"] + more["packetsLost"]
        return {
            "concealed": more["concealedSamples"] / more["totalSamplesReceived"],
            "lost": more["packetsLost"] / max(1, packets),
            "delay_ms": 1000 * more["jitterBufferDelay"] / more["jitterBufferEmittedCount"],
            "kbit_s": 0.008 * (more["bytesReceived"] + more["headerBytesReceived"]) / more["totalSamplesDuration"],
        }


class Visitor:
    """One page and its call. Times are `time.time()`'s."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def dial(self, address: str) -> None:
        """Open the page and press the button."""
        await self.page.add_init_script(WATCH)
        await self.page.goto(address)
        await self.page.get_by_role("button", name="Start talking").click()

    async def state(self, *names: str) -> None:
        """Wait until the page shows one of these states."""
        await self.page.wait_for_function(
            "names => names.includes(document.documentElement.dataset.state)", arg=list(names)
        )

    async def hang_up(self) -> None:
        """Press the button that ends the call, and wait until the page has."""
        await self.page.get_by_role("button", name="End", exact=True).click()
        await self.state("ended")

    async def type(self, words: str) -> None:
        await self.page.get_by_placeholder("Type instead").fill(words)
        await self.page.keyboard.press("Enter")

    async def say(self, sound: Sound) -> None:
        """Begin to speak; it comes back at once."""
        await self.page.evaluate(SAY, json.dumps([list(sound.samples), sound.rate]))

    async def shown(self, who: str, words: str) -> None:
        """Wait until the last caption of `who`, user or model, holds `words`."""
        await self.page.locator(f"#captions .{who}", has_text=words).last.wait_for()

    async def have_it_speak(self, settle: float = USED_TO_IT_SECONDS) -> None:
        """Ask the model for its greeting, and wait until it is being heard, and so many seconds more."""
        await self.state("listening")
        await self.type("Say hello.")
        await self.state("speaking")
        await asyncio.sleep(settle)

    async def listen(self) -> None:
        """Write down what the page plays from now on."""
        await self.page.evaluate(LISTEN)

    async def heard(self) -> list[tuple[float, Sound]]:
        """What was written down: 11 ms each, and when."""
        written = json.loads(await self.page.evaluate("() => JSON.stringify(window.heard)"))
        return [(at, Sound(array("h", samples).tobytes(), HEARD_RATE)) for at, samples in written]

    async def stats(self) -> Stats:
        return Stats(**await self.page.evaluate(STATS))
