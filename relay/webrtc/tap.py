"""Raw RTP in and out of an aiortc connection, past its media path: private parts of its libraries are touched here.

aiortc's own audio path costs five times the CPU and its jitter buffer never recovers from a lost packet. Two lines
go past it, and everything else (ICE, DTLS, SCTP) stays with aiortc and aioice; what the browser is told about its
packets and ours stays true:

- `wire.RawLine` takes each datagram as it comes from the socket and hands it to libsrtp in place; on the way out it
  protects our packets and sends them on the nominated pair.
- `MiddleLine`, here, takes RTP where aiortc hands it to its receiver and gives it back where aiortc sends: fewer
  touches, and a third more CPU.

| touch | for |
|---|---|
| `RTCRtpReceiver._handle_rtp_packet` | RTP in, before the jitter buffer; a TURN relay's on the raw line too |
| `RTCRtpReceiver.__remote_streams` | receiver reports |
| `RTCRtpReceiver.__stop_decoder` | no idle decoder thread |
| `RTCDtlsTransport._rtp_router`, `RtpRouter.payload_type_table` | RED in, which aiortc does not know |
| `RTCDtlsTransport._send_rtp` | RTP out |
| `RTCRtpSender._handle_rtcp_packet` | what the browser reports of our packets |
| `RTCRtpSender._ssrc`, `__packet_count`, `__octet_count`, `__rtp_timestamp`, `__ntp_timestamp` | our reports |
| `RTCRtpTransceiver._codecs`, `_headerExtensions` | our payload type; what is answered for video |
| `RTCRtpReceiver._send_rtcp_pli` | ask for a key frame |

Each line's `lacks` looks at all of these once at start; what is missing decides the tier for every call. Documented API
alone is what `public.PublicLine` uses. `wire.py`, `srtp.py` and `tame.py` have the other private parts.
"""

import asyncio
import contextlib
import inspect
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import pylibsrtp
from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, clock
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtp import RtcpRrPacket, RtcpSrPacket, RtpPacket

from relay.audio.red import primary
from relay.webrtc.gate import Gate
from relay.webrtc.reception import Reception
from relay.webrtc.rtcp import Reports
from relay.webrtc.tame import ignore

# A sender report says at what wall clock an RTP timestamp was sent (RFC 3550 §6.4.1); any recent pair is as true.
PACKETS_PER_CLOCK_PAIR: Final = 25
# What we read of a browser's video, by aiortc's names; their clock (RFC 7741 §6.1, RFC 6184 §8.2.1).
VIDEO_CODECS: Final = frozenset(("VP8", "H264"))
VIDEO_TICKS_PER_SECOND: Final = 90_000

RTP_HEADER: Final = struct.Struct("!BBHII")

OnRtp = Callable[[int, int, int, bytes, bytes], None]
"""sequence, timestamp (48 kHz), SSRC, Opus payload, and the RED payload it came in (RFC 2198) or nothing"""

OnVideo = Callable[[int, int, int, int, bool, bytes], None]
"""payload type, sequence, timestamp (90 kHz), SSRC, marker, payload"""

OnReport = Callable[[float], None]
"""the share (0 to 1) of our packets that the browser lost since its last report"""


def absent(*wanted: tuple[object, str]) -> list[str]:
    """Which attributes are not there."""
    return [f"{type(owner).__name__}.{name}" for owner, name in wanted if not hasattr(owner, name)]


def changed(*wanted: tuple[type, str, list[str]]) -> list[str]:
    """Which methods are not there, or take other parameters."""
    methods = ((owner, name, getattr(owner, name, None), parameters) for owner, name, parameters in wanted)
    return [
        f"{owner.__name__}.{name}"
        for owner, name, method, parameters in methods
        if method is None or list(inspect.signature(method).parameters) != parameters
    ]


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
    reads_red = True
    reports: Reports | None = None  # aiortc reads them

    @classmethod
    def lacks(cls, parts: RTCRtpTransceiver) -> list[str]:
        """The touches that are missing in the installed libraries, seen at an audio section of theirs; none is good."""
        return [*cls.shared(parts), *changed((RTCDtlsTransport, "_send_rtp", ["self", "data"]))]

    @staticmethod
    def shared(parts: RTCRtpTransceiver) -> list[str]:
        """The same of those that the raw line has, too."""
        receiver, sender = parts.receiver, parts.sender
        return absent(
            (receiver, "_RTCRtpReceiver__remote_streams"),
            (receiver, "_RTCRtpReceiver__stop_decoder"),
            (sender, "_ssrc"),
            (sender, "_RTCRtpSender__packet_count"),
            (sender, "_RTCRtpSender__octet_count"),
            (sender, "_RTCRtpSender__rtp_timestamp"),
            (sender, "_RTCRtpSender__ntp_timestamp"),
            (parts, "_codecs"),
            (parts, "_headerExtensions"),
            (getattr(receiver.transport, "_rtp_router", None), "payload_type_table"),
        ) + changed(
            (RTCRtpReceiver, "_handle_rtp_packet", ["self", "packet", "arrival_time_ms"]),
            (RTCRtpReceiver, "_send_rtcp_pli", ["self", "media_ssrc"]),
            (RTCRtpSender, "_handle_rtcp_packet", ["self", "packet"]),
        )

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
        if self.gate is None:
            self.gate = Gate(payload_type)
        self.gate.renegotiated()
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
        header = RTP_HEADER.pack(0x80, marker << 7 | payload_type, sequence, rtp_timestamp, sender._ssrc)
        if not self._put(header, payload):
            return False
        self._sequence = sequence + 1 & 0xFFFF
        sender._RTCRtpSender__packet_count += 1
        sender._RTCRtpSender__octet_count += len(payload)
        if marker or not sequence % PACKETS_PER_CLOCK_PAIR:
            sender._RTCRtpSender__rtp_timestamp = rtp_timestamp
            sender._RTCRtpSender__ntp_timestamp = clock.current_ntp_time()
        return True

    @property
    def video(self) -> "MiddleLine":
        """It takes pictures, too."""
        return self

    def silence(self, now: float) -> float | None:
        """Only aiortc knows when the browser was last heard: checks and messages do not come by here."""
        return None

    def deafen(self) -> None:
        """Take packets as ever, but let nobody hear or see them."""
        self._on_rtp = self._on_report = self.on_video = ignore

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
