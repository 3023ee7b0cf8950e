"""Recordings are written down by the stand-in's generateContent, through Google's own library, or not at all."""

import asyncio
import functools
import io
from array import array
from pathlib import Path
from typing import Any, Final

import av
import pytest
from google import genai
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as websocket_server

from relay import transcribe
from relay.gemini.handshake import Target
from relay.standin import rest
from relay.standin.script import parse
from relay.standin.server import serve
from relay.transcribe import AT_ONCE, MAX_SECONDS, MAX_WAITING, MIN_SECONDS, NOBODY, Transcriber, flac
from relay.values import Secret
from tests.sound import read_wav

WEATHER: Final = read_wav(Path(__file__).parent / "sounds" / "weather.wav")
KEY: Final = "AIzaCanaryCanaryCanary"


async def written(script: dict[str, Any], pcm: bytes = WEATHER.pcm, **hints: Any) -> tuple[str | None, Any]:
    """What became of one recording, and the stand-in's side of it."""
    async with serve(parse(script)) as standin:
        transcriber = Transcriber("gemini-3.8-flash")
        try:
            target = Target(standin.url, "gemini-3.8-live", key=Secret(KEY))
            got = await transcriber.write(pcm, WEATHER.rate, target, **hints)
        finally:
            await transcriber.close()
            await transcriber.close()
        return got.text if got is not None else None, standin.rest


def decoded(file: bytes) -> bytes:
    with av.open(io.BytesIO(file), "r") as container:
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in container.decode(audio=0))


def test_a_flac_file_holds_the_same_sound() -> None:
    file = flac(WEATHER.pcm, 16_000)
    assert decoded(file) == WEATHER.pcm
    assert len(file) < 0.6 * len(WEATHER.pcm)
    assert decoded(flac(array("h", [1]).tobytes() + b"x", 24_000)) == b"\x01\x00"


async def test_the_words_of_a_recording_come_from_the_other_model() -> None:
    text, rest = await written({"transcripts": ["What is the\n weather like today? "]})
    assert text == "What is the weather like today?"
    (mime, sound), = rest.recordings  # fmt: skip
    assert mime == "audio/flac"
    assert decoded(sound) == WEATHER.pcm
    (asked,) = rest.requests
    assert asked["generationConfig"]["temperature"] == 0
    assert 64 < asked["generationConfig"]["maxOutputTokens"] < 200


async def test_hints_go_along() -> None:
    _, rest = await written({}, languages=["de-DE", "en"], vocabulary=["Kubernetes"])
    instruction = rest.requests[0]["contents"][0]["parts"][1]["text"]
    assert "The language is one of de-DE, en." in instruction
    assert "Kubernetes" in instruction


async def test_what_it_took_is_told_by_kind() -> None:
    async with serve() as standin:
        transcriber = Transcriber("gemini-3.8-flash")
        got = await transcriber.write(WEATHER.pcm, WEATHER.rate, Target(standin.url, "m"))
        await transcriber.close()
    assert got is not None
    assert got.usage.prompt_by_modality == {"TEXT": 20, "AUDIO": got.usage.prompt - 20}
    assert got.usage.response_by_modality == {"TEXT": got.usage.response}
    assert got.text == "(3.8 s of sound)"
    assert got.text not in repr(got)


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
async def test_a_refusal_is_no_transcript_and_no_error(status: int, caplog: pytest.LogCaptureFixture) -> None:
    text, _ = await written({"faults": [{"kind": "refuse-transcript", "status": status, "body": KEY}]})
    assert text is None
    assert KEY not in caplog.text


async def test_nobody_there_is_no_error_either() -> None:
    transcriber = Transcriber("gemini-3.8-flash")
    assert await transcriber.write(WEATHER.pcm, WEATHER.rate, Target("ws://127.0.0.1:1", "m")) is None
    await transcriber.close()


async def test_an_answer_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe, "DEADLINE", 0.3)
    text, _ = await written({"timings": {"transcript_ms": 5000}})
    assert text is None


async def test_a_model_that_repeats_itself_is_not_believed() -> None:
    text, _ = await written({"transcripts": ["and so on " * 200]})
    assert text is None


async def test_silence_has_no_words() -> None:
    text, _ = await written({"transcripts": [f" {NOBODY}\n"]})
    assert text == ""


@pytest.mark.parametrize("seconds", [0.0, MIN_SECONDS - 0.01, MAX_SECONDS + 0.1])
async def test_what_is_too_short_or_too_long_is_not_even_sent(seconds: float) -> None:
    text, rest = await written({}, bytes(round(seconds * 16_000) * 2))
    assert text is None
    assert rest.count == 0


