"""The socket to the model, against a server on loopback that accepts, refuses, stalls and breaks as told."""

import asyncio
import datetime
import ipaddress
import json
import logging
import socket
import ssl
import time
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.genai import types
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from relay.errors import ModelFault, OurBug, RelayError
from relay.gemini import client as client_module
from relay.gemini import protocol
from relay.gemini.client import CLOSE_DEADLINE, MAX_BROKEN, MAX_UNSENT, MAX_UNSENT_AUDIO, LiveClient
from relay.gemini.dial import UNACKNOWLEDGED_MS
from relay.gemini.events import Audio, Event, GoAway, OutputTranscript, SetupComplete, TurnComplete
from relay.gemini.frames import MAX_FRAGMENTS, MAX_FRAME
from relay.gemini.handshake import KEY_HEADER, Target
from relay.gemini.reading import MAX_MESSAGE
from relay.gemini.service import State
from relay.values import Secret

MODEL: Final = "gemini-3.8-live"
CANARY: Final = "canary-AIzaSyD-0123456789abcdef"
READY: Final = b'{\n  "setupComplete": {}\n}\n'
FRAME: Final = bytes(640)  # 20 ms of sound
GO: Final = protocol.text_message("go").data  # says to a script that `connect()` has returned
Script = Callable[[ServerConnection], Awaitable[None]]


class Upstream:
    """What a scripted server saw: the upgrade requests and, of each connection, the messages."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.heard: list[dict[str, Any]] = []
        self.url = ""


@asynccontextmanager
async def upstream(script: Script, *, refuse: Response | None = None, **options: Any) -> AsyncIterator[Upstream]:
    """Serve `script` on loopback after a setup has been read and noted; or answer every upgrade with `refuse`."""
    seen = Upstream()

    def process(connection: ServerConnection, request: Request) -> Response | None:
        seen.requests.append(request)
        return refuse

    async def play(connection: ServerConnection) -> None:
        seen.heard.append(json.loads(await connection.recv()))
        await script(connection)

    def port(server: Server) -> int:
        number = server.sockets[0].getsockname()[1]
        assert isinstance(number, int)
        return number

    scheme = "wss" if "ssl" in options else "ws"
    async with serve(play, "127.0.0.1", 0, process_request=process, compression=None, **options) as server:
        seen.url = f"{scheme}://127.0.0.1:{port(server)}"
        yield seen


@asynccontextmanager
async def raw_server(
    play: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server below WebSocket: `play` gets the connection after the upgrade request has been read."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await reader.readuntil(b"\r\n\r\n")
        await play(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*tasks)
    finally:
        server.close()
        await server.wait_closed()


class Owner:
    """Who owns a client: notes what it is told."""

    def __init__(self, url: str, *, close_deadline: float = CLOSE_DEADLINE, **options: Any) -> None:
        self._close_deadline = close_deadline
        self.events: list[Event] = []
        self.ends: list[RelayError] = []
        self.changed = asyncio.Event()
        target = Target(url, MODEL, key=Secret(CANARY))
        self.client = LiveClient(target, types.LiveConnectConfig(), self.on_event, self.on_closed, **options)

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    def on_closed(self, fault: RelayError) -> None:
        self.ends.append(fault)
        self.changed.set()

    async def until(self, done: Callable[[], object]) -> None:
        """Wait until `done` says so; a minute's fraction is enough for anything on loopback."""
        async with asyncio.timeout(5):
            while not done():
                self.changed.clear()
                await self.changed.wait()

    async def __aenter__(self) -> "Owner":
        await self.client.connect()
        assert self.client.send(GO)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close(self._close_deadline)


async def accept(connection: ServerConnection) -> None:
    """Accept the setup and listen until the client goes."""
    await connection.send(READY)
    await connection.wait_closed()


def closing(code: int, reason: str, *, live: bool) -> Script:
    async def script(connection: ServerConnection) -> None:
        if live:
            await connection.send(READY)
        await connection.close(code, reason)

    return script


async def refused(owner: Owner) -> ModelFault:
    """The fault that `connect()` raises; the owner still owes the close."""
    with pytest.raises(ModelFault) as caught:
        await owner.client.connect()
    await owner.client.close()
    assert owner.client.state is State.CLOSED
    assert not owner.ends, "a connection that never was does not end"
    return caught.value


