"""What bad input gets: it is dropped and counted by its cause, nothing is logged, and the next good packet is heard."""

import asyncio
import logging
import struct
from typing import Final

import pytest

from relay.audio import red
from relay.audio.packet import FRAME_TICKS, MAX_PAYLOAD_BYTES
from relay.metrics import CAUSES, FATES, CallFigures
from relay.uplink import MESSAGE_BYTES, Uplink
from relay.webrtc.gate import BURST_PACKETS, MAX_RED_BYTES
from tests import virtual
from tests.fuzz.parsers import OPUS, RED, raw_line
from tests.fuzz.sequences import SILK

GOOD: Final = 20  # packets before the bad one, and after
SSRC: Final = 7
WELL: Final = ("in_order", "red")  # what is heard bit by bit


def packet(
    number: int, payload: bytes = SILK, payload_type: int = OPUS, *, first: int = 0x80, ssrc: int = SSRC
) -> bytes:
    """One as it comes out of SRTP."""
    return struct.pack("!BBHII", first, payload_type, number, number * FRAME_TICKS, ssrc) + payload


BAD: Final = {
    "a header that is cut": ("srtp", packet(0)[:11]),
    "an extension longer than its packet": ("srtp", packet(0, b"\xbe\xde\xff\xff", first=0x90)),
    "more contributors than bytes": ("srtp", packet(0, b"", first=0x8F)),
    "padding longer than its packet": ("srtp", packet(0, SILK + b"\xff", first=0xA0)),
    "no sound at all": ("size", packet(0, b"")),
    "more than an Opus frame can be": ("size", packet(0, b"\x48" * (MAX_PAYLOAD_BYTES + 1))),
    "more copies than a datagram holds": ("size", packet(0, bytes(MAX_RED_BYTES + 1), RED)),
    "a codec nobody agreed upon": ("type", packet(0, SILK, 0)),
    "a stranger's stream": ("ssrc", packet(0, SILK, ssrc=8)),
    "copies that are cut": ("red", packet(0, red.write(SILK, [(960, SILK)], OPUS)[: len(SILK)], RED)),
    "copies of another codec": ("red", packet(0, red.write(SILK, [(960, SILK)], 0), RED)),
    "a copy longer than its packet": ("red", packet(0, bytes([0x80 | OPUS, 15, 3, 255, OPUS]) + SILK, RED)),
    "what is no Opus": ("refused", packet(GOOD, b"\x4b\x00")),
    "Opus that cannot be decoded": ("undecodable", packet(GOOD, bytes.fromhex("21698003c726b58f"))),
    "one that came before": ("duplicate", packet(GOOD - 1)),
    "one from elsewhere": ("refused", packet(GOOD + 20_000)),
}


class Line:
    """One call from behind SRTP to the model."""

    def __init__(self) -> None:
        self.heard = 0
        self.uplink = Uplink(self._hear, lambda edge: None, lambda: None)
        self.uplink.open()
        self.uplink.model_ready()
        self.raw = raw_line(self.uplink.on_rtp)

    def _hear(self, pcm: bytes) -> None:
        self.heard += len(pcm)

    async def speak(self, numbers: range) -> None:
        for number in numbers:
            before = self.heard
            self.raw.take(packet(number))
            assert self.heard - before >= MESSAGE_BYTES
            await asyncio.sleep(0.02)

    def counted(self) -> dict[str, int]:
        """Everything but what is well, as `/metrics` tells it."""
        figures = CallFigures()
        figures.add_line(self.raw.gate, self.raw.rejected)
        jitter = self.uplink.jitter
        fates = {fate: getattr(jitter, fate, self.uplink.undecodable) for fate in FATES if fate not in WELL}
        return {name: count for name, count in {**figures.dropped, **fates}.items() if count}


@pytest.mark.parametrize(("cause", "bad"), BAD.values(), ids=BAD)
def test_a_bad_packet_is_dropped_and_counted_by_its_cause_and_the_next_good_one_is_heard(
    cause: str, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> dict[str, int]:
        line = Line()
        await line.speak(range(GOOD))
        line.raw.take(bad)
        await asyncio.sleep(0.02)
        # one that cannot be decoded has had its place
        await line.speak(range(GOOD + (cause == "undecodable"), 2 * GOOD))
        line.uplink.close()
        counted = line.counted()
        if cause == "refused" and bad == BAD["one from elsewhere"][1]:
            line.uplink.jitter.restart()  # it was kept, in case that its neighbour came
            counted = line.counted()
        return counted

    with caplog.at_level(logging.INFO):
        assert virtual.run(main()) == {cause: 1}
    assert caplog.text == ""
    assert cause in (*CAUSES, *FATES)


def test_a_flood_is_dropped_and_counted_and_what_comes_after_it_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> dict[str, int]:
        line = Line()
        for number in range(10_000):
            line.raw.take(packet(number))
        await asyncio.sleep(5)
        line.raw.take(packet(10_000))  # far from all that was let in; the next one agrees with it
        await line.speak(range(10_001, 10_001 + GOOD))
        line.uplink.close()
        return line.counted()

    with caplog.at_level(logging.INFO):
        assert virtual.run(main()) == {"rate": 10_000 - BURST_PACKETS}
    assert caplog.text == ""
