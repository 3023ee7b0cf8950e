"""The stand-in to the SDK of the service itself, unmodified, over TLS."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google import genai
from google.genai import types
from google.genai.errors import APIError
from google.genai.live import AsyncSession
from websockets.exceptions import InvalidStatus

from relay.standin import ears, script, voice
from relay.standin.script import Script
from relay.standin.server import Standin, serve, tls_context
from tests import sound

MODEL: Final = "gemini-3.8-live"
QUICK: Final = {"latency_ms": 20, "speed": 20, "lifetime_s": 0}
PATIENCE_S: Final = 10


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    signed = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return path


def told(**fields: Any) -> Script:
    return script.parse({**fields, "timings": {**QUICK, **fields.get("timings", {})}})


@asynccontextmanager
async def service(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, script: Script
) -> AsyncIterator[tuple[Any, Standin]]:
    """A running stand-in, and the SDK's client set up for it by nothing but an address and the trust store."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serve(script, tls=tls_context(certificate, certificate)) as standin:
        address = standin.url.replace("wss://", "https://")
        client = genai.Client(api_key="K", http_options=types.HttpOptions(base_url=address))
        try:
            yield client.aio.live, standin
        finally:
            await client.aio.aclose()
            client.close()


def config(**fields: Any) -> types.LiveConnectConfig:
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        **fields,
    )


class Turn:
    """All that came until the turn was complete."""

    def __init__(self) -> None:
        self.pcm = b""
        self.heard = ""
        self.words = ""
        self.interrupted = False
        self.usage: types.UsageMetadata | None = None
        self.calls: list[types.FunctionCall] = []
        self.messages: list[types.LiveServerMessage] = []

    def add(self, message: types.LiveServerMessage) -> None:
        self.messages.append(message)
        self.pcm += message.data or b""
        self.usage = message.usage_metadata or self.usage
        self.calls += (message.tool_call.function_calls or []) if message.tool_call else []
        if content := message.server_content:
            self.heard += (content.input_transcription.text or "") if content.input_transcription else ""
            self.words += (content.output_transcription.text or "") if content.output_transcription else ""
            self.interrupted = self.interrupted or bool(content.interrupted)


async def turn_of(session: AsyncSession, until_call: bool = False) -> Turn:
    turn = Turn()
    async with asyncio.timeout(PATIENCE_S):
        async for message in session.receive():
            turn.add(message)
            if until_call and turn.calls:
                break
    return turn


async def say(session: AsyncSession, pcm: bytes) -> None:
    for i in range(0, len(pcm), 3200):
        await session.send_realtime_input(audio=types.Blob(data=pcm[i : i + 3200], mime_type="audio/pcm;rate=16000"))


def speech(seconds: float) -> bytes:
    return sound.tone(300, seconds, ears.RATE, -20).pcm


