"""What the model has not heard, or heard in vain: what waits for a connection, and what was asked and not answered.

Pure. Sound is PCM16 mono at 16 kHz, in the uplink's pieces of `PIECE_SECONDS`; words are messages of `protocol`. The
order in which things were said is kept.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay.gemini.protocol import Kind, Message

PIECE_SECONDS: Final = 0.020  # of sound; the last one before a pause is shorter
WAITING_SECONDS: Final = 5.0  # sound that waits for a connection; the oldest is dropped
QUESTION_SECONDS: Final = 15.0  # sound of a question, kept until it is answered; then its beginning is lost
LEAD_SECONDS: Final = 0.3  # sound from before an onset: a word begins more quietly than it is noticed
LATELY_SECONDS: Final = 1.0  # sound that is kept in case a question began in it
MAX_WORDS: Final = 20  # messages that somebody wrote, and that wait; more are refused
# Messages that wait and must not be lost: what functions returned, where the user's turns begin and end. A call has 32
# functions at a time, and a client that floods us for all of an outage of 30 s begins and ends fewer turns.
MAX_OWED: Final = 1000
MAX_NOTES: Final = 20  # messages to be remembered, and pictures; the oldest are dropped
MAX_WORDS_BYTES: Final = 1024 * 1024  # of what somebody wrote, or of notes, in all

_WAITING_PIECES: Final = round(WAITING_SECONDS / PIECE_SECONDS)
_QUESTION_PIECES: Final = round(QUESTION_SECONDS / PIECE_SECONDS)
_LATELY_PIECES: Final = round(LATELY_SECONDS / PIECE_SECONDS)


@dataclass(frozen=True, slots=True)
class Words:
    """A message. `instead` is what another connection is told: a function's answer is for who asked for it.

    `mark` is the history's length before these words. The model is `owed` what it waits for, and that a
    function was called off.
    """

    message: Message
    instead: Message | None = None
    mark: int = 0
    owed: bool = False

    @property
    def kind(self) -> Kind:
        """What they are to the model."""
        return self.message.kind

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.message.data)

    @property
    def elsewhere(self) -> "Words":
        """The same for another connection."""
        return Words(self.instead, mark=self.mark, owed=self.owed) if self.instead is not None else self


Item = bytes | Words


class Waiting:
    """What is said while nobody listens, in order. `dropped` counts pieces of sound."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._words = self._words_bytes = self._owed = 0
        self.pieces = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def next(self) -> Item:
        """What has waited longest."""
        return self._items[0]

    @property
    def asks(self) -> bool:
        """Whether there are words that are to be answered."""
        return any(isinstance(item, Words) and item.kind.asks for item in self._items)

    @property
    def mark(self) -> int | None:
        """Where the history stood when the first of the words were said; None if there are none."""
        return min((item.mark for item in self._items if isinstance(item, Words)), default=None)

    def add_sound(self, pcm: bytes) -> None:
        """Keep it, in the place of the oldest if there is too much."""
        self._items.append(pcm)
        self.pieces += 1
        if self.pieces > _WAITING_PIECES:
            oldest = next(at for at, item in enumerate(self._items) if isinstance(item, bytes))
            del self._items[oldest]
            self.pieces -= 1
            self.dropped += 1

    def add(self, words: Words) -> bool:
        """Keep them; False if there are too many already. What the model is owed takes no room from what is written."""
        if _is_owed(words):
            if self._owed == MAX_OWED:
                return False
        elif self._words == MAX_WORDS or self._words_bytes + words.size > MAX_WORDS_BYTES:
            return False
        self._items.append(words)
        self._count(words, 1)
        return True

    def take(self) -> Item:
        """The `next` one, which waits no more."""
        item = self._items.popleft()
        if isinstance(item, Words):
            self._count(item, -1)
        else:
            self.pieces -= 1
        return item

    def turn_elsewhere(self) -> None:
        """It will be another connection that hears it."""
        self._items = deque(item.elsewhere if isinstance(item, Words) else item for item in self._items)

    def _count(self, words: Words, by: int) -> None:
        if _is_owed(words):
            self._owed += by
        else:
            self._words += by
            self._words_bytes += by * words.size


