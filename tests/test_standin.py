"""The stand-in: its conversation in virtual time, its script, and its process and sockets on loopback."""

import asyncio
import base64
import json
import os
import random
import re
import signal
import sys
import time
import wave
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.standin import ears, faults, mind, script, server, voice, wire
from relay.standin.__main__ import main
from relay.standin.conversation import Conversation
from relay.standin.faults import Fault
from relay.standin.memory import HANDLE_LIFE_S, Shelf
from relay.standin.script import Line, Script, ScriptError, Timings
from relay.standin.server import PORTION, portions, serve
from relay.standin.timeline import MAX_UNSENT, Close, Out, Raw, Say
from tests import sound

ROOT: Final = Path(__file__).parent.parent
VECTORS: Final = Path(__file__).parent / "vectors"
WEATHER: Final = Path(__file__).parent / "sounds" / "weather.wav"
PATH: Final = "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
SETUP: Final[wire.Json] = {"model": "models/gemini-3.8-live"}
BOTH: Final[wire.Json] = {"inputAudioTranscription": {}, "outputAudioTranscription": {}}
FRAME_S: Final = 0.02


def voiced(seconds: float, level: float = -20.0, hertz: float = 300) -> bytes:
    return sound.tone(hertz, seconds, ears.RATE, level).pcm


def quiet(seconds: float) -> bytes:
    return bytes(2 * round(seconds * ears.RATE))


class Phone:
    """A client in virtual time: says things to one conversation and notes what comes back, and when."""

    def __init__(
        self, told: Script | None = None, shelf: Shelf | None = None, now: float = 100.0, number: int = 1
    ) -> None:
        self.now = now
        self.conversation = Conversation(told or Script(), shelf or Shelf(), number, random.Random(number).getrandbits)
        self.got: list[tuple[float, Out]] = []

    def send(self, message: wire.Json | str | bytes) -> None:
        self.conversation.receive(json.dumps(message) if isinstance(message, dict) else message, self.now)
        self._collect()

    def call(self, **fields: Any) -> "Phone":
        self.send({"setup": {**SETUP, **BOTH, **fields}})
        return self

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.conversation.due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._collect()
        self.now = end

    def speak(self, pcm: bytes) -> None:
        """In real time, 20 ms at a time."""
        for i in range(0, len(pcm), ears.FRAME_BYTES):
            self.wait(FRAME_S)
            data = base64.b64encode(pcm[i : i + ears.FRAME_BYTES]).decode()
            self.send({"realtimeInput": {"audio": {"data": data, "mimeType": "audio/pcm;rate=16000"}}})

    def text(self, text: str) -> None:
        self.send({"realtimeInput": {"text": text}})

    def _collect(self) -> None:
        self.got += [(self.now, out) for out in self.conversation.collect(self.now)]

    @property
    def messages(self) -> list[wire.Json]:
        return [out.message for _, out in self.got if isinstance(out, Say)]

    @property
    def closed(self) -> Close | None:
        return next((out for _, out in self.got if isinstance(out, Close)), None)

    def forget(self) -> None:
        self.got.clear()

    def contents(self, name: str) -> list[Any]:
        return [c[name] for m in self.messages if name in (c := m.get("serverContent", {}))]

    def words(self) -> str:
        return "".join(piece["text"] for piece in self.contents("outputTranscription"))

    def heard(self) -> list[str]:
        return [piece["text"] for piece in self.contents("inputTranscription")]

    def chunks(self) -> list[tuple[float, bytes]]:
        return [
            (at, base64.b64decode(part["inlineData"]["data"]))
            for at, out in self.got
            if isinstance(out, Say)
            for part in out.message.get("serverContent", {}).get("modelTurn", {}).get("parts", [])
            if "inlineData" in part
        ]

    def sound(self) -> bytes:
        return b"".join(pcm for _, pcm in self.chunks())

    def kinds(self) -> list[str]:
        """The keys of each message, the parts of serverContent spelled out; bare `{}` left out."""
        out = []
        for message in self.messages:
            names = [n for key, value in message.items() for n in (value if key == "serverContent" else [key])]
            if names and "modelTurn" not in names:
                out.append("+".join(names))
            elif names and out[-1:] != ["sound"]:
                out.append("sound")
        return out

    def handle(self) -> str:
        updates = [m["sessionResumptionUpdate"] for m in self.messages if "sessionResumptionUpdate" in m]
        return str(updates[-1]["newHandle"])


# --- the conversation, in virtual time -----------------------------------------------------------------------------


def test_the_setup_is_answered_at_once_and_with_a_handle() -> None:
    phone = Phone().call()
    assert phone.messages[0] == {"setupComplete": {}}
    assert phone.messages[1]["sessionResumptionUpdate"]["resumable"] is True
    assert len(phone.messages) == 2


def test_nothing_is_said_before_the_nudge() -> None:
    phone = Phone().call()
    phone.forget()
    phone.wait(60)
    assert phone.messages == []


@pytest.mark.parametrize("nudge", [" ", "", "\n"])
def test_a_nudge_is_answered_with_the_greeting(nudge: str) -> None:
    phone = Phone().call()
    phone.text(nudge)
    phone.wait(10)
    assert phone.words() == mind.GREETING
    assert phone.contents("turnComplete") == [True]
    phone.forget()
    phone.text(nudge)
    phone.wait(10)
    assert phone.words() == mind.STILL_HERE


def test_the_greeting_hums_quietly_and_always_the_same() -> None:
    hummed = voice.hum(mind.GREETING)
    assert hummed == voice.hum(mind.GREETING)
    assert 3 <= voice.seconds(hummed) <= 6
    assert -30 <= ears.level(hummed) <= -20
    assert max(map(abs, voice.samples(hummed))) <= voice.PEAK


def test_no_syllable_of_the_hum_clicks() -> None:
    samples = voice.samples(voice.hum(mind.GREETING))
    assert max(abs(b - a) for a, b in pairwise(samples)) < voice.PEAK / 2


def test_speech_is_said_back_and_described_honestly() -> None:
    phone = Phone().call()
    phone.wait(1)
    phone.forget()
    phone.speak(quiet(0.5) + voiced(2.0) + quiet(1.0))
    phone.wait(5)
    (heard,) = phone.heard()
    seconds = float(re.fullmatch(r"\((\d\.\d) s of speech\)", heard)[1])  # type: ignore[index]
    assert 1.9 <= seconds <= 2.2
    assert phone.words() == f"(your own words, {seconds:.1f} s)"
    assert voice.seconds(phone.sound()) == pytest.approx(seconds, abs=0.06)
    assert ears.level(phone.sound()) == pytest.approx(-20, abs=1)


