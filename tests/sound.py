"""Sounds in tests: read them, and ask whether one is heard in another.

Everything is plain Python on mono 16-bit PCM. Comparisons happen at 4 kHz, in 10 ms levels, so that ten
seconds of sound compare in half a second; that is still too long for an event loop with a call on it, so
compare after the call. A codec, a resampler, a pause before and a pause after do not matter to `compare`;
another sentence does.
"""

import math
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Final

STEP: Final = 0.010  # seconds per level
THIN_RATE: Final = 4000  # Hz; speech is recognisable by far less
FINE_WINDOW: Final = 0.020  # seconds either side of the best level lag in which the waveform is sought
SILENT_DBFS: Final = -90.0


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono 16-bit little-endian PCM with its rate in Hz."""

    pcm: bytes
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / self.rate

    @property
    def samples(self) -> "array[int]":
        samples = array("h")
        samples.frombytes(self.pcm)
        return samples

    def part(self, start: float, end: float | None = None) -> "Sound":
        """The sound between two times in seconds."""
        first = 2 * round(start * self.rate)
        last = len(self.pcm) if end is None else 2 * round(end * self.rate)
        return Sound(self.pcm[first:last], self.rate)

    def at(self, rate: int) -> "Sound":
        """The same sound at another rate, by linear interpolation: good enough to be recognised."""
        if rate == self.rate:
            return self
        old = self.samples
        count = len(old) * rate // self.rate
        old.append(old[-1] if old else 0)
        places = (divmod(i * self.rate, rate) for i in range(count))
        new = array("h", [old[k] + (old[k + 1] - old[k]) * rest // rate for k, rest in places])
        return Sound(new.tobytes(), rate)

    def level(self) -> float:
        """Mean level in dBFS."""
        samples = self.samples
        return _dbfs(math.sqrt(sum(map(mul, samples, samples)) / len(samples)) if samples else 0.0)

    def levels(self, step: float = STEP) -> list[float]:
        """RMS per `step` seconds, in sample units."""
        size = round(step * self.rate)
        samples = self.samples
        return [
            math.sqrt(sum(map(mul, window, window)) / size)
            for window in (samples[i : i + size] for i in range(0, len(samples) - size + 1, size))
        ]

    def spoken(self, above: float = -45.0) -> float:
        """Seconds of it that are louder than `above` dBFS."""
        return sum(STEP for level in self.levels() if _dbfs(level) > above)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How well a sentence is heard in a recording: correlation of levels and of the waveform, each up to 1."""

    levels: float
    waveform: float
    lag: float  # seconds into the recording at which the sentence begins

    @property
    def same(self) -> bool:
        """Surely this sentence: its levels agree, or agree roughly while the waveform does too."""
        return self.levels > 0.85 or (self.levels > 0.6 and self.waveform > 0.5)


def read_wav(path: str | Path) -> Sound:
    with wave.open(str(path), "rb") as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path} is not mono 16-bit PCM")
        return Sound(file.readframes(file.getnframes()), file.getframerate())


def write_wav(path: str | Path, sound: Sound) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(sound.pcm)


def silence(seconds: float, rate: int) -> Sound:
    return Sound(bytes(2 * round(seconds * rate)), rate)


def tone(hertz: float, seconds: float, rate: int, level: float = -12.0) -> Sound:
    peak = 32767 * math.sqrt(2) * 10 ** (level / 20)
    turn = 2 * math.pi * hertz / rate
    wave_form = array("h", (round(peak * math.sin(turn * i)) for i in range(round(seconds * rate))))
    return Sound(wave_form.tobytes(), rate)


def compare(sentence: Sound, recording: Sound) -> Likeness:
    """Where in `recording` is `sentence` best heard, and how like is what is heard there?

    The recording may hold anything before and after, and may lack a little of either end.
    """
    thin_sentence, thin_recording = _thin(sentence), _thin(recording)
    edge = silence(0.3, THIN_RATE).pcm
    missing = max(0, len(thin_sentence.pcm) - len(thin_recording.pcm))
    padded = Sound(edge + thin_recording.pcm + edge + bytes(missing), THIN_RATE)
    levels, steps = best_lag(thin_sentence.levels(), padded.levels())
    waveform, offset = _fine(thin_sentence.samples, padded.samples, round(steps * STEP * THIN_RATE))
    return Likeness(levels, waveform, offset / THIN_RATE - 0.3)


def best_lag(needle: Sequence[float], haystack: Sequence[float]) -> tuple[float, int]:
    """The highest Pearson correlation of `needle` with any window of `haystack`, and where."""
    size = len(needle)
    if size == 0 or len(haystack) < size:
        return 0.0, 0
    mean = sum(needle) / size
    centred = [value - mean for value in needle]
    norm = math.sqrt(sum(map(mul, centred, centred)))
    sums = [0.0, *accumulate(haystack)]
    squares = [0.0, *accumulate(map(mul, haystack, haystack))]
    best = (0.0, 0)
    for lag in range(len(haystack) - size + 1):
        spread = squares[lag + size] - squares[lag] - (sums[lag + size] - sums[lag]) ** 2 / size
        scale = norm * math.sqrt(max(spread, 0.0))
        if scale > 1e-6:
            # The needle is centred, so the window's own mean drops out of the product.
            best = max(best, (sum(map(mul, centred, haystack[lag : lag + size])) / scale, lag))
    return best


def _fine(sentence: Sequence[int], recording: Sequence[int], about: int) -> tuple[float, int]:
    """The best waveform correlation near the offset `about`, either polarity, and its offset."""
    norm = math.sqrt(sum(map(mul, sentence, sentence)))
    size = len(sentence)
    first = max(0, about - round(FINE_WINDOW * THIN_RATE))
    last = min(about + round(FINE_WINDOW * THIN_RATE), len(recording) - size)
    energy = sum(value * value for value in recording[first : first + size])
    best = (0.0, about)
    for offset in range(first, last + 1):
        if energy > 0:
            product = abs(sum(map(mul, sentence, recording[offset : offset + size])))
            best = max(best, (product / (norm * math.sqrt(energy)), offset))
        if offset < last:
            energy += recording[offset + size] ** 2 - recording[offset] ** 2
    return best


def _thin(sound: Sound) -> Sound:
    """The sound at 4 kHz by block averages."""
    if sound.rate % THIN_RATE:
        sound = sound.at(round(sound.rate / THIN_RATE) * THIN_RATE)
    ratio = sound.rate // THIN_RATE
    samples = sound.samples
    if ratio > 1:
        lanes = [samples[i::ratio] for i in range(ratio)]
        samples = array("h", (sum(block) // ratio for block in zip(*lanes, strict=False)))
    return Sound(samples.tobytes(), THIN_RATE)


def _dbfs(rms: float) -> float:
    return max(SILENT_DBFS, 20 * math.log10(rms / 32768)) if rms > 0 else SILENT_DBFS
