"""The wire between two namespaces: every IP packet passes a `Way` of its direction.

async with wire() as line:
    …                               # processes start in line.near and line.far
    line.down.trouble = Trouble(loss=0.10)
    line.up.trouble = line.down.trouble = DARK
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from tests.network.namespace import MTU, Namespace
from tests.network.way import Way

NEAR, FAR = "10.99.0.1", "10.99.0.2"
AT_ONCE: Final = 64  # packets taken at one wake-up, so that a flood leaves the loop some air
_IPV4: Final = 4  # the version of what is carried; for IPv6 there is no address to go to here


@dataclass(frozen=True, slots=True)
class Line:
    """Two namespaces and the wire between them: `near` is the browser's, `far` the relay's, `up` leads to `far`."""

    near: Namespace
    far: Namespace
    up: Way
    down: Way


@contextlib.asynccontextmanager
async def wire(seed: int = 1, near_at: str = NEAR, far_at: str = FAR) -> AsyncIterator[Line]:
    """Two new namespaces and a clean wire between them; raises `OSError` where none can be made."""
    with contextlib.ExitStack() as stack:
        near, far = (stack.enter_context(contextlib.closing(Namespace(address))) for address in (near_at, far_at))
        up, down = (stack.enter_context(contextlib.closing(Way(dice))) for dice in (seed, seed + 1))
        loop = asyncio.get_running_loop()
        for source, way, sink in ((near.tun, up, far.tun), (far.tun, down, near.tun)):
            loop.add_reader(source, _carry, source, way, sink)
            stack.callback(loop.remove_reader, source)
        yield Line(near, far, up, down)


def _carry(source: int, way: Way, sink: int) -> None:
    with contextlib.suppress(BlockingIOError):
        for _ in range(AT_ONCE):
            packet = os.read(source, MTU)
            if packet[0] >> 4 == _IPV4 and not way.bars(packet) and (packet := way.through(packet)):
                way.carry(len(packet), _give, sink, packet)


def _give(sink: int, packet: bytes) -> None:
    with contextlib.suppress(BlockingIOError):  # its queue is full, as a network card's may be
        os.write(sink, packet)
