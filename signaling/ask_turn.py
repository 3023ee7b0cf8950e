"""Asks one STUN server where it sees us, or one TURN server for an address, which is given back at once."""

import asyncio
import re
import ssl
from typing import Any, Final

from aioice import stun, turn

from relay.ice import IceServer

PORTS: Final = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}  # RFC 7064 §3.2, RFC 7065 §3.2
AGAIN_SECONDS: Final = 0.5  # between two requests (RFC 8489 §6.2.1)

_URL: Final = re.compile(r"(\w+):(\[[^]]+\]|[^:?]+)(?::(\d+))?(?:\?transport=(\w+))?")


async def ask(server: IceServer, url: str) -> str:
    """The address that it tells. Raises `OSError`, and `PermissionError` where it does not take our credentials.

    It waits for ever for one that does not answer.
    """
    match = _URL.fullmatch(url)
    assert match is not None, "relay.ice has checked it"
    scheme, host, number, transport = match.groups()
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host.strip("[]"), int(number or PORTS[scheme]))
    address: tuple[str, int] = found[0][4][:2]  # type: ignore[assignment]
    if scheme == "stun":
        return await _seen_at(address)
    if scheme == "stuns":
        return await _behind_tls(host.strip("[]"), address[1])
    secure = ssl.create_default_context() if scheme == "turns" else None
    way = transport or ("tcp" if secure else "udp")
    return await _lent(server, (host.strip("[]"), address[1]) if secure else address, way, secure)


class _Answer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.came.done():
            self.came.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.came.done():
            self.came.set_exception(exc)


async def _seen_at(address: tuple[str, int]) -> str:
    transport, answer = await asyncio.get_running_loop().create_datagram_endpoint(_Answer, remote_addr=address)
    request = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
    try:
        while not answer.came.done():
            transport.sendto(request)
            await asyncio.wait((answer.came,), timeout=AGAIN_SECONDS)
        told = stun.parse_message(answer.came.result()).attributes.get("XOR-MAPPED-ADDRESS")
    except ValueError:
        raise OSError("that is no STUN server") from None
    finally:
        answer.came.cancel()
        transport.close()
    if told is None:
        raise OSError("that is no STUN server")
    return str(told[0])


async def _behind_tls(host: str, port: int) -> str:
    """STUN over TLS is what no browser uses for ICE: that somebody is there will do."""
    _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    seen = str(writer.get_extra_info("sockname")[0])
    writer.close()
    await writer.wait_closed()
    return seen


class _Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()


async def _lent(server: IceServer, address: tuple[str, int], way: str, secure: ssl.SSLContext | None) -> str:
    password = server.credential.reveal() if server.credential is not None else None
    try:
        transport, ear = await turn.create_turn_endpoint(
            _Ear, address, username=server.username, password=password, ssl=secure, transport=way
        )
    except stun.TransactionFailed as refusal:
        if refusal.response.error_code in (401, 403, 441):
            raise PermissionError from None
        raise OSError(None, f"it answers {refusal.response.error_code}") from None
    except stun.TransactionTimeout:
        raise TimeoutError from None
    lent = str(transport.get_extra_info("sockname")[0])
    transport.close()
    await ear.gone.wait()
    return lent
