"""One of the relays that are compared, with the callers and the model it has to itself."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from bench import stamps
from bench.part import Part
from bench.process import Relay, cpu
from bench.report import percentile
from bench.stamps import Got, Uplink

WARM_UP: Final = 1.5  # seconds of load before anything is measured
WORKING: Final = 0.01  # of a processor: a thread above it works
REFUSALS: Final = 10  # seconds in which a relay may recover
PATIENCE: Final = 5.0  # seconds until a call's end or beginning shows at the model
SMALLEST_SOUND: Final = 0.99  # of what was sent; the rest may be on its way,
EDGE_PACKETS: Final = 5  # and so may 100 ms of it, for the two ends are not counted in the same moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the two ends of each call do."""

    up: str = "speech"  # or "silence" (a muted microphone still sends), or "nothing"
    down: str = "all"  # the model talks "all" the time, or in "turns", or "none"
    loss: float = 0.0  # share of the callers' packets
    bumps: bool = False  # a stall and a hole in what the callers send
    captions: bool = False
    chunk_ms: int = 200
    delays: bool = False  # keep what the model hears, to know how late it is


@dataclass(frozen=True)
class Window:
    """What was seen while one side was under load for some seconds."""

    calls: int
    seconds: float
    began: int  # monotonic ns
    cpu: float  # % of a core per call
    own: Mapping[str, float]  # % of a core that the bench's parts took
    taken: list[dict[str, Any]]
    heard: list[dict[str, Any]]
    counts: list[int]  # frames each line of the model got, since the call began to talk
    probed: list[float]  # ms that a datagram takes from the client to the model
    busy: list[int]  # threads that worked, besides the loop's

    @cached_property
    def got(self) -> list[list[Got]]:
        calls = ([Got(*packet) for packet in call["got"]] for call in self.taken)
        return [[packet for packet in call if packet.at >= self.began] for call in calls]

    @property
    def gap(self) -> float:
        """p99 of the milliseconds between packets at the clients, all calls together."""
        gaps = [gap for call in self.got for gap in stamps.gaps(call)]
        return percentile(gaps, 0.99) if gaps else float("inf")

    @property
    def lost(self) -> int:
        return sum(stamps.lost(call) for call in self.got)

    @property
    def slowest(self) -> float:
        """Packets a second of the call that got fewest."""
        return min(stamps.rate([packet.at for packet in call]) for call in self.got)

    @property
    def unheard(self) -> float:
        """The share of the callers' packets whose sound did not come to the model, on the worst call.

        The two are counted one after the other, call by call, so a few packets at the window's ends say nothing.
        """
        sent = [len(call["sent"]) for call in self.taken]
        missing = (packets - count for count, packets in zip(self.counts, sent, strict=True))
        return max((less - EDGE_PACKETS) / max(1, packets) for less, packets in zip(missing, sent, strict=True))

    @property
    def keeps_up(self) -> bool:
        return self.gap < 40 and self.lost == 0 and self.slowest > 49.5 and self.unheard < 1 - SMALLEST_SOUND

    @cached_property
    def ups(self) -> list[Uplink]:
        """Of the calls whose sound the model heard well enough to know it again."""
        reference, ups = stamps.reference_levels(), []
        for call, line in zip(self.taken, self.heard, strict=True):
            with contextlib.suppress(stamps.NotHeard):
                ups.append(stamps.uplink(call["sent"], line, reference, call["dropped"]))
        return ups

    @property
    def delays(self) -> list[float]:
        """Milliseconds of each packet to the WebSocket frame that completes it."""
        return [delay for up in self.ups for _, delay in up.packets]

    @cached_property
    def lags(self) -> list[tuple[int, float]]:
        reference = stamps.reference_levels()
        pairs = zip(self.taken, self.heard, strict=True)
        return [lag for call, line in pairs for lag in stamps.lags(call["sent"], line, reference)]


class Side:
    """A relay process, a client process and a model process."""

    def __init__(self, kind: str, relay: Relay, model: Part, client: Part, probe: int) -> None:
        self.kind = kind
        self.relay = relay
        self.model = model
        self.client = client
        self.calls = 0
        self._probe_port = probe

    @classmethod
    async def start(cls, kind: str, relay_on: int | None, bench_on: int | None, flags: list[str]) -> Self:
        model = await Part.start("bench.model", processor=bench_on)
        client = await Part.start("bench.client", processor=bench_on)
        ports = await model.ask("listen")
        relay = await Relay.start(kind, ports["port"], relay_on, flags)
        return cls(kind, relay, model, client, ports["probe"])

    async def dial(self, calls: int) -> list[float]:
        """More calls, one after the other, until there are so many; milliseconds from offer to answer of each.

        A relay that finds itself late takes in no call for a while.
        """
        took = []
        refused = 0
        while self.calls < calls:
            try:
                took.append(1000 * await self.client.ask("dial", base=self.relay.base))
            except RuntimeError:
                refused += 1
                if refused >= REFUSALS:
                    raise
                await asyncio.sleep(1)
            else:
                self.calls += 1
                await self._connected(self.calls)  # the model numbers its lines as they come
        return took

    async def hang_up(self) -> None:
        await self.rest()
        await self.client.ask("hang_up")
        self.calls = 0
        await self._connected(0)

    async def _connected(self, lines: int) -> None:
        """Wait until the relay has so many connections to the model."""
        end = time.monotonic() + PATIENCE
        while (found := await self.model.ask("connections")) != lines:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.kind} has {found} connections to the model for {lines} calls")
            await asyncio.sleep(0.02)

    async def rest(self) -> None:
        """Nobody talks."""
        await self.model.ask("hush")
        await self.client.ask("talk", what="nothing")

    async def load(self, load: Load) -> None:
        await self.model.ask("record", on=load.delays)
        if load.down != "none":
            await self.model.ask("speak", turns=load.down == "turns", chunk_ms=load.chunk_ms, captions=load.captions)
        await self.client.ask("talk", what=load.up, loss=load.loss, bumps=load.bumps)

    async def window(self, load: Load, seconds: float) -> Window:
        """Put it under load, let it settle, watch it for `seconds`, and let it rest."""
        await self.client.ask("take")
        await self.load(load)
        await asyncio.sleep(WARM_UP)
        parts = {"client": self.client.pid, "model": self.model.pid}
        threads, own = self.relay.threads(), {name: cpu(pid) for name, pid in parts.items()}
        began, spent = time.monotonic_ns(), self.relay.cpu()
        await asyncio.sleep(seconds)
        spent = self.relay.cpu() - spent
        took = (time.monotonic_ns() - began) / 1e9
        own = {name: 100 * (cpu(pid) - own[name]) / took for name, pid in parts.items()}
        busy = [name for name, used in self.relay.threads().items() if used - threads.get(name, 0.0) > WORKING * took]
        probed = await self._probe() if load.delays else []
        taken = await self.client.ask("take")
        counts = await self.model.ask("counts")
        heard = await self.model.ask("heard", step=stamps.STEP) if load.delays else []
        await self.rest()
        await self._connected(self.calls)
        return Window(
            calls=self.calls,
            seconds=took,
            began=began,
            cpu=100 * spent / took / self.calls,
            own=own,
            taken=taken,
            heard=heard,
            counts=counts,
            probed=probed,
            busy=[name for name in busy if name != self.relay.process.pid],
        )

    async def _probe(self) -> list[float]:
        await self.client.ask("probe", port=self._probe_port)
        return [delay / 1e6 for delay in await self.model.ask("probed")]

    async def stop(self) -> None:
        await self.client.stop()
        await self.relay.stop()
        await self.model.stop()
