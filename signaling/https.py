"""HTTPS: whose certificate, at which addresses, and the plain port that leads there."""

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from relay.config import Config, ConfigError, is_loopback
from signaling import lan
from signaling.admission import authority, bracketed
from signaling.certificate import Identity

LOOK_SECONDS: Final = 30.0  # between two looks at this machine's addresses and its certificate
HTTPS_PORT: Final = 443  # which addresses leave out

log = logging.getLogger(__name__)


class Https:
    """Who the relay is over HTTPS, and where it listens for it."""

    def __init__(self, config: Config, port: int) -> None:
        """``ConfigError`` for a certificate that cannot be used. `port` is the real one."""
        self._config = config
        self._port = port
        self.addresses = lan.addresses(config.host)
        self.identity = self._identify()
        self._stamp = self._written()
        if config.lan and (public := [one for one in self.addresses if is_public(one)]):
            log.warning("--lan: %s is reached from everywhere, and the token alone keeps strangers out", public[0])

    @property
    def names(self) -> frozenset[str]:
        """Names and addresses that are ours, because the certificate says so."""
        return frozenset(self.identity.names)

    @property
    def name(self) -> str:
        """What others call us: an address of the certificate, else a name of it, else an address all the same."""
        named = [address for address in self.addresses if address in self.names]
        owners = self.identity.names if self._config.tls_cert is not None and not named else ()
        hosts = [name for name in owners if not is_loopback(name) or self._config.loopback]
        return next(iter((*named, *hosts, *self.addresses)), "localhost")

    @property
    def base(self) -> str:
        """The relay's address, without a slash at its end."""
        return self.at(bracketed(self.name))

    @property
    def others(self) -> tuple[str, ...]:
        """The same by the other addresses of this machine."""
        return tuple(self.at(bracketed(one)) for one in self.addresses if one not in (self.name, *lan.ALWAYS))

    def at(self, host: str) -> str:
        """The same by another name, an IPv6 address in brackets."""
        return f"https://{host}" if self._port == HTTPS_PORT else f"https://{host}:{self._port}"

    def look(self) -> bool:
        """Have address or certificate changed? What is new is used from now on."""
        # without a network for a moment, the last one's are the best guess
        found = lan.addresses(self._config.host) or self.addresses
        before = (self.addresses, self.identity.fingerprint)
        try:
            if self._config.tls_cert is None:
                if not lan.serves(self.identity, found, now := datetime.now(UTC)):
                    lan.identity(self._config.state_dir, found, now)
                    self.identity.load()  # into the context that serves
            elif (stamp := self._written()) != self._stamp:
                self.identity.load()
                self._stamp = stamp
        except ConfigError as exc:
            log.warning("%s The certificate that there was goes on serving.", exc)
            return False
        self.addresses = found
        return before != (self.addresses, self.identity.fingerprint)

    def _identify(self) -> Identity:
        if self._config.tls_cert is None:
            return lan.identity(self._config.state_dir, self.addresses, datetime.now(UTC))
        identity = Identity(self._config.tls_cert, self._config.tls_key)
        if identity.over():
            log.warning("the certificate in %s ended on %s", self._config.tls_cert, identity.ends.date())
        return identity

    def _written(self) -> tuple[int, ...]:
        files = filter(None, (self._config.tls_cert, self._config.tls_key))
        with contextlib.suppress(OSError):
            return tuple(file.stat().st_mtime_ns for file in files)
        return ()


def is_public(address: str) -> bool:
    """Is it an address of the whole Internet? A name is none."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def secure_url(config: Config, https: Https | None) -> str:
    """Where others reach the relay over HTTPS, without a slash at its end; empty if nowhere."""
    if config.public_url.startswith("https:"):
        return config.public_url
    return https.base if https is not None and not is_loopback(https.name) else ""


@contextlib.asynccontextmanager
async def watching(https: Https, changed: Callable[[], None]) -> AsyncIterator[None]:
    """Call `changed` whenever the relay has another address or another certificate, while the block runs."""

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if https.look():
                    changed()
            except Exception:  # the next look may go well, and a task's own end would be told by nobody
                log.exception("a look at addresses and certificate failed")

    task = asyncio.create_task(look(), name="watching the certificate")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def redirect(https: Https) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of every path of the plain port: the same on HTTPS. A browser takes the fragment along.

    Not for ever (RFC 9110 §15.4.8), because browsers would remember that when `--lan` is long gone.
    """

    async def lead(request: web.Request) -> web.Response:
        name, _ = authority(request.headers.get("Host", ""))
        to = https.at(bracketed(name)) + request.raw_path
        text = f"The microphone needs HTTPS: open {https.at(bracketed(name))}/ with the token behind it.\n"
        return web.Response(status=307, headers={"Location": to}, text=text)

    return lead
