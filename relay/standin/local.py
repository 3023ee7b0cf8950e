"""A conversation of the local voice: words are understood and answered in words. Pure: who hears and speaks is given.

The same frames as in `conversation.py`; what differs is that hearing and speaking take time, so that both come back
later, by the functions that were given along.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Final, Protocol

from relay.standin import ears, listening, recording, wire
from relay.standin.brain import Brain
from relay.standin.conversation import MAX_UTTERANCES, Conversation
from relay.standin.memory import Memory, Shelf
from relay.standin.mind import Reply
from relay.standin.script import Script
from relay.standin.telling import Teller
from relay.standin.wits.own import is_own

DEAF_GATE_DB: Final = -40.0  # nothing softer is a voice with START_SENSITIVITY_LOW
MAX_RESUMED: Final = 3  # times in a row that an answer is taken up again which our own echo, or a noise, has cut


class Senses(Protocol):
    """Ears and mouth. What is asked comes back later, once, in the order of `now`; see `workshop.Seat`."""

    def probability(self, pcm: bytes, /) -> float: ...

    def partial(self, pcm: bytes, told: Callable[[str, float], None], /) -> None: ...

    def final(self, pcm: bytes, told: Callable[[str, float], None], /) -> Callable[[], None]: ...

    def speak(self, sentence: str, made: Callable[[bytes, float], None], /) -> Callable[[], None]: ...


@dataclass(slots=True, eq=False)
class Utterance:
    """What the user says, from the onset until its words are final."""

    saying: str = ""  # what we were saying when it began
    cut: Reply | None = None  # what was left of that
    length: float = 0.0  # seconds
    words: list[str | None] = field(default_factory=list)  # of each part; None while they are awaited
    told: int = 0  # parts whose words the client has
    shown: str = ""  # the interim words
    ended: float | None = None  # where in the input
    take_back: Callable[[], None] | None = None  # of the last part, while it is a draft

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))


class LocalConversation(Conversation):
    """`Conversation` with ears, wits and a voice."""

    def __init__(
        self,
        script: Script,
        shelf: Shelf,
        number: int,
        dice: Callable[[int], int],
        senses: Senses,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(script, shelf, number, dice)
        self._senses = senses
        self._mind = self._brain = Brain(script, Memory(), clock)
        self._speech = self._teller = Teller(
            senses.speak, self._timeline, self._times, shelf, self._brain, dice, self._count_chunk
        )
        self._listening = listening.Listening(senses.probability)
        self._utterance = Utterance()
        self._carried = ""  # words that the user went on from before they were answered
        self._resumed = 0

    def _set_up(self, raw: wire.Json, now: float) -> None:
        super()._set_up(raw, now)
        self._brain.tools = [
            function
            for tool in wire.entries(raw, "tools", "setup.tools")
            for function in wire.entries(tool, "functionDeclarations", "setup.tools.functionDeclarations")
        ]
        setup = self._known
        self._listening = listening.Listening(
            self._senses.probability,
            int(self._times.silence_ms) if setup.silence_ms is None else setup.silence_ms,
            DEAF_GATE_DB if setup.hard_of_hearing else listening.GATE_DB,
        )

    # --- hearing -----------------------------------------------------------------------------------------------

    def _listen(self, pcm: bytes, now: float) -> None:
        for event in self._listening.hear(pcm, self._speech.mouth.level(now)):
            self._on(event, now)

    def _pause(self, now: float) -> None:
        for event in self._listening.finish():
            self._on(event, now)

    def _on(self, event: listening.Event, now: float) -> None:
        said = self._utterance
        match event:
            case listening.Onset(at):
                self._tell_activity("START", at)
                self._onset(now)
            case listening.Partial(_, pcm):
                self._senses.partial(pcm, lambda text, at: self._guessed(said, text, at))
            case listening.Piece(_, pcm):
                self._write_down(said, pcm)
            case listening.Draft(_, pcm):
                said.take_back = self._write_down(said, pcm)
            case listening.Resumed():
                self._take_back(said)
            case listening.End(at, pcm, drafted):
                if not drafted:
                    self._take_back(said)
                    self._write_down(said, pcm)
                self._ended(said, at, now)

    def _onset(self, now: float) -> None:
        said = self._utterance = Utterance(self._teller.saying(now))
        speaking = self._speech.turn is not None
        super()._onset(now)
        if speaking and self._speech.turn is None:
            said.cut = self._teller.rest(now)

    def _heard(self, end: ears.End, now: float) -> None:
        """The user's turn by his own marks: there is nothing to be guessed meanwhile."""
        said = self._utterance
        for piece in recording.pieces(end.pcm):
            self._write_down(said, piece)
        self._ended(said, end.at, now)

    def _recording(self, pcm: bytes, now: float) -> None:
        """A turn that was sent as a whole is answered, and not written down for the client."""
        parts = list(recording.pieces(pcm))
        words: list[str] = [""] * len(parts)
        left = len(parts)

        def told(n: int, text: str, at: float) -> None:
            nonlocal left
            words[n], left = text, left - 1
            if not left:
                self._answer(" ".join(filter(None, words)), at)

        for n, part in enumerate(parts):
            self._senses.final(part, lambda text, at, n=n: told(n, text, at))  # type: ignore[misc]

    def _guessed(self, said: Utterance, text: str, now: float) -> None:
        """The words so far. What the last two guesses agree on comes as words of their own, too: they will stay."""
        if self.closed or said is not self._utterance or said.ended is not None or not text:
            return
        if said.saying and is_own(text, said.saying):
            return
        agreed = takewhile(lambda pair: pair[0] == pair[1], zip(said.shown.split(), text.split(), strict=False))
        said.shown = text
        if self._known.input_transcript:
            told = {"text": f" {text}" if said.told else text, "words": [{"word": word} for word, _ in agreed]}
            self._say(wire.content(interimInputTranscription=told))

    def _write_down(self, said: Utterance, pcm: bytes) -> Callable[[], None]:
        """Asks for the words of a part of an utterance."""
        part = len(said.words)
        said.words.append(None)
        said.length += len(pcm) / 2 / ears.RATE

        def told(text: str, now: float) -> None:
            said.words[part] = text
            if said.take_back is not None:
                self._foresee(said)
            self._advance(said, now)

        return self._senses.final(pcm, told)

    def _foresee(self, said: Utterance) -> None:
        """Has what would be answered to a draft spoken while the user may still go on: the voice keeps it."""
        if self.closed or (said.saying and is_own(said.text, said.saying)):
            return
        if sentence := self._brain.foresee(f"{self._carried} {said.text}".strip()):
            self._senses.speak(sentence, lambda _pcm, _at: None)

    def _take_back(self, said: Utterance) -> None:
        """The last part was a draft, and void."""
        if said.take_back is not None:
            said.take_back()
            said.words.pop()
            said.take_back = None

    def _ended(self, said: Utterance, at: float, now: float) -> None:
        said.ended, said.take_back = at, None
        self._advance(said, now)

    def _advance(self, said: Utterance, now: float) -> None:
        """Tells the words that are final, in their order, and ends when there are all."""
        if self.closed:
            return
        own = bool(said.saying) and is_own(said.text, said.saying)
        final = len(said.words) - (said.take_back is not None)
        while not own and said.told < final and (text := said.words[said.told]) is not None:
            before, said.told, said.shown = said.told, said.told + 1, ""
            self._tell_words(f" {text}" if before else text)
        if said.ended is not None and None not in said.words:
            self._conclude(said, "" if own else said.text, now)

    def _conclude(self, said: Utterance, text: str, now: float) -> None:
        """The user's turn is over, and its words are known."""
        at, said.ended = said.ended or 0.0, None
        self._tell_activity("END", at)
        self._spoken_to += 1
        self.utterances.append(said.length)
        del self.utterances[:-MAX_UTTERANCES]
        if text:
            self._brain.memory.add(text, said.length)
        self._carried = f"{self._carried} {text}".strip()
        if said is not self._utterance:  # the user goes on
            return
        if not self._carried and said.cut is not None and self._resumed < MAX_RESUMED:
            self._resumed += 1
            self._speech.answer(lambda at: self._speech.begin(said.cut, at), now)
            return
        text, self._carried, self._resumed = self._carried, "", 0
        self._answer(text, now)

    def _answer(self, text: str, now: float) -> None:
        self._speech.answer(lambda at: self._speech.begin(self._brain.understand(text), at), now)
