"""What the bot says, on its way to be heard: sentence by sentence, and how far each is. Pure: no clock.

A sentence is told of when its sound begins (`new`), at the ends of words (`in-progress`) and when it has been heard
(`completed`). What has been heard, `history` knows by the same `Pace`.
"""

from collections import deque
from typing import Final

from relay import rtvi
from relay.audio.packet import ENCODED_RATE
from relay.pace import Pace
from relay.question import portions
from relay.rtvi import Message
from relay.sentences import Sentence, Sentences, letters, words

# Between two words of progress: 400 ms, one or two words. A message costs 0.5 ms of a core on its way through SCTP.
PROGRESS_SAMPLES: Final = ENCODED_RATE * 2 // 5


class Spoken:
    """One conversation's sentences of the bot. Set `generation` to 1 for a client that speaks RTVI 1.

    While `silent` is set, the text that comes is told of at once: it will not be heard. `pace` is kept by the owner.
    """

    def __init__(self, pace: Pace) -> None:
        self.generation = 2
        self.speaking = False
        self.silent = False
        self._sentences = Sentences()
        self._pace = pace
        self._held: deque[Sentence] = deque()  # whole, and not yet heard
        self._current: Sentence | None = None  # being heard
        self._words: deque[tuple[int, int]] = deque()  # of it, but the last: where each ends, in characters and letters
        self._told_at = 0  # where the listener was when the last was told
        self._segment = 0

    @property
    def unfinished(self) -> bool:
        """A sentence waits for its end."""
        return bool(self._sentences)

    @property
    def unheard(self) -> bool:
        """A sentence waits to be heard."""
        return bool(self._held)

    @property
    def saying(self) -> str:
        """The sentence that is being heard, if any."""
        return self._current.text if self._current is not None else ""

    def standing(self, *, more: bool) -> list[Message]:
        """What a client that comes now would have been told of what it is yet to hear. Is there `more` to come?"""
        texts = [self.saying, *(sentence.text for sentence in self._held), self._sentences.rest.strip()]
        ahead = " ".join(text for text in texts if text)
        out = [rtvi.BOT_LLM_STARTED] if more or ahead else []
        out += [rtvi.bot_llm_text(portion) for portion in portions(ahead)]
        if ahead and not more:
            out.append(rtvi.BOT_LLM_STOPPED)
        if self.speaking:
            out.append(rtvi.BOT_STARTED_SPEAKING)
        if self.saying:
            out.append(rtvi.bot_output(self.saying, self._segment, generation=self.generation))
        return out

    @property
    def waiting_for(self) -> int | None:
        """The position at which `played` is of interest again."""
        sentence = self._current
        if sentence is None:
            return self._pace.begins(self._held[0].at) if self._held else None
        end = sentence.at + letters(sentence.text)
        due = [self._pace.passed(end)] if self._pace.awaited(end) else []
        if self._words:
            due.append(max(self._pace.passed(self._words[0][1]), self._told_at + PROGRESS_SAMPLES))
        return min(due, default=None)

    def add(self, text: str, before: int, *, finished: bool) -> list[Message]:
        """A piece of text, before which so many letters were said."""
        whole = self._sentences.add(text, before)
        return self._whole(whole + self._sentences.flush() if finished else whole)

    def flush(self) -> list[Message]:
        """The unfinished sentence is whole as it is."""
        return self._whole(self._sentences.flush())

    def started(self) -> list[Message]:
        """The first frame of a turn left."""
        begun = [] if self.speaking else [rtvi.BOT_STARTED_SPEAKING]
        self.speaking = True
        return begun + self._due()

    def played(self) -> list[Message]:
        """The listener has moved on."""
        return self._due()

    def release(self, *, spoken: bool) -> list[Message]:
        """All whole sentences, for no more sound belongs to them; have they been `spoken`?"""
        out = self._complete()
        while self._held:
            out += self._new(self._held.popleft(), spoken) + self._complete()
        return out

    def stopped(self, *, more: bool) -> list[Message]:
        """The sound is over. What is not yet told of had no sound of its own, unless there is `more` to come."""
        if not self.speaking:
            return []
        out = self._complete() if more else self.flush() + self.release(spoken=True)
        self.speaking = False
        return [*out, rtvi.BOT_STOPPED_SPEAKING]

    def interrupted(self) -> list[Message]:
        """The sound is cut here: what has been heard is told, the rest is forgotten."""
        out = self.flush() if self.silent else []
        if self.speaking:
            out += self._due() + self._progress()
            if self._current is None and not self._held:
                out += self._whole(self._sentences.cut(self._pace.reached)) + self.release(spoken=True)
        self.forget()
        return out

    def forget(self) -> None:
        """What has not been heard will not be."""
        self._sentences = Sentences()
        self._held.clear()
        self._current = None
        self._words.clear()
        self.silent = False

    def _whole(self, sentences: list[Sentence]) -> list[Message]:
        self._held.extend(sentences)
        told = [rtvi.bot_transcription(sentence.text) for sentence in sentences]
        return told + (self.release(spoken=False) if self.silent else self._due())

    def _due(self) -> list[Message]:
        """What is to be told of what has been heard."""
        out: list[Message] = []
        while self.speaking:
            if (sentence := self._current) is not None:
                if self._pace.reached(sentence.at + letters(sentence.text)):
                    out += self._complete()
                    continue
                if self._pace.position - self._told_at >= PROGRESS_SAMPLES:
                    out += self._progress()
                break
            if not self._held or not self._pace.begun(self._held[0].at):
                break
            out += self._new(self._held.popleft(), True)
        return out

    def _new(self, sentence: Sentence, spoken: bool) -> list[Message]:
        self._segment += 1
        out = [rtvi.bot_output(sentence.text, self._segment, spoken=spoken, generation=self.generation)]
        if spoken:
            out.append(rtvi.bot_tts_text(sentence.text))
            if self.generation != 1:
                self._current, self._told_at = sentence, self._pace.position
                self._words = deque(words(sentence.text, sentence.at)[:-1])
        return out

    def _progress(self) -> list[Message]:
        """Up to the last word that has been heard, though not to the sentence's end."""
        told = 0
        while self._words and self._pace.reached(self._words[0][1]):
            told = self._words.popleft()[0]
        if not told or self._current is None:
            return []
        self._told_at = self._pace.position
        return [rtvi.bot_output_progress(self._current.text, self._segment, told)]

    def _complete(self) -> list[Message]:
        sentence, self._current = self._current, None
        self._words.clear()
        if sentence is None:
            return []
        return [rtvi.bot_output_progress(sentence.text, self._segment, len(sentence.text))]
