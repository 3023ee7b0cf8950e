"""How much of the model's voice a Chromium makes up on a bad network, by its own statistics.

A Chromium and the relay stand in two network namespaces, and the wire between them loses packets. It takes root,
/dev/net/tun, Playwright and a Chromium (`make test` installs the last two); without them there are no figures.
"""

import argparse
import asyncio
import importlib.util
import statistics
from collections.abc import Sequence
from typing import Final

from bench.report import Row
from tests.netem import Trouble
from tests.network.namespace import obstacle

SECONDS, QUICK_SECONDS = 20.0, 10.0  # of sound for each figure
SEEDS: Final = (1, 2)
# Loss, the mean length of its bursts (0: each packet on its own), and the most that may be made up, in %.
POINTS: Final = ((0.0, 0.0, 0.1), (0.05, 0.0, None), (0.10, 0.0, 1.6), (0.20, 0.0, 1.0), (0.10, 3.0, None))


async def concealed(loss_down: float, seconds: float, seed: int, burst: float = 0.0) -> dict[str, float]:
    """One figure and what belongs to it (see `measure.concealment`), on a network that is made for it."""
    from tests.network import measure

    return await measure.concealed(loss_down, seconds, seed, burst)


def rows(options: argparse.Namespace) -> list[Row]:
    """Every figure of this room; none, with the reason in one line, where it cannot be measured."""
    reason = obstacle() or ("" if importlib.util.find_spec("playwright") else "Playwright is not installed")
    if reason:
        print(f"No figures of Chromium on a bad network: {reason}.")
        return []
    return asyncio.run(_points(QUICK_SECONDS if options.quick else SECONDS, SEEDS[:1] if options.quick else SEEDS))


async def _points(seconds: float, seeds: Sequence[int]) -> list[Row]:
    from tests.network import measure
    from tests.network.street import street

    made = []
    async with street() as here, here.relay("--greeting", "", script=measure.SCRIPT):
        for loss, burst, target in POINTS:
            trouble = Trouble(loss=loss, burst=burst)
            made.append(_row(trouble, await measure.concealment(here, trouble, seconds, seeds), target))
    return made


def _row(trouble: Trouble, figures: Sequence[dict[str, float]], target: float | None) -> Row:
    lost, delay = (statistics.median(figure[name] for figure in figures) for name in ("lost", "delay_ms"))
    bursts = f" in bursts of {trouble.burst:g}" if trouble.burst else ""
    return Row(
        f"Chromium, {trouble.loss:.0%} lost{bursts} on the way down: made up",
        [100 * figure["concealed"] for figure in figures],
        "%",
        target,
        f"{100 * lost:.1f} % of its packets did not come; {delay:.0f} ms in its buffer",
    )
