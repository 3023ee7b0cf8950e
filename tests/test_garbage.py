"""Garbage waits for a moment in which nobody is listening."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from aiortc import RTCDtlsTransport, RTCPeerConnection, RTCRtpTransceiver, RTCSctpTransport

from relay.browser import Browser
from relay.dialogue import Dialogue
from relay.downlink import Downlink
from relay.gemini.client import LiveClient
from relay.gemini.upstream import Upstream
from relay.metrics import CallFigures, Metrics, Quality
from relay.session import Session
from relay.uplink import Uplink
from relay.webrtc.peer import Peer
from relay.webrtc.wire import RawLine
from signaling.garbage import DUE_CALLS, LOOK_SECONDS, OVERDUE_CALLS, THRESHOLDS, Garbage
from tests import virtual
from tests.caller import Caller
from tests.running import running


@dataclass(eq=False)
class Counted:
    reason: str = "hung-up"

    def figures(self) -> CallFigures:
        return CallFigures()

    async def quality(self) -> Quality:
        return Quality()


class Circle:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.me = self


class House:
    """A process with calls that come and go."""

    def __init__(self) -> None:
        self.metrics = Metrics(lambda: 0.0)
        self.speaking = 0
        self.garbage = Garbage(self.metrics, lambda: self.speaking)

    def call(self) -> Counted:
        call = Counted()
        self.metrics.enter(call, 0.0)
        return call

    def ended(self, calls: int) -> None:
        for _ in range(calls):
            self.metrics.leave(self.call(), 0.0)


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    enabled = gc.isenabled()
    gc.disable()
    yield house
    house.garbage.close()
    gc.unfreeze()
    if enabled:
        gc.enable()


def leave_garbage() -> "weakref.ref[Circle]":
    return weakref.ref(Circle())


def test_when_the_last_call_has_ended_what_it_left_is_collected(house: House) -> None:
    left = leave_garbage()
    call = house.call()
    house.ended(1)
    assert not house.garbage.look()
    assert left() is not None
    house.metrics.leave(call, 0.0)
    assert house.garbage.look()
    assert left() is None


def test_where_nothing_has_ended_there_is_nothing_to_collect(house: House) -> None:
    assert not house.garbage.look()
    house.ended(1)
    assert [house.garbage.look(), house.garbage.look()] == [True, False]


def test_among_live_calls_it_waits_until_it_is_worth_it_and_nobody_is_spoken_to(house: House) -> None:
    house.call()
    house.ended(DUE_CALLS - 1)
    assert not house.garbage.look()
    house.speaking = 1
    house.ended(1)
    assert not house.garbage.look()
    house.speaking = 0
    assert house.garbage.look()
    assert not house.garbage.look()


def test_it_does_not_wait_for_ever(house: House) -> None:
    house.call()
    house.speaking = 1
    house.ended(OVERDUE_CALLS - 1)
    assert not house.garbage.look()
    house.ended(1)
    assert house.garbage.look()


async def test_a_call_that_is_over_is_freed_without_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.session.FORGET_SECONDS", 0.1)
    rooms = Session, Browser, Dialogue, Uplink, Downlink, Upstream, LiveClient, Peer, RawLine
    parts = RTCPeerConnection, RTCRtpTransceiver, RTCDtlsTransport, RTCSctpTransport
    async with running() as house, Caller(house.base) as caller:
        gc.collect()
        gc.disable()
        others = [id(one) for one in gc.get_objects() if type(one) in (*rooms, *parts)]  # of tests before this one
        try:
            await caller.dial()
            await caller.message("bot-ready")
            theirs = [caller.peer, caller.peer.sctp, *caller.peer.getTransceivers(), *transports(caller.peer)]
            ours = [one for one in gc.get_objects() if type(one) in (*rooms, *parts) and one not in theirs]
            found = [one for one in ours if id(one) not in others]
            ours.clear()
            assert {type(one) for one in found} == {*rooms, *parts}
            kept = [weakref.ref(one) for one in found]
            found.clear()
            await caller.hang_up()
            async with asyncio.timeout(5):
                while any(ref() is not None for ref in kept):
                    await asyncio.sleep(0.05)
        finally:
            gc.enable()


def transports(peer: RTCPeerConnection) -> list[RTCDtlsTransport]:
    """All that it has; a section that was bundled has lost its own."""
    parts = [peer.sctp, *(section.receiver for section in peer.getTransceivers())]
    return [part.transport for part in parts if part is not None]


def test_it_looks_by_itself_keeps_what_was_there_and_lets_the_collector_go(house: House) -> None:
    before, callbacks = gc.get_threshold(), len(gc.callbacks)

    async def life() -> None:
        house.garbage.start()
        house.garbage.start()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == THRESHOLDS
        left = leave_garbage()
        house.ended(1)
        await asyncio.sleep(LOOK_SECONDS + 0.1)
        assert left() is None
        assert house.metrics.pauses.count == 1  # of the circle, not of the start
        house.garbage.close()
        house.garbage.close()

    virtual.run(life())
    assert (gc.get_threshold(), len(gc.callbacks)) == (before, callbacks)
