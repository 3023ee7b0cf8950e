"""Redundant audio data (RFC 2198): a packet that brings copies of the packets before it along. Pure.

    ┌ 1 │ payload type 7 │ ticks before 14 │ length 10 ┐  once for each copy, oldest first
    └ 0 │ payload type 7 ┘  then the copies, then the packet itself

A browser that was answered `red` sends each Opus packet with one copy of the one before; the first of a stream has
none. Whoever copies bit by bit can be decoded as if nothing had been lost.
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
    headers: list[tuple[int, int]] = []  # ticks before, length
    at = 0
    more = _MORE | payload_type
    while payload[at : at + 1] == bytes((more,)) and at + 4 < len(payload) and len(headers) < MAX_BLOCKS:
        field = int.from_bytes(payload[at + 1 : at + 4], "big")
        headers.append((field >> 10, field & MAX_BLOCK_BYTES))
        at += 4
    if payload[at : at + 1] != bytes((payload_type,)):
        return None
    at += 1
    redundant: list[Block] = []
    for ticks_before, length in headers:
        redundant.append(Block(ticks_before, payload[at : at + length]))
        at += length
    return Red(payload[at:], tuple(redundant)) if at < len(payload) else None


def primary(payload: bytes, payload_type: int) -> bytes:
    """What `read` finds the packet itself to be; empty where it finds nothing. In order that is all one needs."""
    if len(payload) > 5 and payload[0] == _MORE | payload_type and payload[4] == payload_type:
        return payload[5 + ((payload[2] & 3) << 8 | payload[3]) :]
    found = read(payload, payload_type)
    return found.primary if found is not None else b""


def write(primary: bytes, redundant: Sequence[tuple[int, bytes]], payload_type: int) -> bytes:
    """One packet of `primary`, which is not empty, and copies: ticks before it and payload, oldest first.

    A copy that is too old or too long to be expressed is left out; of more than `MAX_BLOCKS` the newest are kept.
    """
    fitting = [block for block in redundant if block[0] <= MAX_TICKS_BEFORE and len(block[1]) <= MAX_BLOCK_BYTES]
    fitting = fitting[-MAX_BLOCKS:]
    headers = b"".join(
        (((_MORE | payload_type) << 24) | ticks_before << 10 | len(copy)).to_bytes(4, "big")
        for ticks_before, copy in fitting
    )
    return b"".join((headers, bytes((payload_type,)), *(copy for _, copy in fitting), primary))
