"""The process as its owner sees it: one address, one sentence for what is wrong, exit codes, and a quick goodbye."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from relay.config import ConfigError, load
from signaling import certificate, lan
from signaling.__main__ import announce, link, read_env_file, warn, where
from signaling.https import Https
from signaling.invitation import in_terminal, modules
from signaling.sockets import listen, listen_for_metrics
from tests.process import environment

ROOT = Path(__file__).parent.parent
KEY = "AIzaSyCANARYcanaryCANARYcanary"
TOKEN = "canary-token-canary"
NOBODY = "ws://127.0.0.1:9"  # a model that is not there: these tests need none


@dataclass
class Ran:
    """How a process ended."""

    code: int
    out: str
    err: str


def process(
    folder: Path, *flags: str, **environ: str
) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return printing_to(asyncio.subprocess.PIPE, folder, *flags, **environ)


@contextlib.asynccontextmanager
async def printing_to(
    stdout: int, folder: Path, *flags: str, **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = environment()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signaling", *flags,
        stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=asyncio.subprocess.PIPE,
        cwd=folder, env={**kept, "PYTHONPATH": str(ROOT), "RELAY_LOCAL_VOICE": "off", **environ},
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def run(folder: Path, *flags: str, **environ: str) -> Ran:
    async with process(folder, *flags, **environ) as child, asyncio.timeout(30):
        out, err = await child.communicate()
        assert child.returncode is not None
        return Ran(child.returncode, out.decode(), err.decode())


async def address(child: asyncio.subprocess.Process) -> str:
    """The address of the line that says ready; nothing comes before it on standard output."""
    assert child.stdout is not None
    line = (await asyncio.wait_for(child.stdout.readline(), 30)).decode()
    found = re.fullmatch(r"Ready\. Open (http://\S+)\n", line)
    assert found, line
    return found.group(1)


def only_child(pid: int) -> int:
    """The process's one child, the stand-in (Linux)."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def runs(pid: int) -> bool:
    """Does it run? The entry of an ended one stays until its parent has read it, without its program."""
    return Path(f"/proc/{pid}/exe").exists()


def sentence(ran: Ran) -> str:
    assert (ran.code, ran.out) == (2, ""), ran
    (line,) = ran.err.splitlines()
    assert line.endswith(".")
    return line


async def test_it_prints_one_address_serves_there_and_stops_on_a_signal(tmp_path: Path) -> None:
    async with process(tmp_path, "--port", "0", "--gemini-url", NOBODY, GEMINI_API_KEY=KEY) as child:
        base = await address(child)
        async with aiohttp.ClientSession() as http, http.get(f"{base}/healthz") as answer:
            told = await answer.json()
            assert (told["status"], told["model"]) == ("ok", "url")
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            out, err = await child.communicate()
        assert (child.returncode, out) == (0, b"")
        assert KEY not in err.decode()
        assert "Traceback" not in err.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_without_a_key_the_stand_in_comes_and_goes_with_it(tmp_path: Path, number: signal.Signals) -> None:
    async with process(tmp_path, "--port", "0") as child:
        base = await address(child)
        async with aiohttp.ClientSession() as http, http.get(f"{base}/healthz") as answer:
            assert (await answer.json())["model"] == "local"
        pid = only_child(child.pid)
        child.send_signal(number)
        async with asyncio.timeout(20):
            await child.communicate()
        assert child.returncode == 0
        assert not runs(pid)


async def test_the_stand_in_does_not_outlive_a_killed_relay(tmp_path: Path) -> None:
    async with process(tmp_path, "--port", "0") as child:
        await address(child)
        pid = only_child(child.pid)
        child.kill()
        async with asyncio.timeout(5):
            while runs(pid):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("flags", [("--gemini-url", NOBODY), ("--model", "local")])
