"""The sockets of the one port: one for each address of the machine, so that an answer leaves from where it was asked.

A wildcard socket would answer from whatever address the routing table likes. Which addresses there are is looked at
again when a call begins: a laptop changes its network while the relay runs.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import ifaddr

from relay.webrtc.port.lite import Route
from relay.webrtc.port.switchboard import Switchboard
from relay.webrtc.srtp import DATAGRAM_BYTES

# All calls wait in one buffer while the loop is busy: a tenth of a second of a hundred calls, and room for a flood.
# Linux grants what net.core.rmem_max says.
RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
SEND_BUFFER_BYTES: Final = 1024 * 1024
# A free port must be free on every address.
MAX_TRIES: Final = 20
# Which addresses the machine has costs half a millisecond to ask.
LOOK_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


def local_addresses(*, loopback: bool) -> list[str]:
    """The addresses of this machine's interfaces, the loopback's first if asked for; none that needs a zone."""
    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    old, new = (
        (ip for ip in found if isinstance(ip, str)),
        (ip[0] for ip in found if not isinstance(ip, str) and not ip[2]),
    )
    outside = [address for address in (*old, *new) if not ipaddress.ip_address(address).is_loopback]
    return (["127.0.0.1"] if loopback else []) + list(dict.fromkeys(outside))


class Called(Protocol):
    """A call behind the port."""

    def stray(self, data: bytes, route: Route) -> None:
        """A datagram of its own, or one that says so, from an address that is not known to be its browser's."""
        ...

    def vanished(self, local: "Socket") -> None:
        """That socket is closed, because the machine does not have its address any more."""
        ...

    def displaced(self, route: Route) -> None:
        """Another call has proven that an address of this one's is its own."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """Whose an address is, and what is to be called with each datagram from there, except STUN."""

    owner: Called
    take: Callable[[bytes], None]


class Socket(asyncio.DatagramProtocol):
    """One address of ours. `known` has the addresses that are proven to be a call's; the calls keep it.

    `sendto` takes bytes and an address; what cannot leave is lost, as it may be on the way.
    """

    sendto: Callable[[bytes, tuple[Any, ...]], object]

    def __init__(self, address: str, board: "Switchboard[Called]") -> None:
        self.address = address
        self.known: dict[tuple[Any, ...], Known] = {}
        self._board = board
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It listens."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.sendto = self._transport.sendto
        if hasattr(transport, "max_size"):  # asyncio's own, which would make room for 256 KiB each time
            transport.max_size = DATAGRAM_BYTES

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """One datagram."""
        if data and data[0] > 3:  # RFC 7983 §7: below is STUN, which says itself whose it is
            known = self.known.get(addr)
            if known is not None:
                known.take(data)
                return
        owner = self._board.find(data)
        if owner is not None:
            owner.stray(data, (self, addr))

    def close(self) -> None:
        """Idempotent."""
        if self._transport is not None:
            self._transport.close()
        self.known.clear()


class Port:
    """All sockets on one port number, and who is called there. Open it in the running loop; owes one `close`."""

    def __init__(self, number: int, public: Sequence[str] = ()) -> None:
        """`public` are the addresses under which others see ours of the same kind."""
        self.number = number
        self.board: Switchboard[Called] = Switchboard(secrets.token_bytes)
        self._public = list(public)
        self._sockets: dict[str, Socket] = {}
        self._look: Callable[[], Iterable[str]] | None = None
        self._looked = 0.0

    @classmethod
    async def open(
        cls, addresses: Iterable[str] | Callable[[], Iterable[str]], number: int = 0, public: Sequence[str] = ()
    ) -> "Port":
        """Listen on these addresses, or on those that a function finds, now and later; 0 takes a free number.

        Raises `OSError`, whose `filename` is the address that could not be had. Of addresses that were found the ones
        that are not ready to be used are left out; no address at all is an error.
        """
        wanted = list(addresses() if callable(addresses) else addresses)
        found = callable(addresses)
        for again in range(MAX_TRIES if not number else 1):
            port = cls(number, public)
            try:
                for address in wanted:
                    await port._listen(address, found=found)
            except OSError as error:
                port.close()
                if error.errno != errno.EADDRINUSE or number or again == MAX_TRIES - 1:
                    raise
            else:
                break
        if not port._sockets:
            raise OSError(errno.EADDRNOTAVAIL, "no address to listen on", ", ".join(wanted))
        if callable(addresses):
            port._look = addresses
            port._looked = asyncio.get_running_loop().time()
        return port

    async def candidates(self) -> list[str]:
        """The addresses to be told to a browser, the best first: instead of a kind of ours the public ones of it.

        Loopback ones, by which a browser on this machine finds us, are told anyway.
        """
        await self._look_again()
        kinds = {":" in address for address in self._public}
        ours = [one for one in self._sockets if (":" in one) not in kinds or one in ("127.0.0.1", "::1")]
        return self._public + ours

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return list(self._sockets)

    def close(self) -> None:
        """Idempotent."""
        for listening in self._sockets.values():
            listening.close()
        self._sockets.clear()

    async def _look_again(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._look is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        there = list(self._look())
        if not there:
            return
        for address in [address for address in self._sockets if address not in there]:
            gone = self._sockets.pop(address)
            gone.close()
            for call in self.board.calls:
                call.vanished(gone)
        for address in there:
            if address not in self._sockets:
                try:
                    await self._listen(address, found=True)
                except OSError as error:
                    log.warning("calls cannot come in at %s: %s", address, error.strerror)

    async def _listen(self, address: str, *, found: bool) -> None:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            for option, size in ((socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES), (socket.SO_SNDBUF, SEND_BUFFER_BYTES)):
                with contextlib.suppress(OSError):  # what the machine grants
                    sock.setsockopt(socket.SOL_SOCKET, option, size)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, self.number))
            listening = Socket(address, self.board)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: listening, sock=sock)
        except OSError as error:
            sock.close()
            # an IPv6 address that is still being tried out (RFC 4862 §5.4), or gone already
            if found and error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
                return
            raise OSError(error.errno, error.strerror, address) from None
        except BaseException:
            sock.close()
            raise
        self.number = sock.getsockname()[1]
        self._sockets[address] = listening
