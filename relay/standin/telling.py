"""An answer of the local voice: sentence by sentence, each spoken while the one before it is on its way. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from relay.standin import ears, voice, wire
from relay.standin.mind import Reply
from relay.standin.speech import Speech, Turn, silent_parts, spread

Spoken = Callable[[bytes, float], None]
"""given the 24 kHz sound of a sentence, and the time; no sound if it could not be spoken"""

LATE_S: Final = 1.0  # our sound is heard so much later than it is sent at most, and comes back to our ears then
AHEAD_S: Final = 10.0  # of sound made before it is heard: what comes later may never be wanted
MAX_HEARD: Final = 100  # sentences remembered of an answer
NEAR: Final = 3  # sentences that may be in the air: the one before, this one, the next


@dataclass(slots=True, eq=False)
class Telling(Turn):
    """A turn whose sound is still being made."""

    reply: Reply | None = None
    next: int = 0  # the sentence that is being made
    free: float = 0.0  # when the next chunk may be sent
    heard: list[tuple[float, float, str]] = field(default_factory=list)  # when each sentence is heard, and its words


class Teller(Speech):
    """`Speech` whose sound is made by `speak(sentence, spoken)`, which answers later."""

    def __init__(self, speak: Callable[[str, Spoken], object], *parts: Any) -> None:
        super().__init__(*parts)
        self._make = speak
        self.mouth = ears.Mouth(MAX_HEARD)
        self._last: Telling | None = None

    def saying(self, now: float) -> str:
        """The words that may be in the room, or were a moment ago; empty for none."""
        heard = self._last.heard if self._last is not None else []
        if not heard or now >= heard[-1][1] + LATE_S:
            return ""
        at = sum(begins <= now for begins, _, _ in heard)
        return " ".join(words for _, _, words in heard[max(0, at + 1 - NEAR) : at + 1])

    def rest(self, now: float) -> Reply | None:
        """What an interruption at `now` kept from being heard: from the sentence that it cut on."""
        turn = self._last
        if turn is None or turn.reply is None:
            return None
        whole = sum(ends < now for _, ends, _ in turn.heard)  # an interruption ends one at `now`
        left = turn.reply.sentences[whole:]
        return Reply(b"", " ".join(left), sentences=left) if left else None

    def interrupt(self, now: float) -> None:
        turn = self.turn
        super().interrupt(now)
        if isinstance(turn, Telling):
            turn.heard = [(begins, min(ends, now), words) for begins, ends, words in turn.heard if begins < now]

    def _new_turn(self) -> Turn:
        return Telling()

    def _speak(self, turn: Turn, reply: Reply, now: float) -> None:
        if not reply.sentences or not isinstance(turn, Telling):
            super()._speak(turn, reply, now)
            return
        self._last = turn
        turn.reply, turn.next, turn.free = reply, 0, max(now, turn.free)
        for part in silent_parts(reply):
            self._timeline.say(wire.content(modelTurn={"parts": [part]}))
        self._ask(turn)

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
        turn.heard.append((begins, turn.ends, sentence))
        self.mouth.play(begins, ears.levels(pcm, voice.RATE))
        turn.next += 1
        if last:
            reply = turn.reply
            self._timeline.at(start + (chunks - 1) * step, lambda at: self._spoken(turn, reply, at), turn)
        else:
            self._timeline.at(max(now, turn.ends - AHEAD_S), lambda at: self._ask(turn), turn)