async def test_a_port_in_use_is_one_sentence(flags: tuple[str, ...], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = sentence(await run(tmp_path, "--port", str(port), *flags))
        assert said == f"Port {port} on 127.0.0.1 is in use: choose another with --port."


async def test_a_udp_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        flags = ("--port", "0", "--udp-port", str(port), "--ice-address", "127.0.0.1", "--gemini-url", NOBODY)
        said = sentence(await run(tmp_path, *flags))
        assert said == f"UDP port {port} on 127.0.0.1 is in use: choose another with --udp-port."


async def test_a_certificate_or_a_key_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    whole, empty, folder = tmp_path / "whole.pem", tmp_path / "empty.pem", tmp_path / "folder"
    whole.write_bytes(certificate.make(["localhost"], datetime.now(UTC)))
    empty.write_text("")
    folder.mkdir()
    flags = ("--port", "0", "--https-port", "0", "--gemini-url", NOBODY, "--tls-cert")
    for more in ((empty,), (whole, "--tls-key", folder)):  # other ways to be wrong: tests/test_certificate.py
        assert str(more[-1]) in sentence(await run(tmp_path, *flags, *map(str, more)))


async def test_metrics_have_a_port_of_their_own_if_asked_for(tmp_path: Path) -> None:
    flags = ("--port", "0", "--gemini-url", NOBODY, "--metrics-port", "0")
    async with process(tmp_path, *flags) as child, aiohttp.ClientSession() as http:
        base = await address(child)
        assert child.stderr is not None
        said = b""
        async with asyncio.timeout(30):
            while b"sound takes the raw path" not in said:
                said += await child.stderr.readline()
        found = re.search(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", said.decode())
        assert found, said
        async with http.get(found.group(1)) as answer:
            assert answer.status == 200
            assert "relay_calls_live 0.0" in await answer.text()
        async with http.get(f"{base}/metrics") as answer:
            assert answer.status == 404
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            _, err = await child.communicate()
        assert (child.returncode, b"Traceback" in err) == (0, False)


async def test_a_metrics_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = await run(tmp_path, "--port", "0", "--metrics-port", str(port), "--gemini-url", NOBODY)
        assert sentence(ran) == f"Port {port} on 127.0.0.1 is in use: choose another with --metrics-port."


async def test_lan_prints_address_and_fingerprint_and_keeps_them(tmp_path: Path) -> None:
    flags = ("--lan", "--port", "0", "--https-port", "0", "--state-dir", "state", "--gemini-url", NOBODY)
    said: list[tuple[str, str]] = []
    for _ in range(2):
        async with process(tmp_path, *flags, GEMINI_API_KEY=KEY) as child:
            assert child.stdout is not None
            lines = [""]
            async with asyncio.timeout(30):
                while not re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}\n", lines[-1]):
                    lines.append((await child.stdout.readline()).decode())
                child.send_signal(signal.SIGTERM)
                _, err = await child.communicate()
            assert child.returncode == 0
            ready = re.fullmatch(r"Ready\. Open https://\S+:\d+/#token=(\w{32})\n", lines[1])
            assert ready, lines[1]
            assert ready.group(1) not in err.decode()
            said.append((ready.group(1), lines[-1]))
    assert said[0] == said[1]


async def test_an_https_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        flags = ("--lan", "--port", "0", "--https-port", port, "--state-dir", str(tmp_path), "--gemini-url", NOBODY)
        said = sentence(await run(tmp_path, *flags))
        assert said == f"Port {port} on 0.0.0.0 is in use: choose another with --https-port."


async def test_a_certificate_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.pem").write_text("no certificate")
    flags = ("--port", "0", "--https-port", "0", "--tls-cert", "mine.pem", "--gemini-url", NOBODY)
    assert sentence(await run(tmp_path, *flags)) == "mine.pem holds no certificate in PEM."


async def test_a_state_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    assert "--state-dir" in sentence(await run(tmp_path, "--lan", "--port", "0", "--state-dir", "/proc/nowhere"))


async def test_beyond_loopback_without_a_token_is_one_sentence(tmp_path: Path) -> None:
    assert "--access-token" in sentence(await run(tmp_path, "--host", "0.0.0.0"))


async def test_a_wrong_agent_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("1 / 0")
    assert "ZeroDivisionError" in sentence(await run(tmp_path, "--agent", "mine.py", "--port", "0"))


async def test_an_ice_address_that_is_not_ours_is_one_sentence(tmp_path: Path) -> None:
    ran = await run(tmp_path, "--ice-address", "192.0.2.1", "--port", "0", "--gemini-url", NOBODY)
    assert sentence(ran) == "--ice-address 192.0.2.1 is not an address of this machine."


async def test_the_env_file_of_the_working_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'# mine\nexport RELAY_HOST="0.0.0.0"\nGEMINI_API_KEY={KEY}\n')
    assert "0.0.0.0" in sentence(await run(tmp_path))
    assert "--port" in sentence(await run(tmp_path, "--port", "x", RELAY_HOST="127.0.0.1"))


