"""One turn while it may still change, and of a reply of the model how much was heard. Pure: no clock."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from relay.pace import Pace
from relay.sentences import WORD, words
from relay.transcript import How, Role, ToolUse, Turn

MAX_TURN: Final = 20_000  # characters of one turn, twenty minutes of speech; what follows is another turn


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

    def told(self, opened: float) -> Turn:
        """As it stands in the transcript of a call that was opened then."""
        began, ended = (None if at is None else max(0.0, at - opened) for at in (self.began, self.ended))
        return Turn(self.role, self.shown(), self.how, began, ended, self.interrupted, self.tool, number=self.number)


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
        fresh = words(text, before)
        last = self.text[-1:]
        if fresh and self._words and WORD.fullmatch(last + text[:1]):
            self._words.pop()  # it goes on
        self._words.extend((len(self.text) + end, letter) for end, letter in fresh)
        self.text += text

    def fits(self, characters: int, silent: bool) -> bool:
        """Whether so many more can be part of it."""
        return not self.text or (len(self.text) + characters <= MAX_TURN and silent == (self.how is How.WRITTEN))

    @property
    def done(self) -> bool:
        """Nothing of it is to be heard any more."""
        return self.over and not self._words and (self._reached or self.end is None)

    def listen(self, pace: Pace) -> None:
        """The listener has moved on."""
        if self.end is not None and pace.position >= self.end:
            self._reached = True
            self.hear_out()
        while self._words and pace.reached(self._words[0][1]):
            self.heard = self._words.popleft()[0]

    def hear_out(self) -> None:
        """All of it was heard, or read."""
        self.heard = len(self.text)
        self._words.clear()

    def shown(self) -> str:
        return self.text[: self.heard].strip()


def retold(entries: Iterable[Entry]) -> list[tuple[str, str]]:
    """As a model is told: role, in its own words, and text; neighbours of one role are one."""
    joined: list[tuple[str, str]] = []
    for entry in entries:
        text, role = entry.shown(), "model" if entry.role is Role.MODEL else "user"
        if entry.role is Role.TOOL or not text:
            continue
        if joined and joined[-1][0] == role:
            joined[-1] = (role, f"{joined[-1][1]}\n{text}")
        else:
            joined.append((role, text))
    return joined
