"""Is somebody speaking? Levels, onset and end, from nothing but loudness. Pure.

Feed what was decoded. Loud is what stands out from the quietest of late: a fan or a hum becomes the floor in a few
seconds. Somebody speaks after `ONSET_SECONDS` of loudness within a short while, and has stopped after `END_SECONDS`
without any. The sentence itself is the model's to understand; this is for meters, marks and deadlines.
"""

import math
import struct
from collections.abc import Sequence
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
# Loudness is no matter of single samples: one in seven says as much for a quarter of the time. Seven, because no sound
# of a machine keeps in step with it.
STRIDE: Final = 7
SILENT_DBFS: Final = -90.0  # the level of digital silence

_FRAME_BYTES: Final = DECODED_RATE // 50 * 2  # 20 ms: what a browser sends
_FRAME: Final = struct.Struct("<" + "".join(f"h{2 * min(STRIDE - 1, 319 - at)}x" for at in range(0, 320, STRIDE)))


@dataclass(frozen=True, slots=True)
class Edge:
    """Somebody began (`speaking`) or stopped; `at` is when it was so, a little before it was sure."""

    speaking: bool
    at: float


class Activity:
    """One voice. `speaking` is the verdict."""

    def __init__(self) -> None:
        self.speaking = False
        self.sounded_at = float("-inf")  # when there was last anything but digital silence
        self._floor = GATE_DBFS - ONSET_OVER_FLOOR
        self._loud = 0.0  # seconds of loudness that count towards an onset
        self._last_loud = 0.0

    def feed(self, pcm: bytes, now: float) -> Edge | None:
        """Hear `pcm` (16 kHz, mono, 16 bit; 10 to 60 ms) that ended at `now`; empty means that only time has passed."""
        seconds = len(pcm) // 2 / DECODED_RATE
        loudness = level(pcm)
        floor = self._floor
        over = END_OVER_FLOOR if self.speaking else ONSET_OVER_FLOOR
        if loud := loudness > GATE_DBFS and loudness > floor + over:
            self._last_loud = now
            self._loud += seconds
        elif self._loud:
            self._loud = max(0.0, self._loud - seconds)
        # Down at once, up slowly. Digital silence is no room, but a muted microphone: it teaches nothing.
        if loudness > SILENT_DBFS:
            self.sounded_at = now
            risen = floor + FLOOR_RISE * seconds
            self._floor = risen if risen < loudness else loudness
        if self.speaking:
            return self._turn(False, self._last_loud) if now - self._last_loud >= END_SECONDS else None
        return self._turn(True, now - self._loud) if loud and self._loud >= ONSET_SECONDS else None

    def _turn(self, speaking: bool, at: float) -> Edge:
        self.speaking = speaking
        self._loud = 0.0
        return Edge(speaking, at)


def level(pcm: bytes) -> float:
    """RMS in dBFS, where a square wave at full scale is 0; not below `SILENT_DBFS`. Looks at one sample in `STRIDE`."""
    if len(pcm) == _FRAME_BYTES:
        samples: Sequence[int] = _FRAME.unpack(pcm)
    else:
        samples = memoryview(pcm)[: len(pcm) & ~1].cast("h")[::STRIDE].tolist()
    # of what the standard library has, `hypot` is the quickest sum of squares by far
    energy = math.hypot(*samples)
    return max(SILENT_DBFS, 20 * math.log10(energy / math.sqrt(len(samples)) / 32768)) if energy else SILENT_DBFS
