"""Model to speaker: bursts of 24 kHz PCM in, one Opus packet every 20 ms out.

    add ─▶ Playout (queue, fade, re-buffering) ─▶ Encoder (libopus, 24 kHz mono) ─▶ RED, if need be ─▶ send_rtp

The first frame of a turn leaves from within `add`; the rest leave on the ticker's beat, so that every frame is there
when the browser has played the one before. RTP timestamps count samples of the line, and follow the wall clock over a
pause, be it the model's or a stall of the process: no packet is older than it says. Where no packet can leave, for
nobody is there, time goes on all the same: who comes back hears what is being said then, and nothing piles up.

While the browser reports loss, each packet carries the ones before it along (RFC 2198), as many as `Protection` says.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from relay.audio import red
from relay.audio.opus import SILENCE, Encoder
from relay.audio.packet import FRAME_BYTES, FRAME_TICKS
from relay.audio.playout import Playout
from relay.audio.protection import MAX_BLOCKS, Protection
from relay.ticker import MAX_CATCH_UP, PERIOD, Ticker

# After a turn the browser's jitter buffer is walked out of speech gently, then the line rests.
TAIL_FRAMES: Final = 10
# Seconds. A packet later than this ends a pause: the ticker makes up for less. The first of a turn goes at once,
# between two beats, and those after it are early by up to a period; one that is earlier still waits for another beat.
GAP_SECONDS: Final = MAX_CATCH_UP + PERIOD
EARLY_SECONDS: Final = 1.5 * PERIOD
# A packet and its copies, on every path (IPv6's least): less IPv6, UDP, RTP, SRTP's tag and the headers of RED.
MAX_RED_BYTES: Final = 1280 - 40 - 8 - 12 - 10 - (4 * MAX_BLOCKS + 1)

_QUIET: Final = bytes(FRAME_BYTES)

SendRtp = Callable[[bytes, int, bool, bool], bool]
"""payload, timestamp (48 kHz, from any origin), marker, whether the payload is RED; False if it could not leave"""


def _nobody(payload: bytes, timestamp: int, marker: bool, red: bool) -> bool:
    """Who is there before a browser is, and between two of them."""
    return False


class SoundEvents(Protocol):
    """What the way down tells: a turn's first frame left, the listener is at `wake_at`, a turn's last frame left.

    A turn that comes at the heels of one that was cut begins without an end of that. Or a bug of ours has ended the
    sound for good.
    """

    def on_sound_started(self) -> None: ...
    def on_played(self, position: int) -> None: ...
    def on_sound_stopped(self) -> None: ...
    def failed(self, error: Exception) -> None: ...


class Downlink:
    """One call's way down.

    `wake_at` is the position from which on `on_played` is called, for every frame until it is set anew; None is never.
    `red_over` is the payload type of Opus for a browser that takes RED, else None. `encoder` makes the one it keeps.
    """

    def __init__(self, ticker: Ticker, events: SoundEvents, encoder: Callable[[], Encoder] = Encoder) -> None:
        self.playout = Playout()
        self.wake_at: int | None = None
        self.red_over: int | None = None
        self.packets = 0  # sent
        self.protected = [0] * MAX_BLOCKS  # of these, the ones that carried one earlier packet, two, …
        self.frames = 0  # packets of speech
        self.unsent = 0  # packets that could not leave
        self._send_rtp: SendRtp = _nobody
        self._ticker = ticker
        self._events = events
        self._encoder = encoder()
        self._protection = Protection()
        self._blocks = 0  # earlier packets to carry along
        self._earlier: deque[tuple[int, bytes]] = deque(maxlen=MAX_BLOCKS)  # timestamps and packets, of this run alone
        self._reported = 0  # `packets` when the browser last reported
        self._time = asyncio.get_running_loop().time
        self._timestamp = 0  # of the next packet,
        self._due = self._time()  # which is due then
        self._fresh = True  # it follows a pause: RFC 3551 §4.1 sets the marker
        self._tail = 0  # silent packets since the turn
        self._sounding = False  # that sound began is told, and not that it ended;
        self._begun = False  # and it is the sound that comes now: no cut lies between
        self._cut_at = -1  # where the last cut was; the frame that fades there begins nothing

    def connect(self, send_rtp: SendRtp, red_over: int | None) -> None:
        """From now on packets leave here: the browser has another peer connection, or negotiated anew.

        Another connection begins with what is due now.
        """
        self._fresh = self._fresh or send_rtp is not self._send_rtp
        self._send_rtp, self.red_over = send_rtp, red_over

    def disconnect(self) -> None:
        """Nobody is there any more."""
        self.connect(_nobody, None)

    def add(self, pcm: bytes) -> int:
        """Queue 24 kHz mono s16le of the running turn; if nothing is playing, its first frame leaves now.

        Returns the samples that were dropped because five minutes are queued.
        """
        dropped = self.playout.put(pcm)
        if self.playout.ready and not self.playout.playing:
            self._beat(self._time(), at_once=True)
            self._ticker.join(self._beat, self._events.failed)
        return dropped

    def end(self) -> None:
        """The turn's sound is complete: its last, partial frame may go."""
        self.playout.end()

    def interrupt(self) -> None:
        """Drop what is queued; at most one more frame leaves, faded out. What is added from now on is a turn anew."""
        self.playout.flush()
        self._begun, self._cut_at = False, self.playout.position

    def rouse(self) -> None:
        """Send a few frames of silence, so that the browser's audio element is running before the first word."""
        self._tail = 0
        self._ticker.join(self._beat, self._events.failed)

    def on_report(self, fraction_lost: float) -> None:
        """The browser lost this share (0–1) of what was sent since its last report."""
        self._protection.heard(fraction_lost, self.packets - self._reported)
        self._reported = self.packets
        self._blocks = self._protection.blocks
        if not self._blocks:
            self._earlier.clear()  # what was kept is past when the next is asked for

    def close(self) -> None:
        """Leave the ticker; idempotent."""
        self._ticker.leave(self._beat)

    def _beat(self, now: float, at_once: bool = False) -> None:
        """One packet. Every call comes by here fifty times a second: nothing is looked up twice, little is called."""
        late = now - self._due
        if late < -EARLY_SECONDS and not at_once:
            return
        playout = self.playout
        pcm = playout.next()
        packet = self._encoder.encode(_QUIET if pcm is None else pcm)
        marker = self._fresh or late > GAP_SECONDS
        if marker:
            self._resume(now)
        payload = self._with_earlier(packet) if self._blocks else packet
        if self._send_rtp(payload, self._timestamp, marker, payload is not packet):
            self.packets += 1
        else:
            self.unsent += 1
            self._fresh = True
        self._timestamp += FRAME_TICKS
        self._due += PERIOD
        if pcm is None:
            self._be_quiet()
            return
        self.frames += 1
        if not self._begun:
            self._begin()
        if self.wake_at is not None and playout.position >= self.wake_at:
            self._events.on_played(playout.position)

    def _begin(self) -> None:
        """A turn's first frame left, unless it was the last of one that was cut."""
        if self.playout.position == self._cut_at:
            return
        self._begun = self._sounding = True
        self._tail = 0
        self._events.on_sound_started()

    def _be_quiet(self) -> None:
        """A packet of silence left: the turn may be over, and when it is, the line rests after a while."""
        if self._sounding and not self.playout.playing:
            self._sounding = self._begun = False
            self._events.on_sound_stopped()
        if not self._sounding:
            self._tail += 1
            if self._tail >= TAIL_FRAMES:
                self._fresh = True
                self._ticker.leave(self._beat)

    def _resume(self, now: float) -> None:
        """After a pause the packet that leaves is the one that is due now, and what came before is past."""
        missed = max(0, round((now - self._due) / PERIOD))
        self._timestamp += missed * FRAME_TICKS
        self._due += missed * PERIOD
        self._fresh = False
        self._earlier.clear()

    def _with_earlier(self, packet: bytes) -> bytes:
        """`packet` in RED with the ones before it; itself where that wins nothing, for silence needs no copy."""
        if self.red_over is None:
            self._earlier.clear()
            return packet
        copies = [(self._timestamp - at, copy) for at, copy in self._earlier][-self._blocks :]
        while copies and len(packet) + sum(len(copy) for _, copy in copies) > MAX_RED_BYTES:
            del copies[0]
        self._earlier.append((self._timestamp, packet))
        if not copies or packet == SILENCE == copies[0][1] == copies[-1][1]:
            return packet
        self.protected[len(copies) - 1] += 1
        return red.write(packet, copies, self.red_over)
