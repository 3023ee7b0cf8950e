"""Targets of one packet: each takes any bytes, and fails by an assertion or an exception if they do harm.

What somebody else's code says of the same bytes is the measure where there is somebody: aiortc of RTP and RTCP, libopus
of Opus.
"""

import asyncio
import ctypes
import functools
import mmap
import sys
from types import SimpleNamespace
from typing import Any, Final, cast

from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpRouter
from aiortc.rtp import RtpPacket
from aiortc.sdp import SessionDescription

from relay.audio import opus, red
from relay.audio.opus import Decoder, OpusError
from relay.audio.packet import (
    DECODED_RATE,
    FRAME_TICKS,
    MAX_PACKET_TICKS,
    MAX_PAYLOAD_BYTES,
    TICKS_PER_SECOND,
    duration,
    fec_ticks,
)
from relay.errors import BrowserFault
from relay.webrtc import sdp, tame
from relay.webrtc.gate import MAX_RED_BYTES, Gate
from relay.webrtc.tap import OnRtp
from relay.webrtc.wire import RawLine
from tests import virtual
from tests.fuzz.reader import Reader

OPUS: Final = 111
RED: Final = 63
OUR_SSRC: Final = 0x1234
BYTES_PER_TICK: Final = 2 * DECODED_RATE / TICKS_PER_SECOND


async def _ignored(packet: Any) -> None:
    pass


class _Sender(SimpleNamespace):
    """What a line touches of aiortc's; a router keeps it in a set."""

    def __init__(self) -> None:
        super().__init__(replaceTrack=lambda track: None, _handle_rtcp_packet=_ignored, _ssrc=OUR_SSRC)

    __hash__ = object.__hash__  # type: ignore[assignment]


def raw_line(on_rtp: OnRtp) -> RawLine:
    """A raw line without a connection, whose SRTP lets everything through. Call it inside a loop."""
    session = object()
    transceiver: Any = SimpleNamespace(
        receiver=SimpleNamespace(
            transport=SimpleNamespace(_rx_srtp=session, _tx_srtp=None),
            receive=_ignored,
            _RTCRtpReceiver__remote_streams={},
        ),
        sender=_Sender(),
    )
    line: Any = RawLine(transceiver, on_rtp, lambda report: None)
    line._dtls = transceiver.receiver.transport
    line._inbound = SimpleNamespace(session=session, unprotect=lambda datagram: datagram)
    line.gate = Gate(OPUS, RED)
    return cast(RawLine, line)


@functools.cache
def _line() -> tuple[RawLine, list[tuple[int, int, int, bytes, bytes]]]:
    heard: list[tuple[int, int, int, bytes, bytes]] = []

    async def make() -> RawLine:
        return raw_line(lambda *packet: heard.append(packet))

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(make()), heard
    finally:
        loop.close()


def rtp(data: bytes) -> None:
    """One packet as it comes out of SRTP: what aiortc's own parser finds in it reaches the uplink, or nothing."""
    line, heard = _line()
    line.gate, line.rejected = Gate(OPUS, RED), 0
    heard.clear()
    packet = bytes([data[0] & 0x3F | 0x80]) + data[1:] if data else data
    assert line.take(packet)
    try:
        theirs = RtpPacket.parse(packet)
    except ValueError as error:
        if "header extension" in str(error):
            return  # it is stepped over here, not read
        assert not heard
        assert line.rejected == 1
        return
    bare = theirs.payload_type == OPUS and 0 < len(theirs.payload) <= MAX_PAYLOAD_BYTES
    with_copies = theirs.payload_type == RED and 0 < len(theirs.payload) <= MAX_RED_BYTES
    payload = red.primary(theirs.payload, OPUS) if with_copies else theirs.payload if bare else b""
    assert line.rejected == 0
    if not payload:
        assert not heard
        assert sum(line.gate.dropped.values()) == 1
        return
    outer = theirs.payload if with_copies else b""
    assert heard == [(theirs.sequence_number, theirs.timestamp, theirs.ssrc, payload, outer)]


def redundant(data: bytes) -> None:
    """One RED payload: read as RFC 2198 has it, word by word, or refused."""
    found = red.read(data, OPUS)
    assert red.primary(data, OPUS) == (found.primary if found else b"")
    assert found == _red_by_the_book(data)
    if found is not None:
        assert red.write(*found, OPUS) == data


def _red_by_the_book(data: bytes) -> red.Red | None:
    reader, headers = Reader(data), list[tuple[int, int]]()
    while (first := reader.number()) & 0x80:
        if first != 0x80 | OPUS or len(headers) == red.MAX_BLOCKS:
            return None
        header = reader.number(3)
        headers.append((header >> 10, header & 0x3FF))
    if first != OPUS or not reader:
        return None
    blocks = [red.Block(before, reader.take(length)) for before, length in headers]
    return red.Red(primary, tuple(blocks)) if (primary := reader.take(len(data))) else None


