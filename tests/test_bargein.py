"""The user takes the word: how soon the voice stops, and what the model hears of the first word; in virtual time."""

import asyncio
import json

import pytest
from google.genai import types

from relay.agent import Agent, Listening
from relay.audio.activity import END_SECONDS, ONSET_SECONDS
from relay.gemini import events, protocol
from relay.marks import Marks
from relay.uplink import PREROLL_MS
from tests.talk import MODEL, SECOND, Call, play, voice

FRAME = 0.020
MODEL_WIRE = 0.020  # seconds of sound on the wire after the model's word, at most
LOCAL_WIRE = 0.060  # after our own ear's


async def answering(call: Call) -> None:
    """The model is in the middle of a long answer, of which more is to come."""
    call.does(events.OutputTranscript("One two three four five six seven eight nine ten."), events.Audio(SECOND * 10))
    await call.rest(2.0)
    assert call.now - call.wire[-1] <= FRAME


def onset(call: Call) -> int:
    """How many messages there were when the user was noticed."""
    return [message["type"] for message in call.said].index("user-started-speaking")


def test_the_wire_is_silent_within_20_ms_of_the_models_word() -> None:
    async def main(call: Call) -> None:
        await answering(call)
        told = call.now
        call.does(events.Interrupted())
        await call.rest(1.0)
        late = [at for at in call.wire if at > told + 1e-9]
        assert len(late) <= 1, "one frame more, and that fades within 5 ms"
        assert all(at <= told + MODEL_WIRE + 1e-9 for at in late)

    play(main)


@pytest.mark.parametrize("offset", [0.0, 0.003, 0.011, 0.019])
def test_the_wire_is_silent_within_60_ms_of_the_local_onset(offset: float) -> None:
    async def main(call: Call) -> None:
        await answering(call)
        await asyncio.sleep(offset)
        began = call.now
        await call.speak(voice(1.0))
        heard_at = began + ONSET_SECONDS - FRAME  # the frame that makes it sure is there
        late = [at for at in call.wire if at > heard_at + 1e-9]
        assert len(late) <= 1
        assert all(at <= heard_at + LOCAL_WIRE + 1e-9 for at in late)
        assert call.wire[-1] <= began + 0.100, "from the first sample of the voice"
        assert "bot-interrupted" in [message["type"] for message in call.said]

    play(main, barge_in="local")


def test_with_the_models_ear_our_own_stops_nothing() -> None:
    async def main(call: Call) -> None:
        await answering(call)
        await call.speak(voice(1.0))
        assert call.now - call.wire[-1] <= FRAME
        assert call.model.marks == []

    play(main)


def test_the_model_hears_the_first_word_whole_between_two_marks_and_nothing_else() -> None:
    async def main(call: Call) -> None:
        await call.rest(3.0)
        assert call.model.heard == b""
        word = voice(0.7)
        await call.speak(word)
        await call.rest(3.0)
        (start, at_start), (end, at_end) = call.model.marks
        assert (start, end) == ("activityStart", "activityEnd")
        assert (at_start, at_end) == (0, len(call.model.heard))
        heard = bytes(call.model.heard)
        assert word in heard
        assert heard.index(word) / 32_000 <= PREROLL_MS / 1000
        assert len(heard) / 32_000 == pytest.approx(heard.index(word) / 32_000 + 0.7 + END_SECONDS, abs=0.041)

    play(main, barge_in="local")


def test_what_the_model_goes_on_to_say_until_it_knows_is_not_heard() -> None:
    async def main(call: Call) -> None:
        await answering(call)
        await call.speak(voice(0.5))
        call.does(events.Audio(SECOND))
        stopped = call.wire[-1]
        await call.rest(0.2)
        assert call.wire[-1] == stopped
        call.does(events.Interrupted(), events.TurnComplete())
        await call.rest(1.0)
        call.does(events.Audio(SECOND), events.GenerationComplete())
        await call.rest(0.2)
        assert call.wire[-1] > stopped, "the next answer is"

    play(main, barge_in="local")


async def slow() -> str:
    """A function that takes its time."""
    await asyncio.sleep(5.0)
    return "done"


CALL = events.FunctionCall("1", "slow", {})


