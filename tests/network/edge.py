"""A bad network at the edge of a caller: between its aiortc and its sockets. It needs no rights and no namespaces.

async with edge(caller) as (up, down):
    up.trouble = Trouble(loss=0.10)
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.caller import Caller
from tests.netem import OVERHEAD_BYTES
from tests.network.way import Way


class _Edge(asyncio.DatagramProtocol):
    """To the socket it is the protocol, to aioice it is the transport."""

    def __init__(self, stun: Any, up: Way, down: Way) -> None:
        self._stun, self._up, self._down = stun, up, down
        self._transport: Any = stun.transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._down.carry(len(data) + OVERHEAD_BYTES, self._stun.datagram_received, data, addr)

    def error_received(self, exc: Exception) -> None:
        self._stun.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stun.connection_lost(exc)

    def sendto(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._up.carry(len(data) + OVERHEAD_BYTES, self._send, data, addr)

    def _send(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, addr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@contextlib.asynccontextmanager
async def edge(caller: Caller, seed: int = 1) -> AsyncIterator[tuple[Way, Way]]:
    """The ways of a caller, up to the relay and down from it, clean at first and again at the end; dial before."""
    up, down = Way(seed), Way(seed + 1)
    transceiver: Any = caller.peer.getTransceivers()[0]
    protocols: list[Any] = list(transceiver.receiver.transport.transport._connection._protocols)
    transports = [protocol.transport for protocol in protocols]
    for protocol, transport in zip(protocols, transports, strict=True):
        put = _Edge(protocol, up, down)
        transport.set_protocol(put)
        protocol.transport = put
    try:
        yield up, down
    finally:
        for way in (up, down):
            way.close()
        for protocol, transport in zip(protocols, transports, strict=True):
            transport.set_protocol(protocol)
            protocol.transport = transport
