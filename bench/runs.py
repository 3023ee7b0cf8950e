"""The runs: what is loaded how, and which figures come of it."""

import asyncio
import statistics
from collections.abc import Callable
from typing import Any, Final

from bench import stamps
from bench.ear import SILENT, SPOKEN
from bench.fate import BUMPS_SECONDS, HOLE, HOLE_AT, SECOND, STALL, STALL_AT
from bench.match import Match
from bench.report import percentile
from bench.side import WARM_UP, Load, Side, Window

FEW: Final = 10  # calls in the runs that measure delays, and on the stock path in all: it drowns at twice as many
LOSS: Final = 0.05
FRAME_COST: Final = 50 / 1e4  # µs per 20 ms → % of a core
TURN, PAUSE = 1.0, 1.0  # seconds, where onsets are measured
CYCLE: Final = (SPOKEN + SILENT) / SECOND  # seconds from one question to the next
ANSWER: Final = 0.2  # seconds in which the last answer's first packet has come

# What the relay must reach.
OFFER_P50: Final = 10.0  # ms
MEMORY: Final = 0.5  # MB per call
CPU_FEW, CPU_MANY = 1.3, 0.90  # % of a core per call, both sides talking all the time
CPU_TURNS: Final = 0.6  # the model talking 40 % of the time
CPU_MUTED, CPU_QUIET = 0.3, 0.15  # 50 silent packets a second; none
UPLINK_P50, UPLINK_P99 = 0.5, 3.0  # ms, packet → WebSocket write, without batching
UPLINK_LOSSY_P95: Final = 25.0  # ms, at 5 % loss
BATCHING: Final = 20.0  # ms that batching may add
ONSET_P50, ONSET_P99 = 0.4, 3.0  # ms, first model byte → first RTP
VOICE_TO_VOICE_P50: Final = 25.0  # ms, end of speech → first answer, both at the browser's wire, without the model
BEHIND: Final = 0.5  # packets a second fewer than 50: it does not keep up, and its processor figure is void

BACK_AFTER: Final = round(0.1 * SECOND)  # packets; from here on a bump must be forgotten
LOOKED_AT: Final = round(1.0 * SECOND)  # packets
BOTTLENECK: Final = 80.0  # % of its processor that the bench may use before its own figures are in doubt

TALK: Final = Load()
UP: Final = {"recvfrom": 1.0, "unprotect": 1.0, "decode": 1.0, "ws_send": 1.0}  # a packet's way to the model
DOWN: Final = {"ws_recv": 0.1, "encode": 1.0, "protect": 1.0, "sendto": 1.0}  # a frame's; ten come in one message
ONSET: Final = DOWN | {"ws_recv": 1.0}


async def talk(match: Match, calls: int, rounds: int, seconds: float) -> None:
    """Both sides talk all the time, on many calls that are there."""
    ours, stock = await match.windows(TALK, rounds, seconds)
    load(match, f"N={calls} both talking", ours, stock, CPU_MANY, UP | DOWN)
    keeping_up(match, f"N={calls} both talking", ours, stock)


def fewer(rounds: int) -> int:
    """Where a figure spreads little, or is far from its target."""
    return max(1, rounds - 1)


def load(
    match: Match,
    name: str,
    ours: list[Window],
    stock: list[Window],
    target: float | None,
    steps: dict[str, float] | None = None,
) -> None:
    """The processor's row, and what the bench itself took."""
    floor = None if steps is None else match.floor(steps)
    match.say(
        f"{name}: processor per call",
        [window.cpu for window in ours],
        "%",
        target,
        f"stock at N={stock[0].calls}" if stock else "",
        stock=[window.cpu for window in stock],
        floor=None if floor is None else floor * FRAME_COST,
    )
    own = [sum(window.own.values()) for window in ours]
    parts = ", ".join(f"{part} {statistics.median(w.own[part] for w in ours):.1f}" for part in ours[0].own)
    doubt = "; the bench is the bottleneck" if statistics.median(own) > BOTTLENECK else ""
    match.say(
        f"({name}: the bench's own processor)",
        own,
        "%",
        None,
        parts + doubt,
        stock=[sum(w.own.values()) for w in stock],
    )


