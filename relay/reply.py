"""One turn while it may still change, and of a reply of the model how much was heard. Pure: no clock."""

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from relay.sentences import letters
from relay.spoken import Pace
from relay.transcript import How, Role, ToolUse

MAX_TURN: Final = 20_000  # characters of one turn, twenty minutes of speech; what follows is another turn

# Words, as a listener may have heard one and not the next: signs that stand for syllables have no spaces between.
_WORD: Final = re.compile("[\u2e80-\U0010ffff]|[^\\s\u2e80-\U0010ffff]+")
_SIGNS: Final = "\u2e80"


@dataclass(slots=True, eq=False)
class Entry:
    """A turn that may still change; times are monotonic seconds."""

    number: int
    role: Role
    how: How
    text: str = field(default="", repr=False)
    began: float | None = None
    ended: float | None = None
    interrupted: bool = False
    tool: ToolUse | None = None
    size: int = 0  # characters that count towards the limit

    def shown(self) -> str:
        """What was said and heard of it."""
        return self.text.strip()


@dataclass(slots=True, eq=False)
class Reply(Entry):
    """The model's. `text` is what it said, of which the first `heard` characters were."""

    begin: int = 0  # where its sound begins,
    end: int | None = None  # and where it ended, if that is known
    over: bool = False  # no more of it comes
    heard: int = 0
    _reached: bool = False  # the listener is at its end
    _words: deque[tuple[int, int]] = field(default_factory=deque)  # unheard: their ends, in characters and in letters

    def add(self, text: str, before: int) -> None:
        """More of it, before which the model has said so many letters."""
        at, said = len(self.text), before
        inside = bool(self.text) and not self.text[-1].isspace() and self.text[-1] < _SIGNS
        for number, word in enumerate(_WORD.finditer(text)):
            said += letters(word[0])
            if number == 0 and word.start() == 0 and inside and word[0] < _SIGNS and self._words:
                self._words.pop()  # it goes on
            self._words.append((at + word.end(), said))
        self.text += text

    def fits(self, characters: int, silent: bool) -> bool:
        """Whether so many more can be part of it."""
        return not self.text or (len(self.text) + characters <= MAX_TURN and silent == (self.how is How.WRITTEN))

    @property
    def done(self) -> bool:
        """Nothing of it is to be heard any more."""
        return self.over and not self._words and (self._reached or self.end is None)

    def listen(self, pace: Pace, position: int) -> None:
        """The listener is at `position`."""
        if self.end is not None and position >= self.end:
            self._reached = True
            self.hear_out()
        while self._words:
            end, letter = self._words[0]
            if pace.passed(letter) > position or (letter >= pace.letters and not pace.known(letter)):
                return
            self.heard = end
            self._words.popleft()

    def hear_out(self) -> None:
        """All of it was heard, or read."""
        self.heard = len(self.text)
        self._words.clear()

    def shown(self) -> str:
        return self.text[: self.heard].strip()
