"""A caller whose network is bad: what the model hears of it, and what it hears of the model, in real time."""

from collections.abc import Callable
from typing import Final

from tests.caller import SPOKEN_RATE, time_now
from tests.netem import Trouble
from tests.network.darkness import BACK_SECONDS, DARK_SECONDS, STALE_SECONDS, at_the_edge, calling, talkative
from tests.running import running
from tests.sound import Sound, compare, read_wav

SENTENCE: Final = read_wav("tests/sounds/weather.wav")
SPOKEN: Final = SENTENCE.part(1.0, 2.9)


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
    async with talkative() as house, calling(house) as (caller, up, down):
        kept = await at_the_edge(house, caller, up, down)
        assert not kept.ended
        caller.say(SENTENCE)
        await caller.message("user-transcription", timeout=20, where=lambda data: data["final"])
    heard = kept.judge()
    measured(f"after {DARK_SECONDS:g} s of darkness an aiortc caller hears after {1000 * heard.caller:.0f} ms, "
             f"the model after {1000 * heard.model:.0f}")  # fmt: skip
    stale, back = (limit + kept.stalled for limit in (STALE_SECONDS, BACK_SECONDS))
    assert heard.model_usual < stale, "the siren tells the time"
    assert heard.caller < back
    assert heard.model < back
    assert heard.caller_oldest < stale, "the caller gets nothing stale"
    assert heard.model_oldest < stale, "the model gets nothing stale"
