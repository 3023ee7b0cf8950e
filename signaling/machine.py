"""Checks of this machine: what sound needs, free ports, the addresses in answers, the certificate, the state directory.

Nothing here is sent to anybody but to a relay that runs on this very machine.
"""

import asyncio
import contextlib
import ipaddress
import json
import os
import ssl
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from relay.config import WILDCARDS, Config, ConfigError
from relay.webrtc.port.sockets import local_addresses
from signaling.findings import Finding
from signaling.sockets import check_ice_addresses, listen, listen_for_https, listen_for_metrics, open_udp_port

ASK_SECONDS: Final = 2.0  # for a relay on this machine to answer
SOON: Final = timedelta(days=14)  # a certificate that ends within: who renews it by itself has done so by then
MAX_ANSWER_BYTES: Final = 64 * 1024


async def opus(config: Config) -> list[Finding]:
    """Is there a libopus?"""
    from relay.audio.opus import OpusError, version

    try:
        return [Finding("libopus", f"{await asyncio.to_thread(version)}.")]
    except OpusError as exc:
        do = "Install it (apt-get install libopus0), or reinstall PyAV from a wheel, which brings one."
        return [Finding("libopus", f"It cannot be loaded: {exc}.", do, grave=True)]


async def media(config: Config) -> list[Finding]:
    """Does sound take the quick path?"""
    from relay.webrtc.media import prepare

    return [of_tier(prepare(config.ice_addresses, loopback=config.on_loopback).tier)]


def of_tier(tier: str) -> Finding:
    """Of the path that sound takes."""
    from relay.webrtc.media import LINES

    best = next(iter(LINES))
    if tier == best:
        return Finding("media", f"Sound takes the {tier} path, the quickest.")
    do = "Install the versions of aiortc, aioice and pylibsrtp that pyproject.toml names: pip install ."
    return Finding("media", f"Sound takes the {tier} path, which costs more and is later than the {best} one.", do)


async def ports(config: Config) -> list[Finding]:
    """Can the ports be had, or does a relay serve there already?"""
    busy: list[str] = []
    opened: list[Any] = []
    number = config.port
    for open_ in (listen, listen_for_https, listen_for_metrics):
        try:
            sockets = open_(config)
            opened += sockets
            if open_ is listen and sockets:
                number = sockets[0].getsockname()[1]
        except ConfigError as exc:
            busy.append(str(exc))
    try:
        check_ice_addresses(config)
        port = await open_udp_port(config, number)
        opened += [port] if port is not None else []
    except ConfigError as exc:
        busy.append(str(exc))
    for one in opened:
        one.close()
    if not busy:
        return [Finding("ports", f"{in_words(config)}: free.")]
    running = await asyncio.to_thread(_running, config)
    if running and all("is in use" in why for why in busy):
        return [Finding("ports", f"{in_words(config)}: a relay ({running}) serves there now.")]
    return [Finding("ports", why.partition(": ")[0] + ".", _next_step(why), grave=True) for why in busy]


def _next_step(why: str) -> str:
    _, _, step = why.partition(": ")
    return f"{step[0].upper()}{step[1:]}" if step.endswith(".") and "--" in step else "Name an address of this machine."


def in_words(config: Config) -> str:
    """The ports that must be open to others, as an owner tells them to a firewall."""
    tcp = [config.port, config.https_port] if config.https else [config.port]
    udp = (
        f"UDP {config.udp_port if config.udp_port is not None else config.port}"
        if config.one_udp_port
        else "all of UDP"
    )
    return f"{' and '.join(f'TCP {port}' for port in tcp)}, {udp}"


def _running(config: Config) -> str:
    """The version of the relay that answers on our port; empty if none does."""
    host = "127.0.0.1" if config.host in WILDCARDS else config.host
    host = f"[{host}]" if ":" in host else host
    unchecked = ssl.create_default_context()  # it is this machine, and its own certificate
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unchecked)
    )
    with contextlib.suppress(OSError, ValueError):
        with direct.open(f"http://{host}:{config.port}/healthz", timeout=ASK_SECONDS) as answer:
            told = json.loads(answer.read(MAX_ANSWER_BYTES))
        if isinstance(told, dict) and "accepting" in told:
            return str(told.get("version", ""))[:20]
    return ""


async def addresses(config: Config) -> list[Finding]:
    """Can browsers elsewhere reach what answers name?"""
    told = config.public_addresses or config.ice_addresses or tuple(local_addresses(loopback=config.on_loopback))
    says = f"Answers name {', '.join(told) or 'no address'}."
    if not told:
        return [Finding("addresses", says, "Connect this machine to a network.", grave=True)]
    if config.public_url and not any(map(_is_global, told)) and config.ice_role == "passive" and not config.turn:
        do = (
            "Name the public address with --public-address, or a TURN server with --turn; "
            "only browsers in the same network reach these."
        )
        return [Finding("addresses", says, do)]
    return [Finding("addresses", says)]


def _is_global(address: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address).is_global
    return True  # a name


async def certificate(config: Config) -> list[Finding]:
    """Can HTTPS be served, and for how long yet?"""
    if config.https:
        return await asyncio.to_thread(_certificate, config)
    if config.public_url.startswith("https:") or config.loopback:
        return []
    do = "Use --lan, --tls-cert, or a proxy with HTTPS and --public-url: browsers give no microphone to plain HTTP."
    return [Finding("certificate", "Beyond this machine the page comes over plain HTTP.", do)]


def _certificate(config: Config) -> list[Finding]:
    from signaling.certificate import Identity
    from signaling.lan import CERTIFICATE

    own = config.tls_cert is None
    path = config.tls_cert or config.state_dir / CERTIFICATE
    if own and not path.exists():
        return [Finding("certificate", "The relay makes one when it starts.")]
    try:
        identity = Identity(path, config.tls_key)
    except ConfigError as exc:
        do = "Delete it: the relay makes a new one." if own else "Check --tls-cert and --tls-key."
        return [Finding("certificate", str(exc), do, grave=not own)]
    left = identity.ends - datetime.now(UTC)
    says = f"For {', '.join(identity.names) or 'no name at all'}; it ends on {identity.ends.date()}."
    if own or left > SOON:
        return [Finding("certificate", says)]
    over = left <= timedelta(0)
    do = "Renew it now: browsers refuse it." if over else "Renew it; the relay reads new files without a restart."
    return [Finding("certificate", says, do, grave=over)]


async def state(config: Config) -> list[Finding]:
    """Can files be kept where they are to be?"""
    if not config.lan:
        return []
    place = next(folder for folder in _and_above(config.state_dir) if folder.exists())
    if os.access(place, os.W_OK | os.X_OK):
        return [Finding("state", f"{config.state_dir} can be written.")]
    do = "Name another directory with --state-dir, or give this one to the relay's user."
    return [Finding("state", f"{config.state_dir} cannot be written.", do, grave=True)]


def _and_above(folder: Path) -> Iterable[Path]:
    folder = folder.absolute()
    return (folder, *folder.parents)
