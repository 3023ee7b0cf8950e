"""How long a packet of sound takes to an echo and back, directly and over a TURN server; a process of a namespace.

python -m tests.network.echo 10.99.0.9    prints the median round trips in ms as JSON, by transport
"""

import asyncio
import json
import ssl
import statistics
import sys
import time
from typing import Any, Final

import uvloop
from aioice import turn

from relay.turn_server import TurnServer
from relay.values import Secret
from tests.network.turn import PORT, SECRET, TLS_PORT

PACKETS: Final = 100
FIRST: Final = 5  # of them bind the channel, and are not counted
PACKET_BYTES: Final = 120  # of 20 ms of Opus with its SRTP
APART_SECONDS: Final = 0.01
LOST_SECONDS: Final = 1.0


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(data, addr)


class Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[float] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.came.put_nowait(time.perf_counter())


async def round_trip(transport: Any, asker: Asker, echo: Any) -> float:
    """The median, ms."""
    took = []
    for _ in range(FIRST + PACKETS):
        began = time.perf_counter()
        transport.sendto(bytes(PACKET_BYTES), echo)
        took.append(1000 * (await asyncio.wait_for(asker.came.get(), LOST_SECONDS) - began))
        await asyncio.sleep(APART_SECONDS)
    return statistics.median(took[FIRST:])


async def main(address: str) -> None:
    loop = asyncio.get_running_loop()
    answering, _ = await loop.create_datagram_endpoint(Echo, local_addr=(address, 0))
    echo = answering.get_extra_info("sockname")
    direct, asker = await loop.create_datagram_endpoint(Asker, local_addr=(address, 0))
    told = {"direct": await round_trip(direct, asker, echo)}
    account = TurnServer((), Secret(SECRET)).server("echo", time.time()).told()
    trust = ssl.create_default_context()
    for name, port, by, tls in (
        ("udp", PORT, "udp", None),
        ("tcp", PORT, "tcp", None),
        ("tls", TLS_PORT, "tcp", trust),
    ):
        lent, asker = await turn.create_turn_endpoint(
            Asker, (address, port), account["username"], account["credential"], ssl=tls, transport=by
        )
        told[name] = await round_trip(lent, asker, echo)
        lent.close()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