# -- opening --------------------------------------------------------------------------------------------------


async def test_the_key_goes_into_one_header_and_the_setup_comes_first() -> None:
    async with upstream(accept) as server, Owner(server.url) as owner:
        assert owner.events == [SetupComplete()]
        assert owner.client.state is State.LIVE
    (request,) = server.requests
    assert request.headers[KEY_HEADER] == CANARY
    assert CANARY not in request.path
    assert request.path == "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    assert "Sec-WebSocket-Extensions" not in request.headers, "compression costs more than it saves"
    assert server.heard == [{"setup": {"model": f"models/{MODEL}"}}]


async def test_without_a_key_no_key_is_sent() -> None:
    async with upstream(accept) as server:
        target = Target(server.url, MODEL)
        client = LiveClient(target, types.LiveConnectConfig(), lambda event: None, lambda fault: None)
        await client.connect()
        await client.close()
    assert KEY_HEADER not in server.requests[0].headers


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "key-refused"), (403, "key-refused"), (404, "model-not-found"), (429, "quota"), (503, "model-unreachable")],
)
async def test_an_upgrade_answered_with_plain_http_is_told_apart(status: int, code: str) -> None:
    answer = Response(status, HTTPStatus(status).phrase, Headers({"Content-Length": "2"}), b"no")
    async with upstream(accept, refuse=answer) as server:
        fault = await refused(Owner(server.url))
    assert fault.code == code
    assert str(status) in fault.detail
    assert len(server.requests) == 1, "no retry"


async def test_a_refusal_whose_body_comes_later_is_told_by_its_status() -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"body")

    async with raw_server(play) as url:
        assert (await refused(Owner(url))).code == "key-refused"


async def test_a_redirect_does_not_carry_the_key_to_another_host() -> None:
    async with upstream(accept) as elsewhere:
        location = Headers({"Location": elsewhere.url, "Content-Length": "0"})
        async with upstream(accept, refuse=Response(302, "Found", location)) as server:
            fault = await refused(Owner(server.url))
    assert fault.code == "model-unreachable"
    assert not elsewhere.requests


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
async def test_a_server_that_does_not_speak_websocket_cannot_be_reached(answer: bytes) -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with raw_server(play) as url:
        assert (await refused(Owner(url))).code == "model-unreachable"


async def test_a_port_where_nobody_listens_cannot_be_reached() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        owner = Owner(f"ws://127.0.0.1:{held.getsockname()[1]}")
        assert (await refused(owner)).code == "model-unreachable"


@pytest.mark.parametrize(
    ("code", "reason", "fault"),
    [
        (1000, "", "model-unreachable"),
        (1007, "Request contains an invalid argument.", "setup-refused"),
        (1007, "API key not valid. Please pass a valid API key.", "key-refused"),
        (1008, "Operation is not implemented, or supported, or enabled.", "setup-refused"),
        (1008, "You exceeded your current quota", "quota"),
        (1011, "Internal error encountered.", "model-unreachable"),
        (4000, "", "model-unreachable"),
    ],
)
async def test_a_setup_answered_by_a_close_is_a_refusal_with_its_reason(code: int, reason: str, fault: str) -> None:
    async with upstream(closing(code, reason, live=False)) as server:
        raised = await refused(Owner(server.url))
    assert (raised.code, raised.detail.strip()) == (fault, f"closed {code} {reason}".strip())
    assert len(server.requests) == 1


@pytest.mark.parametrize("first", ["v1", "v1beta", "v1alpha"])
async def test_a_model_unknown_under_one_version_is_asked_for_once_under_another(first: str) -> None:
    async def script(connection: ServerConnection) -> None:
        assert connection.request is not None
        if f".{first}." in connection.request.path:
            reason = f"models/{MODEL} is not found for API version {first}, or is not supported for bidiGenerateContent"
            await connection.close(1008, reason)
        else:
            await accept(connection)

    async with upstream(script) as server:
        owner = Owner(server.url)
        owner.client = LiveClient(
            Target(server.url, MODEL, first), types.LiveConnectConfig(), owner.on_event, owner.on_closed
        )
        await owner.client.connect()
        assert owner.client.state is State.LIVE
        await owner.client.close()
    versions = [request.path.split(".")[3] for request in server.requests]
    assert versions == [first, "v1" if first == "v1beta" else "v1beta"]


