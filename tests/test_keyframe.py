"""One whole key frame out of a stream's packets: whatever overtakes, doubles or is lost, it is the frame or nothing."""

import functools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.webrtc import h264, vp8
from relay.webrtc.h264 import MAX_PARAMETER_SETS, MAX_SLICES
from relay.webrtc.keyframe import (
    MAX_FRAME_BYTES,
    MAX_FRAME_PACKETS,
    MAX_SIDE,
    OVERTAKEN_SECONDS,
    KeyFrame,
    Look,
    fits,
)
from tests.camera import BLUE, RED, Sender, noise, picture

CODECS: Final = {"VP8": vp8, "H264": h264}
FFMPEG: Final = {"VP8": "vp8", "H264": "h264"}
BOTH: Final = pytest.mark.parametrize("codec", CODECS)


@dataclass(frozen=True)
class Packet:
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


@dataclass
class Stream:
    """What a sender sends: frames of which some are key frames, each cut in packets."""

    codec: str
    sequence: int = 65_530  # it wraps soon
    timestamp: int = 0xFFFF_F000
    packets: list[Packet] = field(default_factory=list)

    def add(self, payloads: Iterable[bytes]) -> list[Packet]:
        self.timestamp = self.timestamp + 3000 & 0xFFFFFFFF
        payloads, added = list(payloads), []
        for n, payload in enumerate(payloads):
            self.sequence = self.sequence + 1 & 0xFFFF
            added.append(Packet(self.sequence, self.timestamp, n == len(payloads) - 1, payload))
        self.packets += added
        return added


class Taker:
    """A `KeyFrame` with a clock, and what came of it."""

    def __init__(self, codec: str) -> None:
        self.refused = 0
        self.key_frame = KeyFrame(CODECS[codec], self.refuse)
        self.frames: list[bytes] = []
        self.now = 0.0

    def refuse(self) -> None:
        self.refused += 1

    def take(self, packets: Iterable[Packet]) -> "Taker":
        for packet in packets:
            self.now += 0.001
            frame = self.key_frame.add(packet.sequence, packet.timestamp, packet.marker, packet.payload, self.now)
            if frame is not None:
                self.frames.append(frame)
        return self


@functools.cache
def frames(codec: str) -> tuple[tuple[bytes, ...], ...]:
    """A key frame of several packets, two that need it, another key frame."""
    sender = Sender(codec)
    shows = [noise(320, 240), picture([RED, BLUE], 320, 240), noise(320, 240, 2), noise(320, 240, 3)]
    return tuple(tuple(sender.send(show, key=n in (0, 3))) for n, show in enumerate(shows))


def whole(codec: str, payloads: Sequence[bytes]) -> bytes:
    return CODECS[codec].join(payloads)  # type: ignore[no-any-return]


def decoded(codec: str, frame: bytes) -> Any:
    decoder: Any = av.CodecContext.create(FFMPEG[codec], "r")
    decoder.thread_count = 1
    [picture] = decoder.decode(av.Packet(frame)) or decoder.decode(None)
    return picture


@BOTH
def test_of_a_stream_the_key_frames_come_out_and_a_decoder_takes_them(codec: str) -> None:
    stream = Stream(codec)
    for payloads in frames(codec):
        stream.add(payloads)
    taker = Taker(codec).take(stream.packets)
    assert taker.frames == [whole(codec, frames(codec)[n]) for n in (0, 3)]
    assert [(p.width, p.height) for p in (decoded(codec, frame) for frame in taker.frames)] == [(320, 240)] * 2
    assert taker.refused == 0


@BOTH
def test_a_key_frame_says_its_size_in_its_first_packet(codec: str) -> None:
    for size in ((640, 480), (1280, 720), (176, 144)):
        first, *_ = Sender(codec).send(picture([RED], *size), key=True)
        assert CODECS[codec].look(first) is Look.KEY
        assert CODECS[codec].size(first) == size


