"""What befalls a Chromium in the middle of its call, and how soon all is well again.

Each is a script of its own, run once by `test_return` and again and again by `make soak`. It is the only call of its
street's relay, and the model speaks, or has spoken.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from tests.network.stalls import Stalls
from tests.network.street import Street
from tests.network.visitor import Visitor
from tests.network.way import CLEAN, DARK

WITHIN: Final = 20.0  # or it is lost
LOOK_SECONDS: Final = 0.05
PACKETS: Final = 10  # that show that a microphone is heard
ENERGY: Final = 0.001  # W3C WebRTC statistics: of the sound since the connection stands; a whisper is more
PEERS: Final = "relay_peer_connections"
LEFT_ALONE: Final = ("relay_model_changes_total", "relay_calls_")
ALL_IS_WELL: Final = ("listening", "hearing", "thinking", "speaking")


@dataclass(frozen=True, slots=True)
class Back:
    """Seconds from the network's return, or from the loading: until the page has sound, until the relay has, until the
    page is ready with what was said. `gone` is how long the old connection was kept after that of the new one, or after
    the page had gone; `stalled` how long this process stood still at worst, which is nobody's fault."""

    down: float = 0.0
    up: float = 0.0
    ready: float = 0.0
    gone: float = 0.0
    stalled: float = 0.0


async def address_change(here: Street, visitor: Visitor, to: str) -> Back:
    """From one network to another: the old address is nobody's any more."""
    async with Stalls() as stalls, _left_alone(here):
        known, began = (await visitor.stats()).peers, time.time()
        here.line.near.move(to)
        await asyncio.sleep(0.2)  # what was on its way
        down, up = await both_ways(here, visitor, began, known, anew=True)
        async with asyncio.timeout(WITHIN):
            while (await here.counted())[PEERS] != 1:
                await asyncio.sleep(LOOK_SECONDS)
        return Back(down, up, gone=time.time() - began - max(down, up), stalled=stalls.longest)


async def darkness(here: Street, visitor: Visitor, seconds: float) -> Back:
    """No packet either way for so long."""
    async with Stalls() as stalls, _left_alone(here):
        known, dark = (await visitor.stats()).peers, time.time()
        here.line.up.trouble = here.line.down.trouble = DARK
        await visitor.state("reconnecting")
        await asyncio.sleep(dark + seconds - time.time())
        began = time.time()
        here.line.up.trouble = here.line.down.trouble = CLEAN
        down, up = await both_ways(here, visitor, began, known)
        return Back(down, up, stalled=stalls.longest)


async def reload(here: Street, visitor: Visitor, who: str, said: str) -> Back:
    """The page is loaded again; ready is when it is in its call and shows what `who`, user or model, has `said`."""
    watch = _Watch(here)
    async with Stalls() as stalls, _left_alone(here), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch.look())
        began = time.time()
        await visitor.page.reload()
        await visitor.shown(who, said)
        await visitor.state(*ALL_IS_WELL)
        ready = time.time() - began
        async with asyncio.timeout(WITHIN):
            while watch.gone is None:
                await asyncio.sleep(LOOK_SECONDS)
        watching.cancel()
    return Back(ready=ready, gone=watch.gone - began, stalled=stalls.longest)


@dataclass(slots=True)
class _Watch:
    """When a connection of two is gone, or the only one."""

    here: Street
    gone: float | None = None
    _seen: list[float] = field(default_factory=list)

    async def look(self) -> None:
        while self.gone is None:
            self._seen.append((await self.here.counted())[PEERS])
            if self._seen[-1] == 0 or (self._seen[-1] == 1 and 2 in self._seen):
                self.gone = time.time()
            await asyncio.sleep(LOOK_SECONDS)


@contextlib.asynccontextmanager
async def _left_alone(here: Street) -> AsyncIterator[None]:
    """The call goes on, and so does its connection to the model."""

    async def now() -> dict[str, float]:
        return {name: count for name, count in (await here.counted()).items() if name.startswith(LEFT_ALONE)}

    before = await now()
    yield
    after = await now()
    assert after == before, {name: after[name] - count for name, count in before.items() if after[name] != count}


async def microphone(here: Street) -> float:
    """How many packets of microphones the relay has had."""
    return sum(count for name, count in (await here.counted()).items() if name.startswith("relay_packets_in_total"))


async def _energy(visitor: Visitor) -> float:
    """Of all that the newest connection has brought."""
    return float((await visitor.stats()).heard.get("totalAudioEnergy", 0.0))


async def both_ways(
    here: Street, visitor: Visitor, began: float, known: int, *, anew: bool = False
) -> tuple[float, float]:
    """Seconds from `began` until the page has sound again, and until the relay has. It had `known` connections.

    If that must be `anew`, what rings on from the last of these does not count.
    """
    down = up = 0.0
    packets, played = await microphone(here), await _energy(visitor)
    async with asyncio.timeout(WITHIN):
        while not (down and up):
            await asyncio.sleep(LOOK_SECONDS)
            stats = await visitor.stats()
            before = 0.0 if stats.peers > known else math.inf if anew else played
            if not down and float(stats.heard.get("totalAudioEnergy", 0.0)) > before + ENERGY:
                down = time.time() - began
            if not up and await microphone(here) > packets + PACKETS:
                up = time.time() - began
    return down, up
