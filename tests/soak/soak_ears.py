"""Eighty interruptions of our answers, and ten minutes of speech.

`make soak ARGS="-k ears -s"` prints what was measured.
"""

import itertools
import statistics
from collections.abc import Callable
from typing import Final

import pytest

from relay.standin import vad, weights
from relay.standin.listening import MAX_PIECE_S, RATE, End, Listening, Partial, Piece
from relay.standin.recognizer import Recognizer
from relay.standin.vad import Vad
from tests import hearing

INTERRUPTIONS: Final = 40  # at each level
LEVELS: Final = (-20.0, -30.0)
MAX_MEDIAN_S: Final = 0.25
MAX_GROWTH_MB: Final = 120.0
MINUTES: Final = 10


@pytest.fixture(scope="module")
def new_vad() -> Callable[[], Vad]:
    return vad.load(weights.directory() / "vad.onnx")


@pytest.mark.parametrize("dbfs", LEVELS)
def test_a_voice_interrupts_us_soon(dbfs: float, new_vad: Callable[[], Vad]) -> None:
    delays = sorted(hearing.interruptions(new_vad, dbfs, INTERRUPTIONS))
    median, most = statistics.median(delays), delays[int(0.9 * len(delays))]
    print(f"\ninterruption at {dbfs:.0f} dBFS: p50 {1000 * median:.0f} ms, p90 {1000 * most:.0f} ms")
    assert median <= MAX_MEDIAN_S


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def test_ten_minutes_without_a_pause_are_heard_within_bounds(new_vad: Callable[[], Vad]) -> None:
    recognizer = Recognizer(weights.directory())
    spoken = itertools.cycle([hearing.trimmed(pcm) for _, pcm in hearing.librivox()])
    recognizer.text(bytes(int(MAX_PIECE_S * 2 * RATE)))
    ear = Listening(new_vad().probability)
    before, most, seconds, words = _resident_mb(), 0.0, 0.0, 0
    while seconds < MINUTES * 60:
        pcm = next(spoken)
        seconds += len(pcm) / 2 / RATE
        for event in ear.hear(pcm):
            if isinstance(event, Partial | Piece | End):
                assert len(event.pcm) <= (MAX_PIECE_S + 0.1) * 2 * RATE
            if isinstance(event, Piece | End):
                words += len(recognizer.text(event.pcm).split())
        most = max(most, _resident_mb() - before)
    print(f"\n{seconds:.0f} s, {words} words, {most:.0f} MB more at most")
    assert words > seconds * 2
    assert most <= MAX_GROWTH_MB