async def test_help_leaves_with_0(tmp_path: Path) -> None:
    ran = await run(tmp_path, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "GEMINI_API_KEY" in ran.out


async def test_no_secret_is_in_the_log_nor_in_what_is_printed_into_a_journal(tmp_path: Path) -> None:
    flags = ("--port", "0", "--gemini-url", NOBODY, "--log-level", "debug", "--access-token", TOKEN)
    async with process(tmp_path, *flags, GEMINI_API_KEY=KEY) as child:
        assert child.stdout is not None
        line = (await asyncio.wait_for(child.stdout.readline(), 30)).decode()
        found = re.fullmatch(r"Ready\. Open (http://\S+)/#token=<your access token>\n", line)
        assert found, line
        base = found.group(1)
        async with aiohttp.ClientSession() as http:
            for header in (f"Bearer {TOKEN}", f"Bearer {TOKEN}x", None):
                headers = {"Authorization": header} if header else {}
                origin = {"Origin": f"https://evil.example/?key={KEY}&token={TOKEN}"}
                for more in ({}, origin):
                    async with http.post(f"{base}/start", json={}, headers={**headers, **more}) as answer:
                        text = await answer.text()
                        assert KEY not in text
                        assert TOKEN not in text
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            out, err = await child.communicate()
        assert "origin-refused" in err.decode()
        assert "canary" not in (out + err).decode().lower()


def first_line(terminal: int) -> str:
    with open(terminal) as screen:
        return screen.readline()


async def test_in_a_terminal_the_token_is_in_the_printed_address(tmp_path: Path) -> None:
    ours, terminal = os.openpty()
    flags = ("--port", "0", "--gemini-url", NOBODY, "--access-token", TOKEN)
    async with printing_to(terminal, tmp_path, *flags):
        os.close(terminal)
        async with asyncio.timeout(30):
            line = await asyncio.to_thread(first_line, ours)
    assert re.fullmatch(rf"Ready\. Open http://\S+/#token={TOKEN}\n", line), line


@pytest.mark.parametrize("shown", [True, False])
def test_the_code_for_a_phone_holds_the_token_where_the_address_does(
    shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: ("192.168.1.5",))
    config = load(["--lan", "--state-dir", str(tmp_path), "--access-token", TOKEN], {})
    https = Https(config, 8443)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        announce(config, bound, https, shows_token=shown)
    first, said = capsys.readouterr().out.split("\n", 1)
    address = https.base + (f"/#token={TOKEN}" if shown else "")
    assert in_terminal(modules(address), colours=False) in said
    assert (TOKEN in first) == shown


# --- the parts, in this process ---


def test_an_env_file_fills_only_what_is_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nC\n")
    environ = {"A": "mine"}
    read_env_file(tmp_path / ".env", environ)
    assert environ == {"A": "mine", "B": "file", "C": ""}
    read_env_file(tmp_path / "none", environ)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"RELAY_PORT='8000\n", b"= =\n", b"A=1\nnot a line\n"])
def test_an_env_file_that_cannot_be_read_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_env_file(tmp_path / ".env", {})
    assert str(caught.value).endswith(".")


def test_a_directory_in_place_of_the_env_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigError):
        read_env_file(tmp_path / ".env", {})


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ((), "http://127.0.0.1:{port}"),
        (("--host", "localhost"), "http://localhost:{port}"),
        (("--host", "::1"), "http://[::1]:{port}"),
        (("--host", "0.0.0.0", "--access-token", TOKEN), "http://localhost:{port}/#token=" + TOKEN),
        (("--public-url", "https://talk.example/"), "https://talk.example"),
        (("--public-url", "https://t.example", "--access-token", TOKEN), "https://t.example/#token=" + TOKEN),
    ],
)
def test_the_printed_address_is_the_one_to_open(flags: tuple[str, ...], shown: str) -> None:
    config = load(["--port", "0", *flags], {})
    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as bound:
        stack.enter_context(bound)
        assert link(config, bound) == shown.format(port=bound.getsockname()[1])
        assert TOKEN not in where(config, bound)


@pytest.mark.parametrize(
    ("flags", "warned"),
    [
        (("--gemini-url", "ws://192.0.2.1:9"), "no TLS"),
        (("--gemini-url", "http://model.example"), "no TLS"),
        (("--gemini-url", "wss://192.0.2.1:9"), ""),
        (("--gemini-url", "ws://127.0.0.1:9"), ""),
        (("--gemini-url", "http://[::1]:9"), ""),
        (("--gemini-url", "ws://localhost:9"), ""),
        (("--model", "local", "--gemini-url", "ws://192.0.2.1:9"), ""),
        (("--public-url", "https://t.example", "--trusted-proxy", "10.0.0.0/8"), "spend your key"),
        (("--public-url", "https://t.example", "--access-token", TOKEN), "share one rate limit"),
        (("--metrics-host", "0.0.0.0", "--metrics-port", "9464"), "reads the figures"),
        (("--metrics-host", "0.0.0.0"), ""),
        ((), ""),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(
    flags: tuple[str, ...], warned: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn(load(flags, {"GEMINI_API_KEY": KEY}))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == bool(warned)
    assert warned in "".join(said)


def test_every_address_of_a_host_gets_the_same_free_port() -> None:
    sockets = listen(load(["--host", "localhost", "--port", "0"], {}))
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_ours_is_a_sentence(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        listen(load(["--host", host, "--access-token", TOKEN], {}))
    assert str(caught.value) == f"--host {host} is not an address of this machine."
    with pytest.raises(ConfigError) as caught:
        listen_for_metrics(load(["--metrics-host", host, "--metrics-port", "0"], {}))
    assert str(caught.value) == f"--metrics-host {host} is not an address of this machine."


def test_without_a_metrics_port_nothing_listens_for_metrics() -> None:
    assert listen_for_metrics(load([], {})) == []


def test_an_address_that_this_machine_lacks_does_not_cost_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    there = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
    lacking = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [lacking, there])
    (sock,) = listen(load(["--host", "localhost", "--port", "0"], {}))
    assert sock.getsockname()[0] == "127.0.0.1"
    sock.close()
