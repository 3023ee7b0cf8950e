"""What the settings of the media's way must look like: addresses to answer with, STUN and TURN servers."""

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from relay import values

MAX_ICE_SERVERS: Final = 8  # browsers warn from five on: each one delays the gathering
MAX_CREDENTIAL_CHARS: Final = 508  # bytes that RFC 8489 §14.3 allows a username; time-limited ones have about 60
_SECRET: Final = re.compile(r"[!-~]{8,256}")
_URL: Final = re.compile(r"(stuns?|turns?):([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]+))?(?:\?transport=(udp|tcp))?")


def address(text: str) -> str:
    try:
        found = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError("must be an IP address of this machine") from None
    if found.is_unspecified or found.is_multicast:
        raise ValueError("must be one address of this machine, not a wildcard or multicast address")
    return str(found)


def public_address(text: str) -> str:
    try:
        found = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError("must be an IP address") from None
    if found.is_unspecified or found.is_multicast or found.is_loopback:
        raise ValueError("must be an address that others can send to")
    return str(found)


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server; `username` and `credential` are TURN's."""

    urls: tuple[str, ...]
    username: str = ""
    credential: values.Secret | None = None

    def told(self) -> dict[str, Any]:
        """As an `RTCIceServer` in JSON. `urls` is a list also for one, and nothing is null: some clients insist."""
        told: dict[str, Any] = {"urls": list(self.urls)}
        if self.credential is not None:
            told |= {"username": self.username, "credential": self.credential.reveal()}
        return told


def servers(text: str) -> tuple[IceServer, ...]:
    """URLs separated by commas, or JSON: one object of `urls`, `username` and `credential`, or a list of these."""
    if not text.lstrip().startswith(("[", "{")):
        listed = [IceServer((_url(part.strip()),)) for part in text.split(",")]
    else:
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("must be URLs separated by commas, or JSON") from None
        listed = [_server(one) for one in (read if isinstance(read, list) else [read])]
    if len(listed) > MAX_ICE_SERVERS:
        raise ValueError(f"must be at most {MAX_ICE_SERVERS} servers")
    for server in listed:
        if any(url.startswith("turn") for url in server.urls) and server.credential is None:
            raise ValueError("must give each TURN server a username and a credential, in JSON")
    return tuple(listed)


def turn(text: str) -> str:
    """The URL of one TURN server, whose credentials we make; without a transport it stands for both."""
    if not text.startswith(("turn:", "turns:")):
        raise ValueError("must be a TURN server's URL such as turn:turn.example.org or turns:turn.example.org:443")
    return _url(text)


def turn_secret(text: str) -> values.Secret:
    if not _SECRET.fullmatch(text):
        raise ValueError("must be 8 to 256 printable characters without spaces")
    return values.Secret(text)


def by_each_transport(url: str) -> tuple[str, ...]:
    """The same server by each transport that its URL leaves open: a firewall may pass the one and not the other."""
    if url.startswith("turns:") or "?" in url:
        return (url,)
    return tuple(f"{url}?transport={transport}" for transport in ("udp", "tcp"))


def _server(read: Any) -> IceServer:
    known = {"urls", "username", "credential", "credentialType"}
    if isinstance(read, str):
        return IceServer((_url(read),))
    if not isinstance(read, dict) or not read.keys() <= known or read.get("credentialType", "password") != "password":
        raise ValueError("must hold objects of urls, username and credential")
    urls = read.get("urls")
    urls = [urls] if isinstance(urls, str) else urls
    if not isinstance(urls, list) or not 0 < len(urls) <= MAX_ICE_SERVERS:
        raise ValueError("must hold a URL, or a short list of them, as each server's urls")
    locators = tuple(map(_url, urls))
    if read.get("username") is None and read.get("credential") is None:
        return IceServer(locators)
    return IceServer(locators, _account(read.get("username")), values.Secret(_account(read.get("credential"))))


def _account(text: Any) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= MAX_CREDENTIAL_CHARS:
        raise ValueError(f"must hold a username and a credential of 1 to {MAX_CREDENTIAL_CHARS} characters, or neither")
    return text


def _url(text: Any) -> str:
    """RFC 7064 and RFC 7065, which know neither `//` nor users."""
    match = _URL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must hold URLs such as stun:stun.example.org:3478 or turn:turn.example.org?transport=udp")
    scheme, name, number, transport = match.groups()
    values.host(name)
    if number is not None:
        values.port(number)
    if transport is not None and scheme.startswith("stun"):
        raise ValueError("must hold no transport in a STUN server's URL")
    return str(text)
