"""A conversation of the local voice: words are understood and answered in words. Pure: who hears and speaks is given.

The same frames as in `conversation.py`; what differs is that hearing and speaking take time, so that both come back
later, by the functions that were given along.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Final, Protocol

from relay.standin import ears, listening, recording, voice, wire
from relay.standin.brain import Brain
from relay.standin.conversation import MAX_UTTERANCES, Conversation
from relay.standin.memory import Memory, Shelf
from relay.standin.mind import MAX_ECHO_S, Reply
from relay.standin.script import Line, Script
from relay.standin.telling import Teller
from relay.standin.wits.own import LATE_WORDS, is_own

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

    saying: str = ""  # what of ours may be heard in it
    late: bool = False  # it began after we had ended
    cut: Reply | None = None  # what it kept us from saying
    line: Line | None = None  # of the script, which answers it
    words: list[str | None] = field(default_factory=list)  # of each part; None while they are awaited
    sound: list[bytes] = field(default_factory=list)  # of each part, while it is short enough to be said back
    length: float = 0.0  # seconds
    told: int = 0  # parts whose words the client has
    shown: str = ""  # the interim words
    ended: float | None = None  # where in the input
    over: bool = False  # everything has been told of it
    take_back: Callable[[], None] | None = None  # of the last part, while it is a draft

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))

    def is_own(self, text: str) -> bool:
        """Whether these words are ours, come back."""
        return bool(self.saying) and is_own(text, self.saying, LATE_WORDS if self.late else 1)

    @property
    def told_by_script(self) -> str | None:
        """What the client is to be told instead of the words."""
        return None if self.line is None else self.line.heard


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
            senses.speak, self._timeline, self._times, shelf, self._brain, dice, self._trouble.count_chunk
        )
        self._listening = listening.Listening(senses.probability)
        self._watch = recording.Watch(senses.probability)  # of a turn that the user marks
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
                self._began(now - (self._listening.at - at), now)
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
        self._began(now, now)

    def _began(self, since: float, now: float) -> None:
        """Somebody speaks `since` then, and we noticed it now."""
        line = self._brain.line()
        said = self._utterance = Utterance(self._teller.saying(since), not self._teller.sounds(since), line=line)
        speaking = self._speech.turn is not None
        super()._onset(now)
        if speaking and self._speech.turn is None:
            said.cut = self._teller.rest(now)

    def _keep(self, said: bytearray, pcm: bytes) -> None:
        before = len(said)
        super()._keep(said, pcm)
        self._watch.hear(pcm[: len(said) - before])

    def _heard(self, end: ears.End, now: float) -> None:
        """The user's turn by marks of their own: there is nothing to be guessed meanwhile."""
        said, watch = self._utterance, self._watch
        self._watch = recording.Watch(self._senses.probability)
        for piece in recording.pieces(end.pcm, watch.voiced):
            self._write_down(said, piece)
        self._ended(said, end.at, now)

    def _recording(self, pcm: bytes, now: float) -> None:
        """A turn that was sent as a whole is answered, and not written down for the client."""
        parts = list(recording.pieces(voice.trim(pcm, ears.RATE)))
        words: list[str] = [""] * len(parts)
        left = len(parts)

        def told(n: int, text: str, at: float) -> None:
            nonlocal left
            words[n], left = text, left - 1
            if not left:
                self._answer(" ".join(filter(None, words)), at, pcm)

        for n, part in enumerate(parts):
            self._senses.final(part, lambda text, at, n=n: told(n, text, at))  # type: ignore[misc]

    def _guessed(self, said: Utterance, text: str, now: float) -> None:
        """The words so far. What the last two guesses agree on comes as words of their own, too: they will stay."""
        if self.closed or said is not self._utterance or said.ended is not None or not text or said.is_own(text):
            return
        if said.line is not None and (said.line.heard is not None or said.line.interim):  # these are told instead
            return
        agreed = takewhile(lambda pair: pair[0] == pair[1], zip(said.shown.split(), text.split(), strict=False))
        said.shown = text
        self._show(f" {text}" if said.told else text, [{"word": word} for word, _ in agreed])

    def _show(self, text: str, agreed: list[wire.Json]) -> None:
        if self._known.input_transcript:
            self._say(wire.content(interimInputTranscription={"text": text, "words": agreed}))

    def _write_down(self, said: Utterance, pcm: bytes) -> Callable[[], None]:
        """Asks for the words of a part of an utterance."""
        part = len(said.words)
        said.words.append(None)
        said.sound.append(pcm if said.length < MAX_ECHO_S else b"")
        said.length += len(pcm) / 2 / ears.RATE

        def told(text: str, now: float) -> None:
            said.words[part] = text
            if said.take_back is not None:
                self._foresee(said)
            self._advance(said, now)

        return self._senses.final(pcm, told)

    def _foresee(self, said: Utterance) -> None:
        """Has what would be answered to a draft spoken while the user may still go on: the voice keeps it."""
        if self.closed or said.is_own(said.text):
            return
        if sentence := self._brain.foresee(f"{self._carried} {said.text}".strip()):
            self._senses.speak(sentence, lambda _pcm, _at: None)

    def _take_back(self, said: Utterance) -> None:
        """The last part was a draft, and void."""
        if said.take_back is not None:
            said.take_back()
            said.words.pop()
            said.sound.pop()
            said.take_back = None

    def _ended(self, said: Utterance, at: float, now: float) -> None:
        said.ended, said.take_back = at, None
        self._advance(said, now)

    def _advance(self, said: Utterance, now: float) -> None:
        """Tells the words that are final, in their order, and ends when there are all."""
        if self.closed:
            return
        own = said.is_own(said.text)
        final = len(said.words) - (said.take_back is not None)
        while not own and said.told < final and (text := said.words[said.told]) is not None:
            before, said.told = said.told, said.told + 1
            if text and said.told_by_script is None:
                said.shown = ""
                self._tell_words(f" {text}" if before else text)
        if said.ended is not None and not said.over and None not in said.words:
            self._conclude(said, own, now)

    def _conclude(self, said: Utterance, own: bool, now: float) -> None:
        """The user's turn is over, and its words are known."""
        said.over = True
        text = "" if own else said.text
        scripted = None if own or said is not self._utterance else said.told_by_script
        if scripted is not None:
            text = scripted
            self._tell_words(text)
        elif said.shown:  # and no final words take its place
            self._show("", [])
        self._tell_activity("END", said.ended or 0.0)
        self._spoken_to += 1
        self.utterances.append(said.length)
        del self.utterances[:-MAX_UTTERANCES]
        if text:
            self._brain.memory.add(text, said.length)
        self._carried = f"{self._carried} {text}".strip()
        if said is not self._utterance:  # the user goes on
            return
        heard = bool(self._carried) or scripted is not None
        if not heard and said.cut is not None and self._resumed < MAX_RESUMED:
            self._resumed += 1
            self._speech.answer(lambda at: self._speech.begin(said.cut, at), now)
        elif not heard and own:
            self._resumed = 0
            self._speech.answer(lambda at: self._speech.begin(None, at), now)
        else:
            text, self._carried, self._resumed = self._carried, "", 0
            self._answer(text, now, b"".join(said.sound))

    def _answer(self, text: str, now: float, sound: bytes = b"") -> None:
        self._speech.answer(lambda at: self._speech.begin(self._brain.understand(text, sound), at), now)
