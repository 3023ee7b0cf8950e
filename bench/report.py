"""From stamps to figures, and from figures to one table with the target beside each."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench import speech
from tests.sound import best_lag

STEP: Final = 0.005  # seconds per level when the received speech is placed in time
FRAME_SAMPLES: Final = 320  # 20 ms at the model's 16 kHz
PLACED: Final = 0.8  # correlation below which we do not believe the placing
SETTLED: Final = 1.0  # seconds at the start of a stretch of talk that do not count
SPEECH_BYTES: Final = 40  # an Opus payload at least this large is not silence
LARGEST_PAUSE: Final = 200.0  # ms; a gap above it is a pause of the sender, not a late packet


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it was each time, its unit, and what it must stay below (None: for information)."""

    name: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.target is None or not self.values else statistics.median(self.values) <= self.target


def table(rows: Sequence[Row]) -> str:
    """min and median of the repetitions, then the target and whether the median meets it."""
    lines = [f"{'':50} {'min':>8} {'median':>8}  {'target':>8}"]
    for row in rows:
        if not row.values:
            lines.append(f"{row.name:50} {'–':>8} {'–':>8}  {'':>8}       {row.note}".rstrip())
            continue
        low, middle = (f"{value:8.{digits(value)}f}" for value in (min(row.values), statistics.median(row.values)))
        target = "" if row.target is None else f"≤ {row.target:g}"
        verdict = {None: "", True: "ok", False: "MISSED"}[row.met]
        lines.append(f"{row.name:50} {low} {middle}  {target:>8} {row.unit:5} {verdict:6} {row.note}".rstrip())
    return "\n".join(lines)


def digits(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def uplink_delays(
    sent: Sequence[int], heard: dict[str, Any], reference: Sequence[float]
) -> tuple[list[float], list[float], int]:
    """Milliseconds from each packet's sending to the model's receipt of its frame, and of its last sample.

    Which frame holds a packet's sound is found by its content: the levels of what the model heard are placed on
    those of the speech sent. The second list counts from the packet, so it holds the relay's batching; the first
    counts from the last packet of each frame, so it does not. The number is of frames lost or added on the way.
    """
    levels = heard["levels"]
    start = place(reference, levels, 0)
    settled = round(SETTLED / 0.02)
    ends, total = [], 0
    for at, samples in heard["frames"]:
        total += samples
        ends.append((at, total))
    packets, frames, index = [], [], 0
    for number, at in enumerate(sent):
        end = start * FRAME_SAMPLES + (number + 1) * FRAME_SAMPLES
        while index < len(ends) and ends[index][1] < end:
            index += 1
        if index == len(ends):
            break
        if number >= settled:
            packets.append((ends[index][0] - at) / 1e6)
            if ends[index][1] - end < FRAME_SAMPLES:
                frames.append(packets[-1])
    # The same again near the end: a difference means that sound was lost or added in between.
    loop = len(reference)
    passes = (len(levels) - round(start * 0.02 / STEP)) // loop - 1
    drift = place(reference, levels, start * round(0.02 / STEP) + passes * loop, 1.0) - start if passes > 0 else 0
    return frames, packets, drift - round(passes * loop * STEP / 0.02) if passes > 0 else 0


def place(reference: Sequence[float], levels: Sequence[float], about: int, reach: float = 3.0) -> int:
    """At which 20 ms frame of `levels` does `reference` begin? Looked for within `reach` seconds of `about`."""
    first = max(0, about - round(reach / STEP)) if about else 0
    window = levels[first : about + round(reach / STEP) + len(reference)]
    likeness, lag = best_lag(reference, window)
    if likeness < PLACED:
        raise RuntimeError(f"the model did not hear the speech that was sent (likeness {likeness:.2f})")
    return round((first + lag) * STEP / 0.02)


def onset_delays(starts: Sequence[int], got: Sequence[tuple[int, int, int, int]]) -> list[float]:
    """Milliseconds from each turn's first audio to the first packet of sound that follows it."""
    loud = [packet[0] for packet in got if packet[3] >= SPEECH_BYTES]
    delays, index = [], 0
    for start in starts:
        while index < len(loud) and loud[index] < start:
            index += 1
        if index < len(loud):
            delays.append((loud[index] - start) / 1e6)
    return delays


def gaps(got: Sequence[tuple[int, int, int, int]]) -> list[float]:
    """Milliseconds between packets, pauses of the sender left out."""
    steps = ((b[0] - a[0]) / 1e6 for a, b in itertools.pairwise(got))
    return [step for step in steps if step < LARGEST_PAUSE]


def rate(stamps: Sequence[int]) -> float:
    """Packets a second."""
    return (len(stamps) - 1) / (stamps[-1] - stamps[0]) * 1e9 if len(stamps) > 1 else 0.0


def lost(got: Sequence[tuple[int, int, int, int]]) -> int:
    """Sequence numbers that are missing between the first packet and the last."""
    if not got:
        return 0
    spans = [((packet[1] - got[0][1] + 0x8000) & 0xFFFF) - 0x8000 for packet in got]
    # Long runs wrap: unroll by counting the backward steps.
    turns = sum(1 for a, b in itertools.pairwise(spans) if b < a - 0x8000)
    return max(0, spans[-1] + turns * 0x10000 + 1 - len(got))


def reference_levels() -> list[float]:
    """One pass of the speech the client sends, as a decoder hears it."""
    opus = speech.packets(speech.sentence(speech.UPLINK_RATE))
    return speech.decoded(opus).levels(STEP)
