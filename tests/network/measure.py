"""How much of the model's voice a Chromium makes up on a bad network: one figure for a test, or a table of them.

python -m tests.network.measure 30 1 2 3        # seconds a point, seeds
"""

import asyncio
import json
import sys
from typing import Final

from tests.netem import Trouble
from tests.network.street import SPEECH_SECONDS, Street, street
from tests.network.way import CLEAN

# The model says nothing by itself, its own words for the greeting when it is asked to greet, and an echo to a voice.
SCRIPT: Final = json.dumps({"greeting": {"say": "What is the weather like today? " * 30, "wav": "speech.wav"}})
# Chromium reports its losses every 5 s, give or take half of it, and the relay acts on each report.
SETTLE_SECONDS: Final = 12.0
MAX_SECONDS: Final = SPEECH_SECONDS - SETTLE_SECONDS - 6.0
TABLE: Final = tuple((loss, burst) for loss, burst in ((0.0, 0.0), (0.05, 0.0), (0.10, 0.0), (0.20, 0.0), (0.10, 3.0)))


async def concealment(here: Street, trouble: Trouble, seconds: float, seed: int) -> dict[str, float]:
    """A call of its own to a relay that runs: what Chromium heard of it, once the relay has seen the trouble.

    `concealed` and `lost` are shares of samples and of packets, `delay_ms` is how long a sound waits in Chromium's
    buffer, `kbit_s` what arrived as RTP.
    """
    if seconds > MAX_SECONDS:
        raise ValueError(f"the model speaks no longer than {MAX_SECONDS:g} s after the relay has settled")
    async with here.call() as visitor:
        await visitor.have_it_speak()
        here.line.down.seed, here.line.down.trouble = seed, trouble
        try:
            await asyncio.sleep(SETTLE_SECONDS)
            before = await visitor.stats()
            await asyncio.sleep(seconds)
            return (await visitor.stats()).since(before)
        finally:
            here.line.down.trouble = CLEAN


async def concealed(loss_down: float, seconds: float, seed: int, burst: float = 0.0) -> dict[str, float]:
    """The same with a network, a relay and a Chromium made for it; raises `OSError` where there are no namespaces."""
    async with street() as here, here.relay("--greeting", "", script=SCRIPT):
        return await concealment(here, Trouble(loss=loss_down, burst=burst), seconds, seed)


async def _table(seconds: float, seeds: list[int]) -> None:
    async with street() as here, here.relay("--greeting", "", script=SCRIPT):
        for loss, burst in TABLE:
            for seed in seeds if loss else seeds[:1]:
                figures = await concealment(here, Trouble(loss=loss, burst=burst), seconds, seed)
                shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
                print(f"loss {loss:.2f} burst {burst:g} seed {seed}: {shown}", flush=True)


if __name__ == "__main__":
    asyncio.run(_table(float(sys.argv[1]), [int(word) for word in sys.argv[2:]]))
