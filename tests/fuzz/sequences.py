"""Targets of many packets: the bytes are a script of who sends what and when, from the socket to the model.

One byte says what happens (`ACTS`), those after it how. However the script goes, nothing raises, what is kept stays
bounded, every packet is counted once by its cause, the model gets no more sound than there was time, and an honest
microphone is heard again at its end.
"""

import asyncio
import struct
from typing import Final

from relay.audio import red
from relay.audio.jitter import MAX_AHEAD
from relay.audio.packet import DECODED_RATE, FRAME_TICKS, ONE_FRAME_TICKS, TICKS_PER_SECOND, duration
from relay.uplink import AHEAD_SECONDS, MESSAGE_BYTES, Uplink
from relay.webrtc.gate import BURST_PACKETS, PACKETS_PER_SECOND, SSRC_CHANGE_SECONDS, Gate
from tests import virtual
from tests.fuzz.parsers import OPUS, RED, raw_line
from tests.fuzz.reader import Reader

SILK: Final = bytes.fromhex("48" + "8b2e5d01f7c36a4490d2" * 3)
# One of each length and framing: 20 ms with and without FEC, 10, 40, 60, 2.5 ms, then two and more frames, then none.
PAYLOADS: Final = (
    b"\xd8\xff\xfe",
    SILK,
    b"\x48" + b"\x40" + SILK[1:],
    b"\x40" + SILK[1:],
    b"\x50" + SILK[1:],
    b"\x58" + SILK[1:],
    b"\xe0" + SILK[1:8],
    b"\x59" + SILK[1:] + SILK[1:],
    b"\x5b\x02" + SILK[1:] + SILK[1:],
    b"\x4b\x06" + SILK[1:] * 6,
    b"\x5a\x05" + SILK[1:],
    bytes.fromhex("21698003c726b58f"),  # says that it has FEC, and has none
    b"\x4b\x00",
    b"\xff",
    b"\x00",
    b"\xfc" + bytes(1274),
)
SSRCS: Final = (7, 7, 7, 7, 7, 7, 8, 0xFFFFFFFF)
# How much sound may be on its way to the model when it is noticed that there is too much: what the gate lets through at
# once, and until somebody looks, of the longest packets that need no second look.
UNNOTICED_SECONDS: Final = (BURST_PACKETS + PACKETS_PER_SECOND) * max(ONE_FRAME_TICKS) / TICKS_PER_SECOND
HONEST_PACKETS: Final = 15