@BOTH
@given(st.randoms(use_true_random=False), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_packets_that_overtake_each_other_and_come_twice_change_nothing(
    codec: str, chance: random.Random, data: st.DataObject
) -> None:
    stream = Stream(codec, sequence=data.draw(st.integers(0, 0xFFFF)), timestamp=data.draw(st.integers(0, 0xFFFFFFFF)))
    key = stream.add(frames(codec)[0])
    after = stream.add(frames(codec)[1])[:3]
    early, late = [*key, *chance.sample(key, 3)], [*after]
    chance.shuffle(early)
    for packet in late:  # no further back than the middle, and in OVERTAKEN_SECONDS
        early.insert(chance.randrange(len(early) // 2, len(early) + 1), packet)
    assert len(early) * 0.001 < OVERTAKEN_SECONDS
    taker = Taker(codec).take(early)
    assert taker.frames == [whole(codec, frames(codec)[0])] or key[0] not in early[: early.index(late[0])]


@BOTH
@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_of_a_key_frame_that_lost_a_packet_nothing_comes_and_the_next_one_does(codec: str, data: st.DataObject) -> None:
    stream = Stream(codec)
    lost = stream.add(frames(codec)[0])
    lost.pop(data.draw(st.integers(0, len(lost) - 1)))
    taker = Taker(codec).take(lost)
    for payloads in frames(codec)[1:]:
        taker.take(stream.add(payloads))
    assert taker.frames == [whole(codec, frames(codec)[3])]


@BOTH
def test_a_frame_waits_for_what_was_overtaken_but_not_for_ever(codec: str) -> None:
    stream = Stream(codec)
    key, other = stream.add(frames(codec)[0]), stream.add(frames(codec)[1])
    taker = Taker(codec).take(key[:-1]).take(other)
    assert taker.key_frame.gathering
    taker.now += OVERTAKEN_SECONDS
    taker.take(stream.add(frames(codec)[2]))
    assert not taker.key_frame.gathering
    assert taker.take(key[-1:]).frames == []


@BOTH
def test_frames_that_need_others_are_not_kept(codec: str) -> None:
    stream = Stream(codec)
    taker = Taker(codec).take(stream.add(frames(codec)[1]))
    assert not taker.key_frame.gathering
    assert CODECS[codec].look(frames(codec)[1][0]) is Look.OTHER


@BOTH
def test_a_frame_without_an_end_is_bounded(codec: str) -> None:
    first, more, *_ = frames(codec)[0]
    for payload in (more, more[:3].ljust(1400, b"x")):
        taker, stream = Taker(codec), Stream(codec)
        packets = stream.add([first, *[payload] * (MAX_FRAME_PACKETS + 10), payload])
        gathered = 0
        for packet in packets:
            taker.take([packet])
            if taker.key_frame.gathering:
                gathered += len(packet.payload)
        assert (taker.frames, taker.refused) == ([], 1)
        assert gathered <= MAX_FRAME_BYTES


@BOTH
def test_too_large_a_picture_is_refused_before_it_is_gathered(codec: str) -> None:
    stream = Stream(codec)
    payloads = Sender(codec).send(picture([RED], 4112, 2320), key=True)
    assert CODECS[codec].size(payloads[0]) == (4112, 2320)
    taker = Taker(codec).take(stream.add(payloads)[:1])
    assert not taker.key_frame.gathering
    assert taker.refused == 1


def test_what_fits() -> None:
    assert fits((4096, 2304))
    assert fits((2304, 4096))
    assert not fits((4096, 2305))
    assert not fits((0, 10))
    assert not fits((MAX_SIDE + 1, 1))
    assert not fits(None)


@pytest.mark.parametrize(
    ("descriptor", "length"),
    [
        ("10", 1),
        ("90 00", 2),
        ("90 80 01", 3),
        ("90 80 81 01", 4),
        ("90 40 01", 3),
        ("90 20 01", 3),
        ("90 10 01", 3),
        ("90 30 01", 3),
        ("90 e0 81 23 01 40", 6),
    ],
)
def test_every_form_of_a_vp8_descriptor_is_stepped_over(descriptor: str, length: int) -> None:
    head = bytes.fromhex(descriptor)
    assert len(head) == length
    key = bytes.fromhex("50 02 00 9d 01 2a 80 02 e0 01")
    assert vp8.look(head + key) is Look.KEY
    assert vp8.size(head + key) == (640, 480)
    assert vp8.join([head + key]) == key
    assert vp8.look(head + b"\x51") is Look.OTHER
    assert vp8.look(head) is Look.JUNK


SPS: Final = bytes.fromhex("67 42 c0 1f da 02 80 f6 40")  # 640 by 480
PPS: Final = bytes.fromhex("68 ce 3c 80")
IDR: Final = b"\x65\x88" + bytes(40)  # begins with macroblock 0
MORE_IDR: Final = b"\x65\x44" + bytes(40)  # with another


def stap(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2) + unit for unit in units)


def fragments(unit: bytes, size: int) -> list[bytes]:
    body = [unit[at : at + size] for at in range(1, len(unit), size)]
    return [
        bytes((unit[0] & 0xE0 | 28, unit[0] & 0x1F | (n == 0) << 7 | (n == len(body) - 1) << 6)) + part
        for n, part in enumerate(body)
    ]


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize(
    "payloads",
    [
        [SPS, PPS, IDR],
        [stap(SPS, PPS), IDR],
        [stap(SPS, PPS, IDR)],
        [stap(b"\x09\xf0", SPS, PPS), b"\x06\x05\x01\x00", *fragments(IDR, 7)],
        [SPS, PPS, *fragments(IDR, 41)],
    ],
    ids=["single", "aggregated", "all in one", "delimiter, SEI and fragments", "one fragment"],
)
def test_every_packing_of_an_h264_key_frame_is_the_same_frame(payloads: list[bytes]) -> None:
    taker = Taker("H264").take(Stream("H264").add(payloads))
    assert taker.frames == [annex_b(SPS, PPS, IDR)]
    assert h264.size(payloads[0]) == (640, 480)


@pytest.mark.parametrize(
    "payloads",
    [
        [SPS, PPS],
        [SPS, PPS, MORE_IDR],
        [SPS, PPS, IDR, IDR],
        [SPS, *[PPS] * MAX_PARAMETER_SETS, IDR],
        [SPS, PPS, IDR, *[MORE_IDR] * MAX_SLICES],
        [SPS, PPS, *fragments(IDR, 7)[1:]],
        [SPS, PPS, *fragments(IDR, 7)[:-1]],
        [SPS, PPS, *fragments(IDR, 7)[:-1], PPS],
        [SPS, PPS, fragments(IDR, 7)[0], *fragments(IDR, 7)],
        [SPS, bytes.fromhex("67 64 00 1f ac d9 40 50 05 bb 01 10"), PPS, IDR],
        [SPS, SPS[:5], PPS, IDR],
    ],
    ids=[
        *("no slice", "no first slice", "two pictures", "many parameter sets", "many slices", "no first fragment"),
        *("no last fragment", "a fragment that another unit ends", "two first fragments", "another profile", "cut"),
    ],
)
def test_what_is_no_h264_key_frame_is_none(payloads: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"not one|too many|fragment|profile|cut"):
        h264.join(payloads)
    taker = Taker("H264").take(Stream("H264").add(payloads))
    assert taker.frames == []
    assert taker.refused == 1


@pytest.mark.parametrize(
    "payload", [b"", b"\x67", b"\x78\x00", b"\x78\x00\x09\x67", b"\x78\x00\x00", b"\x1d\x85", b"\x60\x00"]
)
def test_what_packetization_mode_1_does_not_allow_is_junk(payload: bytes) -> None:
    assert h264.look(payload) is Look.JUNK


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5), st.booleans(), st.binary(max_size=40)), max_size=60))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_comes_nothing_is_raised_and_nothing_grows(packets: list[tuple[int, int, bool, bytes]]) -> None:
    for codec in CODECS:
        taker = Taker(codec)
        taker.take(Packet(sequence, timestamp, marker, payload) for sequence, timestamp, marker, payload in packets)
        assert taker.refused <= len(packets)
