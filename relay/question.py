"""What the user asks: a voice that begins and ends, words that arrive in pieces, an answer awaited. Pure: no clock.

The user's words are never lost: each piece is in exactly one final, after any interims that show it.
"""

import math
from datetime import UTC, datetime
from typing import Final

from relay import rtvi
from relay.gemini.events import InputTranscript
from relay.history import History
from relay.rtvi import Message

# The model's transcript of the last word comes up to this long after the one before.
FINAL_SECONDS: Final = 0.8
# While what was shown last is interim, its final words are still to come, and would be told a second time.
INTERIM_SECONDS: Final = 3.0
# Characters in one message: as JSON at most 12 KiB, which every data channel carries.
MAX_TEXT: Final = 2000
# A silent answer that has not begun after this long is not coming; the next one may be to something else.
SILENT_SECONDS: Final = 30.0
# A reply that was on its way when the question came ends within this time, and was not the answer to it.
CROSSING_SECONDS: Final = 1.0


def portions(text: str) -> list[str]:
    """The same text in pieces that fit into one message each."""
    return [text[at : at + MAX_TEXT] for at in range(0, len(text), MAX_TEXT)]


class Question:
    """The user's side of a conversation; `epoch` is the Unix time at which `now` was 0.

    `history` is told what is final. Set `generation` to 1 for a client that speaks RTVI 1.
    """

    def __init__(self, epoch: float, history: History) -> None:
        self._epoch = epoch
        self._history = history
        self.generation = 2
        self.speaking = False
        self.asked_at: float | None = None  # since when an answer is awaited
        self._words = ""  # of the running utterance: what stays,
        self._interim = ""  # and what the next piece replaces
        self._shown = ""  # the interim text last sent
        self._heard_at = 0.0  # when the user was last heard from
        self._began_at: float | None = None  # when the running utterance began,
        self._ended_at: float | None = None  # and when the voice fell silent
        self._text = ""  # all that was said or typed since the last answer
        self._silent_asked_at = -math.inf
        self._silent_until: float | None = None  # until then, the answer that begins is to be silent,
        self._spoke_since = False  # unless the voice has asked for one since

    @property
    def deadline(self) -> float | None:
        """When the words so far become final by themselves."""
        if self.speaking or not self._utterance:
            return None
        return self._heard_at + (INTERIM_SECONDS if self._interim else FINAL_SECONDS)

    def started(self, now: float) -> list[Message]:
        """The user's voice begins: nobody is waiting for an answer any more."""
        if self.speaking:
            return []
        self.speaking = self._spoke_since = True
        self.asked_at = self._ended_at = None
        if self._began_at is None:
            self._began_at = now
        return [rtvi.USER_STARTED_SPEAKING]

    def stopped(self, now: float) -> list[Message]:
        """The user's voice ends; an answer is awaited."""
        if not self.speaking:
            return []
        self.speaking = False
        self.asked_at = self._heard_at = self._ended_at = now
        return [rtvi.USER_STOPPED_SPEAKING]

    def heard(self, event: InputTranscript, now: float, *, late: bool) -> list[Message]:
        """A piece of the user's words. It is `late` when the answer has begun."""
        if event.interim:
            self._interim = event.text
        elif event.text:
            self._words += event.text
            self._interim = ""
            if self._spoke_since:
                self._silent_until = None
        self._heard_at = now
        if event.finished or len(self._words) > MAX_TEXT:
            return self.final(now, late=late)
        text = self._utterance[-MAX_TEXT:]
        if text == self._shown:  # interim words that are taken back leave none
            return []
        self._shown = text
        return self._told(text, now, final=False)

    def final(self, now: float, *, late: bool) -> list[Message]:
        """The words so far are final; what comes next is another utterance."""
        text = self._utterance
        self._words = self._interim = self._shown = ""
        if text:
            self._history.asked(
                text, now if self._ended_at is None else self._ended_at, began=self._began_at, late=late
            )
            self._began_at = now if self.speaking else None
            if not late:
                self.add(text)
        return [message for portion in portions(text) for message in self._told(portion, now, final=True)]

    def chat(self, text: str, id_: str, now: float) -> list[Message]:
        """The user typed `text`, in the message `id_`."""
        if self.generation == 1:
            return []
        stamp = self._timestamp(now)
        return [rtvi.user_input(portion, stamp, final=True, kind="chat", id_=id_) for portion in portions(text)]

    def ask(self, now: float, *, silent: bool = False) -> None:
        """An answer is awaited, and it is not to be heard if `silent`."""
        self.asked_at = now
        self._silent_asked_at = now if silent else -math.inf
        self._silent_until = now + SILENT_SECONDS if silent else None
        self._spoke_since = False

    def wants_silence(self, now: float) -> bool:
        """Whether the answer that begins is not to be heard."""
        return self._silent_until is not None and now < self._silent_until

    def take_silence(self, now: float) -> bool:
        """The same as the answer begins; the one after it is heard again."""
        silent, self._silent_until = self.wants_silence(now), None
        return silent

    def interrupted(self, now: float) -> None:
        """A silent answer was cut: by the question itself, if it began before the model had read that."""
        if now < self._silent_asked_at + CROSSING_SECONDS:
            self._silent_until = self._silent_asked_at + SILENT_SECONDS

    def add(self, text: str) -> None:
        """More of the question, spoken or typed; of a very long one, the end."""
        self._text = f"{self._text} {text}".strip()[-MAX_TEXT:]

    def take(self) -> list[Message]:
        """The answer begins: the question as the model got it."""
        text, self._text = self._text, ""
        return [rtvi.user_llm_text(text)] if text else []

    def _told(self, text: str, now: float, *, final: bool) -> list[Message]:
        stamp = self._timestamp(now)
        new = [rtvi.user_input(text, stamp, final=final)] if self.generation != 1 else []
        return [*new, rtvi.user_transcription(text, stamp, final=final)]

    @property
    def _utterance(self) -> str:
        return (self._words + self._interim).strip()

    def _timestamp(self, now: float) -> str:
        return datetime.fromtimestamp(self._epoch + now, UTC).isoformat(timespec="milliseconds")
