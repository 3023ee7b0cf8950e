"""Raw RTP in and out of an aiortc connection: the only file that touches private parts of its libraries.

aiortc's own audio path costs five times the CPU and its jitter buffer never recovers from a lost packet, so
`RawLine` takes each datagram as it comes from the socket, and hands SRTP to libsrtp and the RTP packet to us;
on the way out it protects our packets and sends them on the nominated pair. Everything else (ICE, DTLS,
RTCP, SCTP) stays with aiortc and aioice, and the receiver and sender reports that they send stay true.

What is touched, why, and what happens if a new release has changed it:

| touch | for |
|---|---|
| `RTCIceTransport._connection`, `Connection._protocols`, `StunProtocol.transport` | put `Wire` before aioice |
| `Connection._nominated` | where to send; tell the browser's own packets from a stranger's |
| `RTCDtlsTransport._rx_srtp`, `_tx_srtp` | unprotect, protect |
| `RTCRtpReceiver._handle_rtp_packet` | RTP that reaches aiortc all the same (a TURN relay's) |
| `RTCRtpReceiver.__remote_streams`, `StreamStatistics.add` | receiver reports |
| `RTCRtpReceiver.__stop_decoder` | no idle decoder thread |
| `RTCRtpSender._ssrc`, `__packet_count`, `__octet_count`, `__rtp_timestamp`, `__ntp_timestamp` | sender reports |
| `RTCRtpTransceiver._codecs` | our payload type |

`check()` looks at all of these once at start; if one is gone, every call takes the public path (`public.PublicLine`),
which uses documented API alone. Four more have a fallback of their own:

| touch | for | when it is gone |
|---|---|---|
| `RTCRtpReceiver`, `RTCRtpSender`: `__rtcp_exited`, `__rtp_exited`, … | unhang `close()` | the sockets are cut |
| `aioice.ice.get_host_addresses` | bind only the addresses the operator chose | all but loopback are bound |
| `aiortc.rtcsctptransport.USERDATA_MAX_LENGTH` | 1280-byte paths | aiortc's own 1160 bytes |
| `RTCSctpTransport._handle_data`, `_receive` | junk ends no call | it does, as aiortc has it |
"""

import asyncio
import inspect
import logging
import random
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import aioice.ice
import aiortc.rtcsctptransport
import pylibsrtp
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpReceiver, RTCRtpTransceiver, clock
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket

from relay.audio.packet import TICKS_PER_SECOND
from relay.webrtc.gate import Gate

# A 1280-byte path (VPN, Tailscale, the least IPv6) carries this much user data after IP, UDP, DTLS and SCTP.
SCTP_USER_DATA_BYTES: Final = 1100
# The largest datagram a browser sends is under 1500 bytes; asyncio would allocate 256 KiB for each.
DATAGRAM_BYTES: Final = 2048
# A sender report says at what wall clock an RTP timestamp was sent (RFC 3550 §6.4.1); any recent pair is as true.
PACKETS_PER_CLOCK_PAIR: Final = 25
# How long aiortc may take for its own close before its events are set for it, then before sockets are cut.
CLOSE_SECONDS: Final = 0.6
FORCED_CLOSE_SECONDS: Final = 0.2

_RTP_HEADER: Final = struct.Struct("!BBHII")

OnRtp = Callable[[int, int, int, bytes], None]
"""sequence, timestamp (48 kHz), SSRC, Opus payload"""

log = logging.getLogger(__name__)


def choose_addresses(addresses: Iterable[str]) -> None:
    """Let ICE bind and offer these local addresses only (process-wide)."""
    chosen = list(addresses)

    def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return [a for a in chosen if (use_ipv6 if ":" in a else use_ipv4)]

    aioice.ice.get_host_addresses = host_addresses


def local_addresses(*, loopback: bool) -> list[str]:
    """The addresses of this machine's interfaces, the loopback's first if asked for."""
    found: list[str] = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
    return (["127.0.0.1"] if loopback else []) + found


def limit_sctp_fragments() -> None:
    """Keep data-channel packets small enough for 1280-byte paths (process-wide)."""
    aiortc.rtcsctptransport.USERDATA_MAX_LENGTH = min(SCTP_USER_DATA_BYTES, aiortc.rtcsctptransport.USERDATA_MAX_LENGTH)