async def is_cancelled(call: Call) -> None:
    """The client knows, the model is told nothing and not waited for."""
    assert [m["data"]["cancelled"] for m in call.said if m["type"] == "llm-function-call-stopped"] == [True]
    assert call.model.dropped == [(call.model.generation, CALL)]
    await call.rest(6.0)
    assert not [message for message in call.model.sent if "toolResponse" in message]


def test_functions_that_the_model_waits_for_are_cancelled_at_once() -> None:
    async def main(call: Call) -> None:
        call.does(events.ToolCall((CALL,)))
        await call.speak(voice(0.5))
        await is_cancelled(call)

    play(main, barge_in="local", tools=[slow])


@pytest.mark.parametrize("barge_in", ["model", "local"])
def test_functions_that_the_model_waits_for_are_cancelled_when_it_is_interrupted(barge_in: str) -> None:
    async def main(call: Call) -> None:
        call.does(events.ToolCall((CALL,)))
        await call.rest(0.5)
        call.does(events.Interrupted(), events.TurnComplete())
        await is_cancelled(call)

    play(main, barge_in=barge_in, tools=[slow])


def test_functions_go_on_when_it_is_only_the_connection_that_is_left() -> None:
    async def main(call: Call) -> None:
        call.does(events.ToolCall((CALL,)))
        await call.rest(0.5)
        call.model.live = False
        call.does(events.Interrupted(), events.TurnComplete())
        await call.rest(6.0)
        assert [message for message in call.model.sent if "toolResponse" in message]
        assert call.model.dropped == []

    play(main, tools=[slow])


def test_a_microphone_that_is_muted_in_mid_sentence_ends_the_turn() -> None:
    async def main(call: Call) -> None:
        await call.speak(voice(0.5))
        status = {"type": "trackStatus", "receiver_index": 0, "enabled": False}
        call.dialogue.on_frame(json.dumps({"type": "signalling", "message": status}))
        assert [kind for kind, _ in call.model.marks] == ["activityStart", "activityEnd"]
        assert not [m for m in call.model.sent if "audioStreamEnd" in m.get("realtimeInput", ())], "it would be refused"

    play(main, barge_in="local")


def test_a_quiet_call_is_woken_by_a_whole_word_all_the_same() -> None:
    async def main(call: Call) -> None:
        await call.rest(245.0)
        assert call.told == ["idle-warning"]
        word = voice(0.5)
        await call.speak(word)
        await call.rest(1.0)
        assert call.model.marks[0] == ("activityStart", 0)
        assert word in bytes(call.model.heard)

    play(main, barge_in="local", idle=300.0)


class Line:
    """Writes down, in the same book as what is told."""

    def __init__(self, book: list[str]) -> None:
        self.book = book

    def hold(self) -> None:
        self.book.append("hold")

    def release(self) -> None:
        self.book.append("release")

    def model_ready(self) -> None:
        self.book.append("sound")


def marked(steps: str) -> list[str]:
    """What happens on "b"egin, "e"nd and "r"eady."""
    book: list[str] = []
    marks = Marks(Line(book), lambda message: book.append("start" if message.kind is protocol.Kind.BEGINS else "end"))
    for step in steps:
        {"b": marks.begin, "e": marks.end, "r": marks.model_ready}[step]()
    return book


def test_what_was_said_before_the_model_listened_stands_between_marks_too() -> None:
    assert marked("r") == ["hold", "sound"]
    assert marked("ber") == ["hold", "release", "hold", "start", "sound", "end"]
    assert marked("br") == ["hold", "release", "start", "sound"]
    assert marked("bre")[-2:] == ["hold", "end"]
    assert marked("rbe") == ["hold", "sound", "start", "release", "hold", "end"]
    assert marked("rbee") == marked("rbe")


def test_a_model_that_is_told_does_not_listen_for_itself() -> None:
    config = Agent(listening=Listening(silence=700)).live_config(MODEL, marked=True)
    assert config.realtime_input_config == types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(disabled=True)
    )
    assert json.loads(protocol.setup_message(MODEL, config))["setup"]["realtimeInputConfig"] == {
        "automaticActivityDetection": {"disabled": True}
    }
