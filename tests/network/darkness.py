"""Five seconds without a network: what comes of a call. The tests judge it, `bench/network.py` makes rows of it."""

import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from relay.standin.script import parse
from relay.standin.witness import Heard as ModelHeard
from tests.caller import RTP_RATE, Caller, Packet, time_now
from tests.network.edge import edge
from tests.network.siren import ages, siren
from tests.network.stalls import Stalls
from tests.network.way import CLEAN, DARK, Way
from tests.running import Running, running

if TYPE_CHECKING:  # who has no Playwright has a caller all the same
    from tests.network.street import Street
    from tests.network.visitor import Visitor

DARK_SECONDS: Final = 5.0
BACK_SECONDS: Final = 0.5  # it takes a tenth of it
STALE_SECONDS: Final = 0.3  # sound that is older is worth nothing in a conversation
AUDIBLE: Final = -45.0  # dBFS
AFTERWARDS_SECONDS: Final = 1.5  # that are looked at


@dataclass(frozen=True, slots=True)
class Played:
    """What a Chromium played; times are `time.time()`'s."""

    dark_at: float
    light_at: float
    back_at: float  # infinite if it was not heard again
    loudest: float  # dBFS while it was dark


async def before_a_page(here: "Street", visitor: "Visitor") -> Played:
    """The wire is dark for a while in a call in which the model is being heard."""
    await visitor.listen()
    await asyncio.sleep(0.5)
    dark_at = time.time()
    here.line.up.trouble = here.line.down.trouble = DARK
    await asyncio.sleep(DARK_SECONDS)
    light_at = time.time()
    here.line.up.trouble = here.line.down.trouble = CLEAN
    await asyncio.sleep(AFTERWARDS_SECONDS)
    heard = await visitor.heard()
    back = (at for at, piece in heard if at >= light_at and piece.level() > AUDIBLE)
    dark = (piece.level() for at, piece in heard if light_at - 2.0 < at < light_at)
    return Played(dark_at, light_at, min(back, default=math.inf), max(dark))


@dataclass(frozen=True, slots=True)
class Heard:
    """What a caller and the model heard of each other, in seconds since the light: an age is of sound that came."""

    caller: float
    model: float
    caller_oldest: float  # beyond the usual
    model_oldest: float
    model_usual: float  # the oldest before it was dark


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written down between an aiortc caller and its model."""

    packets: list[Packet]
    model: ModelHeard
    said_at: float
    heard_at: float  # the model was, for the first time
    dark_at: float
    light_at: float
    again_at: float  # the caller heard it
    until: float
    ended: bool  # the caller's connection did, or another call began
    stalled: float  # how long this process stood still at worst

    def judge(self) -> Heard:
        """It takes a while, which a call would hear: let it be over."""
        usual = statistics.median(self._delays(self.heard_at, self.dark_at))
        before = ages(self.model, self.said_at, self.said_at + 0.3, self.dark_at)
        after = ages(self.model, self.said_at, self.light_at, self.until)
        return Heard(
            caller=self.again_at - self.light_at,
            model=min((at for at, _ in after), default=math.inf) - self.light_at,
            caller_oldest=max(self._delays(self.light_at, self.until)) - usual,
            model_oldest=max((age for _, age in after), default=math.inf),
            model_usual=max(age for _, age in before),
        )

    def _delays(self, since: float, until: float) -> list[float]:
        """How far each packet's arrival lies behind its timestamp, from an origin of the call's own."""
        return [p.at - p.timestamp / RTP_RATE for p in self.packets if since <= p.at < until]


@asynccontextmanager
async def calling(house: Running, seed: int = 1) -> AsyncIterator[tuple[Caller, Way, Way]]:
    """A caller with a bad network."""
    async with Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        async with edge(caller, seed) as (up, down):
            yield caller, up, down


@asynccontextmanager
async def talkative() -> AsyncIterator[Running]:
    """A relay whose model speaks for twenty seconds as soon as it is there."""
    script = parse({"greet": "setup", "greeting": {"say": "Ah.", "tone_hz": 440, "seconds": 20}})
    async with running("--greeting", "", script=script) as house:
        yield house


async def at_the_edge(house: Running, caller: Caller, up: Way, down: Way) -> Kept:
    """The same between an aiortc caller and its sockets, while both talk: the caller a siren that tells the time."""
    tone = siren(9)
    async with Stalls() as stalls:
        heard_at, said_at = await caller.hears(), time_now()
        caller.say(tone)
        await asyncio.sleep(1.5)
        dark_at = time_now()
        up.trouble = down.trouble = DARK
        await asyncio.sleep(DARK_SECONDS)
        light_at = time_now()
        up.trouble = down.trouble = CLEAN
        again_at = await caller.hears(after=light_at, timeout=5)
        await asyncio.sleep(AFTERWARDS_SECONDS)
    ended = caller.ended.is_set() or house.calls != 1
    return Kept(
        caller.packets, house.model.open[0], said_at, heard_at, dark_at, light_at, again_at, time_now(), ended,
        stalls.longest,
    )  # fmt: skip
