"""The local voice's models, one set for all calls: voice activity, recogniser, speaker."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay.standin import weights as kept

if TYPE_CHECKING:
    from relay.standin.recognizer import Recognizer
    from relay.standin.speaker import Speaker
    from relay.standin.vad import Vad

HOW: Final = "`make run ARGS='--model local'` fetches it"


class Missing(Exception):
    """The text is one sentence: what is missing, and how to get it."""


@dataclass(frozen=True, slots=True)
class Models:
    """`vad()` makes one for each call; the others are asked by all calls, from threads."""

    vad: "Callable[[], Vad]"
    recognizer: "Recognizer"
    voice: "Speaker"


def load(weights: Path | None = None) -> Models:
    """Takes a second or two, on two cores: call it in a thread. Raises `Missing`; never fetches anything.

    `weights`: a folder with files of these names instead of what was fetched: `relay/standin/weights.py` lists them.
    """
    try:
        from relay.standin import recognizer, vad
    except ImportError as error:
        raise Missing(_package(error)) from None
    try:
        from relay.standin.speaker import NoVoice, Speaker
    except ImportError as error:
        raise Missing(_package(error)) from None
    folder = kept.directory() if weights is None else weights
    lacking = next((name for name in kept.FILES if not (folder / name).is_file()), None)
    if lacking and weights is None:
        raise Missing(f"The local voice lacks the weights of its ears; {HOW}.")
    if lacking:
        raise Missing(f"--local-weights names a folder without {lacking}; it wants {', '.join(kept.FILES)}.")
    try:
        with ThreadPoolExecutor(1) as meanwhile:
            ears = meanwhile.submit(lambda: (vad.load(folder / "vad.onnx"), recognizer.Recognizer(folder)))
            voice = Speaker(weights)
            try:
                return Models(*ears.result(), voice)
            except BaseException:
                voice.close()
                raise
    except NoVoice as error:
        raise Missing(f"{error}.") from None
    except Exception as error:  # onnxruntime's own exceptions share no class
        raise Missing(f"The local voice cannot read its weights in {folder} ({type(error).__name__}); {HOW}.") from None


def _package(error: ImportError) -> str:
    name = (error.name or "a package").partition(".")[0]
    return f"The local voice lacks the package {name}; {HOW}, or pip install -e '.[local]'."
