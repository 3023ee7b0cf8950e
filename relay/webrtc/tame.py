"""What aiortc would do to us if we let it: the parts of a connection that must not hang, leak or grow.

These are private parts of aiortc and aioice, like those in `tap.py` and `wire.py`; each has a fallback of its own when
a release has changed it:

| touch | for | when it is gone |
|---|---|---|
| `RTCRtpReceiver`, `RTCRtpSender`: `__rtcp_exited`, `__rtp_exited`, … | unhang `close()` | the sockets are cut |
| `Connection.get_component_candidates` | a dead TURN server delays no answer | it does, for 5 s |
| `aioice.turn.create_turn_endpoint` | a TURN server passes on what the browser sends | strict ones do for 5 min |
| `Connection._nominated` | the chosen pair in the call's summary | it is not told |
| `TurnTransport.__inner_protocol`, `__close_task` | cut off a dead TURN server | it is waited for |
| `aioice.ice.get_host_addresses` | bind only the addresses the operator chose | all but loopback are bound |
| `aiortc.rtcsctptransport.USERDATA_MAX_LENGTH` | 1280-byte paths | aiortc's own 1160 bytes |
| `RTCSctpTransport._handle_data`, `_receive` | junk ends no call | it does, as aiortc has it |
| `RTCSctpTransport._send_chunk` | a closed path is no error per message | the log tells each |
| `StunProtocol.datagram_received`, `RTCDtlsTransport._handle_rtp_data`, `_handle_rtcp_data` | the same | the same |
| `RTCSctpTransport._data_channel_queue`, `_outbound_queue`, `_sent_queue` | lost messages come again | they do not |
| `RTCDtlsTransport._rtp_router`, `RtpRouter.ssrc_table` | invented streams take no memory | they do |
| `RTCIceTransport._connection`, `_recv`, `_send`, `RTCIceGatherer._connection` | one port | a socket for each call |
| `RTCRtpTransceiver._bundled` | the same | the same |
| the members of all of these, once closed | nothing is left to the garbage collector | it is |
"""

import asyncio
import contextlib
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import aioice.ice
import aioice.turn
import aiortc.rtcsctptransport
from aiortc import RTCPeerConnection, RTCRtpTransceiver
from aiortc.rtcsctptransport import SCTP_DATA_LAST_FRAG, WEBRTC_DCEP

from relay.apart import take_apart
from relay.webrtc.gate import Pace

# A 1280-byte path (VPN, Tailscale, the least IPv6) carries this much user data after IP, UDP, DTLS and SCTP.
SCTP_USER_DATA_BYTES: Final = 1100
# pylibsrtp's buffer; Ethernet carries no more in one piece, and browsers stop at 1200.
MAX_DATAGRAM_BYTES: Final = 1500
# A browser's receiver and sender reports are one or two a second; feedback on a bad path comes more often.
REPORTS_PER_SECOND: Final = 20.0
BURST_REPORTS: Final = 50.0
# aiortc notes each stream it was ever sent. A call has two or three of them.
MAX_STREAMS: Final = 64
# A permission on a TURN server lasts 300 s (RFC 8656 §9).
PERMISSION_SECONDS: Final = 240.0
# How long aiortc may take for its own close before its events are set for it, then before sockets are cut.
CLOSE_SECONDS: Final = 0.6
FORCED_CLOSE_SECONDS: Final = 0.2

log = logging.getLogger(__name__)

_lend: Final[Any] = aioice.turn.create_turn_endpoint


def choose_addresses(addresses: Iterable[str]) -> None:
    """Let ICE bind and offer these local addresses only (process-wide)."""
    chosen = list(addresses)

    def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return [a for a in chosen if (use_ipv6 if ":" in a else use_ipv4)]

    aioice.ice.get_host_addresses = host_addresses


def limit_sctp_fragments() -> None:
    """Keep data-channel packets small enough for 1280-byte paths (process-wide)."""
    aiortc.rtcsctptransport.USERDATA_MAX_LENGTH = min(SCTP_USER_DATA_BYTES, aiortc.rtcsctptransport.USERDATA_MAX_LENGTH)


