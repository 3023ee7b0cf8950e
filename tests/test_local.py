"""A conversation of the local voice in virtual time, with ears and a mouth that do what a test says."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from relay.standin import voice
from relay.standin.local import MAX_RESUMED, LocalConversation
from relay.standin.memory import Shelf
from relay.standin.script import Script, parse
from relay.standin.timeline import Say
from tests.sound import tone

LOUD = tone(300.0, 0.032, 16_000, -20.0).pcm
QUIET = bytes(len(LOUD))
WINDOW_S = 0.032
SPEAKS_S = 2.0  # each sentence takes so long


class Senses:
    """Ears that hear what the test says, and a mouth that is done at once."""

    def __init__(self) -> None:
        self.words: list[str] = []  # of each final, in order; the last one for ever
        self.so_far = ""
        self.now = 0.0
        self.spoken: list[str] = []
        self.slow: list[Callable[[], None]] | None = None  # set, and finals wait here

    def probability(self, pcm: bytes) -> float:
        return float(any(pcm))

    def partial(self, pcm: bytes, told: Callable[[str, float], None]) -> None:
        if self.so_far:
            told(self.so_far, self.now)

    def final(self, pcm: bytes, told: Callable[[str, float], None]) -> Callable[[], None]:
        text = self.words.pop(0) if len(self.words) > 1 else self.words[0]
        taken = False

        def tell() -> None:
            if not taken:
                told(text, self.now)

        def take_back() -> None:
            nonlocal taken
            taken = True
            self.words.insert(0, text)

        if self.slow is None:
            tell()
        else:
            self.slow.append(tell)
        return take_back

    def speak(self, sentence: str, made: Callable[[bytes, float], None]) -> Callable[[], None]:
        self.spoken.append(sentence)
        made(bytes(2 * int(SPEAKS_S * voice.RATE)), self.now)
        return lambda: None


class Line:
    """A connection, and what it was told."""

    def __init__(self, script: Script | None = None, shelf: Shelf | None = None, **setup: Any) -> None:
        self.senses = Senses()
        self.now = 0.0
        self.told: list[dict[str, Any]] = []
        self.shelf = shelf or Shelf()
        sunday = datetime(2026, 11, 22, 15, 4)
        self.conversation = LocalConversation(
            script or Script(seed=1), self.shelf, 1, lambda n: 5, self.senses, lambda: sunday
        )
        transcripts: dict[str, Any] = {"inputAudioTranscription": {}, "outputAudioTranscription": {}}
        self.send(setup={"model": "models/gemini-3.8-live", **transcripts, **setup})
        self.wait(0.1)

    def send(self, **message: Any) -> None:
        self.conversation.receive(json.dumps(message), self.now)

    def sound(self, pcm: bytes) -> None:
        """One window of the microphone's sound, as time passes."""
        blob = {"data": base64.b64encode(pcm).decode(), "mimeType": "audio/pcm;rate=16000"}
        self.senses.now = self.now
        self.send(realtimeInput={"audio": blob})
        self.wait(WINDOW_S)

    def say(self, words: str, seconds: float = 1.2) -> None:
        """The user speaks, and is silent for so long that it counts."""
        self.senses.words = [words]
        for n in range(round((seconds + 0.6) / WINDOW_S)):
            self.sound(LOUD if n < seconds / WINDOW_S else QUIET)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.conversation.due()) is not None and due <= until:
            self.now = self.senses.now = max(self.now, due)
            self.told += [out.message for out in self.conversation.collect(self.now) if isinstance(out, Say)]
        self.now = self.senses.now = until

    def take(self, key: str) -> list[Any]:
        """What it was told of one kind, all or since it was taken last; texts joined where they are."""
        found = [m["serverContent"][key] for m in self.told if key in m.get("serverContent", {})]
        for message in self.told:
            message.get("serverContent", {}).pop(key, None)
        return [one["text"] if isinstance(one, dict) and "text" in one else one for one in found]

    @property
    def answer(self) -> str:
        return "".join(self.take("outputTranscription"))


def test_what_is_said_is_written_down_and_answered() -> None:
    line = Line()
    line.senses.so_far = "What is the"
    line.say("What is the capital of France?", 2.0)
    line.wait(10)
    assert line.take("inputTranscription") == ["What is the capital of France?"]
    interim = line.take("interimInputTranscription")
    assert interim[0] == "What is the"
    assert line.answer == "The capital of France is Paris."
    (done,) = line.take("turnComplete")
    assert done is True


def test_words_that_two_guesses_agree_on_are_marked() -> None:
    line = Line()
    line.senses.so_far = "What is the camera"
    for _ in range(round(0.8 / WINDOW_S)):
        line.sound(LOUD)
    line.senses.so_far = "What is the capital of"
    for _ in range(round(0.6 / WINDOW_S)):
        line.sound(LOUD)
    found = [m["serverContent"] for m in line.told if "interimInputTranscription" in m.get("serverContent", {})]
    words = [[word["word"] for word in one["interimInputTranscription"]["words"]] for one in found]
    assert words[0] == []
    assert ["What", "is", "the"] in words


def test_words_come_in_step_with_the_sound_and_turns_end_when_it_was_heard() -> None:
    line = Line()
    line.say("Tell me a joke.")
    began = line.now
    line.wait(0.6 * SPEAKS_S)
    assert len(line.senses.spoken) == 2, "the second sentence is made while the first is heard"
    assert not line.take("turnComplete")
    line.wait(10)
    sound = [m for m in line.told if "modelTurn" in m.get("serverContent", {})]
    assert all("inlineData" in m["serverContent"]["modelTurn"]["parts"][0] for m in sound)
    assert line.take("turnComplete")
    assert line.now - began > 2 * SPEAKS_S


