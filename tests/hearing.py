"""Read speech with its words, and calls in which our own voice comes back through the microphone."""

import re
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from relay.standin import ears, listening, voice
from relay.standin.vad import Vad
from tests import noises

RATE: Final = 16_000
LIBRIVOX: Final = Path("/usr/share/pocketsphinx/test/data/librivox")
PACKET: Final = RATE // 50 * 2  # bytes of 20 ms
SPELLED: Final = {"mr": "mister"}


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


def heard(vad: Vad, pcm: bytes) -> list[listening.Event]:
    """What is made of a call's whole sound, 20 ms at a time."""
    ear = listening.Listening(vad.probability)
    events = [event for at in range(0, len(pcm), PACKET) for event in ear.hear(pcm[at : at + PACKET])]
    return events + ear.finish()


def at_level(pcm: bytes, dbfs: float) -> bytes:
    """Speech whose loud parts have this level."""
    levels = ears.levels(pcm, RATE)
    loud = [10 ** (db / 10) for db in levels if db > max(levels) - 30]
    gain = 10 ** (dbfs / 20) / float(np.sqrt(np.mean(loud)))
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


def trimmed(pcm: bytes) -> bytes:
    return voice.trim(pcm, RATE)
