"""What is to be said to a browser: in order, until its end of the data channel has said that it came. Pure: no clock.

Who comes back on another connection gets what the last one did not acknowledge, and what was said meanwhile. A message
that came, and whose acknowledgement did not, comes twice.

What is kept is bounded. Interim words wait for nobody, for the final ones follow. Where there is too much, it is first
what only shows how far things are that goes (the model's text ahead of its voice, figures), and then the oldest of all
others: `dropped` counts them, and who comes back is told.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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

Send = Callable[[str, bool], bool]
"""a message, and whether it may be left out where the browser is slow; False if it did not go out"""


@dataclass(frozen=True, slots=True)
class _Letter:
    kind: str  # its type, or the name of what the relay tells of itself
    text: str = field(repr=False)
    spare: bool  # an interim one


class Outbox:
    """The outbox of one call: `send` while somebody is there, else `put`; `rewind` when the connection is lost."""

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
        """What waits goes out, then `messages`; what cannot go out now never will. First, how many were dropped."""
        if self.dropped:
            self._give(send, _letter(rtvi.relay_event("missed", messages=self.dropped)))
            self.dropped = 0
        while self._waiting:
            letter = self._waiting.popleft()
            self._characters -= len(letter.text)
            self._give(send, letter)
        for message in messages:
            self._give(send, _letter(message))

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

    def _give(self, send: Send, letter: _Letter) -> None:
        if send(letter.text, letter.spare):
            self._sent.append(letter)
            self._characters += len(letter.text)

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
