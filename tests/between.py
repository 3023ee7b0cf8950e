"""A session between a browser and a model that are not real, in virtual time. The fixture `play` runs one."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import relay.browser
import relay.session
from relay.agent import Agent
from relay.call import CallSettings
from relay.errors import BrowserFault
from relay.gemini.client import Traffic
from relay.gemini.handshake import Target
from relay.gemini.protocol import Message
from relay.gemini.upstream import Changes
from relay.metrics import Quality
from relay.outbox import Fate
from relay.session import Session
from relay.ticker import Ticker
from relay.webrtc.media import Media
from tests import virtual
from tests.listener import Listener


class FakePeer:
    """A peer connection that does what the test says."""

    made: ClassVar[list["FakePeer"]] = []

    def __init__(self, media: Media, events: Any) -> None:
        self.events = events
        self.connected = self.channel_open = self.closed = False
        self.backlog = self.unacknowledged = 0
        self.deaf = False
        self.there = True  # unless its end was not told yet
        self.forgotten = 0  # times
        self.silent_since: float | None = None
        self.sent: list[str] = []
        self.rtp = 0
        self.red = 0  # packets of RED among them
        self.red_over: int | None = 111
        self.line = SimpleNamespace(gate=None, rejected=0)
        self.close_takes = 0.0
        self.watched: dict[int, bool] = {}
        self.path = None
        self.met: list[str] = []
        FakePeer.made.append(self)

    async def answer(self, offer: str) -> str:
        if offer == "bad":
            raise BrowserFault("bad-sdp")
        return "answer"

    async def meet(self, candidates: Sequence[str]) -> None:
        self.met += candidates

    def trouble(self) -> BrowserFault:
        return BrowserFault("no-packet", "the browser was told nothing")

    async def quality(self) -> Quality:
        return Quality(jitter=0.001)

    async def quiet_seconds(self, now: float) -> float:
        return now - self.silent_since if self.silent_since is not None else 0.0

    def watch(self, track: int, enabled: bool) -> None:
        self.watched[track] = enabled

    def send_rtp(self, payload: bytes, timestamp: int, marker: bool, red: bool = False) -> bool:
        self.rtp += self.connected
        self.red += red
        return self.connected

    def send_message(self, text: str, spare: bool = False) -> Fate:
        if self.there:
            self.sent.append(text)
        return Fate.SENT if self.there else Fate.NOBODY_THERE

    def deafen(self) -> None:
        self.deaf = True

    async def close(self) -> None:
        self.closed, self.connected, self.channel_open = True, False, False
        await asyncio.sleep(self.close_takes)

    def forget(self) -> None:
        self.forgotten += 1

    def vanish(self) -> None:
        """Nothing comes from it any more."""
        self.silent_since = asyncio.get_running_loop().time()

    def breaks(self) -> None:
        """Its path is given up for dead, as aiortc does after half a minute, which then closes the connection."""
        self.connected = False
        self.events.on_lost(self)
        self.events.on_lost(self, hung_up=True)

    def connect(self, *, channel: bool = True) -> None:
        self.connected = True
        self.events.on_connected(self)
        if channel:
            self.channel_open = True
            self.events.on_open(self)

    def ready(self, **more: Any) -> None:
        self.type("client-ready", {"version": "2.1.0", **more})

    def type(self, kind: str, data: Any) -> None:
        self.events.on_message(self, json.dumps({"label": "rtvi-ai", "type": kind, "id": "1", "data": data}))

    def report(self, fraction_lost: float) -> None:
        self.events.on_report(fraction_lost)

    def mute(self) -> None:
        self.track(0, False)

    def track(self, index: int, enabled: bool) -> None:
        status = {"type": "trackStatus", "receiver_index": index, "enabled": enabled}
        self.events.on_message(self, json.dumps({"type": "signalling", "message": status}))


class FakeModel(Listener):
    """A model connection that does what the test says."""

    made: ClassVar[list["FakeModel"]] = []
    refuses: Exception | None = None
    takes_to_connect = 0.8
    generation, live = 1, True

    def __init__(self, target: Target, config: Any, on_event: Any, on_closed: Any, **options: Any) -> None:
        super().__init__()
        self.on_event, self.on_closed = on_event, on_closed
        self.options = options
        self.said: list[str] = []
        self.changes, self.traffic = Changes(), Traffic()
        self.sent: list[Message] = []
        self.audio = 0
        self.closed = False
        self.takes = True
        FakeModel.made.append(self)

    async def connect(self) -> None:
        await asyncio.sleep(FakeModel.takes_to_connect)
        if FakeModel.refuses is not None:
            raise FakeModel.refuses

    def send(self, message: Message) -> bool:
        if self.takes:
            self.sent.append(message)
        return self.takes

    def send_audio(self, pcm: bytes) -> bool:
        self.audio += len(pcm)
        return True

    def utterance(self, begins: bool, at: float) -> None:
        self.said.append(f"utterance {begins}")

    def playing(self, on: bool) -> None:
        self.said.append(f"playing {on}")

    def renew(self) -> None:
        self.said.append("renew")

    def forget(self) -> None:
        self.said.append("forget")

    async def close(self) -> None:
        self.closed = True


class Call:
    """A session between two fakes."""

    def __init__(self, *, idle: float = 0.0, **agent: Any) -> None:
        self.closed: list[Session] = []
        self.ticker = Ticker()
        target = Target("ws://127.0.0.1:1", "gemini-3.8-live")
        settings = CallSettings(target, Agent(greeting="Say hello.", **agent), idle=idle)
        media = Media("raw")
        self.session = Session("0" * 32, settings, media=media, ticker=self.ticker, on_closed=self.closed.append)
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()

    @property
    def peer(self) -> FakePeer:
        return FakePeer.made[-1]

    @property
    def model(self) -> FakeModel:
        return FakeModel.made[-1]

    async def offer(self) -> str:
        return (await self.session.answer("offer", pc_id=None, restart=False)).pc_id

    async def again(self, pc_id: str) -> FakePeer:
        """The browser offers a new connection; gives back the old one."""
        old = self.peer
        answer = await self.session.answer("offer", pc_id=pc_id, restart=True)
        assert answer.pc_id == pc_id
        assert self.peer is not old
        return old

    async def newcomer(self) -> FakePeer:
        """Another client is let in and offers; gives back the connection of the one before."""
        return await self.again(self.session.expect_newcomer())

    async def begin(self, seconds: float) -> None:
        """Connect, be ready, and let that many seconds pass."""
        await self.offer()
        self.peer.connect()
        self.peer.ready()
        await asyncio.sleep(seconds)

    async def over(self) -> float:
        """Seconds from the beginning until everything was freed."""
        async with asyncio.timeout(600):
            while not self.closed:
                await asyncio.sleep(0.05)
        assert self.peer.closed
        assert self.model.closed
        assert len(self.closed) == 1
        return self.loop.time() - self.began


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a coroutine with a call between fakes, in virtual time."""
    monkeypatch.setattr(relay.browser, "Peer", FakePeer)
    monkeypatch.setattr(relay.session, "Upstream", FakeModel)
    FakePeer.made, FakeModel.made, FakeModel.refuses, FakeModel.takes_to_connect = [], [], None, 0.8

    def play(main: Callable[[Call], Awaitable[None]], **settings: Any) -> None:
        async def whole() -> None:
            call = Call(**settings)
            await main(call)
            await call.session.close()
            call.ticker.close()
            assert call.closed == [call.session]
            assert len(asyncio.all_tasks()) == 1, "a call that is over leaves no task"

        virtual.run(whole())

    return play


Play = Callable[..., None]
KEEP = 60.0  # seconds, as nobody has said otherwise
