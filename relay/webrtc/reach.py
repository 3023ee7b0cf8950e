"""How a call's connection finds its browser: it waits for the browser's packets, or it sends first.

A relay behind a NAT, whose address the browser cannot send to, must send first; then its NAT, or its own TURN server,
lets in what the browser sends. For that it needs to know where the browser is (`candidates`), and where it is itself:
a STUN server tells it, a TURN server lends it an address.
"""

import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Final

from aiortc import RTCConfiguration, RTCIceServer

from relay.config import Config
from relay.ice import IceServer
from relay.turn_server import TurnServer
from relay.webrtc import tame

# For STUN and TURN to answer, before the offer is answered without them. A server takes three round trips.
GATHER_SECONDS: Final = 2.0
OUR_NAME: Final = "relay"  # in the TURN server's log


def no_servers() -> list[IceServer]:
    """There are none."""
    return []


@dataclass(frozen=True, slots=True)
class Reach:
    """`active`: we send first. `private`: also to private addresses. `servers` are ours to use while active.

    Those of `silent`, URLs that did not answer when they were last asked, are used where there are no others.
    """

    active: bool = False
    private: bool = False
    servers: Callable[[], list[IceServer]] = no_servers
    silent: Set[str] = frozenset()

    def configuration(self) -> RTCConfiguration:
        """For one connection. aiortc uses the first STUN and the first TURN URL: a server is one, by one transport."""
        ways = [(server, url) for server in self.servers() for url in server.urls] if self.active else []
        ways = [way for way in ways if "[" not in way[1]]  # aiortc reads no IPv6 address in a URL
        return RTCConfiguration(iceServers=[_ours(*way) for way in sorted(ways, key=lambda way: way[1] in self.silent)])


def reach_of(config: Config, silent: Set[str] = frozenset()) -> Reach:
    """As the owner wants it; `silent` changes while the relay runs."""
    turn = TurnServer(config.turn, config.turn_secret) if config.turn_secret is not None else None

    def servers() -> list[IceServer]:
        ours = [turn.server(OUR_NAME, time.time())] if turn is not None else []
        return [*ours, *config.ice_servers]

    active = config.ice_role == "active"
    if active:
        tame.hold_permissions()
    return Reach(active, config.lan, servers, silent)


def _ours(server: IceServer, url: str) -> RTCIceServer:
    credential = server.credential.reveal() if server.credential is not None else None
    return RTCIceServer(urls=[url], username=server.username or None, credential=credential)
