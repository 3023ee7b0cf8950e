"""Speech to judge quality by, named and the same on every machine that has Debian's packages.

- `librivox`: five sentences of Jane Austen's "Sense and Sensibility", read by a person for LibriVox (public domain),
  24.7 s at 16 kHz, as Debian's package pocketsphinx-testdata brings them.
- `espeak`: four voices of Debian's espeak-ng, two Harvard sentences each, made when they are needed.
"""

import io
import subprocess
import wave
from functools import cache
from pathlib import Path
from typing import Final

import av

from tests.sound import Sound, read_wav, silence

LIBRIVOX: Final = Path("/usr/share/pocketsphinx/test/data/librivox")
LIBRIVOX_NAME: Final = "five sentences of “Sense and Sensibility” that a person reads for LibriVox, 25 s"
PAUSE: Final = 0.3  # seconds between sentences
VOICES: Final = ("en-us+m3", "en-gb+f2", "en-gb-scotland", "en-us+f4")
TEXT: Final = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls. The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck. Four hours of steady work faced us.",
)


class NoMaterial(Exception):
    """The speech is not on this machine; the text says how it comes there."""


@cache
def librivox(rate: int) -> Sound:
    """A person reads. Raises `NoMaterial`."""
    files = sorted(LIBRIVOX.glob("*.wav"))
    if not files:
        raise NoMaterial("the speech is missing: apt-get install pocketsphinx-testdata")
    return _joined([read_wav(file) for file in files], rate)


@cache
def espeak(rate: int) -> Sound:
    """Four synthetic voices. Raises `NoMaterial`."""
    return _joined([_spoken(voice, text) for voice, text in zip(VOICES, TEXT, strict=True)], rate)


def _joined(sentences: list[Sound], rate: int) -> Sound:
    pause = silence(PAUSE, rate).pcm
    return Sound(pause.join(resampled(sentence, rate).pcm for sentence in sentences), rate)


def _spoken(voice: str, text: str) -> Sound:
    command = ["espeak-ng", "-v", voice, "-s", "150", "--stdout", text]
    try:
        spoken = subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise NoMaterial("the speech is missing: apt-get install espeak-ng") from None
    with wave.open(io.BytesIO(spoken)) as file:  # its header claims an endless file
        return Sound(file.readframes(len(spoken)), file.getframerate())


def resampled(sound: Sound, rate: int) -> Sound:
    """The same sound at another rate, band-limited as it should be."""
    if sound.rate == rate:
        return sound
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(sound.pcm) // 2)
    frame.planes[0].update(sound.pcm)
    frame.sample_rate = sound.rate
    through = av.AudioResampler(format="s16", layout="mono", rate=rate)
    return Sound(
        b"".join(bytes(f.planes[0])[: 2 * f.samples] for f in (*through.resample(frame), *through.resample(None))), rate
    )
