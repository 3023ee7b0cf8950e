"""A dialogue between a client and a model that do what the test says, in virtual time, with the real lines of sound."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import rtvi
from relay.agent import Agent
from relay.audio.packet import ENCODED_RATE
from relay.call import CallSettings
from relay.dialogue import Dialogue
from relay.errors import RelayError
from relay.gemini import events, protocol
from relay.gemini.handshake import Target
from relay.history import History
from relay.keys import KEYS_SECONDS
from relay.ticker import Ticker
from tests import virtual
from tests.listener import Listener
from tests.strict import strict

NOISE: Final = random.Random(1).randbytes(640)  # 20 ms at 16 kHz, loud


class Model(Listener):
    """Takes down what it is told."""

    generation, live = 1, True

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[protocol.Message] = []
        self.pictures: list[tuple[float, bytes]] = []

    def send(self, message: protocol.Message) -> bool:
        self.sent.append(message)
        return True

    def send_audio(self, pcm: bytes) -> bool:
        return True

    def send_picture(self, jpeg: bytes) -> bool:
        self.pictures.append((asyncio.get_running_loop().time(), jpeg))
        return True

    def utterance(self, begins: bool, at: float) -> None: ...
    def playing(self, on: bool) -> None: ...
    def renew(self) -> None: ...

    @property
    def texts(self) -> list[str]:
        bodies = [json.loads(message.data).get("realtimeInput", {}) for message in self.sent]
        return [body["text"] for body in bodies if "text" in body]


class Call:
    """A dialogue whose client and model are there; `said` is what the client hears."""

    def __init__(self, tasks: asyncio.TaskGroup, history: History | None = None, **agent: Any) -> None:
        self.said: list[rtvi.Message] = []
        self.rtp = 0
        self.model = Model()
        self.watched: list[tuple[int, bool]] = []
        self.ended: list[RelayError | None] = []
        self.ticker = Ticker()
        settings = CallSettings(Target("ws://127.0.0.1:1", "gemini-3.8-live"), Agent(**{"greeting": "", **agent}))
        self.dialogue = Dialogue(
            settings,
            self.ticker,
            name="test",
            say=self.said.extend,
            ready=lambda welcome, returns: self.said.extend(welcome),
            end=self.ended.append,
            watch=lambda track, enabled: self.watched.append((track, enabled)),
            sees=True,
            history=history,
        )
        self.dialogue.tasks = tasks
        self.dialogue.downlink.connect(self._send, None)
        self.dialogue.connect(self.model)  # type: ignore[arg-type]
        self.dialogue.begin()
        self.dialogue.greet()

    def _send(self, payload: bytes, timestamp: int, marker: bool, red: bool) -> bool:
        self.rtp += 1
        return True

    def type(self, kind: str, data: Any = None, id: str = "1") -> None:
        self.dialogue.on_frame(json.dumps({"label": "rtvi-ai", "type": kind, "id": id, "data": data}))

    def track(self, track: int, enabled: bool) -> None:
        status = {"type": "trackStatus", "receiver_index": track, "enabled": enabled}
        self.dialogue.on_frame(json.dumps({"type": "signalling", "message": status}))

    def does(self, *happens: events.Event) -> None:
        for event in happens:
            self.dialogue.on_model_event(event)

    def speaks(self, speaking: bool) -> None:
        """The caller's voice begins or ends."""
        for _ in range(50):
            self.dialogue.uplink.on_pcm(NOISE if speaking else bytes(len(NOISE)))

    def types(self) -> list[str]:
        return [message["type"] for message in self.said]

    def outputs(self) -> list[dict[str, Any]]:
        return [message["data"] for message in self.said if message["type"] == "bot-output"]


Main = Callable[[Call], Awaitable[None]]


def play(main: Main, **agent: Any) -> list[rtvi.Message]:
    """Hold a call, and give back all that its client was told."""

    async def whole() -> list[rtvi.Message]:
        async with asyncio.TaskGroup() as tasks:
            call = Call(tasks, **agent)
            await main(call)
            call.dialogue.farewell()
            call.ticker.close()
        return call.said

    return virtual.run(whole())


def sound(seconds: float) -> events.Audio:
    return events.Audio(b"\1\0" * round(seconds * ENCODED_RATE))


def said(text: str) -> events.OutputTranscript:
    return events.OutputTranscript(text)


WHOLE: Sequence[events.Event] = (events.GenerationComplete(), events.TurnComplete())


# -- whatever happens -----------------------------------------------------------------------------------------

