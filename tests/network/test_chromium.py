"""A Chromium on a bad network: the page and the relay are real, and between them is a wire that we bend."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest

from tests.netem import Trouble
from tests.network.measure import SCRIPT
from tests.network.path import CLEAN, DARK
from tests.network.street import Street, street
from tests.sound import Sound, compare, read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
DARK_SECONDS: Final = 5.0
BACK_SECONDS: Final = 1.0  # it takes a tenth of it; a busy machine may need longer
AUDIBLE: Final = -45.0  # dBFS


@pytest.fixture(scope="module")
async def here() -> AsyncIterator[Street]:
    """A street with a relay, clean again for each test."""
    async with street() as made, made.relay("--greeting", "", script=SCRIPT):
        yield made


def bend(here: Street, trouble: Trouble) -> None:
    here.line.up.trouble = here.line.down.trouble = trouble


async def test_a_spoken_sentence_is_answered_at_ten_percent_loss_with_packets_that_overtake_each_other(
    here: Street,
) -> None:
    async with here.call() as visitor:
        await visitor.state("listening")
        bend(here, Trouble(delay=0.020, loss=0.10, exponential=0.010))
        await visitor.listen()
        await visitor.say(SPOKEN)
        await visitor.shown("user", "s of speech")
        await visitor.shown("model", "own words")
        await visitor.state("listening")
        heard = await visitor.heard()
        bend(here, CLEAN)
    pcm = b"".join(piece.pcm for _, piece in heard)
    # Chromium stretches and squeezes what it plays, so the waveform says nothing.
    assert compare(SPOKEN, Sound(pcm, heard[0][1].rate)).levels > 0.6


async def test_five_seconds_of_darkness_end_no_call_and_sound_is_back_at_once(
    here: Street, measured: Callable[[str], None]
) -> None:
    async with here.call() as visitor:
        await visitor.have_it_speak()
        await visitor.listen()
        await asyncio.sleep(0.5)
        bend(here, DARK)
        await visitor.state("reconnecting")
        await asyncio.sleep(DARK_SECONDS - 2.0)
        light_at = time.time()
        bend(here, CLEAN)
        await visitor.state("speaking")
        shown_at = time.time()
        await asyncio.sleep(1.0)
        heard = await visitor.heard()
        await visitor.type("Stop.")
        await visitor.shown("model", "You typed: Stop.")
        await visitor.state("listening")
        await visitor.say(SPOKEN)
        await visitor.shown("user", "s of speech")
        await visitor.shown("model", "own words")
        stats = await visitor.stats()
    dark = [piece.level() for at, piece in heard if light_at - 2.0 < at < light_at]
    back_at = min(at for at, piece in heard if at >= light_at and piece.level() > AUDIBLE)
    measured(f"after 5 s of darkness Chromium plays sound after {1000 * (back_at - light_at):.0f} ms, "
             f"the page shows it after {1000 * (shown_at - light_at):.0f}")  # fmt: skip
    assert max(dark) < AUDIBLE, "it was dark"
    assert back_at - light_at < BACK_SECONDS
    assert stats.peers == 1, "it is the same connection"
