"""The local voice's conversation in virtual time, with ears and a mouth that say what they are told."""

import random
from collections.abc import Callable
from datetime import datetime
from typing import Final

import pytest

from relay.standin import aloud, ears, listening, voice
from relay.standin.local import LocalConversation
from relay.standin.memory import Shelf
from relay.standin.script import Script, parse
from tests import sound
from tests.test_standin import Phone, quiet

HEARING_S: Final = 0.1  # to write an utterance down
SPEAKING_S: Final = 0.05  # to make a sentence's sound, the first time
SENTENCE_S: Final = 1.2  # of sound
SILENCE_S: Final = listening.SILENCE_MS / 1000


def voiced(seconds: float) -> bytes:
    return sound.tone(300, seconds, ears.RATE, -20.0).pcm


class Studio:
    """Ears that hear `lines`, one after the other, and a mouth that remembers what it has said."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.now = 0.0
        self.spoken: list[tuple[float, str]] = []
        self._pending: list[tuple[float, Callable[[float], None]]] = []

    def probability(self, pcm: bytes) -> float:
        return 0.9

    def partial(self, pcm: bytes, told: Callable[[str, float], None]) -> None:
        pass

    def final(self, pcm: bytes, told: Callable[[str, float], None]) -> Callable[[], None]:
        return self._later(HEARING_S, lambda at: told(self.lines.pop(0), at))

    def speak(self, sentence: str, made: Callable[[bytes, float], None]) -> Callable[[], None]:
        known = sentence in [said for _, said in self.spoken]
        self.spoken.append((self.now, sentence))
        pcm = voice.tone(300, SENTENCE_S)
        return self._later(0.0 if known else SPEAKING_S, lambda at: made(pcm, at))

    def due(self) -> float | None:
        return min((due for due, _ in self._pending), default=None)

    def work(self, now: float) -> None:
        self.now = now
        ready = [item for item in self._pending if item[0] <= now]
        self._pending = [item for item in self._pending if item[0] > now]
        for _, act in ready:
            act(now)

    def _later(self, seconds: float, act: Callable[[float], None]) -> Callable[[], None]:
        item = self.now + seconds, act
        self._pending.append(item)
        return lambda: self._pending.remove(item) if item in self._pending else None


class Caller(Phone):
    """A phone to the local voice."""

    def __init__(self, studio: Studio, told: Script | None = None) -> None:
        super().__init__(told)
        self.studio = studio
        dice = random.Random(1).getrandbits
        self.conversation = LocalConversation(
            told or Script(), Shelf(), 1, dice, studio, lambda: datetime(2026, 11, 22, 15, 7)
        )
        self.call()
        self.wait(0.5)
        self.forget()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := min(filter(None, (self.conversation.due(), self.studio.due())), default=end + 1)) <= end:
            self.now = max(self.now, due)
            self.studio.work(self.now)
            self._collect()
        self.now = end
        self.studio.work(self.now)
        self._collect()

    def ask(self, seconds: float = 1.0) -> float:
        """Speaks so long, and is silent until the voice has heard that it is its turn; when the words ended."""
        self.speak(voiced(seconds))
        ended = self.now
        self.speak(quiet(SILENCE_S + 0.3))
        return ended


def test_what_is_heard_is_written_down_and_answered() -> None:
    caller = Caller(Studio("What is the capital of France?"))
    caller.ask()
    caller.wait(3)
    assert caller.heard() == ["What is the capital of France?"]
    assert caller.words().strip() == "The capital of France is Paris."


def test_the_answer_is_made_while_the_user_may_still_go_on() -> None:
    studio = Studio("What is two plus two?")
    caller = Caller(studio)
    ended = caller.ask()
    caller.wait(3)
    made = [at for at, sentence in studio.spoken if sentence == "2 plus 2 is 4."]
    assert made[0] < ended + SILENCE_S < made[1]
    assert caller.chunks()[0][0] - ended == pytest.approx(SILENCE_S, abs=0.05)


def test_what_was_answered_to_too_early_is_neither_said_nor_remembered() -> None:
    studio = Studio("My name is Tom.", "What is my name?")
    caller = Caller(studio)
    caller.speak(voiced(1.0))
    caller.speak(quiet(0.42))  # a draft, and its answer
    assert [sentence for _, sentence in studio.spoken] == ["Nice to meet you, Tom."]
    caller.ask()
    caller.wait(3)
    assert caller.words().strip() == "You have not told me your name yet."


def test_a_script_is_not_foreseen() -> None:
    studio = Studio("Hello.")
    caller = Caller(studio, parse({"replies": [{"say": "Scripted."}]}))
    caller.ask()
    caller.wait(3)
    assert [sentence for _, sentence in studio.spoken] == ["Scripted."]


def test_its_own_words_are_no_question_and_it_goes_on_where_they_cut_it() -> None:
    studio = Studio("Tell me a joke.", "did the bicycle fall")
    caller = Caller(studio)
    caller.ask()
    caller.forget()
    caller.ask(0.5)  # louder than any echo
    caller.wait(6)
    assert caller.heard() == []
    assert caller.contents("interrupted") == [True]
    assert "two tired" in caller.words()
    assert not any("heard" in sentence for _, sentence in studio.spoken)


def test_an_answer_begins_with_one_sentence_and_the_rest_is_made_while_it_sounds() -> None:
    studio = Studio("What can you do?")
    caller = Caller(studio)
    ended = caller.ask()
    caller.wait(15)
    times = [at for at, _ in studio.spoken]
    assert len(times) > 3
    assert caller.chunks()[0][0] < ended + SILENCE_S + 2 * SPEAKING_S
    assert caller.messages[-1]["serverContent"]["turnComplete"] is True
    seconds = voice.seconds(caller.sound())
    assert seconds == pytest.approx(SENTENCE_S * (len(times) - 1), abs=0.2)


def test_a_long_text_is_said_in_short_sentences() -> None:
    caller = Caller(Studio())
    caller.text("Repeat after me: " + "one two three, " * 30)
    caller.wait(1)
    assert all(len(sentence) <= aloud.MAX_SENTENCE for _, sentence in caller.studio.spoken)
