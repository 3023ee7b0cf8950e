"""What lies in deploy/ is right by the programs that read it, and what it starts works where it would start it."""

import asyncio
import contextlib
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aioice import stun, turn

from relay.config import KEY_VARIABLES, load
from relay.flags import FLAGS
from relay.turn_server import TurnServer
from relay.values import Secret
from signaling import beyond, certificate, pulse
from tests.house import visiting
from tests.process import environment

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
TOOLS: Final = ROOT / "tests" / ".tools"  # where `machine.sh deploy` puts what the machine has not
SITE: Final = "talk.example.org"
EXPOSED: Final = 2.0  # of 10, by systemd's own reckoning; a service without hardening has 9.6
START_SECONDS: Final = 15.0
NOBODY_ID: Final = 10001  # the Dockerfile's user

# This machine by another name, others beside it, a cloud's own service, somebody far away.
STRANGERS: Final = ("127.0.0.2", "10.0.0.1", "192.168.1.1", "169.254.169.254", "8.8.8.8")
FILLED_IN: Final = {
    "DOMAIN": SITE,
    "PUBLIC_ADDRESS": "203.0.113.7",
    "GEMINI_API_KEY": "AIzaSyCANARYcanaryCANARYcanary",
    "RELAY_ACCESS_TOKEN": "canary-token-canary",
    "TURN_SECRET": "canary-secret-canary",
}


def program(name: str) -> str:
    places = [os.environ["PATH"], "/usr/sbin", str(TOOLS / "usr/bin"), str(TOOLS / "usr/sbin")]
    found = shutil.which(name, path=os.pathsep.join(places))
    assert found, f"{name} is missing: sh tests/machine.sh deploy tests/.tools"
    return found


