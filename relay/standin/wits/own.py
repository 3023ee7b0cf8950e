"""Was that the voice itself, come back through the microphone? Pure."""

from collections.abc import Sequence
from typing import Final

from relay.standin.wits import line, numbers

MAX_SAYING: Final = 1200  # letters of what is being said that are looked at, the last ones: more than is in the air
MAX_WORDS: Final = 40  # of what was heard: the last ones
MISHEARD: Final = 0.34  # of the words, in a line of three or more; shorter ones must agree
ALMOST: Final = 0.4  # what a word costs that was nearly heard
LATE_WORDS: Final = 3  # a line that began after the voice had ended has so many, or somebody quotes: "A joke."


def is_own(heard: str, saying: str, least: int = 1) -> bool:
    """Whether `heard` is a part of `saying`, give or take words that were misheard; fewer than `least` words are not.

    `saying` is what was sent to be played and may be in the air while `heard` was heard.
    """
    words = _words(heard[-line.MAX_LINE :])[-MAX_WORDS:]
    saying = saying[-MAX_SAYING:]
    said = [word for at in range(0, len(saying), line.MAX_LINE) for word in _words(saying[at : at + line.MAX_LINE])]
    if len(words) < max(1, least) or not said:
        return False
    cost = _least(words, said)
    return cost <= (MISHEARD * len(words) if len(words) > 2 else 0.0)


def _words(text: str) -> list[str]:
    """The words, each number as one: "one hundred and two" and "102" are heard alike."""
    words = line.read(text).words
    out, at = [], 0
    for start, end, value in numbers.every(words):
        out += [*words[at:start], str(value)]
        at = end
    return [*out, *words[at:]]


def _least(words: Sequence[str], said: Sequence[str]) -> float:
    """The fewest changes that make `words` a stretch of `said`, wherever it begins and ends."""
    row = [0.0] * (len(said) + 1)
    for n, word in enumerate(words, 1):
        left, before = float(n), row[0]
        next_row = [left]
        for at, other in enumerate(said, 1):
            same = 0.0 if word == other else ALMOST if _alike(word, other) else 1.0
            left = min(before + same, row[at] + 1, left + 1)
            before = row[at]
            next_row.append(left)
        row = next_row
    return min(row)


def _alike(one: str, other: str) -> bool:
    """Two words of which one was probably heard for the other: they begin alike and are about as long."""
    short = min(len(one), len(other))
    return short >= 3 and abs(len(one) - len(other)) <= 2 and one[: (short + 1) // 2] == other[: (short + 1) // 2]
