"""The local voice's own words, come back or quoted; what is left of an answer that was cut off; captions of nothing."""

from typing import Any, Final

import pytest

from relay.standin.local import MAX_RESUMED
from relay.standin.script import parse
from tests.test_local import LOUD, SPEAKS_S, WINDOW_S, Line

WEATHER: Final[dict[str, Any]] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}
NOISE_S: Final = 0.4


def over(line: Line, after: float) -> None:
    """Waits until so many seconds after the last answer was heard to its end."""
    while not line.take("turnComplete"):
        line.wait(0.01)
    line.wait(after)


def calls(line: Line) -> list[dict[str, Any]]:
    return [m["toolCall"]["functionCalls"][0] for m in line.told if "toolCall" in m]


@pytest.mark.parametrize("after", [0.05, 0.3, 0.9])
@pytest.mark.parametrize(("said", "wanted"), [("A joke.", "gummy bear"), ("The time.", "3:04")])
def test_an_answer_that_quotes_the_question_counts(after: float, said: str, wanted: str) -> None:
    line = Line()
    line.send(realtimeInput={"text": "Say hello."})
    over(line, after)
    line.take("outputTranscription")
    line.say(said, 0.6)
    line.wait(10)
    assert line.take("inputTranscription") == [said]
    assert wanted in line.answer


def test_what_was_said_long_ago_may_be_quoted_in_the_middle_of_a_sentence() -> None:
    line = Line()
    line.send(realtimeInput={"text": "Say hello."})
    line.wait(2.8 * SPEAKS_S)  # in the third sentence
    line.say("I am the local voice.", 0.6)
    assert line.take("inputTranscription") == ["I am the local voice."]


def test_a_sentence_that_the_user_says_again_counts() -> None:
    line = Line()
    line.say("I like apple pie.")
    over(line, 0.2)
    line.take("inputTranscription")
    line.say("I like apple pie.")
    assert line.take("inputTranscription") == ["I like apple pie."]


def test_our_last_words_come_back_late_and_do_not_count() -> None:
    line = Line()
    line.send(realtimeInput={"text": "Say hello."})
    over(line, 0.1)
    line.say("a sum, or a joke", 0.6)
    line.wait(5)
    assert line.take("inputTranscription") == []
    assert line.answer.endswith("joke.")


def test_a_noise_while_a_function_runs_brings_back_the_function_and_nothing_older() -> None:
    line = Line(tools=[{"functionDeclarations": [WEATHER]}])
    line.say("What can you do?")
    line.wait(0.5)
    line.say("What is the weather in Paris?")
    line.wait(1)
    (first,) = calls(line)
    spoken = len(line.senses.spoken)
    line.say("", NOISE_S)
    line.wait(1)
    cancelled = [m["toolCallCancellation"]["ids"] for m in line.told if "toolCallCancellation" in m]
    assert cancelled == [[first["id"]]]
    assert line.senses.spoken[spoken:] == []
    _, again = calls(line)
    assert again["args"] == {"city": "Paris"}
    line.take("outputTranscription")
    response = {"id": again["id"], "name": "get_weather", "response": {"result": "sunny"}}
    line.send(toolResponse={"functionResponses": [response]})
    line.wait(10)
    assert "sunny" in line.answer
    assert line.take("turnComplete")


def test_what_is_cut_of_a_function_s_answer_is_said_from_the_sentence_that_was_cut() -> None:
    line = Line(
        parse(
            {
                "replies": [
                    {"say": "One. Two.", "calls": [{"name": "f", "id": "a"}], "then": {"say": "Three. Four. Five."}}
                ]
            }
        ),
        tools=[{"functionDeclarations": [{"name": "f"}]}],
    )
    line.say("Go.")
    line.wait(2 * SPEAKS_S + 1)
    line.send(toolResponse={"functionResponses": [{"id": "a", "name": "f", "response": {}}]})
    line.wait(1.5 * SPEAKS_S)
    spoken = len(line.senses.spoken)
    line.say("", NOISE_S)
    line.wait(10)
    assert line.senses.spoken[spoken:] == ["Four.", "Five."]


def test_a_noise_before_a_function_is_called_does_not_keep_it_from_being_called() -> None:
    line = Line(
        parse({"replies": [{"say": "One. Two.", "calls": [{"name": "f", "id": "a"}]}], "timings": {"speed": 1}}),
        tools=[{"functionDeclarations": [{"name": "f"}]}],
    )
    line.say("Go.")
    line.wait(0.5)
    line.say("", NOISE_S)
    assert calls(line) == []
    line.wait(10)
    assert [call["name"] for call in calls(line)] == ["f"]