def test_the_users_own_sentence_comes_back_recognisably() -> None:
    sentence = sound.read_wav(WEATHER)
    phone = Phone().call()
    phone.speak(sentence.pcm)
    phone.wait(5)
    spoken = sound.Sound(sentence.pcm[2 * ears.RATE : -2 * ears.RATE], ears.RATE)  # a second of silence on each side
    likeness = sound.compare(spoken, sound.Sound(phone.sound(), voice.RATE))
    assert likeness.levels > 0.98
    assert likeness.waveform > 0.98
    assert len(phone.sound()) / 2 / voice.RATE < sentence.seconds - 1.0  # the silence around it is gone


def test_the_answer_begins_half_a_second_and_the_latency_after_the_last_word() -> None:
    phone = Phone(Script(timings=Timings(latency_ms=150))).call()
    phone.speak(voiced(1.0) + quiet(1.0))
    end = phone.now - 1.0
    phone.wait(3)
    assert phone.chunks()[0][0] - end == pytest.approx(0.5 + 0.15, abs=0.06)


def test_chunks_of_190_ms_come_four_times_faster_than_they_play() -> None:
    phone = Phone().call()
    phone.text(" ")
    phone.wait(10)
    chunks = phone.chunks()
    assert {len(pcm) for _, pcm in chunks[:-1]} == {round(0.190 * voice.RATE) * 2}
    gaps = [b - a for (a, _), (b, _) in pairwise(chunks)]
    assert gaps == pytest.approx([0.0475] * len(gaps), abs=1e-6)


def test_the_turn_is_complete_when_playback_would_be_over() -> None:
    phone = Phone().call()
    phone.text(" ")
    phone.wait(10)
    first, last = phone.chunks()[0][0], phone.chunks()[-1][0]
    at = {k: t for t, o in phone.got if isinstance(o, Say) for k in o.message.get("serverContent", {})}
    assert at["generationComplete"] == pytest.approx(last)
    assert at["turnComplete"] == pytest.approx(first + voice.seconds(phone.sound()))


def test_a_turn_of_the_newer_shape_follows_the_recorded_order() -> None:
    phone = Phone().call(sessionResumption={})
    phone.forget()
    phone.speak(voiced(1.0) + quiet(0.7))
    phone.wait(5)
    assert phone.kinds() == [
        "voiceActivity",
        "inputTranscription",
        "voiceActivity",
        "sessionResumptionUpdate",
        "sound",
        "generationComplete",
        "turnComplete+usageMetadata",
        "sessionResumptionUpdate",
    ]
    assert {} in phone.messages
    turn = next(m["serverContent"]["modelTurn"] for m in phone.messages if "modelTurn" in m.get("serverContent", {}))
    assert turn["role"] == "model"
    assert re.fullmatch(r"\d+(\.\d{3})?s", phone.messages[0]["voiceActivity"]["audioOffset"])


def test_a_turn_of_the_older_shape_has_transcripts_of_their_own_and_no_voice_activity() -> None:
    phone = Phone().call(model="models/gemini-2.5-flash-native-audio-preview-12-2025")
    assert phone.messages == [{"setupComplete": {}}]
    phone.speak(voiced(1.0) + quiet(0.7))
    phone.wait(5)
    assert "voiceActivity" not in phone.kinds()
    assert {} not in phone.messages
    assert "".join(phone.heard()).startswith(" (1.")
    assert len(phone.heard()) == 4
    assert phone.words().startswith(" (your own words")
    assert all("outputTranscription" not in m["serverContent"] for m in phone.messages if "modelTurn" in str(m))


def test_transcripts_come_only_when_asked_for() -> None:
    phone = Phone()
    phone.send({"setup": SETUP})
    phone.speak(voiced(1.0) + quiet(0.7))
    phone.wait(5)
    assert phone.heard() == []
    assert phone.words() == ""
    assert phone.sound()


def test_usage_grows_with_the_context() -> None:
    phone = Phone().call()
    usages = []
    for _ in range(2):
        phone.speak(voiced(2.0) + quiet(0.7))
        phone.wait(5)
        usages.append(phone.messages[-1]["usageMetadata"])
    first, second = usages
    assert first["responseTokenCount"] == pytest.approx(2.1 * 25, abs=5)
    assert second["promptTokenCount"] > first["promptTokenCount"] + first["responseTokenCount"]
    assert second["totalTokenCount"] == second["promptTokenCount"] + second["responseTokenCount"]
    assert {d["modality"] for d in second["promptTokensDetails"]} == {"TEXT", "AUDIO"} or second["promptTokensDetails"]


def test_told_to_say_hello_before_anything_else_it_greets_and_later_it_quotes() -> None:
    phone = Phone().call()
    phone.text("Say hello, briefly.")
    phone.wait(10)
    assert phone.words() == mind.GREETING
    phone.forget()
    phone.text("Say hello, briefly.")
    phone.wait(10)
    assert phone.words() == "You typed: Say hello, briefly."


def test_typed_text_is_quoted() -> None:
    phone = Phone().call()
    phone.text("What is the time?")
    phone.wait(8)
    assert phone.words() == "You typed: What is the time?"
    assert phone.sound()
    phone.forget()
    phone.send({"client_content": {"turns": [{"role": "user", "parts": [{"text": "hi"}]}], "turn_complete": True}})
    phone.wait(8)
    assert phone.words() == "You typed: hi"


def test_long_text_is_cut_in_the_answer() -> None:
    phone = Phone().call()
    phone.text("x " * 5000)
    phone.wait(20)
    assert len(phone.words()) < 250
    assert voice.seconds(phone.sound()) <= voice.MAX_HUM_S


def test_half_a_character_is_no_trouble() -> None:
    phone = Phone().call()
    phone.send('{"realtimeInput": {"text": "\\ud83d"}}')
    phone.wait(3)
    assert [json.loads(wire.phrase(m)) for m in phone.messages]
    assert phone.contents("turnComplete") == [True]


def test_a_client_that_never_reads_is_cut_off_in_the_end() -> None:
    conversation = Conversation(Script(), Shelf(), 1, random.Random(1).getrandbits)
    conversation.receive(json.dumps({"setup": SETUP}), 0.0)
    conversation.collect(0.0)
    while not conversation.closed:
        conversation.receive('{"realtimeInput": {"text": "x"}}', 0.0)
    assert MAX_UNSENT <= len(conversation.collect(1.0)) <= MAX_UNSENT + 1


