"""Recordings in pieces that the recogniser can write down: no long pause, no piece too long, no word lost."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest

from relay.standin import vad, weights
from relay.standin.listening import LEAD, WINDOW_BYTES, WINDOW_MS
from relay.standin.recognizer import Recognizer
from relay.standin.recording import PAUSE, PIECE_S, RATE, Watch, pieces
from tests import hearing, timbres
from tests.sound import tone
from tests.test_local import LOUD, QUIET, Line

MAX_WORD_ERRORS: Final = 0.03


def loud(pcm: bytes) -> float:
    return float(any(pcm))


def voices(seconds: float) -> bytes:
    return tone(300.0, seconds, RATE, -20.0).pcm


def watched(pcm: bytes) -> list[bytes]:
    watch = Watch(loud)
    for at in range(0, len(pcm), 640):
        watch.hear(pcm[at : at + 640])
    return list(pieces(pcm, watch.voiced))


def test_a_long_pause_parts_two_pieces_and_is_in_neither() -> None:
    said = watched(bytes(32_000) + voices(1.0) + bytes(8 * 32_000) + voices(0.5) + bytes(32_000))
    margin = 2 * (LEAD + 1) * WINDOW_MS / 1000
    assert [len(piece) / 32_000 for piece in said] == [pytest.approx(1.0, abs=margin), pytest.approx(0.5, abs=margin)]


def test_a_little_pause_parts_nothing() -> None:
    pause = (PAUSE - 1) * WINDOW_BYTES
    assert len(watched(voices(1.0) + bytes(pause) + voices(1.0))) == 1


def test_nothing_that_is_said_is_lost() -> None:
    for seconds in (3.0, 25.0, 61.0):
        pcm = voices(seconds)
        said = watched(pcm)
        assert b"".join(said) == pcm
        assert all(len(piece) <= PIECE_S * RATE * 2 for piece in said)


@pytest.mark.parametrize("voiced", [(), [False] * 100])
def test_where_nobody_knows_of_a_voice_it_is_all_written_down(voiced: Sequence[bool]) -> None:
    pcm = voices(23.0)
    assert b"".join(pieces(pcm, voiced)) == pcm


def test_a_turn_that_the_user_marks_is_parted_at_its_pauses() -> None:
    line = Line(realtimeInputConfig={"automaticActivityDetection": {"disabled": True}})
    asked: list[float] = []
    final = line.senses.final

    def listening(pcm: bytes, told: Any) -> Any:
        asked.append(len(pcm) / 32_000)
        return final(pcm, told)

    line.senses.final = listening  # type: ignore[method-assign]
    for _ in range(2):
        line.senses.words = ["What is", "two plus two?"]
        line.send(realtimeInput={"activityStart": {}})
        for sound, windows in ((LOUD, 20), (QUIET, 250), (LOUD, 20), (QUIET, 30)):
            for _ in range(windows):
                line.sound(sound)
        line.send(realtimeInput={"activityEnd": {}})
        line.wait(10)
        assert line.take("inputTranscription") == ["What is", " two plus two?"]
        assert "4" in line.answer
    assert asked == [pytest.approx(0.83, abs=0.2)] * 4


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(weights.directory())


def words(recognizer: Recognizer, pcm: bytes) -> list[str]:
    watch = Watch(vad.load(weights.directory() / "vad.onnx")().probability)
    watch.hear(pcm)
    return [recognizer.text(piece).rstrip(",.") for piece in pieces(pcm, watch.voiced)]


@pytest.mark.parametrize("level", [0, 30])
def test_two_words_with_a_long_silence_between_them_are_both_heard(recognizer: Recognizer, level: int) -> None:
    dice = np.random.default_rng(3)

    def silence(seconds: float) -> bytes:
        return dice.normal(0, level, int(seconds * RATE)).astype("<i2").tobytes()

    for one, other in (("Yes.", "No."), ("Hello.", "Stop.")):
        said = silence(1) + timbres.speak(one) + silence(8) + timbres.speak(other, "rms") + silence(1)
        assert words(recognizer, said) == [one.rstrip("."), other.rstrip(".")]


def test_sentences_one_after_the_other_are_heard_as_each_alone_is(recognizer: Recognizer) -> None:
    texts, sounds = zip(*hearing.librivox(), strict=True)
    said = [word for text in texts for word in hearing.words(text)]
    heard = hearing.words(" ".join(words(recognizer, b"".join(sounds))))
    assert hearing.errors(said, heard) / len(said) <= MAX_WORD_ERRORS