def ran(*command: str | Path, **environ: str) -> str:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environ}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def started(*command: str | Path, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that runs while the block does; its words are not read, but it is stopped."""
    child = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, env={**os.environ, **environ},
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await asyncio.wait_for(child.wait(), START_SECONDS)


async def answered(address: str, **more: Any) -> tuple[int, Any]:
    """What comes from there, as soon as somebody listens."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with http.get(address, **more) as answer:
                    if answer.status != 502:  # the proxy's word for an upstream that is not there
                        return answer.status, await answer.json(content_type=None)
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


# --- what is written ---


def test_every_variable_that_is_set_is_one_of_ours() -> None:
    known = {flag.variable for flag in FLAGS} | set(KEY_VARIABLES)
    for file in DEPLOY.iterdir():
        used = set(re.findall(r"\b(?:RELAY|GEMINI|GOOGLE)_[A-Z_]+\b", file.read_text()))
        assert used <= known, file.name


def test_every_flag_that_is_named_is_one_of_ours() -> None:
    known = {flag.name for flag in FLAGS}
    for name in ("Caddyfile", "nginx.conf"):
        (line,) = re.findall(r"^#   (--.*)$", (DEPLOY / name).read_text(), flags=re.MULTILINE)
        assert set(re.findall(r"--([a-z-]+)", line)) <= known, name


# --- systemd ---


def placed(folder: Path, *, serves: bool) -> Path:
    """The unit as it stands, but for the program, which must be there to be verified; it may serve HTTPS by itself."""
    unit = folder / "gemini-relay.service"
    text = (DEPLOY / unit.name).read_text()
    assert "/opt/gemini-relay/bin/gemini-relay" in text
    unit.write_text(text.replace("/opt/gemini-relay/bin/gemini-relay", "/usr/bin/env"))
    if serves:
        (more := folder / f"{unit.name}.d").mkdir()
        shutil.copy(DEPLOY / "gemini-relay-https.conf", more / "https.conf")
    return unit


@pytest.fixture(params=[False, True], ids=["behind a proxy", "with a certificate"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return placed(tmp_path, serves=request.param)


def judged(unit: Path) -> str:
    return ran(program("systemd-analyze"), "security", "--offline=true", "--no-pager", unit)


def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    assert ran(program("systemd-analyze"), "verify", unit) == ""


def test_systemd_finds_the_unit_well_hardened(unit: Path) -> None:
    told = judged(unit)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert level, told
    assert float(level.group(1)) <= EXPOSED


def test_to_serve_https_by_itself_it_takes_the_right_to_its_port_and_nothing_else(tmp_path: Path) -> None:
    lacks = []
    for serves in (False, True):
        (folder := tmp_path / str(serves)).mkdir()
        lacks.append(set(re.findall(r"^✗ (\S+)", judged(placed(folder, serves=serves)), flags=re.MULTILINE)))
    bind = "CapabilityBoundingSet=~CAP_NET_(BIND_SERVICE|BROADCAST|RAW)"  # systemd counts these three as one
    assert lacks[1] - lacks[0] == {"AmbientCapabilities=", bind, "PrivateUsers="}


def test_whoever_stops_the_relay_waits_longer_than_its_calls_may_last() -> None:
    drain = load([], {}).drain
    unit, compose = ((DEPLOY / name).read_text() for name in ("gemini-relay.service", "compose.yaml"))
    for pattern, text in ((r"TimeoutStopSec=(\d+)", unit), (r"stop_grace_period: (\d+)s", compose)):
        (seconds,) = re.findall(pattern, text)
        assert int(seconds) > drain + 2
    assert "KillMode=mixed" in unit  # or the stand-in would be gone while calls still have their time


# --- compose ---


@pytest.fixture(scope="module")
def composed() -> Any:
    """What docker-compose makes of the file, which it checks against its schema."""
    command = [program("docker-compose"), "-f", str(DEPLOY / "compose.yaml"), "config"]
    text = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, env={**os.environ, **FILLED_IN}
    ).stdout
    return _yaml(text)


def _yaml(text: str) -> Any:
    """Its output, which it writes in the same plain form always, read by the Python that it runs on."""
    read = "import sys, json, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    done = subprocess.run(["/usr/bin/python3", "-c", read], input=text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_relay_in_compose_is_held_tight_and_takes_its_settings(composed: Any) -> None:
    relay = composed["services"]["relay"]
    assert relay["read_only"] is True
    assert relay["cap_drop"] == ["ALL"]
    config = load([], relay["environment"])
    assert (config.public_url, config.public_addresses) == (f"https://{SITE}", ("203.0.113.7",))
    assert config.turn == (f"turn:{SITE}",)


def test_compose_starts_nothing_while_a_setting_is_missing() -> None:
    named = re.findall(r"\$\{(\w+)(:\?)?\}", (DEPLOY / "compose.yaml").read_text())
    assert {name for name, must in named if must} == FILLED_IN.keys()
    command = [program("docker-compose"), "-f", str(DEPLOY / "compose.yaml"), "config", "-q"]
    environ = {**os.environ, **FILLED_IN, "TURN_SECRET": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.returncode != 0
    assert "TURN_SECRET" in done.stderr


async def test_coturn_as_compose_starts_it_takes_the_relays_credentials_alone_and_sends_to_the_relay_alone(
    composed: Any, tmp_path: Path
) -> None:
    port = free_port()
    words = [word.replace("203.0.113.7", "127.0.0.1") for word in composed["services"]["coturn"]["command"]]
    words = [word.replace("--listening-port=3478", f"--listening-port={port}") for word in words]
    own = (
        "--listening-ip=127.0.0.1",
        "--relay-ip=127.0.0.1",
        f"--pidfile={tmp_path / 'pid'}",
        "--userdb",
        tmp_path / "db",
    )
    async with started(program("turnserver"), *words, *own, "--allow-loopback-peers"):
        flags = ("--turn", f"turn:127.0.0.1:{port}", "--turn-secret")
        async with asyncio.timeout(START_SECONDS):
            while True:
                found = await beyond.servers(load([*flags, FILLED_IN["TURN_SECRET"]], {}))
                if all(one.word == "ok" for one in found):
                    break
                await asyncio.sleep(0.1)
        assert len(found) == 2, "by UDP and by TCP"
        for refused in await beyond.servers(load([*flags, "another-secret"], {})):
            assert (refused.word, "--turn-secret" in refused.do) == ("bad", True), refused
        forbidden = [403] * len(STRANGERS)  # RFC 8656 §9.2
        assert await permitted(port, "127.0.0.1", *STRANGERS) == [200, *forbidden], "to the relay, and to nobody else"


async def permitted(port: int, *peers: str) -> list[int]:
    """What the server says when somebody whom the relay has let in wants to send to each of these, 200 for yes."""
    account = TurnServer((), Secret(FILLED_IN["TURN_SECRET"])).server("caller", time.time()).told()
    client = functools.partial(turn.TurnClientUdpProtocol, ("127.0.0.1", port), account["username"],
                               account["credential"], turn.DEFAULT_ALLOCATION_LIFETIME,
                               turn.DEFAULT_CHANNEL_REFRESH_TIME)  # fmt: skip
    _, asking = await asyncio.get_running_loop().create_datagram_endpoint(client, remote_addr=("127.0.0.1", port))
    codes = []
    try:
        await asking.connect()
        for peer in peers:
            request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
            request.attributes["XOR-PEER-ADDRESS"] = (peer, 7860)
            try:
                await asking.request_with_retry(request)
                codes.append(200)
            except stun.TransactionFailed as refusal:
                codes.append(refusal.response.error_code or 0)
    finally:
        await asking.delete()
    return codes


# --- proxies ---


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[tuple[int, list[web.BaseRequest]]]:
    """Stands where the relay would, to see what a proxy passes on."""
    asked: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request)
        return web.json_response({})

    server = web.Server(answer)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], asked
    finally:
        listening.close()
        await server.shutdown()


FORGED: Final = {"X-Forwarded-For": "198.51.100.1", "Forwarded": "for=198.51.100.2"}


def caddy(folder: Path, port: int, behind: int) -> tuple[tuple[str | Path, ...], dict[str, str], str]:
    file = folder / "Caddyfile"
    text = (DEPLOY / "Caddyfile").read_text()
    file.write_text("{\n\tadmin off\n}\n" + text.replace("127.0.0.1:7860", f"127.0.0.1:{behind}"))
    command = (program("caddy"), "run", "--config", file, "--adapter", "caddyfile")
    base = f"http://127.0.0.1:{port}"
    return command, {"DOMAIN": base, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}, base


def nginx(folder: Path, port: int, behind: int) -> tuple[tuple[str | Path, ...], dict[str, str], str]:
    pem = folder / "site.pem"
    pem.write_bytes(certificate.make([SITE, "127.0.0.1"], datetime.now(UTC)))
    text = (DEPLOY / "nginx.conf").read_text()
    text = re.sub(r"/etc/letsencrypt/\S+?\.pem", str(pem), text)
    text = re.sub(r"listen \[::\]:\d+.*;", "", text)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    text = text.replace("127.0.0.1:7860", f"127.0.0.1:{behind}")
    folders = " ".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "nginx.conf"
    whole.write_text(f"pid {folder / 'pid'}; daemon off; events {{}}\nhttp {{ access_log off; {folders}\n{text}\n}}\n")
    command = (program("nginx"), "-p", folder, "-e", folder / "log", "-c", whole)
    return command, {}, f"https://127.0.0.1:{port}"


def test_nginx_and_caddy_take_their_files(tmp_path: Path) -> None:
    command, _, _ = nginx(tmp_path, free_port(), 7860)
    assert "test is successful" in ran(*command, "-t")
    told = ran(program("caddy"), "validate", "--config", DEPLOY / "Caddyfile", "--adapter", "caddyfile",
               HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path))  # fmt: skip
    assert "Valid configuration" in told


