"""The browser of one call: one peer connection after another, and the messages that wait for whoever is to read them.

It may go and come back: on another connection of the same client, or as another client, after a reload or in another
tab. `succession` decides which one serves; here it is done. What the old one's end has not acknowledged is said again
on the new one. Words and sound of the one that serves go straight to the dialogue.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay import rtvi
from relay.apart import take_apart
from relay.dialogue import Dialogue
from relay.errors import BrowserFault, OurBug, RelayError
from relay.metrics import CallFigures, Quality
from relay.microphone import STOPPED_SECONDS
from relay.outbox import Outbox
from relay.peers import Peers, let_read
from relay.presence import Presence
from relay.succession import Action, Ask, Client, End, Ending, GiveUp, Replace, Serve, Stand, Succession, Wait
from relay.webrtc.media import Media
from relay.webrtc.path import Path
from relay.webrtc.peer import Peer

WATCH_SECONDS: Final = 1.0
# After a new connection stands. The official clients stop the microphone with the old one and may not notice.
MICROPHONE_SECONDS: Final = STOPPED_SECONDS
# Of these, the first. The clients close the old connection, and the microphone with it, once the new one is answered
# and their candidates are acknowledged: by then it may have been heard.
STOPPING_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The SDP answer, and the id under which the browser may renegotiate or restart."""

    sdp: str
    pc_id: str


