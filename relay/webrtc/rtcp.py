"""What the two ends of a call tell each other about its packets: RTCP's sender and receiver reports. Pure.

A datagram holds a compound of packets (RFC 3550 §6.1); reports hold up to 31 blocks of 24 bytes, each about one stream.
Times are NTP timestamps of 64 bits, whose upper half counts seconds; reports carry their middle 32 bits.
"""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from relay.audio.packet import TICKS_PER_SECOND
from relay.webrtc.reception import Reception

# RFC 3550 §12.1.
SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
DESCRIPTION: Final = 202
CNAME: Final = 1
# A call that waits longer for an answer is over; more is no path but a mistake, or a lie.
MAX_ROUND_TRIP_SECONDS: Final = 10.0
# Browsers read their clocks in whole milliseconds, so that on a short path the difference may fall below zero.
ROUNDING_SECONDS: Final = 0.005
# A browser sends a microphone, a camera and a screen, and rarely replaces one of them.
MAX_SENDERS: Final = 8

_HEADER: Final = struct.Struct("!BBH")
_BLOCK: Final = struct.Struct("!IIIIII")
_WORD: Final = struct.Struct("!I")
_SENT: Final = struct.Struct("!QIII")
_SENDER: Final = struct.Struct("!4xIQ")
# Where the blocks begin: after the header, the reporter's SSRC, and what a sender says about itself.
_FIRST_BLOCK: Final = {SENDER_REPORT: 28, RECEIVER_REPORT: 8}
_UNITS_PER_SECOND: Final = 1 << 16  # of the middle of an NTP timestamp


class Sent(NamedTuple):
    """What has left so far, and the clock: `timestamp` was due at `ntp`."""

    packets: int
    octets: int
    timestamp: int
    ntp: int


class Reports:
    """One call's reports: `take` what the browser says, `compound` what we say."""

    __slots__ = ("_description", "_heard", "_ssrc", "loss", "round_trip")

    def __init__(self, ssrc: int, name: str) -> None:
        """`ssrc` is our stream's, `name` its CNAME (RFC 7022)."""
        self._ssrc = ssrc
        text = name.encode()
        item = _WORD.pack(ssrc) + bytes([CNAME, len(text)]) + text + b"\0"
        self._description = _packet(DESCRIPTION, 1, item + bytes(-len(item) % 4))
        self._heard: dict[int, tuple[int, int]] = {}  # of each sender's last report: its time, and when it came
        self.loss: float | None = None  # of ours, between the browser's last two reports: 0 to 1
        self.round_trip: float | None = None  # seconds

    def take(self, compound: bytes, ntp: int) -> list[float]:
        """Read a decrypted datagram that came at `ntp`: the losses (0 to 1) in its blocks about our stream.

        One that is cut, or lies about a length, says nothing at all. Never raises.
        """
        found = _read(compound)
        losses = []
        for kind, start, blocks in found:
            if kind == SENDER_REPORT:
                sender, theirs = _SENDER.unpack_from(compound, start)
                self._hear(sender, theirs, ntp)
            for at in blocks:
                ssrc, loss, _, _, lsr, dlsr = _BLOCK.unpack_from(compound, at)
                if ssrc == self._ssrc:
                    self.loss = (loss >> 24) / 256
                    losses.append(self.loss)
                    self.round_trip = _round_trip(ntp, lsr, dlsr, self.round_trip)
        return losses

    def compound(self, sent: Sent, streams: Iterable[tuple[int, Reception]], ntp: int) -> bytes:
        """Our report at `ntp` about what we sent and about the browser's `streams` by their SSRC."""
        blocks = [self._block(ssrc, reception, ntp) for ssrc, reception in streams]
        head, kind = _WORD.pack(self._ssrc), RECEIVER_REPORT
        if sent.packets:
            kind = SENDER_REPORT
            passed = (ntp - sent.ntp) * TICKS_PER_SECOND >> 32
            head += _SENT.pack(
                ntp, sent.timestamp + passed & 0xFFFFFFFF, sent.packets & 0xFFFFFFFF, sent.octets & 0xFFFFFFFF
            )
        return _packet(kind, len(blocks), head + b"".join(blocks)) + self._description

    def _block(self, ssrc: int, reception: Reception, ntp: int) -> bytes:
        middle, came = self._heard.get(ssrc, (0, ntp))
        return _BLOCK.pack(
            ssrc,
            reception.fraction_lost << 24 | reception.packets_lost & 0xFFFFFF,
            reception.cycles + reception.max_seq & 0xFFFFFFFF,
            reception.jitter,
            middle,
            ntp - came >> 16 & 0xFFFFFFFF,
        )

    def _hear(self, ssrc: int, theirs: int, ntp: int) -> None:
        self._heard.pop(ssrc, None)
        while len(self._heard) >= MAX_SENDERS:
            del self._heard[next(iter(self._heard))]
        self._heard[ssrc] = (_middle(theirs), ntp)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _middle(ntp: int) -> int:
    return ntp >> 16 & 0xFFFFFFFF


def _read(compound: bytes) -> list[tuple[int, int, range]]:
    """Of each report its kind, where it begins, and where its blocks do."""
    found = []
    at = 0
    while at < len(compound):
        if len(compound) - at < _HEADER.size:
            return []
        first, kind, words = _HEADER.unpack_from(compound, at)
        end = at + 4 * (words + 1)
        if first >> 6 != 2 or end > len(compound):
            return []
        if (start := _FIRST_BLOCK.get(kind)) is not None:
            # §6.4.1: with the padding bit the last byte says how much of the packet is padding
            whole = end - compound[end - 1] if first & 0x20 else end
            past = at + start + _BLOCK.size * (first & 0x1F)
            if past > whole:
                return []
            found.append((kind, at, range(at + start, past, _BLOCK.size)))
        at = end
    return found


def _round_trip(ntp: int, lsr: int, dlsr: int, before: float | None) -> float | None:
    """Seconds from our sender report to theirs and back (§6.4.1, figure 2); what cannot be true changes nothing."""
    units = (_middle(ntp) - lsr - dlsr) & 0xFFFFFFFF
    seconds = (units - (1 << 32) if units >> 31 else units) / _UNITS_PER_SECOND
    return max(0.0, seconds) if lsr and -ROUNDING_SECONDS <= seconds <= MAX_ROUND_TRIP_SECONDS else before
