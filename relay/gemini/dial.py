"""From an address to a connected TCP socket, and the TLS trust for it. Whoever calls owns the socket."""

import asyncio
import os
import socket
import ssl
from functools import lru_cache
from typing import Final

ADDRESS_DEADLINE: Final = 3.0  # seconds for one of a host's addresses before the next is tried
UNSENT_IN_KERNEL: Final = 16 * 1024  # bytes the kernel takes ahead of the network; the rest we can see and bound
# Milliseconds that what was sent may stay unacknowledged before the connection is dead (RFC 5482; Linux has it). We
# send all the time, and without this the kernel goes on for a quarter of an hour. It counts from its first repetition
# and looks when it repeats: a second later it is noticed, within ten of the loss.
UNACKNOWLEDGED_MS: Final = 8_500


async def dial(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket; tries each address in turn. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError(f"{len(addresses)} addresses")
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
            async with asyncio.timeout(ADDRESS_DEADLINE):
                await loop.sock_connect(sock, address)
        except OSError as error:  # TimeoutError is one too
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def tls_context() -> ssl.SSLContext:
    """Certificates and host names are verified, against SSL_CERT_FILE and SSL_CERT_DIR where they are set.

    Reading the bundle takes about 0.1 s, so it is done once, in a thread.
    """
    return await asyncio.to_thread(_context, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return ssl.create_default_context()
