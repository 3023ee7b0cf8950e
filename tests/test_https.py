"""HTTPS in this process: what is served there, what the plain port does, and a certificate that changes."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.config import Config, ConfigError, load
from signaling import https, lan
from signaling.admission import START_BURST
from signaling.app import House, doorkeeper, serving
from signaling.certificate import Identity, make
from signaling.https import LOOK_SECONDS, Https, secure_url, watching
from signaling.sockets import listen, listen_for_https
from tests.house import Answered, FakeSpeaker, make_registry

TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
NOW = datetime.now(UTC)
HOME, OFFICE = "192.168.1.5", "10.20.0.7"


@dataclass
class Visit:
    """A relay that serves HTTPS, and somebody who looks at it without asking who vouches for it."""

    plain: str
    secure: str
    https: Https
    http: aiohttp.ClientSession

    async def ask(self, method: str, url: str, **more: Any) -> Answered:
        async with self.http.request(method, url, ssl=False, allow_redirects=False, **more) as answer:
            body = await answer.read()
            told = await answer.json() if "json" in answer.content_type else None
            return Answered(answer.status, answer.headers, body, told)


@contextlib.asynccontextmanager
async def visiting(folder: Path, *flags: str) -> AsyncIterator[Visit]:
    flags = ("--lan", "--access-token", TOKEN, "--state-dir", str(folder), *flags)
    config = load(["--port", "0", "--https-port", "0", *flags], {})
    plain, secure = listen(config), listen_for_https(config)
    front = Https(config, secure[0].getsockname()[1])

    async def nobody(request: object) -> Any:
        raise AssertionError("nobody calls here")

    house = House(config=config, maker=nobody, registry=make_registry(4), speaker=FakeSpeaker(), https=front)
    ports = [sock[0].getsockname()[1] for sock in (plain, secure)]
    async with serving(house, plain, secure), aiohttp.ClientSession() as http:
        yield Visit(f"http://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}", front, http)


def owners(folder: Path, *names: str) -> Path:
    """A certificate as the owner might have one."""
    path = folder / "owners.pem"
    path.write_bytes(make(names, NOW))
    return path


def settings(*flags: str) -> Config:
    return load(["--access-token", TOKEN, *flags], {})


# --- served ---


async def test_the_page_and_the_calls_are_there(tmp_path: Path) -> None:
    async with visiting(tmp_path) as visit:
        assert (await visit.ask("GET", visit.secure)).status == 200
        health = await visit.ask("GET", f"{visit.secure}/healthz")
        assert health.json["secureUrl"] == visit.https.base or visit.https.addresses == ()
        assert (await visit.ask("POST", f"{visit.secure}/start", json={})).status == 401
        started = await visit.ask("POST", f"{visit.secure}/start", json={}, headers=BEARER)
        assert started.status == 200


async def test_our_own_page_is_the_one_over_https(tmp_path: Path) -> None:
    async with visiting(tmp_path) as visit:
        for origin, status in ((visit.secure, 200), (visit.secure.replace("https", "http"), 403), (visit.plain, 403)):
            answered = await visit.ask("POST", f"{visit.secure}/start", json={}, headers={**BEARER, "Origin": origin})
            assert answered.status == status


async def test_names_of_the_certificate_are_ours_and_others_are_not(tmp_path: Path) -> None:
    async with visiting(tmp_path) as visit:
        for host in (*lan.host_names(socket.gethostname()), "localhost", "127.0.0.1:8443"):
            assert (await visit.ask("GET", visit.secure, headers={"Host": host})).status == 200
        for host in ("evil.example", "203.0.113.9"):
            assert (await visit.ask("GET", visit.secure, headers={"Host": host})).json["code"] == "host-refused"


async def test_what_is_no_tls_gets_no_answer_and_harms_nobody(tmp_path: Path) -> None:
    async with visiting(tmp_path) as visit:
        port = int(visit.secure.rpartition(":")[2])
        for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes(300), b"\x16\x03\x01\xff\xff" + bytes(50)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(junk)
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert b"200" not in await reader.read()
            writer.close()
        assert (await visit.ask("GET", visit.secure)).status == 200


async def test_it_ends_in_time_with_a_connection_that_is_half_open(tmp_path: Path) -> None:
    async with visiting(tmp_path) as visit:
        port = int(visit.secure.rpartition(":")[2])
        mute, idle = socket.create_connection(("127.0.0.1", port)), ssl.create_default_context()
        idle.check_hostname, idle.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=idle)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5
    mute.close()
    writer.transport.abort()


async def test_names_of_a_renewed_certificate_are_ours_from_then_on(tmp_path: Path) -> None:
    path = owners(tmp_path, "localhost", "old.example")
    async with visiting(tmp_path, "--tls-cert", str(path)) as visit:
        refused = await visit.ask("GET", visit.secure, headers={"Host": "new.example"})
        assert refused.json["code"] == "host-refused"
        owners(tmp_path, "localhost", "new.example")
        assert visit.https.look()
        for address in (visit.secure, visit.plain):
            assert (await visit.ask("GET", address, headers={"Host": "new.example"})).status in (200, 307)
            refused = await visit.ask("GET", address, headers={"Host": "old.example"})
            assert refused.json["code"] == "host-refused"


# --- the plain port ---


@pytest.mark.parametrize("path", ["/", "/index.html", "/a/b?c=d%20e", "//elsewhere.example/", "/sessions/x/transcript"])
async def test_the_plain_port_leads_to_https_for_now_and_nowhere_else(tmp_path: Path, path: str) -> None:
    async with visiting(tmp_path) as visit:
        answered = await visit.ask("GET", visit.plain + path)
        assert answered.status == 307
        assert answered.headers["Location"] == visit.secure + path
        assert answered.headers["Cache-Control"] == "no-store"
        assert "Strict-Transport-Security" not in answered.headers  # it would make the warning final


async def test_the_plain_port_leads_no_other_name_and_takes_no_call(tmp_path: Path) -> None:
    async with visiting(tmp_path) as visit:
        led = await visit.ask("GET", visit.plain, headers={"Host": "localhost:80"})
        assert led.headers["Location"] == visit.secure.replace("127.0.0.1", "localhost") + "/"
        assert (await visit.ask("GET", visit.plain, headers={"Host": "evil.example"})).status == 403
        assert (await visit.ask("POST", f"{visit.plain}/start", json={}, headers=BEARER)).status == 405


# --- how often ---


def test_off_loopback_three_starts_at_once_and_then_one_each_ten_seconds() -> None:
    door = doorkeeper(settings("--lan"))
    for _ in range(START_BURST):
        door.start(HOME, 100.0)
    with pytest.raises(Exception, match="too-many-starts") as caught:
        door.start(HOME, 100.0)
    assert getattr(caught.value, "retry_after", None) == 10
    door.start(OFFICE, 100.0)
    door.start(HOME, 110.0)


# --- where it is ---


def test_it_is_called_by_an_address_that_the_certificate_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: (HOME, OFFICE))
    front = Https(settings("--lan", "--state-dir", str(tmp_path)), 8443)
    assert front.base == f"https://{HOME}:8443"
    assert front.others == (f"https://{OFFICE}:8443",)
    assert {HOME, OFFICE} <= front.names


def test_a_certificate_of_the_owners_gives_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: (HOME,))
    path = owners(tmp_path, "localhost", "relay.home.example")
    front = Https(settings("--host", "0.0.0.0", "--tls-cert", str(path)), 443)
    assert front.base == "https://relay.home.example"
    assert front.at("[fd00::5]") == "https://[fd00::5]"


def test_one_for_this_machine_alone_is_called_localhost(tmp_path: Path) -> None:
    front = Https(settings("--tls-cert", str(owners(tmp_path, "localhost"))), 8443)
    assert front.base == "https://localhost:8443"
    assert secure_url(settings(), front) == ""


def test_the_public_address_goes_before_all_others(tmp_path: Path) -> None:
    public = settings("--public-url", "https://talk.example.org")
    front = Https(settings("--host", HOME, "--tls-cert", str(owners(tmp_path, HOME))), 8443)
    assert secure_url(public, None) == secure_url(public, front) == "https://talk.example.org"
    assert secure_url(settings("--public-url", "http://talk.example.org"), front) == f"https://{HOME}:8443"
    assert secure_url(settings(), None) == ""


def test_a_public_address_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Https(settings("--lan", "--host", HOME, "--state-dir", str(tmp_path)), 8443)
    assert not caplog.text
    Https(settings("--lan", "--host", "8.8.8.8", "--state-dir", str(tmp_path)), 8443)
    assert "8.8.8.8 is reached from everywhere" in caplog.text


# --- what changes ---


def test_another_network_is_noticed_and_the_certificate_goes_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here: list[tuple[str, ...]] = [(HOME,)]
    monkeypatch.setattr(lan, "addresses", lambda host: here[0])
    front = Https(settings("--lan", "--state-dir", str(tmp_path)), 8443)
    context, first = front.identity.context, front.identity.fingerprint
    assert not front.look()
    here[0] = ()  # for a moment there is no network
    assert not front.look()
    assert front.base == f"https://{HOME}:8443"
    here[0] = (OFFICE,)
    assert front.look()
    assert front.base == f"https://{OFFICE}:8443"
    assert front.identity.fingerprint != first
    assert front.identity.context is context  # the one that serves
    here[0] = (HOME,)
    second = front.identity.fingerprint
    assert front.look()
    assert front.identity.fingerprint == second  # it holds both by now


def test_a_certificate_that_its_owner_renews_is_read_again_once_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = owners(tmp_path, HOME)
    front = Https(settings("--host", HOME, "--tls-cert", str(path)), 8443)
    first = front.identity.fingerprint
    assert not front.look()
    path.write_text("half")
    assert not front.look()
    assert front.identity.fingerprint == first
    assert "goes on serving" in caplog.text
    path.write_bytes(make([HOME], NOW))
    assert front.look()
    assert front.identity.fingerprint == Identity(path).fingerprint != first


async def test_whoever_watches_is_told_of_a_change_and_connections_see_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(https, "LOOK_SECONDS", 0.01)
    assert LOOK_SECONDS > 1
    async with visiting(tmp_path) as visit:
        port = int(visit.secure.rpartition(":")[2])
        before = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        told = asyncio.Event()
        async with watching(visit.https, told.set):
            monkeypatch.setattr(lan, "addresses", lambda host: (HOME,))
            async with asyncio.timeout(5):
                await told.wait()
        assert visit.https.base == f"https://{HOME}:{port}"
        assert await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port)) != before


async def test_a_look_that_fails_is_told_and_the_next_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(https, "LOOK_SECONDS", 0.01)
    told = asyncio.Event()

    def changed() -> None:
        if not told.is_set():
            told.set()
            raise BrokenPipeError("nobody reads what is printed")

    async with visiting(tmp_path) as visit:
        found = iter([(HOME,), (OFFICE,)])
        monkeypatch.setattr(lan, "addresses", lambda host: next(found, (OFFICE,)))
        async with watching(visit.https, changed), asyncio.timeout(5):
            await told.wait()
            while OFFICE not in visit.https.base:
                await asyncio.sleep(0.01)
    assert "a look at addresses and certificate failed" in caplog.text


def test_one_that_has_ended_serves_and_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "old.pem"
    path.write_bytes(make([HOME], NOW - timedelta(days=800)))
    Https(settings("--host", HOME, "--tls-cert", str(path)), 8443)
    assert "ended on" in caplog.text


def test_one_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Https(settings("--tls-cert", str(tmp_path / "none.pem")), 8443)
    shutil.copy(owners(tmp_path, HOME), tmp_path / "copy.pem")
    Https(settings("--tls-cert", str(tmp_path / "copy.pem")), 8443)
