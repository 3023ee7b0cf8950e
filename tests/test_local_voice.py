"""The local voice to the SDK of the service itself, unmodified: words are understood, and answered in words, over TLS."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from google import genai
from google.genai import types

from relay.standin import voice
from relay.standin.script import Script, parse
from relay.standin.server import serve, tls_context
from relay.standin.workshop import Workshop
from tests.test_standin_sdk import MODEL, certificate, config
from tests.timbres import QUESTIONS, RATE, VOICES, speak

__all__ = ["certificate"]  # a fixture

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
    async with serve(script or parse({}), tls=tls_context(certificate, certificate), shop=shop) as standin:
        with _client(standin.url.replace("wss://", "https://")) as client:
            try:
                async with client.aio.live.connect(model=MODEL, config=config(**setup)) as session:
                    yield Partner(session), client
            finally:
                await client.aio.aclose()


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
    right = 0
    async with talking(shop, certificate, monkeypatch) as (partner, _):
        for n, (question, expected) in enumerate(QUESTIONS):
            await partner.say(question, VOICES[n % len(VOICES)])
            said = await partner.answer()
            print(n, partner.interims, repr(partner.heard), repr(said), expected)
            right += expected in said.lower() or "day it is" in question
            assert len(partner.pcm) > 0.3 * voice.RATE * 2
    assert right >= 9
