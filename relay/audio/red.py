"""Redundant audio data (RFC 2198): a packet that brings copies of the packets before it along. Pure.

    ┌ 1 │ payload type 7 │ ticks before 14 │ length 10 ┐  once for each copy, oldest first
    └ 0 │ payload type 7 ┘  then the copies, then the packet itself

A browser that was answered `red` sends each Opus packet with one copy of the one before; the first of a stream has
none. A sender that copies bit by bit can be decoded as if nothing had been lost.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

# libwebrtc sends one copy, and nine if it is told to; more than that is no call.
MAX_BLOCKS: Final = 9
# RFC 2198 §3: what 14 bits of offset and 10 bits of length can say.
MAX_TICKS_BEFORE: Final = (1 << 14) - 1
MAX_BLOCK_BYTES: Final = (1 << 10) - 1

_MORE: Final = 0x80


class Block(NamedTuple):
    """A copy of the packet whose timestamp is `ticks_before` the one it came in."""

    ticks_before: int
    payload: bytes


class Red(NamedTuple):
    """The packet itself, and the copies before it: oldest first, as they were sent."""

    primary: bytes
    redundant: tuple[Block, ...]


def read(payload: bytes, payload_type: int) -> Red | None:
    """Take a packet apart whose blocks are all of `payload_type`; None if it is cut, lies or says too much."""
    headers: list[int] = []  # ticks before, and length in the lower 10 bits
    at, size, more = 0, len(payload), _MORE | payload_type
    while at + 4 < size and payload[at] == more and len(headers) < MAX_BLOCKS:
        headers.append(int.from_bytes(payload[at + 1 : at + 4], "big"))
        at += 4
    if at >= size or payload[at] != payload_type:
        return None
    at += 1
    redundant: list[Block] = []
    for header in headers:
        start, at = at, at + (header & MAX_BLOCK_BYTES)
        redundant.append(Block(header >> 10, payload[start:at]))
    return Red(payload[at:], tuple(redundant)) if at < size else None


def primary(payload: bytes, payload_type: int) -> bytes:
    """What `read` finds the packet itself to be; empty where it finds nothing. In order that is all one needs."""
    if len(payload) > 5 and payload[0] == _MORE | payload_type and payload[4] == payload_type:
        return payload[5 + ((payload[2] & 3) << 8 | payload[3]) :]
    found = read(payload, payload_type)
    return found.primary if found is not None else b""


def write(primary: bytes, redundant: Sequence[tuple[int, bytes]], payload_type: int) -> bytes:
    """One packet of `primary`, which is not empty, and copies: ticks before it and payload, oldest first.

    A copy that is too old or too long to be expressed is left out; of more than `MAX_BLOCKS` the newest are taken.
    """
    headers = copies = b""
    more = (_MORE | payload_type) << 24
    for ticks_before, copy in redundant[-MAX_BLOCKS:]:
        if ticks_before <= MAX_TICKS_BEFORE and len(copy) <= MAX_BLOCK_BYTES:
            headers += (more | ticks_before << 10 | len(copy)).to_bytes(4, "big")
            copies += copy
    return headers + payload_type.to_bytes(1, "big") + copies + primary
