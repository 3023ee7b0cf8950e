"""How much of the model's voice a Chromium makes up on a bad network; `bench/network.py` makes a table of it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Final

from tests.netem import Trouble
from tests.network.street import SPEECH_SECONDS, Street, street
from tests.network.way import CLEAN

# The model says nothing by itself, its own words for the greeting when it is asked to greet, and an echo to a voice.
SCRIPT: Final = json.dumps({"greeting": {"say": "What is the weather like today? " * 30, "wav": "speech.wav"}})
# Chromium reports its losses every 5 s, give or take half of it, and the relay acts on each report.
SETTLE_SECONDS: Final = 12.0
MAX_SECONDS: Final = SPEECH_SECONDS - SETTLE_SECONDS - 6.0


async def concealment(here: Street, trouble: Trouble, seconds: float, seeds: Sequence[int]) -> list[dict[str, float]]:
    """A call of its own to a relay that runs: what Chromium heard of it, once the relay has seen the trouble.

    For each seed, one after the other: `concealed` and `lost` are shares of samples and of packets, `delay_ms` is how
    long a sound waits in Chromium's buffer, `kbit_s` what arrived as RTP.
    """
    if seconds * len(seeds) > MAX_SECONDS:
        raise ValueError(f"the model speaks no longer than {MAX_SECONDS:g} s after the relay has settled")
    figures = []
    async with here.call() as visitor:
        await visitor.have_it_speak()
        try:
            here.line.down.trouble = trouble
            if trouble != CLEAN:
                await asyncio.sleep(SETTLE_SECONDS)
            for seed in seeds:
                here.line.down.seed, here.line.down.trouble = seed, trouble
                before = await visitor.stats()
                await asyncio.sleep(seconds)
                figures.append((await visitor.stats()).since(before))
        finally:
            here.line.down.trouble = CLEAN
    return figures


async def concealed(loss_down: float, seconds: float, seed: int, burst: float = 0.0) -> dict[str, float]:
    """One figure, with a network, a relay and a Chromium made for it; `OSError` where there can be no namespaces."""
    async with street() as here, here.relay("--greeting", "", script=SCRIPT):
        [figures] = await concealment(here, Trouble(loss=loss_down, burst=burst), seconds, [seed])
        return figures
