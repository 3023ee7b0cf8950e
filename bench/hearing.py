"""What becomes of a microphone's packets on a bad network: through the relay's own way up, and through aiortc's."""

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

from bench import material, opus
from bench.opus import FRAME, Setting
from relay.audio.packet import DECODED_RATE, FRAME_TICKS
from relay.audio.red import write
from relay.uplink import Uplink
from tests import virtual
from tests.netem import OVERHEAD_BYTES, Link, Trouble
from tests.sound import Sound, silence

PATH: Final = 0.040  # seconds from the browser to the relay at best
QUIET: Final = 0.5  # seconds before and after the speech, which no figure looks at
TAIL: Final = 1.0  # seconds for which we go on listening after the last packet
SSRC: Final = 7
PAYLOAD_TYPE: Final = 111
STOCK_RATE: Final = 48_000  # Hz: what aiortc decodes to

Arrivals = Sequence[tuple[float, int]]  # seconds, number of the packet; in the order of time


@dataclass(frozen=True, slots=True)
class Stream:
    """Speech as a browser sends it."""

    packets: list[bytes]
    spoken: range  # the packets that hold the speech

    def payloads(self, n: int, red: bool) -> tuple[bytes, bytes]:
        """A packet's Opus, and what Chromium wraps it in: one copy of the packet before."""
        before = [(FRAME_TICKS, self.packets[n - 1])] if n else []
        return self.packets[n], write(self.packets[n], before, PAYLOAD_TYPE) if red else b""

    @property
    def kilobits(self) -> float:
        """Payload per second, without RED."""
        sizes = [len(self.packets[n]) for n in self.spoken]
        return 8 * sum(sizes) / (len(sizes) * FRAME) / 1000


@dataclass(frozen=True, slots=True)
class Heard:
    """What somebody made of a stream: by the number of each packet, its 20 ms of sound and when they were there."""

    frames: dict[int, bytes]
    at: dict[int, float]  # seconds of the call
    rate: int
    late: int = 0  # packets that came and were of no use any more

    def sound(self, over: range) -> Sound:
        """At the model's rate, on the sender's clock; what is missing is silent."""
        nothing = bytes(2 * round(FRAME * self.rate))
        pcm = b"".join(self.frames.get(n, nothing) for n in over)
        return material.resampled(Sound(pcm, self.rate), DECODED_RATE)

    def share(self, over: range) -> float:
        """How much of the sound's duration there is."""
        return sum(n in self.frames for n in over) / len(over)


def stream(speech: Sound, setting: Setting) -> Stream:
    quiet = silence(QUIET, speech.rate).pcm
    packets = opus.encode(Sound(quiet + speech.pcm + quiet, speech.rate), setting)
    edge = round(QUIET / FRAME)
    return Stream(packets, range(edge, len(packets) - edge))


def carry(sent: Stream, trouble: Trouble, seed: int, *, extra: int = 0) -> Arrivals:
    """The packets that come out of the network; `extra` bytes are added to each."""
    link = Link[int](trouble, seed)
    arrivals = [
        arrival
        for n, payload in enumerate(sent.packets)
        for arrival in link.send(n, n * FRAME, len(payload) + extra + OVERHEAD_BYTES)
    ]
    return sorted(arrivals)


def ours(sent: Stream, arrivals: Arrivals, red: bool) -> Heard:
    """Through `relay.uplink`, in virtual time; with RED each packet brings the one before it once more."""
    return virtual.run(_listen(sent, arrivals, red))


async def _listen(sent: Stream, arrivals: Arrivals, red: bool) -> Heard:
    loop = asyncio.get_running_loop()
    began, messages = loop.time(), list[tuple[float, bytes]]()
    uplink = Uplink(lambda pcm: messages.append((loop.time() - began, pcm)), lambda edge: None, lambda: None)
    uplink.open()
    uplink.model_ready()
    for at, n in arrivals:
        loop.call_at(began + at, uplink.on_rtp, n, n * FRAME_TICKS, SSRC, *sent.payloads(n, red))
    await asyncio.sleep(arrivals[-1][0] + TAIL)
    uplink.close()
    first = arrivals[0][1]
    frames = {n: pcm for n, (_, pcm) in enumerate(messages, first)}
    return Heard(frames, {n: at for n, (at, _) in enumerate(messages, first)}, DECODED_RATE, uplink.jitter.late)


def stock(sent: Stream, arrivals: Arrivals) -> Heard:
    """Through the jitter buffer and the decoder that an aiortc track has, placed by the time stamps it gives."""
    buffer, decoder = JitterBuffer(capacity=16, prefetch=4), OpusDecoder()
    frames, at = dict[int, bytes](), dict[int, float]()
    for now, n in arrivals:
        packet = RtpPacket(sequence_number=n, timestamp=n * FRAME_TICKS, ssrc=SSRC)
        packet._data = sent.packets[n]  # type: ignore[attr-defined]  # as aiortc's receiver does
        _, ready = buffer.add(packet)
        if ready is not None:
            pcm = b"".join(map(_left, decoder.decode(ready)))
            frames[ready.timestamp // FRAME_TICKS], at[ready.timestamp // FRAME_TICKS] = pcm, now
    useless = {n for _, n in arrivals if n in sent.spoken and n not in frames}
    return Heard(frames, at, STOCK_RATE, len(useless))


def _left(frame: Any) -> bytes:
    return array("h", bytes(frame.planes[0])[: 4 * frame.samples])[::2].tobytes()


def waits(heard: Heard, arrivals: Arrivals) -> dict[int, float]:
    """By packet, the seconds from its arrival to its sound; without those that came too late."""
    return {n: heard.at[n] - at for at, n in arrivals if heard.at.get(n, 0.0) >= at}


def waits_after_holes(heard: Heard, arrivals: Arrivals, settled: int) -> list[float]:
    """The same, of packets that are the first of their kind: the last hole is `settled` packets ago."""
    all_waits, came = waits(heard, arrivals), {n for _, n in arrivals}
    return [
        wait
        for n, wait in all_waits.items()
        if n - settled - 1 not in came and all(before in came for before in range(n - settled, n))
    ]
