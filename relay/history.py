"""What was said and heard: this room alone decides, captions and transcripts show it. Pure: no clock, no channel.

Of the model's words those count that were heard. Where in the sound a word is, `Pace` knows; how far the listener is,
the playout does, to the sample. An interruption cuts a turn behind the last whole word before it. The last word of all
that has come counts when it is known, and not guessed, that it has been heard: when more came behind it, or the end.

The rules, for all orders of events:
- what was heard of a turn is the beginning of what the model said in it, and never shrinks;
- no word is heard twice, nor in another order than it was said;
- at most `MAX_TURNS` and `MAX_CHARACTERS` are kept; the oldest turns go first, and are counted.

`now` is monotonic seconds, positions are samples on the playout's scale, which never goes back.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from relay.audio.packet import ENCODED_RATE
from relay.pace import Pace
from relay.reply import MAX_TURN, Entry, Reply, retold
from relay.transcript import How, Role, ToolUse, Transcript, Turn, kept, printable

MAX_TURNS: Final = 1000  # two hours of lively talk
MAX_CHARACTERS: Final = 200_000  # of all turns: four hours of speech, at most 0.8 MB
MAX_NAME: Final = 100  # characters of a function's name
# What a fresh session of the model is told: some 4,000 tokens, a sixteenth of the smallest model's window.
SEED_CHARACTERS: Final = 16_000


class History:
    """The history of one conversation. `opened` is when it began, `epoch` the Unix time at which `now` was 0."""

    def __init__(self, opened: float, *, epoch: float = 0.0, prior: Sequence[Turn] = ()) -> None:
        self._opened = opened
        self._epoch = epoch
        self.pace = Pace()
        self._entries: list[Entry] = []
        self._reply: Reply | None = None  # the one that the model is saying
        self._unheard: deque[Reply] = deque()  # replies that are not heard to their end, the one being said included
        self._tools: dict[str, Entry] = {}  # open calls by id
        self._received = 0
        self._numbers = 0
        self._characters = 0
        self.dropped = 0
        for turn in prior:
            self._add(Entry(self._numbers, turn.role, How.PRIOR, turn.text), size=len(turn.text))

    # ---- the user, and whoever writes ----

    def asked(
        self, text: str, now: float, *, how: How = How.SPOKEN, began: float | None = None, late: bool = False
    ) -> None:
        """The user said `text`, from `began` to `now`; `late` if it was heard when its answer had begun."""
        self.wrote(Role.USER, text, now, how=how, began=began, late=late)

    def wrote(
        self,
        role: Role,
        text: str,
        now: float,
        *,
        how: How = How.TYPED,
        began: float | None = None,
        late: bool = False,
    ) -> None:
        """These words are part of the conversation, whole; the app may give the model's, too."""
        for portion in _portions(printable(text).strip()):
            entry = Entry(self._numbers, role, how, portion, now if began is None else min(began, now), now)
            self._add(entry, self._entries.index(self._reply) if late and self._reply else None, len(portion))

    # ---- the model ----

    def sound(self, position: int, now: float) -> None:
        """Sound of the model begins at `position`, whether or not text will come with it."""
        self._receive(position)
        if self._reply is None:
            self._begin(now)

    def said(self, text: str, position: int, now: float, *, silent: bool = False) -> int:
        """A piece of what the model says, which begins to sound at `position`; a `silent` one is read.

        Returns how many letters were said before.
        """
        before = self.pace.letters
        self._receive(position)
        for portion in _portions(text):
            reply = self._speaker(silent, len(portion), now)
            if silent:
                reply.text += portion
                reply.hear_out()
                reply.ended = now
            else:
                reply.add(portion, self.pace.add(portion, position))
            self._grow(reply, len(portion))
        self._listen(now)
        return before

    def end(self, position: int, now: float) -> None:
        """All text so far sounds before `position`."""
        self._receive(position)
        self.pace.end(position)
        self._listen(now)

    def complete(self, now: float) -> None:
        """The model's turn is over, with the text and sound that is there; what it says next is another."""
        for reply in self._unheard:
            if reply.end is None:
                reply.over, reply.end = True, self._received
        self._reply = None
        self._listen(now)

    def stand(self, now: float) -> None:
        """No sound is there or on its way: what was said stands as it is."""
        for reply in self._unheard:
            reply.hear_out()
        self.played(self._received, now)

    # ---- the listener ----

    def started(self, now: float) -> None:
        """The first sound of a turn leaves."""
        for reply in self._unheard:
            if reply.began is None:
                reply.began = now
                return

    def played(self, position: int, now: float) -> None:
        """The listener is at `position`."""
        self.pace.listen(position)
        self._listen(now)

    def cut(self, now: float) -> None:
        """Interrupted where the listener was `played` to: what was not heard by then never will be."""
        self._listen(now)
        for reply in tuple(self._unheard):
            if reply.shown():
                self._grow(reply, reply.heard - len(reply.text))
                reply.text = reply.text[: reply.heard]
                reply.interrupted, reply.ended = True, now
            else:
                self._remove(reply)
        self._unheard.clear()
        self._reply = None
        self.pace.reset()

    # ---- tools ----

    def called(self, id: str, name: str, arguments: Any, now: float) -> None:
        """The model called a function."""
        value, size = kept(arguments)
        entry = Entry(self._numbers, Role.TOOL, How.WRITTEN, began=now, tool=ToolUse(name[:MAX_NAME], value))
        self._tools[id] = entry
        self._add(entry, size=size)

    def returned(self, id: str, result: Any, now: float) -> None:
        """And this is what the model was answered."""
        value, size = kept(result)
        self._settle(id, value, "answered", size, now)

    def cancelled(self, id: str, now: float) -> None:
        """It was not answered, for the model did not want it any more."""
        self._settle(id, None, "cancelled", 0, now)

    # ---- what there is ----

    @property
    def mark(self) -> int:
        """Where `since` begins for what is new from now on."""
        return self._numbers

    def since(self, mark: int, until: int | None = None) -> list[tuple[str, str]]:
        """What was said and heard in turns that came up after that `mark`: role (user or model) and text, in order.

        Up to the other mark, if there is one: what came up later, but belongs before it, is told too.
        """
        entries = self._entries
        if until is not None:
            end = max((at for at, entry in enumerate(entries, 1) if entry.number < until), default=0)
            entries = entries[:end]
        return retold(entry for entry in entries if entry.number >= mark)

    def lately(self, limit: int = SEED_CHARACTERS) -> int:
        """Where `since` begins for what a fresh session of the model is told: whole turns, in so many characters."""
        mark = self._numbers
        for entry in reversed(self._entries):
            if entry.role is not Role.TOOL:
                limit -= len(entry.shown()) + 1
                if limit < -1:
                    break
                mark = min(mark, entry.number)
        return mark

    def transcript(self, now: float, *, over: bool = False, pending: Sequence[tuple[Role, str]] = ()) -> Transcript:
        """All there is, and behind it what is `pending`: it will be `wrote`. Tell where the listener is before."""
        length = max(0.0, now - self._opened)
        turns = [entry.told(self._opened) for entry in self._entries if entry.tool is not None or entry.shown()]
        for role, text in pending:
            said = printable(text).strip()
            turns += [Turn(role, portion, How.TYPED, length, length) for portion in _portions(said)]
        return Transcript(self._epoch + self._opened, length, over, self.dropped, tuple(turns))

    def correct(self, number: int, text: str) -> bool:
        """A better text of a turn that is over; False if there is none, or nothing to say."""
        text = text.strip()[:MAX_TURN]
        for entry in self._entries:
            if entry.number == number and entry.tool is None and text and entry not in self._unheard:
                self._grow(entry, len(text) - len(entry.text))
                entry.text = text
                if isinstance(entry, Reply):
                    entry.hear_out()
                return True
        return False

    # ---- within ----

    def _speaker(self, silent: bool, characters: int, now: float) -> Reply:
        """The reply that so many characters more belong to."""
        reply = self._reply
        if reply is None or not reply.fits(characters, silent):
            reply = self._begin(now)
        if silent:
            reply.how, reply.began = How.WRITTEN, now if reply.began is None else reply.began
        return reply

    def _begin(self, now: float) -> Reply:
        if self._reply is not None:
            self._reply.over = True
        reply = self._reply = Reply(self._numbers, Role.MODEL, How.SPOKEN, begin=self._received)
        self._unheard.append(reply)
        self._add(reply)
        return reply

    def _receive(self, position: int) -> None:
        self._received = max(self._received, position)

    def _listen(self, now: float) -> None:
        """Whatever is heard by now, and since when."""
        for reply in self._unheard:
            reply.listen(self.pace)
            if reply.began is None and self.pace.position > reply.begin:
                reply.began = self._ago(reply.begin, now)
            elif reply.began is None and reply.heard:
                reply.began = now
        while self._unheard and self._unheard[0].done:
            reply = self._unheard.popleft()
            if reply.end is not None and reply.end <= reply.begin:
                reply.how = How.WRITTEN  # there was no sound
            if reply.began is None:
                reply.began = now
            if reply.ended is None:
                reply.ended = max(reply.began, now if reply.end is None else self._ago(reply.end, now))

    def _ago(self, position: int, now: float) -> float:
        """When the listener was there."""
        return now - max(0, self.pace.position - position) / ENCODED_RATE

    def _add(self, entry: Entry, at: int | None = None, size: int = 0) -> None:
        """Put it at its place, the end by default."""
        self._numbers += 1
        self._entries.insert(len(self._entries) if at is None else at, entry)
        self._grow(entry, size)

    def _grow(self, entry: Entry, characters: int) -> None:
        """It takes so many characters more, for which others may have to go."""
        entry.size += characters
        self._characters += characters
        while len(self._entries) > MAX_TURNS or self._characters > MAX_CHARACTERS:
            self.dropped += 1
            self._remove(self._entries[0])

    def _remove(self, entry: Entry) -> None:
        self._entries.remove(entry)
        self._characters -= entry.size
        if entry is self._reply:
            self._reply = None
        if isinstance(entry, Reply) and entry in self._unheard:
            self._unheard.remove(entry)
        for id in [id for id, open in self._tools.items() if open is entry] if entry.tool is not None else []:
            del self._tools[id]

    def _settle(self, id: str, result: Any, state: str, size: int, now: float) -> None:
        if (entry := self._tools.pop(id, None)) is None or entry.tool is None:
            return
        entry.tool = ToolUse(entry.tool.name, entry.tool.arguments, result, state)
        entry.ended = now
        self._grow(entry, size)


def _portions(text: str) -> list[str]:
    return [text[at : at + MAX_TURN] for at in range(0, len(text), MAX_TURN)]
