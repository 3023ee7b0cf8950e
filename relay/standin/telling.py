"""An answer of the local voice: sentence by sentence, each spoken while the one before it is on its way. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from relay.standin import ears, voice, wire
from relay.standin.mind import Reply
from relay.standin.script import Call
from relay.standin.speech import Speech, Turn, silent_parts, spread

Spoken = Callable[[bytes, float], None]
"""given the 24 kHz sound of a sentence, and the time; no sound if it could not be spoken"""

LATE_S: Final = 1.5  # our sound comes back to our ears so much later than it is sent at most; when is but reckoned
AHEAD_S: Final = 10.0  # of sound made before it is heard: what comes later may never be wanted
MAX_HEARD: Final = 100  # sentences remembered of an answer


@dataclass(frozen=True, slots=True)
class Sentence:
    """When a sentence is heard, and its words. An interruption moves `ends`."""

    begins: float
    ends: float
    words: str
    seconds: float  # of the whole

    def since(self, at: float) -> str:
        """The words that begin later than `at`, as far as can be told from their number."""
        words = self.words.split()
        past = max(0.0, at - self.begins) / max(self.seconds, 0.001)
        return " ".join(words[int(past * len(words)) :])


@dataclass(slots=True, eq=False)
class Telling(Turn):
    """A turn whose sound is still being made."""

    reply: Reply | None = None
    first: int = 0  # of `heard`, where this reply begins: after the answer of a function there is a second one
    next: int = 0  # the sentence that is being made
    free: float = 0.0  # when the next chunk may be sent
    called: bool = False  # the functions that this reply wants
    heard: list[Sentence] = field(default_factory=list)


class Teller(Speech):
    """`Speech` whose sound is made by `speak(sentence, spoken)`, which answers later."""

    def __init__(self, speak: Callable[[str, Spoken], object], *parts: Any) -> None:
        super().__init__(*parts)
        self._make = speak
        self.mouth = ears.Mouth(MAX_HEARD)
        self._last: Telling | None = None

    def saying(self, since: float) -> str:
        """The words that are in the room from `since` on, up to the sentence after the one being said."""
        heard = self._last.heard if self._last is not None else []
        at = sum(sentence.begins <= since for sentence in heard)
        return " ".join(filter(None, (sentence.since(since - LATE_S) for sentence in heard[: at + 1])))

    def sounds(self, at: float) -> bool:
        """Our sound was not over then."""
        return self._last is not None and bool(self._last.heard) and at < self._last.heard[-1].ends

    def rest(self, now: float) -> Reply | None:
        """What an interruption at `now` kept from being said, from the sentence that it cut on, and from being called.

        Where samples were sent it is all of them.
        """
        turn = self._last
        if turn is None or turn.reply is None:
            return None
        whole = sum(sentence.ends < now for sentence in turn.heard[turn.first :])  # an interruption ends one at `now`
        left = turn.reply.sentences[whole:]
        pcm = turn.reply.pcm if now < turn.ends else b""
        calls = self._unanswered(turn, turn.reply) if turn.called else turn.reply.calls
        if not left and not pcm and not calls:
            return None
        text = turn.reply.text if pcm else " ".join(left)
        again = turn.called or turn.reply.repeated
        return replace(
            turn.reply,
            pcm=pcm,
            text=text,
            sentences=left,
            calls=calls,
            repeated=again,
            thought="",
            code="",
            latency_ms=0,
        )

    def _unanswered(self, turn: Telling, reply: Reply) -> tuple[Call, ...]:
        """The calls that an interruption cancelled, under new ids. None is called a third time."""
        if not reply.blocking or reply.repeated:
            return ()
        answers = turn.waits.values()
        return tuple(replace(call, id="") for call, answer in zip(reply.calls, answers, strict=False) if answer is None)

    def interrupt(self, now: float) -> None:
        turn = self.turn
        super().interrupt(now)
        if isinstance(turn, Telling):
            turn.heard = [replace(said, ends=min(said.ends, now)) for said in turn.heard if said.begins < now]

    def _new_turn(self) -> Turn:
        return Telling()

    def _speak(self, turn: Turn, reply: Reply, now: float) -> None:
        if not isinstance(turn, Telling):
            super()._speak(turn, reply, now)
            return
        self._last = turn
        turn.reply, turn.first, turn.next, turn.called = reply, len(turn.heard), 0, False
        if not reply.sentences:
            super()._speak(turn, reply, now)
            return
        latency = self._times.latency_ms if reply.latency_ms is None else reply.latency_ms
        turn.free = max(now + latency / 1000, turn.free)
        for part in silent_parts(reply):

            def show(_: float, part: wire.Json = part) -> None:
                self._timeline.say(wire.content(modelTurn={"parts": [part]}))

            self._timeline.at(turn.free, show, turn)
        self._ask(turn)

    def _spoken(self, turn: Turn, reply: Reply, now: float) -> None:
        if isinstance(turn, Telling):
            turn.called = True
        super()._spoken(turn, reply, now)

    def _ask(self, turn: Telling) -> None:
        assert turn.reply is not None
        self._make(turn.reply.sentences[turn.next], lambda pcm, at: self._lay_out(turn, pcm, at))

    def _lay_out(self, turn: Telling, pcm: bytes, now: float) -> None:
        """A sentence has been spoken: its chunks, and then the next sentence or the end."""
        if self.turn is not turn or turn.reply is None:
            return
        sentences = turn.reply.sentences
        sentence, last = sentences[turn.next], turn.next == len(sentences) - 1
        size = max(1, round(voice.RATE * self._times.chunk_ms / 1000))
        chunks = max(1, len(range(0, len(pcm) // 2, size)))
        words = spread(sentence, chunks, self.style)
        if not last and self.style != "2.5":
            words[-1] += " "
        start = max(now, turn.free)
        step = size / voice.RATE / self._times.speed
        for n in range(chunks):

            def send(at: float, n: int = n) -> None:
                self._chunk(turn, voice.piece(pcm, voice.RATE, n * size, size), words[n], at)

            self._timeline.at(start + n * step, send, turn)
        turn.free = start + chunks * step
        begins = max(start, turn.ends)
        turn.ends = begins + voice.seconds(pcm)
        turn.heard.append(Sentence(begins, turn.ends, sentence, turn.ends - begins))
        self.mouth.play(begins, ears.levels(pcm, voice.RATE))
        turn.next += 1
        if last:
            reply = turn.reply
            self._timeline.at(start + (chunks - 1) * step, lambda at: self._spoken(turn, reply, at), turn)
        else:
            self._timeline.at(max(now, turn.ends - AHEAD_S), lambda at: self._ask(turn), turn)