async def test_a_model_unknown_under_both_versions_is_not_asked_for_a_third_time() -> None:
    script = closing(1008, "models/x is not found for API version v9", live=False)
    async with upstream(script) as server:
        assert (await refused(Owner(server.url))).code == "model-not-found"
    assert len(server.requests) == 2


async def test_a_model_that_never_answers_the_setup_times_out() -> None:
    async with upstream(ServerConnection.wait_closed) as server:
        fault = await refused(Owner(server.url, connect_deadline=0.1))
    assert (fault.code, fault.detail) == ("model-timeout", "setup after 0.1 s")


async def test_a_server_that_never_answers_the_upgrade_times_out_and_is_let_go() -> None:
    gone = asyncio.Event()

    async def play(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""
        gone.set()

    async with raw_server(play) as url:
        assert (await refused(Owner(url, connect_deadline=0.1))).code == "model-timeout"
        async with asyncio.timeout(1):
            await gone.wait()


async def test_an_unanswered_deadline_is_ten_seconds() -> None:
    assert client_module.CONNECT_DEADLINE == 10.0


async def test_cancelling_connect_lets_go_of_the_socket() -> None:
    async with upstream(ServerConnection.wait_closed) as server:
        owner = Owner(server.url)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await owner.client.connect()
        await owner.client.close()
        assert owner.client.state is State.CLOSED


async def test_close_ends_a_connect_that_is_still_waiting() -> None:
    async with upstream(ServerConnection.wait_closed) as server:
        owner = Owner(server.url)
        connecting = asyncio.create_task(owner.client.connect())
        await asyncio.sleep(0.05)
        await owner.client.close()
        with pytest.raises(ModelFault, match="closed while connecting"):
            await connecting


async def test_a_client_is_not_used_twice() -> None:
    async with upstream(accept) as server, Owner(server.url) as owner:
        with pytest.raises(OurBug):
            await owner.client.connect()
    owner = Owner("ws://127.0.0.1:1")
    await owner.client.close()
    with pytest.raises(OurBug):
        await owner.client.connect()


def wire(owner: Owner) -> socket.socket:
    """The socket of its connection."""
    transport = owner.client._transport
    assert transport is not None
    return transport.underlying_transport.get_extra_info("socket")  # type: ignore[no-any-return]


async def test_small_frames_are_not_held_back() -> None:
    async with upstream(accept) as server, Owner(server.url) as owner:
        sock = wire(owner)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_path_that_is_dead_is_noticed_by_what_is_not_acknowledged() -> None:
    async with upstream(accept) as server, Owner(server.url) as owner:
        sock = wire(owner)
        patience = UNACKNOWLEDGED_MS  # of systems other than Linux, which has the option
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            patience = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert patience == UNACKNOWLEDGED_MS <= 10_000


# -- TLS ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that nobody has signed, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return pem, context


async def test_a_certificate_named_by_the_environment_is_trusted(
    certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    async with upstream(echo_audio, ssl=context) as server, Owner(server.url) as owner:
        assert owner.client.send_audio(FRAME)
        await owner.until(lambda: TurnComplete() in owner.events)


async def test_a_certificate_that_nobody_vouches_for_is_refused_and_never_sees_the_key(
    certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with upstream(accept, ssl=certificate[1]) as server:
        fault = await refused(Owner(server.url))
    assert fault.code == "model-unreachable"
    assert "CERTIFICATE_VERIFY_FAILED" in fault.detail
    assert not server.requests


async def test_a_certificate_of_another_name_is_refused(
    certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    async with upstream(accept, ssl=context) as server:
        fault = await refused(Owner(server.url.replace("127.0.0.1", "localhost")))
    assert "CERTIFICATE_VERIFY_FAILED" in fault.detail


# -- hearing --------------------------------------------------------------------------------------------------


async def until_sound(connection: ServerConnection) -> None:
    """Listen until the first sound comes."""
    while "audio" not in json.loads(await connection.recv())["realtimeInput"]:
        pass


async def echo_audio(connection: ServerConnection) -> None:
    """Answer the first sound with the end of a turn."""
    await connection.send(READY)
    await until_sound(connection)
    await connection.send('{"serverContent":{"turnComplete":true}}')
    await connection.wait_closed()


def saying(*messages: Any) -> Script:
    async def script(connection: ServerConnection) -> None:
        await connection.send(READY)
        assert await connection.recv() == GO.decode()
        for message in messages:
            await connection.send(message)
        await connection.wait_closed()

    return script


def words(text: str) -> bytes:
    return json.dumps({"serverContent": {"outputTranscription": {"text": text}}}).encode()


def texts(owner: Owner) -> list[str]:
    return [event.text for event in owner.events if isinstance(event, OutputTranscript)]


async def test_text_and_binary_frames_whole_and_in_fragments_are_all_heard() -> None:
    whole, spelled = words("binary"), words("in fragments: ø")
    pieces = [spelled[:1], b"", spelled[1:30], spelled[30:]]
    script = saying(
        whole, words("text").decode(), pieces, [piece.decode() for piece in ([b'{"a":', b"1}"])], words("end")
    )
    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: "end" in texts(owner))
        assert texts(owner) == ["binary", "text", "in fragments: ø", "end"]
        assert owner.client.traffic.frames_in == 6


async def test_pings_between_fragments_are_answered_and_disturb_nothing() -> None:
    async def script(connection: ServerConnection) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield words("one")[:9]
            await (await connection.ping())
            yield words("one")[9:]

        await connection.send(READY)
        await connection.send(pieces())
        await connection.wait_closed()

    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: texts(owner) == ["one"])


async def test_a_broken_frame_is_counted_and_skipped() -> None:
    script = saying(b"{", b'{"serverContent":7}', b"\xff\xfe", words("still here"))
    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: texts(owner) == ["still here"])
        assert owner.client.traffic.frames_broken == 3 == MAX_BROKEN
        assert owner.client.live


@pytest.mark.parametrize(
    "part", [{"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}, {"mimeType": "audio/pcm", "data": "it rains today"},
             {"mimeType": "audio/pcm;rate=16000", "data": "AAA="}],
    ids=["odd length", "text", "another rate"],
)  # fmt: skip
async def test_sound_that_is_none_is_counted_and_skipped_and_not_played(part: dict[str, str]) -> None:
    none = json.dumps({"serverContent": {"modelTurn": {"parts": [{"inlineData": part}]}}}).encode()
    async with upstream(saying(none, words("still here"))) as server, Owner(server.url) as owner:
        await owner.until(lambda: texts(owner) == ["still here"])
        assert not [event for event in owner.events if isinstance(event, Audio)]
        assert owner.client.traffic.frames_broken == 1
        assert owner.client.live


async def test_unknown_messages_are_counted_and_skipped_however_many_there_are() -> None:
    unknown = b'{"somethingNew":{"a":1}}'
    script = saying(*[unknown] * (MAX_BROKEN * 3), words("still here"))
    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: texts(owner) == ["still here"])
        assert len(owner.events) == 2, "nothing of them is told"
        assert owner.client.traffic.frames_unknown == MAX_BROKEN * 3
        assert owner.client.traffic.frames_broken == 0


async def test_one_broken_frame_too_many_ends_the_connection() -> None:
    async with upstream(saying(*[b"{"] * (MAX_BROKEN + 1))) as server, Owner(server.url) as owner:
        await owner.until(lambda: owner.ends)
        assert [(fault.code, fault.detail) for fault in owner.ends] == [("model-lost", "too many broken frames")]


async def test_broken_frames_far_apart_are_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BROKEN_WINDOW", -1.0)  # no two are near each other
    script = saying(*[b"{"] * (MAX_BROKEN * 3), words("still here"))
    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: texts(owner) == ["still here"])


