"""Raw RTP in and out of an aiortc connection, past its media path: private parts of its libraries are touched here.

aiortc's own audio path costs five times the CPU and its jitter buffer never recovers from a lost packet. Two lines
go past it, and everything else (ICE, DTLS, RTCP, SCTP) stays with aiortc and aioice; the sender and receiver reports
that they send stay true:

- `RawLine` takes each datagram as it comes from the socket and hands it to libsrtp in place; on the way out it
  protects our packets and sends them on the nominated pair.
- `MiddleLine` takes RTP where aiortc hands it to its receiver and gives it back where aiortc sends: two touches, and
  a third more CPU.

| touch | for | line |
|---|---|---|
| `RTCRtpReceiver._handle_rtp_packet` | RTP in, before the jitter buffer; a TURN relay's on the raw line too | both |
| `RTCRtpReceiver.__remote_streams` | receiver reports | both |
| `RTCRtpReceiver.__stop_decoder` | no idle decoder thread | both |
| `RTCDtlsTransport._rtp_router`, `RtpRouter.payload_type_table` | RED in, which aiortc does not know | both |
| `RTCDtlsTransport._send_rtp` | RTP out | middle |
| `RTCRtpSender._handle_rtcp_packet` | what the browser reports of our packets | both |
| `RTCRtpSender._ssrc`, `__packet_count`, `__octet_count`, `__rtp_timestamp`, `__ntp_timestamp` | our reports | both |
| `RTCRtpTransceiver._codecs`, `_headerExtensions` | our payload type; what is answered for video | both |
| `RTCRtpReceiver._send_rtcp_pli` | ask for a key frame | both |
| `RTCIceTransport._connection`, `Connection._protocols`, `StunProtocol.transport` | put `Wire` before aioice | raw |
| `Connection._nominated` | where to send; tell the browser's own packets from a stranger's | both |
| `RTCDtlsTransport._rx_srtp`, `_tx_srtp` | the SRTP sessions | raw |
| `pylibsrtp._binding.lib`, `ffi`, `Session._srtp` | libsrtp without three copies a packet | raw |

`check` looks at all of these once at start, and sends a packet through libsrtp both ways; what is missing decides the
tier for every call. Documented API alone is what `public.PublicLine` uses. `tame.py` has the other private parts.
"""

import asyncio
import contextlib
import inspect
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import aioice.ice
import pylibsrtp
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, clock
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtp import RtcpRrPacket, RtcpSrPacket, RtpPacket

from relay.audio.red import primary
from relay.webrtc.gate import Gate
from relay.webrtc.reception import Reception

# The largest datagram a browser sends is under 1500 bytes; asyncio would allocate 256 KiB for each.
DATAGRAM_BYTES: Final = 2048
# libsrtp appends at most this much to a packet (srtp.h: SRTP_MAX_TRAILER_LEN).
SRTP_TRAILER_BYTES: Final = 144
# A sender report says at what wall clock an RTP timestamp was sent (RFC 3550 §6.4.1); any recent pair is as true.
PACKETS_PER_CLOCK_PAIR: Final = 25
# What we read of a browser's video, by aiortc's names; their clock (RFC 7741 §6.1, RFC 6184 §8.2.1).
VIDEO_CODECS: Final = frozenset(("VP8", "H264"))
VIDEO_TICKS_PER_SECOND: Final = 90_000

_HEADER_BYTES: Final = 12
_RTP_HEADER: Final = struct.Struct("!BBHII")

OnRtp = Callable[[int, int, int, bytes, bytes], None]
"""sequence, timestamp (48 kHz), SSRC, Opus payload, and the RED payload it came in (RFC 2198) or nothing"""

OnVideo = Callable[[int, int, int, int, bool, bytes], None]
"""payload type, sequence, timestamp (90 kHz), SSRC, marker, payload"""

OnReport = Callable[[float], None]
"""the share (0 to 1) of our packets that the browser lost since its last report"""