def _is_owed(words: Words) -> bool:
    return words.owed or words.kind in (Kind.BEGINS, Kind.MARKED)


class Question:
    """What the model was asked since it answered last, as it was said. Sound goes into `heard` as it is sent.

    A question is open from `begin`, or words that ask, until its answer is complete or it is `forget`ten. Note that
    `heard` is another deque after each call.
    """

    def __init__(self) -> None:
        self.heard: deque[Item] = deque(maxlen=_LATELY_PIECES)
        self.open = False
        self.answering = False
        self.mark = 0  # where the history stood when it was opened
        self._speaking = False
        self._settled = False  # it led to something, and what is heard since is no part of it
        self._asked: list[Item] = []  # of it, before what is in `heard`
        self._start: Words | None = None  # says that the user begins, where the model does not listen for that

    @property
    def again(self) -> list[Item]:
        """It, to be asked again; without what says where it begins the model would not listen."""
        if self._settled:
            return []
        items = self._all
        return [self._start, *items] if self._start is not None and self._start not in items else items

    def begin(self, seconds_ago: float, waiting: int, mark: int) -> None:
        """The user began to speak so long ago; `waiting` pieces of sound since have not been sent.

        What was asked before belongs to it, unless it is being answered.
        """
        self._speaking = True
        if self.open and not self.answering:
            self._keep()
            return
        sound = [item for item in self.heard if isinstance(item, bytes)]
        count = max(0, round((seconds_ago + LEAD_SECONDS) / PIECE_SECONDS) - waiting)
        self._open(sound[len(sound) - min(count, len(sound)) :], mark)

    def pause(self) -> None:
        """The user has stopped. What was said is kept; of the silence that follows, only the last."""
        self._speaking = False
        if self.open:
            self._keep()

    def ask(self, words: Words) -> None:
        """The model was sent words."""
        if words.kind is Kind.ASKED and (not self.open or self.answering):
            self._open([], words.mark)
        if self.open:
            self.heard.append(words)
            self._keep()
            if words.kind is Kind.BEGINS:
                self._start = words

    def answer(self) -> None:
        """An answer begins."""
        self.answering = self.open

    def complete(self) -> None:
        """An answer is complete, or was interrupted."""
        if self.answering:
            self.forget()

    def settle(self) -> None:
        """What was asked so far led to something that is not to happen twice: it is not to be asked again."""
        self._settled = True
        self._asked = []
        self.heard = deque(maxlen=self._most)
        self._start = None

    def forget(self) -> None:
        """There will be no answer."""
        sound = [item for item in self._all if isinstance(item, bytes)]
        self.open = self.answering = self._settled = False
        self._asked, self._start = [], None
        self.heard = deque(sound[-_LATELY_PIECES:], maxlen=_LATELY_PIECES)

    def _open(self, items: list[Item] | list[bytes], mark: int) -> None:
        self.open, self.answering, self.mark, self._start = True, False, mark, None
        self._settled = False
        self._asked = []
        self.heard = deque(items, maxlen=self._most)

    def _keep(self) -> None:
        """What was said until now is not to be pushed out by what follows, if that is silence."""
        if self._speaking:
            self._asked, self.heard = [], deque(self._all, maxlen=_QUESTION_PIECES)
        else:
            self._asked, self.heard = self._all, deque(maxlen=_LATELY_PIECES)

    @property
    def _all(self) -> list[Item]:
        return [*self._asked, *self.heard][-_QUESTION_PIECES:]

    @property
    def _most(self) -> int:
        """Items that `heard` holds."""
        return _QUESTION_PIECES if self.open and self._speaking else _LATELY_PIECES


class Notes:
    """What the model was to remember, or to look at."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Words]] = deque()

    def __iter__(self) -> Iterator[Words]:
        return (words for _, words in self._kept)

    def add(self, words: Words, at: float) -> None:
        """Keep it, in the place of the oldest if there are too many."""
        self._kept.append((at, words))
        while len(self._kept) > MAX_NOTES or sum(words.size for words in self) > MAX_WORDS_BYTES:
            self._kept.popleft()

    def forget(self, before: float) -> None:
        """What was said before then is kept elsewhere."""
        while self._kept and self._kept[0][0] < before:
            self._kept.popleft()
