"""A caller whose network is bad: what the model hears of it, and what it hears of the model, in real time."""

import asyncio
import math
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from relay.standin.script import parse
from tests.caller import RTP_RATE, SPOKEN_RATE, Caller, Packet, time_now
from tests.netem import Trouble
from tests.network.edge import edge
from tests.network.siren import ages, siren
from tests.network.stalls import Stalls
from tests.network.way import DARK, Way
from tests.running import Running, running
from tests.sound import Sound, compare, read_wav

SENTENCE: Final = read_wav("tests/sounds/weather.wav")
SPOKEN: Final = SENTENCE.part(1.0, 2.9)
DARK_SECONDS: Final = 5.0
STALE_SECONDS: Final = 0.3  # sound that is older is worth nothing in a conversation
BACK_SECONDS: Final = 0.5  # and as long as this machine stood still


def delays(packets: list[Packet], since: float, until: float = math.inf) -> list[float]:
    """How far each packet's arrival lies behind its timestamp, from an origin of the call's own."""
    return [p.at - p.timestamp / RTP_RATE for p in packets if since <= p.at < until]


@asynccontextmanager
async def calling(house: Running, seed: int = 1) -> AsyncIterator[tuple[Caller, Way, Way]]:
    async with Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        async with edge(caller, seed) as (up, down):
            yield caller, up, down


async def test_at_ten_percent_loss_with_packets_that_overtake_each_other_it_is_still_a_conversation() -> None:
    async with running("--greeting", "") as house, calling(house) as (caller, up, down):
        up.trouble = down.trouble = Trouble(delay=0.020, loss=0.10, exponential=0.020)
        said_at = time_now()
        caller.say(SENTENCE)
        await caller.message("user-transcription", timeout=15, where=lambda data: data["final"])
        await caller.message("bot-output", timeout=15, where=lambda data: "own words" in data["text"])
        await caller.message("bot-stopped-speaking", timeout=15)
        assert up.link.counts["lost"] > 10
        assert down.link.counts["lost"] > 10
        heard = house.model.received_pcm()
    assert compare(SPOKEN, Sound(heard, SPOKEN_RATE)).same, "the model hears the caller"
    assert compare(SPOKEN, caller.recording(said_at)).same, "the caller hears the answer"


async def test_five_seconds_of_darkness_end_no_call_and_nothing_stale_comes_after_them(
    measured: Callable[[str], None],
) -> None:
    tone = siren(9)
    script = parse({"greet": "setup", "greeting": {"say": "Ah.", "tone_hz": 440, "seconds": 20}})
    async with (
        running("--greeting", "", script=script) as house,
        calling(house) as (caller, up, down),
        Stalls() as stalls,
    ):
        started, said_at = await caller.hears(), time_now()
        caller.say(tone)
        await asyncio.sleep(1.5)
        dark_at = time_now()
        up.trouble = down.trouble = DARK
        await asyncio.sleep(DARK_SECONDS)
        light_at = time_now()
        up.trouble = down.trouble = Trouble()
        again = await caller.hears(after=light_at, timeout=5)
        await asyncio.sleep(1.5)
        returned_at = time_now()
        [heard] = house.model.open
        assert not caller.ended.is_set()
        assert house.calls == 1
        caller.say(SENTENCE)
        await caller.message("user-transcription", timeout=20, where=lambda data: data["final"])
    # All this takes a while, which a call would hear.
    before, after = ages(heard, said_at, said_at + 0.3, dark_at), ages(heard, said_at, light_at, returned_at)
    usual = statistics.median(delays(caller.packets, started, dark_at))
    late = [delay - usual for delay in delays(caller.packets, light_at, returned_at)]
    heard_again = min(at for at, _ in after) - light_at
    ours, models = 1000 * (again - light_at), 1000 * heard_again
    measured(
        f"after {DARK_SECONDS:g} s of darkness an aiortc caller hears after {ours:.0f} ms, the model after {models:.0f}"
    )
    stale, back = (limit + stalls.longest for limit in (STALE_SECONDS, BACK_SECONDS))
    assert max(age for _, age in before) < stale, "the siren tells the time"
    assert again - light_at < back
    assert heard_again < back
    assert max(late) < stale, "the caller gets nothing stale"
    assert max(age for _, age in after) < stale, "the model gets nothing stale"
