"""Hundreds of calls against a relay process of its own, one in ten ending badly: nothing of them may stay.

`RELAY_SOAK_CALLS` sets how many (default 1000), `RELAY_SOAK_AT_ONCE` how many at a time (default one after the other;
with more, memory settles at the most calls that were ever alive at once, and the warm-up is too short to see that).
What was measured is printed at the end: `make soak ARGS=-s` shows it.
"""

import asyncio
import json
import os
import random
import re
import struct
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from bench.process import free_port
from relay.presence import LOST_SECONDS
from relay.standin.script import parse
from relay.standin.server import serve
from tests.caller import Caller, Refused

CALLS: Final = int(os.environ.get("RELAY_SOAK_CALLS", "1000"))
WARM_CALLS: Final = 100
AT_ONCE: Final = int(os.environ.get("RELAY_SOAK_AT_ONCE", "1"))
MAX_GROWTH_MIB: Final = 10.0
BUSY_SECONDS: Final = 5.0
KEEP_SECONDS: Final = 5
SETTLE_SECONDS: Final = LOST_SECONDS + KEEP_SECONDS + 10.0  # a vanished browser is waited for, as is a half-open one


class Process:
    """A relay process, and what the system says of it."""

    def __init__(self, pid: int, base: str, metrics: str) -> None:
        self.pid = pid
        self.base = base
        self._metrics = metrics

    @property
    def rss(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))

    async def figure(self, name: str) -> float:
        """One of its own figures, by its name in `/metrics`."""

        def read() -> str:
            with urllib.request.urlopen(self._metrics) as answer:
                return str(answer.read().decode())

        [value] = re.findall(rf"^{name} (\S+)$", await asyncio.to_thread(read), re.MULTILINE)
        return float(value)

    async def look(self) -> tuple[float, int, int, int]:
        """RSS in MiB, descriptors, threads, tasks; of the descriptors without our question's."""
        tasks = int(await self.figure("relay_tasks"))
        await asyncio.sleep(1)
        return self.rss, self.descriptors, self.threads, tasks


@asynccontextmanager
async def relay_process(model: str) -> AsyncIterator[Process]:
    """A relay in a process of its own."""
    environment = {**os.environ, "GEMINI_API_KEY": "AIzaSoak"}
    flags = ["--port", "0", "--gemini-url", model, "--ice-address", "127.0.0.1", "--log-level", "error"]
    port = free_port()
    flags += ["--keep", str(KEEP_SECONDS), "--metrics-port", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signaling", *flags, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield Process(process.pid, line.decode().split()[-1], f"http://127.0.0.1:{port}/metrics")
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)


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
    async with serve(script, record=False) as model, relay_process(model.url) as process:
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
