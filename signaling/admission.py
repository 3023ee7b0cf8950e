"""May this caller come in? Host, origin, access token, and how often; `now` is an argument (no I/O here).

Every question raises `BrowserFault` for no and returns for yes. The threats are those of a server on somebody's
own machine: a foreign page that drives it, a name that is rebound to it, a stranger who spends its owner's key.
"""

import hmac
import ipaddress
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from relay.config import WILDCARDS
from relay.errors import BrowserFault
from relay.values import Network, Secret

STARTS_PER_MINUTE: Final = 6  # per address off loopback; a person redials, a script is slowed
START_BURST: Final = 3
START_SECONDS: Final = 60 / STARTS_PER_MINUTE
MAX_ADDRESSES: Final = 4096  # remembered for the rate; about 0.5 MiB; the longest unseen is forgotten first
MAX_FORWARDED: Final = 32  # hops read from the right; longer chains are nobody's
IPV6_PREFIX: Final = 64  # one household, one bucket

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner allows; made once from the configuration."""

    host: str  # what the server is bound to
    public_url: str = ""  # an origin
    allow_origins: frozenset[str] = frozenset()
    access_token: Secret | None = None
    trusted_proxies: tuple[Network, ...] = ()
    names: Callable[[], Collection[str]] = frozenset  # more names of ours: those in our certificate, which is renewed
    secure: bool = False  # our own pages come over HTTPS


class Admission:
    """The doorkeeper. Order for a request: `host`, `origin`, and for what costs money `token` and `start`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._public = urlsplit(policy.public_url)
        self._booked: dict[str, float] = {}

    def host(self, header: str | None, local: str) -> None:
        """Is this `Host` a name of ours? `local` is the address the connection came in on.

        A rebound name (DNS rebinding) reaches us with the attacker's name in `Host`, so unknown names are refused;
        an address literal cannot be rebound, but only the literals we listen on are ours.
        """
        name, _ = authority(header or "")
        if name and (name in LOOPBACK_NAMES or name in (self._policy.host, self._public.hostname)):
            return
        if name in self._policy.names():
            return
        if name and self._policy.host in WILDCARDS and name == _plain(local):
            return
        raise BrowserFault("host-refused", header or "no Host")

    def origin(self, origin: str | None, host: str) -> bool:
        """Is this page ours, or another's that the owner named? True when it is foreign and named: CORS applies.

        No `Origin` is fine: browsers always send one where it matters, native clients never do. Call after `host`:
        a page of our own is one that has the same scheme, name and port as the `Host` that passed there.
        """
        if origin is None:
            return False
        if origin in self._own_origins(host):
            return False
        if origin in self._policy.allow_origins:
            return True
        raise BrowserFault("origin-refused", origin)

    def _own_origins(self, host: str) -> set[str]:
        own = {self._policy.public_url} if self._policy.public_url else set()
        here = host.strip().lower()
        if here != self._public.netloc:  # under the public name only the public scheme is ours
            own.add(
                f"https://{here.removesuffix(':443')}" if self._policy.secure else f"http://{here.removesuffix(':80')}"
            )
        return own

    def token(self, authorization: str | None) -> None:
        """Does `Authorization` carry the access token, if there is one? Compared in constant time."""
        wanted = self._policy.access_token
        if wanted is None:
            return
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise BrowserFault("token-missing")
        # bytes, because compare_digest refuses text beyond ASCII
        if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), wanted.reveal().encode()):
            raise BrowserFault("token-wrong")

    def token_refusal(self, authorization: str | None) -> BrowserFault | None:
        """The same as an answer, for whoever may show something else instead."""
        try:
            self.token(authorization)
        except BrowserFault as fault:
            return fault
        return None

    def start(self, address: str, now: float) -> None:
        """Count one start from `address`; raises ``too-many-starts`` with the seconds to wait.

        Calls from this machine are not counted, unless a public address says that a proxy sits here.
        """
        key = _household(address)
        if key is None and not self._policy.public_url:
            return
        key = key or "loopback"
        # each start books `START_SECONDS` of the future; the burst is how far ahead it may be booked
        booked = max(self._booked.pop(key, now), now)
        ahead = booked - now - (START_BURST - 1) * START_SECONDS
        granted = ahead <= 0
        self._booked[key] = booked + START_SECONDS if granted else booked  # at the end: the order is by last use
        if len(self._booked) > MAX_ADDRESSES:
            del self._booked[next(iter(self._booked))]
        if not granted:
            raise BrowserFault("too-many-starts", retry_after=math.ceil(ahead))

    def trusts(self, peer: str) -> bool:
        """Is the other end of this connection one of the owner's proxies?"""
        try:
            address = ipaddress.ip_address(_plain(peer))
        except ValueError:
            return False
        return any(address in network for network in self._policy.trusted_proxies)

    def client_address(self, peer: str, x_forwarded_for: Sequence[str], forwarded: Sequence[str]) -> str:
        """Who really calls: `peer`, or what trusted proxies say of it, the rightmost address that is not theirs.

        With both kinds of header telling different stories neither is believed: a proxy writes one of them and
        passes the other on as the caller sent it.
        """
        if not self.trusts(peer):
            return _plain(peer)
        stories = [
            self._rightmost_untrusted(peer, hops)
            for hops in (_elements(x_forwarded_for), _for_members(_elements(forwarded)))
            if hops
        ]
        return stories[0] if stories and len(set(stories)) == 1 else _plain(peer)

    def _rightmost_untrusted(self, peer: str, hops: list[str]) -> str:
        address = _plain(peer)
        for hop in reversed(hops[-MAX_FORWARDED:]):
            name, _ = authority(hop)
            try:
                ipaddress.ip_address(name)
            except ValueError:
                break  # "unknown" or hidden: the proxy that wrote it is the last address we know
            address = _plain(name)
            if not self.trusts(address):
                break
        return address


def authority(text: str) -> tuple[str, str]:
    """Name and port of `name:port`, `[v6]:port` or a bare address; an empty name when it is none of them."""
    text = text.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        valid = bracket and ":" in name and (not rest or rest.startswith(":"))
    elif text.count(":") > 1:
        name, port, valid = text, "", True
    else:
        name, _, port = text.partition(":")
        valid = bool(name)
    if not valid or (port and not (port.isascii() and port.isdigit() and len(port) <= 5)):
        return "", ""
    return _plain(name), port


def bracketed(name: str) -> str:
    """A name or an address as it stands in a URL."""
    return f"[{name}]" if ":" in name else name


def _plain(address: str) -> str:
    """One spelling per address: IPv4 in IPv6 is IPv4, no zone; other text is left as it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(parsed)


def _household(address: str) -> str | None:
    """Who shares one rate: an IPv4 address, an IPv6 /64, or None for loopback."""
    try:
        parsed = ipaddress.ip_address(_plain(address))
    except ValueError:
        return "unknown"
    if parsed.is_loopback:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX), strict=False))
    return str(parsed)


def _elements(headers: Iterable[str]) -> list[str]:
    return [element.strip() for header in headers for element in header.split(",") if element.strip()]


def _for_members(elements: Iterable[str]) -> list[str]:
    """The `for=` of each element of `Forwarded` (RFC 7239); an element without one counts as unknown."""
    members = []
    for element in elements:
        pairs = (pair.partition("=") for pair in element.split(";"))
        members.append(next((v.strip().strip('"') for k, _, v in pairs if k.strip().lower() == "for"), "unknown"))
    return members