def test_a_function_that_nobody_waits_for_is_not_called_again() -> None:
    line = Line(
        parse({"replies": [{"say": "One.", "calls": [{"name": "f", "id": "a"}], "blocking": False}]}),
        tools=[{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}],
    )
    line.say("Go.")
    line.wait(1)  # it is called when all is sent, four times as fast as it is heard
    for _ in range(MAX_RESUMED):
        line.say("", NOISE_S)
    line.wait(10)
    assert len(calls(line)) == 1
    assert len(line.senses.spoken) > 1


def test_a_noise_brings_back_only_the_functions_that_are_not_answered_and_those_once() -> None:
    functions = [{"name": "f"}, {"name": "g"}]
    called = [{"name": "f", "id": "a"}, {"name": "g", "id": "b"}]
    line = Line(
        parse({"replies": [{"say": "One.", "calls": called, "then": {"say": "Two."}}]}),
        tools=[{"functionDeclarations": functions}],
    )
    line.say("Go.")
    line.wait(2 * SPEAKS_S)
    line.send(toolResponse={"functionResponses": [{"id": "a", "name": "f", "response": {}}]})
    for _ in range(MAX_RESUMED):
        line.say("", NOISE_S)
        line.wait(2)
    _, [again] = [m["toolCall"]["functionCalls"] for m in line.told if "toolCall" in m]
    assert again["name"] == "g"
    assert again["id"] not in ("a", "b"), "who has cancelled a call does not know it any more"


def test_another_answer_is_taken_up_again_however_often_the_one_before_was_cut() -> None:
    line = Line()
    line.say("Tell me a joke.")
    first = line.senses.spoken[-1]
    for _ in range(MAX_RESUMED + 1):
        line.wait(0.3)
        line.say(first)
    line.send(realtimeInput={"text": "What can you do?"})
    line.wait(0.5)
    spoken = len(line.senses.spoken)
    line.say("I tell the time", 0.6)
    line.wait(10)
    assert line.senses.spoken[spoken] == "I tell the time and the date."


def test_no_caption_comes_after_the_final_words() -> None:
    line = Line()
    waiting: list[Any] = []
    line.senses.partial = lambda pcm, told: waiting.append(told)  # type: ignore[method-assign]
    line.senses.words = ["What is two plus two?"]
    for _ in range(round(1.2 / WINDOW_S)):
        line.sound(LOUD)
    line.send(realtimeInput={"audioStreamEnd": True})
    assert waiting
    for told in waiting:
        told("What is two", line.now)
    line.wait(10)
    assert line.take("interimInputTranscription") == []
    assert line.take("inputTranscription") == ["What is two plus two?"]


@pytest.mark.parametrize("final", ["", "What do you call a bear without teeth?"])
def test_a_caption_that_no_final_words_follow_is_taken_back(final: str) -> None:
    line = Line()
    line.say("Tell me a joke.")
    line.wait(0.3)
    line.take("inputTranscription")
    line.senses.so_far = "Wine"
    line.say(final)
    assert line.take("inputTranscription") == []
    shown = line.take("interimInputTranscription")
    assert (shown[0], shown[-1]) == ("Wine", "")


def test_one_that_final_words_follow_is_not() -> None:
    line = Line()
    line.senses.so_far = "What is"
    line.say("What is two plus two?")
    assert "" not in line.take("interimInputTranscription")


def test_a_function_that_is_to_be_given_a_bottomless_list_is_not_called() -> None:
    for depth in (100, 900, 990, 3000):
        line = Line(tools=[{"functionDeclarations": [{"name": "f"}]}])
        line.send(realtimeInput={"text": f'call f {{"a": {"[" * depth}{"]" * depth}}}'})
        line.wait(10)
        assert calls(line) == []
        assert line.answer


def test_its_own_words_with_nothing_cut_off_use_up_no_line_of_a_script() -> None:
    line = Line(parse({"replies": [{"say": "The first of all lines."}, {"say": "The second."}]}))
    line.say("Go.")
    over(line, 0.1)
    line.say("first of all lines", 0.6)
    line.wait(3)
    line.take("outputTranscription")
    line.say("Go on.")
    line.wait(5)
    assert line.answer == "The second."
