"""What the stand-in sounds like: a soft hum shaped like speech, and the user's own words. Pure."""

import math
import sys
from array import array
from functools import lru_cache
from typing import Final

from relay.standin.ears import FRAME_MS, levels

RATE: Final = 24_000  # Hz
MAX_HUM_S: Final = 8.0
SYLLABLE_S: Final = 0.165
PAUSE_S: Final = 0.16  # at a comma; twice as long at a full stop
PEAK: Final = 5_200  # about -16 dBFS at the loudest sample: quiet beside a voice
TABLE: Final = 512  # points of one period of the voice
TAPS: Final = 8  # of the interpolator, for each output sample
# First and second formant in Hz of three vowels; their overtones make the hum sound like somebody.
VOWELS: Final = {"u": (320.0, 800.0), "o": (450.0, 900.0), "a": (700.0, 1200.0)}
NOTES: Final = (0, 4, 2, 5, 4, 7, 5, 2)  # semitones over the base, walked through syllable by syllable
BASE_HZ: Final = 196.0


def samples(pcm: bytes) -> "array[int]":
    """Little-endian 16-bit bytes as integers."""
    out = array("h", pcm)
    if sys.byteorder == "big":
        out.byteswap()
    return out


def to_bytes(values: list[float]) -> bytes:
    """Numbers as little-endian 16-bit bytes, clipped where they must be."""
    if values and (max(values) > 32767 or min(values) < -32768):
        values = [min(max(v, -32768.0), 32767.0) for v in values]
    out = array("h", map(int, values))
    if sys.byteorder == "big":
        out.byteswap()
    return out.tobytes()


def seconds(pcm: bytes, rate: int = RATE) -> float:
    return len(pcm) / 2 / rate


@lru_cache(maxsize=8)
def _period(vowel: str) -> list[float]:
    """One period of a voice that says `vowel` near the base pitch, peak 1."""
    strengths = []
    for k in range(1, 14):
        hz = k * BASE_HZ
        formants = sum(1 / (1 + ((hz - f) / 130) ** 2) for f in VOWELS[vowel])
        strengths.append((formants + (0.7 if k == 1 else 0.05)) / k**0.7)
    wave = [sum(a * math.sin(2 * math.pi * (k + 1) * i / TABLE) for k, a in enumerate(strengths)) for i in range(TABLE)]
    top = max(map(abs, wave))
    return [w / top for w in wave]


@lru_cache(maxsize=2)
def _envelopes(length: int) -> tuple[list[float], list[float]]:
    """How much of the closed and of the open mouth each sample of a syllable holds."""
    rise, fall = length // 6, length // 3
    shut, wide = [], []
    for i in range(length):
        opened = min(i / rise, 1.0) * (1 - 0.5 * i / length)
        loud = min(i / rise, 1.0, (length - i) / fall)
        strength = PEAK * loud * (2 - loud)
        shut.append(strength * (1 - opened))
        wide.append(strength * opened)
    return shut, wide


@lru_cache(maxsize=64)
def _syllable(note: int, asking: bool) -> bytes:
    """From a closed mouth to a vowel and half back, gliding in pitch; silent at both ends."""
    length = int(SYLLABLE_S * RATE)
    hz = BASE_HZ * 2 ** (NOTES[note] / 12)
    first, last = hz * 1.02, hz * (1.06 if asking else 0.97)
    pitch, glide = first * TABLE / RATE, (last - first) * TABLE / RATE / (2 * length)
    closed, opened = _period("u"), _period("aou"[note % 3])
    phases = [int(i * (pitch + glide * i)) % TABLE for i in range(length)]
    shut, wide = _envelopes(length)
    return to_bytes([a * closed[p] + b * opened[p] for a, b, p in zip(shut, wide, phases, strict=True)])


def hum(text: str, length_s: float | None = None) -> bytes:
    """A melody in the rhythm of `text`, 24 kHz: a syllable for every three letters, a pause at each stop.

    With `length_s` it is cut or repeated to that length. The same text always gives the same bytes.
    """
    most = int((MAX_HUM_S if length_s is None else length_s) * RATE) * 2
    out = bytearray()
    note = 0
    while len(out) < most:
        for word in text.split() or ["hm"]:
            for _ in range(max(1, round(len(word.strip(".,!?;:()")) / 3))):
                out += _syllable(note % len(NOTES), word.endswith("?"))
                note += 1
            if word[-1] in ".,!?;:":
                out += bytes(2 * int(PAUSE_S * RATE * (2 if word[-1] in ".!?" else 1)))
            if len(out) >= most:
                break
        if length_s is None:
            break
    return bytes(out) if len(out) <= most else _edges(samples(bytes(out[:most])).tolist())


