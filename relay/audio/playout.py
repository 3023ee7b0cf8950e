"""The model's bursts → exact 20 ms frames, and how much of them was heard. Pure: no clock; one `next` is one frame.

The model speaks faster than real time, in chunks of any size. `put` what it says, take one frame per tick with
`next`, say `end` when its turn is complete and `flush` when it is interrupted.

A turn begins with its first whole frame. If the model falls behind in the middle of it, nothing is played until
`REBUFFER_FRAMES` are there again, or as many ticks have passed since the first of them came: one pause is heard as a
pause, a frame now and then as a broken line.

Counters are samples since the beginning and never go back, so a turn is an interval of them: it begins at
`received`, and `position` says how far the listener is.
"""

import math
from array import array
from collections import deque
from typing import Final

from relay.audio.packet import ENCODED_RATE, FRAME_BYTES

FRAME_SAMPLES: Final = FRAME_BYTES // 2
# The model can be minutes ahead; more than this is no conversation. The newest sound is dropped: what was begun
# is heard to its end, and nobody misses the middle of a sentence without knowing.
MAX_FRAMES: Final = 15_000  # 5 minutes, 14.4 MB
# 120 ms: the model sends chunks of 100 to 200 ms, so this is about one of them.
REBUFFER_FRAMES: Final = 6
# Speech cut off within a sample clicks; faded over 5 ms it does not, and nobody hears a longer word.
FADE_SAMPLES: Final = 120


class Playout:
    """What the model said and the listener has not heard yet."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._rest = b""  # less than a frame, not yet to be played
        self._ended = False
        self._waiting = 0  # in mid-turn, for sound to come again: ticks that may pass once it has begun to
        self._last: bytes | None = None  # the faded frame that a flush leaves behind
        self._flowing = False  # the last frame was one of many: the next whole one follows, whatever else happens
        self.playing = False  # from the first frame of a turn until `next` has said that it is over
        self.received = 0  # samples taken in
        self.position = 0  # how far the listener is, on the scale of `received`
        self.skipped = 0  # samples of these that were never heard: flushed
        self.dropped = 0  # samples not taken in, because the queue was full
        self.underruns = 0  # times that a turn's sound ran out before its end

    @property
    def ready(self) -> bool:
        """A whole frame is there."""
        return bool(self._frames)

    @property
    def queued(self) -> float:
        """Seconds still to be heard."""
        return (self.received - self.position) / ENCODED_RATE

    def put(self, pcm: bytes) -> int:
        """Add sound, cut anywhere; it continues what was put before, also after `end`. Returns the samples dropped."""
        room = max(0, (MAX_FRAMES - len(self._frames)) * FRAME_BYTES - len(self._rest))
        dropped = max(0, len(pcm) - room) // 2
        whole = self._rest + pcm[:room]
        cut = len(whole) - len(whole) % FRAME_BYTES
        self.received += len(whole) // 2 - len(self._rest) // 2
        self.dropped += dropped
        self._frames.extend(whole[i : i + FRAME_BYTES] for i in range(0, cut, FRAME_BYTES))
        self._rest = whole[cut:]
        self._ended = False
        return dropped

    def end(self) -> None:
        """Nothing more is coming for now: the last, incomplete frame is played, filled up with silence."""
        self._ended = True

    def next(self) -> bytes | None:
        """The next `FRAME_BYTES`, or None while there is nothing to play: between turns, or waiting within one.

        An incomplete frame waits for the rest of it, or for `end`.
        """
        if self._flowing and self._frames:
            self.position += FRAME_SAMPLES
            return self._frames.popleft()
        return self._turn()

    def _turn(self) -> bytes | None:
        """The next frame where something begins or ends."""
        self._flowing = False
        if self._last is not None:
            frame, self._last = self._last, None
            return frame
        if self._waiting and not self._ended and len(self._frames) < REBUFFER_FRAMES:
            self._waiting -= bool(self._frames)
            if self._waiting or not self._frames:
                return None
        self._waiting = 0
        if self._frames:
            self.playing = self._flowing = True
            self.position += FRAME_SAMPLES
            return self._frames.popleft()
        if self._ended and (samples := len(self._rest) // 2):
            self.playing = True
            self.position += samples
            frame, self._rest = self._rest[: 2 * samples], b""
            return frame + bytes(FRAME_BYTES - len(frame))
        if self.playing and not self._ended:
            self._waiting = REBUFFER_FRAMES
            self.underruns += 1
        else:
            self.playing = False
        return None

    def flush(self) -> float:
        """Interrupted: drop everything but one frame that fades out within 5 ms; returns the seconds never heard.

        In the middle of an underrun nothing sounds, so nothing has to fade.
        """
        if self._last is None and not self._waiting and (tail := self._tail()):
            self.position += len(tail)
            self._last = tail.tobytes() + bytes(FRAME_BYTES - 2 * len(tail))
        cut = self.received - self.position
        self._frames.clear()
        self._rest = b""
        self._ended = True
        self._flowing = False
        self._waiting = 0
        self.position += cut
        self.skipped += cut
        return cut / ENCODED_RATE

    def _tail(self) -> "array[int]":
        """The next few samples, on their way down to zero."""
        following = self._frames[0] if self._frames else self._rest
        samples = array("h")
        samples.frombytes(following[: 2 * min(FADE_SAMPLES, len(following) // 2)])
        step = math.pi / max(1, len(samples))
        return array("h", (round(sample * (0.5 + 0.5 * math.cos(step * (i + 1)))) for i, sample in enumerate(samples)))
