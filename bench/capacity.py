"""How many calls does one core carry? More and more of them, until they do not keep up."""

import itertools
from collections.abc import Iterator
from typing import Final

from bench.match import Match
from bench.runs import DOWN, FRAME_COST, TALK, UP
from bench.side import Side, Window

CALLS: Final = 100  # that one core must carry, both sides talking


async def search(match: Match, seconds: float) -> None:
    """How many calls that talk both ways does one core carry?"""
    best = {side.kind: [0.0] for side in match.sides}
    notes = []
    for side, steps in ((match.ours, ours_steps()), (match.stock, stock_steps())):
        if side is None:
            continue
        match.turn_of(side)
        for calls in steps:
            window = await tried(match, side, calls, seconds)
            if window is None or not window.keeps_up:
                break
            best[side.kind] = [float(calls)]
            if side is match.ours:
                notes = [f"the bench took {sum(window.own.values()):.0f} % of its own"]
        await side.hang_up()
    floor = match.floor(UP | DOWN)
    match.say(
        "calls on one core, both talking, that keep up",
        best["relay"],
        "calls",
        CALLS,
        "".join(notes),
        stock=best.get("stock", []),
        floor=None if floor is None else 100 / (floor * FRAME_COST),
        least=True,
    )


def ours_steps() -> Iterator[int]:
    return itertools.chain((40, 60, 80), itertools.count(90, 10))


def stock_steps() -> Iterator[int]:
    return itertools.count(6, 3)


async def tried(match: Match, side: Side, calls: int, seconds: float) -> Window | None:
    """So many calls at once, twice if they do not keep up at first: the machine has its moods."""
    try:
        await side.dial(calls)
    except RuntimeError as error:
        match.say(f"({side.kind}, {calls} calls: {error})", [], "")
        return None
    window = await side.window(TALK, seconds)
    if not window.keeps_up:
        window = await side.window(TALK, seconds)
    took = window.cpu * window.calls
    note = f"processor {took:.0f} %, bench {sum(window.own.values()):.0f} %, lost {window.lost}"
    note += f", {50 - window.slowest:.1f} short of 50 a second, unheard {window.unheard:.1%}"
    match.say(f"({side.kind}, {calls} calls: RTP gap p99)", [window.gap], "ms", None, note)
    return window