async def test_so_many_at_once_so_many_waiting_and_the_rest_is_left() -> None:
    async with serve(parse({"timings": {"transcript_ms": 100}})) as standin:
        transcriber = Transcriber("gemini-3.8-flash")
        target, second = Target(standin.url, "m"), bytes(32_000)
        many = [transcriber.write(second, 16_000, target) for _ in range(AT_ONCE + MAX_WAITING + 3)]
        done = await asyncio.gather(*many)
        await transcriber.close()
    assert sum(one is None for one in done) == 3
    assert standin.rest.count == AT_ONCE + MAX_WAITING


async def test_the_stand_in_moves_and_is_found_again() -> None:
    transcriber = Transcriber("gemini-3.8-flash")
    for _ in range(2):
        async with serve() as standin:
            assert await transcriber.write(bytes(32_000), 16_000, Target(standin.url, "m")) is not None
    await transcriber.close()


async def test_two_recordings_at_once_after_a_move_leave_one_connection_and_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, closed = [], []

    class Slow(genai.client.AsyncClient):
        async def aclose(self) -> None:
            await asyncio.sleep(0.1)  # the other recording comes meanwhile
            closed.append(self)
            await super().aclose()

    class Client(genai.Client):
        @property
        def aio(self) -> Slow:
            if not hasattr(self, "slow"):
                self.slow = Slow(self._api_client)
                made.append(self.slow)
            return self.slow

    monkeypatch.setattr(genai, "Client", Client)
    second = bytes(32_000)
    transcriber = Transcriber("gemini-3.8-flash")
    async with serve() as standin:
        assert await transcriber.write(second, 16_000, Target(standin.url, "m")) is not None
    async with serve() as standin:
        target = Target(standin.url, "m")
        both = await asyncio.gather(*(transcriber.write(second, 16_000, target) for _ in range(2)))
        assert None not in both
        await transcriber.close()
    assert len(made) == 2
    assert closed == made


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /nowhere HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/models/m:generateContent HTTP/1.1\r\n\r\n",
        b"POST /v1/models/m:generateContent HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n",
        b"POST /v1/models/m:generateContent HTTP/1.1\r\nContent-Length: 1\r\n\r\n{",
        b'POST /v1/models/m:generateContent HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"contents": 7}',
        b"POST " + b"x" * 20_000,
    ],
)
async def test_the_stand_in_survives_what_is_no_request(request_bytes: bytes) -> None:
    async with serve() as standin:
        reader, writer = await asyncio.open_connection("127.0.0.1", standin.port)
        writer.write(request_bytes)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answer == b"" or int(answer.split()[1]) in (400, 404, 413)
        assert standin.open == []


REQUEST = b'POST /v1/models/m:generateContent HTTP/1.1\r\nContent-Length: 16\r\n\r\n{"contents": []}'


async def say(port: int, *parts: bytes) -> bytes:
    """What comes back, until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_recording_may_take_longer_to_write_down_than_a_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = functools.partial(websocket_server, open_timeout=0.1)
    monkeypatch.setattr("relay.standin.server.websocket_server", hurried)
    async with serve(parse({"transcripts": ["all of it"], "timings": {"transcript_ms": 400}})) as standin:
        assert b"all of it" in await say(standin.port, REQUEST)


@pytest.mark.parametrize(
    ("limit", "parts", "status"),
    [
        ("OPENING_S", [], None),
        ("OPENING_S", [b"GET / HTTP/1.1\r\n"], None),
        ("BODY_S", [b"POST /"], 408),
        ("BODY_S", [REQUEST[:-1]], 408),
        ("ANSWERING_S", [REQUEST], 504),
    ],
)
async def test_every_step_of_a_request_has_a_deadline(
    limit: str, parts: list[bytes], status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, limit, 0.1)
    async with serve(parse({"timings": {"transcript_ms": 60_000}})) as standin:
        answer = await say(standin.port, *parts)
        assert (int(answer.split()[1]) if answer else None) == status
        assert not standin.rest.doors


async def test_a_line_that_is_open_has_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "OPENING_S", 0.2)
    path = "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
    async with serve() as standin, connect(standin.url + path) as line:
        await asyncio.sleep(0.4)
        await line.send('{"setup": {"model": "models/m"}}')
        assert b"setupComplete" in await asyncio.wait_for(line.recv(), 5)


async def test_so_many_requests_at_once_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_REQUESTS", 1)
    async with serve(parse({"timings": {"transcript_ms": 500}})) as standin:
        first = asyncio.create_task(say(standin.port, REQUEST))
        while not standin.rest.count:
            await asyncio.sleep(0.01)
        assert (await say(standin.port, REQUEST)).split()[1] == b"503"
        assert (await first).split()[1] == b"200"


async def test_a_request_under_way_does_not_hold_up_the_end() -> None:
    async with serve(parse({"timings": {"transcript_ms": 60_000}})) as standin:
        waiting = asyncio.create_task(say(standin.port, REQUEST))
        while not standin.rest.count:
            await asyncio.sleep(0.01)
    assert await waiting == b""