async def test_a_message_as_long_as_allowed_is_heard() -> None:
    empty = len(words(""))
    async with upstream(saying(words("x" * (MAX_MESSAGE - empty)))) as server, Owner(server.url) as owner:
        await owner.until(lambda: texts(owner))
        assert len(texts(owner)[0]) == MAX_MESSAGE - empty


@pytest.mark.parametrize("fragments", [1, 5])
@pytest.mark.parametrize("mebibytes", [5, 10])
async def test_a_message_of_5_or_10_mib_is_counted_and_skipped(mebibytes: int, fragments: int) -> None:
    size = mebibytes * 1024 * 1024
    assert size > MAX_MESSAGE
    message = words("x" * size)
    step = len(message) // fragments + 1
    pieces = [message[at : at + step] for at in range(0, len(message), step)]
    script = saying(message if fragments == 1 else pieces, words("still here"))
    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: owner.events[1:])
        assert texts(owner) == ["still here"]
        assert owner.client.traffic.frames_broken == 1


async def test_a_message_in_too_many_fragments_is_skipped_and_an_endless_one_ends_the_connection() -> None:
    pieces = [words("x")[:3], *[b""] * MAX_FRAGMENTS, words("x")[3:]]
    async with upstream(saying(pieces, words("still here"), pieces * 2)) as server, Owner(server.url) as owner:
        await owner.until(lambda: owner.ends)
        assert [fault.code for fault in owner.ends] == ["model-lost"]
        assert owner.client.close_code == 0, "it was us"
        assert texts(owner) == ["still here"]
        assert owner.client.traffic.frames_broken == 2


