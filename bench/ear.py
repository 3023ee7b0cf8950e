"""Who has stopped speaking: the model's own ear in the bench, and what the callers say to it in turns."""

from array import array
from typing import Final

from bench import speech
from tests.sound import silence

SPOKEN: Final = 75  # packets of a turn at most: 1.5 s
SILENT: Final = 150  # packets after them, in which the model hears that it is its turn, and speaks
LOUD: Final = 1500  # peak to peak of a frame in which somebody speaks, if only at its beginning
QUIET: Final = 10  # frames without a voice before the model takes its turn: 200 ms
FRAME_BYTES: Final = 640  # 20 ms at 16 kHz

Stamp = int  # nanoseconds of the monotonic clock


class Ear:
    """One caller's voice, as the model hears it."""

    def __init__(self) -> None:
        self._spoke: Stamp | None = None  # when the last frame with a voice came
        self._quiet = 0

    def hear(self, at: Stamp, pcm: bytes) -> Stamp | None:
        """A message that came at `at`; when the turn's last sound came, once, as soon as it is believed to be over."""
        for start in range(0, len(pcm), FRAME_BYTES):
            if is_loud(pcm[start : start + FRAME_BYTES]):
                self._spoke, self._quiet = at, 0
            else:
                self._quiet += 1
        spoke = self._spoke
        if spoke is None or self._quiet < QUIET:
            return None
        self._spoke = None
        return spoke


def is_loud(frame: bytes) -> bool:
    """Somebody speaks in this frame."""
    samples = array("h", frame)
    return max(samples) - min(samples) >= LOUD


def turn() -> tuple[list[bytes], int]:
    """Packets of somebody who speaks and then waits, to be sent over and over, and how many of them are speech.

    They break off where it is loud, so no doubt is left which was the last: a decoder is some ms behind, and what it
    makes of the packet after that one is loud at first.
    """
    spoken = speech.packets(speech.sentence(speech.UPLINK_RATE))[:SPOKEN]
    levels = speech.decoded(spoken).levels(speech.FRAME)
    last = max(at for at, level in enumerate(levels) if level >= max(levels) / 2)
    quiet = speech.packets(silence(0.2, speech.UPLINK_RATE))[-1:]
    return spoken[: last + 1] + quiet * SILENT, last + 2