@lru_cache(maxsize=8)
def tone(hz: float, length_s: float) -> bytes:
    """A plain sine, for scripts that want to find it again."""
    return _edges([PEAK * math.sin(2 * math.pi * hz * i / RATE) for i in range(int(length_s * RATE))])


def _edges(values: list[float] | list[int]) -> bytes:
    """Bytes with 5 ms of fade at both ends, so that nothing clicks."""
    fade = min(RATE // 200, len(values) // 2)
    values = list(map(float, values))
    for i in range(fade):
        values[i] *= i / fade
        values[-1 - i] *= i / fade
    return to_bytes(values)


@lru_cache(maxsize=16)
def _kernel(up: int, down: int) -> list[tuple[int, list[float]]]:
    """For each phase of the output: where in the input it starts, and its windowed-sinc weights."""
    scale = max(1.0, down / up)
    half = math.ceil(scale) * TAPS // 2  # whole groups of eight taps
    phases = []
    for phase in range(up):
        whole, part = divmod(phase * down, up)
        weights = []
        for k in range(-half + 1, half + 1):
            x = (k - part / up) / scale
            sinc = math.sin(math.pi * x) / (math.pi * x) if x else 1.0
            window = 0.5 + 0.5 * math.cos(math.pi * x / (TAPS / 2)) if abs(x) < TAPS / 2 else 0.0
            weights.append(sinc * window)
        total = sum(weights)
        phases.append((whole, [w / total if abs(w) > 1e-9 else 0.0 for w in weights]))
    return phases


def resample(pcm: bytes, rate: int, to: int = RATE) -> bytes:
    """`pcm` at another rate: eight taps of windowed sinc an output sample."""
    if rate == to or not pcm:
        return pcm
    common = math.gcd(rate, to)
    up, down = to // common, rate // common
    phases = _kernel(up, down)
    taps = len(phases[0][1])
    source = samples(pcm)
    count = len(source) * up // down
    padded = (
        [0.0] * (taps // 2 - 1) + [*map(float, source)] + [0.0] * (taps + down)
    )  # floats: twice as fast as integers
    out: list[float] = [0.0] * count
    for phase, (whole, weights) in enumerate(phases):
        size = len(range(phase, count, up))
        if weights[taps // 2 - 1] == 1.0:  # falls on an input sample
            out[phase::up] = padded[whole + taps // 2 - 1 :: down][:size]
            continue
        total: list[float] = []
        for k in range(0, taps, TAPS):
            a, b, c, d, e, f, g, h = weights[k : k + TAPS]
            slices = [padded[whole + n :: down] for n in range(k, k + TAPS)]
            part = [
                a * s + b * t + c * u + d * v + e * w + f * x + g * y + h * z
                for s, t, u, v, w, x, y, z in zip(*slices, strict=False)
            ]
            total = [m + n for m, n in zip(total, part, strict=False)] if total else part
        out[phase::up] = total[:size]
    return to_bytes(out)


def piece(pcm: bytes, rate: int, start: int, count: int) -> bytes:
    """`count` samples at 24 kHz from output sample `start`: the same bytes as in the whole, in a few milliseconds.

    `start` must be a multiple of what the rates reduce to, which `step` gives.
    """
    if rate == RATE:
        return pcm[2 * start : 2 * (start + count)]
    up = step(rate)
    down = rate * up // RATE
    begin = start // up * down
    margin = -(-2 * TAPS * max(1, down // up) // down) * down
    low = max(0, begin - margin)
    high = begin + -(-count * down // up) + margin
    offset = (begin - low) * up // down
    return resample(pcm[2 * low : 2 * high], rate)[2 * offset : 2 * (offset + count)]


def step(rate: int) -> int:
    """Output samples after which input and output fall together again."""
    return RATE // math.gcd(rate, RATE)


def trim(pcm: bytes, rate: int) -> bytes:
    """`pcm` without the silence before and after, 60 ms of margin kept; empty when there is nothing but silence."""
    lv = levels(pcm, rate)
    limit = max(max(lv, default=-120.0) - 32.0, -52.0)
    loud = [i for i, db in enumerate(lv) if db >= limit]
    if not loud:
        return b""
    size, margin = rate * 2 * FRAME_MS // 1000, 3
    return pcm[max(0, loud[0] - margin) * size : (loud[-1] + 1 + margin) * size]
