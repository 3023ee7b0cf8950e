"""What the bot says, on its way to be heard: sentence by sentence, and how far each is. Pure: no clock.

A sentence is told of when its sound begins (`new`), at the ends of words (`in-progress`) and when it has been heard
(`completed`). Nobody says when a word sounds. What is known is where in the sound each piece of text came; between
two such places the letters are spread evenly, and behind the last they are taken to be slow, until more is known.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections import deque
from itertools import accumulate
from typing import Final

from relay import rtvi
from relay.audio.packet import ENCODED_RATE
from relay.question import portions
from relay.rtvi import Message
from relay.sentences import Sentence, Sentences, letters

# People speak 10 to 15 letters a second: with the slowest of them nothing is told of before it sounds.
SAMPLES_PER_LETTER: Final = ENCODED_RATE // 10
# Between two words of progress: 400 ms, one or two words. A message costs 0.5 ms of a core on its way through SCTP.
PROGRESS_SAMPLES: Final = ENCODED_RATE * 2 // 5
# Pieces of text whose place is remembered: a piece is a few words, five minutes of them can wait to be heard.
MAX_MARKS: Final = 2000
_WORD: Final = re.compile(r"\S+")


class Pace:
    """Letters of text ↔ samples of sound."""

    def __init__(self) -> None:
        self.letters = 0  # of all text so far
        self._marks: deque[tuple[int, int]] = deque(maxlen=MAX_MARKS)  # letters before, where they begin to sound

    def add(self, text: str, position: int) -> int:
        """The next piece of text, which begins to sound at `position` or later; returns the letters before it."""
        self.mark(position)
        before = self.letters
        self.letters += letters(text)
        return before

    def mark(self, position: int) -> None:
        """All text so far sounds before `position`."""
        if not self._marks or position > self._marks[-1][1]:
            self._marks.append((self.letters, position))

    def heard(self, position: int) -> float:
        """The letters that have been heard at `position`, which never goes back."""
        marks = self._marks
        while len(marks) > 1 and marks[1][1] <= position:
            marks.popleft()
        if not marks or position <= marks[0][1]:
            return marks[0][0] if marks else 0
        (begun, at), passed = marks[0], position - marks[0][1]
        if len(marks) > 1:
            return begun + passed * (marks[1][0] - begun) / (marks[1][1] - at)
        return min(self.letters, begun + passed / SAMPLES_PER_LETTER)

    def known(self, letter: int) -> bool:
        """Whether it is known, and not guessed, where that letter sounds."""
        return bool(self._marks) and letter <= self._marks[-1][0]

    def passed(self, letter: int) -> int:
        """The first position at which so many letters have been heard."""
        return self._place(bisect_left(self._marks, letter, key=_letters) - 1, letter)

    def begins(self, letter: int) -> int:
        """The first position at which more than so many letters have been heard."""
        return self._place(bisect_right(self._marks, letter, key=_letters) - 1, letter) + 1

    def _place(self, before: int, letter: int) -> int:
        """Where that letter sounds, by the mark `before` it and the one behind."""
        if before < 0:
            return self._marks[0][1] if self._marks else 0
        begun, at = self._marks[before]
        if before + 1 == len(self._marks):
            return at + (letter - begun) * SAMPLES_PER_LETTER
        end, until = self._marks[before + 1]
        return at + math.ceil((letter - begun) * (until - at) / (end - begun))


def _letters(mark: tuple[int, int]) -> int:
    return mark[0]


class Spoken:
    """One conversation's sentences of the bot. Set `generation` to 1 for a client that speaks RTVI 1.

    While `silent` is set, the text that comes is told of at once: it will not be heard.
    """

    def __init__(self) -> None:
        self.generation = 2
        self.speaking = False
        self.silent = False
        self._sentences = Sentences()
        self._pace = Pace()
        self._held: deque[Sentence] = deque()  # whole, and not yet heard
        self._current: Sentence | None = None  # being heard
        self._words: deque[tuple[int, int]] = deque()  # of it, but the last: where each ends, in characters and letters
        self._told_at = 0  # where the listener was when the last was told
        self._segment = 0
        self._played = 0

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
        due = [self._pace.passed(end)] if self._held or self._pace.known(end) else []
        if self._words:
            due.append(max(self._pace.passed(self._words[0][1]), self._told_at + PROGRESS_SAMPLES))
        return min(due, default=None)

    def add(self, text: str, position: int, *, finished: bool) -> list[Message]:
        """A piece of text, which begins to sound at `position`."""
        whole = self._sentences.add(text, self._pace.add(text, position))
        return self._whole(whole + self._sentences.flush() if finished else whole)

    def flush(self) -> list[Message]:
        """The unfinished sentence is whole as it is."""
        return self._whole(self._sentences.flush())

    def end(self, position: int) -> None:
        """All text so far sounds before `position`."""
        self._pace.mark(position)

    def started(self) -> list[Message]:
        """The first frame after silence left."""
        begun = [] if self.speaking else [rtvi.BOT_STARTED_SPEAKING]
        self.speaking = True
        return begun + self._due()

    def played(self, position: int) -> list[Message]:
        """The listener is at `position`."""
        self._played = max(self._played, position)
        return self._due()

    def release(self, *, spoken: bool) -> list[Message]:
        """All whole sentences, for no more sound belongs to them; have they been `spoken`?"""
        out = self._complete()
        while self._held:
            out += self._new(self._held.popleft(), spoken) + self._complete()
        return out

    def stopped(self, *, more: bool) -> list[Message]:
        """The sound is over. Sentences not yet told of had no sound of their own, unless there is `more` to come."""
        if not self.speaking:
            return []
        out = self._complete() if more else self.release(spoken=True)
        self.speaking = False
        return [*out, rtvi.BOT_STOPPED_SPEAKING]

    def interrupted(self) -> list[Message]:
        """The sound is cut here: what has been heard is told, the rest is forgotten."""
        out: list[Message] = []
        if self.speaking:
            heard = self._pace.heard(self._played)
            out += self._due() + self._progress(heard)
            if self._current is None and not self._held:
                self._sentences.drop_after(heard)
                out += self.flush() + self.release(spoken=True)
        self.forget()
        return out

    def forget(self) -> None:
        """What has not been heard will not be."""
        self._sentences, self._pace = Sentences(), Pace()
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
            heard = self._pace.heard(self._played)
            if (sentence := self._current) is not None:
                end = sentence.at + letters(sentence.text)
                if heard >= end and (self._held or self._pace.known(end)):
                    out += self._complete()
                    continue
                if self._played - self._told_at >= PROGRESS_SAMPLES:
                    out += self._progress(heard)
                break
            if not self._held or heard <= self._held[0].at:
                break
            out += self._new(self._held.popleft(), True)
        return out

    def _new(self, sentence: Sentence, spoken: bool) -> list[Message]:
        self._segment += 1
        out = [rtvi.bot_output(sentence.text, self._segment, spoken=spoken, generation=self.generation)]
        if spoken:
            out.append(rtvi.bot_tts_text(sentence.text))
            if self.generation != 1:
                self._current, self._told_at = sentence, self._played
                self._words = _words(sentence)
        return out

    def _progress(self, heard: float) -> list[Message]:
        """Up to the last word that has been heard, though not to the sentence's end."""
        told = 0
        while self._words and self._words[0][1] <= heard:
            told = self._words.popleft()[0]
        if not told or self._current is None:
            return []
        self._told_at = self._played
        return [rtvi.bot_output_progress(self._current.text, self._segment, told)]

    def _complete(self) -> list[Message]:
        sentence, self._current = self._current, None
        self._words.clear()
        if sentence is None:
            return []
        return [rtvi.bot_output_progress(sentence.text, self._segment, len(sentence.text))]


def _words(sentence: Sentence) -> deque[tuple[int, int]]:
    """Where each word but the last ends: in characters of the sentence, and in letters of all that is said."""
    ends = [word.end() for word in _WORD.finditer(sentence.text)][:-1]
    places = accumulate((letters(word) for word in _WORD.findall(sentence.text)[:-1]), initial=sentence.at)
    return deque(zip(ends, list(places)[1:], strict=True))