class Browser:
    """`serve` a dialogue first; `answer` offers; `watch` while the call lives; `close` last.

    `end` is called when the call is over for the browser's sake. `tasks` is the call's TaskGroup while there is one.
    """

    def __init__(self, name: str, media: Media, end: Callable[[RelayError | None], None], keep: float) -> None:
        self._name = name
        self._media = media
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._pc_id = secrets.token_hex(16)
        self._presence = Presence(self._loop.time(), keep)
        self._succession = Succession[Peer](self._presence)
        self._peers = Peers()
        self._outbox = Outbox()
        self._replaced = CallFigures()  # of peer connections that another has taken the place of
        self._path: Path | None = None  # of the last connection that stood, when it began to
        self._closed = False
        self.connections = 0  # that have stood
        self.tasks: asyncio.TaskGroup | None = None
        self.connected = asyncio.Event()  # once

    def serve(self, dialogue: Dialogue) -> None:
        """Whatever the browser sends is this dialogue's, without a step between."""
        self._dialogue = dialogue
        self.on_rtp, self.on_pcm = dialogue.uplink.on_rtp, dialogue.uplink.on_pcm
        self.on_report, self.on_picture = dialogue.downlink.on_report, dialogue.on_picture

    # ---- its connections ----

    async def answer(self, sdp: str, *, pc_id: str | None, restart: bool) -> Answer:
        """Answer an offer: a first one, a renegotiation (known `pc_id`), or a new peer connection (`restart`).

        Raises `BrowserFault`: ``unknown-peer`` for a `pc_id` that is not this call's, ``too-many-restarts``, and what
        `Peer.answer` raises.
        """
        if pc_id is not None and (pc_id != self._pc_id or self._peer is None):
            raise BrowserFault("unknown-peer")
        newest = self._succession.newest
        if newest is not None and pc_id is not None and not restart:
            answer = await newest.answer(sdp)
            if newest is self._peer:
                self._dialogue.downlink.connect(newest.send_rtp, newest.red_over)
            return Answer(answer, self._pc_id)
        if self._peer is not None and not self._presence.restart(self._loop.time()):
            raise BrowserFault("too-many-restarts")
        peer, whose = Peer(self._media, self), self._pc_id
        try:
            answer = await peer.answer(sdp)
            if self._closed or whose != self._pc_id:
                raise BrowserFault("unknown-peer")
        except BaseException:
            await self._peers.leave(peer)
            raise
        self._peers.keep(peer)
        self._do(self._succession.offered(peer, self._loop.time()))
        return Answer(answer, self._pc_id)

    def expect_newcomer(self) -> str:
        """Another client may come: the id under which it offers. The one that is there may stay until then."""
        self._pc_id = secrets.token_hex(16)
        self._do(self._succession.expect_newcomer())
        return self._pc_id

    @property
    def _peer(self) -> Peer | None:
        """The one that serves, or has served last."""
        return self._succession.serving

    @property
    def anew(self) -> bool:
        """Whether the client is not yet welcomed, and does not know what was said."""
        return self._succession.client is Client.NEWCOMER

    def _do(self, actions: Sequence[Action[Peer]]) -> None:
        """What `succession` says."""
        for action in actions:
            match action:
                case Serve(peer):
                    self._serve_on(peer)
                case Replace(old, peer, newcomer):
                    self._replace(old, peer, newcomer)
                case Stand(peer, again):
                    self._stands(peer, again)
                case GiveUp(peer):
                    self._spawn(self._peers.leave(peer))
                case Wait(peer):
                    self._dialogue.downlink.disconnect()
                    self._spawn(peer.close())
                case Ask(peer):
                    self._spawn(self._ask(peer))
                case End(hung_up):
                    self._end(None if hung_up else self.trouble() or BrowserFault("peer-lost"))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it run beside the call; before and after that, `close` frees all there is."""
        if self.tasks is None:
            work.close()
        else:
            self.tasks.create_task(work, name="browser")

    def _serve_on(self, peer: Peer) -> None:
        """This is the connection; what the same client has said of its tracks it will not say again."""
        self._dialogue.downlink.connect(peer.send_rtp, peer.red_over)
        for track, enabled in self._dialogue.tracks.items():
            peer.watch(track, enabled)

    def _replace(self, old: Peer, peer: Peer, newcomer: bool) -> None:
        """From now on this one serves, and on the old one nothing more is heard."""
        old.deafen()
        self._replaced.add_line(old.line.gate, old.line.rejected)
        self._outbox.acknowledged(but=old.unacknowledged)
        if newcomer:
            self._outbox.begin_anew()
            self._dialogue.forget_pictures()
        else:
            self._outbox.rewind()
        self._serve_on(peer)
        self._dialogue.downlink.rouse()
        self._spawn(self._peers.leave(old, told=newcomer))

    def _stands(self, peer: Peer, again: bool) -> None:
        self.connected.set()
        self._path = peer.path
        self.connections += 1
        if again:
            self._spawn(self._expect_microphone(peer))

    async def meet(self, candidates: Sequence[str]) -> None:
        """Where the client of the newest connection is, as far as it knows."""
        newest = self._succession.next or self._peer
        if newest is not None:
            await newest.meet(candidates)

    def trouble(self) -> BrowserFault | None:
        """Why its first connection does not stand; None if it does, or has."""
        return None if self.connected.is_set() or self._peer is None else self._peer.trouble()

    @property
    def path(self) -> Path | None:
        """The addresses of its present connection, or of the last that stood."""
        found = self._peer.path if self._peer is not None and self._peer.connected else None
        return found or self._path

    def watch_track(self, track: int, enabled: bool) -> None:
        """The browser's camera (1) or its screen (2) is on, or not."""
        if self._peer is not None:
            self._peer.watch(track, enabled)

    async def close(self) -> None:
        """Free every connection; no offer is answered any more; idempotent."""
        self._closed = True
        await self._peers.close()

    def forget(self) -> None:
        """Closed and asked for by nobody any more: take it apart, once."""
        self._peers.forget()
        take_apart(self)

    # ---- is it there? ----

    async def watch(self) -> None:
        """Keep an eye on it, until it is gone for good."""
        while not self._presence.gone(self._loop.time()):
            await asyncio.sleep(WATCH_SECONDS)
            peer, now = self._peer, self._loop.time()
            if peer is not None and peer.connected:
                heard_at = now - await peer.quiet_seconds(now)
                self._presence.heard(heard_at)
                if (seconds := self._dialogue.microphone_dead(now, heard_at)) is not None:
                    self.say([rtvi.relay_event("mic-dead", seconds=seconds)])
            self._do(self._succession.tick(now))

    async def _expect_microphone(self, peer: Peer) -> None:
        """On a new connection a microphone that is on is heard soon, or it is dead and the app had better know."""
        uplink, microphone = self._dialogue.uplink, self._dialogue.microphone
        microphone.switched()
        await asyncio.sleep(STOPPING_SECONDS)
        heard = uplink.packets
        await asyncio.sleep(MICROPHONE_SECONDS - STOPPING_SECONDS)
        if peer is self._peer and peer.connected and uplink.packets == heard and self._dialogue.tracks.get(0, True):
            microphone.left()
            self.say([rtvi.relay_event("mic-dead", seconds=MICROPHONE_SECONDS)])

    # ---- what it does ----

    def on_connected(self, peer: Peer) -> None:
        """ICE and DTLS are up."""
        self._do(self._succession.stands(peer, self._loop.time()))

    def on_lost(self, peer: Peer, *, hung_up: bool = False) -> None:
        """The peer connection ended: it was closed, its path is dead, or while it stands the browser misbehaves."""
        ending = Ending.CLOSED if hung_up else Ending.UNBEARABLE if peer.connected else Ending.DEAD
        self._do(self._succession.ended(peer, ending, self._loop.time()))

    async def _ask(self, peer: Peer) -> None:
        """When was the last packet of a connection that was closed?"""
        now = self._loop.time()
        heard = now - await peer.quiet_seconds(now)
        self._do(self._succession.ended(peer, Ending.CLOSED, now, heard))

    def on_open(self, peer: Peer) -> None:
        """The data channel is open: what waited goes out, if the client is ready for it."""
        self.say([])

    def on_message(self, peer: Peer, frame: str | bytes) -> None:
        """A data-channel message. An error of ours in here would end the peer connection without a word."""
        if peer is not self._peer:
            return
        try:
            self._dialogue.on_frame(frame)
        except Exception as error:
            log.exception("call %s: a message failed", self._name)
            self._end(OurBug(type(error).__name__))

    # ---- what it is told ----

    def welcome(self, messages: Sequence[rtvi.Message], *, returns: bool = False) -> None:
        """It is ready, or will not say so: the welcome goes first, then what was said meanwhile.

        It `returns` if it means to come back after it has closed its connection, as a page that is reloaded does.
        """
        if self.anew:  # its recap tells what was said since its connection stands
            self._outbox.begin_anew()
        self._succession.welcomed(returns=returns)
        self._outbox.put(messages, first=True)
        self.say([])

    def say(self, messages: Sequence[rtvi.Message]) -> None:
        """Send RTVI messages in order, or keep them until somebody is there to read them."""
        peer, outbox = self._succession.listening, self._outbox
        if peer is None or not peer.channel_open:
            outbox.put(messages)
            return
        outbox.send(peer.send_message, messages)
        outbox.acknowledged(but=peer.unacknowledged)

    async def farewell(self, fault: RelayError | None) -> None:
        """Tell it why and that we leave, and give it a moment to read."""
        peer = self._peer
        if peer is None or not peer.channel_open:
            return
        self._succession.welcomed(returns=False)  # or what is said now would wait for ever
        self._dialogue.farewell()
        if fault is not None:
            self.say([rtvi.error(fault.fault.sentence, fatal=True, code=fault.code)])
        self.say([rtvi.peer_left()])
        await let_read(peer)

    # ---- figures ----

    def count(self, figures: CallFigures) -> None:
        """Add what all its connections have counted."""
        figures.include(self._replaced)
        if self._peer is not None:
            figures.add_line(self._peer.line.gate, self._peer.line.rejected)

    @property
    def dropped(self) -> dict[str, int]:
        """Packets of the present connection that were not let in, by cause."""
        gate = self._peer.line.gate if self._peer is not None else None
        return dict(gate.dropped) if gate is not None else {}

    async def quality(self) -> Quality:
        """How its path is now."""
        return await self._peer.quality() if self._peer is not None else Quality()
