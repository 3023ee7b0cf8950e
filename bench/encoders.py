"""`python -m bench.encoders`: which settings of libopus's encoder are worth their time on the way down?

Speech at the model's 24 kHz is encoded and decoded again with each of them: PESQ (wideband) against the original, and
the time per frame of 20 ms, the least of several passes. The relay's default follows from this table.
"""

import argparse
import ctypes
import importlib
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from bench import material, opus
from bench.opus import FRAME, Setting
from bench.quality import judge
from relay.audio.opus import BITRATE, COMPLEXITY
from relay.audio.packet import DECODED_RATE, ENCODED_RATE, MAX_PAYLOAD_BYTES
from tests.sound import Sound

APPLICATIONS: Final = ("audio", "voip", "restricted_lowdelay")
BIT_RATES: Final = (24_000, 32_000, 40_000, 48_000, 64_000, 80_000, 96_000)
COMPLEXITIES: Final = tuple(range(11))
SPEECH: Final = ("librivox", "espeak")
PASSES: Final = 7
WORTH: Final = 0.05  # PESQ; nobody hears less


@dataclass(frozen=True, slots=True)
class Found:
    """One setting's worth and cost."""

    application: str
    bit_rate: int
    complexity: int
    pesq: float  # mean over the speech
    microseconds: float  # per frame
    kilobits: float  # per second, as it came out

    @property
    def is_default(self) -> bool:
        return (self.application, self.bit_rate, self.complexity) == ("audio", BITRATE, COMPLEXITY)


def speech(name: str, rate: int) -> Sound:
    sound: Sound = getattr(material, name)(rate)
    return sound


def measure(setting: Setting) -> Found:
    """Worth and cost of one setting."""
    scores, costs, rates = [], [], []
    for name in SPEECH:
        sound = speech(name, ENCODED_RATE)
        packets = opus.encode(sound, setting)
        lag = 2 * round(opus.encoder(setting, ENCODED_RATE).lookahead * DECODED_RATE / ENCODED_RATE)
        heard = opus.decode(packets, DECODED_RATE).pcm[lag:]
        original = speech(name, DECODED_RATE).pcm
        size = min(len(original), len(heard))
        scores.append(judge(Sound(original[:size], DECODED_RATE), Sound(heard[:size], DECODED_RATE))[0])
        costs.append(min(_pass(name, setting) for _ in range(PASSES)))
        rates.append(8 * sum(map(len, packets)) / (len(packets) * FRAME) / 1000)
    return Found(
        setting.application,
        setting.bit_rate,
        setting.complexity,
        *(round(statistics.mean(figures), 2) for figures in (scores, costs, rates)),
    )


@cache
def _frames(name: str) -> list[Any]:
    """The speech in frames that libopus can be pointed at."""
    pcm, size = speech(name, ENCODED_RATE).pcm, round(FRAME * ENCODED_RATE)
    kind = ctypes.c_int16 * size
    return [kind.from_buffer_copy(pcm, at) for at in range(0, len(pcm) - 2 * size + 1, 2 * size)]


def _pass(name: str, setting: Setting) -> float:
    """Microseconds per frame of one pass over the speech, most of it in libopus."""
    made, size, packet = (
        opus.encoder(setting, ENCODED_RATE),
        round(FRAME * ENCODED_RATE),
        (ctypes.c_char * MAX_PAYLOAD_BYTES)(),
    )
    encode = importlib.import_module("opuslib_next.api.encoder").libopus_encode
    state, frames = made.encoder_state, _frames(name)
    began = time.thread_time_ns()
    for frame in frames:
        encode(state, frame, size, packet, MAX_PAYLOAD_BYTES)
    return (time.thread_time_ns() - began) / 1000 / len(frames)


def worthwhile(found: Sequence[Found]) -> list[Found]:
    """Those that sound clearly better than everything cheaper; the cheapest first."""
    best: list[Found] = []
    for one in sorted(found, key=lambda each: each.microseconds):
        if not best or one.pesq > best[-1].pesq + WORTH:
            best.append(one)
    return best


def table(found: Sequence[Found]) -> str:
    """A block for each application: complexity down, rate across, in each cell PESQ and microseconds."""
    lines = []
    for application in dict.fromkeys(one.application for one in found):
        cells = {(one.complexity, one.bit_rate): one for one in found if one.application == application}
        rates = sorted({rate for _, rate in cells})
        lines += ["", application.upper(), "effort " + "".join(f"{rate // 1000:>9} kb/s" for rate in rates)]
        for effort in sorted({effort for effort, _ in cells}):
            row = (cells[effort, rate] for rate in rates)
            lines.append(f"{effort:>6} " + "".join(f"{one.pesq:>7.2f} {one.microseconds:>3.0f} µs" for one in row))
    lines += ["", f"Each better by {WORTH:g} than everything cheaper:"]
    lines += [line(one) for one in worthwhile(found)]
    lines += ["The relay's default:", *(line(one) for one in found if one.is_default)]
    return "\n".join(lines)


def line(one: Found) -> str:
    name = f"{one.application} {one.bit_rate // 1000} kb/s, effort {one.complexity}"
    return f"  {name:42} PESQ {one.pesq:.2f}  {one.microseconds:5.1f} µs  {one.kilobits:5.1f} kb/s"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.encoders", description="Judge settings of the Opus encoder.")
    parser.add_argument("--quick", action="store_true", help="three efforts and four rates")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    efforts, rates = ((0, 5, 10), (32_000, 48_000, 64_000, 96_000)) if options.quick else (COMPLEXITIES, BIT_RATES)
    settings = [Setting(app, rate, effort) for app in APPLICATIONS for effort in efforts for rate in rates]
    try:
        for name in SPEECH:
            speech(name, ENCODED_RATE)
    except material.NoMaterial as missing:
        print(missing, file=sys.stderr)
        return 2
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0)), mp_context=context) as pool:
        found = list(pool.map(measure, settings, chunksize=4))
    print(table(found))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