VECTORS: Final = json.loads((Path(__file__).parent / "vectors" / "rtvi.json").read_text())
FRAMES: Final = [row["frame"] for row in VECTORS["said"]]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), values, max_size=3)
counts = st.dictionaries(st.sampled_from(["TEXT", "AUDIO", "IMAGE", "ODD ONE"]), st.integers(0, 10**18), max_size=3)
happenings = st.one_of(
    st.builds(events.Audio, st.sampled_from([0, 1, 480, 7000]).map(lambda samples: b"\1\0" * samples)),
    st.builds(events.OutputTranscript, st.text(), st.booleans()),
    st.builds(events.InputTranscript, st.text(), st.booleans(), st.booleans()),
    st.builds(events.ModelText, st.text(), st.booleans()),
    st.sampled_from([events.Interrupted(), events.GenerationComplete(), events.TurnComplete(), events.GoAway(1.0)]),
    st.builds(events.Usage, *[st.integers(0, 10**18)] * 4, counts, counts),
    st.builds(events.FunctionCall, st.text(max_size=2), st.sampled_from(["ours", "theirs", "no one's"]), objects).map(
        lambda call: events.ToolCall((call,))
    ),
    st.lists(st.text(max_size=2), max_size=2).map(lambda ids: events.ToolCancelled(tuple(ids))),
    st.builds(
        events.Grounding,
        st.text(),
        st.lists(st.builds(events.Source, st.text(), st.text()), max_size=2).map(tuple),
        st.text(),
    ),
)
known = st.sampled_from(sorted({frame["type"] for frame in FRAMES if isinstance(frame, dict) and "type" in frame}))
frames = st.one_of(
    st.sampled_from(FRAMES),
    st.fixed_dictionaries({"label": st.just("rtvi-ai"), "type": known, "id": st.text(max_size=5), "data": values}),
    st.fixed_dictionaries(
        {
            "label": st.just("rtvi-ai"),
            "type": st.just("llm-function-call-result"),
            "data": st.fixed_dictionaries(
                {"function_name": st.just("theirs"), "tool_call_id": st.text(max_size=2), "result": values}
            ),
        }
    ),
).map(json.dumps)
happened = st.lists(happenings | frames | st.floats(0, 3) | st.booleans(), min_size=5, max_size=40)


@settings(deadline=None, max_examples=150)
@given(happened, st.sampled_from(["1.2.0", "2.2.0", ""]), st.sampled_from(["", "pipecat-client-ios", "x"]), values)
def test_whatever_happens_on_a_call_the_strictest_client_can_read_all_that_it_is_told(
    happened: list[Any], version: str, library: str, answer: Any
) -> None:
    async def main(call: Call) -> None:
        call.type("client-ready", {"version": version, "about": {"library": library}})
        for what in happened:
            if isinstance(what, str):
                call.dialogue.on_frame(what)
            elif isinstance(what, bool):
                call.speaks(what)
            elif isinstance(what, float):
                await asyncio.sleep(what)
            else:
                call.does(what)
        await asyncio.sleep(1)

    def ours(thing: Any = None) -> Any:
        """A function of ours."""
        return answer

    for message in play(main, tools=[ours], client_tools=[theirs], on_message=lambda kind, data: answer):
        strict(message)


def theirs(thing: str = "") -> None:
    """A function of the client's."""


# -- who is there ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "told", "generation"),
    [("1.2.0", "1.2.0", 1), ("2.0.0", rtvi.VERSION, 2), ("2.1.0", rtvi.VERSION, 2), ("2.2.0", rtvi.VERSION, 2)],
)
def test_every_generation_of_clients_is_served_in_its_own_form(version: str, told: str, generation: int) -> None:
    async def main(call: Call) -> None:
        call.type("client-ready", {"version": version})
        call.type("send-text", {"content": "Hello"})
        call.does(said("Yes. No."), sound(1.0), *WHOLE)
        await asyncio.sleep(1.5)
        [ready] = [message["data"] for message in call.said if message["type"] == "bot-ready"]
        assert ready["version"] == told
        assert ("capabilities" in ready) == ("user-input" in call.types()) == (generation == 2)
        if generation == 1:
            assert call.outputs() == [
                {"text": text, "aggregated_by": "sentence", "spoken": True} for text in ("Yes.", "No.")
            ]
        else:
            assert [row["spoken_status"] for row in call.outputs()] == ["new", "completed"] * 2
            assert [row["segment_id"] for row in call.outputs()] == [1, 1, 2, 2]

    play(main)


def test_a_client_is_told_that_the_relay_sees() -> None:
    async def main(call: Call) -> None:
        call.type("client-ready", {"version": "2.2.0"})
        assert call.said[0]["data"]["capabilities"] == rtvi.capabilities(sees=True)

    play(main)


