"""Who may send us sound: one stream of Opus at a time, at the pace of speech. Everything else is counted and dropped.

Without this an admitted browser could make one receiver report per invented SSRC, or keep a core busy with packets.
"""

from dataclasses import dataclass, field
from typing import Final

# Opus at 20 ms is 50 packets/s, at its shortest useful frame (10 ms) 100.
PACKETS_PER_SECOND: Final = 100.0
# Two seconds' worth may arrive at once after a stall of the network.
BURST_PACKETS: Final = 200.0
# RFC 6716 §3.2.1: no Opus frame is longer; a packet of ours holds one.
MAX_PAYLOAD_BYTES: Final = 1275
# A browser changes its SSRC when it replaces the transceiver, not several times in a row.
SSRC_CHANGE_SECONDS: Final = 5.0


@dataclass(slots=True)
class Gate:
    """Decides packet by packet; `dropped` counts by cause: ``type``, ``size``, ``ssrc``, ``rate``."""

    payload_type: int
    ssrc: int | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    _ssrc_since: float = 0.0
    _tokens: float = BURST_PACKETS
    _refilled: float = 0.0

    def admit(self, payload_type: int, ssrc: int, size: int, now: float) -> bool:
        """Whether a packet of `size` payload bytes may pass at `now` (monotonic seconds)."""
        if payload_type != self.payload_type:
            return self._drop("type")
        if not 0 < size <= MAX_PAYLOAD_BYTES:
            return self._drop("size")
        if ssrc != self.ssrc:
            if self.ssrc is not None and now - self._ssrc_since < SSRC_CHANGE_SECONDS:
                return self._drop("ssrc")
            self.ssrc, self._ssrc_since = ssrc, now
        tokens = self._tokens + (now - self._refilled) * PACKETS_PER_SECOND
        self._refilled = now
        if tokens < 1.0:
            self._tokens = tokens
            return self._drop("rate")
        self._tokens = (tokens if tokens < BURST_PACKETS else BURST_PACKETS) - 1.0
        return True

    def _drop(self, cause: str) -> bool:
        self.dropped[cause] = self.dropped.get(cause, 0) + 1
        return False
