"""The calls' HTTP as official clients use it, over a real loopback socket, with calls that are not real."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from relay.errors import BrowserFault, ModelFault, OurBug
from relay.prior import MAX_PRIOR_CHARACTERS
from relay.request import CallRequest
from relay.values import MAX_TEXT_CHARS
from signaling import offers
from signaling.offers import MAX_BODY_BYTES, MAX_PC_ID_CHARS, MAX_START_BYTES, check_offer, check_start
from tests.house import BAD_SDP, OFFER, refused, visiting

TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_start_promises_a_session_and_says_nothing_more() -> None:
    async with visiting() as visit:
        answered = await visit.ask("POST", "/start", json={"transport": "webrtc", "body": {"any": "data"}})
        assert answered.status == 200
        id = answered.json["sessionId"]
        secret = answered.json["resumeSecret"]
        assert answered.json == {"sessionId": id, "fileUploadUrl": f"/sessions/{id}/files", "resumeSecret": secret}
        assert answered.headers["Cache-Control"] == "no-store"


async def test_start_takes_an_empty_body_for_an_empty_object() -> None:
    async with visiting() as visit:
        answered = await visit.ask("POST", "/start", data=b" ", headers={"Content-Type": "application/json"})
        assert answered.status == 200


async def test_start_needs_no_body_at_all() -> None:
    async with visiting() as visit:
        for headers in ({}, {"Content-Length": "0"}):
            status, _, told = await raw_request(
                visit.port,
                "\r\n".join(["POST /start HTTP/1.1", "Host: localhost", *map(": ".join, headers.items()), "", ""]),
                b"",
            )
            assert status == 200
            assert json.loads(told)["sessionId"]


STUN, TURN = "stun:stun.example.org:3478", '{"urls":"turn:t.example.org","username":"u","credential":"p"}'


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        (STUN, [{"urls": [STUN]}]),
        (
            f'["{STUN}",{TURN}]',
            [{"urls": [STUN]}, {"urls": ["turn:t.example.org"], "username": "u", "credential": "p"}],
        ),
    ],
)
async def test_the_owners_ice_servers_are_told_and_urls_are_always_a_list(servers: str, told: Any) -> None:
    async with visiting("--ice-servers", servers) as visit:
        answered = await visit.ask("POST", "/start", json={})
        assert answered.json["iceConfig"] == {"iceServers": told}


async def test_without_ice_servers_there_is_no_ice_config_and_nobody_elses_are_brought_in() -> None:
    async with visiting() as visit:
        answered = await visit.ask("POST", "/start", json={"enableDefaultIceServers": True})
        assert "iceConfig" not in answered.json  # a null would crash clients, an empty list replace their own


async def test_an_offer_is_answered_and_its_text_reaches_the_call_untouched() -> None:
    async with visiting() as visit:
        id = await visit.start()
        answered = await visit.offer(f"/sessions/{id}/api/offer", pc_id=None, restart_pc=False)
        assert answered.status == 200
        assert answered.json == {"sdp": "v=0 answer", "type": "answer", "pc_id": f"pc-{id}"}
        assert "Content-Length" in answered.headers  # small devices read no chunks
        assert visit.calls[0].offers == [(OFFER, None, False)]


@pytest.mark.parametrize(
    "more",
    [{}, {"pc_id": None}, {"restart_pc": None}, {"pc_id": ""}, {"requestData": {"a": 1}}, {"request_data": {}}],
)
async def test_every_clients_way_to_write_a_first_offer_is_understood(more: dict[str, Any]) -> None:
    async with visiting() as visit:
        answered = await visit.offer(**more)
        assert answered.status == 200
        assert answered.json["pc_id"] == f"pc-{visit.calls[0].id}"


async def test_renegotiation_and_restart_reach_the_same_call() -> None:
    async with visiting() as visit:
        id = await visit.start()
        path = f"/sessions/{id}/api/offer"
        pc_id = (await visit.offer(path)).json["pc_id"]
        assert (await visit.offer(path, pc_id=pc_id)).status == 200
        assert (await visit.offer(path, pc_id=pc_id, restart_pc=True)).status == 200
        assert (await visit.offer("/api/offer", pc_id=pc_id)).status == 200
        assert (await visit.offer(path, restart_pc=True)).status == 200  # the first answer never arrived
        assert [(known, restart) for _, known, restart in visit.calls[0].offers] == [
            (None, False),
            (pc_id, False),
            (pc_id, True),
            (pc_id, False),
            (None, True),
        ]
        assert len(visit.calls) == 1


async def test_unknown_ids_are_refused_so_that_no_client_tries_again() -> None:
    async with visiting() as visit:
        id = await visit.start()
        for method in ("POST", "PATCH"):
            body = {"sdp": OFFER, "type": "offer", "pc_id": "no-such", "restart_pc": True}
            refused(await visit.ask(method, "/sessions/no-such/api/offer", json=body), 404, "unknown-session")
            refused(await visit.ask(method, f"/sessions/{id}/api/offer", json=body), 410, "unknown-peer")
            refused(await visit.ask(method, "/api/offer", json=body), 410, "unknown-peer")
        assert visit.calls == []
        assert (await visit.offer(f"/sessions/{id}/api/offer")).status == 200  # the promise still stands


async def test_an_ended_session_is_told_so() -> None:
    async with visiting() as visit:
        id = await visit.start()
        path = f"/sessions/{id}/api/offer"
        pc_id = (await visit.offer(path)).json["pc_id"]
        await visit.calls[0].close()
        refused(await visit.offer(path), 410, "unknown-peer")
        refused(await visit.offer("/api/offer", pc_id=pc_id, restart_pc=True), 410, "unknown-peer")
        refused(await visit.ask("PATCH", path, json={"pc_id": pc_id, "candidates": []}), 410, "unknown-peer")


async def test_trickled_candidates_are_acknowledged_and_ignored() -> None:
    async with visiting() as visit:
        id = await visit.start()
        path = f"/sessions/{id}/api/offer"
        pc_id = (await visit.offer(path)).json["pc_id"]
        odd = [{"candidate": ""}, {"candidate": "x.local", "sdp_mid": None}, None, 5]
        for where in (path, "/api/offer"):
            answered = await visit.ask("PATCH", where, json={"pc_id": pc_id, "candidates": odd})
            assert (answered.status, answered.json) == (200, {"status": "success"})
        assert (await visit.ask("PATCH", path, json={"candidates": []})).status == 200
        refused(await visit.ask("PATCH", "/api/offer", json={"candidates": []}), 400, "bad-request")
        assert len(visit.calls[0].offers) == 1


async def test_a_goodbye_ends_the_session_and_may_be_said_twice() -> None:
    async with visiting() as visit:
        id = await visit.start()
        await visit.offer(f"/sessions/{id}/api/offer")
        for _ in range(2):
            answered = await visit.ask("DELETE", f"/sessions/{id}")
            assert (answered.status, answered.json) == (200, {"status": "success"})
        assert visit.calls[0].closed
        refused(await visit.ask("DELETE", "/sessions/no-such"), 404, "unknown-session")


async def test_a_goodbye_before_the_first_offer_gives_the_promise_back() -> None:
    async with visiting() as visit:
        id = await visit.start()
        assert (await visit.ask("DELETE", f"/sessions/{id}")).status == 200
        refused(await visit.offer(f"/sessions/{id}/api/offer"), 410, "unknown-peer")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (BAD_SDP, 400),
        (BrowserFault("no-opus"), 400),
        (BrowserFault("sdp-too-large"), 413),
        (ModelFault("quota"), 502),
        (OurBug("made for a test"), 500),
    ],
)
async def test_a_refused_first_offer_leaves_no_call(fault: Exception, status: int) -> None:
    async with visiting(shape=lambda call: setattr(call, "fault", fault)) as visit:
        id = await visit.start()
        answered = await visit.offer(f"/sessions/{id}/api/offer")
        refused(answered, status, fault.code)  # type: ignore[attr-defined]
        assert "made for a test" not in answered.body.decode()
        refused(await visit.offer(), status, fault.code)  # type: ignore[attr-defined]
        assert [call.closed for call in visit.calls] == [True, True]
        assert (await visit.ask("GET", "/healthz")).json["calls"] == 0


async def test_a_bad_later_offer_does_not_end_the_call() -> None:
    async with visiting() as visit:
        pc_id = (await visit.offer()).json["pc_id"]
        visit.calls[0].fault = BAD_SDP
        refused(await visit.offer(pc_id=pc_id), 400, "bad-sdp")
        assert not visit.calls[0].closed
        visit.calls[0].fault = None
        assert (await visit.offer(pc_id=pc_id)).status == 200


async def test_a_mistake_of_ours_is_told_in_json_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async with visiting(shape=lambda call: setattr(call, "fault", ZeroDivisionError("inner words"))) as visit:
        answered = await visit.offer()
        refused(answered, 500, "internal")
        assert b"inner words" not in answered.body
        assert "inner words" in caplog.text


async def test_a_stuck_close_does_not_hold_a_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "CLOSE_SECONDS", 0.05)
    async with visiting(shape=lambda call: setattr(call, "stuck", True)) as visit:
        id = await visit.start()
        await visit.offer(f"/sessions/{id}/api/offer")
        assert (await visit.ask("DELETE", f"/sessions/{id}")).status == 200
        refused(await visit.offer(f"/sessions/{id}/api/offer"), 410, "unknown-peer")


async def test_two_first_offers_at_once_make_one_call() -> None:
    async with visiting(shape=lambda call: setattr(call, "slow", 0.05)) as visit:
        id = await visit.start()
        answered = await asyncio.gather(*(visit.offer(f"/sessions/{id}/api/offer") for _ in range(2)))
        assert [one.status for one in answered] == [200, 200]
        assert len(visit.calls) == 1


# --- what lets in ---


async def test_without_a_token_401_and_with_a_wrong_one_403() -> None:
    async with visiting("--access-token", TOKEN) as visit:
        for path in ("/start", "/api/offer"):
            missing = await visit.offer(path)
            refused(missing, 401, "token-missing")
            assert missing.headers["WWW-Authenticate"] == "Bearer"
            wrong = {"Authorization": "Bearer wrong"}
            refused(await visit.ask("POST", path, data=b"junk", headers=wrong), 403, "token-wrong")
        patch = await visit.ask("PATCH", "/api/offer", json={})
        refused(patch, 401, "token-missing")
        assert visit.calls == []


async def test_with_the_token_both_ways_in_are_open() -> None:
    async with visiting("--access-token", TOKEN) as visit:
        await visit.start(headers=BEARER)
        offered = await visit.ask("POST", "/api/offer", json={"sdp": OFFER, "type": "offer"}, headers=BEARER)
        assert offered.status == 200


async def test_a_session_id_and_a_pc_id_let_in_by_themselves() -> None:
    async with visiting("--access-token", TOKEN) as visit:
        id = await visit.start(headers=BEARER)
        first = await visit.offer(f"/sessions/{id}/api/offer")
        assert first.status == 200
        pc_id = first.json["pc_id"]
        assert (await visit.offer("/api/offer", pc_id=pc_id)).status == 200
        assert (await visit.ask("PATCH", "/api/offer", json={"pc_id": pc_id})).status == 200
        assert (await visit.ask("DELETE", f"/sessions/{id}")).status == 200
        # an invented one lets nobody in
        refused(await visit.offer("/api/offer", pc_id="invented"), 410, "unknown-peer")


async def test_starts_from_outside_are_counted_by_the_callers_own_address() -> None:
    async with visiting("--trusted-proxy", "127.0.0.0/8") as visit:
        outside = {"X-Forwarded-For": "203.0.113.1, 198.51.100.7"}
        statuses = [(await visit.ask("POST", "/start", json={}, headers=outside)).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        busy = await visit.ask("POST", "/start", json={}, headers=outside)
        refused(busy, 429, "too-many-starts")
        assert 1 <= int(busy.headers["Retry-After"]) <= 10
        other = {"X-Forwarded-For": "198.51.100.8"}
        assert (await visit.ask("POST", "/start", json={}, headers=other)).status == 200


async def test_when_all_lines_are_busy_the_next_caller_is_told_when_to_come_back() -> None:
    async with visiting("--max-calls", "2") as visit:
        id = await visit.start()  # promised
        assert (await visit.offer()).status == 200
        for busy in (await visit.ask("POST", "/start", json={}), await visit.offer()):
            refused(busy, 503, "too-many-calls")
            assert int(busy.headers["Retry-After"]) > 0
        assert (await visit.offer(f"/sessions/{id}/api/offer")).status == 200
        await visit.calls[0].close()
        await visit.start()


async def test_while_sound_is_late_new_calls_are_refused_and_live_ones_go_on() -> None:
    late = False
    async with visiting(overloaded=lambda now, calls: late) as visit:
        promised, live = await visit.start(), await visit.start()
        path = f"/sessions/{live}/api/offer"
        pc_id = (await visit.offer(path)).json["pc_id"]
        late = True
        for path_in in ("/start", "/api/offer", f"/sessions/{promised}/api/offer"):
            busy = await visit.offer(path_in)
            refused(busy, 503, "busy")
            assert int(busy.headers["Retry-After"]) > 0
        assert (await visit.offer(path, pc_id=pc_id, restart_pc=True)).status == 200
        late = False
        assert (await visit.offer(f"/sessions/{promised}/api/offer")).status == 200
        assert len(visit.calls) == 2


async def test_who_is_refused_for_our_sake_uses_up_no_start() -> None:
    late = True
    outside = {"X-Forwarded-For": "198.51.100.7"}
    async with visiting("--trusted-proxy", "127.0.0.0/8", overloaded=lambda now, calls: late) as visit:
        for _ in range(10):
            refused(await visit.ask("POST", "/start", json={}, headers=outside), 503, "busy")
        late = False
        await visit.start(headers=outside)


async def test_a_forged_forwarding_is_not_believed() -> None:
    async with visiting() as visit:
        for _ in range(10):  # were it believed, the fourth would be too many
            await visit.start(headers={"X-Forwarded-For": "198.51.100.7"})


# --- bodies ---


@pytest.mark.parametrize("path", ["/start", "/api/offer"])
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json5", ""],
)
async def test_only_json_is_read(path: str, kind: str) -> None:
    async with visiting() as visit:
        refused(await visit.ask("POST", path, data=b"{}", headers={"Content-Type": kind}), 415, "bad-content-type")


async def test_a_packed_body_is_not_unpacked() -> None:
    async with visiting() as visit:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        refused(await visit.ask("POST", "/start", data=b"{}", headers=headers), 415, "bad-content-type")


JUNK = [b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{'a':1}", b'{"a":NaN}', b"[" * 60_000, b"1" * 60_000, b""]


@pytest.mark.parametrize("body", JUNK, ids=lambda body: repr(body[:8]))
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    async with visiting() as visit:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        refused(await visit.ask("POST", "/api/offer", data=body, headers=headers), 400, "bad-json")


@pytest.mark.parametrize(("path", "most"), [("/start", MAX_START_BYTES), ("/api/offer", MAX_BODY_BYTES)])
async def test_a_body_is_bounded_by_its_declared_and_its_real_length(path: str, most: int) -> None:
    async def dishonest() -> Any:
        for _ in range(most // 1024 + 1):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    async with visiting() as visit:
        exact = b"{}" + b" " * (most - 2)
        assert (await visit.ask("POST", path, data=exact, headers=headers)).status == (200 if path == "/start" else 400)
        refused(await visit.ask("POST", path, data=exact + b" ", headers=headers), 413, "body-too-large")
        refused(await visit.ask("POST", path, data=dishonest(), headers=headers), 413, "body-too-large")


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("letter", ["x", "人", "😀"])
async def test_a_history_of_any_letters_is_taken_or_refused_by_its_characters_and_by_index(
    letter: str, ascii: bool
) -> None:
    headers = {"Content-Type": "application/json"}
    half = letter * (MAX_PRIOR_CHARACTERS // 2)
    fitting = [{"role": "user", "text": half}, {"role": "assistant", "text": half}]
    async with visiting() as visit:
        for history, status in ((fitting, 200), ([*fitting, {"role": "user", "text": letter}], 400)):
            data = json.dumps({"history": history, "body": {"x": "y" * 60_000}}, ensure_ascii=ascii).encode()
            answer = await visit.ask("POST", "/start", data=data, headers=headers)
            assert answer.status == status
            assert ("history[2]" in str(answer.json)) == (status == 400)


async def test_the_room_for_a_history_is_not_for_an_apps_own_data() -> None:
    async with visiting() as visit:
        fitting = {"x": "人" * ((MAX_BODY_BYTES - 8) // 3)}
        assert (await visit.ask("POST", "/start", json={"body": fitting})).status == 200
        too_much = {"x": "人" * (MAX_BODY_BYTES // 3)}
        refused(await visit.ask("POST", "/start", json={"body": too_much}), 413, "body-too-large")


def test_data_that_is_nested_too_deep_to_be_written_is_refused() -> None:
    deep: Any = []
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(BrowserFault, match="bad-json"):
        check_start({"body": {"x": deep}})


async def test_a_huge_declared_body_is_refused_before_it_comes() -> None:
    async with visiting() as visit:
        reader, writer = await asyncio.open_connection("127.0.0.1", visit.port)
        writer.write(
            b"POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        async with asyncio.timeout(1):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_dawdles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "BODY_SECONDS", 0.05)
    async with visiting() as visit:
        reader, writer = await asyncio.open_connection("127.0.0.1", visit.port)
        writer.write(
            b"POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        assert b'"request-timeout"' in await asyncio.wait_for(reader.readuntil(b"}"), 2)
        writer.close()
        await writer.wait_closed()


# --- the fields, without a socket ---


@pytest.mark.parametrize(
    "bad",
    [
        {"sdp": None}, {"sdp": 5}, {"sdp": ""}, {"type": "answer"}, {"type": None}, {"pc_id": 5},
        {"pc_id": "x" * (MAX_PC_ID_CHARS + 1)}, {"restart_pc": "yes"}, {"requestData": []}, {"request_data": "x"},
    ],
)  # fmt: skip
def test_a_malformed_field_is_named(bad: dict[str, Any]) -> None:
    with pytest.raises(BrowserFault) as caught:
        check_offer({"sdp": OFFER, "type": "offer", **bad})
    assert caught.value.code == "bad-request"
    assert next(iter(bad)) in caught.value.told()["detail"]


@pytest.mark.parametrize("sdp", ["v=0\r\n\ud800", "v=0\r\ns=\u2028", "v=0 ü"])
def test_an_offer_beyond_ascii_is_no_browsers(sdp: str) -> None:
    with pytest.raises(BrowserFault) as caught:
        check_offer({"sdp": sdp, "type": "offer"})
    assert caught.value.code == "bad-sdp"


@pytest.mark.parametrize("transport", ["daily", "", None, 5, [], {}])
def test_another_transport_is_refused(transport: Any) -> None:
    with pytest.raises(BrowserFault):
        check_start({"transport": transport})


FORBIDDEN = ["model", "voice", "systemInstruction", "system_instruction", "TOOLS", "api-key", "geminiUrl", "language"]


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_what_is_the_owners_to_choose_is_refused_wherever_it_is_asked(name: str) -> None:
    async with visiting() as visit:
        asked = {name: "mine"}
        for body in (asked, {"body": asked}):
            refused(await visit.ask("POST", "/start", json=body), 400, "setting-refused")
        refused(await visit.offer(requestData=asked), 400, "setting-refused")
        refused(await visit.offer(request_data=asked), 400, "setting-refused")
        assert visit.calls == []


ALLOWED = ("--allow-body", "voice,language,instructions")
CHOICE = {"voice": "Kore", "language": "de-DE", "instructions": "Be brief."}


async def test_what_start_and_the_offer_bring_reaches_the_call_that_is_made() -> None:
    async with visiting() as visit:
        started = await visit.ask("POST", "/start", json={"transport": "webrtc", "body": {"customer": 7}})
        path = f"/sessions/{started.json['sessionId']}/api/offer"
        answered = await visit.offer(path, requestData={"a": 1}, request_data={"b": 2})
        assert visit.calls[0].request == CallRequest({"customer": 7}, {"a": 1, "b": 2})
        await visit.offer(path, pc_id=answered.json["pc_id"], requestData={"c": 3})
        assert len(visit.calls) == 1
        await visit.offer()
        assert visit.calls[1].request == CallRequest({}, {})


async def test_settings_that_the_owner_leaves_to_the_app_are_taken_and_the_offers_word_is_the_last() -> None:
    async with visiting(*ALLOWED) as visit:
        started = await visit.ask("POST", "/start", json={"body": CHOICE})
        await visit.offer(f"/sessions/{started.json['sessionId']}/api/offer", requestData={"voice": "Puck"})
        chosen = visit.calls[0].request.settings(("voice", "language", "instructions"))
        assert chosen == CHOICE | {"voice": "Puck"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"voice": 5}, {"voice": ["Kore"]}, {"voice": ""}, {"voice": "a b"}, {"voice": "x" * 129},
        {"language": "German, please"}, {"instructions": "x" * (MAX_TEXT_CHARS + 1)}, {"instructions": "\0"},
    ],
    ids=lambda wrong: repr(wrong)[:24],
)  # fmt: skip
async def test_a_setting_of_the_wrong_type_or_size_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    async with visiting(*ALLOWED) as visit:
        for path, body in (("/start", {"body": wrong}), ("/api/offer", {"requestData": wrong})):
            answered = await visit.ask("POST", path, json={"sdp": OFFER, "type": "offer", **body})
            refused(answered, 400, "bad-request")
            assert name in answered.json["detail"]
        assert visit.calls == []


async def test_only_what_is_on_the_owners_list_is_taken() -> None:
    async with visiting("--allow-body", "language") as visit:
        assert (await visit.ask("POST", "/start", json={"body": {"language": "de", "other": 1}})).status == 200
        assert (await visit.ask("POST", "/start", json={"body": {"language": None}})).status == 200
        answered = await visit.ask("POST", "/start", json={"body": {"language": "de", "voice": "Kore"}})
        refused(answered, 400, "setting-refused")
        assert "voice" in answered.json["detail"]
        refused(await visit.ask("POST", "/start", json={"language": "de"}), 400, "setting-refused")


# --- anything at all ---

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = ["sdp", "type", "pc_id", "restart_pc", "requestData", "request_data", "transport", "body", "candidates"]
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), ANY_JSON | st.sampled_from([OFFER, "offer", "webrtc"])).map(
        lambda body: json.dumps(body).encode()
    ),
    ANY_JSON.map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=300),
)
HEADER_NAMES = [
    "Content-Type", "Origin", "Authorization", "X-Forwarded-For", "Forwarded", "Expect", "Upgrade", "Connection",
    "Accept", "Cookie", "Range", "If-None-Match", "X-HTTP-Method-Override", "Access-Control-Request-Method",
    "Access-Control-Request-Headers", "Content-Encoding", "TE",
]  # fmt: skip
HEADER_VALUES = st.sampled_from(
    ["application/json", "100-continue", "websocket", "upgrade", "close", "gzip", "bytes=0-1", "*", '"', "null"]
) | st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
PATHS = st.sampled_from(
    ["/start", "/api/offer", "/sessions/x/api/offer", "/sessions/x", "/", "/healthz", "/x.js", "/?a"]
)
METHODS = st.sampled_from(["POST", "PATCH", "DELETE", "GET", "PUT", "OPTIONS", "TRACE", "BREW"])


async def raw_request(port: int, head: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode("latin-1") + body)
        async with asyncio.timeout(5):
            while True:
                top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                status = int(top[0].split()[1])
                if status != 100:
                    break
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in top[1:])}
            length = 0 if status in (204, 304) else int(headers["content-length"])
            return status, headers, await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_any_request_at_all_is_answered_and_every_refusal_is_json_and_none_is_our_mistake() -> None:
    loop = asyncio.get_running_loop()
    async with visiting() as visit:

        @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(METHODS, PATHS, BODIES, st.lists(st.tuples(st.sampled_from(HEADER_NAMES), HEADER_VALUES), max_size=4))
        def ask(method: str, path: str, body: bytes, headers: list[tuple[str, str]]) -> None:
            lines = [
                f"{method} {path} HTTP/1.1",
                "Host: localhost",
                f"Content-Length: {len(body)}",
                "Connection: close",
            ]
            if all(name != "Content-Type" for name, _ in headers):
                lines.append("Content-Type: application/json")
            lines += [f"{name}: {value}" for name, value in headers]
            request = raw_request(visit.port, "\r\n".join([*lines, "", ""]), body)
            status, answered, told = asyncio.run_coroutine_threadsafe(request, loop).result(10)
            assert status < 500 or b'"too-many-calls"' in told  # so many promises were asked for
            if status >= 400:
                assert answered["content-type"] == "application/json; charset=utf-8"
                if told:
                    assert set(json.loads(told)) == {"code", "info", "detail"}

        await asyncio.to_thread(ask)
