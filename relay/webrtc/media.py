"""How sound reaches us on this machine: which of the lines the installed libraries allow, and which way it comes."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from aiortc import RTCPeerConnection

from relay.webrtc import tame
from relay.webrtc.port.sockets import Port
from relay.webrtc.public import PublicLine
from relay.webrtc.reach import Reach
from relay.webrtc.tap import MiddleLine
from relay.webrtc.wire import RawLine

# From the quickest to the one that cannot break.
LINES: Final = {line.tier: line for line in (RawLine, MiddleLine)}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Media:
    """How sound reaches us on this machine: the tier, and what the quickest lacks that is not in use, and the way.

    `port` is the one of all calls; None: each has sockets of its own.
    """

    tier: str
    missing: tuple[str, ...] = ()
    reach: Reach = field(default_factory=Reach)
    port: Port | None = None


def prepare(
    addresses: Iterable[str] = (),
    *,
    loopback: bool = False,
    tiers: Collection[str] = (*LINES, PublicLine.tier),
    reach: Reach | None = None,
    port: Port | None = None,
) -> Media:
    """Set what is process-wide and choose the tier; call it once inside the running loop, before the first call.

    All calls are on `port` if there is one. Else `addresses` are the local addresses for ICE; empty means all of the
    machine's, with 127.0.0.1 if `loopback`. Of `tiers` the quickest that the installed libraries allow is taken.
    """
    tame.choose_addresses(list(addresses) or tame.local_addresses(loopback=loopback))
    tame.limit_sctp_fragments()
    missing: list[str] = []
    parts = RTCPeerConnection().addTransceiver("audio")
    for tier, line in LINES.items():
        lacks = line.lacks(parts)
        if tier in tiers and not lacks:
            break
        missing += [name for name in lacks if name not in missing]
    else:
        tier = PublicLine.tier
    tame.survive_bad_datagrams()
    if missing:
        log.warning("the media path is slower than it could be, these have changed: %s", ", ".join(missing))
    if reach is not None and reach.active:
        port = None  # it is for those who wait to be found
    if port is not None and (lacks := tame.lacks_for_replacing(parts)):
        log.warning("each call has sockets of its own, these have changed: %s", ", ".join(lacks))
        port = None
    return Media(tier, tuple(missing), reach or Reach(), port)
