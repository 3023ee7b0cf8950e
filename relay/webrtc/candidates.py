"""Which of a browser's addresses a relay that sends first may send to (RFC 8839 §5.1): few, and none but browsers'.

An admitted client could otherwise aim our checks at any host and port, from inside our own network.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

MAX_CANDIDATES: Final = 20  # of one connection; a browser on two networks with IPv6 and TURN names a dozen
MIN_PORT: Final = 1024  # below are services, and no browser
MAX_LINE_CHARS: Final = 300
TYPES: Final = ("host", "srflx", "prflx", "relay")
# Where clouds answer questions about the machine, their keys among them, beside the link-local 169.254.169.254.
METADATA: Final = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))

_PREFIX: Final = "candidate:"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One address of the browser's by UDP."""

    foundation: str
    priority: int
    address: str
    port: int
    type: str

    def __str__(self) -> str:
        return f"{self.foundation} 1 udp {self.priority} {self.address} {self.port} typ {self.type}"


class Candidates:
    """Those of one connection; on a `private` relay, one of a LAN, private addresses are a browser's, too."""

    def __init__(self, private: bool = False) -> None:
        self._private = private
        self._known: set[tuple[str, int]] = set()

    def admit(self, line: str) -> Candidate | None:
        """What `candidate:…` says, if it is new and may be sent to; None for everything else, whatever it is."""
        if len(line) > MAX_LINE_CHARS or len(self._known) >= MAX_CANDIDATES:
            return None
        candidate = read(line)
        if candidate is None or (candidate.address, candidate.port) in self._known or not self._admits(candidate):
            return None
        self._known.add((candidate.address, candidate.port))
        return candidate

    def _admits(self, candidate: Candidate) -> bool:
        address = ipaddress.ip_address(candidate.address)
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped if mapped is not None else address
        if address in METADATA or address.is_loopback or address.is_link_local or address.is_multicast:
            return False
        if address.is_unspecified or address.is_reserved or candidate.port < MIN_PORT:
            return False
        return address.is_global or (self._private and address.is_private)


def read(line: str) -> Candidate | None:
    """`candidate:foundation component transport priority address port typ type …`, of UDP and a literal address."""
    words = line.strip().removeprefix("a=").removeprefix(_PREFIX).split()
    if len(words) < 8 or words[1] != "1" or words[2].lower() != "udp" or words[6] != "typ" or words[7] not in TYPES:
        return None
    priority, port = words[3], words[5]
    if not all(number.isascii() and number.isdigit() and len(number) <= 10 for number in (priority, port)):
        return None
    try:
        address = ipaddress.ip_address(words[4])
    except ValueError:
        return None
    if not 0 < int(port) < 1 << 16 or not 0 < int(priority) < 1 << 31 or "%" in words[4] or not words[0].isalnum():
        return None
    return Candidate(words[0][:32], int(priority), str(address), int(port), words[7])
