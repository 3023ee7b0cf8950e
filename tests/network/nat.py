"""A router's address translation on the wire: the browser has an address that nobody beyond it sees (RFC 4787).

    with nat(line) as router:
        …
        router.rebind()         # as one that was restarted, or has forgotten: other ports from now on

It is strict: what comes back passes only from where something was sent to (RFC 4787 §5, address and port-dependent).
"""

import contextlib
import socket
import struct
from array import array
from collections.abc import Iterator
from itertools import count, cycle
from typing import Final

from tests.network.wire import Line

FIRST_PORT: Final = 40_000
# Beside the relay's; each router has another, for the relay takes no more than six calls a minute of one.
_outsides: Final = cycle(f"10.99.0.{host}" for host in range(50, 250))
UDP, TCP = 17, 6  # protocol numbers of IP

End = tuple[int, bytes, int]
"""protocol, address, port"""


class Nat:
    """Inside addresses and ports ↔ ports of its own address outside."""

    def __init__(self) -> None:
        self._outside = socket.inet_aton(next(_outsides))
        self._free = count(FIRST_PORT)
        self._ports: dict[End, int] = {}
        self._inside: dict[tuple[int, int], End] = {}
        self._sent: set[tuple[int, int, bytes, int]] = set()  # protocol, our port, to whom

    def rebind(self) -> None:
        """Forget every UDP mapping: those inside are seen at new ports, and what is sent to the old ones is lost."""
        self._ports = {end: port for end, port in self._ports.items() if end[0] != UDP}
        self._inside = {key: end for key, end in self._inside.items() if key[0] != UDP}
        self._sent = {sent for sent in self._sent if sent[0] != UDP}

    def exchange(self) -> None:
        """As one that was restarted and hands out the same UDP ports anew, the other way round."""
        ends = [end for end in self._ports if end[0] == UDP]
        ports = [self._ports[end] for end in ends]
        for end, port in zip(ends, reversed(ports), strict=True):
            self._ports[end], self._inside[UDP, port] = port, end
        self._sent = {sent for sent in self._sent if sent[0] != UDP}

    def outward(self, packet: bytes) -> bytes:
        """An IPv4 packet from inside, as it is seen outside; empty: it does not pass."""
        protocol, start = packet[9], 4 * (packet[0] & 15)
        if protocol not in (UDP, TCP):
            return b""
        source, target = struct.unpack_from("!HH", packet, start)
        end = (protocol, packet[12:16], source)
        port = self._ports.get(end)
        if port is None:
            port = self._ports[end] = next(self._free)
            self._inside[protocol, port] = end
        self._sent.add((protocol, port, packet[16:20], target))
        return _changed(packet, 12, self._outside, start, port)

    def inward(self, packet: bytes) -> bytes:
        """An IPv4 packet from outside, as it goes on inside; empty: it does not pass."""
        protocol, start = packet[9], 4 * (packet[0] & 15)
        if protocol not in (UDP, TCP):
            return b""
        source, target = struct.unpack_from("!HH", packet, start)
        end = self._inside.get((protocol, target))
        if end is None or (protocol, target, packet[12:16], source) not in self._sent:
            return b""
        return _changed(packet, 16, end[1], start + 2, end[2])


@contextlib.contextmanager
def nat(line: Line) -> Iterator[Nat]:
    """A router between the browser and the wire."""
    router = Nat()
    before = line.up.through, line.down.through
    line.up.through, line.down.through = router.outward, router.inward
    try:
        yield router
    finally:
        line.up.through, line.down.through = before


def datagram(source: tuple[str, int], target: tuple[str, int], data: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram, from whomever it says."""
    size = 28 + len(data)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, UDP, 0)
    head += socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    head = head[:10] + _checksum(head).to_bytes(2) + head[12:]
    return head + struct.pack("!HHHH", source[1], target[1], size - 20, 0) + data


def _changed(packet: bytes, address_at: int, address: bytes, port_at: int, port: int) -> bytes:
    """With another address and port, and right checksums."""
    data = bytearray(packet)
    data[address_at : address_at + 4] = address
    data[port_at : port_at + 2] = port.to_bytes(2)
    start = 4 * (data[0] & 15)
    data[10:12] = bytes(2)
    data[10:12] = _checksum(bytes(data[:start])).to_bytes(2)
    if data[9] == UDP:
        data[start + 6 : start + 8] = bytes(2)  # RFC 768: no checksum
    else:
        data[start + 16 : start + 18] = bytes(2)
        pseudo = bytes(data[12:20]) + struct.pack("!BBH", 0, data[9], len(data) - start)
        data[start + 16 : start + 18] = _checksum(pseudo + bytes(data[start:])).to_bytes(2)
    return bytes(data)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    words = array("H", data + bytes(len(data) % 2))
    words.byteswap()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
