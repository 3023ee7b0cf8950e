"""The browser of one call: one peer connection after another, and the messages that wait for whoever is to read them.

It may go and come back. While it is not there nothing is said to it and no sound is spent on it: both wait. Its words
and its sound go straight to the dialogue.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from relay import rtvi
from relay.dialogue import Dialogue
from relay.errors import BrowserFault, OurBug, RelayError
from relay.metrics import CallFigures, Quality
from relay.presence import Presence, Whereabouts
from relay.webrtc.peer import Media, Peer

WATCH_SECONDS: Final = 1.0
# After a new connection stands. The official clients stop the microphone with the old one and may not notice.
MICROPHONE_SECONDS: Final = 3.0
# After `peerLeft` a client needs a moment to read it before the connection goes.
FAREWELL_SECONDS: Final = 0.2
FAREWELL_LOOKS: Final = 10
# What was said before the data channel opened, or while nobody was there; the oldest is dropped.
OUTBOX_MESSAGES: Final = 50

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

    def __init__(self, name: str, media: Media, end: Callable[[RelayError | None], None]) -> None:
        self._name = name
        self._media = media
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._pc_id = secrets.token_hex(16)
        self._presence = Presence(self._loop.time())
        self._peer: Peer | None = None
        self._broken: Peer | None = None  # it failed, and its close says nothing new
        self._outbox: deque[rtvi.Message] = deque(maxlen=OUTBOX_MESSAGES)
        self._welcomed = False  # the client may be spoken to
        self._there = True
        self._closed = False
        self._replaced = CallFigures()  # of peer connections that another has taken the place of
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
        if self._peer is not None and pc_id is not None and not restart:
            answer = await self._peer.answer(sdp)
            self._dialogue.downlink.connect(self._peer.send_rtp, self._peer.red_over)
            return Answer(answer, self._pc_id)
        if self._peer is not None and not self._presence.restart(self._loop.time()):
            raise BrowserFault("too-many-restarts")
        peer = Peer(self._media, self)
        try:
            answer = await peer.answer(sdp)
            if self._closed:
                raise BrowserFault("unknown-peer")
        except BaseException:
            await peer.close()
            raise
        await self._take(peer)
        return Answer(answer, self._pc_id)

    async def _take(self, peer: Peer) -> None:
        """From now on this is the connection; what the browser has said of its tracks it will not say again."""
        old, self._peer = self._peer, peer
        self._dialogue.downlink.connect(peer.send_rtp, peer.red_over)
        for track, enabled in self._dialogue.tracks.items():
            peer.watch(track, enabled)
        if old is None:
            return
        self._replaced.add_line(old.line.gate, old.line.rejected)
        self._attend(False)  # until the new one stands
        if self.tasks is not None:
            self.tasks.create_task(old.close(), name="old peer")
        else:
            await old.close()

    def watch_track(self, track: int, enabled: bool) -> None:
        """The browser's camera (1) or its screen (2) is on, or not."""
        if self._peer is not None:
            self._peer.watch(track, enabled)

    async def close(self) -> None:
        """Free the connection; no offer is answered any more; idempotent."""
        self._closed = True
        if self._peer is not None:
            await self._peer.close()

    # ---- is it there? ----

    async def watch(self) -> None:
        """Keep an eye on it, until it is gone for good."""
        whereabouts = Whereabouts.HERE
        while whereabouts is not Whereabouts.GONE:
            await asyncio.sleep(WATCH_SECONDS)
            peer, now = self._peer, self._loop.time()
            stands = peer is not None and peer.connected
            if peer is not None and stands:
                self._presence.heard(now - await peer.quiet_seconds(now))
            whereabouts = self._presence.whereabouts(now)
            if peer is self._peer:
                self._attend(stands and whereabouts is Whereabouts.HERE)

    def _attend(self, there: bool) -> None:
        """What is to be said and heard waits while it is not there."""
        if there == self._there:
            return
        self._there = there
        if there:
            self._dialogue.downlink.resume()
            self._hand_over()
        else:
            self._dialogue.downlink.pause()

    async def _expect_microphone(self, peer: Peer) -> None:
        """On a new connection a microphone that is on is heard soon, or it is dead and the app had better know."""
        uplink = self._dialogue.uplink
        heard = uplink.packets
        await asyncio.sleep(MICROPHONE_SECONDS)
        if peer is self._peer and self._there and uplink.packets == heard and self._dialogue.tracks.get(0, True):
            self.say([rtvi.relay_event("mic-dead", seconds=MICROPHONE_SECONDS)])

    # ---- what it does ----

    def on_connected(self, peer: Peer) -> None:
        """ICE and DTLS are up."""
        if peer is not self._peer:
            return
        back = self.connected.is_set()
        self.connected.set()
        self._presence.heard(self._loop.time())
        self._attend(True)
        if back and self.tasks is not None:
            self.tasks.create_task(self._expect_microphone(peer), name="microphone")

    def on_lost(self, peer: Peer, *, hung_up: bool = False) -> None:
        """The peer connection ended: by the browser's goodbye, by its misbehaviour, or because its path is dead.

        From a dead path it may come back. One that was replaced may end as it likes.
        """
        if peer is not self._peer or peer is self._broken:
            return
        if self.connected.is_set() and not hung_up and not peer.connected:
            self._broken = peer
            self._attend(False)
        else:
            self._end(None if hung_up and self.connected.is_set() else BrowserFault("peer-lost"))

    def on_open(self, peer: Peer) -> None:
        """The data channel is open: what waited goes out, if the client is ready for it."""
        self._hand_over()

    def on_message(self, peer: Peer, frame: str | bytes) -> None:
        """A data-channel message. An error of ours in here would end the peer connection without a word."""
        try:
            self._dialogue.on_frame(frame)
        except Exception as error:
            log.exception("call %s: a message failed", self._name)
            self._end(OurBug(type(error).__name__))

    # ---- what it is told ----

    def welcome(self, messages: Sequence[rtvi.Message]) -> None:
        """It is ready, or will not say so: the welcome goes first, then what was said meanwhile."""
        self._welcomed = True
        waiting = [*messages, *self._outbox]
        self._outbox.clear()
        self.say(waiting)

    def say(self, messages: Sequence[rtvi.Message]) -> None:
        """Send RTVI messages in order, or keep them until somebody is there to read them."""
        for message in messages:
            if self._peer is None or not self._peer.channel_open or not (self._welcomed and self._there):
                self._outbox.append(message)
            else:
                self._peer.send_message(rtvi.encode(message), spare=rtvi.droppable(message))

    def _hand_over(self) -> None:
        waiting = list(self._outbox)
        self._outbox.clear()
        self.say(waiting)

    async def farewell(self, fault: RelayError | None) -> None:
        """Tell it why and that we leave, and give it a moment to read."""
        peer = self._peer
        if peer is None or not peer.channel_open:
            return
        self._welcomed = self._there = True  # or what is said now would wait for ever
        self._dialogue.farewell()
        if fault is not None:
            self.say([rtvi.error(fault.fault.sentence, fatal=True, code=fault.code)])
        self.say([rtvi.peer_left()])
        for _ in range(FAREWELL_LOOKS):
            if not peer.backlog:
                return
            await asyncio.sleep(FAREWELL_SECONDS / FAREWELL_LOOKS)

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