PAUSE: Final = bytes(2 * ears.RATE * 7 // 10)


async def test_a_whole_conversation(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Greeting, speech said back, interruption, text, usage, one after the other on one line."""
    quick = told(greeting={"say": "Hello! I am here.", "seconds": 0.8})
    async with service(certificate, monkeypatch, quick) as (live, standin):
        wanted = config(session_resumption=types.SessionResumptionConfig(), system_instruction="Be brief.")
        async with live.connect(model=MODEL, config=wanted) as session:
            await session.send_realtime_input(text=" ")
            greeting = await turn_of(session)
            assert greeting.words == "Hello! I am here."
            assert greeting.pcm == voice.hum("Hello! I am here.", 0.8)
            assert greeting.usage is not None

            await say(session, speech(1.0) + PAUSE)
            echo = await turn_of(session)
            assert echo.heard.endswith("s of speech)")
            assert echo.words.startswith("(your own words, 1.")
            assert voice.seconds(echo.pcm) == pytest.approx(1.1, abs=0.1)
            assert echo.usage is not None
            assert echo.usage.response_token_count
            assert (echo.usage.total_token_count or 0) > (greeting.usage.total_token_count or 0)
            spoke = [m.voice_activity.voice_activity_type for m in echo.messages if m.voice_activity]
            assert [s.value for s in spoke if s] == ["ACTIVITY_START", "ACTIVITY_END"]

            await session.send_client_content(
                turns=types.Content(role="user", parts=[types.Part(text="Tell me everything.")])
            )
            await asyncio.sleep(0.3)
            await say(session, speech(1.0))
            cut = await turn_of(session)
            assert cut.interrupted
            assert cut.words.startswith("You typed: ")
            await say(session, PAUSE)
            assert (await turn_of(session)).words.startswith("(your own words")
        heard = standin.connections[0]
        assert heard.headers["x-goog-api-key"] == "K"
        assert heard.setup is not None
        assert heard.setup["model"] == f"models/{MODEL}"
        assert standin.received_pcm() == speech(1.0) + PAUSE + speech(1.0) + PAUSE


async def test_a_tool_is_called_and_its_answer_spoken(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"name": "get_weather", "args": {"city": "Paris"}}
    lines = [{"say": "One moment.", "seconds": 0.2, "calls": [call], "then": {"say": "{result}", "seconds": 0.2}}]

    def get_weather(city: str) -> dict[str, str]:
        """The weather in a city."""
        return {"sky": f"blue over {city}"}

    async with (
        service(certificate, monkeypatch, told(replies=lines)) as (live, standin),
        live.connect(model=MODEL, config=config(tools=[get_weather])) as session,
    ):
        await session.send_realtime_input(text="What is the weather?")
        (made,) = (await turn_of(session, until_call=True)).calls
        assert (made.name, made.args) == ("get_weather", {"city": "Paris"})
        assert made.id
        response = types.FunctionResponse(id=made.id, name=made.name, response=get_weather(**(made.args or {})))
        await session.send_tool_response(function_responses=[response])
        assert (await turn_of(session)).words == '{"sky": "blue over Paris"}'
        setup = standin.connections[0].setup
        assert setup is not None
        assert setup["tools"][0]["functionDeclarations"][0]["name"] == "get_weather"


async def test_what_it_computed_and_found_is_read(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grounding = {"groundingChunks": [{"web": {"uri": "https://a.example/", "title": "a"}}]}
    line = {"say": "Two.", "seconds": 0.2, "code": "1 + 1", "grounding": grounding}
    async with (
        service(certificate, monkeypatch, told(replies=[line])) as (live, _),
        live.connect(model=MODEL, config=config(tools=[{"google_search": {}}, {"code_execution": {}}])) as session,
    ):
        await session.send_realtime_input(text="How much?")
        contents = [m.server_content for m in (await turn_of(session)).messages if m.server_content]
        parts = [part for content in contents if content.model_turn for part in content.model_turn.parts or []]
        assert [part.executable_code.code for part in parts if part.executable_code] == ["1 + 1"]
        assert len([part for part in parts if part.code_execution_result]) == 1
        (found,) = [content.grounding_metadata for content in contents if content.grounding_metadata]
        assert found.grounding_chunks is not None
        assert found.grounding_chunks[0].web is not None
        assert found.grounding_chunks[0].web.uri == "https://a.example/"


async def test_going_away_and_coming_back_with_the_handle(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving = {"kind": "go-away", "on": [1], "after_s": 0.4, "time_left_s": 0.3}
    lines = [{"say": "one", "seconds": 0.1}, {"say": "two", "seconds": 0.1}]
    async with service(certificate, monkeypatch, told(replies=lines, faults=[leaving])) as (live, _):
        seen: list[types.LiveServerMessage] = []
        async with live.connect(model=MODEL, config=config(session_resumption={})) as session:
            await session.send_realtime_input(text="first")
            with pytest.raises(APIError) as ended:
                await until_it_leaves(session, seen)
            assert ended.value.code == 1011
            assert "Deadline expired" in str(ended.value)
        assert [m.go_away.time_left for m in seen if m.go_away] == ["0.300s"]
        updates = [m.session_resumption_update for m in seen if m.session_resumption_update]
        handle = [u.new_handle for u in updates if u.resumable][-1]
        resumed = config(session_resumption=types.SessionResumptionConfig(handle=handle))
        async with live.connect(model=MODEL, config=resumed) as session:
            await session.send_realtime_input(text="second")
            assert (await turn_of(session)).words == "two"


async def until_it_leaves(session: AsyncSession, seen: list[types.LiveServerMessage]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async for message in session.receive():
                seen.append(message)


async def test_the_user_may_mark_his_own_speech(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manual = types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))
    async with (
        service(certificate, monkeypatch, told()) as (live, _),
        live.connect(model=MODEL, config=config(realtime_input_config=manual)) as session,
    ):
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await say(session, speech(0.5))
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        assert (await turn_of(session)).words == "(your own words, 0.5 s)"


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (
            {"kind": "refuse-setup", "code": 1008, "reason": "models/x is not found for API version v1"},
            1008,
            "not found",
        ),
        ({"kind": "refuse-setup", "code": 1007, "reason": "API key not valid."}, 1007, "not valid"),
    ],
)
async def test_a_refused_setup_is_the_sdks_own_error(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], code: int, reason: str
) -> None:
    async with service(certificate, monkeypatch, told(faults=[fault])) as (live, _):
        with pytest.raises(APIError, match=reason) as refused:
            await live.connect(model=MODEL, config=config()).__aenter__()
        assert refused.value.code == code


async def test_a_refused_upgrade_keeps_its_status(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = {"kind": "refuse-upgrade", "status": 429}
    async with service(certificate, monkeypatch, told(faults=[busy])) as (live, _):
        with pytest.raises(InvalidStatus) as refused:
            await live.connect(model=MODEL, config=config()).__aenter__()
        assert refused.value.response.status_code == 429


async def test_garbage_in_between_does_not_end_the_line(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame `{}` as text, then the conversation goes on."""
    odd = {"kind": "garbage", "after_chunks": 1, "what": "text-frame"}
    async with (
        service(certificate, monkeypatch, told(greeting={"say": "Hi.", "seconds": 0.5}, faults=[odd])) as (live, _),
        live.connect(model=MODEL, config=config()) as session,
    ):
        await session.send_realtime_input(text=" ")
        assert (await turn_of(session)).words == "Hi."


def test_the_tls_of_the_stand_in_is_modern(certificate: Path) -> None:
    assert tls_context(certificate, certificate).minimum_version >= ssl.TLSVersion.TLSv1_2