def check() -> dict[str, list[str]]:
    """For each line the touches that are missing in the installed libraries; an empty list means that it works."""
    pc = RTCPeerConnection()
    transceiver = pc.addTransceiver("audio")
    receiver, sender, dtls = transceiver.receiver, transceiver.sender, transceiver.receiver.transport
    connection = getattr(dtls.transport, "_connection", None)
    both = _absent(
        (connection, "_nominated"),
        (receiver, "_RTCRtpReceiver__remote_streams"),
        (receiver, "_RTCRtpReceiver__stop_decoder"),
        (sender, "_ssrc"),
        (sender, "_RTCRtpSender__packet_count"),
        (sender, "_RTCRtpSender__octet_count"),
        (sender, "_RTCRtpSender__rtp_timestamp"),
        (sender, "_RTCRtpSender__ntp_timestamp"),
        (transceiver, "_codecs"),
        (transceiver, "_headerExtensions"),
        (getattr(dtls, "_rtp_router", None), "payload_type_table"),
    ) + _changed(
        (RTCRtpReceiver, "_handle_rtp_packet", ["self", "packet", "arrival_time_ms"]),
        (RTCRtpReceiver, "_send_rtcp_pli", ["self", "media_ssrc"]),
        (RTCRtpSender, "_handle_rtcp_packet", ["self", "packet"]),
    )
    raw = _absent((connection, "_protocols"), (dtls, "_rx_srtp"), (dtls, "_tx_srtp")) + _changed(
        (aioice.ice.StunProtocol, "datagram_received", ["self", "data", "addr"]),
    )
    return {
        RawLine.tier: both + raw + ([] if _srtp_works() else ["pylibsrtp.Session"]),
        MiddleLine.tier: both + _changed((RTCDtlsTransport, "_send_rtp", ["self", "data"])),
    }


def _absent(*wanted: tuple[object, str]) -> list[str]:
    return [f"{type(owner).__name__}.{name}" for owner, name in wanted if not hasattr(owner, name)]


def _changed(*wanted: tuple[type, str, list[str]]) -> list[str]:
    methods = ((owner, name, getattr(owner, name, None), parameters) for owner, name, parameters in wanted)
    return [
        f"{owner.__name__}.{name}"
        for owner, name, method, parameters in methods
        if method is None or list(inspect.signature(method).parameters) != parameters
    ]


def _srtp_works() -> bool:
    """A packet that we protect is one that the library's documented way opens, and the other way round."""
    try:
        key, packet = bytes(range(30)), bytes([0x80, 111, 0, 1, *bytes(8), *b"payload"])
        ways = (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        ours, theirs = ([pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=way)) for way in ways] for _ in "ab")
        sealed = _Srtp(ours[0]).protect(packet[:_HEADER_BYTES], packet[_HEADER_BYTES:])
        opened = _Srtp(ours[1]).unprotect(theirs[0].protect(packet))
        return sealed is not None and theirs[1].unprotect(sealed) == packet and opened == packet
    except Exception:  # whatever a changed library raises
        return False


class _Srtp:
    """One direction of a call's SRTP (RFC 3711), in place: one copy in, one copy out, nothing else.

    All sessions share one buffer, because a packet is done with before the next is touched.
    """

    _ffi: Any = getattr(getattr(pylibsrtp, "_binding", None), "ffi", None)
    _lib: Any = getattr(getattr(pylibsrtp, "_binding", None), "lib", None)
    if _ffi is not None:
        _bytes = _ffi.new("char[]", DATAGRAM_BYTES + SRTP_TRAILER_BYTES)
        _view = _ffi.buffer(_bytes)
        _length = _ffi.new("int *")

    def __init__(self, session: pylibsrtp.Session) -> None:
        self.session = session  # owns the context
        self._context = cast(Any, session)._srtp[0]
        self._protect, self._unprotect = self._lib.srtp_protect, self._lib.srtp_unprotect

    def unprotect(self, datagram: bytes) -> bytes | None:
        """The RTP packet; None for one that is not this call's, or came before."""
        size = len(datagram)
        if size > DATAGRAM_BYTES:
            return None
        self._length[0] = size
        self._view[0:size] = datagram
        if self._unprotect(self._context, self._bytes, self._length):
            return None
        packet: bytes = self._view[0 : self._length[0]]
        return packet

    def protect(self, header: bytes, payload: bytes) -> bytes | None:
        """The datagram for a packet of a 12-byte header and its payload; None if libsrtp refuses."""
        size = _HEADER_BYTES + len(payload)
        if size > DATAGRAM_BYTES:
            return None
        self._length[0] = size
        self._view[0:_HEADER_BYTES] = header
        self._view[_HEADER_BYTES:size] = payload
        if self._protect(self._context, self._bytes, self._length):
            return None
        datagram: bytes = self._view[0 : self._length[0]]
        return datagram


