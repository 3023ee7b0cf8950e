"""What the user asks: a voice that begins and ends, words that arrive in pieces, an answer awaited. Pure: no clock.

The user's words are never lost: each piece is in exactly one final, after any interims that show it.
"""

from datetime import UTC, datetime
from typing import Final

from relay import rtvi
from relay.gemini.events import InputTranscript
from relay.rtvi import Message

# The model's transcript of the last word comes up to this long after the one before.
FINAL_SECONDS: Final = 0.8
# Characters in one message: as JSON at most 12 KiB, which every data channel carries.
MAX_TEXT: Final = 2000


def portions(text: str) -> list[str]:
    """The same text in pieces that fit into one message each."""
    return [text[at : at + MAX_TEXT] for at in range(0, len(text), MAX_TEXT)]


class Question:
    """The user's side of a conversation. `epoch` is the Unix time at which `now` was 0."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self.speaking = False
        self.asked_at: float | None = None  # since when an answer is awaited
        self._words = ""  # of the running utterance: what stays,
        self._interim = ""  # and what the next piece replaces
        self._shown = ""  # the interim text last sent
        self._heard_at = 0.0  # when the user was last heard from
        self._text = ""  # all that was said or typed since the last answer

    @property
    def deadline(self) -> float | None:
        """When the words so far become final by themselves."""
        return self._heard_at + FINAL_SECONDS if self._utterance and not self.speaking else None

    def started(self) -> list[Message]:
        """The user's voice begins: nobody is waiting for an answer any more."""
        if self.speaking:
            return []
        self.speaking = True
        self.asked_at = None
        return [rtvi.USER_STARTED_SPEAKING]

    def stopped(self, now: float) -> list[Message]:
        """The user's voice ends; an answer is awaited."""
        if not self.speaking:
            return []
        self.speaking = False
        self.asked_at = self._heard_at = now
        return [rtvi.USER_STOPPED_SPEAKING]

    def heard(self, event: InputTranscript, now: float, *, late: bool) -> list[Message]:
        """A piece of the user's words. It is `late` when the answer has begun."""
        if event.interim:
            self._interim = event.text
        elif event.text:
            self._words += event.text
            self._interim = ""
        self._heard_at = now
        if event.finished or len(self._words) > MAX_TEXT:
            return self.final(now, late=late)
        text = self._utterance[-MAX_TEXT:]
        if not text or text == self._shown:
            return []
        self._shown = text
        return [rtvi.user_transcription(text, self._timestamp(now), final=False)]

    def final(self, now: float, *, late: bool) -> list[Message]:
        """The words so far are final; what comes next is another utterance."""
        text = self._utterance
        self._words = self._interim = self._shown = ""
        if text and not late:
            self.add(text)
        return [rtvi.user_transcription(portion, self._timestamp(now), final=True) for portion in portions(text)]

    def add(self, text: str) -> None:
        """More of the question, spoken or typed; of a very long one, the end."""
        self._text = f"{self._text} {text}".strip()[-MAX_TEXT:]

    def take(self) -> list[Message]:
        """The answer begins: the question as the model got it."""
        text, self._text = self._text, ""
        return [rtvi.user_llm_text(text)] if text else []

    @property
    def _utterance(self) -> str:
        return (self._words + self._interim).strip()

    def _timestamp(self, now: float) -> str:
        return datetime.fromtimestamp(self._epoch + now, UTC).isoformat(timespec="milliseconds")
