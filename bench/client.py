"""Many callers in one cheap process of its own (see `part.py`): one sender, each call with its phase in the 20 ms."""

import asyncio
import random
import socket
import time
from typing import Any, Final

import aioice.ice
from aiohttp import ClientSession

from bench import ear, fate, speech
from bench.caller import FRAME, Caller, redundant
from bench.fate import Fate
from bench.part import serve
from tests.sound import silence

DRAIN: Final = 0.100  # seconds between two looks at a call's socket; the kernel keeps the time of what came
DRAINS: Final = 10  # parts in which the calls are looked at, so that no sending waits long for it


class Client:
    """All calls, and what the bench asks of them."""

    def __init__(self) -> None:
        self.calls: list[Caller] = []
        turn, self.spoken = ear.turn()
        self.kinds = {
            "turns": turn,
            "speech": speech.packets(speech.sentence(speech.UPLINK_RATE)),
            "silence": speech.packets(silence(0.2, speech.UPLINK_RATE))[-1:],
            "nothing": [],
        }
        self.in_red: dict[tuple[str, int], list[bytes]] = {}
        self.sender: asyncio.Task[None] | None = None
        self.reader: asyncio.Task[None] | None = None
        self.rng = random.Random(1)

    async def dial(self, base: str) -> float:
        """One more call; its seconds from offer to answer."""
        call = Caller(self.rng)
        async with ClientSession() as http:
            took = await call.dial(http, base)
        self.calls.append(call)
        if self.reader is None:
            self.reader = asyncio.ensure_future(self._drain())
        return took

    async def talk(self, what: str, loss: float = 0.0, bumps: bool = False) -> None:
        """Send `speech`, `silence` (a muted but running microphone), `turns` or `nothing`, from now on.

        Of those who take turns no two stop in the same moment.
        """
        if self.sender is not None:
            self.sender.cancel()
        for number, call in enumerate(self.calls):
            first = len(self.kinds[what]) * number // len(self.calls) if what == "turns" else 0
            call.begin(fate.bumpy() if bumps else fate.losing(loss, number) if loss else Fate(), first)
            call.track_status(what in ("speech", "turns"))
        if self.kinds[what]:
            self.sender = asyncio.ensure_future(self._send(what))

    async def _send(self, what: str) -> None:
        calls = [(call, self._payloads(what, call)) for call in sorted(self.calls, key=lambda call: call.phase)]
        due = time.monotonic()
        while True:
            for call, payloads in calls:
                if (wait := due + call.phase - time.monotonic()) > 0.0002:
                    await asyncio.sleep(wait)
                call.send(payloads)
            due += FRAME

    def _payloads(self, what: str, call: Caller) -> list[bytes]:
        if not call.red:
            return self.kinds[what]
        key = (what, call.opus_type)
        if key not in self.in_red:
            self.in_red[key] = redundant(self.kinds[what], call.opus_type)
        return self.in_red[key]

    async def _drain(self) -> None:
        for turn in range(1 << 62):
            for call in self.calls[turn % DRAINS :: DRAINS]:
                call.drain()
            await asyncio.sleep(DRAIN / DRAINS)

    async def take(self) -> list[dict[str, Any]]:
        """What was sent and received since the last time."""
        for task in (self.sender, self.reader):
            if task is not None and task.done() and not task.cancelled():
                task.result()  # which is its error: it has no end
        for call in self.calls:
            call.drain()
        answer = [
            {"sent": call.sent, "got": call.got, "dropped": sorted(call.fate.dropped), "red": call.red}
            for call in self.calls
        ]
        for call in self.calls:
            call.sent, call.got = [], []
        return answer

    async def ends(self) -> list[list[int]]:
        """When the last packet of each turn was sent, call by call, of those who take `turns`; `take` forgets it."""
        cycle, last = len(self.kinds["turns"]), self.spoken - 1
        numbered = (enumerate(call.sent, call.number - len(call.sent)) for call in self.calls)
        return [[at for number, at in sent if number % cycle == last] for sent in numbered]

    async def probe(self, port: int, count: int = 30) -> None:
        """Send datagrams that carry their sending time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(count):
                out.sendto(time.monotonic_ns().to_bytes(8, "big"), ("127.0.0.1", port))
                await asyncio.sleep(0.011)

    async def hang_up(self) -> None:
        await self.talk("nothing")
        if self.reader is not None:
            self.reader.cancel()
            self.reader = None
        await asyncio.gather(*(call.close() for call in self.calls))
        self.calls.clear()


async def main() -> None:
    # One socket per call, on loopback only: host addresses differ between machines.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    # A busy machine must not end a call because six answers came later than half a second: the figures say it.
    aioice.ice.CONSENT_FAILURES = 1 << 30
    client = Client()
    await serve({name: getattr(client, name) for name in ("dial", "talk", "ends", "take", "probe", "hang_up")})


if __name__ == "__main__":
    asyncio.run(main())
