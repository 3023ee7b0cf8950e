"""The local voice to the SDK of the service itself, unmodified: what is said is understood, and answered in words."""

import asyncio
import io
import json
import os
import re
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from google.genai import types
from google.genai.errors import APIError
from websockets.asyncio.client import connect

from relay.gemini.handshake import Target
from relay.standin import voice
from relay.standin.script import Script, parse
from relay.standin.server import serve, tls_context
from relay.standin.speaker import Speaker
from relay.standin.workshop import Workshop
from relay.transcribe import Transcriber
from tests import partner
from tests.partner import Partner
from tests.test_standin_sdk import certificate
from tests.timbres import RATE, speak

__all__ = ["certificate"]  # a fixture

ROOT: Final = Path(__file__).parent.parent
PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
LINUX: Final = sys.platform == "linux"


@pytest.fixture(scope="module")
async def shop(a_loop_that_has_all_it_keeps: None) -> AsyncIterator[Workshop]:
    """The models, loaded once for all tests of this file."""
    made = Workshop()
    made.start()
    assert await made.ready(), made.missing
    yield made
    await made.close()


@asynccontextmanager
async def talking(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch, script: Script | None = None, **setup: Any
) -> AsyncIterator[tuple[Partner, Any]]:
    """A session with the local voice, and the SDK's client."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = tls_context(certificate, certificate)
    async with (
        serve(script or parse({}), tls=tls, shop=shop) as standin,
        partner.connected(standin.url, **setup) as both,
    ):
        yield both


async def test_the_sdk_holds_a_conversation_of_ten_questions(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(shop, certificate, monkeypatch) as (person, _):
        await partner.ten_questions(person)
        assert person.usage is not None


async def test_the_sdk_interrupts_it_and_asks_at_length(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(shop, certificate, monkeypatch) as (person, _):
        await partner.an_interruption(person)
        await partner.a_long_question(person)


async def test_the_sdk_reads_along_while_somebody_speaks(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "My name is Anna, and what is the capital of France?"
    async with talking(shop, certificate, monkeypatch) as (person, _):
        await person.say(question, in_real_time=True)
        await person.answer()
        assert person.interims
        assert partner.as_said(person.interims[-1])[:4] == ["my", "name", "is", "anna"]
        assert partner.as_said(person.heard) == partner.as_said(question)


async def test_the_transcript_of_a_call_comes_from_its_ears_without_a_network(shop: Workshop) -> None:
    """What `--transcription flash` asks for."""
    async with serve(parse({}), shop=shop) as standin:
        transcriber = Transcriber("gemini-3.8-flash")
        try:
            said = await asyncio.to_thread(speak, "What is the capital of France?")
            target = Target(standin.url, "gemini-3.8-live")
            written = await transcriber.write(said, RATE, target, languages=["en-US"], vocabulary=["Paris"])
            silent = await transcriber.write(bytes(2 * 2 * RATE), RATE, target)
        finally:
            await transcriber.close()
    assert written is not None
    assert written.text == "What is the capital of France?"
    assert written.usage.prompt > 0
    assert silent is not None
    assert silent.text == ""


async def test_a_recording_is_written_down_at_once_and_as_events(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes(await asyncio.to_thread(speak, "What is the capital of France?"))
    recording = types.Part.from_bytes(data=file.getvalue(), mime_type="audio/wav")
    noise = types.Part.from_bytes(data=b"RIFF" + bytes(200), mime_type="audio/wav")
    async with talking(shop, certificate, monkeypatch) as (_, client):
        models = client.aio.models
        answer = await models.generate_content(model="gemini-3.8-flash", contents=["Transcribe.", recording])
        assert answer.text == "What is the capital of France?"
        assert answer.usage_metadata.prompt_token_count > 60
        events = await models.generate_content_stream(model="gemini-3.8-flash", contents=[recording])
        assert [event.text async for event in events] == ["What is the capital of France?"]
        with pytest.raises(APIError, match="Unable to process input audio"):
            await models.generate_content(model="gemini-3.8-flash", contents=[noise])


async def test_a_tool_is_called_where_it_is_plainly_asked_for(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name="get_weather",
                description="The weather in a city.",
                parameters=types.Schema(
                    type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}, required=["city"]
                ),
            )
        ]
    )
    async with talking(shop, certificate, monkeypatch, tools=[tool]) as (person, _):
        await person.say("What is the weather in Paris?")
        await person.answer()
        (call,) = person.calls
        assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
        answer = types.FunctionResponse(id=call.id, name=call.name, response={"result": "sunny, 21 degrees"})
        await person.session.send_tool_response(function_responses=[answer])
        assert "sunny" in (await person.answer()).lower()


async def test_a_script_is_spoken_and_the_same_seed_sounds_the_same(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = parse({"seed": 7, "replies": [{"heard": "", "say": "The tide comes in. It goes out again."}]})
    assert shop.models is not None
    sounds, fresh = [], Speaker()  # which has not said it before, and has nothing kept of it
    other = Workshop()
    other.models, other.desk = replace(shop.models, voice=fresh), shop.desk
    try:
        for at in (shop, other):
            async with talking(at, certificate, monkeypatch, told) as (person, _client):
                await person.session.send_realtime_input(text="hello there")
                assert await person.answer() == "The tide comes in. It goes out again."
                sounds.append(person.pcm)
    finally:
        fresh.close()
    assert sounds[0] == sounds[1]
    assert "tide comes in" in shop.models.recognizer.text(voice.resample(sounds[0], voice.RATE, RATE))


def test_it_keeps_no_diary_for_anybody(shop: Workshop) -> None:
    held = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()] if LINUX else []
    assert not [path for path in held if "onnxruntime" in path and path.endswith((".db", ".db-wal"))]


async def test_without_its_weights_it_says_so_in_a_sentence_and_says_your_words_back(tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RELAY_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay.standin", "--local-weights", str(tmp_path)), env=environment, cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            url = (await process.stdout.readline()).decode().split()[-1]
            said = (await process.stdout.readline()).decode().strip()
        assert re.fullmatch(r"local voice: [A-Z-].*\.", said)
        async with connect(url + PATH) as client:
            await client.send(json.dumps({"setup": {"model": "models/m", "outputAudioTranscription": {}}}))
            async with asyncio.timeout(10):
                assert "setupComplete" in json.loads(await client.recv())
                await client.send(json.dumps({"realtimeInput": {"text": "hello"}}))
                while "You" not in str(json.loads(await client.recv())):
                    pass
    finally:
        process.terminate()
        await process.wait()