def check() -> list[str]:
    """Which of the touches above are missing in the installed libraries; empty means that `RawLine` works."""
    pc = RTCPeerConnection()
    transceiver = pc.addTransceiver("audio")
    receiver, sender, dtls = transceiver.receiver, transceiver.sender, transceiver.receiver.transport
    connection = getattr(dtls.transport, "_connection", None)
    wanted: list[tuple[object, str]] = [
        (connection, "_protocols"),
        (connection, "_nominated"),
        (dtls, "_rx_srtp"),
        (dtls, "_tx_srtp"),
        (receiver, "_RTCRtpReceiver__remote_streams"),
        (receiver, "_RTCRtpReceiver__stop_decoder"),
        (receiver, "_RTCRtpReceiver__rtcp_exited"),
        (sender, "_ssrc"),
        (sender, "_RTCRtpSender__packet_count"),
        (sender, "_RTCRtpSender__octet_count"),
        (sender, "_RTCRtpSender__rtp_timestamp"),
        (sender, "_RTCRtpSender__ntp_timestamp"),
        (transceiver, "_codecs"),
    ]
    missing = [f"{type(owner).__name__}.{name}" for owner, name in wanted if not hasattr(owner, name)]
    signatures = [
        (RTCRtpReceiver, "_handle_rtp_packet", ["self", "packet", "arrival_time_ms"]),
        (StreamStatistics, "__init__", ["self", "clockrate"]),
        (StreamStatistics, "add", ["self", "packet"]),
        (aioice.ice.StunProtocol, "datagram_received", ["self", "data", "addr"]),
    ]
    for owner, name, parameters in signatures:
        method = getattr(owner, name, None)
        if method is None or list(inspect.signature(method).parameters) != parameters:
            missing.append(f"{owner.__name__}.{name}")
    return missing


