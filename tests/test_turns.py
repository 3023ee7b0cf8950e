"""Turns, in virtual time: a conversation goes in, messages come out in the order that clients rely on."""

import random
import re
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import rtvi
from relay.gemini.events import (
    Audio,
    Event,
    FunctionCall,
    GenerationComplete,
    Grounding,
    InputTranscript,
    Interrupted,
    ModelText,
    OutputTranscript,
    Passage,
    Source,
    ToolCall,
    ToolCancelled,
    TurnComplete,
    Usage,
)
from relay.history import History
from relay.place import STALE_SECONDS
from relay.question import CROSSING_SECONDS, FINAL_SECONDS, INTERIM_SECONDS, MAX_TEXT, SILENT_SECONDS
from relay.transcript import Role
from relay.turns import PAUSE_SECONDS, SOUNDLESS_SECONDS, Turns

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
RATE: Final = 24_000
FRAME: Final = 480


class Call:
    """One call in virtual time: `turns`, a playout that plays in real time, and all messages so far."""

    def __init__(self) -> None:
        self.history = History(0.0, epoch=EPOCH)
        self.turns = Turns(epoch=EPOCH, model="models/test", history=self.history)
        self.now = 0.0
        self.received = self.position = 0
        self.sounding = self.ended = False
        self.sent: list[dict[str, Any]] = []

    def take(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.sent += messages
        for message in messages:
            assert rtvi.encode(message)
        return messages

    def model(self, *events: Event) -> list[dict[str, Any]]:
        """These events, one after the other, in one moment."""
        out = []
        for event in events:
            out += self.take(self.turns.model_event(event, self.received, self.now))
            if isinstance(event, Audio) and not self.turns.silent(self.now):
                self.received += len(event.pcm) // 2
                self.ended = False
                if not self.sounding:
                    out += self.frame()
            elif isinstance(event, GenerationComplete | TurnComplete):
                self.ended = True
        return out

    def frame(self) -> list[dict[str, Any]]:
        """What happens every 20 ms."""
        out = []
        if self.position < self.received:
            if not self.sounding:
                self.sounding = True
                out += self.take(self.turns.sound_started(self.now))
            self.position = min(self.received, self.position + FRAME)
            if self.turns.waiting_for is not None and self.position >= self.turns.waiting_for:
                out += self.take(self.turns.played(self.position, self.now))
        elif self.sounding and self.ended:
            self.sounding = False
            out += self.take(self.turns.sound_stopped(self.position, self.now))
        return out

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """Time passes, frame by frame."""
        out = []
        for _ in range(round(seconds / 0.020)):
            self.now += 0.020
            if self.turns.deadline is not None and self.turns.deadline <= self.now:
                out += self.take(self.turns.poll(self.now))
                assert self.turns.deadline is None or self.turns.deadline > self.now
            out += self.frame()
        return out

    def cut(self) -> list[dict[str, Any]]:
        out = self.take(self.turns.interrupted(self.position, self.now))
        self.position = self.received
        self.ended = True
        return out + self.frame()

    def user(self, started: bool) -> list[dict[str, Any]]:
        return self.take((self.turns.user_started if started else self.turns.user_stopped)(self.now))


def sound(seconds: float) -> Audio:
    return Audio(bytes(2 * round(seconds * RATE)))


def said(text: str) -> OutputTranscript:
    return OutputTranscript(text)


def heard(text: str, **flags: bool) -> InputTranscript:
    return InputTranscript(text, **flags)


def told_again(message: dict[str, Any]) -> bool:
    """The other word for a transcription, and the progress of what was told as new."""
    return (message["type"], message.get("data", {}).get("input_type")) == ("user-input", "transcription") or (
        message["type"] == "bot-output" and message["data"].get("spoken_status") in ("in-progress", "completed")
    )


def types(messages: list[dict[str, Any]], *, again: bool = False) -> list[str]:
    return [message["type"] for message in messages if again or not told_again(message)]


def texts(messages: list[dict[str, Any]], type_: str) -> list[str]:
    return [m["data"]["text"] for m in messages if m["type"] == type_ and not told_again(m)]


def progress(messages: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """Of each bot-output its segment, its state, and what of it has been heard."""
    rows = [message["data"] for message in messages if message["type"] == "bot-output"]
    return [
        (row["segment_id"], row["spoken_status"], row.get("spoken_progress", {}).get("accumulated_text", ""))
        for row in rows
    ]


def finals(messages: list[dict[str, Any]]) -> list[str]:
    return [m["data"]["text"] for m in messages if m["type"] == "user-transcription" and m["data"]["final"]]


# -- a turn ---------------------------------------------------------------------------------------------------


def test_a_full_turn_comes_in_the_order_that_clients_expect() -> None:
    call = Call()
    call.user(True)
    call.wait(1.0)
    call.user(False)
    call.wait(0.3)
    call.model(heard(" What is"), heard(" it?"))
    call.wait(0.2)
    call.model(said(" It is"))
    call.model(sound(0.5), said(" Monday."))
    call.model(sound(0.5), said(" Good."), GenerationComplete())
    call.wait(1.2)
    call.model(TurnComplete(), Usage(10, 20, 5, 35))
    assert types(call.sent, again=True) == [
        "user-started-speaking",
        "user-stopped-speaking",
        *["user-input", "user-transcription"] * 3,
        "user-llm-text",
        "bot-llm-started",
        "bot-llm-text",
        "metrics",
        "bot-tts-started",
        "bot-started-speaking",
        "bot-llm-text",
        "bot-llm-text",
        "bot-transcription",
        "bot-transcription",
        "bot-llm-stopped",
        "bot-tts-stopped",
        "metrics",
        "bot-output",
        "bot-tts-text",
        *["bot-output"] * 2,
        "bot-output",
        "bot-tts-text",
        "bot-output",
        "bot-stopped-speaking",
        "metrics",
    ]
    assert progress(call.sent) == [
        (1, "new", ""),
        (1, "in-progress", "It is"),
        (1, "completed", "It is Monday."),
        (2, "new", ""),
        (2, "completed", "Good."),
    ]
    assert texts(call.sent, "user-transcription") == ["What is", "What is it?", "What is it?"]
    assert texts(call.sent, "user-llm-text") == ["What is it?"]
    assert texts(call.sent, "bot-llm-text") == [" It is", " Monday.", " Good."]
    assert texts(call.sent, "bot-transcription") == ["It is Monday.", "Good."]
    assert texts(call.sent, "bot-output") == texts(call.sent, "bot-tts-text") == ["It is Monday.", "Good."]
    first, whole, last = (message["data"] for message in call.sent if message["type"] == "metrics")
    assert first == {"ttfb": [{"processor": "GeminiLive#0", "model": "models/test", "value": pytest.approx(0.5)}]}
    assert whole == {"processing": [{"processor": "GeminiLive#0", "model": "models/test", "value": pytest.approx(0.5)}]}
    assert last["tokens"] == [
        {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 35, "reasoning_tokens": 5},
    ]


def test_a_client_of_generation_1_gets_the_old_form_of_output() -> None:
    call = Call()
    call.turns.speak(1)
    call.model(heard("Well?"), sound(0.1), said("Yes. No."), GenerationComplete(), TurnComplete())
    call.wait(0.3)
    outputs = [message["data"] for message in call.sent if message["type"] == "bot-output"]
    assert outputs == [{"text": text, "aggregated_by": "sentence", "spoken": True} for text in ("Yes.", "No.")]
    assert call.turns.chat("Hello", "1", call.now) == []
    assert "user-input" not in types(call.sent, again=True)


# -- the user's words -----------------------------------------------------------------------------------------


def test_words_become_final_when_no_piece_follows_the_end_of_the_voice() -> None:
    call = Call()
    call.user(True)
    call.model(heard(" Hello"))
    assert call.wait(5 * FINAL_SECONDS) == []
    call.user(False)
    call.wait(FINAL_SECONDS / 2)
    assert types(call.model(heard(","), heard(" you"))) == ["user-transcription"] * 2
    assert call.wait(FINAL_SECONDS - 0.040) == []
    new, final = call.wait(0.060)
    stamp = final["data"].pop("timestamp")
    assert final["data"] == {"text": "Hello, you", "user_id": "", "final": True}
    assert new["data"] == {"text": "Hello, you", "input_type": "transcription", "timestamp": stamp, "final": True}
    assert datetime.fromisoformat(stamp).timestamp() == pytest.approx(EPOCH + call.now, abs=0.03)
    assert re.fullmatch(r"2026-01-01T00:00:05\.\d{3}\+00:00", stamp)


def test_interim_words_wait_for_their_final_ones_which_are_told_once() -> None:
    call = Call()
    call.user(True)
    call.model(InputTranscript("What is the", interim=True))
    call.user(False)
    assert call.wait(INTERIM_SECONDS - 0.1) == []
    call.model(heard("What is the time?"))
    _, final = call.wait(2 * FINAL_SECONDS)
    assert (final["data"]["text"], final["data"]["final"]) == ("What is the time?", True)


def test_a_piece_that_is_flagged_finished_is_final_at_once() -> None:
    call = Call()
    assert finals(call.model(heard("Hello there.", finished=True))) == ["Hello there."]
    assert call.wait(2) == []


def test_interim_words_are_replaced_and_never_outlive_their_final() -> None:
    call = Call()
    shown = call.model(heard("Hal", interim=True), heard("Hallo", interim=True), heard("Hello"), heard(" you"))
    assert texts(shown, "user-transcription") == ["Hal", "Hallo", "Hello", "Hello you"]
    assert finals(call.wait(1)) == ["Hello you"]


def test_interim_words_that_are_taken_back_are_nobody_s() -> None:
    call = Call()
    shown = call.model(heard("Wine", interim=True), heard("", interim=True))
    assert texts(shown, "user-transcription") == ["Wine", ""]
    assert finals(call.wait(2 * INTERIM_SECONDS)) == []
    assert finals(call.model(sound(0.1))) == []
    assert call.history.since(0) == []


def test_interim_words_that_nothing_replaced_are_not_lost() -> None:
    call = Call()
    call.model(heard("Hello", interim=True))
    assert finals(call.model(sound(0.1))) == ["Hello"]


def test_the_same_words_are_not_shown_twice() -> None:
    call = Call()
    assert len(types(call.model(heard("Hello", interim=True), heard("Hello"), heard(" "), heard("")))) == 1


def test_late_pieces_make_a_final_of_their_own() -> None:
    call = Call()
    call.model(heard("Hello,"), sound(0.1))
    assert finals(call.sent) == ["Hello,"]
    call.model(heard(" how are"), heard(" you?"))
    assert finals(call.wait(1)) == ["how are you?"]
    assert texts(call.sent, "user-llm-text") == ["Hello,"]


def test_late_pieces_are_final_before_the_user_speaks_again() -> None:
    call = Call()
    call.model(heard("Hello,"), sound(0.1), heard(" you"))
    assert types(call.user(True)) == ["user-transcription", "user-started-speaking"]
    assert finals(call.sent) == ["Hello,", "you"]


def test_a_turn_that_completes_makes_words_final_but_not_in_mid_speech() -> None:
    call = Call()
    call.model(heard("One"))
    assert finals(call.model(TurnComplete())) == ["One"]
    call.user(True)
    call.model(heard("Two"))
    assert finals(call.model(TurnComplete())) == []
    call.model(heard(" three"))
    assert finals(call.model(sound(0.1))) == ["Two three"]


def test_a_monologue_is_final_in_parts_that_fit_a_message() -> None:
    call = Call()
    call.user(True)
    for _ in range(MAX_TEXT):
        call.model(heard(" wordy"))
    call.model(heard("x" * 3 * MAX_TEXT, finished=True))
    assert "".join(finals(call.sent)).replace(" ", "") == "wordy" * MAX_TEXT + "x" * 3 * MAX_TEXT
    assert all(len(text) <= MAX_TEXT for text in texts(call.sent, "user-transcription"))


def test_the_end_of_a_call_makes_words_final_and_stops_what_has_begun() -> None:
    call = Call()
    call.model(sound(1), said("Well"), heard(" and"), ToolCall((FunctionCall("7", "f", {}),)), heard(" so"))
    call.wait(0.1)
    assert types(call.take(call.turns.close(call.now))) == [
        "user-transcription",
        "bot-llm-stopped",
        "bot-tts-stopped",
        "bot-stopped-speaking",
    ]
    assert finals(call.sent) == ["and", "so"]
    assert call.turns.deadline is None


def test_a_voice_that_starts_twice_starts_once() -> None:
    call = Call()
    for started in (False, True, True, False, False, True):
        call.user(started)
    assert types(call.sent) == ["user-started-speaking", "user-stopped-speaking", "user-started-speaking"]


# -- the bot's sentences --------------------------------------------------------------------------------------


def test_a_sentence_is_shown_when_its_first_sound_has_left_and_not_before() -> None:
    call = Call()
    call.model(said("One is."), sound(1.0))
    call.wait(0.1)  # the model is far ahead of the listener
    call.model(said(" Two is."), sound(1.0))
    call.model(GenerationComplete())
    assert texts(call.wait(0.02), "bot-output") == ["One is."]
    assert texts(call.wait(0.83), "bot-output") == []
    assert texts(call.wait(0.1), "bot-output") == ["Two is."]


def test_text_in_one_message_with_its_sound_belongs_to_that_sound() -> None:
    call = Call()
    call.model(sound(1.0), said("One is. "))
    call.wait(0.1)
    call.model(sound(1.0), said("Two is. "), GenerationComplete())
    assert texts(call.wait(0.85), "bot-output") == []
    assert texts(call.wait(0.1), "bot-output") == ["Two is."]


def test_text_waits_for_its_sound_however_long_it_is_ahead() -> None:
    call = Call()
    call.model(said("One is. Two"))
    assert types(call.sent) == ["bot-llm-started", "bot-llm-text", "bot-transcription"]
    assert texts(call.wait(SOUNDLESS_SECONDS - 0.1), "bot-output") == []
    out = call.model(sound(0.5))
    assert types(out[:3]) == ["bot-tts-started", "bot-started-speaking", "bot-output"]
    assert texts(out, "bot-output") == ["One is."]
    call.model(GenerationComplete())
    assert texts(call.wait(0.30), "bot-output") == []
    assert texts(call.wait(0.08), "bot-output") == ["Two"]


def test_a_pause_of_the_text_ends_a_sentence() -> None:
    call = Call()
    call.model(sound(3), said("Let me see"))
    assert texts(call.wait(PAUSE_SECONDS - 0.05), "bot-transcription") == []
    assert texts(call.wait(0.1), "bot-transcription") == ["Let me see"]
    assert texts(call.sent, "bot-output") == ["Let me see"]


def test_text_without_any_sound_comes_out_when_the_generation_is_complete() -> None:
    call = Call()
    out = call.model(said("Silent. Reply"), GenerationComplete())
    assert texts(out, "bot-output") == ["Silent.", "Reply"]
    assert not any(m["data"]["spoken"] for m in out if m["type"] == "bot-output")
    assert texts(out, "bot-tts-text") == []
    assert "bot-started-speaking" not in types(out + call.model(TurnComplete()) + call.wait(5))


def test_text_without_sound_comes_out_at_the_end_of_the_turn_when_nothing_else_is_told() -> None:
    call = Call()
    call.model(said("Silent."))
    assert types(call.model(TurnComplete())) == ["bot-transcription", "bot-llm-stopped", "bot-output"]


def test_text_that_nothing_ever_follows_comes_out_all_the_same() -> None:
    call = Call()
    call.model(sound(0.1), said("Hi."), GenerationComplete(), TurnComplete())
    call.wait(1)
    call.model(said(" Orphan."))
    out = call.wait(SOUNDLESS_SECONDS + 0.1)
    assert types(out) == ["bot-transcription", "bot-llm-stopped", "bot-output"]
    assert texts(out, "bot-output") == ["Orphan."]


def test_text_that_straggles_in_behind_its_sound_is_no_new_generation() -> None:
    call = Call()
    call.model(sound(0.2), said("One."), GenerationComplete())
    call.wait(0.1)
    call.model(said(" Two."))
    call.wait(1)
    call.model(TurnComplete())
    assert texts(call.sent, "bot-output") == ["One.", "Two."]
    assert types(call.sent).count("bot-llm-started") == types(call.sent).count("bot-llm-stopped") == 1


def test_a_generation_that_goes_on_after_a_function_call_starts_anew() -> None:
    call = Call()
    call.model(sound(0.2), said("Let me see."), ToolCall((FunctionCall("7", "f", {}),)), GenerationComplete())
    call.wait(1)
    call.model(sound(0.2), said("Four."), GenerationComplete(), TurnComplete())
    call.wait(1)
    assert texts(call.sent, "bot-output") == ["Let me see.", "Four."]
    assert types(call.sent).count("bot-llm-started") == 2
    assert types(call.sent).count("bot-started-speaking") == 2


def test_empty_pieces_start_nothing() -> None:
    call = Call()
    assert call.model(said(""), OutputTranscript("", True), Audio(b""), ModelText("hm", thought=True)) == []


def test_written_text_is_the_replys_too() -> None:
    call = Call()
    call.model(ModelText("Four."), TurnComplete())
    assert texts(call.sent, "bot-output") == ["Four."]


def test_long_pieces_fit_a_message() -> None:
    call = Call()
    call.model(said("y" * (2 * MAX_TEXT + 1)))
    assert [len(text) for text in texts(call.sent, "bot-llm-text")] == [MAX_TEXT, MAX_TEXT, 1]


def test_the_next_reply_may_begin_while_this_one_still_plays() -> None:
    call = Call()
    call.model(sound(1), said("One."), GenerationComplete(), TurnComplete())
    call.wait(0.2)
    call.model(sound(1), said("Two."), GenerationComplete(), TurnComplete())
    assert texts(call.sent, "bot-output") == ["One."]
    call.wait(3)
    assert texts(call.sent, "bot-output") == ["One.", "Two."]
    assert types(call.sent).count("bot-started-speaking") == types(call.sent).count("bot-stopped-speaking") == 1


# -- how far it has been heard --------------------------------------------------------------------------------


def test_progress_is_told_at_the_ends_of_words_as_they_are_heard() -> None:
    call = Call()
    call.model(said("Three seven eight eleven and twelve."), sound(3.1), GenerationComplete())  # ten letters a second
    told: list[tuple[float, str]] = []
    while call.sounding:
        told += [(call.position / RATE, heard) for _, state, heard in progress(call.wait(0.02)) if state != "new"]
    assert [heard for _, heard in told] == [
        "Three",
        "Three seven",
        "Three seven eight",
        "Three seven eight eleven",
        "Three seven eight eleven and",
        "Three seven eight eleven and twelve.",
    ]
    for at, heard in told:
        letters = len(heard.replace(" ", ""))
        assert at == pytest.approx(letters / 10, abs=0.021) or heard.endswith("and"), "400 ms after the word before"


def test_progress_of_quick_words_comes_every_400_ms_at_most() -> None:
    call = Call()
    call.model(said("a b c d e f g h i j k l m n o p q r s t."), sound(1.0), GenerationComplete())
    call.wait(1.2)
    states = [state for _, state, _ in progress(call.sent)]
    assert states == ["new", *["in-progress"] * 2, "completed"]


def test_text_that_runs_ahead_of_its_sound_is_told_no_faster_than_slow_speech() -> None:
    call = Call()
    call.model(said("One two three four. Five six. Seven"), sound(1.0))
    call.wait(0.99)
    assert progress(call.sent)[-1] == (1, "in-progress", "One two")
    for _ in range(3):
        call.model(sound(1.0))
        call.wait(1.0)
    assert progress(call.sent)[-1] == (3, "new", "")
    call.model(GenerationComplete())
    call.wait(0.1)
    assert progress(call.sent)[-1] == (3, "completed", "Seven")
    assert types(call.sent)[-1] == "bot-stopped-speaking"


def test_a_pause_in_the_sound_is_no_progress() -> None:
    call = Call()
    call.model(said("One two three four five."), sound(0.5))
    call.wait(0.6)
    before = len(call.sent)
    assert call.wait(2.0) == []
    assert len(call.sent) == before


def test_after_an_interruption_nothing_is_told_but_the_last_words_before_it() -> None:
    call = Call()
    call.model(said("One two three four five six. Seven eight."), sound(3.4), GenerationComplete())
    call.wait(0.42)
    out = call.cut()
    assert progress(call.sent) == [(1, "new", ""), (1, "in-progress", "One")]
    assert progress(out) == []
    assert progress(call.wait(5)) == []
    call.model(said("a b c d e f g h i j"), sound(1.0), GenerationComplete(), TurnComplete())
    call.wait(0.58)
    assert progress(call.sent)[-1] == (2, "in-progress", "a b c d")
    assert progress(call.cut()) == [(2, "in-progress", "a b c d e f")]
    assert progress(call.wait(5)) == []


# -- interruption ---------------------------------------------------------------------------------------------


def test_an_interruption_drops_what_was_not_heard_and_stops_what_had_begun() -> None:
    call = Call()
    call.model(sound(1.0), said("One is. "))
    call.wait(0.3)
    call.model(sound(1.0), said("Two is. "))
    assert types(call.cut()) == [
        "bot-interrupted",
        "bot-stopped-speaking",
        "bot-llm-stopped",
        "bot-tts-stopped",
    ]
    call.model(Interrupted(), said("Two is done."), TurnComplete())
    call.wait(5)
    assert texts(call.sent, "bot-output") == ["One is."]
    assert types(call.sent).count("bot-interrupted") == 1


def test_the_part_of_a_sentence_that_was_heard_is_shown_before_the_interruption() -> None:
    call = Call()
    call.model(sound(0.3), said("I think "))
    call.wait(0.1)
    call.model(sound(0.3), said("that you "))
    call.wait(0.1)
    call.model(sound(0.3), said("should"))
    call.wait(0.15)
    assert types(call.cut())[:4] == ["bot-transcription", "bot-output", "bot-tts-text", "bot-interrupted"]
    assert texts(call.sent, "bot-output") == ["I think"]


def test_an_interruption_before_the_first_sound_stops_no_speech() -> None:
    call = Call()
    call.model(said("One is. "))
    assert types(call.cut()) == ["bot-interrupted", "bot-llm-stopped"]


def test_an_interruption_of_nothing_is_nothing() -> None:
    call = Call()
    assert call.cut() + call.model(Interrupted()) == []
    call.model(sound(0.1), said("Hi."), GenerationComplete(), TurnComplete())
    call.wait(1)
    assert call.cut() == []


def test_the_model_interrupting_is_the_same() -> None:
    call = Call()
    call.model(sound(1), said("One is. "))
    assert types(call.model(Interrupted())) == [
        "bot-interrupted",
        "bot-stopped-speaking",
        "bot-llm-stopped",
        "bot-tts-stopped",
    ]


def test_sound_ends_the_wait_for_the_end_of_an_interrupted_reply() -> None:
    call = Call()
    call.model(sound(1), said("One is. "))
    call.cut()
    call.model(said("Lost. "), sound(0.5), said("Three."), GenerationComplete(), TurnComplete())
    call.wait(1)
    assert texts(call.sent, "bot-output") == ["One is.", "Three."]


def test_time_ends_the_wait_for_the_end_of_an_interrupted_reply() -> None:
    call = Call()
    call.model(sound(1), said("One is. "))
    call.cut()
    call.wait(STALE_SECONDS + 0.1)
    call.model(said("Three."), sound(0.5), TurnComplete())
    call.wait(1)
    assert texts(call.sent, "bot-output") == ["One is.", "Three."]


# -- a reply in text alone ------------------------------------------------------------------------------------


def silent(call: Call, text: str = "How many?") -> None:
    call.take(call.turns.asked(text, call.now, silent=True))


def test_a_silent_reply_is_shown_as_it_is_written_and_the_next_one_is_heard() -> None:
    call = Call()
    silent(call)
    call.model(said("It is four. And"), sound(1.0), said(" five"), GenerationComplete(), TurnComplete())
    assert types(call.sent) == [
        "user-llm-text",
        "bot-llm-started",
        "bot-llm-text",
        "bot-transcription",
        "bot-output",
        "metrics",
        "bot-llm-text",
        "bot-transcription",
        "bot-output",
        "bot-llm-stopped",
        "metrics",
    ]
    outputs = [message["data"] for message in call.sent if message["type"] == "bot-output"]
    assert [row["text"] for row in outputs] == ["It is four.", "And five"]
    assert not any(row["spoken"] or row["will_be_spoken"] for row in outputs)
    assert call.received == 0
    assert call.wait(5) == []
    call.take(call.turns.asked("And now?", call.now))
    call.model(said("Six."), sound(0.5), GenerationComplete(), TurnComplete())
    call.wait(1)
    assert progress(call.sent)[-1] == (3, "completed", "Six.")
    assert types(call.sent)[-1] == "bot-stopped-speaking"


def test_a_silent_reply_cuts_the_one_that_is_playing_and_only_that_one_is_interrupted() -> None:
    call = Call()
    call.model(said("One two three."), sound(2), GenerationComplete())
    call.wait(0.5)
    call.cut()
    silent(call)
    call.model(Interrupted(), TurnComplete(), said("Four."), sound(0.5), GenerationComplete(), TurnComplete())
    call.wait(1)
    assert [state for _, state, _ in progress(call.sent)] == ["new", "in-progress", "new"]
    assert types(call.sent).count("bot-interrupted") == types(call.sent).count("bot-started-speaking") == 1


def test_a_silent_reply_that_calls_a_function_stays_silent_to_its_end() -> None:
    call = Call()
    silent(call)
    call.model(said("Let me see."), sound(0.5), ToolCall((FunctionCall("7", "f", {}),)))
    call.wait(2 * SOUNDLESS_SECONDS)
    call.model(said(" It is four."), sound(0.5), GenerationComplete(), TurnComplete())
    call.wait(1)
    assert texts(call.sent, "bot-output") == ["Let me see.", "It is four."]
    assert call.received == 0
    call.model(sound(0.5))
    assert call.received > 0


def test_a_silent_reply_that_is_interrupted_is_over() -> None:
    call = Call()
    silent(call)
    call.wait(CROSSING_SECONDS + 0.1)
    call.model(said("One. Two"), sound(0.5))
    told = types(call.model(Interrupted()))
    assert told == ["bot-transcription", "bot-output", "bot-interrupted", "bot-llm-stopped"]
    assert texts(call.sent, "bot-output") == ["One.", "Two"]
    call.model(TurnComplete(), said("Three."), sound(0.5), GenerationComplete(), TurnComplete())
    call.wait(1)
    assert call.received > 0


def test_a_reply_that_crosses_a_silent_question_is_not_taken_for_its_answer() -> None:
    call = Call()
    call.take(call.turns.greeting(call.now))
    silent(call)
    call.wait(0.1)
    call.model(said("Hello"), sound(0.5), Interrupted(), TurnComplete())
    call.wait(0.5)
    call.model(said("Four."), sound(0.5), GenerationComplete(), TurnComplete(), said("Five."), sound(0.5))
    assert call.received == RATE // 2, "only the one after it"


def test_a_silent_reply_that_never_comes_silences_no_other() -> None:
    for lifted in (
        lambda call: call.wait(SILENT_SECONDS + 0.1),
        lambda call: (call.user(True), call.model(heard("Hello?"))),
        lambda call: call.turns.asked("Aloud, please", call.now),
    ):
        call = Call()
        silent(call)
        lifted(call)
        call.model(said("Yes."), sound(0.5), GenerationComplete(), TurnComplete())
        assert call.received > 0


def test_words_from_before_it_was_asked_for_do_not_lift_the_silence() -> None:
    call = Call()
    call.user(True)
    call.user(False)
    silent(call)
    call.model(heard("Hello"), said("Yes."), sound(0.5))
    assert call.received == 0


def test_what_is_typed_is_told_back_with_the_id_of_its_message() -> None:
    call = Call()
    (message,) = call.take(call.turns.chat("How many?", "a1", call.now))
    stamp = message["data"].pop("timestamp")
    assert datetime.fromisoformat(stamp).timestamp() == pytest.approx(EPOCH)
    assert message["data"] == {"text": "How many?", "input_type": "chat", "final": True, "msg_id": "a1"}


# -- what is measured -----------------------------------------------------------------------------------------


def waits(call: Call) -> list[float]:
    rows = [message["data"] for message in call.sent if message["type"] == "metrics"]
    return [row["ttfb"][0]["value"] for row in rows if "ttfb" in row]


def test_the_wait_for_an_answer_is_measured_from_typed_words_and_from_the_request_to_greet() -> None:
    call = Call()
    call.take(call.turns.greeting(call.now))
    call.wait(0.4)
    call.model(sound(0.1), sound(0.1), GenerationComplete(), TurnComplete())
    call.wait(1)
    call.take(call.turns.asked("Hello", call.now))
    call.wait(0.6)
    call.model(sound(0.1), TurnComplete())
    assert waits(call) == [pytest.approx(0.4), pytest.approx(0.6)]
    assert texts(call.sent, "user-llm-text") == ["Hello"]


def test_the_whole_answer_is_measured_once_when_it_is_complete() -> None:
    call = Call()
    call.take(call.turns.asked("Hello", call.now))
    call.wait(0.4)
    call.model(said("Well"), sound(0.1))
    call.wait(0.4)
    call.model(GenerationComplete(), TurnComplete(), sound(0.1), GenerationComplete(), TurnComplete())
    rows = [message["data"] for message in call.sent if message["type"] == "metrics"]
    assert [row["processing"][0]["value"] for row in rows if "processing" in row] == [pytest.approx(0.8)]


def test_an_answer_that_is_interrupted_is_not_measured_to_its_end() -> None:
    call = Call()
    call.take(call.turns.asked("Hello", call.now))
    call.model(said("Well"), sound(0.1), Interrupted(), TurnComplete(), sound(0.1), GenerationComplete())
    assert not any("processing" in message.get("data", {}) for message in call.sent)


def test_a_voice_that_stops_after_the_answer_began_measures_nothing() -> None:
    call = Call()
    call.user(True)
    call.model(sound(0.3))
    call.user(False)
    call.model(sound(0.3), GenerationComplete(), TurnComplete())
    call.wait(2)
    call.model(sound(0.3))
    assert waits(call) == []


def test_a_voice_that_interrupts_briefly_measures_the_next_answer() -> None:
    call = Call()
    call.model(sound(3))
    call.user(True)
    call.wait(0.2)
    call.user(False)
    call.cut()
    call.model(TurnComplete())
    call.wait(0.5)
    call.model(sound(0.3))
    assert waits(call) == [pytest.approx(0.5)]


def test_tokens_are_told_with_their_kinds() -> None:
    call = Call()
    (message,) = call.model(Usage(10, 20, 0, 0, {"TEXT": 4, "AUDIO": 6}, {"AUDIO": 20}))
    assert message["data"]["tokens"] == [
        {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": 30,
            "input_text_tokens": 4,
            "input_audio_tokens": 6,
            "output_audio_tokens": 20,
        }
    ]


# -- what the model does besides ------------------------------------------------------------------------------


def test_a_function_call_ends_the_question_and_is_not_told_by_the_turns() -> None:
    call = Call()
    out = call.model(heard("Weather?"), ToolCall((FunctionCall("7", "secret", {"city": "Oslo"}),)))
    assert types(out)[-1] == "user-transcription"
    assert "secret" not in str(out)
    assert not call.model(ToolCancelled(("7",)))


def test_what_an_answer_rests_on_is_told_as_the_sdks_read_it() -> None:
    found = Grounding("It snows.", (Source("https://a.example/", "", (Passage("It snows.", (0.9,)),)),), "<div></div>")
    (message,) = Call().model(found)
    assert message["type"] == "bot-llm-search-response"
    assert message["data"] == {
        "search_result": "It snows.",
        "rendered_content": "<div></div>",
        "origins": [
            {
                "site_uri": "https://a.example/",
                "site_title": "https://a.example/",
                "results": [{"text": "It snows.", "confidence": [0.9]}],
            }
        ],
    }


# -- any order of events --------------------------------------------------------------------------------------

PAIRS: Final = {
    "user": ("user-started-speaking", "user-stopped-speaking"),
    "speaking": ("bot-started-speaking", "bot-stopped-speaking"),
    "llm": ("bot-llm-started", "bot-llm-stopped"),
    "tts": ("bot-tts-started", "bot-tts-stopped"),
}
WORD: Final = re.compile(r"[bui]\d+")


class Watched(Call):
    """A call whose every message is held against the rules as it goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.on = dict.fromkeys(PAIRS, False)
        self.words = 0
        self.user_words: list[str] = []  # spoken, and not yet final
        self.open_words: list[str] = []  # of the bot, accepted, and not yet shown
        self.dead_words: set[str] = set()  # shown before, or interrupted
        self.segment = 0
        self.heard: tuple[str, int] | None = None  # the sentence being heard, and how much of it

    def word(self, kind: str) -> str:
        self.words += 1
        word = f"{kind}{self.words}"
        if kind == "u":
            self.user_words.append(word)
        return word

    def take(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for message in messages:
            self.judge(message)
        return super().take(messages)

    def judge(self, message: dict[str, Any]) -> None:
        type_, data = message["type"], message.get("data", {})
        for name, (started, stopped) in PAIRS.items():
            if type_ in (started, stopped):
                assert self.on[name] == (type_ == stopped), f"{type_} out of turn"
                self.on[name] = type_ == started
        words = WORD.findall(data.get("text", ""))
        if type_ == "user-transcription":
            spoken = [word for word in words if word[0] == "u"]
            assert spoken == self.user_words[: len(spoken)]
            if data["final"]:
                del self.user_words[: len(spoken)]
        elif type_ == "bot-llm-text":
            self.open_words += words
        elif type_ == "bot-output":
            self.judge_output(data, words)
        elif type_ == "bot-interrupted":
            self.dead_words.update(self.open_words)
            self.open_words.clear()
            self.heard = None

    def ask(self, text: str, *, silent: bool) -> None:
        self.take(self.turns.asked(text, self.now, silent=silent))

    def judge_output(self, data: dict[str, Any], words: list[str]) -> None:
        if data["spoken_status"] != "new":
            assert self.heard is not None, "progress of what is not new, or of what an interruption cut off"
            text, heard = self.heard
            assert (data["text"], data["segment_id"]) == (text, self.segment)
            done = data["spoken_progress"]["accumulated_text"]
            assert done + data["spoken_progress"]["remaining_text"] == text
            assert len(done) > heard, "no progress"
            assert data["spoken"] == (done == text) == (data["spoken_status"] == "completed")
            self.heard = None if data["spoken"] else (text, len(done))
            assert self.on["speaking"] or data["spoken"], "progress in silence"
            return
        assert data["segment_id"] > self.segment, "a segment is new once"
        assert self.heard is None, "the one before is not completed"
        self.segment = data["segment_id"]
        self.heard = (data["text"], 0) if data["will_be_spoken"] else None
        assert self.dead_words.isdisjoint(words), "shown twice, or after an interruption"
        assert words == self.open_words[: len(words)], "out of order"
        del self.open_words[: len(words)]
        self.dead_words.update(words)


class Polite(Watched):
    """Where the model gives way to what is asked, as it does on a call."""

    def ask(self, text: str, *, silent: bool) -> None:
        self.cut()
        super().ask(text, silent=silent)


def act(call: Watched, choose: random.Random) -> None:
    ending = choose.choice(["", "", ".", "?", "\n"])
    match choose.randrange(16):
        case 0:
            call.user(True)
        case 1:
            call.user(False)
        case 2 | 3:
            call.model(heard(f" {call.word('u')}", finished=choose.random() < 0.2))
        case 4:
            call.model(heard(call.word("i"), interim=True))
        case 5 | 6:
            call.model(sound(choose.uniform(0, 1.0)))
        case 7 | 8:
            call.model(OutputTranscript(f" {call.word('b')}{ending}", choose.random() < 0.1))
        case 9:
            call.model(sound(choose.uniform(0, 0.5)), said(f" {call.word('b')}{ending} "))
        case 10:
            call.model(GenerationComplete())
        case 11:
            call.model(TurnComplete())
        case 12:
            call.cut()
            if choose.random() < 0.5:
                call.model(Interrupted())
        case 13:
            call.ask(call.word("t"), silent=choose.random() < 0.3)
        case 14:
            call.wait(choose.uniform(0, 0.4))
        case 15:
            call.wait(choose.uniform(0, 4))


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_whatever_happens_in_whatever_order_the_rules_hold(seed: int, acts: int) -> None:
    call, choose = Watched(), random.Random(seed)
    for _ in range(acts):
        act(call, choose)
    call.user(False)
    call.model(GenerationComplete(), TurnComplete())
    call.wait((call.received - call.position) / RATE + SOUNDLESS_SECONDS + 1)
    assert call.open_words == [], "a sentence was lost without an interruption"
    assert call.user_words == [], "the user's words were lost"
    assert call.on == dict.fromkeys(PAIRS, False), "something goes on for ever"
    assert call.turns.deadline is None
    assert call.take(call.turns.close(call.now)) == []


def remembered(call: Call, role: Role) -> list[str]:
    return [word for turn in call.history.transcript(call.now).turns if turn.role is role for word in turn.text.split()]


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_what_captions_tell_as_heard_is_what_history_says(seed: int, acts: int) -> None:
    call, choose = Polite(), random.Random(seed)
    for _ in range(acts):
        act(call, choose)
    call.user(False)
    call.model(GenerationComplete(), TurnComplete())
    call.wait((call.received - call.position) / RATE + SOUNDLESS_SECONDS + 1)
    call.turns.played(call.position, call.now)
    told: dict[int, str] = {}
    for message in call.sent:
        if message["type"] == "bot-output":
            row = message["data"]
            done = row.get("spoken_progress", {"accumulated_text": ""})["accumulated_text"]
            told[row["segment_id"]] = done if row["will_be_spoken"] else row["text"]
    assert "".join("".join(told.values()).split()) == "".join(remembered(call, Role.MODEL))
    asked = [word for word in remembered(call, Role.USER) if word[0] != "t"]
    assert sorted(asked) == sorted(word for text in finals(call.sent) for word in text.split())


def test_text_that_comes_at_once_after_an_interruption_is_not_of_the_sound_that_was_cut() -> None:
    call = Call()
    call.model(sound(0.5), TurnComplete())
    call.cut()
    call.model(said("One two."))
    call.take(call.turns.interrupted(call.position, call.now))
    assert texts(call.sent, "bot-output") == remembered(call, Role.MODEL) == [], "nobody heard it"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_whenever_a_call_is_closed_nothing_goes_on(seed: int, acts: int) -> None:
    call, choose = Watched(), random.Random(seed)
    for _ in range(acts):
        act(call, choose)
    call.user(False)
    call.take(call.turns.close(call.now))
    assert call.user_words == []
    assert call.on == dict.fromkeys(PAIRS, False)
