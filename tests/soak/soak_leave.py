"""A relay with twenty calls is told to stop, while both sides of each talk all the time. A quarter of a minute.

The callers and the model are the bench's, which cost a tenth of an aiortc each: of twenty of those one process would
send no more than three quarters of a second in each second.
"""

import asyncio
import signal
from typing import Final

from bench.side import PATIENCE, SMALLEST_SOUND, WARM_UP, Load, Side

CALLS: Final = 20
DRAIN_SECONDS: Final = 12
WATCHED_SECONDS: Final = 8.0  # most of that time, after the signal


async def test_twenty_calls_lose_no_word_before_the_limit() -> None:
    side = await Side.start("relay", None, None, ["--greeting", "", "--drain", str(DRAIN_SECONDS)])
    process, loop = side.relay.process, asyncio.get_running_loop()
    try:
        await side.dial(CALLS)
        loop.call_later(WARM_UP, process.send_signal, signal.SIGTERM)
        window = await side.window(Load(), WATCHED_SECONDS)
        assert process.returncode is None
        lengths = sorted(len(got) for got in window.got)
        heard = f"{lengths[0]} to {lengths[-1]} packets each, {window.lost} lost; p99 {window.gap:.1f} ms"
        print(f"heard of the relay {heard}")
        assert window.lost == 0
        assert window.unheard < 1 - SMALLEST_SOUND
        assert window.slowest > 49.5
        async with asyncio.timeout(DRAIN_SECONDS + PATIENCE):
            assert await process.wait() == 0
    finally:
        await side.stop()
