"""The relay for the phones in the same room: this machine's addresses there, and what is kept for them in the state
directory, a certificate of our own and an access token.

Both outlive the process, so that a bookmark works, and a browser that was told to trust the certificate still does.
"""

import contextlib
import ipaddress
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import ifaddr

from relay import values
from relay.config import WILDCARDS, Config, ConfigError
from relay.values import Secret
from signaling import certificate
from signaling.certificate import Identity

TOKEN_BYTES: Final = 16  # as hex, whose ends no terminal or phone takes for punctuation
RENEW: Final = timedelta(days=30)  # before its end
MAX_NAMES: Final = 32  # in one certificate: those of the networks where this machine was before are kept in it
ALWAYS: Final = ("localhost", "127.0.0.1", "::1")

CERTIFICATE: Final = "lan.pem"  # key and certificate in one file, so that one can never be another's
TOKEN: Final = "access-token"

# Adapters behind which no phone is: containers and virtual machines, then tunnels.
_VIRTUAL: Final = re.compile(r"docker|br-|veth|virbr|vmnet|vboxnet|lxc|lxd|podman|cni|flannel|cali", re.IGNORECASE)
_TUNNEL: Final = re.compile(r"tun|tap|utun|wg|ppp|tailscale|zt|ipsec", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SOMEWHERE: Final = ("192.0.2.1", 9)  # an address for documents (RFC 5737); no packet goes there


def addresses(host: str) -> tuple[str, ...]:
    """Where phones reach what listens on `host`, the likeliest first; empty where there is no network."""
    if host not in WILDCARDS:
        return (host,)
    found = [
        (adapter.nice_name or adapter.name, ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]
    return ranked(found, _default_address())


def ranked(found: Sequence[tuple[str, str]], default: str) -> tuple[str, ...]:
    """Of (adapter, address) those worth a try: a real adapter's first, the one with the way out before the others.

    IPv6 only where there is no IPv4: its addresses are long, and change from day to day.
    """
    usable = [(adapter, address) for adapter, address in found if _reaches_the_room(address)]
    if any("." in address for _, address in usable):
        usable = [(adapter, address) for adapter, address in usable if "." in address]

    def rank(one: tuple[str, str]) -> tuple[bool, bool, bool, bool]:
        adapter, address = one
        private = ipaddress.ip_address(address).is_private
        return bool(_VIRTUAL.match(adapter)), bool(_TUNNEL.match(adapter)), address != default, not private

    return tuple(dict.fromkeys(address for _, address in sorted(usable, key=rank)))


def _reaches_the_room(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast)


def _default_address() -> str:
    """What this machine would send from, to anywhere; empty if it has no way out. Connecting UDP sends nothing."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_SOMEWHERE)
        return str(probe.getsockname()[0])
    return ""


def host_names(name: str) -> tuple[str, ...]:
    """Under which names a network may know this machine, whose own word for itself is `name`."""
    first = name.lower().partition(".")[0]
    if first == "localhost" or not _LABEL.fullmatch(first):
        return ()
    return (first, f"{first}.local")


def settled(config: Config) -> Config:
    """With an access token: the owner's, else ours, which is made once. ``ConfigError`` if it cannot be kept."""
    if config.access_token is not None:
        return config
    return replace(config, access_token=access_token(config.state_dir))


def access_token(folder: Path) -> Secret:
    """The token that is kept in `folder`, or a new one."""
    path = folder / TOKEN
    text = _kept(path)
    if text is None:
        text = secrets.token_hex(TOKEN_BYTES).encode()
        _keep(path, text + b"\n")
    try:
        return values.token(text.decode("ascii").strip())
    except ValueError:
        raise ConfigError(f"{path} holds no access token; delete it to get a new one.") from None


def identity(folder: Path, found: Collection[str], now: datetime) -> Identity:
    """Our certificate, kept in `folder`, good for the addresses in `found`: the one that is there, or a new one."""
    path = folder / CERTIFICATE
    earlier: tuple[str, ...] = ()
    if _kept(path) is not None:
        with contextlib.suppress(ConfigError):  # no certificate any more: a new one then
            kept = Identity(path)
            if serves(kept, found, now):
                return kept
            earlier = kept.names
    names = tuple(dict.fromkeys((*_needed(found), *earlier)))[:MAX_NAMES]
    _keep(path, certificate.make(names, now))
    return Identity(path)


def serves(identity: Identity, found: Collection[str], now: datetime) -> bool:
    """Does that certificate hold those addresses, and for a while yet?"""
    return set(_needed(found)) <= set(identity.names) and now < identity.ends - RENEW


def _needed(found: Collection[str]) -> tuple[str, ...]:
    return (*ALWAYS, *host_names(socket.gethostname()), *found)


def _kept(path: Path) -> bytes | None:
    """What is in that file, which from now on only its owner reads; None if there is none."""
    try:
        if path.stat().st_mode & 0o077 and os.name == "posix":
            path.chmod(0o600)
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.") from None


def _keep(path: Path, content: bytes) -> None:
    """Write it whole or not at all, for its owner alone."""
    temporary = ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600 from the start
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as exc:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigError(
            f"{path} cannot be written: {exc.strerror}; name another directory with --state-dir."
        ) from None