def test_content_without_a_complete_turn_is_only_remembered() -> None:
    phone = Phone().call()
    phone.forget()
    phone.send({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hi"}]}], "turnComplete": False}})
    phone.wait(5)
    assert phone.messages == []


def test_content_without_a_role_is_refused_by_the_newer_models() -> None:
    phone = Phone().call()
    phone.send({"clientContent": {"turns": [{"parts": [{"text": "hi"}]}], "turnComplete": True}})
    assert phone.closed == Close(1007, wire.INVALID)


def test_the_first_content_only_seeds_when_the_setup_says_so() -> None:
    phone = Phone().call(historyConfig={"initialHistoryInClientContent": True})
    phone.forget()
    content = {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hi"}]}], "turnComplete": True}}
    phone.send(content)
    phone.wait(3)
    assert phone.messages == []
    phone.text(" ")
    phone.wait(8)
    assert phone.words() == mind.GREETING
    phone.send(content)
    phone.wait(8)
    assert phone.words().endswith("You typed: hi")


# --- interruption --------------------------------------------------------------------------------------------------


def test_a_voice_interrupts_within_a_fifth_of_a_second_and_then_gets_its_answer() -> None:
    phone = Phone().call()
    phone.text(" ")
    phone.speak(quiet(2.0))
    phone.forget()
    start = phone.now
    phone.speak(voiced(1.0))
    at = next(t for t, o in phone.got if isinstance(o, Say) and "interrupted" in o.message.get("serverContent", {}))
    assert at - start <= 0.2
    assert phone.kinds() == ["voiceActivity", "interrupted", "turnComplete+usageMetadata"]
    phone.speak(quiet(0.7))
    phone.wait(5)
    assert phone.words().startswith("(your own words, 1.")


def test_an_interruption_while_still_generating_has_no_generation_complete() -> None:
    phone = Phone(Script(timings=Timings(speed=1.0))).call()
    phone.text(" ")
    phone.speak(quiet(1.0) + voiced(0.5))
    sent = len(phone.chunks())
    phone.speak(voiced(0.5))
    assert phone.contents("interrupted") == [True]
    assert phone.contents("generationComplete") == []
    assert len(phone.chunks()) == sent  # not one chunk more


def test_typed_text_interrupts_but_a_nudge_does_not() -> None:
    phone = Phone().call()
    phone.text(" ")
    phone.wait(1)
    phone.text(" ")
    assert phone.contents("interrupted") == []
    phone.text("stop")
    assert phone.contents("interrupted") == [True]
    phone.wait(8)
    assert phone.words().endswith("You typed: stop")


def test_without_interruption_the_new_words_are_answered_after_the_turn() -> None:
    phone = Phone().call(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
    phone.text(" ")
    phone.speak(quiet(1.0) + voiced(1.0) + quiet(0.7))
    phone.wait(15)
    assert phone.contents("interrupted") == []
    assert phone.words().startswith(mind.GREETING + "(your own words")
    assert phone.contents("turnComplete") == [True, True]


@pytest.mark.parametrize(("coupling", "delay"), [(-6, 0.4), (-12, 0.1), (-18, 0.4), (-30, 0.1)])
def test_a_loudspeaker_in_the_room_does_not_make_it_talk_to_itself(coupling: float, delay: float) -> None:
    """What was said is heard again, softer and later; after a false start or two it must have learnt that."""
    phone = Phone().call()
    phone.text(" ")
    gain, played, start = 10 ** (coupling / 20), b"", phone.now
    turns: list[float] = []
    for _ in range(int(20 / FRAME_S)):
        new = phone.chunks()
        if new and (phone.now > start + len(played) / 2 / voice.RATE or phone.contents("interrupted")):
            start, played = phone.now, b""  # the loudspeaker was silent, or was just flushed
            turns.append(phone.now)
        played += phone.sound()
        phone.forget()
        first = int((phone.now - delay - start) / FRAME_S) * round(FRAME_S * voice.RATE) * 2
        echo = played[first : first + round(FRAME_S * voice.RATE) * 2] if first >= 0 else b""
        echo16 = voice.resample(voice.to_bytes([s * gain for s in voice.samples(echo)]), voice.RATE, ears.RATE)
        phone.speak(echo16.ljust(ears.FRAME_BYTES, b"\0"))
    assert len(phone.conversation.utterances) <= 4
    assert turns[-1] < 100 + 14


@pytest.mark.parametrize("residual", [-46, -40, -36])
def test_a_voice_12_db_over_the_echo_still_interrupts(residual: float) -> None:
    phone = Phone().call()
    phone.text(" ")
    phone.speak(quiet(0.3))
    for _ in range(int(1.5 / FRAME_S)):
        phone.speak(voiced(FRAME_S, residual))
    assert phone.contents("interrupted") == []
    phone.speak(voiced(0.4, residual + ears.BARGE_IN_DB + 8))
    assert phone.contents("interrupted") == [True]


def test_a_click_is_no_voice_and_steady_noise_stops_being_one() -> None:
    hearing = ears.Ears(500)
    assert hearing.hear(quiet(1.0) + voiced(0.04) + quiet(1.0)) == []
    hiss = bytes(random.Random(1).randbytes(2 * ears.RATE * 20))
    soft = voice.to_bytes([s * 0.01 for s in voice.samples(hiss)])  # about -45 + 0 dB: a fan
    soft = voice.to_bytes([s * 2.0 for s in voice.samples(soft)])
    events = hearing.hear(soft)
    assert [type(e) for e in events] in ([], [ears.Onset, ears.End])
    assert not hearing.speaking


def test_an_utterance_ends_after_a_minute_whoever_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ears.MAX_UTTERANCE_S == 60
    monkeypatch.setattr(ears, "MAX_UTTERANCE_S", 3)  # what holds for a few seconds holds for sixty
    hearing = ears.Ears(500)
    events = hearing.hear(voiced(ears.MAX_UTTERANCE_S + 1, level=-10))
    assert [type(e) for e in events[:2]] == [ears.Onset, ears.End]
    assert isinstance(events[1], ears.End)
    assert len(events[1].pcm) <= ears.MAX_UTTERANCE_S * ears.RATE * 2


def test_the_setup_chooses_the_silence_that_ends_an_utterance() -> None:
    for wanted in (200, 1000):
        phone = Phone().call(realtime_input_config={"automatic_activity_detection": {"silence_duration_ms": wanted}})
        phone.speak(voiced(1.0) + quiet(wanted / 1000 - 0.06))
        assert phone.heard() == []
        phone.speak(quiet(0.12))
        assert len(phone.heard()) == 1


def test_the_end_of_the_stream_ends_the_utterance() -> None:
    phone = Phone().call()
    phone.speak(voiced(1.0))
    phone.send({"realtime_input": {"audioStreamEnd": True}})
    assert len(phone.heard()) == 1


def test_with_manual_activity_only_what_lies_between_the_marks_counts() -> None:
    phone = Phone().call(realtimeInputConfig={"automaticActivityDetection": {"disabled": True}})
    phone.speak(voiced(1.0) + quiet(1.0))
    assert phone.heard() == []
    phone.send({"realtime_input": {"activityStart": {}}})
    phone.speak(voiced(2.0) + quiet(2.0))
    assert phone.heard() == []
    phone.send({"realtime_input": {"activityEnd": {}}})
    phone.wait(0.5)
    assert phone.heard()[0].startswith(("(2.0", "(2.1"))
    phone.send({"realtimeInput": {"activityStart": {}}})
    assert phone.contents("interrupted") == [True]


def test_manual_marks_are_refused_while_it_listens_by_itself() -> None:
    phone = Phone().call()
    phone.send({"realtimeInput": {"activityStart": {}}})
    assert phone.closed == Close(1007, wire.INVALID)


# --- tools, resumption, time limits --------------------------------------------------------------------------------

WEATHER_CALL: Final = {"name": "get_weather", "args": {"city_name": "Paris"}, "id": "fc_1"}


def answer(name: str = "fc_1", **fields: Any) -> wire.Json:
    response = {"id": name, "name": "get_weather", "response": {"sky_is": "blue"}, **fields}
    return {"tool_response": {"functionResponses": [response]}}


def test_a_blocking_call_holds_the_turn_until_it_is_answered() -> None:
    phone = Phone(
        script.parse({"replies": [{"say": "One moment.", "calls": [WEATHER_CALL], "then": {"say": "It is {result}."}}]})
    ).call()
    phone.text("weather?")
    phone.wait(60)
    assert [m["toolCall"]["functionCalls"] for m in phone.messages if "toolCall" in m] == [[WEATHER_CALL]]
    assert phone.contents("turnComplete") == []
    phone.send(answer("unheard-of"))
    phone.send(answer())
    phone.send(answer())
    phone.wait(8)
    assert phone.words() == 'One moment.It is {"sky_is": "blue"}.'
    assert phone.contents("turnComplete") == [True]
    assert phone.closed is None


def test_an_interruption_cancels_the_pending_call() -> None:
    phone = Phone(script.parse({"replies": [{"seconds": 0, "calls": [WEATHER_CALL]}]})).call()
    phone.text("weather?")
    phone.wait(2)
    phone.forget()
    phone.speak(voiced(0.5))
    assert phone.messages[1] == {"toolCallCancellation": {"ids": ["fc_1"]}}
    assert phone.kinds()[1:4] == ["toolCallCancellation", "interrupted", "turnComplete+usageMetadata"]
    phone.send(answer())
    assert phone.closed is None


@pytest.mark.parametrize(
    ("scheduling", "interrupted", "spoken"), [("INTERRUPT", 1, True), ("WHEN_IDLE", 0, True), ("SILENT", 0, False)]
)
def test_an_answer_that_nobody_waits_for_is_scheduled_as_it_asks(
    scheduling: str, interrupted: int, spoken: bool
) -> None:
    line = {"say": "Working on it.", "calls": [WEATHER_CALL], "blocking": False, "then": {"say": "Done."}}
    phone = Phone(script.parse({"replies": [line]})).call()
    phone.text("weather?")
    phone.wait(0.6)
    phone.send(answer(scheduling=scheduling))
    phone.wait(8)
    assert len(phone.contents("interrupted")) == interrupted
    assert phone.words().endswith("Done.") is spoken
    assert len(phone.contents("turnComplete")) == 1 + spoken


def test_a_handle_brings_the_memory_back_and_stays_good() -> None:
    shelf = Shelf()
    told = script.parse({"replies": [{"say": "one"}, {"say": "two"}]})
    first = Phone(told, shelf).call(sessionResumption={})
    first.text("hello")
    first.wait(5)
    handles = [
        u["newHandle"] for m in first.messages if (u := m.get("sessionResumptionUpdate", {})).get("resumable") is True
    ]
    assert len(set(handles)) == len(handles) == 2
    first.conversation.hang_up()
    for n, handle in enumerate(handles):
        again = Phone(told, shelf, now=200.0, number=2 + n).call(sessionResumption={"handle": handle})
        assert again.messages[0] == {"setupComplete": {}}
        again.text("and now?")
        again.wait(5)
        assert again.words() == ("two" if n == 0 else "You typed: and now?")
        again.conversation.hang_up()


def test_it_is_not_resumable_while_it_speaks() -> None:
    phone = Phone().call(sessionResumption={})
    phone.forget()
    phone.text(" ")
    phone.wait(1)
    assert {"sessionResumptionUpdate": {}} in phone.messages
    assert not any(m.get("sessionResumptionUpdate") for m in phone.messages)


def test_a_session_that_is_still_open_or_long_gone_is_not_resumed() -> None:
    shelf = Shelf()
    first = Phone(shelf=shelf).call(sessionResumption={})
    handle = first.handle()
    second = Phone(shelf=shelf, number=2).call(sessionResumption={"handle": handle})
    assert second.closed is not None
    assert second.closed.code == 1011
    first.conversation.hang_up()
    late = Phone(shelf=shelf, number=3, now=100 + HANDLE_LIFE_S + 1).call(sessionResumption={"handle": handle})
    assert late.closed == Close(1007, wire.INVALID)
    assert Phone().call(sessionResumption={"handle": "made-up"}).closed == Close(1007, wire.INVALID)


def test_it_goes_away_after_ten_minutes_and_says_so_fifty_seconds_before() -> None:
    phone = Phone().call()
    phone.forget()
    phone.wait(549)
    assert phone.got == []
    phone.wait(2)
    assert phone.messages == [{"goAway": {"timeLeft": "50s"}}]
    phone.text(" ")
    phone.wait(48)
    assert phone.words() == mind.GREETING
    phone.wait(3)
    assert phone.closed == Close(1011, faults.DEADLINE)


def test_a_life_without_end_is_possible() -> None:
    phone = Phone(script.parse({"timings": {"lifetime_s": 0}})).call()
    assert phone.conversation.due() is None


# --- what it refuses -----------------------------------------------------------------------------------------------


def nested(levels: int) -> wire.Json:
    return {"a": nested(levels - 1)} if levels else {}


UNKNOWN: Final = r"Invalid JSON payload received\. Unknown name \"{}\""


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("not json", 1007, "Invalid JSON"),
        (b"\xff\xfe", 1007, "Invalid JSON"),
        ("[]", 1007, "Invalid JSON"),
        ("[" * 100_000, 1007, "Invalid JSON"),
        ({}, 1007, "invalid argument"),
        ({"realtimeInput": {"text": "too early"}}, 1007, "invalid argument"),
        ({"setup": SETUP, "realtimeInput": {}}, 1007, "invalid argument"),
        ({"frobnicate": {}}, 1007, UNKNOWN.format("frobnicate")),
        ({"setup": {**SETUP, "frobnicate": 1}}, 1007, UNKNOWN.format("frobnicate") + " at 'setup'"),
        ({"setup": {}}, 1008, "is not found for API version"),
        ({"setup": {**SETUP, "generationConfig": {"responseModalities": ["TEXT"]}}}, 1007, "invalid argument"),
        ({"setup": {**SETUP, "generationConfig": 3}}, 1007, "generation_config"),
        ({"setup": {**SETUP, "proactivity": {"proactiveAudio": False}}}, 1007, "invalid argument"),
        (
            {"setup": {**SETUP, "realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": "x"}}}},
            1007,
            "",
        ),
        ({"setup": 7}, 1007, ""),
        ('{"setup": {"\\ud800": 1}}', 1007, "Unknown name"),
    ],
)
def test_a_bad_first_frame_closes_with_the_services_own_words(
    message: wire.Json | str | bytes, code: int, reason: str
) -> None:
    phone = Phone()
    phone.send(message)
    assert phone.messages == []
    assert phone.closed is not None
    assert phone.closed.code == code
    assert re.search(reason, phone.closed.reason)
    assert len(phone.closed.reason.encode()) <= wire.MAX_REASON_BYTES


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"setup": SETUP}, wire.INVALID),
        ({"realtimeInput": {"frobnicate": 1}}, "Unknown name"),
        ({"realtimeInput": {"audio": {"data": "AAAAAA==", "mimeType": "audio/ogg"}}}, wire.BAD_AUDIO),
        ({"realtimeInput": {"audio": {"data": "A", "mimeType": "audio/pcm"}}}, "Base64"),
        ({"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm"}}}, wire.BAD_AUDIO),
        ({"realtimeInput": {"audio": {"data": 7}}}, "Base64"),
        ({"realtimeInput": {"mediaChunks": [{"data": "", "mimeType": "audio/pcm"}]}}, wire.NO_MEDIA_CHUNKS),
        ({"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=15999"}}}, wire.BAD_AUDIO),
        ({"toolResponse": {"functionResponses": [{"response": nested(wire.MAX_DEPTH)}]}}, wire.INVALID),
        ({"toolResponse": {"functionResponses": "no"}}, "not a list"),
        ({"clientContent": {"turns": [7]}}, "not a list"),
    ],
)
def test_a_bad_later_frame_closes_with_a_reason(message: wire.Json, reason: str) -> None:
    phone = Phone().call()
    phone.send(message)
    assert phone.closed is not None
    assert phone.closed.code == 1007
    assert reason in phone.closed.reason or phone.closed.reason in reason


