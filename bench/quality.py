"""`python -m bench.quality`: how well is a voice understood through a bad network?

Speech is encoded as Chromium encodes it under our answer, goes through a seeded bad network into the relay's own way
up in virtual time, and what the model would be sent is judged against what it is sent without losses: by PESQ
(wideband, ITU-T P.862.2, at most 4.64) and STOI (at most 1). The same packets go through aiortc's own jitter buffer
and decoder, whose gaps count as silence. Every figure follows from the seeds alone: the machine's load changes nothing.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from bench import hearing, material, opus, report
from bench.hearing import PATH, Arrivals, Heard, Stream
from bench.opus import FRAME, Setting
from bench.report import Row
from relay.audio.jitter import HOLD_SECONDS
from relay.webrtc.sdp import OPUS_FMTP
from tests.netem import Trouble
from tests.sound import Sound

SEEDS: Final = 10
QUICK_SEEDS: Final = 2
BIT_RATE: Final = int(re.findall(r"maxaveragebitrate=(\d+)", OPUS_FMTP)[0])  # what our answer asks a browser for
COMPLEXITY: Final = 9  # Chromium's on a desktop; 5 on a telephone
# Chromium tells libopus to expect what our reports say is lost, smoothed over 10 s, but no more than this.
MAX_EXPECTED_LOSS: Final = 0.20
BURST: Final = 3.0  # packets
LOWEST_PESQ: Final = 1.0  # where there is nothing to be judged

# What the way up must reach: least PESQ and STOI by loss and mean length of a burst.
RED_TARGETS: Final = {(0.05, 0.0): (4.4, 0.995), (0.10, 0.0): (4.3, 0.995), (0.20, 0.0): (3.9, 0.99),
                      (0.10, BURST): (3.1, 0.96)}  # fmt: skip
FEC_TARGETS: Final = {(0.10, 0.0): (3.4, 0.985)}
LOSSES: Final = ((0.01, 0.0), (0.05, 0.0), (0.10, 0.0), (0.20, 0.0), (0.30, 0.0), (0.05, BURST), (0.10, BURST))
FEC_LOSSES: Final = ((0.05, 0.0), (0.10, 0.0), (0.20, 0.0), (0.10, BURST))
WHOLE: Final = 100.0  # % of the duration
MOMENT: Final = 1.0  # ms; below it nobody has waited
JITTER: Final = 0.020  # s, mean of an exponential
JITTER_P95: Final = 45.0  # ms
JITTER_LATE: Final = 1.0  # %


@dataclass(frozen=True, slots=True)
class Case:
    """One stream over one bad network, listened to in one way: `red`, `fec` or `stock`."""

    trouble: Trouble
    way: str
    seed: int = 0
    bit_rate: int = BIT_RATE
    speech: str = "librivox"

    @property
    def setting(self) -> Setting:
        expected = round(100 * min(self.trouble.loss, MAX_EXPECTED_LOSS))
        return Setting("voip", self.bit_rate, COMPLEXITY, expected, opus.WIDEBAND)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a case."""

    pesq: float
    stoi: float
    share: float  # % of the speech's duration that the model was sent
    p95: float  # ms from a packet's arrival to its sound
    settled: float  # ms, the longest such wait once two packets have come after a hole
    late: float  # % of the packets that came and were of no use


def judge(reference: Sound, heard: Sound) -> tuple[float, float]:
    """PESQ-wb and STOI of two sounds of 16 kHz and the same length."""
    numpy, pesq, stoi = (importlib.import_module(name) for name in ("numpy", "pesq", "pystoi"))
    clean, degraded = (numpy.frombuffer(sound.pcm, numpy.int16) for sound in (reference, heard))
    score = pesq.pesq(reference.rate, clean, degraded, "wb", on_error=pesq.PesqError.RETURN_VALUES)
    intelligible = stoi.stoi(clean.astype(float), degraded.astype(float), reference.rate)
    return max(LOWEST_PESQ, float(score)), float(intelligible)


@cache
def stream(speech: str, setting: Setting) -> Stream:
    """The material as a browser sends it."""
    return hearing.stream(getattr(material, speech)(16_000), setting)


def listen(case: Case, sent: Stream, arrivals: Arrivals) -> Heard:
    """What the way of the case makes of these packets."""
    return hearing.stock(sent, arrivals) if case.way == "stock" else hearing.ours(sent, arrivals, case.way == "red")


@cache
def reference(case: Case) -> Sound:
    """The same without a bad network."""
    sent = stream(case.speech, case.setting)
    return listen(case, sent, [(PATH + n * FRAME, n) for n in range(len(sent.packets))]).sound(sent.spoken)


