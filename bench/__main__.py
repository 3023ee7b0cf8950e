"""`python -m bench`: N two-way calls against the real relay, figures with the target beside each.

Three processes: the relay on one processor; the callers and the model, both made to cost little, on another.
All times come from the one monotonic clock they share.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.part import Part, available
from bench.process import Relay, cpu, pace
from bench.report import Row

WINDOWS: Final = 4  # a run is cut in windows; min and median are over them
WARM_UP: Final = 2.5  # seconds of talk before anything is measured
DELAY_CALLS: Final = 10
TURN, PAUSE = 1.0, 1.0  # seconds
WORKING: Final = 0.01  # of a processor: a thread above it works

QUIET_PACE: Final = 39.0  # µs; a quiet 2.3 GHz Xeon. Twice as long here means processor figures twice as high

# What the relay must reach.
CPU_PER_CALL: Final = 1.8  # % of a core at the full number of calls
UPLINK_P50, UPLINK_P99 = 1.0, 8.0  # ms, packet → WebSocket write, without batching
BATCHING: Final = 20.0  # ms that batching may add
DOWNLINK_P50: Final = 1.0  # ms, first model byte → first RTP
OFFER_P50: Final = 60.0  # ms
START: Final = 1.5  # s
BEHIND: Final = 0.5  # packets a second fewer than 50: the relay does not keep up, and its processor figure is void
QUIET_CPU: Final = 0.4  # % of a core
MEMORY: Final = 1.0  # MB per call


@dataclass(slots=True)
class Bench:
    """One relay, one model process, one client process, and the figures so far."""

    relay: Relay
    model: Part
    client: Part
    probe: int
    options: argparse.Namespace
    rows: list[Row] = field(default_factory=list)

    def say(self, name: str, values: list[float], unit: str, target: float | None = None, note: str = "") -> None:
        self.rows.append(Row(name, values, unit, target, note))
        print(report.table(self.rows[-1:]).splitlines()[1], flush=True)

    async def dial(self, count: int) -> list[float]:
        return [1000 * await self.client.ask("dial", base=self.relay.base) for _ in range(count)]

    async def hang_up(self) -> None:
        await self.model.ask("quiet")
        await self.client.ask("hang_up")
        for _ in range(50):
            if await self.model.ask("connections") == 0:
                return
            await asyncio.sleep(0.1)
        raise RuntimeError("the relay keeps connections to the model after all calls have ended")

    async def cpu(self, calls: int, seconds: float) -> list[float]:
        """% of a core per call, window by window."""
        figures = []
        loop = asyncio.get_running_loop()
        for _ in range(WINDOWS):
            before, began = self.relay.cpu(), loop.time()
            await asyncio.sleep(seconds / WINDOWS)
            figures.append(100 * (self.relay.cpu() - before) / (loop.time() - began) / calls)
        return figures

    async def talk(self, calls: int, seconds: float, *, chunk_ms: int = 200, captions: bool = False) -> None:
        """Both sides talk all the time on `calls` calls: processor time, gaps, loss, and at ten calls the delays."""
        label = f"N={calls}" + (f" {chunk_ms} ms chunks" if chunk_ms != 200 else "") + (" captions" if captions else "")
        offers = await self.dial(calls)
        await self.model.ask("record", on=calls == DELAY_CALLS)
        await self.model.ask("speak", chunk_ms=chunk_ms, captions=captions)
        await self.client.ask("talk", what="speech")
        await asyncio.sleep(WARM_UP)
        began, threads = time.monotonic_ns(), self.relay.threads()
        own_before = [cpu(part.pid) for part in (self.client, self.model)]
        target = CPU_PER_CALL if calls >= 20 and not captions else None
        self.say(f"{label}: processor per call", await self.cpu(calls, seconds), "%", target)
        own = [
            100 * (cpu(part.pid) - spent) / calls / seconds
            for part, spent in zip((self.client, self.model), own_before, strict=True)
        ]
        busy = [
            name
            for name, spent in self.relay.threads().items()
            if name != self.relay.process.pid and spent - threads.get(name, 0.0) > WORKING * seconds
        ]
        await self.client.ask("probe", port=self.probe)
        probed = [delay / 1e6 for delay in await self.model.ask("probed")]
        taken = await self.client.ask("take")
        heard = await self.model.ask("heard", step=report.STEP) if calls == DELAY_CALLS else []
        await self.hang_up()
        got = [[packet for packet in call["got"] if packet[0] >= began] for call in taken]
        gaps = [report.percentile(report.gaps(call), 0.99) for call in got]
        up = min(report.rate(call["sent"]) for call in taken)
        down = min(report.rate([packet[0] for packet in call]) for call in got)
        self.say(f"{label}: RTP gap p99 at the client", gaps, "ms", None, f"{up:.1f} packets/s up, {down:.1f} down")
        self.say(f"{label}: RTP packets a second short of 50", [50 - down], "", BEHIND)
        self.say(f"{label}: RTP packets lost", [float(sum(report.lost(call["got"]) for call in taken))], "")
        self.say(f"{label}: working threads besides the loop", [float(len(busy))], "", 0.0)
        self.say(f"({label}: the bench's client per call)", own[:1], "%", None, f"its model {own[1]:.2f}")
        if heard:
            self._delays(taken, heard, probed)
        if calls >= 20 and not captions:
            self.say("offer → answer", [statistics.median(offers)], "ms", OFFER_P50, f"max {max(offers):.0f}")

    def _delays(self, taken: list[Any], heard: list[Any], own: list[float]) -> None:
        reference = report.reference_levels()
        ups = [report.uplink(call["sent"], line, reference) for call, line in zip(taken, heard, strict=True)]
        frames = [delay for up in ups for delay in up.frames]
        packets = [delay for up in ups for delay in up.packets]
        name = f"N={DELAY_CALLS}: packet → WebSocket frame"
        self.say(f"{name} p50", [statistics.median(frames)], "ms", UPLINK_P50)
        self.say(f"{name} p99", [report.percentile(frames, 0.99)], "ms", UPLINK_P99, f"{len(frames)} frames")
        batched = report.percentile(packets, 0.99)
        self.say(f"{name} with batching p50", [statistics.median(packets)], "ms", UPLINK_P50 + BATCHING)
        self.say(f"{name} with batching p99", [batched], "ms", UPLINK_P99 + BATCHING)
        missing = [float(up.missing) for up in ups]
        self.say("20 ms frames per call missing at the start", missing, "", 0.0, f"max {max(missing):.0f}")
        self.say("20 ms frames lost or added later, all calls", [float(sum(abs(up.drift) for up in ups))], "", 0.0)
        own_p99 = report.percentile(own, 0.99)
        self.say(
            "(the bench's own part of each delay, p50)", [statistics.median(own)], "ms", None, f"p99 {own_p99:.2f}"
        )

    async def onsets(self, calls: int, turns: int) -> None:
        """The model talks in turns while the callers talk: how soon is a turn's first packet out?"""
        await self.dial(calls)
        await self.client.ask("talk", what="speech")
        await asyncio.sleep(1)
        starts = await self.model.ask("turns", count=turns, seconds=TURN, pause=PAUSE)
        taken = await self.client.ask("take")
        await self.hang_up()
        delays = [
            delay for line, call in zip(starts, taken, strict=True) for delay in report.onset_delays(line, call["got"])
        ]
        name = f"N={calls}: first model byte → first RTP"
        self.say(f"{name} p50", [statistics.median(delays)], "ms", DOWNLINK_P50)
        self.say(f"{name} p99", [report.percentile(delays, 0.99)], "ms", None, f"{len(delays)} turns")

    async def quiet(self, calls: int, seconds: float) -> None:
        """Nobody talks: memory, threads, and what a muted call costs with and without silent packets."""
        await self.dial(1)  # whatever is loaded or cached for the first call is not a call's share
        await self.hang_up()
        await asyncio.sleep(1)
        memory, threads = self.relay.memory(), len(self.relay.threads())
        await self.dial(calls)
        await self.client.ask("talk", what="nothing")
        await asyncio.sleep(WARM_UP)
        self.say("memory per quiet call", [(self.relay.memory() - memory) / calls / 1e6], "MB", MEMORY)
        self.say("threads per call", [(len(self.relay.threads()) - threads) / calls], "")
        figures = await self.cpu(calls, seconds)
        self.say(f"N={calls}: processor per muted call, no packets", figures, "%", QUIET_CPU)
        await self.client.ask("talk", what="silence")
        await asyncio.sleep(WARM_UP)
        figures = await self.cpu(calls, seconds)
        self.say(f"N={calls}: processor per muted call, silent packets", figures, "%", QUIET_CPU)
        await self.hang_up()
        before = self.relay.cpu()
        await asyncio.sleep(3)
        self.say("processor of the relay without calls", [100 * (self.relay.cpu() - before) / 3], "%")


