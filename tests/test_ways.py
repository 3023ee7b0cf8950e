"""What a browser asks on its way to a call, over HTTP; and what becomes of a call that never connects."""

import asyncio
import re
from typing import Any, Final

import pytest

from relay.errors import BrowserFault
from signaling.ways import CONNECTED
from tests.caller import Caller
from tests.house import OFFER, refused, visiting
from tests.running import running

TOLD = "candidate:1 1 udp 2122194687 8.8.4.4 50000 typ host"


async def test_a_session_that_does_not_connect_is_told_why_and_one_that_does_so_too() -> None:
    async with visiting() as visit:
        started = (await visit.ask("POST", "/start", json={})).json
        path = f"/sessions/{started['sessionId']}"
        assert (await visit.ask("GET", f"{path}/trouble")).json == CONNECTED  # it has not even tried
        await visit.ask("POST", f"{path}/api/offer", json={"sdp": OFFER, "type": "offer"})
        visit.calls[0].ails = BrowserFault("no-packet", "its own address")
        told = (await visit.ask("GET", f"{path}/trouble")).json
        assert told["code"] == "no-packet"
        assert "its own address" not in str(told)
        refused(await visit.ask("GET", "/sessions/unknown/trouble"), 404, "unknown-session")


@pytest.mark.parametrize("plain", [True, False])
async def test_candidates_reach_the_call_and_what_is_none_is_passed_over(plain: bool) -> None:
    async with visiting() as visit:
        started = (await visit.ask("POST", "/start", json={})).json
        route = "/api/offer" if plain else f"/sessions/{started['sessionId']}/api/offer"
        answered = (await visit.ask("POST", route, json={"sdp": OFFER, "type": "offer"})).json
        listed = [{"candidate": TOLD, "sdp_mid": "0"}, {"candidate": ""}, {"candidate": 5}, "x", None]
        tried: tuple[Any, ...] = (listed, None, 7, {})
        for candidates in tried:
            body = {"pc_id": answered["pc_id"], "candidates": candidates}
            assert (await visit.ask("PATCH", route, json=body)).json == {"status": "success"}
        assert visit.calls[0].met == [TOLD]
        refused(await visit.ask("PATCH", route, json={"pc_id": "other", "candidates": []}), 410, "unknown-peer")


ONE_PORT: Final = ()  # as it is without a flag
PORTS: Final = pytest.mark.parametrize("flags", [ONE_PORT, ("--udp-port", "0")], ids=["one port", "a port each"])


@PORTS
async def test_the_path_of_a_call_stands_in_its_summary(
    flags: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "relay")
    async with running(*flags) as relay:
        async with Caller(relay.base) as caller:
            await caller.dial()
        async with asyncio.timeout(5):
            while " closed " not in caplog.text:
                await asyncio.sleep(0.05)
        port = relay.base.rpartition(":")[2] if flags == ONE_PORT else r"\d+"
    assert re.search(rf'"path": "host 127\.0\.0\.1:{port} - prflx [\d.]+:\d+"', caplog.text)


@PORTS
async def test_a_handshake_that_fails_ends_the_call_with_these_words(
    flags: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with running(*flags) as relay, Caller(relay.base) as caller:
        # another certificate than its own
        caller.rewrite_offer = lambda sdp: re.sub(r"(fingerprint:sha-256 )..:..", r"\g<1>00:00", sdp)
        with pytest.raises((TimeoutError, AssertionError, ConnectionError)):
            await caller.dial(timeout=3)
    assert re.search(r"call \w+: dtls-failed: the path is host 127\.0\.0\.1:\d+", caplog.text)
