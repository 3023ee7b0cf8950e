"""One picture by HTTP into a call: what is kept, what is refused and how, and that nothing else is read."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from relay.files import MAX_FILE_BYTES
from signaling import uploads
from tests.caller import Caller
from tests.house import Answered, Visit, refused, visiting
from tests.running import running
from tests.test_files import JPEG, PNG

PNG_MAGIC = PNG[:8]
APP = "https://app.example"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def form(content: bytes, name: str = "file", filename: str = "a.png") -> aiohttp.FormData:
    made = aiohttp.FormData()
    made.add_field(name, content, filename=filename, content_type="application/octet-stream")
    return made


async def live(visit: Visit, **more: Any) -> str:
    """A session with a call; the path of its files."""
    started = await visit.ask("POST", "/start", json={}, **more)
    assert (await visit.offer(f"/sessions/{started.json['sessionId']}/api/offer")).status == 200
    return str(started.json["fileUploadUrl"])


async def test_an_uploaded_picture_is_kept_for_its_call_and_the_answer_is_what_a_message_sends() -> None:
    async with visiting() as visit:
        where = await live(visit)
        body = form(PNG)
        body.add_field("after", "it")
        answered = await visit.ask("POST", where, data=body)
        assert answered.status == 200
        url = answered.json["source"]["url"]
        assert answered.json == {"name": "a.png", "format": "image/png", "source": {"type": "url", "url": url}}
        assert url.startswith("relay:")
        kept = visit.calls[0].files.take(url)
        assert kept is not None
        assert kept.content == PNG


async def test_what_a_picture_is_called_does_not_make_it_one() -> None:
    async with visiting() as visit:
        where = await live(visit)
        for content in (b"%PDF-1.7", b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
            refused(await visit.ask("POST", where, data=form(content, filename="a.jpg")), 415, "bad-file-type")


async def test_a_file_over_the_limit_is_refused_by_its_declared_and_by_its_real_size() -> None:
    largest = JPEG.ljust(MAX_FILE_BYTES, b"\0")

    async def dishonest() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + largest + b"more\r\n--b--\r\n"

    async with visiting() as visit:
        where = await live(visit)
        assert (await visit.ask("POST", where, data=form(largest))).status == 200
        refused(await visit.ask("POST", where, data=form(largest + b"\0")), 413, "file-too-large")
        refused(await visit.ask("POST", where, data=form(largest * 2)), 413, "file-too-large")
        refused(await visit.ask("POST", where, data=dishonest(), headers=MULTIPART), 413, "file-too-large")


async def test_only_a_form_is_read() -> None:
    async with visiting() as visit:
        where = await live(visit)
        for kind in ("application/json", "image/png", "multipart/mixed; boundary=b", "text/plain"):
            answered = await visit.ask("POST", where, data=PNG, headers={"Content-Type": kind})
            refused(answered, 415, "bad-upload-type")
        packed = {**MULTIPART, "Content-Encoding": "gzip"}
        refused(await visit.ask("POST", where, data=PNG, headers=packed), 415, "bad-upload-type")


MALFORMED = {
    "empty": b"",
    "junk": b"junk",
    "no file": b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
    "nested": b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    "bad header": b"--b\r\nno header\r\n\r\nx\r\n--b--\r\n",
    "long header": b"--b\r\nA: " + b"x" * 20_000 + b"\r\n\r\nx\r\n--b--\r\n",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_form_is_told(body: bytes) -> None:
    async with visiting() as visit:
        refused(await visit.ask("POST", await live(visit), data=body, headers=MULTIPART), 400, "bad-upload")


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 80])
async def test_a_form_without_a_usable_boundary_is_told(kind: str) -> None:
    async with visiting() as visit:
        answered = await visit.ask("POST", await live(visit), data=b"x", headers={"Content-Type": kind})
        refused(answered, 400, "bad-upload")


async def test_the_sessions_id_lets_in_and_nothing_else_does() -> None:
    token = "a-token-of-some-length"
    async with visiting("--access-token", token) as visit:
        where = await live(visit, headers={"Authorization": f"Bearer {token}"})
        assert (await visit.ask("POST", where, data=form(PNG))).status == 200
        refused(await visit.ask("POST", "/sessions/no-such/files", data=form(PNG)), 404, "unknown-session")
        refused(await visit.ask("POST", "/files", data=form(PNG)), 404, "not-found")
        refused(await visit.ask("GET", where), 405, "method-not-allowed")
        await visit.calls[0].close()
        refused(await visit.ask("POST", where, data=form(PNG)), 410, "unknown-peer")


async def test_before_the_first_offer_there_is_nobody_to_send_a_file_to() -> None:
    async with visiting() as visit:
        refused(await visit.ask("POST", f"/sessions/{await visit.start()}/files", data=form(PNG)), 409, "no-call-yet")


def green_square(side: int = 16) -> bytes:
    """A PNG, written by hand (RFC 2083)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\0\xff\0" * side) * side
    return PNG_MAGIC + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def test_a_picture_that_was_uploaded_and_then_sent_by_a_message_is_seen_by_the_model_once() -> None:
    async with running("--greeting", "") as house, Caller(house.base) as caller, aiohttp.ClientSession() as http:
        await caller.dial()
        await caller.message("bot-ready")
        where = f"{house.base}/sessions/{caller.session_id}/files"
        async with http.post(where, data=form(green_square())) as answered:
            file = await answered.json()
        caller.send("send-file", {"content": "What is this?", "file": file})
        model = await house.model.connected()
        async with asyncio.timeout(5):
            while not any("video" in one for one in model.of("realtimeInput")):
                await asyncio.sleep(0.02)
        (seen,) = [one["video"] for one in model.of("realtimeInput") if "video" in one]
        assert seen["mimeType"] == "image/jpeg"
        again = caller.send("send-file", {"content": "And now?", "file": file})
        assert (await caller.message("error-response")).id == again


