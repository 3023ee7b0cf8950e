"""Who is speaking: 20 ms levels of the client's sound, onset, end, and not mistaking our own echo for a voice. Pure.

Time is counted in sound, not on the wall: half a second of silence is half a second of silent samples. Input
that stops coming is not silence, as with the real service, which waits for `audioStreamEnd`.
"""

import math
from array import array
from collections import deque
from dataclasses import dataclass
from operator import mul
from typing import Final

RATE: Final = 16_000  # Hz
FRAME_MS: Final = 20
FRAME_BYTES: Final = RATE * 2 * FRAME_MS // 1000
MAX_UTTERANCE_S: Final = 60  # the utterance ends here, whoever goes on speaking
PREROLL_MS: Final = 300  # kept from before the onset, so that no first consonant is lost

QUIET_DB: Final = -120.0
GATE_DB: Final = -45.0  # nothing softer is a voice
DEAF_GATE_DB: Final = -38.0  # the same with START_SENSITIVITY_LOW
PLAYING_GATE_DB: Final = -42.0  # nothing softer is a voice while we play
LOUD_DB: Final = -25.0  # anything louder is a voice, however steady
ABOVE_FLOOR_DB: Final = 10.0
HYSTERESIS_DB: Final = 4.0
FLOOR_BLOCKS: Final = 6  # blocks of one second whose softest frame is the noise floor
ONSET_MS: Final = 60
PLAYING_ONSET_MS: Final = 160

BARGE_IN_DB: Final = 12.0  # so far above our residual echo must a voice be to interrupt us
ECHO_TAIL_S: Final = 0.6  # our sound may still come back this long after we sent it
ECHO_PRIOR_DB: Final = -24.0  # residual against what we play, before we have listened to it
ECHO_LEAST_DB: Final = -30.0
ECHO_MOST_DB: Final = 6.0
ECHO_FALL_DB: Final = 0.02  # a frame; the estimate rises at once and falls by 1 dB a second
ECHO_LESSON_DB: Final = 6.0  # after an interruption that ended when our sound did: it may have been our echo


def level(pcm: bytes) -> float:
    """The level of little-endian 16-bit samples, in dB below full scale."""
    samples = array("h", pcm)
    power = sum(map(mul, samples, samples)) / (len(samples) or 1)
    return 10 * math.log10(power / 32768**2) if power >= 0.001 else QUIET_DB


def levels(pcm: bytes, rate: int) -> list[float]:
    """The level of every 20 ms."""
    size = rate * 2 * FRAME_MS // 1000
    return [level(pcm[i : i + size]) for i in range(0, len(pcm), size)]


@dataclass(frozen=True, slots=True)
class Onset:
    """Somebody began to speak, `at` seconds into the input."""

    at: float


@dataclass(frozen=True, slots=True)
class End:
    """Somebody stopped, `at` seconds into the input; `pcm` is what was said, silences around it included."""

    at: float
    pcm: bytes


class Mouth:
    """How loud our own sound was lately, wherever it may be on its way back to our ears."""

    def __init__(self, most: int = 4) -> None:
        """`most` pieces of sound are remembered."""
        self._played: deque[tuple[float, float, list[float]]] = deque(maxlen=most)

    def play(self, start: float, pcm_levels: list[float]) -> None:
        self._played.append((start, start + len(pcm_levels) * FRAME_MS / 1000, pcm_levels))

    def stop(self, now: float) -> None:
        self._played = deque(((a, min(b, now), lv) for a, b, lv in self._played), maxlen=self._played.maxlen)

    def level(self, now: float) -> float:
        """The loudest of what we played within the echo's tail, `QUIET_DB` if nothing."""
        loudest = QUIET_DB
        for start, end, lv in self._played:
            if now - ECHO_TAIL_S < end and start <= now:
                first = max(0, int((now - ECHO_TAIL_S - start) * 1000 / FRAME_MS))
                last = int((min(now, end) - start) * 1000 / FRAME_MS) + 1
                loudest = max(loudest, max(lv[first:last], default=QUIET_DB))
        return loudest


