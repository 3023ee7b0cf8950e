"""Ten questions in three voices that are not its own: what the ears make of them gets the right answers."""

from datetime import datetime
from typing import Final

import numpy as np
import pytest

from relay.standin import vad, weights
from relay.standin.listening import RATE, End, Listening, Piece
from relay.standin.recognizer import Recognizer
from relay.standin.wits import skills
from relay.standin.wits.wits import Wits
from tests import hearing, noises, timbres
from tests.sound import read_wav

SUNDAY: Final = datetime(2026, 11, 22, 15, 7)
UNDERSTOOD: Final = 0.9  # of the questions of each voice


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(weights.directory())


@pytest.mark.parametrize("voice", timbres.VOICES)
def test_ten_spoken_questions_get_the_right_answers(recognizer: Recognizer, voice: str) -> None:
    mind = Wits(lambda: SUNDAY)
    right = 0
    for question, wanted in timbres.QUESTIONS:
        answer = mind.answer(recognizer.text(timbres.speak(question, voice)))
        right += wanted in answer.text.lower()
    assert right >= UNDERSTOOD * len(timbres.QUESTIONS)


@pytest.mark.parametrize("level", [10, 30, 100])
def test_a_short_question_out_of_a_noisy_silence_is_understood(recognizer: Recognizer, level: int) -> None:
    """The ears write down nothing when much more than half a second of noise comes first: they are not given that."""
    judge = vad.load(weights.directory() / "vad.onnx")
    chance = np.random.default_rng(7)
    heard = []
    for question, voice in (("What is my name?", "slt"), ("Tell me a joke.", "rms"), ("What can you do?", "rms")):
        said = np.concatenate([np.zeros(RATE), np.frombuffer(timbres.speak(question, voice), "<i2"), np.zeros(RATE)])
        noisy = np.clip(said + chance.normal(0, level, len(said)), -32768, 32767).astype("<i2").tobytes()
        ends = [event for event in Listening(judge().probability).hear(noisy) if isinstance(event, End)]
        heard += [recognizer.text(end.pcm) for end in ends]
    assert heard == ["What is my name?", "Tell me a joke.", "What can you do?"]


@pytest.mark.parametrize("language", ["german", "french"])
def test_what_is_said_in_another_language_gets_a_polite_answer_or_none(recognizer: Recognizer, language: str) -> None:
    """“Guten Tag, wie spät ist es bitte?”, “Bonjour, quelle heure est-il ?”, in the voice of espeak-ng."""
    judge = vad.load(weights.directory() / "vad.onnx")
    said = hearing.at_level(read_wav(f"tests/sounds/{language}.wav").pcm, -24.0)
    events = hearing.heard(judge(), noises.silence(1.0) + said + noises.silence(1.0))
    parts = [event.pcm for event in events if isinstance(event, End | Piece)]
    assert parts, "it is heard as a voice"
    answer = Wits(lambda: SUNDAY).answer(" ".join(map(recognizer.text, parts)).strip()).text
    assert answer in ("", " ".join(skills.ENGLISH_ONLY)) or "no answer to that" in answer