def test_unknown_names_deeper_down_are_noted_or_refused_as_the_script_says() -> None:
    lax = Phone().call(generationConfig={"frobnicate": 1})
    assert lax.closed is None
    assert lax.conversation.notes == ["unknown name frobnicate at setup.generationConfig"]
    strict = Phone(script.parse({"strict": True})).call(generationConfig={"frobnicate": 1})
    assert strict.closed is not None


def test_a_frame_sent_before_setup_complete_is_refused() -> None:
    phone = Phone(script.parse({"timings": {"setup_ms": 500}})).call()
    phone.text(" ")
    assert phone.closed == Close(1007, wire.INVALID)


FIELDS: Final = [
    *(*wire.KINDS, *wire.REALTIME, *sorted(wire.SETUP), "turns", "parts", "text", "role", "inlineData", "data"),
    *("mime_type", "functionResponses", "id", "response", "scheduling", "turn_complete", "handle", "tools"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(wire.KINDS), json_values, min_size=1, max_size=1), max_size=4))
@settings(max_examples=40, deadline=None)
def test_whatever_a_client_sends_is_taken_or_refused(messages: list[wire.Json]) -> None:
    phone = Phone().call(sessionResumption={})
    for message in messages:
        phone.send(message)
        phone.wait(0.1)
    for _, out in phone.got:
        if isinstance(out, Say):
            wire.phrase(out.message)


