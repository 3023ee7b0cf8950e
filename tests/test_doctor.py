"""The doctor: each thing that a call needs, found well or amiss, and what is to be done then."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from relay import errors
from relay.config import Config, load
from relay.errors import ModelFault
from relay.standin.script import parse
from relay.standin.server import serve
from signaling import beyond, certificate, doctor, machine
from signaling.findings import Finding, report, told
from tests.test_main import KEY, NOBODY, address, process, run

TOKEN = "canary-token-canary"


def settings(*flags: str, key: str = "") -> Config:
    return load(flags, {"GEMINI_API_KEY": key} if key else {})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


# --- what is said ---


def test_the_report_names_each_thing_and_under_what_is_amiss_the_next_step() -> None:
    lines = report([Finding("a", "It is."), Finding("bcd", "It is not.", "Do it.", grave=True)]).splitlines()
    assert lines == [
        "ok    a    It is.",
        "bad   bcd  It is not.",
        "           → Do it.",
        "1 thing must be put right before calls can work.",
    ]
    assert report([Finding("a", "It is.")]).endswith("All is well.")
    assert "Calls can work" in report([Finding("a", "It may.", "Look.")])


def test_everybody_is_told_that_a_thing_is_well_or_the_next_step_and_nothing_of_what_was_seen() -> None:
    seen = Finding("addresses", "Answers name 192.0.2.1.")
    assert told([seen, Finding("TURN", "x"), Finding("TURN", "y", "Do it.")]) == {"addresses": "ok", "TURN": "Do it."}


@pytest.mark.parametrize("code", [code for code, fault in errors.FAULTS.items() if fault.status in (502, 504)])
def test_for_each_fault_of_the_model_there_is_something_to_do(code: str) -> None:
    found = beyond.of_model(ModelFault(code))
    assert found.grave
    assert found.do.endswith(".")


# --- this machine ---


async def test_sound_is_well_where_the_tests_run() -> None:
    for check in (machine.opus, machine.media):
        (found,) = await check(settings())
        assert found.word == "ok", found


def test_a_slower_path_of_sound_is_named() -> None:
    assert machine.of_tier("raw").word == "ok"
    slower = machine.of_tier("public")
    assert (slower.word, "pip install" in slower.do) == ("look", True)


async def test_without_libopus_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from relay.audio import opus

    def none() -> str:
        raise opus.OpusError("no libopus")

    monkeypatch.setattr(opus, "version", none)
    (found,) = await machine.opus(settings())
    assert (found.word, "libopus0" in found.do) == ("bad", True)


async def test_free_ports_are_named_as_an_owner_tells_them_to_a_firewall() -> None:
    port = free_port()
    (found,) = await machine.ports(settings("--port", str(port)))
    assert (found.word, found.says) == ("ok", f"TCP {port}, UDP {port}: free.")
    assert machine.in_words(settings("--lan", "--udp-port", "40000")) == "TCP 7860 and TCP 8443, UDP 40000"
    assert machine.in_words(settings("--udp-port", "0")) == "TCP 7860, all of UDP"


async def test_a_port_that_is_taken_and_an_address_that_is_not_ours_are_each_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ("--port", str(port), "--ice-address", "192.0.2.77")
        first, second = await machine.ports(settings(*flags))
    assert first == Finding("ports", f"Port {port} on 127.0.0.1 is in use.", "Choose another with --port.", grave=True)
    assert "192.0.2.77" in second.says
    assert second.word == "bad"


async def test_a_relay_that_runs_there_is_no_fault(tmp_path: Path) -> None:
    port = free_port()
    async with process(tmp_path, "--port", str(port), "--gemini-url", NOBODY) as child:
        await address(child)
        (found,) = await machine.ports(settings("--port", str(port)))
        assert found.word == "ok"
        assert "serves there now" in found.says


async def test_private_addresses_behind_a_public_name_are_worth_a_look() -> None:
    public = ("--public-url", "https://talk.example.org", "--ice-address", "192.168.7.7")
    (found,) = await machine.addresses(settings(*public))
    assert (found.word, "--public-address" in found.do) == ("look", True)
    (found,) = await machine.addresses(settings(*public, "--public-address", "8.8.8.8"))
    assert found.word == "ok"
    (found,) = await machine.addresses(settings(*public[2:]))
    assert found.word == "ok"


async def test_beyond_loopback_without_https_there_is_no_microphone() -> None:
    beyond_loopback = ("--host", "0.0.0.0", "--access-token", TOKEN)
    (found,) = await machine.certificate(settings(*beyond_loopback))
    assert (found.word, "--lan" in found.do) == ("look", True)
    assert await machine.certificate(settings(*beyond_loopback, "--public-url", "https://t.example")) == []
    assert await machine.certificate(settings()) == []


@pytest.mark.parametrize(("days", "word"), [(300, "ok"), (7, "look"), (-1, "bad")])
async def test_a_certificate_is_judged_by_its_end(days: int, word: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.pem"
    made = datetime.now(UTC) - certificate.LIFE + certificate.EARLIER + timedelta(days=days)
    file.write_bytes(certificate.make(["talk.example.org"], made))
    (found,) = await machine.certificate(settings("--tls-cert", str(file)))
    assert found.word == word, found
    assert "talk.example.org" in found.says


async def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.pem"
    file.write_text("nothing of the kind")
    (found,) = await machine.certificate(settings("--tls-cert", str(file)))
    assert (found.word, "--tls-cert" in found.do) == ("bad", True)
    (found,) = await machine.certificate(settings("--lan", "--state-dir", str(tmp_path / "state")))
    assert found.word == "ok"  # it will be made


async def test_where_certificates_are_to_be_kept_must_be_a_place_for_files(tmp_path: Path) -> None:
    assert await machine.state(settings()) == []
    (found,) = await machine.state(settings("--lan", "--state-dir", str(tmp_path / "a" / "b")))
    assert found.word == "ok"


# --- what lies beyond ---


async def test_a_model_that_takes_a_call_is_well() -> None:
    async with serve(None) as upstream:
        (found,) = await beyond.model(settings("--gemini-url", upstream.url, key=KEY))
        assert found.word == "ok", found
        async with asyncio.timeout(2):
            while upstream.open:
                await asyncio.sleep(0.01)
        assert not upstream.connections[0].pcm


async def test_without_a_key_the_stand_in_is_asked() -> None:
    (found,) = await beyond.model(settings())
    assert (found.word, "stand-in" in found.says) == ("ok", True)


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ({"kind": "refuse-setup", "code": 1008, "reason": "API key not valid."}, "GEMINI_API_KEY"),
        (
            {"kind": "refuse-setup", "code": 1008, "reason": "models/x is not found for API version v1"},
            "--gemini-model",
        ),
        ({"kind": "refuse-upgrade", "status": 429, "body": "quota"}, "quota"),
    ],
)
async def test_why_the_model_takes_no_call_is_told_without_the_key(fault: dict[str, object], step: str) -> None:
    async with serve(parse({"faults": [fault]})) as upstream:
        (found,) = await beyond.model(settings("--gemini-url", upstream.url, key=KEY))
    assert (found.word, step in found.do) == ("bad", True), found
    assert KEY not in found.says + found.do


async def test_a_model_that_is_not_there_is_told() -> None:
    (found,) = await beyond.model(settings("--gemini-url", NOBODY))
    assert (found.word, "firewall" in found.do) == ("bad", True)


@contextlib.asynccontextmanager
async def answering(status: int, body: str = "", **headers: str) -> AsyncIterator[tuple[str, list[web.BaseRequest]]]:
    """Somebody who answers everything alike, and who was asked what."""
    asked: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request)
        return web.Response(status=status, text=body, headers=headers)

    server = web.Server(answer)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}", asked
    finally:
        listening.close()
        await server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [(200, "{}", "ok"), (404, "no such model here", "ok"), (400, "API key not valid", "bad"), (503, "", "bad")],
)
async def test_google_is_asked_for_the_key_in_a_header_and_by_no_call(status: int, body: str, word: str) -> None:
    async with answering(status, body) as (url, asked):
        found = await beyond.ask_key(url, settings(key=KEY))
    assert found.word == word
    assert (asked[0].headers["x-goog-api-key"], KEY in str(asked[0].rel_url)) == (KEY, False)


@pytest.mark.parametrize(
    ("seconds", "flags", "word"),
    [(0, (), "ok"), (600, (), "look"), (-600, ("--turn", "turn:t.example", "--turn-secret", "12345678"), "bad")],
)
async def test_a_clock_that_is_wrong_is_noticed_by_what_the_model_says(
    seconds: int, flags: tuple[str, ...], word: str
) -> None:
    date = datetime.now(UTC) + timedelta(seconds=seconds)
    async with answering(404, Date=date.strftime("%a, %d %b %Y %H:%M:%S GMT")) as (url, _):
        (found,) = await beyond.clock(settings("--gemini-url", url, *flags))
    assert found.word == word
    assert found.says.startswith("It is")


async def test_a_clock_that_nobody_can_be_asked_about_is_none_of_the_owners_worries() -> None:
    (found,) = await beyond.clock(settings("--gemini-url", NOBODY))
    assert found.word == "ok"


async def test_a_proxy_that_leads_here_is_told_from_one_that_does_not() -> None:
    async with answering(200, '{"accepting": true}', **{"Content-Type": "application/json"}) as (url, _):
        (found,) = await beyond.proxy(settings("--public-url", url.replace("ws", "http")))
        assert found.word == "ok"
    async with answering(502, "Bad Gateway") as (url, _):
        (found,) = await beyond.proxy(settings("--public-url", url.replace("ws", "http")))
        assert (found.word, "Start the relay" in found.do) == ("look", True)
    (found,) = await beyond.proxy(settings("--public-url", "https://nobody.invalid"))
    assert (found.word, "name service" in found.do) == ("bad", True)


async def test_a_stun_server_says_where_we_are() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Stun, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        (found,) = await beyond.servers(settings("--ice-servers", f"stun:127.0.0.1:{port}"))
    finally:
        transport.close()
    assert (found.word, "127.0.0.1" in found.says) == ("ok", True)


class _Stun(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        from aioice import stun

        asked = stun.parse_message(data)
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = addr
        self.transport.sendto(bytes(answer), addr)  # type: ignore[attr-defined]


async def test_a_turn_server_that_is_not_there_is_bad_by_each_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beyond, "ASK_SECONDS", 0.3)
    found = await beyond.servers(settings("--turn", f"turn:127.0.0.1:{free_port()}", "--turn-secret", "12345678"))
    assert [one.word for one in found] == ["bad", "bad"]
    assert "transport=tcp" in found[1].says


async def test_which_servers_are_silent_is_told_and_forgotten_when_they_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(beyond, "ASK_SECONDS", 0.3)
    dead, port, silent = f"stun:127.0.0.1:{free_port()}", free_port(), {"stun:of.a.look.before"}
    late = f"stun:127.0.0.1:{port}"
    checkup = doctor.Checkup(settings("--ice-servers", f"{dead},{late}"), lambda: "raw", silent)
    await checkup.look()
    assert silent == {dead, late}
    assert f"{late} cannot be reached" in caplog.text
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Stun, local_addr=("127.0.0.1", port))
    try:
        await checkup.look()
    finally:
        transport.close()
    assert silent == {dead}


# --- the whole ---


async def test_a_check_that_fails_or_hangs_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECK_SECONDS", 0.05)

    async def fails(config: Config) -> list[Finding]:
        raise RuntimeError(KEY)

    async def hangs(config: Config) -> list[Finding]:
        await asyncio.sleep(60)
        return []

    failed, hung, well = await doctor.examine(settings(), (fails, hangs, machine.opus))
    assert (failed.word, hung.word, well.word) == ("look", "bad", "ok")
    assert KEY not in failed.says


async def test_what_becomes_amiss_is_logged_once_and_stands_in_the_summary(caplog: pytest.LogCaptureFixture) -> None:
    tier = [""]
    checkup = doctor.Checkup(settings("--host", "0.0.0.0", "--access-token", TOKEN), lambda: tier[0])
    assert checkup.summary == {}
    for _ in range(2):
        await checkup.look()
    (record,) = caplog.records
    assert "plain HTTP" in record.getMessage()
    tier[0] = "raw"
    assert checkup.summary["media"] == checkup.summary["libopus"] == "ok"
    assert "--lan" in checkup.summary["certificate"]


async def test_a_checkup_that_fails_is_told_and_the_next_one_is_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(doctor, "AGAIN_SECONDS", 0.01)
    made = 0

    async def fails_first(config: Config, checks: object) -> list[Finding]:
        nonlocal made
        made += 1
        if made == 1:
            raise RuntimeError("a mistake of ours")
        return [Finding("clock", "It is right.")]

    monkeypatch.setattr(doctor, "examine", fails_first)
    checkup = doctor.Checkup(settings(), lambda: "")
    async with checkup.looking(), asyncio.timeout(5):
        while not checkup.summary:
            await asyncio.sleep(0.01)
    assert checkup.summary == {"clock": "ok"}
    assert "a checkup failed" in caplog.text


async def test_the_command_says_that_all_is_well_and_leaves_with_0(tmp_path: Path) -> None:
    ran = await run(tmp_path, "doctor", "--port", str(free_port()))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "All is well."


async def test_the_command_says_what_is_amiss_and_leaves_with_1_and_wrong_settings_with_2(tmp_path: Path) -> None:
    flags = ("doctor", "--port", str(free_port()), "--gemini-url", NOBODY)
    ran = await run(tmp_path, *flags, GEMINI_API_KEY=KEY)
    assert (ran.code, ran.err) == (1, "")
    assert "bad   model" in ran.out
    assert KEY not in ran.out
    ran = await run(tmp_path, "doctor", "--port", "x")
    assert (ran.code, ran.out) == (2, "")


async def test_a_running_relay_tells_what_it_has_found(tmp_path: Path) -> None:
    async with process(tmp_path, "--port", "0", "--gemini-url", NOBODY) as child, aiohttp.ClientSession() as http:
        base = await address(child)
        async with asyncio.timeout(20):
            while True:
                async with http.get(f"{base}/healthz") as answer:
                    if "media" in (checks := (await answer.json())["checks"]):
                        break
                await asyncio.sleep(0.1)
        assert (checks["libopus"], checks["media"], checks["addresses"]) == ("ok", "ok", "ok")