@pytest.mark.parametrize("proxy", [caddy, nginx])
async def test_behind_the_proxy_the_relay_serves_by_its_public_name(proxy: Any, tmp_path: Path) -> None:
    port = free_port()
    _, _, base = proxy(tmp_path, port, 7860)
    public = f"https://{SITE}" if proxy is nginx else base
    async with visiting("--public-url", public, "--trusted-proxy", "127.0.0.1/32") as visit:
        command, environ, _ = proxy(tmp_path, port, visit.port)
        async with started(*command, **environ):
            named = {"Host": SITE} if proxy is nginx else {}
            status, told = await answered(f"{base}/healthz", headers=named, ssl=False)
            assert (status, told["status"]) == (200, "ok")
            async with aiohttp.ClientSession() as http:
                mine = {**named, "Origin": public}
                async with http.post(f"{base}/start", json={}, headers=mine, ssl=False) as answer:
                    assert answer.status == 200
                foreign = {**named, "Origin": "https://evil.example"}
                async with http.post(f"{base}/start", json={}, headers=foreign, ssl=False) as answer:
                    assert answer.status == 403


@pytest.mark.parametrize("proxy", [caddy, nginx])
async def test_the_proxy_passes_on_nothing_that_a_caller_says_of_itself(proxy: Any, tmp_path: Path) -> None:
    async with upstream() as (behind, asked):
        command, environ, base = proxy(tmp_path, free_port(), behind)
        async with started(*command, **environ):
            assert (await answered(f"{base}/", headers=FORGED, ssl=False))[0] == 200
    (request,) = asked
    assert request.headers.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert "Forwarded" not in request.headers