class Caller:
    """A browser that does what a script says, and the relay's way up behind its socket."""

    def __init__(self, script: Reader) -> None:
        self.script = script
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.heard = 0  # bytes
        self.ended = 0
        self.sent = 0
        self.sequence = self.timestamp = 0
        self.ssrc = SSRCS[0]
        self.uplink = Uplink(self.hear, lambda edge: None, self.end)
        self.line = raw_line(self.uplink.on_rtp)
        self.acts = (
            *(self.speak,) * 4,
            *(self.speak_after_a_loss, self.speak_with_copies, self.repeat, self.jump),
            *(self.send_anything, self.send_any_header, self.wait, self.wait_long),
            *(self.flood, self.mute, self.unmute, self.listen),
        )

    def hear(self, pcm: bytes) -> None:
        assert len(pcm) % 2 == 0
        self.heard += len(pcm)

    def end(self) -> None:
        self.ended += 1

    async def act(self) -> None:
        """The next line of the script."""
        await self.acts[self.script.number() % len(self.acts)]()
        self.check()

    def send(self, payload: bytes, payload_type: int = OPUS) -> None:
        """One packet from where the script is."""
        header = struct.pack(
            "!BBHII", 0x80, payload_type, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc
        )
        self.put(header + payload)

    def put(self, packet: bytes) -> None:
        self.sent += 1
        assert self.line.take(packet)

    def payload(self) -> bytes:
        return PAYLOADS[self.script.number() % len(PAYLOADS)]

    def go_on(self, payload: bytes) -> None:
        self.sequence += 1
        self.timestamp += duration(payload) or FRAME_TICKS

    async def speak(self) -> None:
        payload = self.payload()
        self.send(payload)
        self.go_on(payload)
        await asyncio.sleep((duration(payload) or FRAME_TICKS) / TICKS_PER_SECOND)

    async def speak_after_a_loss(self) -> None:
        lost = self.script.number() % (MAX_AHEAD + 10)
        self.sequence += lost
        self.timestamp += lost * FRAME_TICKS
        await self.speak()

    async def speak_with_copies(self) -> None:
        copies = []
        for _ in range(self.script.number() % (red.MAX_BLOCKS + 2)):
            copies.append((self.script.number(2) & red.MAX_TICKS_BEFORE, self.payload()[: red.MAX_BLOCK_BYTES]))
        payload = self.payload()
        self.send(red.write(payload, copies, OPUS), RED)
        self.go_on(payload)

    async def repeat(self) -> None:
        self.sequence -= self.script.number() & 0x0F
        self.timestamp -= self.script.number() % 16 * FRAME_TICKS
        self.send(self.payload())

    async def jump(self) -> None:
        self.sequence += self.script.signed(2)
        self.timestamp += self.script.signed(4)
        self.ssrc = SSRCS[self.script.number() % len(SSRCS)]

    async def send_anything(self) -> None:
        payload_type = (OPUS, RED, 0, OPUS)[self.script.number() & 3]
        self.send(self.script.take(self.script.number()), payload_type)
        self.sequence += 1
        self.timestamp += FRAME_TICKS

    async def send_any_header(self) -> None:
        first, length = self.script.number() & 0x3F | 0x80, self.script.number()
        self.put(bytes([first]) + self.script.take(length))

    async def wait(self) -> None:
        await asyncio.sleep(self.script.number() / 1000)

    async def wait_long(self) -> None:
        await asyncio.sleep(self.script.number() / 10)

    async def flood(self) -> None:
        payload, step = self.payload(), self.script.signed()
        for _ in range(self.script.number()):
            self.send(payload)
            self.sequence += step
            self.timestamp += step * (duration(payload) or FRAME_TICKS)

    async def mute(self) -> None:
        self.uplink.shut()

    async def unmute(self) -> None:
        self.uplink.open()

    async def listen(self) -> None:
        self.uplink.model_ready()

    def check(self) -> None:
        """What holds after every act."""
        uplink, jitter = self.uplink, self.uplink.jitter
        assert self.line.gate is not None
        assert self.sent == uplink.packets + self.line.rejected + sum(self.line.gate.dropped.values())
        assert len(jitter._held) <= MAX_AHEAD + 1
        assert len(jitter._given_up) <= MAX_AHEAD
        assert len(uplink._pending) < MESSAGE_BYTES
        assert len(uplink.stall._doubted) <= DECODED_RATE
        assert len(self.line._receiver._RTCRtpReceiver__remote_streams) <= 1
        waits = jitter.deadline is not None or uplink.stall.deadline is not None
        assert not waits or not uplink._open or uplink._timer is not None
        passed = self.loop.time() - self.began
        assert self.heard / 2 / DECODED_RATE <= passed + AHEAD_SECONDS + UNNOTICED_SECONDS

    async def be_honest(self) -> None:
        """Somebody speaks on a new stream, when all that there was is over: every packet is heard at once."""
        self.uplink.open()
        self.uplink.model_ready()
        await asyncio.sleep(AHEAD_SECONDS + UNNOTICED_SECONDS + SSRC_CHANGE_SECONDS)
        assert self.uplink.jitter.deadline is None
        self.sequence, self.timestamp, self.ssrc = 0, 0, 9
        before = self.heard
        for _ in range(HONEST_PACKETS):
            self.send(SILK)
            self.go_on(SILK)
            await asyncio.sleep(FRAME_TICKS / TICKS_PER_SECOND)
        self.check()
        assert self.heard - before == HONEST_PACKETS * MESSAGE_BYTES


def called(data: bytes) -> None:
    """A whole call's sound."""

    async def main() -> None:
        caller = Caller(Reader(data))
        caller.uplink.open()
        if not data or data[0] & 1:
            caller.uplink.model_ready()
        while caller.script:
            await caller.act()
        await caller.be_honest()
        caller.uplink.close()

    virtual.run(main())


def gated(data: bytes) -> None:
    """Packets of any kind at any time: no more pass than the pace allows, and each that does not is counted."""
    script, gate = Reader(data), Gate(OPUS, RED)
    now, packets, passed, streams = 0.0, 0, 0, set[int]()
    while script:
        now += script.number() / 1000 * (10 if script.number() & 1 else 0)
        size = script.number(2) & 0x7FF
        ssrc, payload_type = SSRCS[script.number() % len(SSRCS)], (OPUS, RED, 0)[script.number() % 3]
        for _ in range(1 + script.number()):
            packets += 1
            if gate.admit(payload_type, ssrc, size, now):
                passed += 1
                streams.add(ssrc)
    assert passed + sum(gate.dropped.values()) == packets
    assert passed <= BURST_PACKETS + PACKETS_PER_SECOND * now + 1
    assert len(streams) <= 1 + now / SSRC_CHANGE_SECONDS
