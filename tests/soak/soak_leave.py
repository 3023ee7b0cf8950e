"""A relay with twenty calls is told to stop, while both sides of each talk all the time. A quarter of a minute.

The callers and the model are the bench's, which cost little: an aiortc takes a twentieth of a core, so that one process
of twenty of them would be late by itself.
"""

import asyncio
import signal
from typing import Final

from bench.side import PATIENCE, WARM_UP, Load, Side

CALLS: Final = 20
DRAIN_SECONDS: Final = 12
BEFORE_SECONDS: Final = 3.0
WATCHED_SECONDS: Final = 8.0  # most of the drain


async def test_twenty_calls_lose_no_word_before_the_limit() -> None:
    side = await Side.start("relay", None, None, ["--greeting", "", "--drain", str(DRAIN_SECONDS)])
    process, loop = side.relay.process, asyncio.get_running_loop()
    try:
        await side.dial(CALLS)
        assert (await side.window(Load(), BEFORE_SECONDS)).keeps_up, "the machine is too slow for this test"
        loop.call_later(WARM_UP, process.send_signal, signal.SIGTERM)
        window = await side.window(Load(), WATCHED_SECONDS)
        assert process.returncode is None
        print(f"{window.lost} packets lost, {window.unheard:.2%} unheard, {window.gap:.1f} ms between two at p99")
        assert window.keeps_up
        async with asyncio.timeout(DRAIN_SECONDS + PATIENCE):
            assert await process.wait() == 0
    finally:
        await side.stop()