# --- the container ---


@pytest.fixture(scope="module")
def container() -> Iterator[Path]:
    """What the Dockerfile makes, in a directory that stands for its root; its own commands make it."""
    folder = Path(tempfile.mkdtemp(prefix="relay-container-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        _build(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _steps() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    found = re.findall(r"^([A-Z]+) +(.+)$", text, flags=re.MULTILINE)
    return [(word, re.sub(r"\s+", " ", rest)) for word, rest in found]


def _build(folder: Path) -> None:
    source = folder / "src"
    for word, rest in _steps():
        if word == "COPY" and not rest.startswith("--from"):
            *names, target = rest.split()
            for name in names:
                place = source / target
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, place)
        elif word == "RUN":
            # pip, and what the relay needs besides itself, are here already, and the network may not be
            command = rest.replace("python -m venv", f"{sys.executable} -m venv --without-pip")
            command = command.replace("bin/pip install", "bin/python -m pip install --no-deps --no-build-isolation")
            command = re.sub(r"(?<![\w.])/(opt|state)\b", rf"{folder}/\1", command)
            for lib in (folder / "opt/relay/lib").glob("python3*/site-packages"):
                (lib / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
            if os.geteuid() != 0:
                command = re.sub(r" -[og] \d+", "", command)
            subprocess.run(command, shell=True, check=True, cwd=source, capture_output=True, timeout=120)


# The root file system read-only but for /state, and an interpreter in somebody's home to be seen all the same.
IN_A_BOX: Final = """
set -e
if [ -n "$PRIVATE" ]; then
    mkdir "$STATE/.hold"; mount --bind "$PREFIX" "$STATE/.hold"; mount -t tmpfs -o mode=755 tmpfs "$PRIVATE"
    mkdir -p "$PREFIX"; mount --bind "$STATE/.hold" "$PREFIX"; umount -l "$STATE/.hold"; rmdir "$STATE/.hold"
fi
mount --bind "$STATE" "$STATE"
mount -o remount,bind,ro /
cd "$STATE"
exec setpriv --reuid "$ID" --regid "$ID" --clear-groups --no-new-privs --bounding-set=-all "$@"
"""


def _boxed(folder: Path, command: list[str]) -> tuple[list[str], dict[str, str]]:
    """That command as an unprivileged user on a read-only root; who is no root is unprivileged already."""
    if os.geteuid() != 0:
        return command, {}
    prefix = Path(sys.base_prefix)
    private = next((str(up) for up in reversed(prefix.parents) if not up.stat().st_mode & 0o001), "")
    environ = {"STATE": str(folder / "state"), "PREFIX": str(prefix), "PRIVATE": private, "ID": str(NOBODY_ID)}
    return ["unshare", "--mount", "sh", "-c", IN_A_BOX, "box", *command], environ


@pytest.mark.parametrize("more", [{}, {"RELAY_LAN": "yes", "RELAY_HTTPS_PORT": "0"}], ids=["http", "https"])
async def test_what_the_container_runs_serves_and_leaves_as_an_unprivileged_user_that_writes_nowhere_else(
    container: Path, more: dict[str, str]
) -> None:
    (entry,) = (json.loads(rest) for word, rest in _steps() if word == "ENTRYPOINT")
    (check,) = (json.loads(rest.partition(" CMD ")[2]) for word, rest in _steps() if word == "HEALTHCHECK")
    (given,) = (rest for word, rest in _steps() if word == "ENV")
    environ = dict(pair.split("=", 1) for pair in given.replace("/state", f"{container}/state").split())
    assert ("USER", f"{NOBODY_ID}:{NOBODY_ID}") in _steps()
    port = free_port()
    inside = [word.replace("/opt/", f"{container}/opt/") for word in (*entry, *check)]
    command, box = _boxed(container, inside[: len(entry)])
    kept = environment()
    kept |= environ | box | {"RELAY_ACCESS_TOKEN": FILLED_IN["RELAY_ACCESS_TOKEN"], "HOME": "/"}
    kept |= {"RELAY_PORT": str(port)} | more
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=kept, cwd=container / "state",
    )  # fmt: skip
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), START_SECONDS)
        assert b"Ready." in line, (await child.communicate())[1].decode()
        if os.geteuid() == 0:
            status = await asyncio.to_thread(Path(f"/proc/{child.pid}/status").read_text)
            assert re.search(rf"^Uid:\s+{NOBODY_ID}\s", status, flags=re.MULTILINE)
            assert re.search(r"^CapEff:\s+0+$", status, flags=re.MULTILINE)
        healthy = await asyncio.create_subprocess_exec(
            *inside[len(entry) :], env=kept | {"http_proxy": "http://127.0.0.1:9"}, cwd=container / "state"
        )
        assert await asyncio.wait_for(healthy.wait(), START_SECONDS) == 0
        child.terminate()
        _, err = await asyncio.wait_for(child.communicate(), START_SECONDS)
        assert child.returncode == 0, err.decode()
        assert b"Traceback" not in err
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()


def test_the_health_check_asks_where_the_relay_listens() -> None:
    for host, port, asked in (
        ("", "", "http://127.0.0.1:7860/healthz"),
        ("0.0.0.0", "8080", "http://0.0.0.0:8080/healthz"),
        ("::", "", "http://[::]:7860/healthz"),
    ):
        assert pulse.address({"RELAY_HOST": host, "RELAY_PORT": port}) == asked


async def test_the_health_check_fails_where_no_relay_answers(container: Path) -> None:
    (check,) = (json.loads(rest.partition(" CMD ")[2]) for word, rest in _steps() if word == "HEALTHCHECK")
    command = [word.replace("/opt/", f"{container}/opt/") for word in check]
    child = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.DEVNULL, env=os.environ | {"RELAY_PORT": str(free_port())},
        cwd=container / "state",
    )  # fmt: skip
    assert await asyncio.wait_for(child.wait(), START_SECONDS) != 0