def bear_junk(sctp: Any) -> None:
    """Let no message of the browser end its own call: aiortc's DTLS task dies of an exception in its SCTP.

    Text that is no UTF-8 arrives with its bad bytes replaced; anything else that aiortc trips over is dropped.
    """
    if not hasattr(sctp, "_handle_data") or not hasattr(sctp, "_receive") or hasattr(sctp, "bears_junk"):
        return
    handle, receive = sctp._handle_data, sctp._receive

    async def handle_or_drop(data: bytes) -> None:
        try:
            await handle(data)
        except ConnectionError:
            raise
        except Exception as error:
            log.debug("dropped what aiortc cannot read: %s", type(error).__name__)

    async def receive_text(stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id == aiortc.rtcsctptransport.WEBRTC_STRING:
            data = data.decode(errors="replace").encode()
        await receive(stream_id, pp_id, data)

    sctp._handle_data, sctp._receive, sctp.bears_junk = handle_or_drop, receive_text, True


class Wire(asyncio.DatagramProtocol):
    """Stands between a UDP socket and aioice: SRTP goes to the line, the rest on to aioice."""

    def __init__(self, line: "RawLine", stun: Any) -> None:
        self._line = line
        self._stun = stun

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        # RFC 7983 §7: 128..191 is RTP or RTCP; RFC 5761 §4: RTCP's packet types are 192..223.
        if len(data) > 12 and 127 < data[0] < 192 and not 191 < data[1] < 224:
            srtp = self._line.srtp
            if srtp is not None:
                self._line.unprotect(srtp, data)
                return
        self._line.overheard(addr)
        self._stun.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._stun.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stun.connection_lost(exc)


class _Quiet(MediaStreamTrack):
    """A track that never has a frame: aiortc's sender waits on it, and costs nothing."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.get_running_loop().create_future()


class _Seen:
    """What `StreamStatistics.add` reads of a packet."""

    __slots__ = ("sequence_number", "timestamp")

    def __init__(self) -> None:
        self.sequence_number = 0
        self.timestamp = 0


class RawLine:
    """Sound in and out of one connection's audio section, past aiortc's media path."""

    tier: Final = "raw"

    def __init__(self, transceiver: RTCRtpTransceiver, on_rtp: OnRtp) -> None:
        self._transceiver: Any = transceiver
        self._receiver = cast(Any, transceiver.receiver)
        self._sender = cast(Any, transceiver.sender)
        self._on_rtp = on_rtp
        self._seen = _Seen()
        self._sequence = random.getrandbits(15)  # the upper half is left free: a wrap in the first second breaks SRTP
        self._timestamp_origin = random.getrandbits(32)
        self._time = asyncio.get_running_loop().time
        self.last_heard = self._time()
        self.gate: Gate | None = None
        self.detoured = 0  # packets that came by aiortc's own path
        self.rejected = 0  # datagrams whose SRTP tag was wrong, or whose RTP header was cut
        self._sender.replaceTrack(_Quiet())
        self._receiver._handle_rtp_packet = self._from_aiortc
        start = self._receiver.receive

        async def receive_without_decoder(parameters: Any) -> None:
            await start(parameters)
            self._receiver._RTCRtpReceiver__stop_decoder()

        self._receiver.receive = receive_without_decoder

    @property
    def _dtls(self) -> Any:
        # bundling may swap the transport, so it is looked up, not kept
        return self._receiver.transport

    @property
    def srtp(self) -> pylibsrtp.Session | None:
        """The inbound SRTP session, once DTLS is done."""
        session: pylibsrtp.Session | None = self._receiver.transport._rx_srtp
        return session

    def attach(self) -> None:
        """Put a `Wire` before each of the connection's sockets; call it when candidates are gathered."""
        payload_type: int = self._transceiver._codecs[0].payloadType
        self.gate = self.gate or Gate(payload_type)
        self.gate.payload_type = payload_type
        for protocol in self._dtls.transport._connection._protocols:
            # a TURN relay's transport is aioice's own and takes no other protocol: its RTP comes by `_from_aiortc`
            transport: Any = getattr(protocol, "transport", None)
            if hasattr(transport, "set_protocol") and not isinstance(transport.get_protocol(), Wire):
                transport.set_protocol(Wire(self, protocol))
                if hasattr(transport, "max_size"):
                    transport.max_size = DATAGRAM_BYTES

    def overheard(self, addr: tuple[Any, ...]) -> None:
        """A datagram that is no sound came from `addr`: the browser lives if it is the nominated one."""
        pair = self._dtls.transport._connection._nominated.get(1)
        if pair is not None and addr[:2] == pair.remote_addr:
            self.last_heard = self._time()

    def unprotect(self, srtp: pylibsrtp.Session, datagram: bytes) -> None:
        """One SRTP datagram from the wire (RFC 3711), up to the Opus payload."""
        try:
            packet = srtp.unprotect(datagram)
            first, second, sequence, timestamp, ssrc = _RTP_HEADER.unpack_from(packet)
            start = 12 + 4 * (first & 0x0F)
            if first & 0x10:  # RFC 3550 §5.3.1: one header extension, its length in words
                start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
            end = len(packet) - (packet[-1] if first & 0x20 else 0)
        except (pylibsrtp.Error, struct.error):
            self.rejected += 1
            return
        self.last_heard = self._time()
        self._admit(second & 0x7F, sequence, timestamp, ssrc, packet[start:end])

    async def _from_aiortc(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        self.last_heard = self._time()
        self.detoured += 1
        self._admit(packet.payload_type, packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload)

    def _admit(self, payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> None:
        if self.gate is None or not self.gate.admit(payload_type, ssrc, len(payload), self.last_heard):
            return
        streams = self._receiver._RTCRtpReceiver__remote_streams
        statistics = streams.get(ssrc)
        if statistics is None:
            streams.clear()  # the report block of a stream that ended would overflow the report one day
            statistics = streams[ssrc] = StreamStatistics(TICKS_PER_SECOND)
        self._seen.sequence_number, self._seen.timestamp = sequence, timestamp
        statistics.add(self._seen)
        self._on_rtp(sequence, timestamp, ssrc, payload)

    def send(self, payload: bytes, timestamp: int, marker: bool) -> bool:
        """Send one Opus packet; `timestamp` counts 48 kHz samples from any origin. False when not connected."""
        dtls, sender = self._receiver.transport, self._sender
        pair = dtls.transport._connection._nominated.get(1)
        if self.gate is None or pair is None or dtls._tx_srtp is None:
            return False
        rtp_timestamp = (timestamp + self._timestamp_origin) & 0xFFFFFFFF
        header = _RTP_HEADER.pack(
            0x80, (marker << 7) | self.gate.payload_type, self._sequence, rtp_timestamp, sender._ssrc
        )
        try:
            pair.protocol.transport.sendto(dtls._tx_srtp.protect(header + payload), pair.remote_addr)
        except (OSError, pylibsrtp.Error):
            return False
        self._sequence = (self._sequence + 1) & 0xFFFF
        sender._RTCRtpSender__packet_count += 1
        sender._RTCRtpSender__octet_count += len(payload)
        if self._sequence % PACKETS_PER_CLOCK_PAIR == 0 or marker:
            sender._RTCRtpSender__rtp_timestamp = rtp_timestamp
            sender._RTCRtpSender__ntp_timestamp = clock.current_ntp_time()
        return True

    async def close(self) -> None:
        """Nothing of its own to free: the sockets are the connection's."""


async def close_connection(pc: RTCPeerConnection) -> None:
    """Close within `CLOSE_SECONDS` and two `FORCED_CLOSE_SECONDS`, whatever state aiortc is in; idempotent.

    aiortc's close waits for events of tasks that may have died; they are set for it. If even that does not
    help, the sockets are cut and its waiting is cancelled.
    """
    closing = asyncio.ensure_future(pc.close())
    await asyncio.wait([closing], timeout=CLOSE_SECONDS)
    if not closing.done():
        for part in (part for t in pc.getTransceivers() for part in (t.receiver, t.sender)):
            for name in ("rtcp_started", "rtcp_exited", "rtp_started", "rtp_exited"):
                event = getattr(part, f"_{type(part).__name__}__{name}", None)
                if event is not None:
                    event.set()
        await asyncio.wait([closing], timeout=FORCED_CLOSE_SECONDS)
    if not closing.done():
        closing.cancel()
        await asyncio.wait([closing], timeout=FORCED_CLOSE_SECONDS)
        for transceiver in pc.getTransceivers():
            connection: Any = getattr(transceiver.receiver.transport.transport, "_connection", None)
            for protocol in getattr(connection, "_protocols", ()):
                protocol.transport.abort()
    if closing.done() and not closing.cancelled():
        closing.exception()  # seen, so that it is not reported as lost