def keeping_up(match: Match, name: str, ours: list[Window], stock: list[Window]) -> None:
    def say(what: str, figure: Any, unit: str, target: float | None = None, note: str = "") -> None:
        figures = [[figure(window) for window in windows] for windows in (ours, stock)]
        match.say(f"{name}: {what}", figures[0], unit, target, note, stock=figures[1])

    red = all(call["red"] for window in ours for call in window.taken)
    say("RTP gap p99 at the client", lambda window: window.gap, "ms", None, f"RED {'up' if red else 'not negotiated'}")
    say("packets a second short of 50, worst call", lambda window: 50 - window.slowest, "", BEHIND)
    say("RTP packets lost", lambda window: float(window.lost), "", 0.0)
    say("share not heard by the model, worst call", lambda window: 100 * window.unheard, "%", 1.0)
    say("working threads besides the loop", lambda window: float(len(window.busy)), "", 0.0)


async def crowd(match: Match, calls: int, rounds: int, seconds: float, wanted: set[str]) -> None:
    """Many calls at once: quiet, talking, in conversation. It comes first, for memory that was freed is reused."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for side in match.sides:
        match.turn_of(side)
        await side.dial(1)  # whatever is loaded or cached for the first call is not a call's share
        await side.hang_up()
        await asyncio.sleep(1)
        memory, threads, count = side.relay.memory(), len(side.relay.threads()), calls if side is match.ours else FEW
        offers = await side.dial(count)
        await side.rest()
        await asyncio.sleep(WARM_UP)
        (ours if side is match.ours else theirs).update(
            offers=offers,
            memory=[(side.relay.memory() - memory) / count / 1e6],
            threads=[(len(side.relay.threads()) - threads) / count],
        )
    match.say(
        "offer → answer",
        [statistics.median(ours["offers"])],
        "ms",
        OFFER_P50,
        f"max {max(ours['offers']):.0f}",
        stock=[statistics.median(theirs["offers"])] if theirs else (),
    )
    match.say("memory per quiet call", ours["memory"], "MB", MEMORY, stock=theirs.get("memory", ()))
    match.say("threads per call", ours["threads"], "", stock=theirs.get("threads", ()))
    if "quiet" in wanted:
        for what, name, target, steps in (
            ("nothing", "no packets", CPU_QUIET, None),
            ("silence", "silent packets", CPU_MUTED, {"recvfrom": 1.0, "unprotect": 1.0}),
        ):
            seen = await match.windows(Load(up=what, down="none"), fewer(rounds), seconds)
            load(match, f"N={calls} muted, {name}", *seen, target, steps)
    if "talk" in wanted and calls > FEW:  # `few` looks closer
        await talk(match, calls, rounds, seconds)
    if "turns" in wanted:
        seen = await match.windows(Load(down="turns"), rounds, max(seconds, 5.0))
        steps = UP | {step: 0.4 * count for step, count in DOWN.items()}
        load(match, f"N={calls} model talking 40 %", *seen, CPU_TURNS if calls > FEW else None, steps)
    await match.hang_up()
    match.turn_of(match.ours)
    before = match.ours.relay.cpu()
    await asyncio.sleep(2)
    match.say("processor of the relay without calls", [100 * (match.ours.relay.cpu() - before) / 2], "%")


async def few(match: Match, rounds: int, seconds: float, wanted: set[str], quick: bool) -> None:
    """Ten calls on either side: how late is what they say, on good links and bad, and the model's first word?"""
    await match.dial(FEW, FEW)
    if "talk" in wanted:
        ours, stock = await match.windows(Load(delays=True), rounds, seconds)
        load(match, f"N={FEW} both talking", ours, stock, CPU_FEW, UP | DOWN)
        keeping_up(match, f"N={FEW} both talking", ours, stock)
        delays(match, ours, stock)
    if "loss" in wanted:
        lossy(match, *await match.windows(Load(delays=True, loss=LOSS), fewer(rounds), seconds))
        if not quick:
            bumps = Load(delays=True, bumps=True)
            bumpy(match, *await match.windows(bumps, fewer(rounds), max(seconds, BUMPS_SECONDS - WARM_UP)))
    if "onsets" in wanted:
        await onsets(match, fewer(rounds), 1 if quick else 4)
        await voice_to_voice(match, fewer(rounds), max(seconds, 2 * CYCLE))
    await match.hang_up()