# -- how far it has been heard --------------------------------------------------------------------------------


def test_a_sentence_is_new_with_its_first_packet_and_completed_with_its_last() -> None:
    async def main(call: Call) -> None:
        call.does(said("One two three four."), sound(4.0), *WHOLE)
        heard: dict[str, int] = {}
        for _ in range(250):
            await asyncio.sleep(0.02)
            for row in call.outputs():
                heard.setdefault(row.get("spoken_progress", {}).get("accumulated_text", ""), call.rtp)
        assert list(heard) == ["", "One", "One two", "One two three", "One two three four."]
        for (text, packets), letters in zip(heard.items(), (0, 3, 6, 11, 16), strict=True):
            assert packets * 0.02 == pytest.approx(letters / 16 * 4.0, abs=0.05), text
        assert call.types()[-1] == "bot-stopped-speaking"

    play(main)


def test_after_an_interruption_nothing_more_is_told_of_what_was_not_spoken() -> None:
    async def main(call: Call) -> None:
        call.does(said("One two three four. Five six seven eight."), sound(6.0), *WHOLE)
        await asyncio.sleep(1.5)
        call.does(events.Interrupted())
        told = call.outputs()
        assert [row["text"] for row in told] == ["One two three four."] * len(told)
        assert told[-1]["spoken_status"] == "in-progress"
        await asyncio.sleep(10)
        assert call.outputs() == told
        assert call.types()[-2:] == ["bot-interrupted", "bot-stopped-speaking"]

    play(main)


# -- a reply in text alone ------------------------------------------------------------------------------------

SILENT: Final = {"content": "How many?", "options": {"audio_response": False}}


def test_a_silent_reply_sends_no_packet_and_the_next_one_sounds_again() -> None:
    async def main(call: Call) -> None:
        call.type("send-text", SILENT)
        call.does(said("It is"), sound(1.0), said(" four."), sound(1.0), *WHOLE)
        assert [(row["text"], row["will_be_spoken"], row["spoken"]) for row in call.outputs()] == [
            ("It is four.", False, False)
        ]
        assert [m["data"]["text"] for m in call.said if m["type"] == "bot-llm-text"] == ["It is", " four."]
        await asyncio.sleep(5)
        assert call.rtp == 0
        assert not {"bot-started-speaking", "bot-tts-started", "bot-tts-text"} & set(call.types())
        call.type("send-text", {"content": "And now?"})
        call.does(said("Five."), sound(1.0), *WHOLE)
        await asyncio.sleep(2)
        assert call.rtp >= 50
        assert call.outputs()[-1]["spoken_status"] == "completed"
        assert call.types()[-1] == "bot-stopped-speaking"

    play(main)


def test_a_silent_question_cuts_the_voice_that_speaks_and_the_rest_of_its_sound_is_not_taken_for_the_answer() -> None:
    async def main(call: Call) -> None:
        call.does(said("One two three."), sound(3.0))
        await asyncio.sleep(1)
        call.type("send-text", SILENT)
        packets = call.rtp
        call.does(sound(3.0), events.Interrupted(), events.TurnComplete())
        call.does(said("Four."), sound(1.0), *WHOLE)
        await asyncio.sleep(5)
        assert call.rtp - packets < 20, "the fade, and the silence behind it"
        assert [row["text"] for row in call.outputs() if row["spoken_status"] == "new"] == ["One two three.", "Four."]
        assert not call.outputs()[-1]["will_be_spoken"]

    play(main)


def test_a_voice_that_interrupts_a_silent_reply_is_answered_aloud() -> None:
    async def main(call: Call) -> None:
        call.type("send-text", SILENT)
        await asyncio.sleep(2)
        call.does(said("It is"), sound(1.0), events.Interrupted(), events.TurnComplete())
        call.does(events.InputTranscript("Say it aloud"), said("Four."), sound(1.0), *WHOLE)
        await asyncio.sleep(2)
        assert call.rtp >= 50

    play(main)


# -- what is written ------------------------------------------------------------------------------------------


def test_who_takes_the_turn_in_writing_is_told_of_like_one_who_speaks() -> None:
    async def main(call: Call) -> None:
        call.does(said("One two three."), sound(3.0), *WHOLE)
        await asyncio.sleep(1)
        before = len(call.said)
        call.type("send-text", {"content": "Stop"})
        assert call.types()[before:] == [
            "user-input",
            "user-started-speaking",
            "user-stopped-speaking",
            "bot-interrupted",
            "bot-stopped-speaking",
        ]
        call.speaks(True)
        call.type("send-text", {"content": "Stop"})
        assert call.types()[before + 5 :] == ["user-started-speaking", "user-input"], "the voice has the turn"

    play(main)


