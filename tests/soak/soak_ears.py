"""Forty of our answers whose echo nobody may take for a voice, eighty interruptions, and ten minutes of speech.

`make soak ARGS="-k ears -s"` prints what was measured.
"""

import itertools
import random
import statistics
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from relay.standin import vad, voice, weights
from relay.standin.listening import MAX_PIECE_S, RATE, End, Listening, Partial, Piece
from relay.standin.recognizer import Recognizer
from relay.standin.speaker import Speaker
from relay.standin.vad import Vad
from tests import hearing

ECHOES: Final = 40
INTERRUPTIONS: Final = 40  # at each level
LEVELS: Final = (-20.0, -30.0)
ECHO_DBFS: Final = -45.0
MAX_MEDIAN_S: Final = 0.25
MAX_GROWTH_MB: Final = 120.0
MINUTES: Final = 10
ANSWERS: Final = (
    "The capital of France is Paris, and I like to say so at some length.",
    "It is a quarter past nine in the morning, and the sun is shining on the hills.",
    "I heard you say something about the weather. I am a small local voice and cannot look outside.",
    "Why did the scarecrow win a prize? Because he was outstanding in his field.",
    "One, two, three, four, five, six, seven, eight, nine, ten.",
    "Nice to meet you, Anna. I will remember your name for this call.",
    "Goodbye, and thank you for talking to me today, and yesterday, and before that.",
    "I can tell the time, do sums, count, spell, and repeat after you.",
)


@pytest.fixture(scope="module")
def answers() -> Iterator[list[bytes]]:
    speaker = Speaker(None)
    yield [voice.resample(b"".join(speaker.sentences(text)), voice.RATE, RATE) for text in ANSWERS]
    speaker.close()


@pytest.fixture(scope="module")
def new_vad() -> Callable[[], Vad]:
    return vad.load(weights.directory() / "vad.onnx")


def test_our_own_echo_never_interrupts_us(answers: list[bytes], new_vad: Callable[[], Vad]) -> None:
    false = [
        seed
        for seed in range(ECHOES)
        if hearing.interrupted(new_vad(), answers[seed % len(answers)], ECHO_DBFS, seed=seed).noticed
    ]
    assert not false


@pytest.mark.parametrize("dbfs", LEVELS)
def test_a_voice_interrupts_us_soon(dbfs: float, answers: list[bytes], new_vad: Callable[[], Vad]) -> None:
    users = [hearing.at_level(hearing.trimmed(pcm), dbfs) for _, pcm in hearing.librivox()]
    delays = []
    for seed in range(INTERRUPTIONS):
        ours, user = answers[seed % len(answers)], users[seed % len(users)]
        begins = random.Random(seed).uniform(0.8, 2.0)
        delays.append(hearing.interrupted(new_vad(), ours, ECHO_DBFS, user, begins, seed).delay)
    delays.sort()
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
