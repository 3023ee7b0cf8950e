"""Microphone to model: RTP in, 16 kHz PCM out, in the order and at the time it was spoken.

    on_rtp ─▶ JitterBuffer ─▶ Decoder (libopus, 16 kHz mono) ─▶ Stall ─▶ Activity ─▶ message of 20 ms ─▶ send_audio

All of it runs in the event loop in one go: a packet in order is in the model's socket when `on_rtp` returns.
One timer looks after what does not come: at a hole that has waited long enough, at silence that is due. While packets
come in order nobody moves it; when it fires it sees that they came, and waits for the rest.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from relay.audio.activity import Activity, Edge
from relay.audio.jitter import MAX_CONCEAL_TICKS, MAX_GAP_TICKS, JitterBuffer
from relay.audio.opus import Decoder, OpusError
from relay.audio.packet import DECODED_RATE, ONE_FRAME_TICKS, TICKS_PER_SECOND
from relay.audio.red import read
from relay.audio.stall import Stall
from relay.audio.step import Conceal, Play, Recover, Silence, Step

_TICKS_PER_SAMPLE: Final = TICKS_PER_SECOND // DECODED_RATE
_BYTES_PER_SECOND: Final = 2 * DECODED_RATE
# Google recommends messages of 20 to 40 ms. Each costs the same whatever its size, each millisecond is delay.
MESSAGE_MS: Final = 20
MESSAGE_BYTES: Final = MESSAGE_MS * _BYTES_PER_SECOND // 1000
# What is said while the model's connection is being made; the oldest is dropped. The setup takes 0.8 s at Google.
WAITING_MS: Final = 3000
# How far the model's sound may be ahead of time: what waited for it, and as much again for stalls of the network. Who
# sends more is dropped until time has caught up; else a packet of 120 ms every 10 ms would be twelve calls for one.
AHEAD_SECONDS: Final = 6.0
# Kept of what is held back: a word begins up to a quarter of a second before it is known to be one.
PREROLL_MS: Final = 400


def _raise(error: Exception) -> None:
    raise error


class Uplink:
    """One call's way up. Closed at first: packets are counted, not decoded, until `open()`.

    `end_stream` is called when no packets have come for so long that the model is not to wait for more; the next
    packet begins the stream anew. `failed` is told of a mistake of ours, after which nothing more is heard.
    """

    def __init__(
        self,
        send_audio: Callable[[bytes], object],
        on_edge: Callable[[Edge], None],
        end_stream: Callable[[], None],
        failed: Callable[[Exception], object] = _raise,
    ) -> None:
        self._send_audio = send_audio
        self._on_edge = on_edge
        self._end_stream = end_stream
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self.jitter = JitterBuffer()
        self._decoder = Decoder()
        self.stall = Stall()
        self._activity = Activity()
        self._pending = bytearray()
        self._waiting: deque[bytes] | None = deque(maxlen=WAITING_MS // MESSAGE_MS)
        self._held: deque[bytes] | None = None  # what was said last, while nothing is to reach the model
        self._timer: asyncio.TimerHandle | None = None
        self._hole = False  # the timer is set for one
        self._open = False
        self._pause = float(MAX_GAP_TICKS)  # how long a silence is believed, at
        self._paused_at = self._loop.time()
        self._odd_ticks = 0  # of silence: less than a sample
        self.packets = 0
        self.undecodable = 0
        self.hurried = 0  # packets dropped because more came than time passed
        self.seconds_sent = 0.0
        self._sent_since = self._loop.time()  # when the first of it would have been said, had it never paused

    def connect(self, send_audio: Callable[[bytes], object]) -> None:
        """From now on this is where sound goes."""
        self._send_audio = send_audio

    def open(self) -> None:
        """The microphone is on: decode what comes."""
        self._open = True

    def shut(self) -> None:
        """The microphone is off: nothing more reaches the model until `open()`."""
        self.close()
        self._pending.clear()
        self.jitter.restart()
        self._decoder.reset()
        self.stall.restart()
        if self._activity.speaking:
            self._on_edge(Edge(False, self._loop.time()))
        self._activity = Activity()

    @property
    def sounded_at(self) -> float:
        """When anything but digital silence was last heard; long ago if never since the microphone is on."""
        return self._activity.sounded_at

    def hold(self) -> None:
        """Nothing reaches the model until `release`; what is said is still listened to here."""
        if self._held is None:
            self._held = deque(maxlen=PREROLL_MS // MESSAGE_MS)

    def release(self) -> None:
        """The model hears again, from a little before now on."""
        held, self._held = self._held, None
        for message in held or ():
            self._forward(message)

    def model_ready(self) -> None:
        """The model listens: hand over what was said meanwhile."""
        waiting, self._waiting = self._waiting, None
        for message in waiting or ():
            self._forward(message)
        if waiting and self.stall.ended:
            self._end_stream()

    def on_rtp(self, sequence: int, timestamp: int, ssrc: int, payload: bytes, red: bytes = b"") -> None:
        """One Opus packet from the browser, as it came, and the RED payload around it, if there was one."""
        self.packets += 1
        if not self._open:
            return
        try:
            if self.stall.ended:
                self._begin_anew(timestamp, ssrc)
            if self.jitter.follows(sequence, timestamp, ssrc, payload):
                # the straight way, which a clean path takes all day: nothing waits, nothing is missing
                try:
                    self._hear(self._decoder.decode(payload), self._loop.time())
                except OpusError:
                    self._undecodable(ONE_FRAME_TICKS[payload[0]], self._loop.time())
                return
            now = self._loop.time()
            if self._hurries(now):
                self.hurried += 1
                return
            found = read(red, red[0] & 0x7F) if red else None  # what brought the packet is of one payload type
            self.jitter.push(sequence, timestamp, payload, ssrc, now, found.redundant if found is not None else ())
            for step in self.jitter.poll(now):
                self._play(step, now)
            if self._hole or self._timer is None or self.jitter.deadline is not None:
                self._arm()
        except Exception as error:
            self._fail(error)

    def on_pcm(self, pcm: bytes) -> None:
        """16 kHz mono sound that somebody else decoded."""
        self.packets += 1
        now = self._loop.time()
        try:
            if self._hurries(now):
                self.hurried += 1
            elif self._open:
                self._hear(pcm, now)
        except Exception as error:
            self._fail(error)

    def close(self) -> None:
        """Free the timer; idempotent."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """What waited long enough, or has not come."""
        self._timer = None
        now = self._loop.time()
        try:
            self._hurries(now)
            for step in self.jitter.poll(now):
                self._play(step, now)
            stalls = self.stall.stalls
            if self.jitter.deadline is None and (silence := self.stall.poll(now)):
                self._be_still(silence, now, begins=self.stall.stalls > stalls)
                if self.stall.ended:
                    self._end()
            if self._open:
                self._arm()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.close()
        self._failed(error)

    def _be_still(self, samples: int, now: float, *, begins: bool) -> None:
        """A stall begins like any hole: the decoder goes on with what it knows for a while, and then there is silence.

        What it makes up is nobody's voice.
        """
        made_up = self._decoder.conceal(MAX_CONCEAL_TICKS)[: 2 * samples] if begins else b""
        edge = self._activity.feed(bytes(2 * samples), now)
        if edge is not None:
            self._on_edge(edge)
        self._gather(made_up.ljust(2 * samples, b"\0"))

    def _arm(self) -> None:
        """A hole first: what is held may be what silence would stand in for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.jitter.deadline
        self._hole = deadline is not None
        if deadline is None:
            deadline = self.stall.deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._look)

    def _end(self) -> None:
        """Nothing has come for long: the model need not wait, and what comes next continues nothing."""
        if self._pending:
            self._forward(bytes(self._pending))
            self._pending.clear()
        if self._waiting is None:
            self._end_stream()

    def _begin_anew(self, timestamp: int, ssrc: int) -> None:
        now = self._loop.time()
        if self.stall.absent(now) and not self._hurries(now):
            self.stall.begin(self.jitter.gap(timestamp, ssrc), now)
            self.jitter.restart()
            self._decoder.reset()

    def _hurries(self, now: float) -> bool:
        """Whether so much has come that no more is heard for now; then what comes later continues nothing.

        The straight way does not ask: `_look` does for it, five times a second, and sends what follows the other way.
        """
        self._sent_since = max(self._sent_since, now - self.seconds_sent)
        if self._sent_since + self.seconds_sent - now <= AHEAD_SECONDS:
            return False
        self.jitter.restart()
        self._decoder.reset()
        return True

    def _play(self, step: Step, now: float) -> None:
        if step.ticks and self._hurries(now):
            self.hurried += isinstance(step, Play)
            return
        match step:
            case Play(payload, ticks):
                try:
                    self._hear(self._decoder.decode(payload), now)
                except OpusError:
                    self._undecodable(ticks, now)
            case Recover(following, ticks):
                self._hear(self._decoder.recover(following, ticks), now)
            case Conceal(ticks):
                self._hear(self._decoder.conceal(ticks), now)
            case Silence(ticks):
                self._be_silent(ticks, now)
            case _:
                self._decoder.reset()
                self.stall.reset()

    def _undecodable(self, ticks: int, now: float) -> None:
        self.undecodable += 1
        self._be_silent(ticks, now)

    def _be_silent(self, ticks: int, now: float) -> None:
        """A pause lasts as long as time passes. One that a timestamp claims costs its sender nothing, and us much."""
        self._pause = min(MAX_GAP_TICKS, self._pause + (now - self._paused_at) * TICKS_PER_SECOND)
        self._paused_at = now
        believed = min(ticks, int(self._pause))
        self._pause -= believed
        # Whole samples of nothing: half a sample would turn every later one into noise.
        samples, self._odd_ticks = divmod(self._odd_ticks + believed, _TICKS_PER_SAMPLE)
        self._hear(bytes(2 * samples), now)

    def _hear(self, pcm: bytes, now: float) -> None:
        if self.stall.even:
            self.stall.heard_at = now
        else:
            pcm = self.stall.hear(pcm, now)
            if self._timer is None:
                self._arm()  # what was skipped is waited for again
        if pcm:
            self._pass_on(pcm, now)

    def _pass_on(self, pcm: bytes, now: float) -> None:
        edge = self._activity.feed(pcm, now)
        if edge is not None:
            self._on_edge(edge)
        if not self._pending and len(pcm) == MESSAGE_BYTES:
            self._forward(pcm)
        else:
            self._gather(pcm)

    def _gather(self, pcm: bytes) -> None:
        self._pending += pcm
        while len(self._pending) >= MESSAGE_BYTES:
            self._forward(bytes(self._pending[:MESSAGE_BYTES]))
            del self._pending[:MESSAGE_BYTES]

    def _forward(self, message: bytes) -> None:
        if self._held is not None:
            self._held.append(message)
            return
        if self._waiting is not None:
            self._waiting.append(message)
            return
        self.seconds_sent += len(message) / _BYTES_PER_SECOND
        self._send_audio(message)
