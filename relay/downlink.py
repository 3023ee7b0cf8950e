"""Model to speaker: bursts of 24 kHz PCM in, one Opus packet every 20 ms out.

    add ─▶ Playout (queue, fade, re-buffering) ─▶ Encoder (libopus, 24 kHz mono) ─▶ send_rtp

The first frame of a turn leaves from within `add`; the rest leave on the ticker's beat, so the second follows
the first by 20 ms or less and the browser's buffer is never short. RTP timestamps count samples of the line,
and follow the wall clock over a pause.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from relay.audio.opus import SILENCE, Encoder
from relay.audio.packet import FRAME_TICKS
from relay.audio.playout import Playout
from relay.ticker import PERIOD, Ticker

# After a turn the browser's jitter buffer is walked out of speech gently, then the line rests.
TAIL_FRAMES: Final = 10


class SoundEvents(Protocol):
    """What the way down tells: a turn's first frame left, a frame left, a turn's last frame left."""

    def on_sound_started(self) -> None: ...
    def on_played(self, position: int) -> None: ...
    def on_sound_stopped(self) -> None: ...


class Downlink:
    """One call's way down."""

    def __init__(self, send_rtp: Callable[[bytes, int, bool], bool], ticker: Ticker, events: SoundEvents) -> None:
        self.playout = Playout()
        self._send_rtp = send_rtp
        self._ticker = ticker
        self._events = events
        self._encoder: Encoder | None = None
        self._time = asyncio.get_running_loop().time
        self._timestamp = 0
        self._rested_at: float | None = None  # when the line went quiet; None while it runs
        self._tail = 0
        self._sounding = False
        self._fresh = True  # the next packet follows a pause: RFC 3551 §4.1 sets the marker
        self.frames = 0  # of speech, sent

    def add(self, pcm: bytes) -> int:
        """Queue 24 kHz mono s16le of the running turn; if nothing is playing, its first frame leaves now.

        Returns the samples that were dropped because five minutes are queued.
        """
        dropped = self.playout.put(pcm)
        if self.playout.ready and not self.playout.playing:
            self._beat(self._time())
            self._ticker.join(self._beat)
        return dropped

    def end(self) -> None:
        """The turn's sound is complete: its last, partial frame may go."""
        self.playout.end()

    def interrupt(self) -> None:
        """Drop what is queued; at most one more frame leaves, faded out."""
        self.playout.flush()

    def rouse(self) -> None:
        """Send a few frames of silence, so that the browser's audio element is running before the first word."""
        self._tail = 0
        self._ticker.join(self._beat)

    def close(self) -> None:
        """Leave the ticker; idempotent."""
        self._ticker.leave(self._beat)

    def _beat(self, now: float) -> None:
        pcm = self.playout.next()
        if pcm is not None:
            if self._encoder is None:
                self._encoder = Encoder()
            self._send(self._encoder.encode(pcm), now)
            self.frames += 1
            self._tail = 0
            if not self._sounding:
                self._sounding = True
                self._events.on_sound_started()
            self._events.on_played(self.playout.position)
        else:
            self._send(SILENCE, now)
            if self._sounding and not self.playout.playing:
                self._sounding = False
                self._events.on_sound_stopped()
            if not self._sounding:
                self._rest(now)

    def _rest(self, now: float) -> None:
        self._tail += 1
        if self._tail >= TAIL_FRAMES:
            self._rested_at = now
            self._ticker.leave(self._beat)

    def _send(self, packet: bytes, now: float) -> None:
        if self._rested_at is not None:
            self._timestamp += max(0, round((now - self._rested_at) / PERIOD) - 1) * FRAME_TICKS
            self._rested_at = None
            self._fresh = True
        self._send_rtp(packet, self._timestamp, self._fresh)
        self._timestamp += FRAME_TICKS
        self._fresh = False
