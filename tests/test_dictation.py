"""Turns that another model writes down: what it is sent, what becomes of its words; unasked it hears nothing."""

import asyncio
import inspect
import json
from collections.abc import Sequence
from typing import Any

import pytest

from relay import rtvi
from relay.cost import Ledger, Prices, Rates
from relay.dictation import Recording
from relay.gemini import events
from relay.gemini.handshake import Target
from relay.standin.script import parse
from relay.transcribe import MAX_SECONDS, Transcriber, Transcription
from tests.caller import Caller
from tests.running import running
from tests.sound import read_wav
from tests.talk import MODEL, SECOND, Call, play, voice

SENTENCE = read_wav("tests/sounds/weather.wav")
FLASH = "gemini-3.8-flash"
USAGE = events.Usage(prompt=100, response=10, total=110)


class Writer:
    """Answers with the scripted words, a second later; None fails."""

    model = FLASH

    def __init__(self, *words: str | None) -> None:
        self.words = list(words)
        self.asked: list[tuple[bytes, int]] = []

    async def write(self, pcm: bytes, rate: int, target: Target, **hints: Sequence[str]) -> Transcription | None:
        self.asked.append((pcm, rate))
        await asyncio.sleep(1.0)
        words = self.words.pop(0)
        return Transcription(words, USAGE) if words is not None else None


def corrections(call: Call) -> list[dict[str, Any]]:
    told = [m["data"] for m in call.said if m["type"] == "server-message"]
    return [data for data in told if data["event"] == "transcript-corrected"]


def turns(call: Call) -> list[tuple[str, str]]:
    return [(role, text) for role, text in call.history.since(0)]


async def question(call: Call, heard: str) -> bytes:
    """The user says something, of which the live words are these."""
    said = voice(1.0)
    await call.speak(said)
    await call.rest(0.6)
    call.does(events.InputTranscript(heard))
    await call.rest(1.0)
    return said


async def answer(call: Call, words: str) -> None:
    call.does(events.OutputTranscript(words), events.Audio(SECOND * 2), events.GenerationComplete())
    await call.rest(2.5)
    call.does(events.TurnComplete())
    await call.rest(1.0)


def test_each_turn_is_written_down_from_its_own_sound_and_replaces_the_live_words() -> None:
    writer = Writer("What is the weather?", "Sunny, all day.")

    async def main(call: Call) -> None:
        said = await question(call, "What is the whether?")
        await answer(call, "Sunny all day")
        await call.rest(2.0)
        (user, rate), (model, model_rate) = writer.asked
        assert (rate, model_rate) == (16_000, 24_000)
        assert said in user
        assert len(user) < len(said) + 1.0 * 32_000, "and little else"
        assert model == SECOND * 2
        assert [(c["role"], c["was"], c["text"]) for c in corrections(call)] == [
            ("user", "What is the whether?", "What is the weather?"),
            ("assistant", "Sunny all day", "Sunny, all day."),
        ]
        assert turns(call) == [("user", "What is the weather?"), ("model", "Sunny, all day.")]

    play(main, transcriber=writer)


def test_what_cannot_be_written_down_leaves_the_live_words() -> None:
    async def main(call: Call) -> None:
        await question(call, "Hello?")
        await answer(call, "Hello.")
        await call.rest(2.0)
        assert corrections(call) == []
        assert turns(call) == [("user", "Hello?"), ("model", "Hello.")]

    play(main, transcriber=Writer(None, ""))


def test_of_an_interrupted_turn_the_part_that_was_heard_is_written_down() -> None:
    writer = Writer("One two", "Stop.")

    async def main(call: Call) -> None:
        call.does(events.OutputTranscript("One two three four five six."), events.Audio(SECOND * 10))
        await call.rest(3.0)
        call.does(events.Interrupted(), events.TurnComplete())
        await call.rest(1.0)
        ((pcm, _),) = writer.asked
        assert len(pcm) / 48_000 == pytest.approx(3.0, abs=0.05)

    play(main, transcriber=writer)


def test_words_that_are_typed_are_nobodys_to_write_down() -> None:
    writer = Writer()

    async def main(call: Call) -> None:
        typed = {"label": "rtvi-ai", "type": "send-text", "id": "1", "data": {"content": "Hello?"}}
        call.dialogue.on_frame(json.dumps(typed))
        await call.rest(1.0)
        assert writer.asked == []

    play(main, transcriber=writer)


def test_it_is_paid_for_by_its_own_prices() -> None:
    rates = Rates({"text": 1.0}, {"text": 2.0})
    ledger = Ledger(Prices("EUR", {FLASH: rates}), model=MODEL)

    async def main(call: Call) -> None:
        await question(call, "Hello?")
        await call.rest(2.0)
        assert ledger.total.tokens == 110
        assert ledger.total.money == pytest.approx((100 * 1.0 + 10 * 2.0) / 1e6)

    play(main, transcriber=Writer("Hello."), ledger=ledger)


def test_a_recording_that_is_too_long_is_not_kept_and_the_next_one_is() -> None:
    recording = Recording(100)
    for _ in range(round(MAX_SECONDS) + 1):
        recording.add(bytes(200))
    assert recording.take() == b""
    recording.add(b"1234")
    assert recording.take(1) == b"12"
    assert recording.take() == b""


async def test_no_sound_goes_to_another_model_unless_the_owner_says_so() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-stopped-speaking", timeout=20)
        caller.say(SENTENCE)
        await caller.message("bot-stopped-speaking", timeout=20)
        await caller.hang_up()
        assert house.model.rest.count == 0


async def test_with_flash_the_words_of_both_come_from_the_other_model() -> None:
    script = parse({"transcripts": ["First.", "Second.", "Third."]})
    async with running("--transcription", "flash", script=script) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-stopped-speaking", timeout=20)
        caller.say(SENTENCE)
        for _ in range(2):
            await caller.message(
                "server-message", where=lambda data: data["event"] == "transcript-corrected", timeout=20
            )
        await caller.hang_up()
        assert house.model.rest.count >= 2
        assert all(mime == "audio/flac" for mime, _ in house.model.rest.recordings)


def test_the_writer_of_the_tests_is_called_as_the_real_one_is() -> None:
    real = list(inspect.signature(Transcriber.write).parameters)
    assert real[:4] == list(inspect.signature(Writer.write).parameters)[:4]
    assert rtvi.relay_event("transcript-corrected")["data"] == {"event": "transcript-corrected"}