class Ears:
    """Turns a stream of samples into `Onset` and `End`. The caller says how loud we play ourselves."""

    def __init__(self, silence_ms: int, prefix_ms: int = 0, gate_db: float = GATE_DB) -> None:
        self.speaking = False
        self.frames = 0
        self.residual_db = QUIET_DB  # our echo as we expect it now
        self._silence = max(1, silence_ms // FRAME_MS)
        self._gate = gate_db
        self._rest = b""
        self._preroll: deque[bytes] = deque(maxlen=max(PREROLL_MS, min(prefix_ms, 2000)) // FRAME_MS)
        self._said = bytearray()
        self._voiced = 0
        self._unvoiced = 0
        self._floors: deque[float] = deque([-65.0], maxlen=FLOOR_BLOCKS)
        self._coupling = ECHO_PRIOR_DB  # residual against what we play
        self._doubtful = False  # this utterance began while we played and has not outlived our sound yet

    @property
    def at(self) -> float:
        """Seconds of input heard."""
        return self.frames * FRAME_MS / 1000

    def hear(self, pcm: bytes, echo_db: float = QUIET_DB) -> list[Onset | End]:
        """Takes 16 kHz samples; `echo_db` is the level of what we play meanwhile."""
        events: list[Onset | End] = []
        data = self._rest + pcm
        whole = len(data) - len(data) % FRAME_BYTES
        self._rest = data[whole:]
        for i in range(0, whole, FRAME_BYTES):
            self._frame(data[i : i + FRAME_BYTES], echo_db, events)
        return events

    def finish(self) -> End | None:
        """The stream paused: whoever was speaking has stopped."""
        self._rest = b""
        return self._end() if self.speaking else None

    def threshold(self, echo_db: float = QUIET_DB) -> float:
        """The level above which sound is a voice."""
        usual = min(max(self._gate, min(self._floors) + ABOVE_FLOOR_DB), LOUD_DB)
        if echo_db <= GATE_DB - BARGE_IN_DB:
            self.residual_db = QUIET_DB
            return usual
        self.residual_db = echo_db + self._coupling
        return max(usual, PLAYING_GATE_DB, self.residual_db + BARGE_IN_DB)

    def _frame(self, frame: bytes, echo_db: float, events: list[Onset | End]) -> None:
        self.frames += 1
        loud = level(frame)
        threshold = self.threshold(echo_db)
        if self.frames % (1000 // FRAME_MS) == 1:
            self._floors.append(QUIET_DB + 200)
        self._floors[-1] = min(self._floors[-1], max(loud, -70.0))
        playing = self.residual_db > QUIET_DB
        if not self.speaking:
            if loud < threshold and playing:
                self._learn(loud - echo_db)
            self._preroll.append(frame)
            self._voiced = self._voiced + 1 if loud >= threshold else max(0, self._voiced - 1)
            if self._voiced * FRAME_MS >= (PLAYING_ONSET_MS if playing else ONSET_MS):
                self.speaking = True
                self._doubtful = playing
                self._said = bytearray(b"".join(self._preroll))
                self._preroll.clear()
                self._unvoiced = 0
                events.append(Onset(max(0.0, self.at - self._voiced * FRAME_MS / 1000)))
            return
        self._said += frame
        if loud >= threshold - HYSTERESIS_DB:
            self._voiced += 1
            if self._voiced >= 2:  # one click does not make a pause shorter
                self._unvoiced = 0
                self._doubtful = self._doubtful and playing
        else:
            self._voiced = 0
        self._unvoiced += 1
        if self._unvoiced > self._silence or len(self._said) >= MAX_UTTERANCE_S * RATE * 2:
            events.append(self._end())

    def _learn(self, coupling: float) -> None:
        step = 0.3 * (coupling - self._coupling) if coupling > self._coupling else -ECHO_FALL_DB
        self._coupling = min(max(self._coupling + step, ECHO_LEAST_DB), ECHO_MOST_DB)

    def _end(self) -> End:
        self.speaking = False
        said, self._said = bytes(self._said), bytearray()
        self._voiced = 0
        if self._doubtful:
            self._coupling = min(self._coupling + ECHO_LESSON_DB, ECHO_MOST_DB)
        return End(self.at, said)
