"""The raw line: each datagram as it comes from the socket, up to the Opus payload, and back. The shortest way there is.

It shares with the middle line what becomes of a packet, touches some more private parts, and makes and reads the
reports itself:

| touch | for |
|---|---|
| `RTCIceTransport._connection`, `Connection._protocols`, `StunProtocol.transport` | put `Wire` before aioice |
| `TurnTransport.__inner_protocol`, its `receiver` | the same on an address that a TURN server lends us |
| `Connection._nominated` | where to send; tell the browser's own packets from a stranger's |
| `RTCDtlsTransport._rx_srtp`, `_tx_srtp` | the SRTP sessions |
| `_run_rtcp`, `__rtcp_started`, `__rtcp_exited` of senders and receivers | our own reports instead of aiortc's |
"""

import asyncio
import contextlib
import random
import secrets
import struct
from typing import Any, Final

import aioice.ice
import pylibsrtp
from aiortc import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, clock

from relay.webrtc import srtp, tame
from relay.webrtc.gate import Pace
from relay.webrtc.port.connection import Connection
from relay.webrtc.rtcp import Reports, Sent
from relay.webrtc.srtp import DATAGRAM_BYTES, HEADER_BYTES, KEYLESS, OPENED, REFUSED, Srtp, Taken
from relay.webrtc.tap import RTP_HEADER, MiddleLine, OnReport, OnRtp, absent, changed

# Between two reports of ours, on average: the browser's encoder learns of losses by them (RFC 4585 §3.4 allows it).
REPORT_SECONDS: Final = 1.0


class Wire(asyncio.DatagramProtocol):
    """Stands between a UDP socket and aioice: SRTP goes to the line, the rest on to aioice."""

    def __init__(self, line: "RawLine", stun: Any) -> None:
        self._line = line
        self._stun = stun

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        # RFC 7983 §7: 128..191 is RTP or RTCP; RFC 5761 §4: RTCP's packet types are 192..223.
        if len(data) > HEADER_BYTES and 127 < data[0] < 192:
            line = self._line
            if (line.take_reports if 191 < data[1] < 224 else line.take)(data) is not KEYLESS:
                return
        self._line.overheard(addr)
        self._stun.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._stun.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stun.connection_lost(exc)


def _never_report(part: Any) -> None:
    """Let aiortc's reporter only wait for its end: a task and a half-second timer less for each end of a section."""
    name = type(part).__name__

    async def wait() -> None:
        getattr(part, f"_{name}__rtcp_started").set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        getattr(part, f"_{name}__rtcp_exited").set()

    part._run_rtcp = wait


