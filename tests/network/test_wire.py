"""The wire between two namespaces carries, drops, delays and goes dark as it is told."""

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Final, cast

from tests.netem import Trouble
from tests.network.namespace import Namespace
from tests.network.way import DARK
from tests.network.wire import FAR, NEAR, Line, wire

PORT: Final = 5000
MANY: Final = 100  # few enough for a socket's buffer


def bound(namespace: Namespace) -> socket.socket:
    def bind() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind((namespace.address, PORT))
        return made

    return namespace.within(bind)


async def arrivals(line: Line, trouble: Trouble) -> list[int]:
    """Which of `MANY` datagrams arrive at the far end."""
    line.up.trouble = trouble
    with bound(line.near) as near, bound(line.far) as far:
        for number in range(MANY):
            near.sendto(bytes([number]), (FAR, PORT))
        await asyncio.sleep(0.2)
        came = []
        try:
            while True:
                came.append(far.recv(1)[0])
        except BlockingIOError:
            return came


async def test_a_clean_wire_carries_everything_in_order_and_a_dark_one_nothing() -> None:
    async with wire() as line:
        assert await arrivals(line, Trouble()) == [*range(MANY)]
        assert await arrivals(line, DARK) == []


async def test_the_same_seed_loses_the_same_packets() -> None:
    async with wire(seed=3) as line:
        first = await arrivals(line, Trouble(loss=0.2))
        assert 0.1 * MANY < MANY - len(first) < 0.3 * MANY
        assert await arrivals(line, Trouble(loss=0.2)) == first


async def received(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    """The next datagram, and where it came from."""
    loop = asyncio.get_running_loop()
    there = loop.create_future()
    loop.add_reader(sock, there.set_result, None)
    try:
        async with asyncio.timeout(5):
            await there
    finally:
        loop.remove_reader(sock)
    return cast(tuple[bytes, tuple[str, int]], sock.recvfrom(9))


async def test_each_direction_has_a_delay_of_its_own() -> None:
    async with wire() as line:
        line.up.trouble, line.down.trouble = Trouble(delay=0.050), Trouble(delay=0.100)
        began = time.monotonic()
        with bound(line.near) as near, bound(line.far) as far:
            near.sendto(b"ping", (FAR, PORT))
            assert await received(far) == (b"ping", (NEAR, PORT))
            there = time.monotonic() - began
            far.sendto(b"pong", (NEAR, PORT))
            await received(near)
            back = time.monotonic() - began - there
        # loop timers round to a millisecond
        assert 0.049 <= there < 0.080
        assert 0.099 <= back < 0.130


def inodes() -> set[str]:
    """The network namespaces of all processes that we may see."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(link))
    return found


async def test_nothing_is_left_of_a_namespace_that_was_given_up() -> None:
    async with wire() as line:
        inside = os.readlink(f"/proc/self/fd/{line.near.fd}")
        process = await asyncio.create_subprocess_exec(*line.near.command("sleep", "60"))
        try:
            while inside not in inodes():
                await asyncio.sleep(0.01)
            assert inside != os.readlink("/proc/self/ns/net")
        finally:
            process.kill()
            await process.wait()
    assert inside not in inodes()