def test_keys_pressed_one_by_one_cut_the_voice_and_are_told_in_one_line() -> None:
    async def main(call: Call) -> None:
        call.does(said("Press a key."), sound(10.0), *WHOLE)
        for key in "12":
            await asyncio.sleep(0.5)
            call.type("dtmf", {"button": key})
        assert call.model.texts == []
        await asyncio.sleep(KEYS_SECONDS + 0.1)
        assert call.model.texts == ["The caller pressed 1 2"]
        assert "bot-interrupted" in call.types()
        call.type("dtmf", {"buttons": ["3", "#"]})
        assert call.model.texts[-1] == "The caller pressed 3 #"

    play(main)


def test_context_that_comes_while_the_model_speaks_waits_for_the_end_of_its_turn() -> None:
    async def main(call: Call) -> None:
        call.does(said("One."), sound(1.0))
        call.type("send-text", {"content": "I am Ada.", "options": {"run_immediately": False}})
        call.does(events.GenerationComplete())
        assert call.model.sent == []
        call.does(events.TurnComplete())
        assert call.model.sent == [protocol.content_message([("user", "I am Ada.")], False)]
        assert "bot-interrupted" not in call.types()

    play(main)


def test_context_that_waits_for_the_end_of_a_turn_is_told_to_a_client_that_comes_meanwhile() -> None:
    history = History(0.0)

    def told(call: Call) -> list[tuple[str, str]]:
        transcript = history.transcript(1.0, pending=call.dialogue.pending)
        [message] = call.dialogue.recap(transcript)[:1]
        return [(turn["role"], turn["text"]) for turn in message["data"]["turns"]]

    async def main(call: Call) -> None:
        call.does(said("One. And two"), sound(1.0))
        call.type("append-to-context", {"role": "user", "content": " I am Ada. "})
        call.type("append-to-context", {"role": "assistant", "content": "I said so."})
        added = [("user", "I am Ada."), ("assistant", "I said so.")]
        assert told(call)[-2:] == added
        call.does(*WHOLE)
        assert (told(call)[-2:], len(call.dialogue.pending)) == (added, 0)

    play(main, history=history)


def test_a_call_whose_id_comes_again_after_its_answer_is_not_waited_for() -> None:
    async def main(call: Call) -> None:
        repeated = events.FunctionCall("c1", "nobody_has_it", {})
        call.does(events.ToolCall((repeated,)))
        assert call.model.dropped == []
        await asyncio.sleep(1)
        call.does(events.ToolCall((repeated,)))
        assert call.model.dropped == [(1, repeated)]

    play(main)


def test_types_that_a_relay_has_no_use_for_are_refused_or_ignored_and_the_call_goes_on() -> None:
    async def main(call: Call) -> None:
        for kind in ("raw-audio", "raw-audio-batch", "ui-event", "ui-cancel-job-group", "sing"):
            call.type(kind, {}, id=kind)
        call.type("ui-snapshot", {"tree": {}})
        assert [(m["type"], m["id"]) for m in call.said] == [
            ("error-response", kind)
            for kind in ("raw-audio", "raw-audio-batch", "ui-event", "ui-cancel-job-group", "sing")
        ]
        assert call.ended == []

    play(main)


# -- what is shown --------------------------------------------------------------------------------------------


def test_tracks_are_watched_while_they_are_on_and_a_picture_a_second_reaches_the_model() -> None:
    async def main(call: Call) -> None:
        call.dialogue.on_picture(1, b"off")
        call.track(0, True)
        call.track(1, True)
        call.track(2, True)
        call.track(7, True)
        for _ in range(50):
            await asyncio.sleep(0.1)
            call.dialogue.on_picture(1, b"camera")
            call.dialogue.on_picture(2, b"screen")
        call.track(1, False)
        await asyncio.sleep(5)
        call.dialogue.on_picture(1, b"off")
        assert call.watched == [(1, True), (2, True), (1, False)]
        assert call.dialogue.tracks == {0: True, 1: False, 2: True}
        assert [jpeg for _, jpeg in call.model.pictures] == [b"camera", b"screen"] * 2 + [b"camera"]

    play(main)


def test_a_microphone_that_is_said_to_be_off_again_and_again_ends_its_stream_once() -> None:
    async def main(call: Call) -> None:
        for _ in range(5):
            call.track(0, False)
        assert call.model.sent.count(protocol.audio_end_message()) == 1
        call.track(0, True)
        call.speaks(True)
        call.track(0, False)
        assert call.model.sent.count(protocol.audio_end_message()) == 2

    play(main)
