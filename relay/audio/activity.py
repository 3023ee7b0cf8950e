"""Is somebody speaking? Levels, onset and end, from nothing but loudness. Pure.

Feed what was decoded. Loud is what stands out from the quietest of late: a fan or a hum becomes the floor in a few
seconds. Somebody speaks after `ONSET_SECONDS` of loudness within a short while, and has stopped after `END_SECONDS`
without any. The sentence itself is the model's to understand; this is for meters, marks and deadlines.
"""

import math
from dataclasses import dataclass
from typing import Final

from relay.audio.packet import DECODED_RATE

# A click or a key is shorter, the shortest word is longer.
ONSET_SECONDS: Final = 0.060
# The pauses inside a sentence are shorter.
END_SECONDS: Final = 0.500
# dB over the floor at which speech begins, and under which it has gone; the difference keeps it from fluttering.
ONSET_OVER_FLOOR: Final = 12.0
END_OVER_FLOOR: Final = 8.0
# dBFS: no quieter sound is taken for speech. Browsers level speech to -30…-15 and leave -70…-60 between.
GATE_DBFS: Final = -48.0
# dB per second by which the floor follows a noise that stays; it follows a quieter one at once.
FLOOR_RISE: Final = 3.0
# Loudness is no matter of single samples: one in four says as much for a third of the time.
STRIDE: Final = 4
SILENT_DBFS: Final = -90.0  # the level of digital silence


@dataclass(frozen=True, slots=True)
class Edge:
    """Somebody began (`speaking`) or stopped; `at` is when it was so, a little before it was sure."""

    speaking: bool
    at: float


class Activity:
    """One voice. `speaking` is the verdict, `level` the loudness in dBFS of what was fed last."""

    def __init__(self) -> None:
        self.speaking = False
        self.level = SILENT_DBFS
        self._floor = GATE_DBFS - ONSET_OVER_FLOOR
        self._loud = 0.0  # seconds of loudness that count towards an onset
        self._last_loud = 0.0

    def feed(self, pcm: bytes, now: float) -> Edge | None:
        """Hear `pcm` (16 kHz, mono, 16 bit; 10 to 60 ms) that ended at `now`; empty means that only time has passed."""
        seconds = len(pcm) // 2 / DECODED_RATE
        self.level = level(pcm)
        loud = self.level > self._threshold()
        self._follow(seconds)
        if loud:
            self._last_loud = now
        self._loud = max(0.0, self._loud + (seconds if loud else -seconds))
        if not self.speaking and self._loud >= ONSET_SECONDS:
            return self._turn(True, now - self._loud)
        if self.speaking and now - self._last_loud >= END_SECONDS:
            return self._turn(False, self._last_loud)
        return None

    def _threshold(self) -> float:
        over = END_OVER_FLOOR if self.speaking else ONSET_OVER_FLOOR
        return max(GATE_DBFS, self._floor + over)

    def _follow(self, seconds: float) -> None:
        """Down at once, up slowly. Digital silence is no room, but a muted microphone: it teaches nothing."""
        if self.level > SILENT_DBFS:
            self._floor = min(self.level, self._floor + FLOOR_RISE * seconds)

    def _turn(self, speaking: bool, at: float) -> Edge:
        self.speaking = speaking
        self._loud = 0.0
        return Edge(speaking, at)


def level(pcm: bytes) -> float:
    """RMS in dBFS, where a square wave at full scale is 0; not below `SILENT_DBFS`. Looks at one sample in `STRIDE`."""
    samples = memoryview(pcm)[: len(pcm) & ~1].cast("h")[::STRIDE]
    if not samples:
        return SILENT_DBFS
    # of what the standard library has, `hypot` is the quickest sum of squares by far
    rms = math.hypot(*samples) / math.sqrt(len(samples))
    return max(SILENT_DBFS, 20 * math.log10(rms / 32768)) if rms else SILENT_DBFS
