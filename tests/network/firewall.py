"""Firewalls on the wire, each a rule for one IPv4 packet: does it bar it?

let_pass(street, passes_only("tcp"))            # both ways
let_pass(street, *answers_alone())              # up, down
let_pass(street)                                # none
"""

from collections.abc import Callable
from typing import Final

from tests.network.street import Street
from tests.network.turn import PORT, TLS_PORT

UDP, TCP = 17, 6  # protocol numbers of IP
# The wire passes nothing else to that server; pages come by TCP on another port.
PASSES: Final = {"udp": (UDP, PORT), "tcp": (TCP, PORT), "tls": (TCP, TLS_PORT)}

Bars = Callable[[bytes], bool]


def passes_only(transport: str) -> Bars:
    """A firewall that bars UDP, and of a TURN server all but one way to it."""
    protocol, port = PASSES[transport]

    def bars(packet: bytes) -> bool:
        start = 4 * (packet[0] & 15)
        ports = {int.from_bytes(packet[at : at + 2]) for at in (start, start + 2)}
        if packet[9] == protocol and port in ports:
            return False
        return packet[9] == UDP or not ports.isdisjoint((PORT, TLS_PORT))

    return bars


def nothing_of_a_call(packet: bytes) -> bool:
    """A firewall that passes pages alone."""
    start = 4 * (packet[0] & 15)
    ports = {int.from_bytes(packet[at : at + 2]) for at in (start, start + 2)}
    return packet[9] == UDP or not ports.isdisjoint((PORT, TLS_PORT))


def answers_alone() -> tuple[Bars, Bars]:
    """A router in front of the relay, up and down: of UDP it lets in what comes from where something was sent to."""
    sent: set[tuple[bytes, bytes]] = set()

    def bars_in(packet: bytes) -> bool:
        start = 4 * (packet[0] & 15)
        return packet[9] == UDP and (packet[16:20] + packet[start + 2 : start + 4], _source(packet)) not in sent

    def bars_out(packet: bytes) -> bool:
        start = 4 * (packet[0] & 15)
        if packet[9] == UDP:
            sent.add((_source(packet), packet[16:20] + packet[start + 2 : start + 4]))
        return False

    return bars_in, bars_out


def _source(packet: bytes) -> bytes:
    """Address and port."""
    start = 4 * (packet[0] & 15)
    return packet[12:16] + packet[start : start + 2]


def let_pass(here: Street, *bars: Bars) -> None:
    """Put a firewall on the wire, up and down; one for both, or one for each, or none."""
    up, down = bars * 2 if len(bars) == 1 else bars or (lambda packet: False,) * 2
    here.line.up.bars, here.line.down.bars = up, down