class Wire(asyncio.DatagramProtocol):
    """Stands between a UDP socket and aioice: SRTP goes to the line, the rest on to aioice."""

    def __init__(self, line: "RawLine", stun: Any) -> None:
        self._line = line
        self._stun = stun

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        # RFC 7983 §7: 128..191 is RTP or RTCP; RFC 5761 §4: RTCP's packet types are 192..223.
        if len(data) > _HEADER_BYTES and 127 < data[0] < 192 and not 191 < data[1] < 224 and self._line.take(data):
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


def _never_decode(receiver: Any) -> None:
    start = receiver.receive

    async def receive_without_decoder(parameters: Any) -> None:
        await start(parameters)
        receiver._RTCRtpReceiver__stop_decoder()

    receiver.receive = receive_without_decoder


class MiddleLine:
    """Sound in and out of one connection's audio section, where aiortc hands RTP from one class to another."""

    tier: str = "middle"

    def __init__(self, transceiver: RTCRtpTransceiver, on_rtp: OnRtp, on_report: OnReport) -> None:
        self._transceiver: Any = transceiver
        self._receiver = cast(Any, transceiver.receiver)
        self._sender = cast(Any, transceiver.sender)
        self._on_rtp = on_rtp
        self._on_report = on_report
        self._sequence = random.getrandbits(15)  # the upper half is left free: a wrap in the first second breaks SRTP
        self._timestamp_origin = random.getrandbits(32)
        self._time = asyncio.get_running_loop().time
        self.last_heard = self._time()
        self.gate: Gate | None = None
        self.video_types: frozenset[int] = frozenset()  # payload types of what goes to `on_video`
        self.on_video: OnVideo | None = None
        self._showing: dict[int, Any] = {}  # whose video it is: aiortc's receivers by SSRC
        self.detoured = 0  # packets that came by aiortc's own path
        self.rejected = 0  # datagrams whose SRTP tag was wrong, or whose RTP header was cut or lied
        self._sender.replaceTrack(_Quiet())
        self._receiver._handle_rtp_packet = self._from_aiortc
        self._rtcp_to_aiortc = self._sender._handle_rtcp_packet
        self._sender._handle_rtcp_packet = self._reported
        _never_decode(self._receiver)

    def adopt(self, video: RTCRtpTransceiver) -> dict[int, str]:
        """Let a video section's packets come to `on_video`, undecoded; call it between an offer and its answer.

        Answered is what we read, in the offer's order: no retransmission, no header extension, of the feedback only
        requests for a key frame. Gives the codecs' names by payload type.
        """
        section: Any = video
        section._codecs = [codec for codec in section._codecs if codec.name in VIDEO_CODECS]
        for codec in section._codecs:
            codec.rtcpFeedback = [feedback for feedback in codec.rtcpFeedback if feedback.parameter == "pli"]
        section._headerExtensions = []
        if section.receiver.transport.transport.state == "closed":
            # a second section of a kind shares the first's transport, and aiortc leaves it there when it bundles that
            section.receiver.setTransport(self._receiver.transport)
            section.sender.setTransport(self._receiver.transport)
        if section.receiver._handle_rtp_packet != self._video_from_aiortc:
            section.receiver._handle_rtp_packet = self._video_from_aiortc
            _never_decode(section.receiver)
        return {codec.payloadType: codec.name for codec in section._codecs}

    def expect(self, streams: Mapping[int, RTCRtpTransceiver]) -> None:
        """Which video section a stream is of, by its SSRC; others are dropped."""
        self._showing = {ssrc: section.receiver for ssrc, section in streams.items()}

    def ask_key_frame(self, ssrc: int) -> None:
        """Ask the browser for a picture that needs no other (RFC 4585 §6.3.1); lost if there is no connection."""
        receiver = self._showing.get(ssrc)
        if receiver is not None:
            with contextlib.suppress(StopIteration, ConnectionError, OSError, pylibsrtp.Error):
                # it never waits either
                receiver._send_rtcp_pli(ssrc).send(None)

    def attach(self, red_type: int | None = None) -> None:
        """Learn what was negotiated, RED's payload type too; call it after each answer."""
        payload_type: int = self._transceiver._codecs[0].payloadType
        self.gate = self.gate or Gate(payload_type)
        self.gate.payload_type, self.gate.red_type = payload_type, red_type
        if red_type is not None:  # aiortc hands on what it has negotiated itself, and knows nothing of this
            self._receiver.transport._rtp_router.payload_type_table[red_type] = {self._receiver}

    def send(self, payload: bytes, timestamp: int, marker: bool, red: bool = False) -> bool:
        """Send one packet, Opus or RED; `timestamp` counts 48 kHz samples from any origin. False if it cannot leave."""
        gate, sender = self.gate, self._sender
        payload_type = None if gate is None else gate.red_type if red else gate.payload_type
        if payload_type is None:
            return False
        rtp_timestamp = timestamp + self._timestamp_origin & 0xFFFFFFFF
        sequence = self._sequence
        header = _RTP_HEADER.pack(0x80, marker << 7 | payload_type, sequence, rtp_timestamp, sender._ssrc)
        if not self._put(header, payload):
            return False
        self._sequence = sequence + 1 & 0xFFFF
        sender._RTCRtpSender__packet_count += 1
        sender._RTCRtpSender__octet_count += len(payload)
        if marker or not sequence % PACKETS_PER_CLOCK_PAIR:
            sender._RTCRtpSender__rtp_timestamp = rtp_timestamp
            sender._RTCRtpSender__ntp_timestamp = clock.current_ntp_time()
        return True

    async def close(self) -> None:
        """Nothing of its own to free: the sockets are the connection's."""

    def _put(self, header: bytes, payload: bytes) -> bool:
        try:
            # it is a coroutine that never waits, so it is done when it is first asked to go on
            self._receiver.transport._send_rtp(header + payload).send(None)
        except StopIteration:
            return True
        except (ConnectionError, OSError, pylibsrtp.Error):
            pass
        return False

    async def _from_aiortc(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        self.detoured += 1
        self._admit(packet.payload_type, packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload)

    async def _video_from_aiortc(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        self.detoured += 1
        type_, marker = packet.payload_type, bool(packet.marker)
        self._see(type_, packet.sequence_number, packet.timestamp, packet.ssrc, marker, packet.payload)

    def _see(self, payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool, payload: bytes) -> None:
        self.last_heard = now = self._time()
        receiver = self._showing.get(ssrc)
        if receiver is None:
            if self.gate is not None:
                self.gate.drop("ssrc")
            return
        streams = receiver._RTCRtpReceiver__remote_streams
        reception = streams.get(ssrc)
        if reception is None:
            streams.clear()
            streams[ssrc] = Reception(sequence, timestamp, now, VIDEO_TICKS_PER_SECOND)
        else:
            reception.add(sequence, timestamp, now)
        if self.on_video is not None:
            self.on_video(payload_type, sequence, timestamp, ssrc, marker, payload)

    def _admit(self, payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> None:
        self.last_heard = now = self._time()
        gate = self.gate
        if gate is None or not gate.admit(payload_type, ssrc, len(payload), now):
            return
        red = b""
        if payload_type == gate.red_type:
            red, payload = payload, primary(payload, gate.payload_type)
            if not payload:
                gate.drop("red")
                return
        streams = self._receiver._RTCRtpReceiver__remote_streams
        reception = streams.get(ssrc)
        if reception is None:
            streams.clear()  # the report block of a stream that ended would overflow the report one day
            streams[ssrc] = Reception(sequence, timestamp, now)
        else:
            reception.add(sequence, timestamp, now)
        self._on_rtp(sequence, timestamp, ssrc, payload, red)

    async def _reported(self, packet: Any) -> None:
        """A sender's or receiver's report of the browser's: aiortc reads it, and so do we (RFC 3550 §6.4)."""
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._sender._ssrc:
                    self._on_report(report.fraction_lost / 256)
        await self._rtcp_to_aiortc(packet)


class RawLine(MiddleLine):
    """The same from the socket itself: the shortest way that there is."""

    tier = "raw"

    def __init__(self, transceiver: RTCRtpTransceiver, on_rtp: OnRtp, on_report: OnReport) -> None:
        super().__init__(transceiver, on_rtp, on_report)
        self._inbound: _Srtp | None = None
        self._outbound: _Srtp | None = None
        self._dtls: Any = None
        self._ice: Any = None
        self._pair: Any = None  # what was nominated when the last packet left,
        self._sendto: Any = None  # its socket's
        self._address: Any = None  # and where the browser is

    def attach(self, red_type: int | None = None) -> None:
        """Put a `Wire` before each of the connection's sockets, too."""
        super().attach(red_type)
        # bundling may have swapped the transport; it does so before there is an answer
        self._dtls = self._receiver.transport
        self._ice = self._dtls.transport._connection
        for protocol in self._ice._protocols:
            # a TURN relay's transport is aioice's own and takes no other protocol: its RTP comes by `_from_aiortc`
            transport: Any = getattr(protocol, "transport", None)
            if hasattr(transport, "set_protocol") and not isinstance(transport.get_protocol(), Wire):
                transport.set_protocol(Wire(self, protocol))
                if hasattr(transport, "max_size"):
                    transport.max_size = DATAGRAM_BYTES

    def overheard(self, addr: tuple[Any, ...]) -> None:
        """A datagram that is no sound came from `addr`: the browser lives if it is the nominated one."""
        pair = self._ice._nominated.get(1)
        if pair is not None and addr[:2] == pair.remote_addr:
            self.last_heard = self._time()

    def take(self, datagram: bytes) -> bool:
        """One SRTP datagram from the wire, up to the Opus payload; False before DTLS is done."""
        inbound = self._inbound
        session = self._dtls._rx_srtp
        if inbound is None or inbound.session is not session:
            if session is None:
                return False
            inbound = self._inbound = _Srtp(session)
        packet = inbound.unprotect(datagram)
        try:
            if packet is None:
                raise ValueError
            first, second, sequence, timestamp, ssrc = _RTP_HEADER.unpack_from(packet)
            start = _HEADER_BYTES + 4 * (first & 0x0F)
            if first & 0x10:  # RFC 3550 §5.3.1: one header extension, its length in words
                start += 4 + 4 * (packet[start + 2] << 8 | packet[start + 3])
            # §5.1: the last byte of padding counts it, itself included
            end = len(packet) - (packet[-1] or DATAGRAM_BYTES if first & 0x20 else 0)
            if end < start:
                raise ValueError
        except (ValueError, struct.error, IndexError):
            self.rejected += 1
            return True
        payload_type = second & 0x7F
        if payload_type in self.video_types:
            self._see(payload_type, sequence, timestamp, ssrc, second > 0x7F, packet[start:end])
        else:
            self._admit(payload_type, sequence, timestamp, ssrc, packet[start:end])
        return True

    def _put(self, header: bytes, payload: bytes) -> bool:
        if self._ice is None:
            return False
        pair = self._ice._nominated.get(1)
        if pair is not self._pair or pair is None:
            if pair is None:
                return False
            self._pair, self._sendto, self._address = pair, pair.protocol.transport.sendto, pair.remote_addr
        session, outbound = self._dtls._tx_srtp, self._outbound
        if outbound is None or outbound.session is not session:
            if session is None:
                return False
            outbound = self._outbound = _Srtp(session)
        datagram = outbound.protect(header, payload)
        if datagram is None:
            return False
        try:
            self._sendto(datagram, self._address)
        except OSError:
            return False
        return True
