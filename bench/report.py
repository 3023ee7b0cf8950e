"""From stamps to figures, and from figures to one table with the target beside each."""

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench import speech
from tests.sound import best_lag

STEP: Final = 0.005  # seconds per level when the received speech is placed in time
FRAME_SECONDS: Final = 0.020
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


@dataclass(frozen=True, slots=True)
class Uplink:
    """How the packets of one call came to the model, in milliseconds and frames."""

    frames: list[float]  # from the last packet of each WebSocket frame to that frame: no batching in it
    packets: list[float]  # from each packet to the frame that completes it: batching included
    missing: int  # packets at the start of the talk that never came
    drift: int  # frames lost or added later


def uplink(sent: Sequence[int], heard: dict[str, Any], reference: Sequence[float]) -> Uplink:
    """Where in what the model heard is each packet's sound? Found by content, since sound may be lost or added.

    `reference` holds the levels of one pass of the speech that is sent over and over, so a place is known but for
    whole passes; of these the earliest that no packet overtakes is the true one.
    """
    levels, loop = heard["levels"], round(len(reference) * STEP / FRAME_SECONDS)
    found = place(reference, levels, 0)
    later = (len(levels) * STEP / FRAME_SECONDS - found) // loop - 1
    expected = found + int(later) * loop
    drift = place(reference, levels, expected) - expected if later > 0 else 0
    ends = [(at, end) for (at, _), end in zip(heard["frames"], totals(heard["frames"]), strict=True)]
    start = found % loop - loop
    while (delays := _delays(sent, ends, start)) and min(delay for _, delay in delays) < 0:
        start += loop
    frames = [delay for last, delay in delays if last]
    return Uplink(frames, [delay for _, delay in delays], max(0, -start), (drift + loop // 2) % loop - loop // 2)


def totals(frames: Sequence[tuple[int, int]]) -> Iterator[int]:
    return itertools.accumulate(samples for _, samples in frames)


def _delays(sent: Sequence[int], ends: Sequence[tuple[int, int]], start: int) -> list[tuple[bool, float]]:
    """For each packet but the first second's: does it end a WebSocket frame, and how much later did that come?"""
    delays, index = [], 0
    for number in range(round(SETTLED / FRAME_SECONDS), len(sent)):
        end = (start + number + 1) * FRAME_SAMPLES
        while index < len(ends) and ends[index][1] < end:
            index += 1
        if index == len(ends):
            break
        delays.append((ends[index][1] - end < FRAME_SAMPLES, (ends[index][0] - sent[number]) / 1e6))
    return delays


def place(reference: Sequence[float], levels: Sequence[float], about: int) -> int:
    """At which 20 ms frame of `levels` does `reference` begin? Looked for around the frame `about`."""
    steps = round(FRAME_SECONDS / STEP)
    first = max(0, about * steps - len(reference) // 2)
    likeness, lag = best_lag(reference, levels[first : first + 2 * len(reference)])
    if likeness < PLACED:
        raise RuntimeError(f"the model did not hear the speech that was sent (likeness {likeness:.2f})")
    return round((first + lag) / steps)


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
