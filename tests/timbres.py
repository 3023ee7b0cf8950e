"""Voices that ask the questions: other ones than the local voice's own, so that it is not tested on itself.

They are synthetic, all three: made from recordings of an American woman, an American man and a Scotsman, by the
machine's `flite` (Debian package; voices under a free licence). They stand for other mouths, not for accents, children,
far microphones or noise; nobody should read a word error rate of people off them.
"""

import functools
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Final

RATE: Final = 16_000  # Hz
VOICES: Final = ("slt", "rms", "awb")

QUESTIONS: Final = (
    ("What is the capital of France?", "paris"),
    ("How much is seventeen times six?", "102"),
    ("My name is Anna.", "nice to meet you, anna"),
    ("What is my name?", "your name is anna"),
    ("Can you tell me what day it is today?", "sunday"),
    ("Count from one to five.", "one, two, three, four, five"),
    ("How do you spell necessary?", "n, e, c, e, s, s, a, r, y"),
    ("Tell me a joke.", "two tired"),
    ("I was wondering, um, what is two hundred and five minus fifty six?", "149"),
    ("What can you do?", "time and the date"),
)
"""What is asked, in this order, and what the answer must hold, in lower case; on a Sunday, with seed 0."""


@functools.lru_cache(maxsize=64)
def speak(text: str, voice: str = VOICES[0]) -> bytes:
    """`text` as 16-bit PCM at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "said.wav")
        subprocess.run(
            ["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, capture_output=True, timeout=30
        )
        with wave.open(str(path)) as sound:
            assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (RATE, 2, 1)
            return bytes(sound.readframes(sound.getnframes()))
