"""The local voice to the SDK of the service itself, unmodified: what is said is understood, and answered in words."""

import asyncio
import io
import json
import os
import re
import runpy
import socket
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from google import genai
from google.genai import types
from google.genai.errors import APIError
from websockets.asyncio.client import connect

from relay.standin import models, voice
from relay.standin.script import Script, parse
from relay.standin.server import serve, tls_context
from relay.standin.workshop import Workshop
from tests.test_standin_sdk import MODEL, certificate, config
from tests.timbres import QUESTIONS, RATE, VOICES, speak

__all__ = ["certificate"]  # a fixture

ROOT: Final = Path(__file__).parent.parent
EXAMPLE: Final = ROOT / "examples" / "own_model.py"
PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
LINUX: Final = sys.platform == "linux"
PATIENCE_S: Final = 60.0  # for one turn, on a machine that has much to do
SILENCE: Final = bytes(2 * RATE * 7 // 10)


@pytest.fixture(scope="module")
async def shop(a_loop_that_has_all_it_keeps: None) -> AsyncIterator[Workshop]:
    """The models, loaded once for all tests of this file."""
    made = Workshop()
    made.start()
    assert await made.ready(), made.missing
    yield made
    await made.close()


@contextmanager
def _client(address: str) -> Iterator[Any]:
    client = genai.Client(api_key="K", http_options=types.HttpOptions(base_url=address))
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def talking(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch, script: Script | None = None, **setup: Any
) -> AsyncIterator[tuple["Partner", Any]]:
    """A session with the local voice, and the SDK's client."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = tls_context(certificate, certificate)
    async with serve(script or parse({}), tls=tls, shop=shop) as standin, connected(standin.url, **setup) as both:
        yield both


@asynccontextmanager
async def connected(url: str, **setup: Any) -> AsyncIterator[tuple["Partner", Any]]:
    """A session with whoever serves at `url`."""
    with _client(url.replace("wss://", "https://")) as client:
        try:
            async with client.aio.live.connect(model=MODEL, config=config(**setup)) as session:
                yield Partner(session), client
        finally:
            await client.aio.aclose()


async def ten_questions(partner: "Partner") -> None:
    """Each in another voice than the one before, and answered rightly but for one at most."""
    day, wrong = datetime.now().astimezone().strftime("%A").lower(), []
    for n, (question, answer) in enumerate(QUESTIONS):
        await partner.say(question, VOICES[n % len(VOICES)])
        said = await partner.answer()
        if (day if answer == "sunday" else answer) not in said.lower():
            wrong.append((question, partner.heard))
        assert len(partner.pcm) > 0.3 * voice.RATE * 2
    assert len(wrong) <= 1, wrong


class Partner:
    """Speaks to the model in somebody else's voice, and hears it out."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.interims: list[str] = []
        self.heard = self.words = ""
        self.pcm = b""
        self.interrupted = 0
        self.calls: list[types.FunctionCall] = []
        self.usage: types.UsageMetadata | None = None

    async def say(self, text: str, voice: str = VOICES[0]) -> None:
        pcm = bytes(RATE // 5) + await asyncio.to_thread(speak, text, voice) + SILENCE
        for at in range(0, len(pcm), 3200):
            blob = types.Blob(data=pcm[at : at + 3200], mime_type=f"audio/pcm;rate={RATE}")
            await self.session.send_realtime_input(audio=blob)

    async def answer(self, *, whole: bool = False) -> str:
        """What it says next: until all of it was made, or else until it would have been heard."""
        self.heard = self.words = ""
        self.pcm, self.interims = b"", []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async for message in self.session.receive():
                    if self._take(message, whole):
                        return self.words

    def _take(self, message: types.LiveServerMessage, whole: bool) -> bool:
        self.usage = message.usage_metadata or self.usage
        if message.tool_call:
            self.calls += message.tool_call.function_calls or []
            return True
        content = message.server_content
        if content is None:
            return False
        if content.interrupted:
            self.interrupted += 1
            self.words, self.pcm = "", b""
        if content.interim_input_transcription:
            self.interims.append(content.interim_input_transcription.text or "")
        self.heard += (content.input_transcription.text or "") if content.input_transcription else ""
        self.words += (content.output_transcription.text or "") if content.output_transcription else ""
        self.pcm += message.data or b""
        return bool(self.words and (content.turn_complete if whole else content.generation_complete))


async def test_the_sdk_holds_a_conversation_of_ten_questions(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(shop, certificate, monkeypatch) as (partner, _):
        await ten_questions(partner)
        assert partner.usage is not None


async def test_the_example_of_a_model_of_your_own_holds_the_same_conversation(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(models, "load", lambda: shop.models)
    example = runpy.run_path(str(EXAMPLE))
    assert len(EXAMPLE.read_text().splitlines()) <= 60
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = asyncio.create_task(example["main"](None, sock=listening, ssl=tls_context(certificate, certificate)))
        try:
            async with connected(f"wss://127.0.0.1:{port}") as (partner, _):
                await ten_questions(partner)
        finally:
            server.cancel()
            await asyncio.wait([server])


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
    async with talking(shop, certificate, monkeypatch, tools=[tool]) as (partner, _):
        await partner.say("What is the weather in Paris?")
        await partner.answer()
        (call,) = partner.calls
        assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
        answer = types.FunctionResponse(id=call.id, name=call.name, response={"result": "sunny, 21 degrees"})
        await partner.session.send_tool_response(function_responses=[answer])
        assert "sunny" in (await partner.answer()).lower()


async def test_a_script_is_spoken_and_the_same_seed_sounds_the_same(
    shop: Workshop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = parse({"seed": 7, "replies": [{"heard": "", "say": "The tide comes in. It goes out again."}]})
    sounds = []
    for _ in range(2):
        async with talking(shop, certificate, monkeypatch, told) as (partner, _client):
            await partner.session.send_realtime_input(text="hello there")
            assert await partner.answer() == "The tide comes in. It goes out again."
            sounds.append(partner.pcm)
    assert sounds[0] == sounds[1]
    assert shop.models is not None
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
