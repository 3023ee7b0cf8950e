"""What there is to fuzz, by name: each takes any bytes and raises if they do harm. `corpus/<name>/` has its bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz.callers import exchanged, stunned
from tests.fuzz.parsers import decoded, offered, redundant, rtcp, rtp
from tests.fuzz.pictures import developed, gathered
from tests.fuzz.sequences import called, gated
from tests.fuzz.words import answered

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "rtp": rtp,
    "red": redundant,
    "rtcp": rtcp,
    "opus": decoded,
    "sdp": offered,
    "stun": stunned,
    "exchange": exchanged,
    "gathered": gathered,
    "developed": developed,
    "gate": gated,
    "call": called,
    "words": answered,
}

CORPUS: Final = Path(__file__).parent / "corpus"


def corpus(name: str) -> list[Path]:
    """The files that are kept for a target: seeds, and whatever broke it once."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())
