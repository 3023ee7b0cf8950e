"""How sound reaches us on this machine: which of the lines the installed libraries allow, and which way it comes."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiortc import RTCPeerConnection, RTCRtpTransceiver

from relay.webrtc import tame
from relay.webrtc.gate import Gate
from relay.webrtc.port.sockets import Port, local_addresses
from relay.webrtc.public import OnPcm, PublicLine
from relay.webrtc.reach import Reach
from relay.webrtc.rtcp import Reports
from relay.webrtc.tap import MiddleLine, OnReport, OnRtp
from relay.webrtc.wire import RawLine

# From the quickest to the one that cannot break.
LINES: Final = {line.tier: line for line in (RawLine, MiddleLine)}

log = logging.getLogger(__name__)


class Line(Protocol):
    """A connection's line of sound, whichever it is; `attach` after each answer, `close` once."""

    @property
    def gate(self) -> Gate | None:
        """Who may send; None before there is an answer, and where aiortc decides."""

    @property
    def rejected(self) -> int:
        """Datagrams that were no packets of the browser's."""

    @property
    def reads_red(self) -> bool:
        """Opus may come, and go, with copies of the packets before it (RFC 2198)."""

    @property
    def reports(self) -> Reports | None:
        """What the browser says of our packets; None where aiortc reads it."""

    @property
    def video(self) -> MiddleLine | None:
        """The line that takes the browser's pictures; None if none does."""

    def silence(self, now: float) -> float | None:
        """For how many seconds nothing at all has come from the browser; None where only aiortc knows."""

    def attach(self, red_type: int | None = None) -> None:
        """Learn what was negotiated, RED's payload type too."""

    def send(self, payload: bytes, timestamp: int, marker: bool, red: bool = False) -> bool:
        """Send one packet, Opus or RED, at a time in 48 kHz samples; False if it cannot leave."""

    def deafen(self) -> None:
        """Take what comes as ever, but let nobody hear or see it."""

    async def close(self) -> None:
        """Idempotent."""


@dataclass(frozen=True, slots=True)
class Media:
    """How sound reaches us on this machine: the tier, and what the quickest lacks that is not in use, and the way.

    `port` is the one of all calls; None: each has sockets of its own.
    """

    tier: str
    missing: tuple[str, ...] = ()
    reach: Reach = field(default_factory=Reach)
    port: Port | None = None

    def line(self, audio: RTCRtpTransceiver, on_rtp: OnRtp, on_pcm: OnPcm, on_report: OnReport) -> Line:
        """The line of one connection's audio section: packets come to `on_rtp`, or their sound to `on_pcm`."""
        line = LINES.get(self.tier)
        return line(audio, on_rtp, on_report) if line is not None else PublicLine(audio, on_pcm)


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
    tame.choose_addresses(list(addresses) or local_addresses(loopback=loopback))
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