class RawLine(MiddleLine):
    """The same from the socket itself: the shortest way that there is."""

    tier = "raw"
    reports: Reports

    @classmethod
    def lacks(cls, parts: RTCRtpTransceiver) -> list[str]:
        """What the middle line needs, less its own way out, and more."""
        sender, receiver, dtls = parts.sender, parts.receiver, parts.receiver.transport
        connection = getattr(dtls.transport, "_connection", None)
        return [
            *cls.shared(parts),
            *absent(
                (connection, "_nominated"),
                (connection, "_protocols"),
                (dtls, "_rx_srtp"),
                (dtls, "_tx_srtp"),
                (sender, "_RTCRtpSender__rtcp_started"),
                (sender, "_RTCRtpSender__rtcp_exited"),
                (receiver, "_RTCRtpReceiver__rtcp_started"),
                (receiver, "_RTCRtpReceiver__rtcp_exited"),
            ),
            *changed(
                (RTCRtpSender, "_run_rtcp", ["self"]),
                (RTCRtpReceiver, "_run_rtcp", ["self"]),
                (aioice.ice.StunProtocol, "datagram_received", ["self", "data", "addr"]),
            ),
            *([] if srtp.works() else ["pylibsrtp.Session"]),
        ]

    def __init__(self, transceiver: RTCRtpTransceiver, on_rtp: OnRtp, on_report: OnReport) -> None:
        super().__init__(transceiver, on_rtp, on_report)
        self._inbound: Srtp | None = None
        self._outbound: Srtp | None = None
        self._dtls: Any = None
        self._ice: Any = None
        self._pair: Any = None  # what was nominated when the last packet left,
        self._sendto: Any = None  # its socket's
        self._address: Any = None  # and where the browser is
        self.reports = Reports(self._sender._ssrc, secrets.token_urlsafe(12))
        self._reporting: asyncio.TimerHandle | None = None
        self._pace = Pace(tame.REPORTS_PER_SECOND, tame.BURST_REPORTS)
        _never_report(self._sender)
        _never_report(self._receiver)

    def adopt(self, video: RTCRtpTransceiver) -> dict[int, str]:
        """Its reports are ours, too."""
        _never_report(video.sender)
        _never_report(video.receiver)
        return super().adopt(video)

    def attach(self, red_type: int | None = None) -> None:
        """Put a `Wire` before each of the connection's sockets, too."""
        super().attach(red_type)
        # bundling may have swapped the transport; it does so before there is an answer
        self._dtls = self._receiver.transport
        self._ice = self._dtls.transport._connection
        if isinstance(self._ice, Connection):
            self._ice.line = self
        for protocol in getattr(self._ice, "_protocols", ()):
            transport: Any = getattr(protocol, "transport", None)
            # a TURN server's is aioice's own; if that has changed, its RTP comes by `_from_aiortc`
            lent: Any = getattr(transport, "_TurnTransport__inner_protocol", None)
            if isinstance(getattr(lent, "receiver", None), aioice.ice.StunProtocol):
                lent.receiver = Wire(self, protocol)
            if hasattr(transport, "set_protocol") and not isinstance(transport.get_protocol(), Wire):
                transport.set_protocol(Wire(self, protocol))
                if hasattr(transport, "max_size"):
                    transport.max_size = DATAGRAM_BYTES
        if self._reporting is None:
            self._report_later()

    def silence(self, now: float) -> float:
        """For how many seconds nothing at all has come from the browser."""
        return now - self.last_heard

    async def close(self) -> None:
        """Report no more; idempotent."""
        if self._reporting is not None:
            self._reporting.cancel()

    def _report_later(self) -> None:
        # RFC 3550 §6.2: at random, so that not all calls report at once
        seconds = REPORT_SECONDS * random.uniform(0.5, 1.5)
        self._reporting = asyncio.get_running_loop().call_later(seconds, self._report)

    def _report(self) -> None:
        self._report_later()
        session = self._dtls._tx_srtp
        if session is None or self._find_pair() is None:
            return
        sender = self._sender
        sent = Sent(
            sender._RTCRtpSender__packet_count,
            sender._RTCRtpSender__octet_count,
            sender._RTCRtpSender__rtp_timestamp,
            sender._RTCRtpSender__ntp_timestamp,
        )
        parts = (self._receiver, *self._showing.values())
        streams = [stream for part in parts for stream in part._RTCRtpReceiver__remote_streams.items()]
        compound = self.reports.compound(sent, streams, clock.current_ntp_time())
        with contextlib.suppress(OSError, pylibsrtp.Error):
            self._sendto(session.protect_rtcp(compound), self._address)

    def take_reports(self, datagram: bytes) -> Taken:
        """One SRTCP datagram from the wire."""
        session = self._dtls._rx_srtp
        if session is None:
            return KEYLESS
        now = self._time()
        if len(datagram) > tame.MAX_DATAGRAM_BYTES or not self._pace.admit(now):
            if self.gate is not None:
                self.gate.drop("junk")
            return REFUSED
        try:
            compound = session.unprotect_rtcp(datagram)
        except pylibsrtp.Error as error:
            self.rejected += not str(error).startswith("replay")  # one that comes twice says nothing new
            return REFUSED
        self.last_heard = now
        for loss in self.reports.take(compound, clock.current_ntp_time()):
            self._on_report(loss)
        return OPENED

    def overheard(self, addr: tuple[Any, ...]) -> None:
        """A datagram that is no sound came from `addr`: the browser lives if it is the nominated one."""
        pair = self._ice._nominated.get(1)
        if pair is not None and addr[:2] == pair.remote_addr:
            self.last_heard = self._time()

    def take(self, datagram: bytes) -> Taken:
        """One SRTP datagram from the wire, up to the Opus payload."""
        inbound = self._inbound
        session = self._dtls._rx_srtp
        if inbound is None or inbound.session is not session:
            if session is None:
                return KEYLESS
            inbound = self._inbound = Srtp(session)
        packet = inbound.unprotect(datagram)
        if packet is None:
            self._refused(datagram, inbound.repeated)
            return REFUSED
        try:
            first, second, sequence, timestamp, ssrc = RTP_HEADER.unpack_from(packet)
            start = HEADER_BYTES + 4 * (first & 0x0F)
            if first & 0x10:  # RFC 3550 §5.3.1: one header extension, its length in words
                start += 4 + 4 * (packet[start + 2] << 8 | packet[start + 3])
            # §5.1: the last byte of padding counts it, itself included
            end = len(packet) - (packet[-1] or DATAGRAM_BYTES if first & 0x20 else 0)
            if end < start:
                raise ValueError
        except (ValueError, struct.error, IndexError):
            self.rejected += 1
            return REFUSED
        payload_type = second & 0x7F
        if payload_type in self.video_types:
            self._see(payload_type, sequence, timestamp, ssrc, second > 0x7F, packet[start:end])
        else:
            self._admit(payload_type, sequence, timestamp, ssrc, packet[start:end])
        return OPENED

    def _refused(self, datagram: bytes, repeated: bool) -> None:
        """Not this call's, or the network's second of a packet that SRTP has let in."""
        if not repeated or self.gate is None:
            self.rejected += 1
        elif datagram[1] & 0x7F in self.video_types:
            self.gate.drop("video")
        else:
            self.gate.repeated += 1

    def _put(self, header: bytes, payload: bytes) -> bool:
        if self._ice is None:
            return False
        pair = self._ice._nominated.get(1)
        if (pair is not self._pair or pair is None) and self._find_pair() is None:
            return False
        session, outbound = self._dtls._tx_srtp, self._outbound
        if outbound is None or outbound.session is not session:
            if session is None:
                return False
            outbound = self._outbound = Srtp(session)
        datagram = outbound.protect(header, payload)
        if datagram is None:
            return False
        try:
            self._sendto(datagram, self._address)
        except OSError:
            return False
        return True

    def _find_pair(self) -> Any:
        """Where to send, None before ICE has found out."""
        pair = self._ice._nominated.get(1)
        if pair is not self._pair and pair is not None:
            self._pair, self._sendto, self._address = pair, pair.protocol.transport.sendto, pair.remote_addr
        return pair