def measure(case: Case) -> Figures:
    """Hold one call. Everything follows from the case."""
    sent = stream(case.speech, case.setting)
    arrivals = hearing.carry(sent, case.trouble, case.seed)
    heard = listen(case, sent, arrivals)
    pesq, stoi = judge(reference(replace(case, seed=0)), heard.sound(sent.spoken))
    waits = list(hearing.waits(heard, arrivals).values())
    settled = hearing.waits_after_holes(heard, arrivals, round(HOLD_SECONDS / FRAME))
    return Figures(
        pesq,
        stoi,
        100 * heard.share(sent.spoken),
        1000 * report.percentile(waits, 0.95),
        1000 * max(settled, default=0.0),
        100 * heard.late / len(arrivals),
    )


def measured(cases: Sequence[Case]) -> list[Figures]:
    """All of them, on all processors, each with nothing else in its process."""
    with ProcessPoolExecutor(
        max_workers=len(os.sched_getaffinity(0)), mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        return list(pool.map(measure, cases, chunksize=4))


def network(trouble: Trouble) -> str:
    """How a row calls it."""
    if trouble.exponential:
        return f"{1000 * trouble.exponential:g} ms of jitter"
    return f"{100 * trouble.loss:g} % lost" + (f" in bursts of {trouble.burst:g}" if trouble.burst else "")


def rows(options: argparse.Namespace) -> list[Row]:
    """Every figure of this room, its target and the stock path beside it; without what it takes, the rows say so."""
    seeds = QUICK_SEEDS if options.quick else SEEDS
    planned = list(plan())
    by_way: dict[tuple[Trouble, str], list[Figures]] = {}
    reason = obstacle()
    if not reason:
        cases = [Case(trouble, way, seed) for trouble, way, _ in planned for seed in range(seeds)]
        figures = measured(cases)
        for number, (trouble, way, _) in enumerate(planned):
            by_way[trouble, way] = figures[number * seeds : (number + 1) * seeds]
    told = Row("(uplink quality: what is spoken)", [], "", note=material.LIBRIVOX_NAME)
    return [told, *(row for trouble, way, kind in planned if kind for row in rows_of(trouble, way, by_way, reason))]


def obstacle() -> str:
    """What is missing to judge quality, in a few words; empty if nothing is."""
    try:
        material.librivox(16_000)
        importlib.import_module("pesq"), importlib.import_module("pystoi")
    except (material.NoMaterial, ImportError) as missing:
        return str(missing)
    return ""


def plan() -> Iterator[tuple[Trouble, str, bool]]:
    """What to measure: the network, the way, and whether it has rows of its own."""
    jitter = Trouble(delay=PATH, exponential=JITTER)
    for loss, burst in LOSSES:
        trouble = Trouble(delay=PATH, loss=loss, burst=burst)
        yield trouble, "red", True
        if (loss, burst) in FEC_LOSSES:
            yield trouble, "fec", True
        yield trouble, "stock", False
    yield jitter, "red", True
    yield jitter, "fec", True
    yield jitter, "stock", False


def rows_of(
    trouble: Trouble, way: str, by_way: dict[tuple[Trouble, str], list[Figures]], reason: str = ""
) -> Iterator[Row]:
    """The rows of one network and way: `by_way` holds their figures, and the stock path's, by seed; or a `reason`."""
    ours, stock = by_way.get((trouble, way), []), by_way.get((trouble, "stock"), [])
    loss = (trouble.loss, trouble.burst)
    label = f"uplink {'RED+FEC' if way == 'red' else 'FEC'}, {network(trouble)}"

    def row(what: str, key: str, unit: str, target: float | None = None, *, least: bool = False) -> Row:
        if not ours:
            return Row(f"{label}: {what}", [], unit, target, reason, least=least)
        values, theirs = ([round(getattr(one, key), 4) for one in figures] for figures in (ours, stock))
        mean, worst = statistics.mean(values), (min if least else max)(values)
        note = f"mean {mean:.3f}, worst of {len(values)} seeds {worst:.3f}"
        return Row(f"{label}: {what}", [mean], unit, target, note, [statistics.mean(theirs)], least=least)

    pesq, stoi = (RED_TARGETS if way == "red" else FEC_TARGETS).get(loss, (None, None))
    yield row("PESQ-wb", "pesq", "", pesq, least=True)
    yield row("STOI", "stoi", "", stoi, least=True)
    if trouble.exponential:
        yield row("dropped as late", "late", "%", JITTER_LATE)
        yield row("delay p95", "p95", "ms", JITTER_P95)
        return
    if way == "red":
        yield row("delivered", "share", "%", WHOLE, least=True)
        yield row("delay p95", "p95", "ms")
    if trouble.burst and way == "red":
        yield row("delay after hole", "settled", "ms", MOMENT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.quality", description="Judge the way up through bad networks.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SEEDS} seeds instead of {SEEDS}")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    found = rows(options)
    print(report.table(found))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
