"""VP8 in RTP packets (RFC 7741): which packet begins a key frame, how large it is, the frame itself. Pure."""

from collections.abc import Sequence
from typing import Final

from relay.webrtc.keyframe import Look

# RFC 7741 §4.2, the first octet of the descriptor: X says that more follows, S that a partition starts, PID which.
_MORE: Final = 0x80
_STARTS_FIRST: Final = 0x10
_START_AND_PARTITION: Final = 0x17
# RFC 6386 §9.1: a key frame says this after its tag of three bytes.
_START_CODE: Final = b"\x9d\x01\x2a"


def look(payload: bytes) -> Look:
    """What a packet's payload is a part of."""
    try:
        if payload[0] & _START_AND_PARTITION != _STARTS_FIRST:
            return Look.MORE
        return Look.OTHER if payload[_descriptor(payload)] & 0x01 else Look.KEY  # §4.3: P, the inverse key frame flag
    except IndexError:
        return Look.JUNK


def size(payload: bytes) -> tuple[int, int] | None:
    """Width and height that a key frame's first packet says (RFC 6386 §9.1); None if it says none."""
    try:
        start = _descriptor(payload)
    except IndexError:
        return None
    head = payload[start : start + 10]
    if len(head) < 10 or head[3:6] != _START_CODE:
        return None
    # fourteen bits each; the upper two ask for scaling at the display
    return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF


def join(payloads: Sequence[bytes]) -> bytes:
    """The frame of all its packets' payloads, in order; raises ValueError for what is none."""
    try:
        return b"".join([payload[_descriptor(payload) :] for payload in payloads])
    except IndexError as error:
        raise ValueError("a descriptor is cut short") from error


def _descriptor(payload: bytes) -> int:
    """How long the payload descriptor is; raises IndexError if it is cut short."""
    if not payload[0] & _MORE:
        return 1
    more, length = payload[1], 2
    if more & 0x80:  # I: a picture's number, of seven bits or fifteen
        length += 2 if payload[2] & 0x80 else 1
    if more & 0x40:  # L
        length += 1
    if more & 0x30:  # T or K share an octet
        length += 1
    return length
