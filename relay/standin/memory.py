"""What a session remembers, and the shelf where sessions wait to be resumed. Pure."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from relay.standin.wits.answer import Notes

MAX_HANDLES: Final = 10_000  # resumption handles kept; the oldest go first
HANDLE_LIFE_S: Final = 7200.0
TOKENS_PER_S: Final = 25  # of sound, either way
LETTERS_PER_TOKEN: Final = 4


@dataclass(slots=True)
class Memory:
    """What outlives a connection: where the script stands, how long the context is, and the local voice's notes."""

    next_line: int = 0
    greeted: bool = False
    connected: bool = False
    text_tokens: int = 0
    audio_tokens: int = 0
    notes: Notes | None = None  # what the local voice remembers of the user

    def add(self, text: str, audio_s: float = 0.0) -> None:
        """Counts a turn of either side into the context: its sound, or else its text."""
        if audio_s:
            self.audio_tokens += round(audio_s * TOKENS_PER_S)
        else:
            self.text_tokens += len(text) // LETTERS_PER_TOKEN + 1


class Shelf:
    """The sessions that can be resumed, by handle. A handle stays good after newer ones were given."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Memory]] = OrderedDict()

    def keep(self, handle: str, memory: Memory, now: float) -> None:
        self._kept[handle] = (now + HANDLE_LIFE_S, memory)
        while len(self._kept) > MAX_HANDLES:
            self._kept.popitem(last=False)

    def find(self, handle: str, now: float) -> Memory | None:
        expires, memory = self._kept.get(handle, (now - 1, None))
        return memory if now <= expires else None