def survive_bad_messages(sctp: Any) -> None:
    """Let no message of the browser end its own call: aiortc's DTLS task dies of an exception in its SCTP.

    Text that is no UTF-8 arrives with its bad bytes replaced; anything else that aiortc trips over is dropped.
    """
    if not hasattr(sctp, "_handle_data") or not hasattr(sctp, "_receive") or hasattr(sctp, "survives"):
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

    async def send_or_keep(chunk: Any) -> None:
        # the path is closed; a task that nobody asks would say so, each time
        with contextlib.suppress(ConnectionError):
            await send(chunk)

    sctp._handle_data, sctp._receive, sctp.survives = handle_or_drop, receive_text, True
    if hasattr(sctp, "_send_chunk"):
        send, sctp._send_chunk = sctp._send_chunk, send_or_keep


def survive_bad_datagrams() -> None:
    """Let no datagram that anybody can send raise in aioice, where it fills the log, or end a call (process-wide).

    aiortc's DTLS task dies of an empty datagram, and of one that is too long for SRTP, whoever sent it. What is
    dropped is told to `on_junk` of the connection that got it, if it has one; see `survive_bad_rtp`.
    """
    protocol: Any = aioice.ice.StunProtocol
    receive = getattr(protocol, "datagram_received", None)
    if receive is None or hasattr(receive, "__wrapped__"):
        return

    @functools.wraps(receive)
    def receive_or_drop(self: Any, data: bytes, addr: Any) -> None:
        connection = self.receiver
        connection.datagrams = getattr(connection, "datagrams", 0) + 1
        if 0 < len(data) <= MAX_DATAGRAM_BYTES:
            try:
                return receive(self, data, addr)  # type: ignore[no-any-return]
            except Exception as error:
                log.debug("dropped what aioice cannot read: %s", type(error).__name__)
        getattr(connection, "on_junk", ignore)()
        return None

    protocol.datagram_received = receive_or_drop


def survive_bad_rtp(dtls: Any, on_junk: Callable[[], object]) -> None:
    """Let no RTP or RTCP end the call of the browser that sent it, write into the log, or keep the others waiting.

    `on_junk` is called for every packet dropped here or by `survive_bad_datagrams`.
    """
    if not hasattr(dtls, "_handle_rtcp_data") or not hasattr(dtls, "_handle_rtp_data") or hasattr(dtls, "survives"):
        return
    connection = getattr(getattr(dtls, "transport", None), "_connection", None)
    if connection is not None:
        connection.on_junk = on_junk
    take_rtp, take_rtcp, table = dtls._handle_rtp_data, dtls._handle_rtcp_data, _streams(dtls)
    time, pace = asyncio.get_running_loop().time, Pace(REPORTS_PER_SECOND, BURST_REPORTS)
    first = set(table)

    async def or_drop(handling: Awaitable[None]) -> None:
        try:
            await handling
        except ConnectionError:
            raise
        except Exception as error:
            log.debug("dropped what aiortc cannot read: %s", type(error).__name__)
            on_junk()

    async def rtp_or_drop(data: bytes, arrival_time_ms: int) -> None:
        await or_drop(take_rtp(data, arrival_time_ms=arrival_time_ms))
        if len(table) > MAX_STREAMS:
            for ssrc in [ssrc for ssrc in table if ssrc not in first]:
                del table[ssrc]

    async def rtcp_or_drop(data: bytes) -> None:
        if not pace.admit(time()):
            on_junk()
            return
        await or_drop(take_rtcp(data))

    dtls._handle_rtp_data, dtls._handle_rtcp_data, dtls.survives = rtp_or_drop, rtcp_or_drop, True


def _streams(dtls: Any) -> dict[int, Any]:
    table: dict[int, Any] = getattr(getattr(dtls, "_rtp_router", None), "ssrc_table", {})
    return table


def ice_connection(transceiver: RTCRtpTransceiver) -> Any:
    """aioice's connection below a section, or what stands in its place; None if it is somewhere else now."""
    return getattr(transceiver.receiver.transport.transport, "_connection", None)


def datagrams(connection: Any) -> int | None:
    """How many datagrams came for a connection that were no sound of its call; None if nobody has counted."""
    counted = hasattr(getattr(aioice.ice.StunProtocol, "datagram_received", None), "__wrapped__")
    found: int | None = getattr(connection, "datagrams", 0 if counted else None)
    return found


def nominated(connection: Any) -> Any:
    """The candidate pair that a connection sends on; None while there is none."""
    return getattr(connection, "_nominated", {}).get(1)


