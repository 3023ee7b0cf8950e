"""`python -m bench`: N two-way calls against the real relay, figures with the target beside each.

The relay and aiortc's stock path on one processor, never at the same time; the callers and the model, both made to
cost little, on another. All times come from the one monotonic clock they share.
"""

import argparse
import asyncio
import importlib
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench import capacity, report, runs
from bench.match import Match
from bench.part import Part, available
from bench.process import Relay, pace
from bench.report import Row
from bench.side import Load, Side

QUIET_PACE: Final = 39.0  # µs; a quiet 2.3 GHz Xeon. Twice as long here means processor figures twice as high
START: Final = 1.5  # s
ROUNDS: Final = 3  # windows of each side; min and median are over them
LIVE: Final = frozenset({"talk", "turns", "quiet", "loss", "onsets", "captions", "single", "search"})
QUICK: Final = frozenset({"talk", "quiet", "loss", "onsets", "tools"})
# Runs with rooms of their own: bench.<name>.rows(options)
ROOMS: Final = ("tools", "quality", "network", "opening", "local", "install")
FULL: Final = LIVE | set(ROOMS)  # some twenty-four minutes, six of them the network, five the local voice


def say(row: Row) -> None:
    print(report.line(row), flush=True)


async def live(options: argparse.Namespace, wanted: set[str]) -> list[Row]:
    """The runs that load relays."""
    processors = available()
    relay_on, bench_on = (processors[0], processors[-1]) if len(processors) > 1 else (None, None)
    async with AsyncExitStack() as stack:
        ground = await Part.start("bench.floor", processor=relay_on)
        stack.push_async_callback(ground.stop)
        sides = []
        for kind in ("relay",) if options.alone else ("relay", "stock"):
            sides.append(await Side.start(kind, relay_on, bench_on, options.relay_args if kind == "relay" else []))
            stack.push_async_callback(sides[-1].stop)
        match = Match(sides[0], sides[1] if len(sides) > 1 else None, ground, say)
        await starts(match, options, relay_on)
        await match.measure_floor()
        match.say(
            "(this machine: 9,600 bytes of base64)", [pace()], "µs", None, f"{QUIET_PACE:g} where targets were set"
        )
        rounds, seconds = (1, min(3.0, options.seconds)) if options.quick else (ROUNDS, options.seconds)
        calls = min(options.calls, runs.FEW) if options.quick else options.calls
        if wanted & {"quiet", "turns"} or ("talk" in wanted and calls > runs.FEW):
            await runs.crowd(match, calls, rounds, seconds, wanted)
        if wanted & {"talk", "loss", "onsets"}:
            await runs.few(match, rounds, seconds, wanted, options.quick)
        if "single" in wanted:
            await runs.alone(match, runs.TALK, 1, "N=1 both talking", seconds)
        if "captions" in wanted:
            await runs.alone(match, Load(captions=True), 20, "N=20 both talking, captions", seconds)
        if "search" in wanted:
            await capacity.search(match, seconds)
        match.say("(this machine: 9,600 bytes of base64)", [pace()], "µs", None, "at the end")
        return match.rows


async def starts(match: Match, options: argparse.Namespace, relay_on: int | None) -> None:
    """How soon is the relay ready? The first is the one that was started for the runs."""
    took = {side.kind: [side.relay.took] for side in match.sides}
    for _ in range(0 if options.quick else 2):
        for side in match.sides:
            flags = options.relay_args if side is match.ours else []
            another = await Relay.start(side.kind, 9, relay_on, flags)  # port 9, discard: no call is made
            await another.stop()
            took[side.kind].append(another.took)
    match.say("process start → ready", took["relay"], "s", START, stock=took.get("stock", ()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the relay from outside.")
    parser.add_argument("--calls", type=int, default=60, help="calls at once in the largest run (60)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each window (4)")
    parser.add_argument("--alone", action="store_true", help="without aiortc's stock path beside it")
    parser.add_argument("--only", help="comma-separated: " + ", ".join((*sorted(LIVE), *ROOMS)))
    parser.add_argument("--quick", action="store_true", help="a minute: ten calls, shorter windows, no search")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("relay_args", nargs="*", help="after --: further flags for the relay")
    options = parser.parse_args()
    wanted = set(options.only.split(",")) if options.only else set(QUICK if options.quick else FULL)
    if unknown := wanted - LIVE - set(ROOMS):
        parser.error(f"unknown runs: {', '.join(sorted(unknown))}")
    if not Path("/proc/self/stat").exists():
        print("The bench reads processor time from /proc and runs on Linux only.", file=sys.stderr)
        return 2
    print(report.table([]))
    rows = asyncio.run(live(options, wanted & LIVE)) if wanted & LIVE else []
    for room in ROOMS:
        if room in wanted:
            for row in importlib.import_module(f"bench.{room}").rows(options):
                say(row)
                rows.append(row)
    print("\n" + report.outcome(rows))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
