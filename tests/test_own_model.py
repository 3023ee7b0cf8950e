"""The example of a model of your own: it passes the same wire tests, and speaks through the relay as the docs say."""

import asyncio
import runpy
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from relay.standin import models
from relay.standin.server import tls_context
from tests import partner, timbres
from tests.caller import Caller
from tests.running import running
from tests.sound import Sound
from tests.test_standin_sdk import certificate

__all__ = ["certificate"]  # a fixture

EXAMPLE: Final = Path(__file__).parent.parent / "examples" / "own_model.py"


@pytest.fixture(scope="module")
async def own(a_loop_that_has_all_it_keeps: None) -> AsyncIterator[models.Models]:
    loaded = await asyncio.to_thread(models.load)
    yield loaded
    await asyncio.to_thread(loaded.voice.close)


@asynccontextmanager
async def serving(
    own: models.Models, monkeypatch: pytest.MonkeyPatch, certificate: Path | None = None
) -> AsyncIterator[str]:
    """The example serves at this address; over TLS with a certificate, for the SDK asks for that."""
    monkeypatch.setattr(models, "load", lambda: own)
    example = runpy.run_path(str(EXAMPLE))
    tls = {"ssl": tls_context(certificate, certificate)} if certificate else {}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = asyncio.create_task(example["main"](None, sock=listening, **tls))
        try:
            yield f"{'wss' if certificate else 'ws'}://127.0.0.1:{port}"
        finally:
            server.cancel()
            await asyncio.wait([server])


def test_it_has_sixty_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 60


async def test_it_holds_the_same_conversation_as_the_local_voice(
    own: models.Models, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(own, monkeypatch, certificate) as url, partner.connected(url) as (person, _):
        await partner.ten_questions(person)


async def test_it_is_interrupted_and_hears_a_long_question_out(
    own: models.Models, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(own, monkeypatch, certificate) as url, partner.connected(url) as (person, _):
        await partner.an_interruption(person)
        await partner.a_long_question(person)


async def test_a_caller_of_the_relay_talks_with_it(own: models.Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/local-voice.md says: `--model gemini --gemini-url ws://…`, and no key."""
    async with serving(own, monkeypatch) as url:
        flags = ("--model", "gemini", "--gemini-url", url, "--greeting", "")
        async with running(*flags, key="") as house, Caller(house.base) as caller:
            await caller.dial()
            await caller.message("bot-ready")
            caller.say(Sound(await asyncio.to_thread(timbres.speak, "What is the capital of France?"), timbres.RATE))
            words = await caller.message("user-transcription", where=lambda data: data["final"], timeout=15)
            assert words.data["text"].strip() == "What is the capital of France?"
            await caller.message("bot-output", where=lambda data: "Paris" in data["text"], timeout=15)
            await caller.message("bot-stopped-speaking", timeout=15)
            assert caller.recording(words.at).level() > -40, "the caller hears the answer"
            await caller.hang_up()
