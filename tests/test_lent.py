"""An address that a real TURN server lends us: for how long, and for whom it goes on passing what comes there."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from aioice import stun, turn

from relay.turn_server import CREDENTIAL_SECONDS, TurnServer
from relay.values import Secret
from relay.webrtc import tame
from relay.webrtc.reach import OUR_NAME
from tests.network.turn import SECRET, Coturn, Here, coturn

# A server on which everything lasts a hundredth of what it lasts elsewhere.
LENT_SECONDS, PERMITTED_SECONDS, BOUND_SECONDS = 4, 2, 4
SHORT: Final = (
    f"--max-allocate-lifetime={LENT_SECONDS}",
    f"--permission-lifetime={PERMITTED_SECONDS}",
    f"--channel-lifetime={BOUND_SECONDS}",
    "--allow-loopback-peers",
)
GOOD_SECONDS: Final = 2  # for a credential
CALL_SECONDS: Final = 9.0  # two renewals of everything, and more
APART_SECONDS: Final = 0.25
LOST_SECONDS: Final = 2.0
PERMISSION_SECONDS: Final = 300  # RFC 8656 §9


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(data, addr)


class Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Coturn]:
    ports = []
    for _ in range(2):
        with socket.create_server((Here.address, 0)) as sock:
            ports.append(int(sock.getsockname()[1]))
    async with coturn(Here(), tmp_path, *SHORT, ports=(ports[0], ports[1])) as started:
        yield started


async def lent(server: Coturn, account: dict[str, Any]) -> tuple[Any, Ear]:
    return await turn.create_turn_endpoint(
        Ear, (server.address, server.port), username=account["username"], password=account["credential"]
    )


async def test_a_call_over_a_lent_address_goes_on_when_its_credential_has_ended_and_the_server_wants_renewals(
    server: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "create_turn_endpoint", turn.create_turn_endpoint)
    tame.hold_permissions(PERMITTED_SECONDS * tame.PERMISSION_SECONDS / PERMISSION_SECONDS)
    ends = time.time() + GOOD_SECONDS
    account = TurnServer((), Secret(SECRET)).server(OUR_NAME, ends - CREDENTIAL_SECONDS).told()
    echoing, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=(server.address, 0))
    transport, ear = await lent(server, account)
    try:
        began = time.time()
        while (now := time.time()) < began + CALL_SECONDS:
            said = f"{now - began:.2f} s".encode()
            transport.sendto(said, echoing.get_extra_info("sockname"))
            assert await asyncio.wait_for(ear.heard.get(), LOST_SECONDS) == said
            await asyncio.sleep(APART_SECONDS)
        with pytest.raises(stun.TransactionFailed) as refused:
            await lent(server, account)
        assert refused.value.response.error_code == 401
    finally:
        transport.close()
        await asyncio.wait_for(ear.gone.wait(), LOST_SECONDS)
        echoing.close()


def test_a_permission_is_renewed_while_it_lasts() -> None:
    assert tame.PERMISSION_SECONDS < 0.9 * PERMISSION_SECONDS
