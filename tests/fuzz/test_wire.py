"""Datagrams that anybody can send to a call's port, and packets that its own browser should not: no harm, no noise."""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

import pytest

from relay.webrtc.tame import BURST_REPORTS, MAX_DATAGRAM_BYTES, MAX_STREAMS
from tests.test_peer import Call, call

TIERS: Final = ("raw", "middle", "public")


def stun(kind: int, value: bytes) -> bytes:
    """A binding request with one attribute (RFC 8489 §14)."""
    attribute = struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
    return struct.pack("!HHI12s", 1, len(attribute), 0x2112A442, b"transaction.") + attribute


STRANGE: Final = {
    "nothing": b"",
    "a priority of three bytes": stun(0x24, b"abc"),
    "a fingerprint of one byte": stun(0x8028, b"a"),
    "a role of five bytes": stun(0x802A, b"abcde"),
    "a name that is no text": stun(0x06, b"\xff\xff"),
    "one byte of RTP": b"\x80",
    "sound too long for SRTP": b"\x80\x6f" + bytes(MAX_DATAGRAM_BYTES),
    "a report too long for SRTP": b"\x80\xc8" + bytes(MAX_DATAGRAM_BYTES),
    "a report of nobody's": b"\x80\xc8" + bytes(26),
    "a handshake that is none": b"\x16" + bytes(40),
}


@pytest.mark.parametrize("tier", TIERS)
async def test_no_datagram_of_a_strangers_ends_a_call_or_writes_into_the_log(
    tier: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with call(tier) as line:
        await line.connect()
        with caplog.at_level(logging.WARNING), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for datagram in STRANGE.values():
                stranger.sendto(datagram, ("127.0.0.1", port(line)))
            await asyncio.sleep(0.1)
        assert caplog.text == ""
        await still_heard(line)
        if line.peer.line.gate is not None:
            assert line.port is not None
            dropped = sum(line.port.board.dropped.values())
            assert dropped >= 5, "and each that nobody could read is counted"


def remb(count: int) -> bytes:
    """A wish for a lower bit rate on behalf of `count` streams, naming none of them."""
    return struct.pack("!BBHII4sBBH", 0x8F, 206, 4, 1, 0, b"REMB", count, 0, 0)


def flawed_reports() -> Iterator[bytes]:
    """RTCP that lies about its length or its contents."""
    yield remb(255)
    yield struct.pack("!BBHI", 0x9F, 201, 1, 1)  # 31 blocks in a packet without any
    yield struct.pack("!BBHI", 0xA1, 201, 1, 0xFF)  # more padding than packet
    yield struct.pack("!BBHIBBH", 0x81, 202, 2, 1, 1, 255, 0)  # a name longer than its packet
    yield struct.pack("!BBHII", 0x81, 205, 2, 1, 1) + b"x"  # half a word
    yield struct.pack("!BBHI", 0x9F, 203, 1, 1)  # the goodbye of 31, naming one


@pytest.mark.parametrize("tier", TIERS)
async def test_no_report_of_the_browsers_ends_its_call_or_writes_into_the_log(
    tier: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with call(tier) as line:
        await line.connect()
        sender: Any = line.browser.getSenders()[0]
        with caplog.at_level(logging.WARNING):
            for report in flawed_reports():
                await sender.transport._send_rtp(report)
            await asyncio.sleep(0.1)
        assert caplog.text == ""
        await still_heard(line)


@pytest.mark.parametrize("tier", TIERS)
async def test_a_flood_of_reports_is_held_to_a_rate(tier: str) -> None:
    async with call(tier) as line:
        await line.connect()
        ours: Any = line.peer._audio.sender
        seen: list[Any] = []  # by aiortc, where it still reads reports
        handle = ours._handle_rtcp_packet

        async def seen_by(packet: Any) -> None:
            seen.append(packet)
            await handle(packet)

        ours._handle_rtcp_packet = seen_by
        sender: Any = line.browser.getSenders()[0]
        for _ in range(1000):
            block = struct.pack("!IIIIII", ours._ssrc, 0, 0, 0, 0, 0)
            await sender.transport._send_rtp(struct.pack("!BBHI", 0x81, 201, 7, 1) + block)
            await asyncio.sleep(0)
        await still_heard(line)
        assert 0 < max(len(seen), len(line.owner.reports)) < 2 * BURST_REPORTS


@pytest.mark.parametrize("tier", TIERS)
async def test_sound_with_a_lying_header_and_invented_streams_harm_nobody(
    tier: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with call(tier) as line:
        await line.connect()
        sender: Any = line.browser.getSenders()[0]
        router = line.peer._audio.receiver.transport._rtp_router
        with caplog.at_level(logging.WARNING):
            for number in range(4 * MAX_STREAMS):
                header = struct.pack("!BBHII", 0x80, 0x60, number, 0, number)
                await sender.transport._send_rtp(header + b"x" * 40)
                await asyncio.sleep(0)
            for identity in range(1, 15):  # every extension that was agreed upon, in a length that none has
                header = struct.pack("!BBHIIHH", 0x90, 0x60, 1, 0, 1, 0xBEDE, 2)
                await sender.transport._send_rtp(header + bytes([identity << 4 | 6]) + b"\xff" * 7)
            await asyncio.sleep(0.1)
        assert caplog.text == ""
        assert len(router.ssrc_table) <= MAX_STREAMS
        await still_heard(line)


async def test_a_flood_in_one_call_takes_no_packet_of_another() -> None:
    async with call() as flooded, call() as other:
        await flooded.connect()
        await other.connect()
        await still_heard(flooded)
        await still_heard(other)
        flooded.microphone.mute(packets=False)
        await asyncio.sleep(0.05)
        sender: Any = flooded.browser.getSenders()[0]
        before, (first, _, ssrc, _) = len(other.owner.rtp), flooded.owner.rtp[-1]
        for number in range(1, 5001):
            header = struct.pack("!BBHII", 0x80, 0x60, first + number & 0xFFFF, number * 5760, ssrc)
            await sender.transport._send_rtp(header + b"\x1b\x02" + bytes(40))
            await asyncio.sleep(0)  # let it be read: the socket buffer holds a few hundred
        await still_heard(other)
        heard = [packet[0] for packet in other.owner.rtp[before:]]
        assert heard == [heard[0] + n & 0xFFFF for n in range(len(heard))]
        assert flooded.peer.line.gate is not None
        assert flooded.peer.line.gate.dropped["rate"] > 1000
        assert other.peer.line.gate is not None
        assert other.peer.line.gate.dropped == {}


def port(line: Call) -> int:
    connection: Any = line.peer._audio.receiver.transport.transport._connection
    found: int = connection.local_candidates[0].port
    return found


async def still_heard(line: Call) -> None:
    """The microphone goes on, and so does the connection."""
    line.owner.heard.clear()
    async with asyncio.timeout(5):
        await line.owner.heard.wait()
    assert line.peer.connected
    assert not line.owner.lost.is_set()