def test_a_voice_interrupts_it_and_gets_its_answer() -> None:
    line = Line()
    line.say("Tell me a joke.")
    line.wait(0.5)
    line.take("outputTranscription")
    line.say("What is the capital of Italy?")
    assert line.take("interrupted") == [True]
    line.wait(10)
    assert line.answer == "The capital of Italy is Rome."


def test_its_own_words_do_not_count_and_it_goes_on_where_it_was_cut() -> None:
    line = Line()
    line.say("Tell me a joke.")
    line.wait(SPEAKS_S / 2)
    question = line.senses.spoken[0]
    line.take("inputTranscription")
    line.say(question)
    assert line.take("interrupted") == [True]
    line.wait(10)
    assert line.take("inputTranscription") == []
    assert line.senses.spoken[-2:] == line.senses.spoken[:2], "both sentences, for the first was cut"


def test_what_has_no_words_is_not_answered_and_cuts_off_nothing_for_good() -> None:
    line = Line()
    line.say("")
    line.wait(5)
    assert (line.take("inputTranscription"), line.answer) == ([], "")
    line.say("Tell me a joke.")
    for _ in range(MAX_RESUMED + 3):
        line.wait(0.3)
        line.say("")
    line.wait(20)
    assert len(line.senses.spoken) <= 2 * (MAX_RESUMED + 2)
    line.say("What is two plus two?")
    line.wait(10)
    assert "4" in line.answer


def test_words_that_come_late_are_in_order_and_whoever_goes_on_is_answered_once() -> None:
    line = Line()
    line.senses.slow = []
    line.say("My name is Anna.")
    line.say("What is the capital of France?")
    waiting, line.senses.slow = line.senses.slow, None
    for tell in reversed(waiting):
        tell()
    line.wait(10)
    assert sorted(line.take("inputTranscription")) == ["My name is Anna.", "What is the capital of France?"]
    assert len(line.take("turnComplete")) == 1


def test_a_minute_without_a_pause_comes_in_parts_and_is_answered_once() -> None:
    line = Line()
    line.say("and so on", 60.0)
    line.wait(10)
    parts = line.take("inputTranscription")
    assert len(parts) > 3
    assert "".join(parts).startswith("and so on and so on")
    assert len(line.take("turnComplete")) == 1


def test_with_marks_of_his_own_the_user_says_when_he_is_done() -> None:
    line = Line(realtimeInputConfig={"automaticActivityDetection": {"disabled": True}})
    line.senses.words = ["What is two plus two?"]
    line.send(realtimeInput={"activityStart": {}})
    for _ in range(30):
        line.sound(LOUD)
    assert not line.take("inputTranscription")
    line.send(realtimeInput={"activityEnd": {}})
    line.wait(10)
    assert line.take("inputTranscription") == ["What is two plus two?"]
    assert "4" in line.answer


def test_a_turn_that_is_sent_as_a_recording_is_answered() -> None:
    line = Line()
    line.senses.words = ["What is two plus two?"]
    blob = {"data": base64.b64encode(LOUD * 30).decode(), "mimeType": "audio/pcm;rate=16000"}
    line.send(clientContent={"turns": [{"role": "user", "parts": [{"inlineData": blob}]}], "turnComplete": True})
    line.wait(10)
    assert "4" in line.answer


def test_it_greets_when_told_to_and_remembers_a_name_over_a_resumption() -> None:
    line = Line(sessionResumption={})
    line.send(realtimeInput={"text": "Say hello, briefly, and ask how you can help."})
    line.wait(20)
    assert "local voice" in line.answer
    line.say("My name is Anna.")
    line.wait(10)
    handle = [m["sessionResumptionUpdate"]["newHandle"] for m in line.told if m.get("sessionResumptionUpdate")][-1]
    line.conversation.hang_up()
    again = Line(shelf=line.shelf, sessionResumption={"handle": handle})
    again.say("What is my name?")
    again.wait(10)
    assert again.answer == "Your name is Anna."


def test_whatever_is_typed_gets_a_bounded_answer() -> None:
    for text in ("x" * 100_000, "1" * 5000, "\u0000\ud83d\ude00 \\ %s {}", "¿Qué hora es?", "今何時ですか", "- - -"):
        line = Line()
        line.send(realtimeInput={"text": text})
        line.wait(300)
        assert not line.conversation.closed
        assert len(line.answer) < 2000


def test_a_function_that_blocks_is_answered_in_the_same_turn() -> None:
    weather = {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
    }
    line = Line(tools=[{"functionDeclarations": [weather]}])
    line.say("What is the weather in Paris?")
    line.wait(10)
    (call,) = [m["toolCall"]["functionCalls"][0] for m in line.told if "toolCall" in m]
    assert call["args"] == {"city": "Paris"}
    assert not line.take("turnComplete")
    answer = {"id": call["id"], "name": "get_weather", "response": {"result": "sunny"}}
    line.take("outputTranscription")
    line.send(toolResponse={"functionResponses": [answer]})
    line.wait(10)
    assert "sunny" in line.answer
    assert len(line.take("turnComplete")) == 1


def test_lines_of_a_script_come_first_and_are_spoken() -> None:
    line = Line(parse({"replies": [{"say": "One. Two."}], "greeting": {"say": "Good day."}}))
    line.say("Anything.")
    line.wait(10)
    assert line.senses.spoken == ["One.", "Two."]
    assert line.answer == "One. Two."
