"""What a microphone hears that is no voice: seeded, 16 kHz, little-endian 16-bit."""

import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 16_000
Sound = NDArray[np.float64]

SCALE: Final = (261.6, 293.7, 329.6, 392.0, 440.0, 523.3)
CHORDS: Final = ((130.8, 164.8, 196.0), (110.0, 130.8, 164.8), (87.3, 110.0, 130.8), (98.0, 123.5, 146.8))


def pcm(sound: Sound, dbfs: float) -> bytes:
    """At this mean level."""
    power = float(np.sqrt(np.mean(np.square(sound)))) or 1.0
    scaled = sound / power * 10 ** (dbfs / 20) * 32768
    return bytes(np.clip(np.rint(scaled), -32768, 32767).astype("<i2").tobytes())


def mixed(first: bytes, second: bytes) -> bytes:
    """Two sounds at once, as long as the longer."""
    size = max(len(first), len(second))
    both = [np.frombuffer(part.ljust(size, b"\0"), dtype="<i2").astype(np.int32) for part in (first, second)]
    return bytes(np.clip(both[0] + both[1], -32768, 32767).astype("<i2").tobytes())


def silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * RATE))


def white(seconds: float, seed: int) -> Sound:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def coloured(seconds: float, seed: int, slope: float) -> Sound:
    """Noise whose power falls with the frequency: 1 for pink (rain, a fan), 2 for brown (traffic)."""
    spectrum = np.fft.rfft(white(seconds, seed))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (slope / 2)
    return np.fft.irfft(spectrum)


def hum(seconds: float, hz: float) -> Sound:
    """A mains transformer."""
    t = np.arange(int(seconds * RATE)) / RATE
    return sum((np.sin(2 * np.pi * hz * k * t) / k**1.5 for k in range(1, 12)), np.zeros_like(t))


def keyboard(seconds: float, seed: int) -> Sound:
    """Somebody types: two short bursts for each key, six keys a second."""
    dice = np.random.default_rng(seed)
    out = 0.001 * white(seconds, seed)
    at = 0.1
    while at < seconds - 0.2:
        for delay, loud in ((0.0, 1.0), (float(dice.uniform(0.06, 0.1)), 0.5)):
            size = int(float(dice.uniform(0.004, 0.012)) * RATE)
            start = int((at + delay) * RATE)
            burst = dice.standard_normal(size) * np.exp(-np.arange(size) / (size / 4)) * loud
            out[start : start + size] += burst * float(dice.uniform(0.5, 1.0))
        at += float(dice.exponential(0.12)) + 0.06
    return out


def music(seconds: float, seed: int) -> Sound:
    """A tune over chords, with something like drums."""
    dice = np.random.default_rng(seed)
    out = np.zeros(int(seconds * RATE))
    beat = float(dice.uniform(0.22, 0.32))
    for n in range(int(seconds / beat) - 3):
        start = int(n * beat * RATE)
        notes = [(float(dice.choice(SCALE)), 0.5, 2.0)]
        if n % 4 == 0:
            notes += [(hz, 0.35, 4.0) for hz in CHORDS[n // 4 % len(CHORDS)]]
        for hz, loud, beats in notes:
            t = np.arange(min(int(beats * beat * RATE), len(out) - start)) / RATE
            tone = sum((np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 7)), np.zeros_like(t))
            out[start : start + len(t)] += loud * tone * np.exp(-2.5 * t)
        size = int(0.05 * RATE)
        out[start : start + size] += 0.3 * dice.standard_normal(size) * np.exp(-np.arange(size) / (size / 5))
    return out


@functools.cache
def twenty(seconds: float = 3.0) -> dict[str, bytes]:
    """Twenty sounds in which nobody speaks, by what they are."""
    makers: dict[str, Callable[..., Any]] = {"keyboard": keyboard, "music": music, "white": white}
    sounds = {"silence": silence(seconds), "dither": pcm(white(seconds, 1), -85)}
    for name, maker in makers.items():
        for seed, loud in enumerate((-20, -28, -36, -44), start=2):
            sounds[f"{name} {loud} dBFS"] = pcm(maker(seconds, seed), loud)
    for loud in (-22, -34):
        sounds[f"pink {loud} dBFS"] = pcm(coloured(seconds, 7, 1.0), loud)
        sounds[f"brown {loud} dBFS"] = pcm(coloured(seconds, 8, 2.0), loud)
    sounds["hum 50 Hz"] = pcm(hum(seconds, 50.0), -30)
    sounds["hum 60 Hz"] = pcm(hum(seconds, 60.0), -24)
    return sounds
