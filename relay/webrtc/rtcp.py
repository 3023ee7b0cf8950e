"""What a browser reports about the stream we send it: RTCP report blocks, RFC 3550 §6.4. Pure.

A datagram holds a compound of packets; sender reports (§6.4.1) and receiver reports (§6.4.2) hold up to 31 blocks of
24 bytes, each about one stream. Everything else in the compound is stepped over.
"""

import struct
from typing import Final, NamedTuple

# RFC 3550 §12.1.
SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
# LSR and DLSR count this many to the second (§6.4.1); they are the middle of an NTP timestamp and wrap after 18 hours.
UNITS_PER_SECOND: Final = 1 << 16
# Browsers read their clocks in whole milliseconds, so that on a short path the difference may fall below zero.
ROUNDING_SECONDS: Final = 0.005
# A call that waits longer for an answer is over; more is no path but a mistake, or a lie.
MAX_ROUND_TRIP_SECONDS: Final = 10.0

_HEADER: Final = struct.Struct("!BBH")
_BLOCK: Final = struct.Struct("!IIIIII")
# Where the blocks begin: after the header, the reporter's SSRC, and what a sender says about itself.
_FIRST_BLOCK: Final = {SENDER_REPORT: 28, RECEIVER_REPORT: 8}


class Report(NamedTuple):
    """One block about our stream."""

    fraction_lost: float  # 0–1, of the packets since the report before
    lost: int  # since the beginning; below zero when packets were doubled
    highest: int  # the highest sequence number seen, the count of its wraps in the upper 16 bits
    jitter: int  # ticks of the RTP clock
    lsr: int  # the middle 32 bits of the NTP timestamp in our last sender report; 0 if none came
    dlsr: int  # 1/65536 s between its arrival and this report


def reports(packet: bytes, ssrc: int) -> list[Report]:
    """The blocks about `ssrc` in a datagram of RTCP, already decrypted.

    A datagram that is cut, or lies about a length, says nothing at all: the answer is empty. Never raises.
    """
    found: list[Report] = []
    at = 0
    while at < len(packet):
        if len(packet) - at < _HEADER.size:
            return []
        first, kind, words = _HEADER.unpack_from(packet, at)
        end = at + 4 * (words + 1)
        if first >> 6 != 2 or end > len(packet):
            return []
        if (start := _FIRST_BLOCK.get(kind)) is not None:
            start += at
            # §6.4.1: with the padding bit the last byte says how much of the packet is padding
            whole = end - packet[end - 1] if first & 0x20 else end
            past = start + _BLOCK.size * (first & 0x1F)
            if past > whole:
                return []
            for block in range(start, past, _BLOCK.size):
                about, loss, *others = _BLOCK.unpack_from(packet, block)
                if about == ssrc:
                    lost = loss & 0xFFFFFF
                    found.append(Report((loss >> 24) / 256, lost - (1 << 24) if lost >> 23 else lost, *others))
        at = end
    return found


def round_trip(report: Report, now_ntp_middle: int) -> float | None:
    """Seconds from our sender report to `report` and back (§6.4.1, figure 2).

    `now_ntp_middle` is the arrival of `report` as the middle 32 bits of its NTP time, by the clock of the sender
    report, whose NTP time must be the time at which it left. None if no sender report had come, or if the answer
    cannot be true.
    """
    if not report.lsr:
        return None
    units = (now_ntp_middle - report.lsr - report.dlsr) & 0xFFFFFFFF
    seconds = (units - (1 << 32) if units >> 31 else units) / UNITS_PER_SECOND
    if not -ROUNDING_SECONDS <= seconds <= MAX_ROUND_TRIP_SECONDS:
        return None
    return max(0.0, seconds)
