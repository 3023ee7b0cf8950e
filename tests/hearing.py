"""Read speech with its words, and calls in which our own voice comes back through the microphone."""

import functools
import random
import re
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from relay.standin import ears, listening, voice
from relay.standin.recognizer import Recognizer
from relay.standin.speaker import Speaker
from relay.standin.vad import Vad
from tests import noises

RATE: Final = 16_000
LIBRIVOX: Final = Path("/usr/share/pocketsphinx/test/data/librivox")
PACKET: Final = RATE // 50 * 2  # bytes of 20 ms
SPELLED: Final = {"mr": "mister"}

ECHO_DBFS: Final = -45.0  # what a browser's echo cancellation leaves of our own voice
ECHOES: Final = 40  # of our answers, that nobody speaks into
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


def librivox() -> Iterator[tuple[str, bytes]]:
    """Sentences of Jane Austen's that a person reads, each with its words."""
    for line in (LIBRIVOX / "transcription").read_text().splitlines():
        said = re.fullmatch(r"<s> (.*) </s> \((.*)\)", line)
        assert said
        with wave.open(str(LIBRIVOX / f"{said[2]}.wav")) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            yield said[1], file.readframes(file.getnframes())


def words(text: str) -> list[str]:
    return [SPELLED.get(word, word) for word in re.findall(r"[a-z']+", text.lower())]


def errors(said: list[str], heard: list[str]) -> int:
    """Words that are wrong, missing or too many."""
    row = list(range(len(heard) + 1))
    for n, word in enumerate(said, 1):
        above, row = row, [n]
        for m, other in enumerate(heard, 1):
            row.append(min(above[m] + 1, row[-1] + 1, above[m - 1] + (word != other)))
    return row[-1]


def word_errors(recognizer: Recognizer) -> tuple[int, int]:
    """Words of LibriVox that the ears get wrong, and how many there are."""
    wrong = total = 0
    for text, pcm in librivox():
        said = words(text)
        wrong += errors(said, words(recognizer.text(pcm)))
        total += len(said)
    return wrong, total


def heard(vad: Vad, pcm: bytes) -> list[listening.Event]:
    """What is made of a call's whole sound, 20 ms at a time."""
    ear = listening.Listening(vad.probability)
    events = [event for at in range(0, len(pcm), PACKET) for event in ear.hear(pcm[at : at + PACKET])]
    return events + ear.finish()


def loudness(pcm: bytes, rate: int = RATE) -> float:
    """The level of speech, dBFS: of its loud parts."""
    levels = ears.levels(pcm, rate)
    return 10 * float(np.log10(np.mean([10 ** (db / 10) for db in levels if db > max(levels) - 30])))


def at_level(pcm: bytes, dbfs: float) -> bytes:
    """Speech whose loud parts have this level."""
    gain = 10 ** ((dbfs - loudness(pcm)) / 20)
    scaled = np.frombuffer(pcm, dtype="<i2") * gain
    return bytes(np.clip(np.rint(scaled), -32768, 32767).astype("<i2").tobytes())


@dataclass(frozen=True, slots=True)
class Interruption:
    """When the user began, and when we noticed somebody; seconds."""

    began: float | None
    noticed: list[float]

    @property
    def delay(self) -> float:
        """How long the user was not noticed; endless if he never was."""
        began = self.began or 0.0
        return next((at - began for at in self.noticed if at >= began - 0.05), float("inf"))


def interrupted(
    vad: Vad, ours: bytes, echo_dbfs: float, user: bytes = b"", begins: float = 1.0, seed: int = 0
) -> Interruption:
    """We say `ours` from one second on, the user breaks in `begins` seconds later; 16 kHz, -60 dBFS of noise."""
    dice = np.random.default_rng(seed)
    silence = noises.silence(1.0)
    back = noises.silence(1.0 + float(dice.uniform(0.08, 0.25))) + at_level(ours, echo_dbfs)
    said = noises.silence(1.0 + begins) + user if user else b""
    room = noises.pcm(noises.white(max(len(back), len(said)) / 2 / RATE + 1.0, seed), -60)
    microphone = noises.mixed(noises.mixed(room, back), said)
    mouth = ears.Mouth()
    mouth.play(len(silence) / 2 / RATE, ears.levels(ours, RATE))
    ear = listening.Listening(vad.probability)
    noticed = []
    for at in range(0, len(microphone), PACKET):
        events = ear.hear(microphone[at : at + PACKET], mouth.level(at / 2 / RATE))
        noticed += [ear.at for event in events if isinstance(event, listening.Onset)]
    if not user:
        return Interruption(None, noticed)
    levels = ears.levels(user, RATE)
    first = next(n for n, db in enumerate(levels) if db > max(levels) - 20)
    return Interruption(1.0 + begins + first * ears.FRAME_MS / 1000, noticed)


@functools.cache
def answers() -> tuple[bytes, ...]:
    """What we say, in our own voice, at 16 kHz."""
    speaker = Speaker(None)
    try:
        return tuple(voice.resample(b"".join(speaker.sentences(text)), voice.RATE, RATE) for text in ANSWERS)
    finally:
        speaker.close()


def mistaken_echoes(new_vad: Callable[[], Vad]) -> list[int]:
    """Which of `ECHOES` answers of ours, said to nobody, were interrupted by what came back of them."""
    ours = answers()
    return [
        seed for seed in range(ECHOES) if interrupted(new_vad(), ours[seed % len(ours)], ECHO_DBFS, seed=seed).noticed
    ]


def interruptions(new_vad: Callable[[], Vad], dbfs: float, count: int) -> list[float]:
    """How long each of so many readers at this level spoke into an answer of ours before it was noticed, seconds."""
    ours, users = answers(), [at_level(trimmed(pcm), dbfs) for _, pcm in librivox()]
    return [
        interrupted(
            new_vad(), ours[seed % len(ours)], ECHO_DBFS, users[seed % len(users)],
            random.Random(seed).uniform(0.8, 2.0), seed,
        ).delay
        for seed in range(count)
    ]  # fmt: skip


def trimmed(pcm: bytes) -> bytes:
    return voice.trim(pcm, RATE)
