"""A sound that says when it was spoken: how old is what the model hears?"""

import math
from array import array
from itertools import accumulate, pairwise
from typing import Final

from relay.standin.witness import Heard
from tests.caller import FRAME, SPOKEN_RATE
from tests.sound import Sound

# A tone that says when it was spoken: it rises, too soft for the model to take it for a voice.
LOWEST_HZ, HZ_PER_SECOND, SOFT_DBFS = 300.0, 150.0, -50.0
LEAST: Final = 32768 * 10 ** ((SOFT_DBFS - 6) / 20)  # in each frame of a piece: silence and its edges have no pitch
WINDOW: Final = 0.060  # seconds of sound in which its pitch is read


def siren(seconds: float) -> Sound:
    peak = 32767 * math.sqrt(2) * 10 ** (SOFT_DBFS / 20)
    times = (i / SPOKEN_RATE for i in range(round(seconds * SPOKEN_RATE)))
    turns = (LOWEST_HZ * t + HZ_PER_SECOND * t * t / 2 for t in times)
    return Sound(array("h", (round(peak * math.sin(2 * math.pi * turn)) for turn in turns)).tobytes(), SPOKEN_RATE)


def spoken_at(siren: Sound) -> float | None:
    """When into the siren a piece of it begins, by its zero crossings; None if it is no tone."""
    samples = siren.samples
    if min(siren.levels(FRAME)) < LEAST:
        return None
    crossings = sum(a < 0 <= b for a, b in pairwise(samples))
    return (crossings / siren.seconds - LOWEST_HZ) / HZ_PER_SECOND - siren.seconds / 2


def ages(heard: Heard, said_at: float, since: float, until: float = math.inf) -> list[tuple[float, float]]:
    """For each piece of the siren that the model got between two times: when, and how old it was then."""
    found, size = [], round(2 * WINDOW * SPOKEN_RATE)
    ends = list(accumulate(length for _, length in heard.pcm_at))
    first = next((end - length for (at, length), end in zip(heard.pcm_at, ends, strict=True) if at >= since), 0)
    for (at, _), end in zip(heard.pcm_at, ends, strict=True):
        if since <= at < until and end - size >= first:
            said = spoken_at(Sound(bytes(heard.pcm[end - size : end]), SPOKEN_RATE))
            if said is not None:
                found.append((at, at - said_at - said - WINDOW))
    return found
