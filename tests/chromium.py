"""The Chromium of the tests: which one, how it is started, and what its microphone hears."""

import os
import shutil
import wave
from pathlib import Path
from typing import Final

SENTENCE: Final = Path(__file__).parent / "sounds" / "weather.wav"
"""“What is the weather like today?”, 16 kHz mono, a second of silence before and after."""

PAUSE_SECONDS: Final = 4.0
"""What its microphone waits before it says the sentence again: long enough for an answer in between."""

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

_FLAGS: Final = (
    "--use-fake-ui-for-media-stream",  # nobody is there to press Allow
    "--use-fake-device-for-media-stream=device-count=2",  # cameras; there are always two microphones or more
    "--autoplay-policy=user-gesture-required",  # as strict as the browsers that people have
    "--allow-loopback-in-peer-connection",  # where loopback is the only interface, there are no candidates otherwise
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

UNWANTED: Final = ("--mute-audio",)
"""What Playwright would add by default; the tests listen."""


def executable() -> str:
    """The program of this machine."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "no Chromium on this machine: `make test` would have installed it"
    return found


def flags(microphone: Path) -> list[str]:
    """How it is started."""
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [*_FLAGS, f"--use-file-for-fake-audio-capture={microphone}", *sandbox]


def record_microphone(path: Path) -> None:
    """Write the file that it hears: the sentence, then `PAUSE_SECONDS` of silence, over and over."""
    with wave.open(str(SENTENCE)) as sentence, wave.open(str(path), "wb") as looped:
        looped.setparams(sentence.getparams())
        looped.writeframes(sentence.readframes(sentence.getnframes()))
        looped.writeframes(bytes(2 * int(PAUSE_SECONDS * sentence.getframerate())))
