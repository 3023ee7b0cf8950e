"""What is to be said to a browser: in order, until its end of the data channel has said that it came. Pure: no clock.

Who comes back on another connection gets what the last one did not acknowledge or take, and what was said meanwhile. A
message that came, and whose acknowledgement did not, comes twice.

What is kept is bounded. Interim words wait for nobody, for the final ones follow. Where there is too much, it is first
what only shows how far things are that goes (the model's text ahead of its voice, figures), and then the oldest of all
others: `dropped` counts them, with those that are longer than the browser takes, and it is told how many.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from relay import rtvi

# A lively minute has some 100 messages without the interim ones; ten of nothing but speech 1,000, with 0.4 MB.
MAX_MESSAGES: Final = 2_000
MAX_CHARACTERS: Final = 500_000

LESSER: Final = frozenset(("bot-llm-text", "bot-tts-text", "user-llm-text", "metrics"))
# What a new client wants to have of what an older one did not get. The rest it is told in another form, or never asked.
# Of what the relay tells of itself not what was said before, nor what may hold no longer: it is told what still holds.
LASTING: Final = frozenset(
    (
        "error",
        "cost",
        "memory-shortened",
        "mic-dead",
        "missed",
        "slow-answer",
        "transcript-corrected",
        "bot-llm-search-response",
        "llm-function-call",
        "llm-function-call-started",
        "llm-function-call-in-progress",
        "llm-function-call-stopped",
    )
)


class Fate(Enum):
    """What became of a message that was to be sent."""

    SENT = "sent"
    LEFT_OUT = "left out"  # it may be, and the browser is slow
    TOO_LONG = "too long"  # for this browser
    NOBODY_THERE = "nobody there"  # any more, though that may not have been told yet


Send = Callable[[str, bool], Fate]
"""a message, and whether it may be left out where the browser is slow"""


@dataclass(frozen=True, slots=True)
class _Letter:
    kind: str  # its type, or the name of what the relay tells of itself
    text: str = field(repr=False)
    spare: bool  # an interim one


class Outbox:
    """The outbox of one call: `send` while somebody seems to be there, else `put`; `rewind` when it is lost."""

    def __init__(self) -> None:
        self._sent: deque[_Letter] = deque()  # not acknowledged, as far as is known
        self._waiting: deque[_Letter] = deque()
        self._characters = 0
        self.dropped = 0  # messages that nobody will ever get, and not yet told; interim ones not counted

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting)

    def put(self, messages: Sequence[rtvi.Message], *, first: bool = False) -> None:
        """What waits to be said, behind all that does or, if `first`, before it."""
        letters = [_letter(message) for message in messages if not rtvi.droppable(message)]
        self._characters += sum(len(letter.text) for letter in letters)
        if first:
            self._waiting.extendleft(reversed(letters))
        else:
            self._waiting.extend(letters)
        self._bound()

    def send(self, send: Send, messages: Sequence[rtvi.Message] = ()) -> None:
        """How many were dropped goes out, then what waits, then `messages`; what finds nobody there waits on."""
        self.put(self._refused(send, messages))

    def acknowledged(self, *, but: int) -> None:
        """All that was sent came, but for the last so many messages."""
        while len(self._sent) > but:
            self._characters -= len(self._sent.popleft().text)

    def rewind(self) -> None:
        """The connection is lost, and what may be lost with it is to be said again."""
        self._waiting.extendleft(letter for letter in reversed(self._sent) if not letter.spare)
        self._characters -= sum(len(letter.text) for letter in self._sent if letter.spare)
        self._sent.clear()
        self._bound()

    def begin_anew(self) -> None:
        """Who comes next is another client, which is told of the conversation so far in another form."""
        self.rewind()
        self._forget(lambda letter: letter.kind not in LASTING)

    def _refused(self, send: Send, messages: Sequence[rtvi.Message]) -> Sequence[rtvi.Message]:
        """Send in order until nobody is there; which of these messages that leaves."""
        told, self.dropped = self.dropped, 0
        if told and not self._give(send, _letter(rtvi.relay_event("missed", messages=told))):
            self.dropped = told
            return messages
        while self._waiting:
            if not self._give(send, self._waiting[0]):
                return messages
            self._characters -= len(self._waiting.popleft().text)
        for n, message in enumerate(messages):
            if not self._give(send, _letter(message)):
                return messages[n:]
        return ()

    def _give(self, send: Send, letter: _Letter) -> bool:
        """Whether somebody was there to take it."""
        match send(letter.text, letter.spare):
            case Fate.NOBODY_THERE:
                return False
            case Fate.SENT:
                self._sent.append(letter)
                self._characters += len(letter.text)
            case Fate.TOO_LONG if not letter.spare:
                self.dropped += 1
        return True

    def _bound(self) -> None:
        if self._full:
            self._forget(lambda letter: letter.kind in LESSER)
        while self._full:
            self._characters -= len(self._waiting.popleft().text)
            self.dropped += 1

    @property
    def _full(self) -> bool:
        return bool(self._waiting) and (len(self) > MAX_MESSAGES or self._characters > MAX_CHARACTERS)

    def _forget(self, which: Callable[[_Letter], bool]) -> None:
        self._characters -= sum(len(letter.text) for letter in self._waiting if which(letter))
        self._waiting = deque(letter for letter in self._waiting if not which(letter))


def _letter(message: rtvi.Message) -> _Letter:
    kind = message["data"]["event"] if message["type"] == "server-message" else message["type"]
    return _Letter(kind, rtvi.encode(message), rtvi.droppable(message))