def hurry_gathering(connection: Any, seconds: float) -> None:
    """Wait so long at most for STUN and TURN servers, before an answer goes out without them."""
    gather = getattr(connection, "get_component_candidates", None)
    if gather is not None and "timeout" in inspect.signature(gather).parameters:
        connection.get_component_candidates = functools.partial(gather, timeout=seconds)


def hold_permissions(seconds: float = PERMISSION_SECONDS) -> None:
    """On TURN servers that lend us an address, renew so often the permissions of our peers (process-wide).

    aioice renews the channel alone, in time for the channel, which lasts twice as long as the permission that comes
    with it (RFC 8656 §9 and §12). coturn makes that last as long; other servers need not.
    """
    if "channel_refresh_time" in inspect.signature(_lend).parameters:
        aioice.turn.create_turn_endpoint = functools.partial(_lend, channel_refresh_time=seconds)


def ignore(*_: object) -> None:
    """Who is told when nobody wants to know."""


def lacks_for_replacing(audio: Any) -> list[str]:
    """The parts that `replace_ice` touches and that are missing, seen at a connection's first section; none is good."""
    ice = getattr(audio.receiver.transport, "transport", None)
    wanted = (
        *((ice, name) for name in ("_connection", "_recv", "_send")),
        (getattr(ice, "iceGatherer", None), "_connection"), (audio, "_bundled"),
    )  # fmt: skip
    return [f"{type(owner).__name__}.{name}" for owner, name in wanted if not hasattr(owner, name)]


def replace_ice(audio: Any, connection: Any) -> None:
    """Put an ICE connection of ours where aiortc has made one of aioice's; its sections must share one transport.

    The section then counts as bundled: with a shared transport aiortc would stop it if it is not the offer's first.
    """
    ice = audio.receiver.transport.transport
    ice._connection = ice.iceGatherer._connection = connection
    ice._recv, ice._send = connection.recv, connection.send
    audio._bundled = True


def unacknowledged(sctp: Any) -> int:
    """How many of our messages, the newest, have not been acknowledged by the browser's SCTP in their order."""
    try:
        chunks = (chunk for queue in (sctp._sent_queue, sctp._outbound_queue) for chunk in queue)
        ours = [protocol for _, protocol, _ in sctp._data_channel_queue]
        ours += [chunk.protocol for chunk in chunks if chunk.flags & SCTP_DATA_LAST_FRAG]
        return len(ours) - ours.count(WEBRTC_DCEP)
    except (AttributeError, TypeError, ValueError):
        return 0


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
        for connection in _connections(pc):
            for protocol in getattr(connection, "_protocols", ()):
                _cut(protocol.transport)
    stop_asking(pc)
    if closing.done() and not closing.cancelled() and (error := closing.exception()) is not None:
        log.debug("aiortc's close failed: %s", type(error).__name__)


def stop_asking(pc: RTCPeerConnection) -> None:
    """Closed just as it connects, aioice begins all the same to ask the browser for its consent, for half a minute."""
    for connection in _connections(pc):
        asking = getattr(connection, "_query_consent_task", None)
        if asking is not None:
            asking.cancel()


def _connections(pc: RTCPeerConnection) -> list[Any]:
    """The ICE connections of its sections, ours or aioice's."""
    return [getattr(section.receiver.transport.transport, "_connection", None) for section in pc.getTransceivers()]


def forget(pc: RTCPeerConnection) -> None:
    """Take a closed connection apart, once. Whatever a changed aiortc keeps elsewhere waits for the collector."""
    sections = pc.getTransceivers()
    transports = {part.transport for part in (*(section.receiver for section in sections), pc.sctp) if part is not None}
    ice = [getattr(transport, "transport", None) for transport in transports]
    whole: list[object] = [pc, pc.sctp, *sections, *transports, *ice]
    whole += [part for section in sections for part in (section.sender, section.receiver)]
    whole += [getattr(part, name, None) for part in ice for name in ("iceGatherer", "_connection")]
    take_apart(*(part for part in whole if hasattr(part, "__dict__")))


def _cut(transport: Any) -> None:
    """End a socket now; of one that is a TURN server's the connection to that server, and its farewell."""
    inner = getattr(transport, "_TurnTransport__inner_protocol", None)
    if inner is None:
        if hasattr(transport, "abort"):
            transport.abort()
        return
    farewell = getattr(transport, "_TurnTransport__close_task", None)
    if farewell is not None:
        farewell.cancel()
    if inner.refresh_task is not None:
        inner.refresh_task.cancel()
    inner.transport.abort()
