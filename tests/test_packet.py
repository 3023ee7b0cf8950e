"""What a packet says about itself is what libopus finds in it, whatever its framing."""

import ctypes
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio import opus
from relay.audio.opus import Decoder, OpusError
from relay.audio.packet import MAX_PAYLOAD_BYTES, TICKS_PER_SECOND, duration, fec_ticks
from tests.test_opus import WEATHER, browser_packets


def length(size: int) -> bytes:
    """RFC 6716 §3.2.1: how the length of a frame is written."""
    return bytes([size]) if size < 252 else bytes([252 + (size & 3), (size - 252 - (size & 3)) // 4])


def padding(size: int) -> bytes:
    """RFC 6716 §3.2.5: how the length of the padding is written."""
    return bytes([255] * (size // 254) + [size % 254])


def framed(rng: random.Random) -> bytes:
    """A packet of SILK or hybrid frames that nobody encoded, in any of the four framings, whole and well-formed."""
    code = rng.randrange(4)
    first = rng.randrange(16) << 3 | rng.randrange(2) << 2 | code
    sizes = [rng.choice([0, 1, 3, 40, 251, 252, 255, 300]) for _ in range(2)]
    match code:
        case 0:
            return bytes([first]) + rng.randbytes(sizes[0])
        case 1:
            return bytes([first]) + rng.randbytes(2 * sizes[0])
        case 2:
            return bytes([first]) + length(sizes[0]) + rng.randbytes(sum(sizes))
    count, pad = rng.choice([1, 2, 3]), rng.choice([0, 0, 1, 253, 254, 255, 510])
    sizes = [rng.choice([0, 1, 40, 252, 300]) for _ in range(count)]
    varied = rng.random() < 0.5
    if not varied:
        sizes = [sizes[0]] * count
    head = bytes([first, count | 0x80 * varied | 0x40 * (pad > 0)]) + (padding(pad) if pad else b"")
    lengths = b"".join(map(length, sizes[:-1])) if varied else b""
    return head + lengths + rng.randbytes(sum(sizes)) + bytes(pad)


def shape(payload: bytes) -> tuple[int, int]:
    """What we say of a packet: its duration, and how much before it its FEC restores."""
    ticks = duration(payload)
    return ticks, fec_ticks(payload) if ticks else 0


def libopus_says(payload: bytes) -> tuple[int, int]:
    lib = ctypes.CDLL(next(opus._places()))
    ticks = lib.opus_packet_get_nb_samples(payload, len(payload), TICKS_PER_SECOND)
    fec = lib.opus_packet_has_lbrr(payload, len(payload))
    if ticks <= 0 or fec < 0:
        return 0, 0
    return ticks, lib.opus_packet_get_samples_per_frame(payload, TICKS_PER_SECOND) if fec else 0


@pytest.mark.parametrize("frame_seconds", [0.010, 0.020, 0.040, 0.060])
def test_the_shape_of_a_browsers_packets(frame_seconds: float) -> None:
    ticks = round(TICKS_PER_SECOND * frame_seconds)
    packets = browser_packets(WEATHER, frame_seconds=frame_seconds)
    shapes = list(map(shape, packets))
    assert shapes == list(map(libopus_says, packets))
    assert set(shapes) == {(ticks, 0), (ticks, ticks)}


def test_the_shape_is_found_through_every_framing() -> None:
    rng = random.Random(6716)
    kinds: set[tuple[int, bool]] = set()
    for _ in range(3000):
        payload = framed(rng)
        expected = libopus_says(payload) if len(payload) <= MAX_PAYLOAD_BYTES else (0, 0)
        found = shape(payload)
        assert found == expected, payload[:12].hex()
        if found[0]:
            kinds.add((payload[0] & 3, found[1] > 0))
    assert kinds == {(code, fec) for code in range(4) for fec in (False, True)}


@pytest.mark.parametrize("toc", range(0, 256, 4))
def test_the_duration_of_every_configuration(toc: int) -> None:
    assert shape(bytes([toc, 0])) == libopus_says(bytes([toc, 0]))


@pytest.mark.parametrize(
    "payload", [b"", bytes(MAX_PAYLOAD_BYTES + 1), b"\x03", b"\x4b\x00", b"\x1b\x03", b"\x4b\x41\xff", b"\x4a\xff"]
)
def test_what_is_no_packet_has_no_duration(payload: bytes) -> None:
    assert duration(payload) == 0


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=1400), st.integers(0, 1 << 32).map(lambda seed: framed(random.Random(seed)))))
def test_a_packet_that_decodes_is_as_long_as_its_shape_says(payload: bytes) -> None:
    ticks, _ = found = shape(payload)
    try:
        pcm = Decoder().decode(payload)
    except OpusError:
        return
    assert found == libopus_says(payload)
    assert len(pcm) == ticks // 3 * 2
