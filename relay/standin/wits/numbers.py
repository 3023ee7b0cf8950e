"""Numbers as they are spoken and written, either way. Pure."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

MAX: Final = 10**15  # nobody wants to hear a larger one
PLACES: Final = 4  # after the point, of what is said
MAX_PLACES: Final = 6  # of what is heard

_ONES: Final[list[str]] = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen",
)
_TENS: Final = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SMALL: Final = {word: n for n, word in enumerate(_ONES)} | {word: 20 + 10 * n for n, word in enumerate(_TENS)}
_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

Found = tuple[Fraction, int]
"""A number, and the word after it"""


def take(words: Sequence[str], at: int, joined: bool = False) -> Found | None:
    """The number that begins at word `at`, or None. `joined`: "200 and 5", as ears may write it, is one."""
    sign = -1 if words[at : at + 1] and words[at] in ("minus", "negative") else 1
    found = _whole(words, at + (sign < 0))
    if found is None:
        return None
    if joined and found[0] % 100 == 0 and found[0] and words[found[1] : found[1] + 1] and words[found[1]] == "and":
        rest = _tens(words, found[1] + 1)
        found = (found[0] + rest[0], rest[1]) if rest and rest[0] < 100 else found
    value, end = _fraction(words, *found)
    return (sign * value, end) if value < MAX else None


def _whole(words: Sequence[str], at: int) -> Found | None:
    """`two million three hundred thousand and five`"""
    total, least, end = Fraction(0), MAX, 0
    while (found := _hundreds(words, at)) is not None:
        value, after = found
        scale = _SCALES.get(words[after], 1) if after < len(words) else 1
        if end and (scale >= least or value >= least):
            break
        total, end = total + value * scale, after + (scale > 1)
        if scale == 1:
            break
        least, at = scale, end + (end < len(words) and words[end] == "and")
    return (total, end) if end else None


def _hundreds(words: Sequence[str], at: int) -> Found | None:
    """A number in digits, or one below a thousand in words; `a hundred`, `nineteen hundred`, `two dozen`."""
    found = _tens(words, at)
    if found is None and at < len(words) and words[at] == "a":
        found = Fraction(1), at + 1
        if at + 1 == len(words) or words[at + 1] not in (*_SCALES, "hundred", "dozen"):
            return None
    if found is None and at < len(words) and words[at] == "dozen":
        return Fraction(12), at + 1
    if found is None or found[1] == len(words) or words[found[1]] not in ("hundred", "dozen"):
        return found
    value, at = found[0] * (100 if words[found[1]] == "hundred" else 12), found[1] + 1
    rest = _tens(words, at + 1) if at < len(words) and words[at] == "and" else _tens(words, at)
    return (value + rest[0], rest[1]) if rest and rest[0] < 100 and words[at - 1] == "hundred" else (value, at)


def _tens(words: Sequence[str], at: int) -> Found | None:
    if at >= len(words):
        return None
    word = words[at]
    if word[0].isdigit():
        value = _digits(word)
        return None if value is None else (value, at + 1)
    if word not in SMALL:
        return None
    ones = SMALL.get(words[at + 1], 0) if at + 1 < len(words) else 0
    if SMALL[word] >= 20 and 0 < ones < 10:
        return Fraction(SMALL[word] + ones), at + 2
    return Fraction(SMALL[word]), at + 1


def _fraction(words: Sequence[str], value: Fraction, at: int) -> Found:
    """`value` with the places after the point, if there is one."""
    places: str = ""
    if at < len(words) and words[at] == "point":
        end = at + 1
        while end < len(words) and len(places) < MAX_PLACES and (digit := _place(words[end])):
            places, end = places + digit, end + 1
        if places:
            return value + Fraction(int(places), 10 ** len(places)), end
    return value, at


def _digits(word: str) -> Fraction | None:
    if len(word) > 18 or ":" in word or word.count(".") > 1 or not word.isascii():
        return None
    return Fraction(word)


def _place(word: str) -> str:
    if word in SMALL and SMALL[word] < 10:
        return str(SMALL[word])
    if word == "oh":
        return "0"
    return word if word.isascii() and word.isdigit() and len(word) <= MAX_PLACES else ""


def every(words: Sequence[str]) -> list[tuple[int, int, Fraction]]:
    """All numbers: first word, the word after, value."""
    out: list[tuple[int, int, Fraction]] = []
    at = 0
    while at < len(words):
        found = take(words, at)
        if found is None:
            at += 1
        else:
            out.append((at, found[1], found[0]))
            at = found[1]
    return out


def phrase(value: Fraction) -> str:
    """As it is to be read: `1,250`, `2.5`, `about 0.3333`, `minus 4`."""
    sign = "minus " if value < 0 else ""
    size = abs(value)
    if size.denominator == 1:
        return f"{sign}{int(size):,}"
    rounded = round(size, PLACES)
    whole, part = divmod(int(rounded * 10**PLACES), 10**PLACES)
    decimals = f"{part:0{PLACES}d}".rstrip("0")
    number = f"{whole:,}" + (f".{decimals}" if decimals else "")
    return f"{'' if rounded == size else 'about '}{sign}{number}"


def word(n: int) -> str:
    """A number up to 99 in letters."""
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10 - 2] + (f"-{_ONES[n % 10]}" if n % 10 else "")