async def run(options: argparse.Namespace) -> list[Row]:
    processors = available()
    relay_on, bench_on = (processors[0], processors[-1]) if len(processors) > 1 else (None, None)
    model = await Part.start("bench.model", processor=bench_on)
    client = await Part.start("bench.client", processor=bench_on)
    relay: Relay | None = None
    try:
        ports = await model.ask("listen")
        starts = []
        for _ in range(1 if options.quick else 3):
            if relay is not None:
                await relay.stop()
            relay = await Relay.start(options.relay, ports["port"], relay_on, options.relay_args)
            starts.append(relay.took)
        assert relay is not None
        bench = Bench(relay, model, client, ports["probe"], options)
        print(report.table([]))
        bench.say("process start → ready", starts, "s", START)
        bench.say(
            "(this machine: 9,600 bytes of base64)", [pace()], "µs", None, f"{QUIET_PACE:g} where the targets were set"
        )
        only = options.only.split(",") if options.only else []
        if not only or "talk" in only:
            for calls in sorted({1, min(DELAY_CALLS, options.calls), options.calls}):
                if not options.quick or calls == min(DELAY_CALLS, options.calls):
                    await bench.talk(calls, options.seconds, chunk_ms=options.chunk_ms)
        if "captions" in only or (not only and not options.quick):
            await bench.talk(options.calls, options.seconds, chunk_ms=options.chunk_ms, captions=True)
        if not only or "onsets" in only:
            await bench.onsets(min(DELAY_CALLS, options.calls), 2 if options.quick else 5)
        if not only or "quiet" in only:
            await bench.quiet(options.calls, options.seconds)
        return bench.rows
    finally:
        await client.stop()
        if relay is not None:
            await relay.stop()
        await model.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the relay from outside.")
    parser.add_argument("--calls", type=int, default=20, help="calls at once in the largest run (20)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run (20)")
    parser.add_argument("--chunk-ms", type=int, default=200, help="length of the model's audio messages (200)")
    parser.add_argument("--relay", choices=("relay", "stock"), default="relay", help="stock: aiortc's own media path")
    parser.add_argument("--only", help="comma-separated: talk, captions, onsets, quiet")
    parser.add_argument("--quick", action="store_true", help="about half a minute: fewer and shorter runs")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("relay_args", nargs="*", help="after --: further flags for the relay")
    options = parser.parse_args()
    if not Path("/proc/self/stat").exists():
        print("The bench reads processor time from /proc and runs on Linux only.", file=sys.stderr)
        return 2
    if options.quick:
        options.seconds = min(options.seconds, 6.0)
        options.calls = min(options.calls, DELAY_CALLS)
    rows = asyncio.run(run(options))
    missed = [row.name for row in rows if row.met is False]
    print(
        f"\n{len(missed)} targets missed" + "".join(f"\n- {name}" for name in missed) if missed else "\nall targets met"
    )
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