async def test_a_refused_upload_is_no_refused_call() -> None:
    codes: list[str] = []
    async with visiting(refused=codes.append) as visit:
        await visit.ask("POST", "/sessions/no-such/files", data=form(PNG))
        await visit.ask("POST", await live(visit), data=form(b"junk"))
        assert codes == []
        await visit.ask("POST", "/sessions/no-such/api/offer", json={})
        assert codes == ["unknown-session"]


async def slow(visit: Visit, where: str, gate: asyncio.Event) -> Answered:
    """An upload that waits in the middle of its body."""

    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + PNG
        await gate.wait()
        yield b"\r\n--b--\r\n"

    return await visit.ask("POST", where, data=body(), headers=MULTIPART)


async def test_an_upload_that_dawdles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", 0.05)
    async with visiting() as visit:
        refused(await slow(visit, await live(visit), asyncio.Event()), 408, "upload-timeout")


async def test_a_call_that_ends_during_an_upload_keeps_nothing() -> None:
    gate = asyncio.Event()
    async with visiting() as visit:
        where = await live(visit)
        uploading = asyncio.create_task(slow(visit, where, gate))
        await asyncio.sleep(0.05)
        await visit.calls[0].close()
        gate.set()
        refused(await uploading, 410, "unknown-peer")


async def test_another_sites_page_may_upload_only_if_it_is_named() -> None:
    async with visiting("--allow-origin", APP) as visit:
        where = await live(visit)
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-app,authorization"}
        preflight = await visit.ask("OPTIONS", where, headers={"Origin": APP, **asked})
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == APP
        assert preflight.headers["Access-Control-Allow-Headers"] == "content-type, authorization, x-app"
        answered = await visit.ask("POST", where, data=form(PNG), headers={"Origin": APP})
        assert (answered.status, answered.headers["Access-Control-Allow-Origin"]) == (200, APP)
        foreign = {"Origin": "https://evil.example"}
        refused(await visit.ask("POST", where, data=form(PNG), headers=foreign), 403, "origin-refused")


async def test_no_bytes_make_an_upload_a_mistake_of_ours() -> None:
    loop = asyncio.get_running_loop()
    pieces = [
        *(b"--b", b"--b--", b"--", b"\r\n", b"\r\n\r\n", b"Content-Disposition: form-data", b'; name="file"', PNG),
        *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Transfer-Encoding: base64", b"Content-Type: "),
    ]
    bodies = st.lists(st.sampled_from(pieces) | st.binary(max_size=20), max_size=14).map(b"".join)
    async with visiting() as visit:
        where = await live(visit)

        @hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(bodies)
        def send(body: bytes) -> None:
            request = visit.ask("POST", where, data=body, headers=MULTIPART)
            answered = asyncio.run_coroutine_threadsafe(request, loop).result(10)
            assert answered.status in (200, 400, 415)

        await asyncio.to_thread(send)