@given(json_values)
@settings(max_examples=40, deadline=None)
def test_whatever_a_setup_holds_is_taken_or_refused(value: Any) -> None:
    phone = Phone()
    phone.send({"setup": value})
    assert phone.closed is not None or phone.messages


# --- the wire format -----------------------------------------------------------------------------------------------


def test_messages_go_out_indented_by_two_and_end_in_a_newline() -> None:
    assert wire.phrase({"setupComplete": {}}) == b'{\n  "setupComplete": {}\n}\n'
    assert len(wire.phrase({"setupComplete": {}})) == 26
    assert wire.phrase({}) == b"{}\n"


def test_both_spellings_of_a_name_are_read_but_not_inside_opaque_payloads() -> None:
    kind, body = wire.read(
        json.dumps(
            {
                "tool_response": {
                    "function_responses": [
                        {"id": "1", "will_continue": True, "response": {"keep_this": {"and_this": 1}}}
                    ]
                }
            }
        )
    )
    assert kind == "toolResponse"
    assert body == {
        "functionResponses": [{"id": "1", "willContinue": True, "response": {"keep_this": {"and_this": 1}}}]
    }
    schema = {"properties": {"room_name": {"type": "STRING"}}}
    raw = {"tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": schema}]}]}
    assert wire.normal(raw) == {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}]}


