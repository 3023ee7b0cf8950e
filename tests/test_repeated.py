"""What the network brings twice is no attack: SRTP lets each packet in once, and the second counts as a duplicate."""

import asyncio
from typing import Any, Final

from relay.metrics import CallFigures
from tests.test_peer import Call, call

WANTED: Final = 20


def double(line: Call) -> None:
    """From now on each datagram of the browser's comes twice."""
    ice: Any = line.browser.getSenders()[0].transport.transport
    once = ice._send

    async def twice(data: bytes) -> None:
        await once(data)
        await once(data)

    ice._send = twice


def counted(line: Call) -> CallFigures:
    figures = CallFigures()
    figures.add_line(line.peer.line.gate, line.peer.line.rejected)
    return figures


async def test_a_packet_that_comes_twice_is_heard_once_and_counts_as_a_duplicate_and_a_report_for_nothing() -> None:
    async with call() as line:
        await line.connect()
        await asyncio.wait_for(line.owner.heard.wait(), 5)
        double(line)
        async with asyncio.timeout(10):
            while counted(line).packets_in["duplicate"] < WANTED or not line.owner.reports:
                line.peer.send_rtp(b"\xd8\xff\xfe", 0, False, False)
                await asyncio.sleep(0.05)
        sequences = [sequence for sequence, *_ in line.owner.rtp]
        assert len(sequences) == len(set(sequences))
        assert not any(counted(line).dropped.values())
