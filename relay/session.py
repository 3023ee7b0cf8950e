"""One conversation: wires the rooms together, keeps the deadlines, closes once.

A session owns its peer connection and its model connection and can replace the first (a new offer attaches to the
same session). Its life is one task with one TaskGroup: `_live` reads from top to bottom.

Deadlines: 15 s from the answer to `connected`; 2 s from `connected` to client-ready, then the call starts without;
10 s without any packet and the browser is gone; 10 s for the model's setup; 1 s for the close.
"""

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from relay import __version__, rtvi, said
from relay.agent import Agent
from relay.audio.activity import Edge
from relay.downlink import Downlink
from relay.errors import BrowserFault, ModelFault, OurBug, RelayError
from relay.gemini import protocol
from relay.gemini.client import LiveClient, Target
from relay.ticker import Ticker
from relay.turns import Turns
from relay.uplink import Uplink
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
# The agent's reply to a client-message: the SDK waits 10 s.
REPLY_SECONDS: Final = 9.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What a new call needs to know. Empty strings mean the agent's own choice, then the default."""

    target: Target
    agent: Agent
    voice: str = ""
    language: str = ""
    instructions: str = ""
    greeting: str | None = None
    about: dict[str, str] = field(default_factory=dict)  # told to the client in bot-ready


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
        self._call = call
        self._media = media
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._pc_id = secrets.token_hex(16)
        self._peer: Peer | None = None
        self._client: LiveClient | None = None
        self._uplink = Uplink(self._send_audio, self._on_edge)
        self._downlink = Downlink(self._send_rtp, ticker, self)
        self._turns = Turns(epoch=time.time() - self._loop.time(), model=call.target.model)
        self._flood = said.FloodGate()
        self._tools: dict[str, asyncio.Task[None]] = {}  # running calls of functions by their id
        self._outbox: deque[dict[str, Any]] = deque(maxlen=OUTBOX_MESSAGES)
        self._ready = asyncio.Event()
        self._connected = asyncio.Event()
        self._ending = asyncio.Event()
        self._fault: RelayError | None = None
        self._life: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._turn_timer: asyncio.TimerHandle | None = None
        self._microphone = True
        self._generating = False
        self._skipping = False  # what is left of a generation that a typed message cut
        self._overflowed = False
        self._opened_at = self._loop.time()

    # ---- signalling ----

    @property
    def connected(self) -> bool:
        """The browser is connected right now."""
        return self._peer is not None and self._peer.connected

    async def answer(self, sdp: str, *, pc_id: str | None, restart: bool) -> Answer:
        """Answer an offer: a first one, a renegotiation (known `pc_id`), or a new peer connection (`restart`).

        Raises `BrowserFault`: ``unknown-peer`` for a `pc_id` that is not this session's or a session that ended,
        and what `Peer.answer` raises.
        """
        if self._ending.is_set() or (pc_id is not None and (pc_id != self._pc_id or self._peer is None)):
            raise BrowserFault("unknown-peer")
        if self._peer is not None and pc_id is not None and not restart:
            return Answer(await self._peer.answer(sdp), self._pc_id)
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
        self.end(fault)
        if self._life is None:
            self._release_sound()
            self._on_closed(self)
        elif self._life is not asyncio.current_task():
            await asyncio.wait([self._life], timeout=CLOSE_SECONDS)

    # ---- the call's life ----

    async def _live(self) -> None:
        log.info("call %s opened", self.id[:8])
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._converse(), name="converse")
                group.create_task(self._watch(), name="watch")
                await self._ending.wait()
                await self._farewell()
                raise _Ended
        except* _Ended:
            pass
        except* Exception as errors:
            self.end(OurBug(type(errors.exceptions[0]).__name__))
            log.error("call %s failed", self.id[:8], exc_info=errors.exceptions[0])
        finally:
            await self._release()

    async def _converse(self) -> None:
        """Connect to the model while the browser connects, then let them talk."""
        agent, call = self._call.agent, self._call
        config = agent.live_config(
            call.target.model, voice=call.voice, language=call.language, instructions=call.instructions
        )
        self._client = client = LiveClient(call.target, config, self._on_model_event, self.end)
        try:
            await client.connect()
        except ModelFault as fault:
            await self._ready.wait()  # so that somebody is there to be told
            self.end(fault)
            return
        await self._ready.wait()
        self._uplink.model_ready()
        greeting = call.greeting if call.greeting is not None else agent.greeting
        if greeting:
            self._say(self._turns.greeting(self._loop.time()))
            client.send(protocol.greeting_message(call.target.model, greeting))

    async def _watch(self) -> None:
        """Keep the browser to its deadlines."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            self.end(BrowserFault("connect-timeout"))
            return
        self._downlink.rouse()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            self._begin()
        while self._peer is not None:
            await asyncio.sleep(WATCH_SECONDS)
            if await self._peer.quiet_seconds(self._loop.time()) > LOST_SECONDS:
                self.end(BrowserFault("peer-lost"))

    def _begin(self) -> None:
        """The client is ready, or will not say so: the microphone is on and the model may greet."""
        if self._microphone:
            self._uplink.open()
        self._ready.set()

    async def _farewell(self) -> None:
        """Tell the browser why and that we leave, and give it a moment to read."""
        peer = self._peer
        if peer is None or not peer.channel_open:
            return
        self._say(self._turns.close(self._loop.time()))
        if isinstance(self._fault, ModelFault | OurBug):
            self._say([rtvi.error(self._fault.fault.sentence, fatal=True, code=self._fault.code)])
        self._say([rtvi.peer_left()])
        for _ in range(FAREWELL_LOOKS):
            if not peer.backlog:
                return
            await asyncio.sleep(FAREWELL_SECONDS / FAREWELL_LOOKS)

    async def _release(self) -> None:
        self._group = None
        self._release_sound()
        parts = [part.close() for part in (self._client, self._peer) if part is not None]
        await asyncio.gather(*parts, return_exceptions=True)
        self._log_summary()
        self._on_closed(self)

    def _release_sound(self) -> None:
        if self._turn_timer is not None:
            self._turn_timer.cancel()
            self._turn_timer = None
        self._uplink.close()
        self._downlink.close()

    def _log_summary(self) -> None:
        gate = self._peer.line.gate if self._peer is not None else None
        summary = {
            "reason": self._fault.code if self._fault is not None else "hung-up",
            "seconds": round(self._loop.time() - self._opened_at, 1),
            "packets_in": self._uplink.packets,
            "dropped": dict(gate.dropped) if gate is not None else {},
            "model_heard_seconds": round(self._uplink.seconds_sent, 1),
            "frames_out": self._downlink.frames,
            "underruns": self._downlink.playout.underruns,
        }
        level = self._fault.fault.level if self._fault is not None else logging.INFO
        log.log(level, "call %s closed %s", self.id[:8], json.dumps(summary))
        if self._fault is not None and self._fault.detail:
            log.log(level, "call %s: %s", self.id[:8], self._fault)

    # ---- from the browser ----

    def on_connected(self, peer: Peer) -> None:
        """ICE and DTLS are up."""
        self._connected.set()

    def on_lost(self, peer: Peer) -> None:
        """The peer connection ended or cannot go on; one that was replaced may."""
        if peer is self._peer:
            self.end(BrowserFault("peer-lost") if not self._connected.is_set() else None)

    def on_open(self, peer: Peer) -> None:
        """The data channel is open: what waited goes out."""
        waiting = list(self._outbox)
        self._outbox.clear()
        self._say(waiting)

    def on_rtp(self, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> None:
        """An Opus packet of the microphone."""
        self._uplink.on_rtp(sequence, timestamp, ssrc, payload)

    def on_pcm(self, pcm: bytes) -> None:
        """16 kHz sound of the microphone, where the public media path decodes."""
        self._uplink.on_pcm(pcm)

    def on_message(self, peer: Peer, frame: str | bytes) -> None:
        """A data-channel message, well-formed or not."""
        now = self._loop.time()
        verdict, message = self._flood.allow(now), None
        if verdict is said.Verdict.PASS:
            message = said.read(frame)
            if isinstance(message, said.Malformed) and message.oversize:
                verdict = self._flood.refuse(now)
        if verdict is said.Verdict.CLOSE:
            self.end(BrowserFault("too-many-messages"))
        elif message is not None:
            self._understood(message, now)
        elif verdict is said.Verdict.TELL:
            self._say([rtvi.error("Too many messages; the rest of this second is ignored.")])

    def _understood(self, message: said.Said, now: float) -> None:
        match message:
            case said.ClientReady():
                self._turns.generation = 1 if message.major == 1 else 2
                self._say(rtvi.welcome(message, __version__, self._call.about))
                self._begin()
            case said.TrackStatus(track=0, enabled=enabled):
                self._switch_microphone(enabled)
            case said.SendText():
                self._type(message, now)
            case said.AppendToContext(id=id):
                self._send(protocol.content_message([(message.role, message.content)], message.run_immediately))
                self._say([rtvi.append_to_context_result(id)])
            case said.ClientMessage() if self._group is not None:
                self._group.create_task(self._reply(message), name="client-message")
            case said.DisconnectBot():
                self.end()
            case said.Malformed():
                self._say([rtvi.complaint(message)])
            case _:
                pass  # pings, keys, the camera's and the screen's track status, other labels

    def _switch_microphone(self, enabled: bool) -> None:
        self._microphone = enabled
        if not self._ready.is_set():
            return
        if enabled:
            self._uplink.open()
        else:
            self._uplink.shut()
            self._send(protocol.audio_end_message())

    def _type(self, typed: said.SendText, now: float) -> None:
        if not typed.run_immediately:
            self._send(protocol.content_message([("user", typed.content)], False))
            return
        if self._downlink.playout.playing:
            self._cut(now)
            self._skipping = self._generating
        self._say(self._turns.typed(typed.content, now))
        self._send(protocol.text_message(typed.content))

    async def _reply(self, request: said.ClientMessage) -> None:
        """Let the agent file answer a client-message; whatever it does, one answer goes back."""
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                reply = await self._call.agent.reply(request.t, request.d)
        except LookupError:
            self._say([rtvi.error_response(request.id, f"No such message: {request.t[:64]}")])
        except Exception as error:
            log.warning("call %s: the agent's on_message failed: %s", self.id[:8], type(error).__name__)
            self._say([rtvi.error_response(request.id, "The agent could not answer.")])
        else:
            self._say([rtvi.server_response(request, reply)])

    # ---- from the model ----

    def _on_model_event(self, event: protocol.Event) -> None:
        now, playout = self._loop.time(), self._downlink.playout
        match event:
            case protocol.Audio():
                self._generating = True
                if self._skipping:
                    return
            case protocol.Interrupted():
                self._generating = self._skipping = False
                self._cut(now)
                return
            case protocol.GenerationComplete() | protocol.TurnComplete():
                self._generating = self._skipping = self._overflowed = False
            case protocol.ToolCall() if self._group is not None:
                for call in event.calls:
                    self._tools[call.id] = self._group.create_task(self._run_tool(call), name="tool")
            case protocol.ToolCancelled():
                for id in event.ids:
                    if task := self._tools.pop(id, None):
                        task.cancel()
            case protocol.GoAway():
                log.info("call %s: the model will close in %.0f s", self.id[:8], event.time_left)
        self._say(self._turns.model_event(event, playout.received, now))
        if isinstance(event, protocol.Audio):
            if self._downlink.add(event.pcm) and not self._overflowed:
                self._say([rtvi.error("The answer is more than five minutes ahead; what follows is cut.")])
                self._overflowed = True
        elif isinstance(event, protocol.GenerationComplete | protocol.TurnComplete):
            self._downlink.end()

    def _cut(self, now: float) -> None:
        """The model is interrupted: silence the line and forget what was not heard."""
        heard_to = self._downlink.playout.position
        self._downlink.interrupt()
        self._say(self._turns.interrupted(heard_to, now))

    async def _run_tool(self, call: protocol.FunctionCall) -> None:
        try:
            self._send(protocol.tool_message(call.id, call.name, await self._call.agent.toolbox.run(call)))
            self._say(self._turns.tool_done(call.id, self._loop.time()))
        finally:
            self._tools.pop(call.id, None)

    # ---- from the two lines ----

    def on_sound_started(self) -> None:
        """The first frame of a turn left."""
        self._say(self._turns.sound_started(self._loop.time()))

    def on_played(self, position: int) -> None:
        """A frame left; the listener is at `position`."""
        if self._turns.waiting_for is not None and position >= self._turns.waiting_for:
            self._say(self._turns.played(position, self._loop.time()))

    def on_sound_stopped(self) -> None:
        """The last frame of a turn left."""
        self._say(self._turns.sound_stopped(self._loop.time()))

    def _on_edge(self, edge: Edge) -> None:
        now = self._loop.time()
        self._say(self._turns.user_started(now) if edge.speaking else self._turns.user_stopped(now))

    # ---- out ----

    def _send(self, message: bytes) -> None:
        if self._client is not None:
            self._client.send(message)

    def _send_audio(self, pcm: bytes) -> None:
        if self._client is not None:
            self._client.send_audio(pcm)

    def _send_rtp(self, payload: bytes, timestamp: int, marker: bool) -> bool:
        return self._peer is not None and self._peer.send_rtp(payload, timestamp, marker)

    def _say(self, messages: Iterable[dict[str, Any]]) -> None:
        """Send RTVI messages in order, or keep them until the data channel opens."""
        for message in messages:
            if self._peer is None or not self._peer.channel_open:
                self._outbox.append(message)
            else:
                self._peer.send_message(rtvi.encode(message), spare=rtvi.droppable(message))
        self._arm()

    def _arm(self) -> None:
        """Call the turns again when they want to be called."""
        if self._turn_timer is not None:
            self._turn_timer.cancel()
            self._turn_timer = None
        if self._turns.deadline is not None and not self._ending.is_set():
            self._turn_timer = self._loop.call_at(self._turns.deadline, self._turns_due)

    def _turns_due(self) -> None:
        self._turn_timer = None
        self._say(self._turns.poll(self._loop.time()))


class _Ended(Exception):
    """Ends the TaskGroup of a call that is over."""
