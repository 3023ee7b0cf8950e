"""A downlink in virtual time, and all that leaves it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from relay.audio.opus import SILENCE, Encoder
from relay.audio.packet import TICKS_PER_SECOND
from relay.downlink import Downlink
from relay.ticker import Ticker
from tests import virtual
from tests.sound import tone


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet, and when it left: seconds since the line was made."""

    at: float
    payload: bytes
    timestamp: int
    marker: bool
    red: bool


class Line:
    """Make it within `virtual.run`, and `close` it there."""

    def __init__(self, encoder: Callable[[], Encoder] = Encoder) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.VirtualLoop)
        self.loop = loop
        self.began = loop.time()
        self.ticker = Ticker()
        self.connected = True
        self.sent: list[Sent] = []
        self.told: list[str] = []
        self.positions: list[int] = []
        self.downlink = Downlink(self.ticker, self, encoder)
        self.downlink.connect(self._send, None)

    @property
    def now(self) -> float:
        return self.loop.time() - self.began

    def _send(self, payload: bytes, timestamp: int, marker: bool, red: bool) -> bool:
        if self.connected:
            self.sent.append(Sent(self.now, payload, timestamp, marker, red))
        return self.connected

    def on_sound_started(self) -> None:
        self.told.append("started")

    def on_played(self, position: int) -> None:
        self.positions.append(position)

    def on_sound_stopped(self) -> None:
        self.told.append("stopped")

    def failed(self, error: Exception) -> None:
        self.told.append(type(error).__name__)

    def stall(self, seconds: float) -> None:
        """The process stands still for so long."""
        self.loop._advance(seconds)

    def close(self) -> None:
        self.downlink.close()
        self.ticker.close()

    @property
    def speech(self) -> list[Sent]:
        return [packet for packet in self.sent if packet.payload != SILENCE]

    @property
    def ages(self) -> list[float]:
        """How much later than its timestamp says each packet left, by the first of all; seconds."""
        first = self.sent[0]
        return [p.at - first.at - (p.timestamp - first.timestamp) / TICKS_PER_SECOND for p in self.sent]

    @property
    def gaps(self) -> list[float]:
        """Seconds from each packet to the next."""
        return [after.at - before.at for before, after in pairwise(self.sent)]


def burst(seconds: float, hertz: float = 440) -> bytes:
    """Sound of the model's."""
    return tone(hertz, seconds, 24_000).pcm
