"""Hundreds of calls against a relay process of its own, one in ten ending badly: nothing of them may stay.

`RELAY_SOAK_CALLS` sets how many (default 1000), `RELAY_SOAK_AT_ONCE` how many at a time (default one after the other;
with more, memory settles at the most calls that were ever alive at once, and the warm-up is too short to see that).
What was measured is printed at the end: `make soak ARGS=-s` shows it.
"""

import asyncio
import json
import os
import random
import struct
import time
from typing import Any, Final

from relay.presence import LOST_SECONDS
from relay.standin.script import parse
from relay.standin.server import serve
from tests.caller import Caller, Refused
from tests.process import relay_process

CALLS: Final = int(os.environ.get("RELAY_SOAK_CALLS", "1000"))
WARM_CALLS: Final = 100
AT_ONCE: Final = int(os.environ.get("RELAY_SOAK_AT_ONCE", "1"))
MAX_GROWTH_MIB: Final = 10.0
BUSY_SECONDS: Final = 5.0
KEEP_SECONDS: Final = 5
SETTLE_SECONDS: Final = LOST_SECONDS + KEEP_SECONDS + 10.0  # a vanished browser is waited for, as is a half-open one


async def polite(caller: Caller) -> None:
    """Connect, hear a little, hang up."""
    await caller.dial()
    await caller.message("bot-started-speaking", timeout=10)
    await asyncio.sleep(0.1)
    await caller.hang_up()


async def half_open(caller: Caller) -> None:
    """An offer, and never a connection."""
    await caller.start()
    caller.prepare()
    await caller.peer.setLocalDescription(await caller.peer.createOffer())
    await caller.post(caller.offer_path, {"sdp": caller.peer.localDescription.sdp, "type": "offer"})


async def vanish(caller: Caller) -> None:
    """A call whose network is pulled."""
    await caller.dial()
    await asyncio.sleep(0.1)
    await caller.vanish()


async def spray(caller: Caller) -> None:
    """Three hundred invented streams, then gone."""
    await caller.dial()
    sender: Any = caller.peer.getSenders()[0]
    for n in range(300):
        header = struct.pack("!BBHII", 0x80, 96, n, n * 960, n + 1)
        await sender.transport._send_rtp(header + b"x" * 40)
        await asyncio.sleep(0)
    await caller.hang_up()


async def junk(caller: Caller) -> None:
    """A data channel full of rubbish."""
    await caller.dial()
    for n in range(300):
        caller.send_raw(json.dumps({"label": "rtvi-ai", "type": f"junk-{n}"}))
    await caller.hang_up()


HOSTILE: Final = (half_open, vanish, spray, junk)


async def one(base: str, chance: random.Random) -> None:
    ending = chance.choice(HOSTILE) if chance.random() < 0.1 else polite
    while True:
        async with Caller(base) as caller:
            try:
                return await ending(caller)
            except Refused as refused:
                if refused.body["code"] != "busy":
                    raise
        await asyncio.sleep(BUSY_SECONDS)  # the machine is late with the calls it has, as it may be


async def test_a_thousand_calls_leave_nothing() -> None:
    chance, started = random.Random(7), time.monotonic()
    script = parse({"greeting": {"say": "Hello.", "seconds": 0.2}})
    async with serve(script, record=False) as model, relay_process(model.url, "--keep", str(KEEP_SECONDS)) as process:
        places = asyncio.Semaphore(AT_ONCE)

        async def placed() -> None:
            async with places:
                await one(process.base, chance)

        await asyncio.gather(*(placed() for _ in range(WARM_CALLS)))
        await asyncio.sleep(SETTLE_SECONDS)
        warm = await process.look()
        await asyncio.gather(*(placed() for _ in range(CALLS - WARM_CALLS)))
        await asyncio.sleep(SETTLE_SECONDS)
        done = await process.look()
        took = time.monotonic() - started
        print(f"\n{CALLS} calls in {took:.0f} s; RSS MiB, descriptors, threads, tasks: {warm} -> {done}")
        assert done[0] - warm[0] <= MAX_GROWTH_MIB
        assert done[1] <= warm[1]
        assert done[2] <= warm[2]
        assert done[3] == warm[3]
