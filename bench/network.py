"""How much of the model's voice a Chromium makes up on a bad network, by its own statistics; and a network that goes.

A Chromium and the relay stand in two network namespaces, and the wire between them loses packets, or everything for
five seconds. It takes root, /dev/net/tun, Playwright and a Chromium (`make test` installs the last two); without them
these rows are not measured. The stock path stands in the same street, afterwards: it does not learn of losses, so it
needs less time to be seen. What an aiortc caller and the model hear after those five seconds is measured anywhere.
"""

import argparse
import asyncio
import importlib.util
import json
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bench.report import Row
from tests.netem import Trouble
from tests.network import darkness
from tests.network.namespace import obstacle
from tests.network.way import CLEAN

if TYPE_CHECKING:
    from tests.network.street import Street

SECONDS, QUICK_SECONDS = 20.0, 10.0  # of sound for each figure
STOCK_SECONDS, STOCK_QUICK_SECONDS = 8.0, 4.0  # for each of the stock path's
SEEDS: Final = (1, 2)
# Loss, the mean length of its bursts (0: each packet on its own), and the most that may be made up, in %.
POINTS: Final = ((0.0, 0.0, 0.1), (0.05, 0.0, None), (0.10, 0.0, 1.6), (0.20, 0.0, 1.0), (0.10, 3.0, None))
STOCK_SCRIPT: Final = json.dumps({"greet": "setup", "greeting": {"say": "What is it like?", "wav": "speech.wav"}})
BACK, OLDEST = 500.0, 300.0  # ms after the dark: until there is sound, and how old it may be

Figures = dict[str, float]


async def concealed(loss_down: float, seconds: float, seed: int, burst: float = 0.0) -> Figures:
    """One figure and what belongs to it (see `measure.concealment`), on a network that is made for it."""
    from tests.network import measure

    return await measure.concealed(loss_down, seconds, seed, burst)


def rows(options: argparse.Namespace) -> list[Row]:
    """Every figure of this room; where Chromium's cannot be measured its rows have none, and say why."""
    reason = obstacle() or ("" if importlib.util.find_spec("playwright") else "Playwright is not installed")
    if reason:
        return [*_not_measured(reason), *asyncio.run(without_a_browser())]
    return [*asyncio.run(_points(options.quick, options.alone)), *asyncio.run(without_a_browser())]


def _not_measured(reason: str) -> list[Row]:
    made_up = [_row(Trouble(loss=loss, burst=burst), [], target, note=reason) for loss, burst, target in POINTS]
    return [*made_up, *_dark_rows([], [], note=reason)]


async def _points(quick: bool, alone: bool) -> list[Row]:
    from tests.network import measure
    from tests.network.street import street

    seconds, seeds = (QUICK_SECONDS, SEEDS[:1]) if quick else (SECONDS, SEEDS)
    points = [(Trouble(loss=loss, burst=burst), target) for loss, burst, target in POINTS]
    ours, stock = dict[Trouble, list[Figures]](), dict[Trouble, Figures]()
    dark, stock_dark = list[tuple[float, int]](), list[float]()
    async with street() as here:
        async with here.relay("--greeting", "", script=measure.SCRIPT):
            for trouble, _ in points:
                ours[trouble] = await measure.concealment(here, trouble, seconds, seeds)
            for _ in seeds:
                async with here.call() as visitor:
                    await visitor.have_it_speak()
                    played = await darkness.before_a_page(here, visitor)
                    dark.append((played.back_at - played.light_at, (await visitor.stats()).peers))
        if not alone:
            async with here.relay(module="bench.stock", script=STOCK_SCRIPT):
                stock = await _stock(here, [trouble for trouble, _ in points], quick)
                stock_dark = await _stock_dark(here)
    made = [_row(trouble, ours[trouble], target, stock.get(trouble)) for trouble, target in points]
    return [*made, *_dark_rows(dark, stock_dark)]


async def _stock(here: "Street", troubles: Sequence[Trouble], quick: bool) -> dict[Trouble, Figures]:
    """One call, whose model speaks as soon as it is there, through all of them."""
    from tests.network.visitor import USED_TO_IT_SECONDS

    found = {}
    async with here.call() as visitor:
        await visitor.state("listening")
        await asyncio.sleep(USED_TO_IT_SECONDS)
        for trouble in troubles:
            here.line.down.seed, here.line.down.trouble = SEEDS[0], trouble
            await asyncio.sleep(1.0)
            before = await visitor.stats()
            await asyncio.sleep(STOCK_QUICK_SECONDS if quick else STOCK_SECONDS)
            found[trouble] = (await visitor.stats()).since(before)
        here.line.down.trouble = CLEAN
    return found


async def _stock_dark(here: "Street") -> list[float]:
    async with here.call() as visitor:
        await visitor.state("listening")
        await asyncio.sleep(1.0)
        played = await darkness.before_a_page(here, visitor)
        return [played.back_at - played.light_at]


def _row(
    trouble: Trouble, figures: Sequence[Figures], target: float | None, stock: Figures | None = None, note: str = ""
) -> Row:
    if figures:
        lost, delay = (statistics.median(figure[name] for figure in figures) for name in ("lost", "delay_ms"))
        note = f"{100 * lost:.1f} % of its packets did not come; {delay:.0f} ms in its buffer"
    if stock:
        note += f", of stock {100 * stock['lost']:.1f} %; {stock['delay_ms']:.0f} ms"
    bursts = f" in bursts of {trouble.burst:g}" if trouble.burst else ""
    return Row(
        f"Chromium, {trouble.loss:.0%} lost{bursts} on the way down: made up",
        [100 * figure["concealed"] for figure in figures],
        "%",
        target,
        note,
        [100 * stock["concealed"]] if stock else (),
    )


def _dark_rows(ours: Sequence[tuple[float, int]], stock: Sequence[float], note: str = "") -> list[Row]:
    name = f"Chromium, {darkness.DARK_SECONDS:g} s dark:"
    return [
        Row(f"{name} sound again after", [_ms(back) for back, _ in ours], "ms", BACK, note, [*map(_ms, stock)]),
        Row(f"{name} connections made anew", [float(peers - 1) for _, peers in ours], "", 0.0, note),
    ]


async def without_a_browser() -> list[Row]:
    """A caller whose sound tells its age: what it and the model hear again, and how old that is."""
    async with darkness.talkative() as house, darkness.calling(house) as (caller, up, down):
        kept = await darkness.at_the_edge(house, caller, up, down)
    heard, name = kept.judge(), f"aiortc caller, {darkness.DARK_SECONDS:g} s dark:"
    note = f"our own process stood still for {_ms(kept.stalled):.0f} ms at worst"
    return [
        Row(f"{name} it hears again after", [_ms(heard.caller)], "ms", BACK, note),
        Row(f"{name} the model hears again after", [_ms(heard.model)], "ms", BACK),
        Row(f"{name} oldest sound that it is sent", [_ms(heard.caller_oldest)], "ms", OLDEST),
        Row(f"{name} oldest sound that the model is sent", [_ms(heard.model_oldest)], "ms", OLDEST),
        Row(f"{name} calls ended or begun anew", [float(kept.ended)], "", 0.0),
    ]


def _ms(seconds: float) -> float:
    return 1000 * seconds if math.isfinite(seconds) else math.inf