def delays(match: Match, ours: list[Window], stock: list[Window]) -> None:
    def say(name: str, figure: Any, target: float, note: str = "", floor: bool = False) -> None:
        values = [[figure(window) for window in windows if window.delays] for windows in (ours, stock)]
        least = match.floor(UP) if floor else None
        name = f"N={FEW}: packet → WebSocket frame {name}"
        match.say(name, values[0], "ms", target, note, stock=values[1], floor=None if least is None else least / 1e3)

    count = sum(len(up.frames) for window in ours for up in window.ups)
    say("p50", lambda window: percentile(frames(window), 0.5), UPLINK_P50, floor=True)
    say("p99", lambda window: percentile(frames(window), 0.99), UPLINK_P99, f"{count} frames")
    say("with batching p50", lambda window: percentile(window.delays, 0.5), UPLINK_P50 + BATCHING)
    say("with batching p99", lambda window: percentile(window.delays, 0.99), UPLINK_P99 + BATCHING)
    counts: dict[str, Callable[[Window], int]] = {
        "calls whose sound was not known again": lambda window: window.calls - len(window.ups),
        "20 ms frames missing at the start, worst call": lambda window: max(
            (up.missing for up in window.ups), default=0
        ),
        "20 ms frames lost or added later, all calls": lambda window: sum(abs(up.drift) for up in window.ups),
    }
    for name, figure in counts.items():
        values = [[float(figure(window)) for window in windows] for windows in (ours, stock)]
        match.say(f"N={FEW}: {name}", values[0], "", 0.0, stock=values[1])
    probed = [[percentile(window.probed, 0.5) for window in windows] for windows in (ours, stock)]
    own_p99 = percentile([delay for window in ours for delay in window.probed], 0.99)
    match.say("(the bench's own part of each delay, p50)", probed[0], "ms", None, f"p99 {own_p99:.2f}", stock=probed[1])


def frames(window: Window) -> list[float]:
    return [delay for up in window.ups for delay in up.frames]


def lossy(match: Match, ours: list[Window], stock: list[Window]) -> None:
    """Stock loses sound for good, so its delay is known to a frame only, from what can be recognised."""
    name, known = f"N={FEW}, {LOSS:.0%} lost: packet → WebSocket frame", [window.delays for window in ours]
    theirs = [[delay for _, delay in window.lags] for window in stock]
    note = f"{sum(map(len, known))} packets"
    for title, share, target in (("p50", 0.5, None), ("p95", 0.95, UPLINK_LOSSY_P95), ("p99", 0.99, None)):
        figures = [[percentile(window, share) for window in windows if window] for windows in (known, theirs)]
        match.say(f"{name} {title}", figures[0], "ms", target, note, stock=figures[1])
    heard = [[100 * window.unheard for window in windows] for windows in (ours, stock)]
    match.say(f"N={FEW}, {LOSS:.0%} lost: sound not given to the model, worst call", heard[0], "%", 2.0, stock=heard[1])


