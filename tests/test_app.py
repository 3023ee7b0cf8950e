"""What every request passes: host, origin, errors in words; and what stopping does."""

import asyncio
import logging

import pytest

from signaling import app
from signaling.app import close_calls
from signaling.pages import HEADERS
from tests.house import OFFER, FakeCall, FakeSpeaker, make_registry, refused, visiting

APP = "https://app.example"
NAMED = ("--allow-origin", APP)


@pytest.mark.parametrize("path", ["/", "/healthz", "/start", "/api/offer", "/no-such", "/main.js"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
async def test_every_error_is_json_with_a_code_and_the_headers(method: str, path: str) -> None:
    async with visiting() as visit:
        answered = await visit.ask(method, path, data=b"junk")
        assert answered.headers.items() >= HEADERS.items()
        if answered.status >= 400:
            refused(answered, answered.status, answered.json["code"])


async def test_wrong_methods_and_addresses_are_told_apart() -> None:
    async with visiting() as visit:
        refused(await visit.ask("GET", "/start"), 405, "method-not-allowed")
        refused(await visit.ask("GET", "/sessions/x/api/offer"), 405, "method-not-allowed")
        for method in ("GET", "POST", "PATCH", "DELETE"):
            refused(await visit.ask(method, "/no-such"), 404, "not-found")
        refused(await visit.ask("GET", "/metrics"), 404, "not-found")


HOSTS = {"127.0.0.1": True, "localhost:7860": True, "evil.example": False}
ORIGINS = {None: True, "own": True, "https://evil.example": False, "null": False, "http://localhost:1": False}
KINDS = {"application/json": True, "text/plain": False, "application/x-www-form-urlencoded": False}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", KINDS)
async def test_only_our_own_page_in_our_own_words_starts_a_call(host: str, origin: str | None, kind: str) -> None:
    async with visiting() as visit:
        headers = {"Host": host, "Content-Type": kind}
        if origin is not None:
            headers["Origin"] = f"http://{host}" if origin == "own" else origin
        answered = await visit.ask("POST", "/start", data=b"{}", headers=headers)
        assert (answered.status == 200) == (HOSTS[host] and ORIGINS[origin] and KINDS[kind])
        assert not [name for name in answered.headers if name.lower().startswith("access-control-")]


async def test_two_hosts_or_origins_are_one_too_many() -> None:
    async with visiting(*NAMED) as visit:
        for name, value in (("Host", "localhost"), ("Origin", APP)):
            twice = [("Host", "localhost"), (name, value), (name, "https://evil.example")]
            assert (await visit.ask("POST", "/start", json={}, headers=twice)).status in (400, 403)


PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "X-App, content-type,b@d"}


async def test_a_preflight_of_a_named_origin_is_answered_with_what_the_app_asks() -> None:
    async with visiting(*NAMED) as visit:
        answered = await visit.ask("OPTIONS", "/start", headers={"Origin": APP, **PREFLIGHT})
        assert answered.status == 204
        assert answered.headers["Access-Control-Allow-Origin"] == APP
        assert answered.headers["Access-Control-Allow-Methods"] == "POST, PATCH, DELETE"
        assert answered.headers["Access-Control-Allow-Headers"] == "content-type, authorization, x-app"
        assert answered.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answered.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://app.example"])
async def test_a_preflight_of_another_origin_gets_no_allow_header(origin: str) -> None:
    async with visiting(*NAMED) as visit:
        answered = await visit.ask("OPTIONS", "/start", headers={"Origin": origin, **PREFLIGHT})
        refused(answered, 403, "origin-refused")
        assert not [name for name in answered.headers if name.lower().startswith("access-control-")]


async def test_a_named_origin_may_read_answers_and_errors_alike() -> None:
    async with visiting(*NAMED) as visit:
        for path, status in (("/start", 200), ("/api/offer", 400), ("/no-such", 404)):
            answered = await visit.ask("POST", path, json={}, headers={"Origin": APP})
            assert answered.status == status
            assert answered.headers["Access-Control-Allow-Origin"] == APP
            assert answered.headers["Vary"] == "Origin"


async def test_no_answer_ever_allows_everybody() -> None:
    async with visiting(*NAMED) as visit:
        for headers in ({}, {"Origin": APP}, {"Origin": "*"}):
            for method in ("GET", "POST", "OPTIONS"):
                answered = await visit.ask(method, "/start", json={}, headers={**headers, **PREFLIGHT})
                assert answered.headers.get("Access-Control-Allow-Origin") in (None, APP)


async def test_the_console_is_told_that_the_relay_is_ready_and_how_to_call() -> None:
    async with visiting() as visit:
        answered = await visit.ask("GET", "/status")
        assert (answered.status, answered.json) == (200, {"status": "ready", "transports": ["webrtc"]})


async def test_health_says_who_speaks_and_how_many_calls_there_are() -> None:
    speaker = FakeSpeaker()
    async with visiting(speaker=speaker) as visit:
        await visit.offer()
        answered = await visit.ask("GET", "/healthz")
        assert answered.status == 200
        assert answered.json == {
            "status": "ok",
            "version": answered.json["version"],
            "model": "local",
            "modelName": "stand-in",
            "calls": 1,
            "accepting": True,
            "media": "raw",
            "secureUrl": None,
            "checks": {},
        }
        assert "localVoice" not in answered.json, "another model speaks"
        speaker.well = False
        answered = await visit.ask("GET", "/healthz")
        assert (answered.status, answered.json["status"]) == (503, "degraded")


async def test_health_says_whether_a_call_would_be_taken_in_and_stays_well_when_not() -> None:
    late = False
    async with visiting("--max-calls", "1", overloaded=lambda now, calls: late) as visit:

        async def accepting() -> object:
            answered = await visit.ask("GET", "/healthz")
            assert (answered.status, answered.json["status"]) == (200, "ok")  # a watchdog has nothing to mend
            return answered.json["accepting"]

        assert await accepting() is True
        late = True
        assert await accepting() is False
        late = False
        await visit.offer()
        assert await accepting() is False
        await visit.calls[0].close()
        assert await accepting() is True


async def test_who_shares_out_calls_is_told_when_none_can_be_made() -> None:
    speaker = FakeSpeaker(tier="")
    async with visiting(speaker=speaker) as visit:

        async def ready() -> tuple[int, object]:
            answered = await visit.ask("GET", "/readyz")
            return answered.status, answered.json

        assert await ready() == (503, {"ready": False})  # still starting
        speaker.tier = "raw"
        assert await ready() == (200, {"ready": True})
        visit.registry.drain()
        assert await ready() == (503, {"ready": False})
        answered = await visit.ask("GET", "/healthz")
        assert (answered.status, answered.json["status"], answered.json["accepting"]) == (200, "draining", False)


async def test_a_refusal_is_logged_by_its_code_and_never_with_the_offer(caplog: pytest.LogCaptureFixture) -> None:
    canary = "a=ice-pwd:canary"
    with caplog.at_level(logging.DEBUG):
        async with visiting() as visit:
            body = {"sdp": OFFER + canary, "type": "offer", "pc_id": "unknown"}
            refused(await visit.ask("POST", "/api/offer", json=body), 410, "unknown-peer")
    assert "unknown-peer" in caplog.text
    assert canary not in caplog.text


async def test_stopping_closes_every_call_within_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "CLOSE_SECONDS", 0.05)
    registry = make_registry()

    def stuck(id: str, on_closed: object) -> FakeCall:
        return FakeCall(id, on_closed, stuck=True)  # type: ignore[arg-type]

    calls = [registry.open(registry.reserve(0.0), stuck, 0.0) for _ in range(3)]
    async with asyncio.timeout(1):
        await close_calls(registry)
    assert all(call.closed for call in calls)  # type: ignore[attr-defined]


async def test_leaving_closes_what_is_live_and_says_why() -> None:
    async with visiting() as visit:
        for _ in range(3):
            await visit.offer()
        calls = visit.calls
        assert not any(call.closed for call in calls)
    assert [call.why for call in calls] == ["closing"] * 3
