"""Ten questions in three voices that are not its own: what the ears make of them gets the right answers."""

from datetime import datetime
from typing import Final

import pytest

from relay.standin import weights
from relay.standin.recognizer import Recognizer
from relay.standin.wits.wits import Wits
from tests import timbres

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