def bumpy(match: Match, ours: list[Window], stock: list[Window]) -> None:
    """Is the delay back where it was as soon as a stall or a hole is over?"""
    for name, over in (
        (f"a stall of {STALL * 20} ms", STALL_AT + STALL),
        (f"a hole of {HOLE * 20} ms", HOLE_AT + HOLE),
    ):
        within = range(over + BACK_AFTER, over + LOOKED_AT)
        figures = [
            [delay for window in ours for up in window.ups for packet, delay in up.packets if packet in within],
            [delay for window in stock for packet, delay in window.lags if packet in within],
        ]
        for share, target in ((0.5, UPLINK_P50), (0.99, UPLINK_P99)):
            values = [[percentile(delays, share)] if delays else [] for delays in figures]
            title = f"N={FEW}: packet → frame p{100 * share:.0f} just after {name}"
            match.say(title, values[0], "ms", target, stock=values[1])


async def onsets(match: Match, rounds: int, turns: int) -> None:
    """The model talks in turns while the callers talk: how soon is a turn's first packet out?"""
    seen: dict[str, list[list[float]]] = {"relay": [], "stock": []}
    for _ in range(rounds):
        for side in match.sides:
            match.turn_of(side)
            seen[side.kind].append(await first_packets(side, turns))
    floor, name = match.floor(ONSET), f"N={FEW}: first model byte → first RTP"
    for title, share, target in (("p50", 0.5, ONSET_P50), ("p99", 0.99, ONSET_P99)):
        ours, stock = ([percentile(each, share) for each in seen[kind]] for kind in ("relay", "stock"))
        count = f"{sum(map(len, seen['relay']))} turns"
        least = floor / 1e3 if floor is not None and share == 0.5 else None
        match.say(f"{name} {title}", ours, "ms", target, count, stock=stock, floor=least)


async def voice_to_voice(match: Match, rounds: int, seconds: float) -> None:
    """What the relay adds between the end of what somebody says and the first sound of the answer, wire to wire."""
    seen: dict[str, list[list[float]]] = {"relay": [], "stock": []}
    for _ in range(rounds):
        for side in match.sides:
            match.turn_of(side)
            seen[side.kind].append(await conversation(side, seconds))
    name = f"N={FEW}: voice to voice at the caller's wire, without the model's time"
    for title, share, target in (("p50", 0.5, VOICE_TO_VOICE_P50), ("p99", 0.99, None)):
        ours, stock = ([percentile(each, share) for each in seen[kind] if each] for kind in ("relay", "stock"))
        match.say(f"{name} {title}", ours, "ms", target, f"{sum(map(len, seen['relay']))} turns", stock=stock)


async def conversation(side: Side, seconds: float) -> list[float]:
    """All callers speak in turns, and the model answers each; the relay's share of every turn."""
    await side.client.ask("take")
    await side.model.ask("converse")
    await side.client.ask("talk", what="turns")
    await asyncio.sleep(WARM_UP + seconds)
    ends, answers = await side.client.ask("ends"), await side.model.ask("answers")
    await asyncio.sleep(ANSWER)
    taken = await side.client.ask("take")
    await side.rest()
    calls = zip(ends, answers, taken, strict=True)
    return [
        share
        for asked, answered, call in calls
        for share in stamps.voice_to_voice(asked, answered, [stamps.Got(*got) for got in call["got"]])
    ]


async def first_packets(side: Side, turns: int) -> list[float]:
    await side.load(Load(down="none"))
    await asyncio.sleep(1)
    await side.client.ask("take")
    starts = await side.model.ask("turns", count=turns, seconds=TURN, pause=PAUSE)
    taken = await side.client.ask("take")
    await side.rest()
    lines = zip(starts, taken, strict=True)
    return [
        delay for line, call in lines for delay in stamps.onset_delays(line, [stamps.Got(*got) for got in call["got"]])
    ]


async def alone(match: Match, load_: Load, calls: int, name: str, seconds: float) -> None:
    """A run of ours only, for information."""
    match.turn_of(match.ours)
    await match.ours.dial(calls)
    window = await match.ours.window(load_, seconds)
    load(match, name, [window], [], None)
    keeping_up(match, name, [window], [])
    await match.ours.hang_up()
