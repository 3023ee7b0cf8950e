"""One call: its peer connection, its model connection, its deadlines, and its one end.

A session owns the browser's connection and the model's, and can replace the first: a new offer attaches to the same
session. What is said over them is `dialogue`'s. Its life is one task with one TaskGroup: `_live` reads from top to
bottom.

Deadlines: 15 s from the answer to `connected`; 2 s from `connected` to client-ready, then the call starts without;
10 s without any packet and the browser is gone; 10 s for the model's setup; 1 s for the close.
"""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from relay import rtvi
from relay.call import CallSettings
from relay.dialogue import Dialogue
from relay.errors import BrowserFault, OurBug, RelayError
from relay.files import Files
from relay.gemini.client import LiveClient
from relay.metrics import CallFigures, Quality
from relay.ticker import Ticker
from relay.webrtc.peer import Media, Peer

# aiortc never gives up on a half-open call; a browser on a working path needs a tenth of a second.
CONNECT_SECONDS: Final = 15.0
# A client without a data channel, or one that never says client-ready, is served all the same.
READY_SECONDS: Final = 2.0
# Between two consent checks of a live browser pass 2.5 s (Chromium) to 5 s (RFC 7675 §5.1).
LOST_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 1.0
# After `peerLeft` a client needs a moment to read it before the connection goes.
FAREWELL_SECONDS: Final = 0.2
FAREWELL_LOOKS: Final = 10
CLOSE_SECONDS: Final = 1.0
# What was said before the data channel opened; the oldest is dropped.
OUTBOX_MESSAGES: Final = 50

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The SDP answer, and the id under which the browser may renegotiate or restart."""

    sdp: str
    pc_id: str


class Session:
    """One conversation. `answer` an offer to begin, `close` to end; `on_closed` is called once, when all is freed."""

    def __init__(
        self,
        id: str,
        call: CallSettings,
        *,
        media: Media,
        ticker: Ticker,
        on_closed: Callable[["Session"], None],
    ) -> None:
        self.id = id
        self.files = Files()
        self._call = call
        self._media = media
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._pc_id = secrets.token_hex(16)
        self._peer: Peer | None = None
        self._client: LiveClient | None = None
        self._dialogue = Dialogue(
            call, ticker, name=id[:8], say=self._say, ready=self._begin, end=self.end, watch=self._watch_track
        )
        self.on_picture = self._dialogue.on_picture
        self.on_rtp = self._dialogue.uplink.on_rtp  # the microphone's packets, without a step between
        self.on_pcm = self._dialogue.uplink.on_pcm
        self._outbox: deque[rtvi.Message] = deque(maxlen=OUTBOX_MESSAGES)
        self._ready = asyncio.Event()
        self._welcomed = False  # the client may be spoken to
        self._connected = asyncio.Event()
        self._ending = asyncio.Event()
        self._fault: RelayError | None = None
        self._model_fault: RelayError | None = None  # not yet told, for the browser is not there
        self._life: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._opened_at = self._loop.time()
        self._replaced = CallFigures()  # of peer connections that another has taken the place of

    # ---- signalling ----

    async def answer(self, sdp: str, *, pc_id: str | None, restart: bool) -> Answer:
        """Answer an offer: a first one, a renegotiation (known `pc_id`), or a new peer connection (`restart`).

        Raises `BrowserFault`: ``unknown-peer`` for a `pc_id` that is not this session's or a session that ended,
        and what `Peer.answer` raises.
        """
        if self._ending.is_set() or (pc_id is not None and (pc_id != self._pc_id or self._peer is None)):
            raise BrowserFault("unknown-peer")
        if self._peer is not None and pc_id is not None and not restart:
            answer = await self._peer.answer(sdp)
            self._dialogue.downlink.connect(self._peer.send_rtp, self._peer.red_over)
            return Answer(answer, self._pc_id)
        peer = Peer(self._media, self)
        try:
            answer = await peer.answer(sdp)
        except BaseException:
            await peer.close()
            raise
        if self._ending.is_set():
            await peer.close()
            raise BrowserFault("unknown-peer")
        old, self._peer = self._peer, peer
        self._dialogue.downlink.connect(peer.send_rtp, peer.red_over)
        for track, enabled in self._dialogue.tracks.items():
            peer.watch(track, enabled)
        if old is not None:
            self._replaced.add_line(old.line.gate, old.line.rejected)
        if self._life is None:
            self._life = asyncio.create_task(self._live(), name=f"session {self.id[:8]}")
        elif old is not None and self._group is not None:
            self._group.create_task(old.close(), name="old peer")
        return Answer(answer, self._pc_id)

    def end(self, fault: RelayError | None = None) -> None:
        """Begin to end the call; the first reason counts. Returns at once."""
        if not self._ending.is_set():
            self._fault = fault
            self._ending.set()

    async def close(self, fault: RelayError | None = None) -> None:
        """End the call and wait until everything is freed, at most a second; idempotent."""
        ended = self._ending.is_set()
        self.end(fault)
        if self._life is None:
            if not ended:
                self._dialogue.close()
                self._on_closed(self)
        elif self._life is not asyncio.current_task():
            await asyncio.wait([self._life], timeout=CLOSE_SECONDS)

    # ---- figures ----

    @property
    def reason(self) -> str:
        """How the call ended or, while it lives, would be said to have: a code of `FAULTS`, or hung-up, unanswered."""
        if self._fault is not None:
            return self._fault.code
        return "hung-up" if self._life is not None else "unanswered"

    def figures(self) -> CallFigures:
        """What the call's rooms have counted so far; no figure ever falls."""
        figures = CallFigures()
        figures.include(self._replaced)
        figures.add_sound(self._dialogue.uplink, self._dialogue.downlink, self._dialogue.promptness)
        if self._peer is not None:
            figures.add_line(self._peer.line.gate, self._peer.line.rejected)
        return figures

    async def quality(self) -> Quality:
        """How its path is now."""
        return await self._peer.quality() if self._peer is not None else Quality()

    # ---- the call's life ----

    async def _live(self) -> None:
        log.info("call %s opened", self.id[:8])
        try:
            async with asyncio.TaskGroup() as group:
                self._group = self._dialogue.tasks = group
                group.create_task(self._converse(), name="converse")
                group.create_task(self._watch(), name="watch")
                try:
                    await self._ending.wait()
                finally:  # a task that failed cancels the wait; an agent's function that will not stop holds up nothing
                    self.end(OurBug("a task of the call failed"))
                    await self._part()
                raise _Ended
        except* _Ended:
            pass
        except* Exception as errors:
            log.error("call %s failed", self.id[:8], exc_info=errors.exceptions[0])

    async def _converse(self) -> None:
        """Connect to the model while the browser connects, then let them talk."""
        call, dialogue = self._call, self._dialogue
        try:
            config = call.agent.live_config(
                call.target.model, voice=call.voice, language=call.language, instructions=call.instructions
            )
            self._client = LiveClient(call.target, config, dialogue.on_model_event, self._model_lost)
            dialogue.connect(self._client)
            await self._client.connect()
        except RelayError as fault:
            self._model_fault = fault
        except Exception as error:
            log.exception("call %s cannot reach its model", self.id[:8])
            self._model_fault = OurBug(type(error).__name__)
        await self._ready.wait()
        if self._model_fault is not None:
            self.end(self._model_fault)
        else:
            dialogue.greet()

    def _model_lost(self, fault: RelayError) -> None:
        """The model's connection ended. The browser is told when it is there to be told."""
        if self._ready.is_set():
            self.end(fault)
        else:
            self._model_fault = fault

    async def _watch(self) -> None:
        """Keep the browser to its deadlines."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            self.end(BrowserFault("connect-timeout"))
            return
        self._dialogue.downlink.rouse()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            self._begin()
        while self._peer is not None:
            await asyncio.sleep(WATCH_SECONDS)
            if await self._peer.quiet_seconds(self._loop.time()) > LOST_SECONDS:
                self.end(BrowserFault("peer-lost"))

    def _begin(self, welcome: Sequence[rtvi.Message] = ()) -> None:
        """The client is ready, or will not say so: the welcome goes first, then what was said meanwhile."""
        self._dialogue.begin()
        self._ready.set()
        self._welcomed = True
        waiting = [*welcome, *self._outbox]
        self._outbox.clear()
        self._say(waiting)

    async def _farewell(self) -> None:
        """Tell the browser why and that we leave, and give it a moment to read."""
        peer = self._peer
        if peer is None or not peer.channel_open:
            return
        self._welcomed = True  # or what is said now would wait for ever
        self._dialogue.farewell()
        if self._fault is not None:
            self._say([rtvi.error(self._fault.fault.sentence, fatal=True, code=self._fault.code)])
        self._say([rtvi.peer_left()])
        for _ in range(FAREWELL_LOOKS):
            if not peer.backlog:
                return
            await asyncio.sleep(FAREWELL_SECONDS / FAREWELL_LOOKS)

    async def _part(self) -> None:
        """Take leave and free everything, whatever fails on the way."""
        try:
            await self._farewell()
        finally:
            self._group = self._dialogue.tasks = None
            self._dialogue.close()
            parts = [part.close() for part in (self._client, self._peer) if part is not None]
            try:
                await asyncio.gather(*parts, return_exceptions=True)
            finally:
                self._log_summary()
                self._on_closed(self)

    def _log_summary(self) -> None:
        gate = self._peer.line.gate if self._peer is not None else None
        uplink, downlink = self._dialogue.uplink, self._dialogue.downlink
        summary = {
            "reason": self.reason,
            "seconds": round(self._loop.time() - self._opened_at, 1),
            "packets_in": uplink.packets,
            "dropped": dict(gate.dropped) if gate is not None else {},
            "model_heard_seconds": round(uplink.seconds_sent, 1),
            "frames_out": downlink.frames,
            "underruns": downlink.playout.underruns,
        }
        level = self._fault.fault.level if self._fault is not None else logging.INFO
        log.log(level, "call %s closed %s", self.id[:8], json.dumps(summary))
        if self._fault is not None and self._fault.detail:
            log.log(level, "call %s: %s", self.id[:8], self._fault)

    # ---- from the browser ----

    def on_connected(self, peer: Peer) -> None:
        """ICE and DTLS are up."""
        self._connected.set()

    def on_report(self, fraction_lost: float) -> None:
        """What the browser says of the packets that we sent."""
        self._dialogue.downlink.on_report(fraction_lost)

    def _watch_track(self, track: int, enabled: bool) -> None:
        if self._peer is not None:
            self._peer.watch(track, enabled)

    def on_lost(self, peer: Peer, *, hung_up: bool = False) -> None:
        """The peer connection ended, by the browser's goodbye or otherwise; one that was replaced may."""
        if peer is self._peer:
            self.end(None if hung_up and self._connected.is_set() else BrowserFault("peer-lost"))

    def on_open(self, peer: Peer) -> None:
        """The data channel is open: what waited goes out, if the client is ready for it."""
        waiting = list(self._outbox)
        self._outbox.clear()
        self._say(waiting)

    def on_message(self, peer: Peer, frame: str | bytes) -> None:
        """A data-channel message. An error of ours in here would end the peer connection without a word."""
        try:
            self._dialogue.on_frame(frame)
        except Exception as error:
            log.exception("call %s: a message failed", self.id[:8])
            self.end(OurBug(type(error).__name__))

    # ---- to the browser ----

    def _say(self, messages: Sequence[rtvi.Message]) -> None:
        """Send RTVI messages in order, or keep them until the data channel is open and the client ready."""
        for message in messages:
            if self._peer is None or not self._peer.channel_open or not self._welcomed:
                self._outbox.append(message)
            else:
                self._peer.send_message(rtvi.encode(message), spare=rtvi.droppable(message))


class _Ended(Exception):
    """Ends the TaskGroup of a call that is over."""
