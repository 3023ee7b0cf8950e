"""One peer connection: an offer in, an answer out, one audio line, one data channel, and a close that always ends.

The browser offers; we answer. Its candidates are never used (see `sdp.screen`), so only a browser that proves it
knows our ICE password is ever sent anything. The first two video sections, camera and screen, are answered recvonly;
a third, a second audio section, and all video where only the public line works, inactive.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, cast

from aiortc import (
    RTCBundlePolicy,
    RTCDataChannel,
    RTCInboundRtpStreamStats,
    RTCPeerConnection,
    RTCRemoteInboundRtpStreamStats,
    RTCSessionDescription,
    RTCTransportStats,
)
from aiortc.exceptions import InvalidStateError
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.sdp import candidate_from_sdp

from relay.apart import take_apart
from relay.audio.packet import TICKS_PER_SECOND
from relay.errors import BrowserFault, OurBug
from relay.metrics import Quality
from relay.outbox import Fate
from relay.webrtc import sdp, tame
from relay.webrtc.candidates import Candidates
from relay.webrtc.eyes import Eyes
from relay.webrtc.media import Line, Media
from relay.webrtc.path import Path, chosen, trouble
from relay.webrtc.port.connection import Connection
from relay.webrtc.reach import GATHER_SECONDS

# The whole limit: an offer is answered in under 50 ms, and what takes longer is our own gathering of addresses.
ANSWER_SECONDS: Final = 5.0
# Above the first mark what can be left out (interim captions, levels) is left out; above the second the reader is dead.
BACKLOG_BYTES: Final = 256 * 1024
DEAD_BACKLOG_BYTES: Final = 1024 * 1024
# The clients open one data channel; more than a few are an attack.
MAX_CHANNELS: Final = 8


class PeerEvents(Protocol):
    """What a peer tells its owner; every call comes from the event loop and must not block.

    The events name their peer, because an owner may have replaced it.
    """

    def on_rtp(self, sequence: int, timestamp: int, ssrc: int, payload: bytes, red: bytes) -> None: ...
    def on_pcm(self, pcm: bytes) -> None: ...
    def on_report(self, fraction_lost: float) -> None: ...
    def on_picture(self, track: int, jpeg: bytes) -> None: ...
    def on_open(self, peer: "Peer") -> None: ...
    def on_message(self, peer: "Peer", frame: str | bytes) -> None: ...
    def on_connected(self, peer: "Peer") -> None: ...
    def on_lost(self, peer: "Peer", *, hung_up: bool = False) -> None: ...


class Peer:
    """The browser's end of a call. `answer` first (again for a renegotiation), `close` last."""

    def __init__(self, media: Media, events: PeerEvents) -> None:
        self._events = events
        self._reach = media.reach
        configuration = media.reach.configuration()
        if media.port is not None:
            configuration.bundlePolicy = RTCBundlePolicy.MAX_BUNDLE  # one transport, made once
        self._pc = RTCPeerConnection(configuration)
        self._candidates = Candidates(media.reach.private)
        self._channel: RTCDataChannel | None = None
        self._channels = 0
        self._heard: tuple[int, float] = (0, asyncio.get_running_loop().time())
        self._closing: asyncio.Future[None] | None = None
        self._audio = audio = self._pc.addTransceiver("audio", direction="sendrecv")
        self._connection: Connection | None = None
        if media.port is not None:
            self._connection = Connection(media.port)
            tame.replace_ice(audio, self._connection)
        capabilities = RTCRtpReceiver.getCapabilities("audio")
        assert capabilities is not None, "aiortc knows audio"
        audio.setCodecPreferences([c for c in capabilities.codecs if c.mimeType.lower() == "audio/opus"])
        self.line: Line = media.line(audio, events.on_rtp, events.on_pcm, events.on_report)
        self._eyes = Eyes(video, events.on_picture) if (video := self.line.video) is not None else None
        self.send_rtp: Callable[[bytes, int, bool, bool], bool] = self.line.send  # no step between
        self._pc.on("connectionstatechange", self._state_changed)
        self._pc.on("datachannel", self._channel_offered)

    async def answer(self, offer: str) -> str:
        """The SDP answer to a screened or unscreened `offer`.

        Raises `BrowserFault` for what cannot be answered, `OurBug` if it takes longer than `ANSWER_SECONDS`.
        """
        screened = sdp.screen(offer)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._pc.setRemoteDescription(RTCSessionDescription(sdp=screened, type="offer"))
                for transceiver in self._pc.getTransceivers():
                    if transceiver is not self._audio:
                        transceiver.direction = "inactive"
                if self._eyes is not None:
                    self._eyes.choose(screened, self._pc.getTransceivers())
                if self._reach.active:
                    tame.hurry_gathering(self._ice, GATHER_SECONDS)
                await self._pc.setLocalDescription(await self._pc.createAnswer())
        except TimeoutError as error:
            raise OurBug("no answer in time") from error
        except Exception as error:
            # aiortc's parser and state machine raise whatever Python raises on a malformed offer
            raise BrowserFault("bad-sdp", f"{type(error).__name__} in negotiation") from error
        answer = sdp.finish(self._pc.localDescription.sdp, screened if self.line.reads_red else "")
        answer = sdp.bound_video(answer)
        if self._connection is not None:
            self._connection.expect(sdp.announced(screened))
            answer = sdp.say_lite(answer)
        self.line.attach(sdp.red_payload_type(answer))
        if self._eyes is not None:
            self._eyes.open({sdp.opus_payload_type(answer), sdp.red_payload_type(answer)})
        for transceiver in self._pc.getTransceivers():
            tame.survive_bad_rtp(transceiver.receiver.transport, self._dropped_junk)
        if self._pc.sctp is not None:
            tame.survive_bad_rtp(self._pc.sctp.transport, self._dropped_junk)
            tame.survive_bad_messages(self._pc.sctp)
        await self.meet(sdp.candidates(offer))
        return sdp.trickling(answer) if self._reach.active else answer

    async def meet(self, candidates: Iterable[str]) -> None:
        """The browser says where it is: where we send first we send there, too, if that may be a browser's address."""
        if not self._reach.active:
            return
        for line in candidates:
            if (known := self._candidates.admit(line)) is not None:
                await self._audio.receiver.transport.transport.addRemoteCandidate(candidate_from_sdp(str(known)))

    @property
    def _ice(self) -> Any:
        """The ICE connection below; bundling may swap it, and does so before there is an answer."""
        return tame.ice_connection(self._audio)

    @property
    def path(self) -> Path | None:
        """The chosen pair of addresses, while there is one."""
        return chosen(self._ice)

    def trouble(self) -> BrowserFault:
        """Why there is no connection, as far as it has come until now."""
        return trouble(self._ice, self._audio.receiver.transport.state)

    def watch(self, track: int, enabled: bool) -> None:
        """The browser says that its camera (1) or its screen (2) is on, or not; what is off is not looked at."""
        if self._eyes is not None:
            self._eyes.watch(track, enabled)

    @property
    def red_over(self) -> int | None:
        """The payload type of Opus, if the browser takes it with copies of the packets before it (RFC 2198)."""
        gate = self.line.gate
        return gate.payload_type if gate is not None and gate.red_type is not None else None

    @property
    def connected(self) -> bool:
        """ICE and DTLS are up."""
        return self._pc.connectionState == "connected"

    @property
    def channel_open(self) -> bool:
        """Messages can be sent."""
        return self._channel is not None and self._channel.readyState == "open"

    @property
    def backlog(self) -> int:
        """Bytes of messages that the browser has not taken yet."""
        return self._channel.bufferedAmount if self._channel is not None else 0

    @property
    def unacknowledged(self) -> int:
        """How many messages, the newest, the browser has not said to have."""
        return tame.unacknowledged(self._pc.sctp) if self._pc.sctp is not None else 0

    async def quiet_seconds(self, now: float) -> float:
        """How long nothing at all has come from the browser."""
        if (silence := self.line.silence(now)) is not None:
            return silence
        received = sum(
            cast(RTCTransportStats, report).packetsReceived
            for report in (await self._pc.getStats()).values()
            if report.type == "transport"
        )
        if received != self._heard[0]:
            self._heard = (received, now)
        return now - self._heard[1]

    async def quality(self) -> Quality:
        """How the path is, by the reports of both sides."""
        jitter = loss_up = loss_down = round_trip = None
        for end in (self._audio.receiver, self._audio.sender):
            for report in (await end.getStats()).values():
                if isinstance(report, RTCInboundRtpStreamStats):
                    jitter = report.jitter / TICKS_PER_SECOND
                    expected = report.packetsReceived + report.packetsLost
                    loss_up = max(0, report.packetsLost) / expected if expected > 0 else None
                elif isinstance(report, RTCRemoteInboundRtpStreamStats):
                    loss_down, round_trip = report.fractionLost / 256, report.roundTripTime
        if (reports := self.line.reports) is not None:
            loss_down, round_trip = reports.loss, reports.round_trip
        return Quality(jitter, loss_up, loss_down, round_trip)

    def send_message(self, text: str, spare: bool = False) -> Fate:
        """Send one text message, and say what became of it; a `spare` one is left out when the browser is slow.

        One that is longer than the browser takes, by its own word, is not sent.
        """
        if self._channel is None or self._channel.readyState != "open":
            return Fate.NOBODY_THERE
        if self._channel.transport.transport.state != "connected":
            return Fate.NOBODY_THERE  # aiortc would find that out in a task of its own, which nobody asks
        if spare and self._channel.bufferedAmount > BACKLOG_BYTES:
            return Fate.LEFT_OUT
        if self._channel.bufferedAmount > DEAD_BACKLOG_BYTES:
            self._events.on_lost(self)
            return Fate.NOBODY_THERE
        try:
            self._channel.send(text)
        except ValueError:
            return Fate.TOO_LONG
        except (InvalidStateError, ConnectionError):
            return Fate.NOBODY_THERE
        return Fate.SENT

    def deafen(self) -> None:
        """What the browser says or shows on this connection is nobody's any more."""
        self.line.deafen()

    async def close(self) -> None:
        """Free everything, within a second, whatever the browser does; idempotent."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    def forget(self) -> None:
        """Closed and asked for by nobody any more: take it apart, once."""
        tame.forget(self._pc)
        take_apart(self.line, self)

    async def _close(self) -> None:
        self._pc.remove_all_listeners()
        if self._eyes is not None:
            self._eyes.close()
        try:
            await self.line.close()
            await tame.close_connection(self._pc)
        finally:
            if self._connection is not None:
                await self._connection.close()  # aiortc does, unless an error ends its own closing before

    def _state_changed(self) -> None:
        if self._pc.connectionState == "connected":
            self._events.on_connected(self)
        elif self._pc.connectionState in ("failed", "closed"):
            lost = self._connection is not None and self._connection.lost  # aiortc calls that closed, too
            self._events.on_lost(self, hung_up=self._pc.connectionState == "closed" and not lost)

    def _dropped_junk(self) -> None:
        if self.line.gate is not None:
            self.line.gate.drop("junk")

    def _channel_offered(self, channel: RTCDataChannel) -> None:
        self._channels += 1
        if self._channels > MAX_CHANNELS:
            self._events.on_lost(self)
        if self.channel_open:
            return  # one channel, whatever its label; the others are left unread
        self._channel = channel
        channel.on("message", lambda frame: self._events.on_message(self, frame))
        self._events.on_open(self)
