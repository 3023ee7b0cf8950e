"""A script in the local voice: its words, its timings, and what the user is told to have said."""

import base64
from typing import Any

import pytest

from relay.standin import ears, voice
from relay.standin.script import parse
from tests.test_local import Line

SPEECH_S = 1.2


def scripted(*replies: dict[str, Any], **more: Any) -> Line:
    return Line(parse({"replies": list(replies), **more}))


def first_sound(line: Line, seconds: float = 5.0) -> float:
    """When sound comes, from now on."""
    until = line.now + seconds
    before = len(line.told)
    while line.now < until:
        line.wait(0.01)
        if any("modelTurn" in m.get("serverContent", {}) for m in line.told[before:]):
            return line.now
    raise AssertionError("no sound came")


def sounds(line: Line) -> list[bytes]:
    parts = [p for m in line.told for p in m.get("serverContent", {}).get("modelTurn", {}).get("parts", [])]
    return [base64.b64decode(part["inlineData"]["data"]) for part in parts if "inlineData" in part]


@pytest.mark.parametrize(("line", "timings", "latency"), [({}, {}, 0.15), ({"latency_ms": 1200}, {}, 1.2),
                                                          ({}, {"latency_ms": 700}, 0.7)])  # fmt: skip
def test_a_line_comes_so_late_as_the_script_says(line: dict[str, Any], timings: dict[str, Any], latency: float) -> None:
    phone = scripted({"say": "One. Two.", **line}, timings=timings)
    phone.send(realtimeInput={"text": "go"})
    began = phone.now
    assert first_sound(phone) - began == pytest.approx(latency, abs=0.02)
    phone.wait(20)
    assert phone.answer == "One. Two."


def test_what_answers_the_answer_of_a_function_is_spoken_too() -> None:
    line = scripted({"calls": [{"name": "f", "id": "a"}], "then": {"say": "It is {result}. Fine."}})
    line.send(realtimeInput={"text": "go"})
    line.wait(1)
    line.send(toolResponse={"functionResponses": [{"id": "a", "name": "f", "response": {"result": 7}}]})
    line.wait(10)
    assert line.senses.spoken[-1] == "Fine."
    assert "7" in line.senses.spoken[0]


def test_a_line_that_only_calls_a_function_makes_no_sound() -> None:
    line = scripted({"calls": [{"name": "f", "id": "a"}]})
    line.send(realtimeInput={"text": "go"})
    line.wait(5)
    assert [m for m in line.told if "toolCall" in m]
    assert not [m for m in line.told if "modelTurn" in m.get("serverContent", {})]


def test_what_was_heard_is_what_the_script_says() -> None:
    line = scripted({"heard": "hello there", "say": "Hi."}, {"heard": "", "say": "Ho."})
    line.senses.so_far = "yellow"
    line.say("Yellow bear.")
    line.wait(5)
    assert line.take("inputTranscription") == ["hello there"]
    assert line.take("interimInputTranscription") == []
    line.say("Anything.")
    line.wait(5)
    assert line.take("inputTranscription") == []
    assert line.answer == "Hi.Ho."


def test_a_voice_without_words_is_what_the_script_says_too() -> None:
    line = scripted({"say": "One. Two. Three."}, {"heard": "stop", "say": "I stop."})
    line.say("Go.")
    line.wait(0.5)
    line.take("inputTranscription")
    line.say("")
    line.wait(10)
    assert line.take("inputTranscription") == ["stop"]
    assert line.senses.spoken[-1] == "I stop."


def test_the_script_s_captions_are_not_mixed_with_others() -> None:
    line = scripted({"interim": ["hel", "hello"], "say": "Hi."}, timings={"interim_ms": 100})
    line.senses.so_far = "yellow"
    line.say("Hello.", 2.0)
    line.wait(5)
    assert line.take("interimInputTranscription") == ["hel", "hello"]
    assert line.take("inputTranscription") == ["Hello."]


def test_whoever_goes_on_before_the_answer_is_told_the_script_s_words_once() -> None:
    line = scripted({"heard": "hello there", "say": "Hi."})
    line.senses.slow = []
    line.say("Hello.")
    line.say("There.")
    waiting, line.senses.slow = line.senses.slow, None
    for tell in waiting:
        tell()
    line.wait(5)
    assert line.take("inputTranscription") == ["hello there"]
    assert line.answer == "Hi."


def test_the_user_s_own_words_are_said_back_where_the_script_wants_that() -> None:
    line = scripted({"echo": True})
    line.say("Anything.", SPEECH_S)
    line.wait(10)
    pcm = b"".join(pcm for pcm in sounds(line))
    assert voice.seconds(pcm) == pytest.approx(SPEECH_S, abs=0.2)
    assert max(ears.levels(pcm, voice.RATE)) == pytest.approx(-20.0, abs=1.0)
    assert "your own words" in line.answer


def test_a_recording_of_the_script_s_is_said_from_its_beginning_after_a_noise() -> None:
    line = scripted({"say": "A tone.", "tone_hz": 440, "seconds": 3.0})
    line.say("Go.")
    line.wait(1.0)
    line.say("", 0.4)
    line.wait(10)
    pcm = b"".join(sounds(line))
    assert voice.seconds(pcm) > 3.5, "what was sent, and the whole of it again"
    assert line.take("turnComplete")
