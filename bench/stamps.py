"""From time stamps to delays, gaps and losses. Stamps are nanoseconds of the monotonic clock, delays milliseconds."""

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from bench import speech
from tests.sound import best_lag

STEP: Final = 0.005  # seconds per level when the received speech is placed in time
FRAME_SECONDS: Final = 0.020
STEPS: Final = round(FRAME_SECONDS / STEP)  # per frame
FRAME_SAMPLES: Final = 320  # 20 ms at the model's 16 kHz
PLACED: Final = 0.8  # correlation below which we do not believe the placing
SETTLED: Final = 1.0  # seconds at the start of a stretch of talk that do not count
SPEECH_BYTES: Final = 40  # an Opus payload at least this large is not silence
LARGEST_PAUSE: Final = 200.0  # ms; a gap above it is a pause of the sender, not a late packet
PIECE_FRAMES: Final = 20  # 0.4 s: long enough to be known, short enough to lie between two losses
PIECE_STEP_FRAMES: Final = 10
PIECE_PLACED: Final = 0.88  # correlation below which we do not believe the placing of a piece


class NotHeard(Exception):
    """What the model heard is not what was sent, or too little of it."""


class Got(NamedTuple):
    """One RTP packet at the client: when it came, its sequence number, its marker bit and its payload's bytes."""

    at: int
    sequence: int
    marker: int
    size: int


@dataclass(frozen=True, slots=True)
class Uplink:
    """How the packets of one call came to the model."""

    frames: list[float]  # from the last packet of each WebSocket frame to that frame: no batching in it
    packets: list[tuple[int, float]]  # each packet's number and how long until the frame that completes it
    missing: int  # packets at the start of the talk that never came
    drift: int  # frames lost or added later


