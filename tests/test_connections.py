"""One HTTP connection: dawdlers, crowds, and what is no HTTP at all."""

import asyncio
import time

import pytest

from signaling import connections
from signaling.connections import MAX_PER_ADDRESS
from tests.house import Visit, refused, visiting


async def said(visit: Visit, raw: bytes, seconds: float = 5) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", visit.port)
    writer.write(raw)
    try:
        return await asyncio.wait_for(reader.read(), seconds)
    finally:
        writer.close()
        await writer.wait_closed()


NO_HTTP = [
    b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60), b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n", b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n",
    b"POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: a miracle\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: \xc5\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("raw", NO_HTTP, ids=lambda raw: repr(raw[:24]))
async def test_what_is_no_http_is_told_so_in_json_and_hung_up_on(raw: bytes) -> None:
    async with visiting() as visit:
        answer = await said(visit, raw)
        assert answer.split(b" ", 2)[1] == b"400"
        assert b"Content-Type: application/json" in answer
        assert b'"bad-http"' in answer
        assert b"Content-Security-Policy" in answer
        assert b"Python" not in answer


async def test_a_request_without_a_host_is_refused() -> None:
    async with visiting() as visit:
        answer = await said(visit, b"GET / HTTP/1.0\r\n\r\n")
        assert b'"host-refused"' in answer or b'"bad-http"' in answer


async def test_headers_that_dawdle_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_SECONDS", 0.1)
    async with visiting() as visit:
        for raw in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
            assert await said(visit, raw, 2) == b""


async def test_an_idle_connection_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEPALIVE_SECONDS", 0.1)
    async with visiting() as visit:
        answer = await said(visit, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 2)
        assert answer.startswith(b"HTTP/1.1 200")


async def test_a_request_in_time_may_take_longer_than_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_SECONDS", 0.05)
    async with visiting(shape=lambda call: setattr(call, "slow", 0.2)) as visit:
        assert (await visit.offer()).status == 200


async def test_two_hundred_dawdlers_do_not_hold_up_an_offer() -> None:
    async with visiting() as visit:
        dawdlers = [await asyncio.open_connection("127.0.0.1", visit.port) for _ in range(200)]
        for _, writer in dawdlers:
            writer.write(b"POST /start HTTP/1.1\r\nHost: local")
        began = time.monotonic()
        assert (await visit.offer()).status == 200
        assert time.monotonic() - began < 0.5
        for _, writer in dawdlers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in dawdlers), return_exceptions=True)


async def test_one_address_may_hold_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.app.is_loopback", lambda address: False)  # as if it came from outside
    async with visiting() as visit:
        crowd = [await asyncio.open_connection("127.0.0.1", visit.port) for _ in range(MAX_PER_ADDRESS)]
        assert await said(visit, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        for _, writer in crowd:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in crowd), return_exceptions=True)
        async with asyncio.timeout(5):
            while not (await said(visit, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")):
                await asyncio.sleep(0.01)


async def test_a_connection_survives_a_refusal() -> None:
    async with visiting() as visit:
        for _ in range(3):
            refused(await visit.ask("GET", "/no-such"), 404, "not-found")
            assert (await visit.ask("GET", "/healthz")).status == 200
