"""Who may send us sound: one stream of Opus at a time, at the pace of speech. Everything else is counted and dropped.

Opus may come bare or with copies of the packets before it (RFC 2198), from one packet to the next.

Without this an admitted browser could make one receiver report per invented SSRC, or keep a core busy with packets.
"""

from dataclasses import dataclass, field
from typing import Final

from relay.audio.packet import MAX_PAYLOAD_BYTES

# Opus at 20 ms is 50 packets/s, at its shortest useful frame (10 ms) 100.
PACKETS_PER_SECOND: Final = 100.0
# Two seconds' worth may arrive at once after a stall of the network.
BURST_PACKETS: Final = 200.0
# What a datagram of 1500 bytes holds besides the headers of IP, UDP and RTP and SRTP's tag; a browser stops at 1200.
MAX_RED_BYTES: Final = 1500 - 20 - 8 - 12 - 10
# A browser changes its SSRC when it replaces the transceiver, not several times in a row; each time after an answer.
SSRC_CHANGE_SECONDS: Final = 5.0


_PACE: Final = 1 / PACKETS_PER_SECOND  # seconds a packet
_LEEWAY: Final = (BURST_PACKETS - 0.5) * _PACE  # seconds that packets may be ahead of it; the half is for rounding


class Pace:
    """So many a second, and so many at once after a pause; what is not admitted costs its sender nothing more."""

    __slots__ = ("_leeway", "_paced", "_step")

    def __init__(self, per_second: float, burst: float) -> None:
        self._step = 1 / per_second
        self._leeway = (burst - 0.5) * self._step  # the half is for rounding
        self._paced = float("-inf")  # when as many are due as came, less what they may be ahead

    def admit(self, now: float) -> bool:
        """Whether one more may pass at `now` (monotonic seconds)."""
        paced = max(self._paced, now - self._leeway)
        if paced > now:
            return False
        self._paced = paced + self._step
        return True


@dataclass(slots=True)
class Gate:
    """Decides packet by packet; `dropped` counts by cause.

    The causes: ``type``, ``size``, ``ssrc``, ``rate``, ``red``, ``junk``, ``video``.

    The last three are for others to count: RED that is none, what never came as far as here, whoever sent it, and video
    that makes no picture. So are packets that came twice.

    `payload_type` is Opus's, `red_type` that of Opus with copies, None if it was not negotiated.
    """

    payload_type: int
    red_type: int | None = None
    ssrc: int | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    repeated: int = 0  # packets of sound that SRTP had let in before
    _ssrc_since: float = 0.0
    _paced: float = float("-inf")  # when as many packets are due at the highest pace, less what they may be ahead

    def admit(self, payload_type: int, ssrc: int, size: int, now: float) -> bool:
        """Whether a packet of `size` payload bytes may pass at `now` (monotonic seconds)."""
        if payload_type == self.payload_type:
            fits = 0 < size <= MAX_PAYLOAD_BYTES
        elif payload_type == self.red_type:
            fits = 0 < size <= MAX_RED_BYTES
        else:
            return self.drop("type")
        if not fits:
            return self.drop("size")
        if ssrc != self.ssrc:
            if self.ssrc is not None and now - self._ssrc_since < SSRC_CHANGE_SECONDS:
                return self.drop("ssrc")
            self.ssrc, self._ssrc_since = ssrc, now
        # `Pace`, written out: each packet of each call comes by here, and the call would cost 0.2 µs of then 0.5
        paced = self._paced + _PACE
        if paced > now:
            return self.drop("rate")
        earliest = now - _LEEWAY
        self._paced = paced if paced > earliest else earliest
        return True

    def renegotiated(self) -> None:
        """The browser was answered anew: it may change its stream once, at once."""
        self._ssrc_since = float("-inf")

    def drop(self, cause: str) -> bool:
        """Count a packet that goes no further; False."""
        self.dropped[cause] = self.dropped.get(cause, 0) + 1
        return False