async def _read_by_aiortc(data: bytes) -> tuple[list[float], int]:
    """Give it to a DTLS transport's own reader of RTCP: the losses that reach us, and what was too much for it."""
    losses: list[float] = []
    junk: list[bool] = []
    line: Any = raw_line(lambda *packet: None)
    line._on_report = losses.append
    dtls: Any = RTCDtlsTransport.__new__(RTCDtlsTransport)
    dtls._rtp_router = RtpRouter()
    dtls._RTCDtlsTransport__log_debug = lambda *words: None
    dtls._rtp_router.register_sender(line._sender, ssrc=OUR_SSRC)
    tame.survive_bad_rtp(dtls, lambda: junk.append(True))
    await dtls._handle_rtcp_data(data)
    return losses, len(junk)


def rtcp(data: bytes) -> None:
    """One RTCP datagram as it comes out of SRTP: what it says of our losses is a share, and nothing escapes."""
    losses, junk = virtual.run(_read_by_aiortc(data))
    assert all(0 <= lost < 1 for lost in losses)
    assert junk <= 1


@functools.cache
def _libopus() -> Any:
    return ctypes.CDLL(next(opus._places()))


class _Fenced:
    """Memory that ends where reading further is fatal."""

    def __init__(self) -> None:
        size = -(-MAX_PAYLOAD_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, size + mmap.PAGESIZE)
        self._end = size
        if sys.platform == "linux":
            start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0

    def holding(self, payload: bytes) -> Any:
        """`payload`, right before the end, as libopus takes it; good until the next."""
        start = self._end - len(payload)
        self._memory[start : self._end] = payload
        return opus._C.from_buffer("char[]", memoryview(self._memory)[start : self._end])


@functools.cache
def _fence() -> _Fenced:
    return _Fenced()


def _shape_by_libopus(payload: bytes) -> tuple[int, int]:
    """Duration and the ticks that FEC restores; 0, 0 for no packet."""
    lib = _libopus()
    ticks = lib.opus_packet_get_nb_samples(payload, len(payload), TICKS_PER_SECOND)
    fec = lib.opus_packet_has_lbrr(payload, len(payload))
    if ticks <= 0 or fec < 0:
        return 0, 0
    return ticks, lib.opus_packet_get_samples_per_frame(payload, TICKS_PER_SECOND) if fec else 0


def decoded(data: bytes) -> None:
    """One Opus payload: its shape is what libopus finds, decoding reads no further, and what follows is decoded."""
    ticks = duration(data)
    restorable = fec_ticks(data) if ticks else 0
    decoder = Decoder()
    decoder.decode(opus.SILENCE)
    fenced = _fence().holding(data) if 0 < len(data) <= MAX_PAYLOAD_BYTES else data
    assert len(decoder.recover(fenced, FRAME_TICKS)) == FRAME_TICKS * BYTES_PER_TICK
    if restorable:
        assert len(decoder.recover(fenced, restorable)) == restorable * BYTES_PER_TICK
    try:
        pcm = decoder.decode(fenced)
    except OpusError:
        pass
    else:
        assert (ticks, restorable) == _shape_by_libopus(data)
        assert len(pcm) == ticks * BYTES_PER_TICK <= MAX_PACKET_TICKS * BYTES_PER_TICK
    assert len(decoder.conceal(FRAME_TICKS)) == FRAME_TICKS * BYTES_PER_TICK
    assert len(decoder.decode(opus.SILENCE)) == FRAME_TICKS * BYTES_PER_TICK


def _candidates(screened: str) -> list[Any]:
    """Where aiortc would send to; nowhere if the text is nothing to it."""
    try:
        session = SessionDescription.parse(screened)
    except Exception:  # whatever Python raises; `Peer.answer` makes one refusal of it
        return []
    return [candidate for media in session.media for candidate in media.ice_candidates]


def offered(data: bytes) -> None:
    """One offer: screened or refused with a code; whatever it was, an answer like it is finished, and to itself."""
    text = data.decode("utf-8", "replace")
    try:
        screened = sdp.screen(text)
    except BrowserFault as fault:
        refused = fault.code
        assert refused
    else:
        assert sdp.screen(screened) == screened
        assert not _candidates(screened)
        assert sdp.opus_payload_type(screened) == sdp.opus_payload_type(text)
    once = sdp.finish(text, text)
    asked = sdp.red_payload_type(text)
    answered = sdp.red_payload_type(once)
    assert all(ssrc < 1 << 32 for ssrcs in sdp.video_streams(text).values() for ssrc in ssrcs)
    assert sdp.video_streams(sdp.bound_video(text)) == sdp.video_streams(text)
    assert answered is None or (answered == asked and answered != sdp.opus_payload_type(once))
