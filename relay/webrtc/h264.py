"""H.264 in RTP packets (RFC 6184): which packet begins a key frame, how large it is, the frame itself. Pure.

Read are single NAL units, STAP-A and FU-A: what packetization-mode 1 allows, which is what we answer. A key frame
begins with its sequence parameter set, because every decoder that starts here needs it; browsers send it each time.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from relay.webrtc.keyframe import Look, fits

# RFC 6184 table 1 and ITU-T H.264 table 7-1: what a NAL unit is.
_SLICE, _IDR, _SPS, _PPS, _LAST_NAL = 1, 5, 7, 8, 23
_STAP_A, _FU_A = 24, 28
# Encoders send one of each kind.
MAX_PARAMETER_SETS: Final = 8
# One per row of macroblocks of the largest picture is more than encoders make.
MAX_SLICES: Final = 144
# What is read of a parameter set: a browser's has under 40 bytes, and its size lies within the first 20.
MAX_SPS_BYTES: Final = 256
# The profiles whose parameter set has the size where we look for it: baseline, main, extended (7.3.2.1.1).
_PROFILES: Final = frozenset((66, 77, 88))
_START_CODE: Final = b"\x00\x00\x00\x01"


def look(payload: bytes) -> Look:
    """What a packet's payload is a part of."""
    if len(payload) < 2:
        return Look.JUNK
    kind = payload[0] & 0x1F
    if kind == _STAP_A:
        try:
            kinds = {unit[0] & 0x1F for unit in _aggregated(payload)}
        except ValueError:
            return Look.JUNK
        return Look.KEY if _SPS in kinds else Look.OTHER if _SLICE in kinds else Look.MORE
    if kind == _FU_A:
        return Look.OTHER if payload[1] & 0x1F == _SLICE else Look.MORE
    if not 0 < kind <= _LAST_NAL:
        return Look.JUNK
    return Look.KEY if kind == _SPS else Look.OTHER if kind == _SLICE else Look.MORE


def size(payload: bytes) -> tuple[int, int] | None:
    """Width and height, in whole macroblocks, that a key frame's first packet says; None if it says none."""
    try:
        units = _aggregated(payload) if payload[0] & 0x1F == _STAP_A else iter((payload,))
        return next((_picture_size(unit) for unit in units if unit[0] & 0x1F == _SPS), None)
    except (ValueError, IndexError):
        return None


def join(payloads: Sequence[bytes]) -> bytes:
    """The key frame as a byte stream (annex B); raises ValueError for what is none.

    Parameter sets and IDR slices alone go into it. Exactly one slice begins a picture: a decoder would work on a
    hundred of them as long as on a hundred frames.
    """
    units = [unit for unit in _units(payloads) if unit[0] & 0x1F in (_IDR, _SPS, _PPS)]
    slices = [unit for unit in units if unit[0] & 0x1F == _IDR]
    # 7.3.3: a slice says first which macroblock it begins with; 0 is a single set bit
    if sum(len(unit) > 1 and unit[1] & 0x80 > 0 for unit in slices) != 1:
        raise ValueError("not one picture")
    if len(slices) > MAX_SLICES or len(units) - len(slices) > MAX_PARAMETER_SETS:
        raise ValueError("too many NAL units")
    if not all(fits(_picture_size(unit)) for unit in units if unit[0] & 0x1F == _SPS):
        raise ValueError("too large a picture")
    return b"".join([part for unit in units for part in (_START_CODE, unit)])


def _units(payloads: Sequence[bytes]) -> Iterator[bytes]:
    """The NAL units of packets in order; raises ValueError if one is cut short."""
    pieces: list[bytes] = []  # of a unit that several packets carry
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind != _FU_A:
            if pieces:
                raise ValueError("a fragment without its end")
            yield from _aggregated(payload) if kind == _STAP_A else (payload,)
            continue
        head = payload[1]  # §5.8: start, end, reserved, type
        if (head & 0x80 > 0) == bool(pieces):
            raise ValueError("a fragment out of place")
        if not pieces:
            pieces.append(bytes((payload[0] & 0xE0 | head & 0x1F,)))
        pieces.append(payload[2:])
        if head & 0x40:
            yield b"".join(pieces)
            pieces = []
    if pieces:
        raise ValueError("a fragment without its end")


def _aggregated(payload: bytes) -> Iterator[bytes]:
    """The NAL units in a STAP-A (§5.7.1); raises ValueError for a length that lies."""
    at = 1
    while at < len(payload):
        length = int.from_bytes(payload[at : at + 2])
        at += 2 + length
        if length == 0 or at > len(payload):
            raise ValueError("a length that lies")
        yield payload[at - length : at]


def _picture_size(sps: bytes) -> tuple[int, int]:
    """What a sequence parameter set says (7.3.2.1.1), without cropping; raises ValueError for one that is not ours."""
    bits = _Bits(sps[1:MAX_SPS_BYTES])
    if bits.take(8) not in _PROFILES:
        raise ValueError("another profile")
    bits.take(16)  # constraints, level
    bits.number()  # id
    bits.number()  # log2_max_frame_num
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(1)
        for _ in range(2):
            bits.number()
        for _ in range(bits.number()):
            bits.number()
    bits.number()  # reference frames
    bits.take(1)
    width, height = bits.number() + 1, bits.number() + 1
    fields = 1 if bits.take(1) else 2
    return 16 * width, 16 * height * fields


class _Bits:
    """Bits of a NAL unit, without the bytes that only keep it from looking like a start code (7.3.1)."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        """The next `count` bits as a number; raises ValueError at the end."""
        self._left -= count
        if self._left < 0:
            raise ValueError("cut short")
        return self._value >> self._left & (1 << count) - 1

    def number(self) -> int:
        """The next Exp-Golomb number (9.1); raises ValueError at the end, or beyond 32 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("no number")
        return (1 << zeros) - 1 + self.take(zeros)