def uplink(
    sent: Sequence[int], heard: dict[str, Any], reference: Sequence[float], dropped: Sequence[int] = ()
) -> Uplink:
    """Where in what the model heard is each packet's sound? Found by content, since sound may precede it.

    `sent` holds a stamp for each packet, also for those in `dropped` that never left; `reference` the levels of one
    pass of the speech that is sent over and over, so a place is known but for whole passes; of these the earliest
    that no packet overtakes is the true one. Right as long as what is lost is replaced by as much of something.
    """
    levels, loop = heard["levels"], len(reference) // STEPS
    found = place(reference, levels, 0)
    later = (len(levels) // STEPS - found) // loop - 1
    expected = found + int(later) * loop
    drift = place(reference, levels, expected) - expected if later > 0 else 0
    ends = [(at, end) for (at, _), end in zip(heard["frames"], totals(heard["frames"]), strict=True)]
    start = found % loop - loop
    while (delays := _delays(sent, ends, start, frozenset(dropped))) and min(each[2] for each in delays) < 0:
        start += loop
    frames = [delay for _, last, delay in delays if last]
    packets = [(index, delay) for index, _, delay in delays]
    return Uplink(frames, packets, max(0, -start), (drift + loop // 2) % loop - loop // 2)


def totals(frames: Sequence[tuple[int, int]]) -> Iterator[int]:
    return itertools.accumulate(samples for _, samples in frames)


def _delays(
    sent: Sequence[int], ends: Sequence[tuple[int, int]], start: int, dropped: frozenset[int]
) -> list[tuple[int, bool, float]]:
    """For each packet but the first second's: its number, whether it ends a WebSocket frame, and when that came."""
    delays, index = [], 0
    for packet in range(round(SETTLED / FRAME_SECONDS), len(sent)):
        end = (start + packet + 1) * FRAME_SAMPLES
        while index < len(ends) and ends[index][1] < end:
            index += 1
        if index == len(ends):
            break
        if packet not in dropped:
            last = ends[index][1] - end < FRAME_SAMPLES
            delays.append((packet, last, (ends[index][0] - sent[packet]) / 1e6))
    return delays


def place(reference: Sequence[float], levels: Sequence[float], about: int) -> int:
    """At which 20 ms frame of `levels` does `reference` begin? Looked for around the frame `about`."""
    first = max(0, about * STEPS - len(reference) // 2)
    likeness, lag = best_lag(reference, levels[first : first + 2 * len(reference)])
    if likeness < PLACED:
        raise NotHeard(f"the model did not hear the speech that was sent (likeness {likeness:.2f})")
    return round((first + lag) / STEPS)


def lags(sent: Sequence[int], heard: dict[str, Any], reference: Sequence[float]) -> list[tuple[int, float]]:
    """The delay a few times a second, as (number of the packet, ms), where sound is lost on the way for good.

    Each piece of what was heard is sought in the speech for itself, and its middle is believed; right to a frame or
    two, and blind to a delay of a whole pass of the speech. Pieces that are too broken to be known are left out.
    """
    levels, loop, found = heard["levels"], len(reference) // STEPS, []
    ends, middle = list(totals(heard["frames"])), PIECE_FRAMES // 2
    round_and_round = [*reference, *reference]
    for first in range(0, len(levels) // STEPS - PIECE_FRAMES, PIECE_STEP_FRAMES):
        piece = levels[first * STEPS : (first + PIECE_FRAMES) * STEPS]
        likeness, lag = best_lag(piece, round_and_round)
        if likeness < PIECE_PLACED:
            continue
        came = heard["frames"][bisect_left(ends, (first + middle) * FRAME_SAMPLES)][0]
        packet = (round(lag / STEPS) + middle - 1) % loop
        passes = [at for at in range(packet, len(sent), loop) if sent[at] <= came]
        if passes and passes[-1] * FRAME_SECONDS >= SETTLED:
            found.append((passes[-1], (came - sent[passes[-1]]) / 1e6))
    return found


def onset_delays(starts: Sequence[int], got: Sequence[Got]) -> list[float]:
    """Milliseconds from each turn's first audio to the first packet of sound that follows it."""
    loud = [packet.at for packet in got if packet.size >= SPEECH_BYTES]
    delays, index = [], 0
    for start in starts:
        while index < len(loud) and loud[index] < start:
            index += 1
        if index < len(loud):
            delays.append((loud[index] - start) / 1e6)
    return delays


def voice_to_voice(
    ends: Sequence[int], answers: Sequence[tuple[int, int]], got: Sequence[Got], within: float = 5.0
) -> list[float]:
    """Milliseconds from the last packet of what somebody says to the first one of the answer, without the model's time.

    That is, for each of the `answers`, between when the last sound of the question came to the model and when it began
    to speak; `ends` are when the last packets of questions were sent. A question older than `within` s is another one.
    """
    loud, shares = [packet.at for packet in got if packet.size >= SPEECH_BYTES], []
    for spoke, answered in answers:
        asked, heard = bisect_left(ends, spoke) - 1, bisect_left(loud, answered)
        if asked >= 0 and heard < len(loud) and loud[heard] - ends[asked] < within * 1e9:
            shares.append((loud[heard] - ends[asked] - (answered - spoke)) / 1e6)
    return shares


def gaps(got: Sequence[Got]) -> list[float]:
    """Milliseconds between packets, pauses of the sender left out."""
    steps = ((b.at - a.at) / 1e6 for a, b in itertools.pairwise(got))
    return [step for step in steps if step < LARGEST_PAUSE]


def rate(stamps: Sequence[int]) -> float:
    """Packets a second."""
    return (len(stamps) - 1) / (stamps[-1] - stamps[0]) * 1e9 if len(stamps) > 1 else 0.0


def lost(got: Sequence[Got]) -> int:
    """Sequence numbers that are missing between the first packet and the last."""
    if not got:
        return 0
    spans = [((packet.sequence - got[0].sequence + 0x8000) & 0xFFFF) - 0x8000 for packet in got]
    # Long runs wrap: unroll by counting the backward steps.
    turns = sum(1 for a, b in itertools.pairwise(spans) if b < a - 0x8000)
    return max(0, spans[-1] + turns * 0x10000 + 1 - len(got))


@cache
def reference_levels() -> tuple[float, ...]:
    """One pass of the speech the client sends, as a decoder hears it."""
    opus = speech.packets(speech.sentence(speech.UPLINK_RATE))
    return tuple(speech.decoded(opus).levels(STEP))
