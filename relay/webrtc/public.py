"""The public media path: documented API of aiortc alone. Slower, and a lost packet costs more, but it cannot break."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import av
from aiortc import MediaStreamTrack, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError

from relay.audio.packet import DECODED_RATE, TICKS_PER_SECOND
from relay.webrtc.gate import Gate
from relay.webrtc.rtcp import Reports

# Sound waiting for aiortc's sender; the oldest is dropped. One second: more would be heard as slowness.
QUEUE_PACKETS: Final = 50

OnPcm = Callable[[bytes], None]
"""16 kHz mono s16le"""


class _Packets(MediaStreamTrack):
    """The public way out: a track that gives aiortc packets which are already Opus."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._packets: deque[av.Packet[Any]] = deque(maxlen=QUEUE_PACKETS)
        self._filled = asyncio.Event()

    def put(self, packet: "av.Packet[Any]") -> None:
        self._packets.append(packet)
        self._filled.set()

    async def recv(self) -> Any:
        while not self._packets:
            self._filled.clear()
            await self._filled.wait()
        return self._packets.popleft()


class PublicLine:
    """A line of sound like `wire.RawLine`: a decoded track in, pre-encoded packets out."""

    tier: Final = "public"
    gate: Gate | None = None
    rejected = 0
    reads_red = False
    reports: Reports | None = None
    video: None = None

    def __init__(self, transceiver: RTCRtpTransceiver, on_pcm: OnPcm) -> None:
        self._transceiver = transceiver
        self._on_pcm = on_pcm
        self._track = _Packets()
        self._reading: asyncio.Task[None] | None = None
        transceiver.sender.replaceTrack(self._track)

    def attach(self, red_type: int | None = None) -> None:
        """Start reading the decoded track."""
        track = self._transceiver.receiver.track
        if self._reading is None and track is not None:
            self._reading = asyncio.create_task(self._read(track), name="public line")

    async def _read(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=DECODED_RATE)
        with contextlib.suppress(MediaStreamError):
            while True:
                frame: Any = await track.recv()
                for resampled in resampler.resample(frame):
                    self._on_pcm(bytes(resampled.planes[0])[: resampled.samples * 2])

    def send(self, payload: bytes, timestamp: int, marker: bool, red: bool = False) -> bool:
        """Queue one Opus packet; the marker is aiortc's business here, and RED is not negotiated."""
        packet: Any = av.Packet(payload)
        packet.pts = timestamp
        packet.time_base = Fraction(1, TICKS_PER_SECOND)
        self._track.put(packet)
        return True

    def silence(self, now: float) -> None:
        """Only aiortc knows."""

    def deafen(self) -> None:
        """Read on, but let nobody hear it."""
        self._on_pcm = lambda pcm: None

    async def close(self) -> None:
        """Stop reading; idempotent."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
