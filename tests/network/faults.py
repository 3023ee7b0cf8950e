"""What a network or a person does to a call in the middle of it, and how long it takes until all is well again.

Each is a script of its own, run once by `test_faults` and a hundred times by `make soak`. The caller is aiortc, in this
process; the model speaks all the time, and the microphone plays a siren that says when it was spoken.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from relay.standin.script import parse
from relay.standin.witness import Heard
from tests.caller import Caller, Refused, time_now
from tests.network.edge import edge
from tests.network.siren import ages, siren
from tests.network.stalls import Stalls
from tests.network.way import CLEAN, DARK
from tests.running import Running

TALKATIVE: Final = parse(
    {
        "greet": "setup",
        "greeting": {"say": "Ah.", "tone_hz": 440, "seconds": 60},
        # in one go with the end of what it interrupts, as a model's words come that a path has held up
        "replies": [{"say": "Oh.", "tone_hz": 440, "seconds": 60, "latency_ms": 0}],
        "after": "last",
    }
)
NOTE: Final = "The caller's name is Ada."
QUESTION: Final = "And then?"
FLAGS: Final = ("--greeting", "")
WITHIN: Final = 15.0  # everything, or it is lost
SIREN_SECONDS: Final = 12.0
VANISHED_WITHIN: Final = 50.0
BUSY_WITHIN: Final = 40.0
LOOK_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Return:
    """Seconds from when the network was there again, or the new page was: until sound came down, until it came up, and
    until the client was ready with the history, if it had to be. `gone` is how long the relay kept the old connection
    from when the new one stood, or from its goodbye; `stale` how old the oldest sound was that the model was given
    then, `stalled` how long this process stood still at worst, which is nobody's fault. `answered`: until the user read
    what is said to what they typed in mid-answer, from when that was sent, if it was."""

    down: float
    up: float
    ready: float
    gone: float
    stale: float
    stalled: float
    answered: float = 0.0


Fault = Callable[[Running], Awaitable[Return]]


async def address_change(house: Running) -> Return:
    """From Wi-Fi to 4G: the old path is gone in both directions, and the client makes another connection at once."""
    async with _talking(house) as (caller, model), Stalls() as stalls, edge(caller) as (up, down):
        await asyncio.sleep(0.5)
        up.trouble = down.trouble = DARK
        async with _comes_back(house, caller, model) as (again, began):
            gone = _gone(house, caller, again.connected)
            await again.offer(restart=True)
            return await _measured(again, model, began, stalls, gone)


async def blackout(house: Running, seconds: float = 20.0) -> Return:
    """No packet for so long. Then the path is there again, and the client makes another connection, for it gave up."""
    async with _talking(house) as (caller, model), Stalls() as stalls, edge(caller) as (up, down):
        await asyncio.sleep(0.5)
        up.trouble = down.trouble = DARK
        caller.microphone.mute(packets=False)  # they would get nowhere, and cost time that others need
        await asyncio.sleep(seconds)
        up.trouble = down.trouble = CLEAN
        async with _comes_back(house, caller, model) as (again, began):
            gone = _gone(house, caller, again.connected)
            await again.offer(restart=True)
            return await _measured(again, model, began, stalls, gone)


async def reload(house: Running) -> Return:
    """The page is loaded again: the connection is closed, and a new client comes with what it has kept."""
    async with _talking(house) as (caller, model), Stalls() as stalls:
        caller.client_ready(returns=True)
        caller.send("append-to-context", {"role": "user", "content": NOTE})
        await caller.message("append-to-context-result")
        gone = _gone(house, caller, caller.connected)
        await caller.hang_up()
        async with _comes_back(house, caller, model) as (again, began):
            turns = await _ready(again, caller)
            assert turns[-1] == NOTE, "though the model is in mid-answer"
            return await _measured(again, model, began, stalls, gone, ready=time_now() - began)


async def question(house: Running) -> Return:
    """The user types in mid-answer, reads that it is answered, and loads the page again in the middle of that."""
    async with _talking(house) as (caller, model), Stalls() as stalls:
        caller.client_ready(returns=True)
        caller.send("send-text", {"content": QUESTION, "options": {}})
        asked = time_now()
        await caller.message("bot-output", timeout=WITHIN, where=lambda data: data["text"] == "Oh.")
        answered = time_now() - asked
        gone = _gone(house, caller, caller.connected)
        await caller.hang_up()
        async with _comes_back(house, caller, model) as (again, began):
            turns = await _ready(again, caller)
            ready = time_now() - began
            assert QUESTION in turns
            back = await _measured(again, model, began, stalls, gone, ready)
            return replace(back, answered=answered)


async def second_tab(house: Running) -> float:
    """Another client takes the call, and the first is told; seconds until its connection is closed."""
    async with _talking(house) as (caller, _), Caller(house.base) as other:
        await other.return_to(caller.session_id, caller.secret)
        stood = time_now()
        async with asyncio.timeout(WITHIN):
            await caller.ended.wait()
        ended = time_now() - stood
        assert [message.data["event"] for message in caller.of("server-message")][-1] == "replaced"
        assert caller.messages[-1].type == "peerLeft"
        await other.message("bot-ready")
        await other.hears(after=time_now())
        await other.goodbye()
    return ended


async def vanished(house: Running) -> float:
    """The client is gone without a goodbye of any layer; seconds until its connection is closed. The call is kept."""
    async with _talking(house) as (caller, model):
        caller.microphone.mute(packets=False)
        await caller.vanish()
        last = time_now()
        async with asyncio.timeout(VANISHED_WITHIN):
            while house.holds(caller.answer_sdp):
                await asyncio.sleep(LOOK_SECONDS)
        gone = time_now() - last
        await asyncio.sleep(0.5)  # the end of a call would show by now
        assert model.closed is None, "the call goes on"
        await caller.goodbye()
    return gone


FAULTS: Final[dict[str, Fault]] = {
    "address change": address_change,
    "blackout": blackout,
    "reload": reload,
    "question": question,
}


async def _ready(again: Caller, caller: Caller) -> list[str]:
    """The new client has the call; what it is told was said."""
    await again.return_to(caller.session_id, caller.secret)
    await again.message("bot-ready")
    told = await again.message("server-message", where=lambda data: data["event"] == "history")
    return [turn["text"] for turn in told.data["turns"]]


@contextlib.asynccontextmanager
async def _talking(house: Running) -> AsyncIterator[tuple[Caller, Heard]]:
    """A call in which the model speaks."""
    async with Caller(house.base) as caller:
        async with house.dialling:
            known = len(house.model.connections)
            await _dial(caller)
            await caller.hears(timeout=WITHIN)
            [model] = house.model.connections[known:]
        yield caller, model


async def _dial(caller: Caller) -> None:
    """A relay that is late with the calls it has takes in no other for a while, as it may: callers share its core."""
    async with asyncio.timeout(BUSY_WITHIN):
        while True:
            try:
                return await caller.dial()
            except Refused as refused:
                if refused.body.get("code") != "busy":
                    raise
            await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def _comes_back(house: Running, caller: Caller, model: Heard) -> AsyncIterator[tuple[Caller, float]]:
    """The same user, with another connection; and when that was begun."""
    began = time_now()
    async with Caller(house.base) as again:
        again.session_id, again.pc_id = caller.session_id, caller.pc_id
        again.say(siren(SIREN_SECONDS))
        yield again, began
        assert model.closed is None, "the model's connection was left alone"
        await again.goodbye()


def _gone(house: Running, caller: Caller, since: asyncio.Event) -> asyncio.Task[float]:
    """Seconds from that until its connection is closed, in bounded time."""

    async def watch() -> float:
        await asyncio.wait_for(since.wait(), WITHIN)
        began = time_now()
        async with asyncio.timeout(WITHIN):
            while house.holds(caller.answer_sdp):
                await asyncio.sleep(LOOK_SECONDS)
        return time_now() - began

    return asyncio.create_task(watch())


async def _measured(
    again: Caller, model: Heard, began: float, stalls: Stalls, gone: asyncio.Task[float], ready: float = 0.0
) -> Return:
    await asyncio.wait_for(again.connected.wait(), WITHIN)
    down = await again.hears(after=began, timeout=WITHIN)
    said_at = again.microphone.began
    assert said_at is not None, "who is heard has begun"
    found: list[tuple[float, float]] = []
    async with asyncio.timeout(WITHIN):
        while len(found) < 25:  # half a second of it
            await asyncio.sleep(0.1)
            found = ages(model, said_at, began)
    return Return(down - began, found[0][0] - began, ready, await gone, max(age for _, age in found), stalls.longest)