async def test_a_frame_that_announces_more_than_that_is_not_waited_for() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(READY)
        assert await connection.recv() == GO.decode()
        connection.transport.write(b"\x82\x7f" + (MAX_FRAME + 1).to_bytes(8, "big"))
        await connection.wait_closed()

    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: owner.ends)
        assert [fault.code for fault in owner.ends] == ["model-lost"]


@pytest.mark.parametrize("code", [1000, 1007, 1011])
async def test_how_the_model_closed_is_known(code: int) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(READY)
        assert await connection.recv() == GO.decode()
        await connection.close(code, "why")

    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: owner.ends)
        assert owner.client.close_code == code


async def test_sound_arrives_whole_and_in_order() -> None:
    chunks = [bytes([number]) * 9600 for number in range(20)]
    data = [json.dumps({"serverContent": {"modelTurn": {"parts": [
        {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": b64encode(chunk).decode()}}]}}}, indent=2)
        for chunk in chunks]  # fmt: skip
    async with upstream(saying(*data)) as server, Owner(server.url) as owner:
        await owner.until(lambda: len(owner.events) == 21)
        assert [event.pcm for event in owner.events if isinstance(event, Audio)] == chunks


async def test_go_away_leaves_the_connection_usable_until_it_ends() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(READY)
        await connection.send('{"goAway":{"timeLeft":"50s"}}')
        await until_sound(connection)
        await connection.close(1011, "Deadline expired before operation could complete.")

    async with upstream(script) as server, Owner(server.url) as owner:
        await owner.until(lambda: GoAway(50.0) in owner.events)
        assert owner.client.state is State.GOING_AWAY
        assert owner.client.send_audio(FRAME)
        await owner.until(lambda: owner.ends)
        assert owner.ends[0].code == "model-lost"


async def test_an_owner_that_fails_on_an_event_loses_the_connection_and_is_told_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, OutputTranscript):
            raise RuntimeError("what was said")

    async with upstream(saying(words("x"), words("y"))) as server:
        owner = Owner(server.url)
        owner.client = LiveClient(Target(server.url, MODEL), types.LiveConnectConfig(), fail, owner.on_closed)
        await owner.client.connect()
        owner.client.send(GO)
        await owner.until(lambda: owner.ends)
        await owner.client.close()
    assert [fault.code for fault in owner.ends] == ["internal"]


# -- ending ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "fault"),
    [
        (1000, "", "model-lost"),
        (1000, "The operation was cancelled.", "model-lost"),
        (1001, "", "model-lost"),
        (1007, "Request contains an invalid argument.", "model-lost"),
        (1008, "Requested entity was not found", "model-lost"),
        (1008, "API key expired. Please renew the API key.", "key-refused"),
        (1011, "Internal error encountered.", "model-lost"),
        (1011, "You exceeded your current quota", "quota"),
    ],
)
async def test_a_live_connection_that_the_model_closes_ends_once_with_its_reason(
    code: int, reason: str, fault: str
) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(READY)
        await until_sound(connection)
        await connection.close(code, reason)

    async with upstream(script) as server, Owner(server.url) as owner:
        owner.client.send_audio(FRAME)
        await owner.until(lambda: owner.ends)
        assert not owner.client.send_audio(FRAME)
        assert not owner.client.send(GO)
    assert [(end.code, end.detail.strip()) for end in owner.ends] == [(fault, f"closed {code} {reason}".strip())]
    assert owner.client.fault is owner.ends[0]


async def test_a_socket_that_drops_without_a_word_ends_the_connection() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(READY)
        await until_sound(connection)
        connection.transport.abort()

    async with upstream(script) as server, Owner(server.url) as owner:
        owner.client.send_audio(FRAME)
        await owner.until(lambda: owner.ends)
        assert owner.ends[0].detail.strip() == "closed 1006"


async def test_a_model_that_accepts_and_hangs_up_at_once_is_told_once() -> None:
    async with upstream(closing(1011, "Internal error encountered.", live=True)) as server:
        owner = Owner(server.url)
        try:
            await owner.client.connect()
        except ModelFault as fault:
            owner.ends.append(fault)
        await owner.until(lambda: owner.ends)
        await owner.client.close()
    assert [fault.code for fault in owner.ends] == ["model-lost"]


async def test_close_says_goodbye_and_may_be_called_again() -> None:
    codes: list[int | None] = []

    async def script(connection: ServerConnection) -> None:
        await accept(connection)
        codes.append(connection.close_code)

    async with upstream(script) as server:
        owner = Owner(server.url)
        await owner.client.connect()
        await asyncio.gather(owner.client.close(), owner.client.close())
        await owner.client.close()
        assert owner.client.state is State.CLOSED
    assert codes == [1000]
    assert not owner.ends, "the owner knows that it closed"
    assert owner.client.fault is None


async def test_close_before_connect_does_nothing() -> None:
    client = Owner("ws://127.0.0.1:1").client
    await client.close()
    assert client.state is State.CLOSED


async def stalled(connection: ServerConnection) -> None:
    """Accept, then read nothing, not even a close frame."""
    await connection.send(READY)
    connection.transport.pause_reading()
    await connection.wait_closed()


async def test_close_is_bounded_when_the_model_does_not_answer_it() -> None:
    async with upstream(stalled, close_timeout=0.1) as server:
        owner = Owner(server.url)
        await owner.client.connect()
        started = time.monotonic()
        await owner.client.close(0.1)
        assert time.monotonic() - started < 1.0
        transport = owner.client._transport
        assert transport is not None
        assert transport.is_disconnected


# -- a slow reader --------------------------------------------------------------------------------------------


async def test_sound_for_a_stalled_model_is_dropped_and_counted_and_never_waits() -> None:
    async with upstream(stalled, close_timeout=0.1) as server, Owner(server.url, close_deadline=0.1) as owner:
        most = slowest = 0.0
        frames = 12_000  # four minutes of speech
        for number in range(frames):
            started = time.perf_counter()
            owner.client.send_audio(FRAME)
            slowest = max(slowest, time.perf_counter() - started)
            most = max(most, owner.client.unsent)
            if number % 100 == 0:
                await asyncio.sleep(0)
        traffic = owner.client.traffic
        assert MAX_UNSENT_AUDIO < most < MAX_UNSENT_AUDIO + 1024
        assert traffic.audio_dropped > 0
        assert traffic.audio_out + traffic.audio_dropped == frames
        assert slowest < 1.0, "a send that waits for a stalled model never returns"
        assert owner.client.live, "a slow model is not a lost one"


async def test_for_a_stalled_model_a_picture_waits_for_nothing_and_takes_no_room_from_the_sound() -> None:
    picture = bytes(300_000)
    async with upstream(stalled, close_timeout=0.1) as server, Owner(server.url, close_deadline=0.1) as owner:
        while owner.client.send_picture(picture):
            await asyncio.sleep(0)
        unsent = owner.client.unsent
        assert 0 < unsent <= len(protocol.image_message(picture).data) + 16, "one at most, and the rest of none"
        for _ in range(20):
            assert owner.client.send_audio(FRAME), "its sound waits behind it, and is not dropped for it"
        assert not owner.client.send_picture(picture)
        assert owner.client.traffic.pictures_dropped == 2
        assert owner.client.traffic.audio_dropped == 0
        assert owner.client.live


async def test_what_must_not_be_dropped_is_kept_until_the_model_counts_as_lost() -> None:
    async with upstream(stalled, close_timeout=0.1) as server, Owner(server.url, close_deadline=0.1) as owner:
        message = protocol.tool_message("1", "f", {"output": "x" * 100_000}).data
        sent = 0
        while owner.client.send(message):
            sent += 1
            assert owner.client.unsent <= MAX_UNSENT
            await asyncio.sleep(0)
        assert sent > 10
        assert [fault.code for fault in owner.ends] == ["model-lost"]


async def test_a_reader_that_recovers_is_spoken_to_again() -> None:
    go_on = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await connection.send(READY)
        connection.transport.pause_reading()
        await go_on.wait()
        connection.transport.resume_reading()
        async for _ in connection:
            pass

    async with upstream(script, max_queue=None) as server, Owner(server.url) as owner:
        while owner.client.send_audio(FRAME):
            await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(5):
            while not owner.client.send_audio(FRAME):
                await asyncio.sleep(0.01)


# -- the key --------------------------------------------------------------------------------------------------


def walk(error: BaseException | None) -> Iterator[tuple[FrameType, int]]:
    return traceback.walk_tb(error.__traceback__ if error is not None else None)


def shown(owner: Owner, error: BaseException | None) -> str:
    """Everything that a log, a debugger or a traceback could show of a client."""
    client = owner.client
    parts = [repr(client), str(client), repr(vars(client)), repr(owner.events), repr(owner.ends), repr(client._target)]
    transport = client._transport
    if transport is not None:
        parts += [repr(transport), repr(transport.request.headers), repr(transport.response.headers)]
    for fault in (error, client.fault, *owner.ends):
        if fault is not None:
            parts += [repr(fault), str(fault), repr(getattr(fault, "detail", ""))]
            parts += traceback.TracebackException.from_exception(fault).format(chain=True)
            for link in (fault, fault.__context__, fault.__cause__):
                parts += [repr(frame.f_locals) for frame, _ in walk(link) if frame.f_code.co_filename != __file__]
    return "\n".join(parts)


@pytest.mark.parametrize("trouble", ["none", "refused", "closed at setup", "closed later", "timeout", "tls", "garbage"])
async def test_the_key_is_nowhere_but_in_its_header(
    trouble: str, caplog: pytest.LogCaptureFixture, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    caplog.set_level(1)
    caplog.set_level(1, logger="relay.gemini.client")
    caplog.set_level(1, logger="picows")
    caplog.set_level(1, logger="asyncio")
    for name in ("websockets", "websockets.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the test's own server may know the key
    echo = f"API key not valid: {CANARY}"

    async def closing_later(connection: ServerConnection) -> None:
        await connection.send(READY)
        await until_sound(connection)
        await connection.close(1008, echo)

    scripts: dict[str, Script] = {
        "none": echo_audio,
        "closed at setup": closing(1007, echo, live=False),
        "closed later": closing_later,
        "timeout": ServerConnection.wait_closed,
        "garbage": saying(*[f'{{"{CANARY}'.encode()] * (MAX_BROKEN + 1)),
    }
    refusal = Response(403, "Forbidden", Headers({"X-Echo": CANARY}), echo.encode()) if trouble == "refused" else None
    options: dict[str, Any] = {"ssl": certificate[1]} if trouble == "tls" else {}
    error: BaseException | None = None
    async with upstream(scripts.get(trouble, accept), refuse=refusal, **options) as server:
        owner = Owner(server.url, connect_deadline=0.2 if trouble == "timeout" else 5.0)
        try:
            await owner.client.connect()
            owner.client.send(GO)
            owner.client.send_audio(FRAME)
            await owner.until(lambda: owner.ends or TurnComplete() in owner.events)
        except ModelFault as fault:
            error = fault
        everything = shown(owner, error)
        await owner.client.close()
        everything += shown(owner, error)
    assert (error is None and not owner.ends) == (trouble == "none")
    assert CANARY not in everything
    assert CANARY not in caplog.text
    assert not [record for record in caplog.records if CANARY in repr(vars(record))]
