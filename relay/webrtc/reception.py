"""What we tell the browser about the packets that came: the figures of a receiver report (RFC 3550 §6.4 and A.8). Pure.

The browser steers by them: without reports of loss it sends no in-band FEC.
"""

from typing import Final

from relay.audio.packet import TICKS_PER_SECOND

# RFC 3550 A.1: a step further ahead than this, or further back, is a sender that began anew, not a loss.
MAX_DROPOUT: Final = 3000
MAX_MISORDER: Final = 100
# RFC 3550 §6.4.1: the sum of losses is a signed number of 24 bits.
MAX_LOST: Final = 0x7FFFFF
MAX_JITTER: Final = 0xFFFFFFFF  # ticks; what its field holds


class Reception:
    """One stream's figures, with the names that aiortc's reporter reads; `add` each packet that came."""

    __slots__ = (
        *("_arrived", "_expected_before", "_jitter", "_rate", "_received_before", "_timestamp"),
        *("base_seq", "cycles", "max_seq", "packets_received"),
    )

    def __init__(self, sequence: int, timestamp: int, now: float, rate: int = TICKS_PER_SECOND) -> None:
        self._rate = rate  # ticks a second
        self._jitter = 0.0
        self._begin(sequence, timestamp, now)

    def _begin(self, sequence: int, timestamp: int, now: float) -> None:
        self.base_seq = self.max_seq = sequence
        self.cycles = 0
        self.packets_received = 1
        self._expected_before = self._received_before = 0
        self._timestamp, self._arrived = timestamp, now

    def add(self, sequence: int, timestamp: int, now: float) -> None:
        """Count a packet that arrived at `now` (monotonic seconds)."""
        self.packets_received += 1
        ahead = sequence - self.max_seq & 0xFFFF
        if 0 < ahead < MAX_DROPOUT:
            if sequence < self.max_seq:
                self.cycles += 0x10000
            self.max_seq = sequence
            ticks = (timestamp - self._timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            if ticks:
                self._jitter += (abs((now - self._arrived) * self._rate - ticks) - self._jitter) / 16
                self._timestamp, self._arrived = timestamp, now
        elif MAX_DROPOUT <= ahead < 0x10000 - MAX_MISORDER:
            self._begin(sequence, timestamp, now)

    @property
    def packets_expected(self) -> int:
        """All that were sent, as far as the sequence numbers say."""
        return self.cycles + self.max_seq - self.base_seq + 1

    @property
    def packets_lost(self) -> int:
        """Expected and not come; negative if some came twice."""
        return max(-MAX_LOST - 1, min(MAX_LOST, self.packets_expected - self.packets_received))

    @property
    def fraction_lost(self) -> int:
        """Of 256, since this was asked last."""
        expected, received = self.packets_expected, self.packets_received
        of, lost = expected - self._expected_before, expected - self._expected_before - received + self._received_before
        self._expected_before, self._received_before = expected, received
        return min(255, (lost << 8) // of) if of > 0 and lost > 0 else 0

    @property
    def jitter(self) -> int:
        """How unevenly the packets come, in ticks: the mean deviation, smoothed over about 16 packets."""
        return min(int(self._jitter), MAX_JITTER)