@given(st.binary(max_size=100))
def test_either_base64_alphabet_is_read(data: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(data).decode()
        assert wire.base64_bytes(text, "x") == data
        assert wire.base64_bytes(text.rstrip("="), "x") == data


@pytest.mark.parametrize(("seconds", "text"), [(50, "50s"), (9.5, "9.500s"), (1.88, "1.880s"), (0, "0s")])
def test_durations_have_no_fraction_or_three_digits(seconds: float, text: str) -> None:
    assert wire.duration(seconds) == text


RECORDED: Final[dict[str, list[wire.Json]]] = json.loads((VECTORS / "client_frames.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_what_the_known_clients_send_is_accepted(name: str) -> None:
    """Frames as the Python and JavaScript SDKs and Pipecat wrote them."""
    phone = Phone()
    if "setup" not in RECORDED[name][0]:
        manual = {"automaticActivityDetection": {"disabled": True}}
        phone.call(model="models/gemini-2.5-flash-native-audio-latest", realtimeInputConfig=manual)
    for frame in RECORDED[name]:
        if handle := frame.get("setup", {}).get("sessionResumption", {}).pop("handle", ""):
            assert handle == "HANDLE-1"  # which nobody gave out
        phone.send(frame)
        phone.wait(0.1)
    assert phone.closed is None
    assert phone.messages[0] == {"setupComplete": {}}


# --- sound ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "to"), [(16000, 24000), (24000, 16000), (8000, 16000), (48000, 24000), (44100, 24000)]
)
def test_resampling_keeps_a_tone(rate: int, to: int) -> None:
    out = voice.samples(voice.resample(sound.tone(1000, 0.5, rate).pcm, rate, to))
    wanted = voice.samples(sound.tone(1000, 0.5, to).pcm)
    assert abs(len(out) - len(wanted)) <= 1
    error = [a - b for a, b in zip(out[500:-500], wanted[500:-500], strict=False)]
    assert ears.level(voice.to_bytes(list(map(float, error)))) < -12 - 40


@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([16000, 24000]), st.integers(0, 600))
@settings(max_examples=60, deadline=None)
def test_a_piece_of_resampled_sound_is_the_same_bytes_as_in_the_whole(
    start: int, count: int, rate: int, length: int
) -> None:
    pcm = random.Random(length).randbytes(2 * length)
    start *= voice.step(rate)
    whole = voice.resample(pcm, rate)
    assert voice.piece(pcm, rate, start, count) == whole[2 * start : 2 * (start + count)]


def test_loud_sound_is_clipped_and_not_wrapped() -> None:
    square = voice.to_bytes([32767.0 if i // 8 % 2 else -32768.0 for i in range(4000)])
    out = voice.samples(voice.resample(square, 16000))
    assert max(out) == 32767
    assert min(out) == -32768


def test_silence_around_speech_is_cut_and_pure_silence_is_nothing() -> None:
    assert voice.seconds(voice.trim(quiet(1) + voiced(1) + quiet(2), 16000), 16000) == pytest.approx(1.12, abs=0.03)
    assert voice.trim(quiet(1), 16000) == b""


# --- the script ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ([], "must be an object"),
        ({"replys": []}, "unknown name 'replys'"),
        ({"replies": {}}, "replies must be a list"),
        ({"replies": [{"say": 7}]}, r"replies\[0\]\.say must be text"),
        ({"replies": [{"calls": [{}]}]}, r"calls\[0\] needs a name"),
        ({"replies": [{"then": {"sey": ""}}]}, r"replies\[0\]\.then has an unknown name"),
        ({"replies": [{"wav": "x.wav"}]}, "needs a script file"),
        ({"timings": {"speed": 0}}, r"timings\.speed must be from 0\.1"),
        ({"timings": {"speed": True}}, r"timings\.speed must be a number"),
        ({"style": "9"}, "style must be one of"),
        ({"faults": [{"kind": "explode"}]}, r"faults\[0\]\.kind must be one of"),
        ({"faults": [{"code": 1011}]}, "needs a kind"),
        ({"faults": [{"kind": "drop", "after_s": 1, "code": 1011}]}, "takes no code"),
        ({"faults": [{"kind": "drop"}]}, "needs after_s or after_chunks"),
        ({"seed": "x"}, "seed must be a whole number"),
    ],
)
def test_a_wrong_script_is_told_in_one_sentence(raw: Any, sentence: str) -> None:
    with pytest.raises(ScriptError, match=sentence) as told:
        script.parse(raw)
    assert "\n" not in str(told.value)


CALLABLE: Final = {
    "tools": [{"functionDeclarations": [{"name": "roll"}, {"name": "ring", "behavior": "NON_BLOCKING"}]}]
}


@pytest.mark.parametrize(("name", "blocks"), [("roll", True), ("ring", False)])
def test_it_calls_a_function_that_it_is_told_to_by_name(name: str, blocks: bool) -> None:
    phone = Phone().call(**CALLABLE)
    phone.text(f'Call {name} {{"count": 2}}')
    phone.wait(1)
    (call,) = next(m["toolCall"]["functionCalls"] for m in phone.messages if "toolCall" in m)
    assert (call["name"], call["args"]) == (name, {"count": 2})
    assert any("turnComplete" in m.get("serverContent", {}) for m in phone.messages) is not blocks
    phone.send({"toolResponse": {"functionResponses": [{"id": call["id"], "name": name, "response": {"output": 7}}]}})
    phone.wait(5)
    assert phone.words() == 'The tool answered: {"output": 7}'


@pytest.mark.parametrize("text", ["call me", "call roll {", "call roll 2", "please call roll", "call roll now", "roll"])
def test_what_only_sounds_like_a_call_is_said_back(text: str) -> None:
    phone = Phone().call(**CALLABLE)
    phone.text(text)
    phone.wait(3)
    assert phone.words() == f"You typed: {text}"


def test_a_script_names_words_sound_and_timings() -> None:
    told = script.parse(
        {
            "greeting": {"say": "Hi.", "tone_hz": 440, "seconds": 1.0},
            "replies": [
                {
                    "heard": "hello",
                    "interim": ["he", "hell"],
                    "thought": "Hm.",
                    "say": "Hi!",
                    "latency_ms": 700,
                    "code": "1 + 1",
                    "grounding": {"webSearchQueries": ["hello"]},
                }
            ],
            "after": "silence",
            "timings": {"chunk_ms": 100, "speed": 10, "turn_complete_ms": 250},
        }
    )
    phone = Phone(told).call()
    phone.text(" ")
    phone.wait(3)
    assert phone.words() == "Hi."
    assert len(phone.chunks()) == 10
    assert ears.level(phone.sound()) == pytest.approx(20 * 0.0 + ears.level(voice.tone(440, 1.0)), abs=0.1)
    phone.forget()
    phone.speak(voiced(1.0) + quiet(0.56))
    phone.wait(3)
    assert phone.contents("interimInputTranscription") == [{"text": "he"}, {"text": "hell"}]
    assert phone.heard() == ["hello"]
    thought, code, result = (turn["parts"][0] for turn in phone.contents("modelTurn")[:3])
    assert thought == {"text": "Hm.", "thought": True}
    assert code["executableCode"]["code"] == "1 + 1"
    assert "not run" in result["codeExecutionResult"]["output"]
    assert phone.contents("groundingMetadata") == [{"webSearchQueries": ["hello"]}]
    assert phone.words() == "Hi!"
    phone.forget()
    phone.text("more?")
    phone.wait(3)
    assert phone.messages == []


@pytest.mark.parametrize(("after", "wanted"), [("loop", "abab"), ("last", "abbb"), ("echo", "ab")])
def test_after_the_last_line_the_script_loops_repeats_or_ends(after: str, wanted: str) -> None:
    phone = Phone(script.parse({"replies": [{"say": "a"}, {"say": "b"}], "after": after})).call()
    for _ in range(4):
        phone.text("next")
        phone.wait(6)
    assert phone.words().replace("You typed: next", "") == wanted


def test_a_script_file_may_bring_its_own_sound(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "hello.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(sound.tone(500, 1.0, 8000).pcm)
    (tmp_path / "script.json").write_text(json.dumps({"replies": [{"say": "x", "wav": "hello.wav"}]}))
    phone = Phone(script.load(tmp_path / "script.json")).call()
    phone.text("hello")
    phone.wait(3)
    assert voice.seconds(phone.sound()) == pytest.approx(1.0, abs=0.01)
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    with pytest.raises(ScriptError, match="not a WAV file"):
        script.load(tmp_path / "script.json")


def test_two_runs_of_the_same_seed_say_the_same() -> None:
    def run() -> list[tuple[float, Out]]:
        phone = Phone(script.parse({"seed": 5, "replies": [{"calls": [{"name": "f"}]}]})).call(sessionResumption={})
        phone.text("go")
        phone.wait(3)
        return phone.got

    assert run() == run()


def faulty(*faults: Fault) -> Script:
    return Script(faults=faults)


def test_faults_hit_only_the_connections_they_name() -> None:
    told = faulty(Fault("refuse-setup", on=(2,), code=1008, reason="no"))
    assert Phone(told, number=1).call().closed is None
    assert Phone(told, number=2).call().closed == Close(1008, "no")


def test_a_close_can_come_in_the_middle_of_a_sentence() -> None:
    phone = Phone(faulty(Fault("close", after_chunks=3, code=1011, reason="Internal error encountered."))).call()
    phone.text(" ")
    phone.wait(5)
    assert len(phone.chunks()) == 3
    assert phone.closed == Close(1011, "Internal error encountered.")


def test_a_line_can_be_cut_fall_silent_or_go_away() -> None:
    cut = Phone(faulty(Fault("drop", after_s=2))).call()
    cut.wait(3)
    assert cut.closed == Close(None)
    silent = Phone(faulty(Fault("silence", after_chunks=2))).call()
    silent.text(" ")
    silent.wait(5)
    assert len(silent.chunks()) == 2
    silent.text("hello?")
    silent.wait(5)
    assert len(silent.chunks()) == 2
    assert silent.closed is None
    leaving = Phone(faulty(Fault("go-away", after_s=1, time_left_s=2, code=1000, reason="bye", silent=True))).call()
    leaving.wait(2)
    assert leaving.messages[-1] == {"goAway": {"timeLeft": "2s"}}
    leaving.text(" ")
    leaving.wait(2)
    assert leaving.chunks() == []
    assert leaving.closed == Close(1000, "bye")


@pytest.mark.parametrize("what", faults.GARBAGE)
def test_garbage_of_every_kind_can_be_sent(what: str) -> None:
    phone = Phone(faulty(Fault("garbage", after_s=1, what=what))).call()
    phone.wait(2)
    (raw,) = [out for _, out in phone.got if isinstance(out, Raw)]
    assert isinstance(raw.data, str) is (what == "text-frame")
    assert (len(raw.data) > server.MAX_MESSAGE_BYTES) is (what == "huge")


def test_a_setup_can_be_slow_or_never_answered() -> None:
    slow = Phone(faulty(Fault("slow-setup", seconds=2))).call()
    slow.wait(1.9)
    assert slow.messages == []
    slow.wait(0.2)
    assert slow.messages[0] == {"setupComplete": {}}
    silent = Phone(faulty(Fault("silent-setup"))).call()
    silent.wait(1000)
    assert silent.got == []


# --- sockets -------------------------------------------------------------------------------------------------------


async def answer_of(socket: ClientConnection) -> wire.Json:
    frame = await socket.recv()
    assert isinstance(frame, bytes)
    message = json.loads(frame)
    assert frame == wire.phrase(message)
    return dict(message)


async def forever(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


@pytest.mark.parametrize("slashes", ["/", "//"])
@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("method", ["BidiGenerateContent", "BidiGenerateContentConstrained"])
async def test_every_address_of_the_service_is_answered(slashes: str, version: str, method: str) -> None:
    async with serve() as standin:
        url = f"{standin.url}{slashes}ws/google.ai.generativelanguage.{version}.GenerativeService.{method}?key=K"
        async with connect(url) as socket:
            await socket.send(json.dumps({"setup": SETUP}))
            assert await answer_of(socket) == {"setupComplete": {}}


@pytest.mark.parametrize(
    "path", ["/", "///ws/x", "/ws/google.ai.generativelanguage.v2.GenerativeService.BidiGenerateContent"]
)
async def test_any_other_address_is_not_found(path: str) -> None:
    async with serve() as standin:
        with pytest.raises(InvalidStatus) as refused:
            await connect(standin.url + path)
        assert refused.value.response.status_code == 404


async def test_a_test_can_read_what_the_model_side_heard() -> None:
    async with serve(Script(timings=Timings(latency_ms=10, speed=100))) as standin:
        async with connect(standin.url + PATH, additional_headers={"x-goog-api-key": "K"}) as socket:
            await socket.send(json.dumps({"setup": {**SETUP, **BOTH}}))
            await answer_of(socket)
            data = base64.urlsafe_b64encode(voiced(0.5)).decode()
            await socket.send(json.dumps({"realtime_input": {"audio": {"data": data, "mime_type": "audio/pcm"}}}))
            await socket.send(json.dumps({"realtime_input": {"text": "hi"}}))
            while "turnComplete" not in str(await answer_of(socket)):
                pass
            await standin.send({"serverContent": {"interrupted": True}})
            assert await answer_of(socket) == {"serverContent": {"interrupted": True}}
        heard = await standin.connected(1)
        while heard.closed is None:
            await asyncio.sleep(0.01)
        assert heard.setup == {**SETUP, **BOTH}
        assert heard.headers["x-goog-api-key"] == "K"
        assert standin.received_pcm(1) == voiced(0.5)
        assert heard.of("realtimeInput") == [{"audio": {"data": 16000, "mimeType": "audio/pcm"}}, {"text": "hi"}]
        assert heard.closed == (1000, "")
        assert standin.open == []


def test_a_lot_of_sound_in_one_message_is_listened_to_bit_by_bit() -> None:
    pcm = random.Random(1).randbytes(200_001 * 2)
    data = base64.b64encode(pcm).decode()
    audio: Any
    for audio in ({"data": data, "mime_type": "audio/pcm;rate=8000"}, {"data": data.rstrip("=")}):
        whole = json.dumps({"realtime_input": {"audio": audio}})
        heard = []
        for frame in portions(whole):
            assert len(frame) < PORTION + 100
            kind, body = wire.read(frame)
            heard.append(wire.audio_bytes(body["audio"], "audio"))
            assert (kind, len(body)) == ("realtimeInput", 1)
        assert b"".join(piece for piece, _ in heard) == pcm
        assert {rate for _, rate in heard} == {wire.audio_bytes(wire.read(whole)[1]["audio"], "audio")[1]}
    beside: Any
    for beside in ({"activityEnd": {}}, {"text": "hello"}):
        whole = json.dumps({"realtimeInput": {"audio": {"data": data}, **beside}})
        assert portions(whole) == [whole], "what is said beside it has its place"
    for other in (
        "{" * PORTION * 2,
        "[" * 100_000,
        "5",
        json.dumps({"setup": {"model": "m" * PORTION}}),
        b"\xff" * 99_999,
    ):
        assert portions(other) == [other]


async def test_a_message_with_a_lot_of_sound_is_heard_to_its_end() -> None:
    async with serve(Script(timings=Timings(latency_ms=10, speed=100))) as standin:
        async with connect(standin.url + PATH) as socket:
            await socket.send(json.dumps({"setup": SETUP}))
            await answer_of(socket)
            data = base64.b64encode(voiced(5.0)).decode()
            await socket.send(json.dumps({"realtimeInput": {"audio": {"data": data}}}))
            await socket.send(json.dumps({"realtimeInput": {"text": "hi"}}))
            while "turnComplete" not in str(await answer_of(socket)):
                pass
        assert standin.received_pcm(1) == voiced(5.0)


async def test_faults_reach_the_socket() -> None:
    told = faulty(
        Fault("refuse-upgrade", on=(1,), status=429, body="slow down"),
        Fault("close", on=(2,), after_s=0.05, code=1011, reason="Internal error encountered."),
        Fault("drop", on=(3,), after_s=0.05),
    )
    async with serve(told) as standin:
        with pytest.raises(InvalidStatus) as refused:
            await connect(standin.url + PATH)
        assert refused.value.response.status_code == 429
        for code in (1011, None):
            async with connect(standin.url + PATH) as socket:
                await socket.send(json.dumps({"setup": SETUP}))
                with pytest.raises(ConnectionClosed) as ended:
                    await forever(socket)
                assert (ended.value.rcvd.code if ended.value.rcvd else None) == code
        assert [h.number for h in standin.connections] == [2, 3]


async def test_a_mistake_of_its_own_ends_the_connection_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve() as standin, connect(standin.url + PATH) as first, connect(standin.url + PATH) as second:
        await standin.connected(2)
        monkeypatch.setattr((await standin.connected(1)).conversation, "receive", lambda *_: 1 / 0)
        await first.send("{}")
        with pytest.raises(ConnectionClosed):
            await forever(first)
        assert first.close_code == 1011
        assert "failed while listening" in caplog.text
        await second.send(json.dumps({"setup": SETUP}))
        assert await answer_of(second) == {"setupComplete": {}}


async def test_a_test_can_close_and_cut_connections() -> None:
    async with serve() as standin:
        for n in (1, 2):
            async with connect(standin.url + PATH) as socket:
                await standin.connected(n)
                if n == 1:
                    await standin.close(1008, "because", 1)
                else:
                    standin.drop(2)
                with suppress(ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == (1008 if n == 1 else 1006)


async def test_too_large_a_message_ends_the_connection() -> None:
    async with serve() as standin:
        socket = await connect(standin.url + PATH)
        with pytest.raises(ConnectionClosed):
            await asyncio.gather(socket.send("x" * (server.MAX_MESSAGE_BYTES + 1)), forever(socket))
        assert socket.close_code == 1009
        await socket.wait_closed()


async def test_the_hundred_and_first_line_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    async with serve() as standin, connect(standin.url + PATH), connect(standin.url + PATH):
        await standin.connected(2)
        with pytest.raises(InvalidStatus) as refused:
            await connect(standin.url + PATH)
        assert refused.value.response.status_code == 503


@pytest.mark.parametrize("depth", [100, 900, 990, 3000])
def test_a_function_that_is_to_be_given_a_bottomless_list_is_not_called(depth: int) -> None:
    phone = Phone().call(tools=[{"functionDeclarations": [{"name": "f"}]}])
    phone.text(f'call f {{"a": {"[" * depth}{"]" * depth}}}')
    phone.wait(5)
    assert "You typed" in phone.words()
    assert all(wire.phrase(message) for message in phone.messages)


# --- the process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


async def start(environment: dict[str, str], *arguments: str, stdin: int | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay.standin", *arguments),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )


async def test_the_process_says_where_it_listens_and_ends_at_once_when_told(environment: dict[str, str]) -> None:
    process = await start(environment, "--port", "0")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 10)).decode()
    found = re.fullmatch(r"listening on (ws://127\.0\.0\.1:\d+)\n", line)
    assert found
    async with connect(found[1] + PATH) as socket:
        await socket.send(json.dumps({"setup": SETUP}))
        assert await answer_of(socket) == {"setupComplete": {}}
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 5)
        assert time.monotonic() - told < 2
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_the_process_ends_with_its_parent(environment: dict[str, str]) -> None:
    process = await start(environment, "--with-parent", stdin=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert (await process.stdout.readline()).startswith(b"listening on")
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_a_port_that_cannot_be_had_is_told_in_one_line(environment: dict[str, str]) -> None:
    async with serve() as standin:
        process = await start(environment, "--port", str(standin.port))
        out, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, out) == (2, b"")
    assert b"Address already in use" in err
    assert err.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--script", "no-such-file.json"], "no-such-file.json cannot be read: No such file or directory."),
        (["--tls-cert", "x.pem"], "--tls-cert and --tls-key go together."),
        (
            ["--tls-cert", "x.pem", "--tls-key", "x.pem"],
            "--tls-cert and --tls-key must be a certificate and its key, both PEM.",
        ),
        (["--host", "192.0.2.1"], "it cannot listen on 192.0.2.1, port 0: Cannot assign requested address."),
    ],
)
def test_what_it_cannot_do_is_told_in_one_line(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"relay.standin: {sentence}\n")


def test_a_command_line_that_is_wrong_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--port", "x"])
    assert left.value.code == 2
    assert capsys.readouterr() == ("", "relay.standin: argument --port: invalid int value: 'x'.\n")


def test_a_line_has_only_the_fields_it_documents() -> None:
    documented = set(re.findall(r'^      "(\w+)":', script.__doc__ or "", re.MULTILINE))
    assert {f for f in Line.__dataclass_fields__ if f != "sound"} <= documented
    assert set(Timings.__dataclass_fields__) <= set(re.findall(r'"(\w+)":', script.__doc__ or ""))
    assert set(faults.FAULTS) == set(re.findall(r'"kind": "([\w-]+)"', script.__doc__ or ""))
