"""The deadlines of a call, in virtual time: nobody waits for ever, and what is over is freed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

import relay.session
from relay.agent import Agent
from relay.dialogue import CallSettings
from relay.errors import BrowserFault, ModelFault, RelayError
from relay.gemini import events, protocol
from relay.gemini.client import Target
from relay.session import CLOSE_SECONDS, CONNECT_SECONDS, LOST_SECONDS, READY_SECONDS, Session
from relay.ticker import Ticker
from relay.webrtc.peer import Media
from tests import virtual


class FakePeer:
    """A peer connection that does what the test says."""

    made: ClassVar[list["FakePeer"]] = []

    def __init__(self, media: Media, events: Any) -> None:
        self.events = events
        self.connected = self.channel_open = self.closed = False
        self.backlog = 0
        self.quiet = 0.0
        self.sent: list[str] = []
        self.rtp = 0
        self.line = type("Line", (), {"gate": None})()
        self.close_takes = 0.0
        FakePeer.made.append(self)

    async def answer(self, offer: str) -> str:
        if offer == "bad":
            raise BrowserFault("bad-sdp")
        return "answer"

    async def quiet_seconds(self, now: float) -> float:
        return self.quiet

    def send_rtp(self, payload: bytes, timestamp: int, marker: bool) -> bool:
        self.rtp += 1
        return True

    def send_message(self, text: str, *, spare: bool = False) -> bool:
        self.sent.append(text)
        return True

    async def close(self) -> None:
        self.closed = True
        await asyncio.sleep(self.close_takes)

    def connect(self, *, channel: bool = True) -> None:
        self.connected = True
        self.events.on_connected(self)
        if channel:
            self.channel_open = True
            self.events.on_open(self)

    def ready(self) -> None:
        self.events.on_message(self, '{"label":"rtvi-ai","type":"client-ready","id":"1","data":{"version":"2.1.0"}}')


class FakeModel:
    """A model connection that does what the test says."""

    made: ClassVar[list["FakeModel"]] = []
    refuses: RelayError | None = None

    def __init__(self, target: Target, config: Any, on_event: Any, on_closed: Any) -> None:
        self.on_event, self.on_closed = on_event, on_closed
        self.sent: list[bytes] = []
        self.audio = 0
        self.closed = False
        FakeModel.made.append(self)

    async def connect(self) -> None:
        await asyncio.sleep(0.8)
        if FakeModel.refuses is not None:
            raise FakeModel.refuses

    def send(self, message: bytes) -> bool:
        self.sent.append(message)
        return True

    def send_audio(self, pcm: bytes) -> bool:
        self.audio += len(pcm)
        return True

    async def close(self) -> None:
        self.closed = True


class Call:
    """A session between two fakes."""

    def __init__(self) -> None:
        self.closed: list[Session] = []
        self.ticker = Ticker()
        settings = CallSettings(Target("ws://127.0.0.1:1", "gemini-3.8-live"), Agent(greeting="Say hello."))
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
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Call], Awaitable[None]]], None]:
    """Run a coroutine with a call between fakes, in virtual time."""
    monkeypatch.setattr(relay.session, "Peer", FakePeer)
    monkeypatch.setattr(relay.session, "LiveClient", FakeModel)
    FakePeer.made, FakeModel.made, FakeModel.refuses = [], [], None

    def play(main: Callable[[Call], Awaitable[None]]) -> None:
        async def whole() -> None:
            call = Call()
            await main(call)
            await call.session.close()
            call.ticker.close()
            assert call.closed == [call.session]
            assert len(asyncio.all_tasks()) == 1, "a call that is over leaves no task"

        virtual.run(whole())

    return play


Play = Callable[[Callable[[Call], Awaitable[None]]], None]


def test_a_browser_that_never_connects_is_let_go_after_fifteen_seconds(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        assert CONNECT_SECONDS <= await call.over() < CONNECT_SECONDS + 1

    play(main)


def test_without_client_ready_the_call_starts_two_seconds_after_it_connected(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        await asyncio.sleep(1)
        call.peer.connect(channel=False)
        await asyncio.sleep(READY_SECONDS - 0.1)
        assert call.model.sent == []
        await asyncio.sleep(0.2)
        assert call.model.sent == [protocol.greeting_message("gemini-3.8-live", "Say hello.")]

    play(main)


def test_with_client_ready_the_model_is_asked_to_greet_as_soon_as_it_is_there(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        assert any("bot-ready" in text for text in call.peer.sent), "bot-ready does not wait for the model"
        await asyncio.sleep(0.7)
        assert call.model.sent == []
        await asyncio.sleep(0.2)
        assert len(call.model.sent) == 1

    play(main)


def test_a_browser_that_fell_silent_is_noticed_after_ten_seconds(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(30)
        assert not call.closed
        vanished = call.loop.time()
        for second in range(15):
            call.peer.quiet = float(second)
            await asyncio.sleep(1)
        assert LOST_SECONDS <= await call.over() - (vanished - call.began) <= LOST_SECONDS + 6

    play(main)


def test_a_refusal_that_comes_before_the_browser_is_told_when_it_is_there(play: Play) -> None:
    async def main(call: Call) -> None:
        FakeModel.refuses = ModelFault("key-refused", "a detail for the log")
        await call.offer()
        await asyncio.sleep(3)
        call.peer.connect()
        await asyncio.sleep(0.1)
        call.peer.ready()
        await call.over()
        error = next(text for text in call.peer.sent if '"error"' in text)
        assert '"fatal":true' in error
        assert "detail for the log" not in error
        assert "peerLeft" in call.peer.sent[-1]

    play(main)


def test_the_first_reason_for_an_end_counts_and_the_close_comes_once(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(2)
        call.model.on_closed(ModelFault("model-lost"))
        call.session.end(ModelFault("quota"))
        call.peer.events.on_lost(call.peer)
        await asyncio.gather(call.session.close(), call.session.close())
        await call.over()
        assert sum('"fatal":true' in text for text in call.peer.sent) == 1
        assert any("model-lost" in text for text in call.peer.sent)

    play(main)


def test_close_returns_within_a_second_whatever_the_browser_does(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(2)
        call.peer.backlog = 1_000_000  # it reads nothing any more
        call.peer.close_takes = 0.7
        before = call.loop.time()
        await call.session.close()
        assert call.loop.time() - before <= CLOSE_SECONDS
        await call.over()

    play(main)


def test_an_offer_that_cannot_be_answered_leaves_nothing_and_a_second_one_may_work(play: Play) -> None:
    async def main(call: Call) -> None:
        with pytest.raises(BrowserFault):
            await call.session.answer("bad", pc_id=None, restart=False)
        assert call.peer.closed
        await call.offer()
        assert len(FakePeer.made) == 2

    play(main)


def test_a_strange_connection_id_is_gone_and_so_is_every_one_after_the_end(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id="f" * 32, restart=False)
        await call.session.close()
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id=pc_id, restart=False)
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id=None, restart=False)

    play(main)


def test_a_restart_puts_a_new_connection_into_the_same_call(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(2)
        answer = await call.session.answer("offer", pc_id=pc_id, restart=True)
        await asyncio.sleep(0.1)
        assert answer.pc_id == pc_id
        assert FakePeer.made[0].closed
        assert not FakePeer.made[1].closed
        assert len(FakeModel.made) == 1
        assert not call.closed

    play(main)


def test_what_the_old_connection_still_says_after_a_restart_ends_nothing(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        old = call.peer
        old.connect()
        old.ready()
        await asyncio.sleep(2)
        await call.session.answer("offer", pc_id=pc_id, restart=True)
        old.events.on_lost(old)
        await asyncio.sleep(1)
        assert not call.closed

    play(main)


def test_typed_words_cut_what_is_being_said_and_the_rest_of_it_is_not_heard(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        call.model.on_event(events.Audio(bytes(48_000 * 5)))
        await asyncio.sleep(1)
        call.peer.events.on_message(
            call.peer, '{"label":"rtvi-ai","type":"send-text","id":"2","data":{"content":"stop","options":{}}}'
        )
        assert any("bot-interrupted" in text for text in call.peer.sent)
        await asyncio.sleep(1)
        sent = call.peer.rtp
        call.model.on_event(events.Audio(bytes(48_000)))  # the old generation, still coming
        await asyncio.sleep(1)
        assert call.peer.rtp == sent
        call.model.on_event(events.Interrupted())
        call.model.on_event(events.Audio(bytes(48_000)))
        await asyncio.sleep(1)
        assert call.peer.rtp > sent

    play(main)


def test_a_flood_of_messages_is_told_once_and_then_ends_the_call(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        for _ in range(5000):
            call.peer.events.on_message(call.peer, "ping: 1")
        await call.over()
        assert sum("Too many messages" in text for text in call.peer.sent) == 1

    play(main)


def test_more_than_five_minutes_ahead_the_newest_is_dropped_and_the_caller_told_once(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        for _ in range(320):
            call.model.on_event(events.Audio(b"\1\0" * 24_000))
        assert sum("five minutes" in text for text in call.peer.sent) == 1

    play(main)
