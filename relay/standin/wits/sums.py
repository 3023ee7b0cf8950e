"""Sums in words, by the rules of school: exact, and never larger than can be said. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from relay.standin.wits import numbers

MAX_TERMS: Final = 12  # numbers of one sum
MAX_POWER: Final = 60

_SAID: Final = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "percent of", "^": "to the power of"}
_SIGNS: Final = {  # the longest first
    ("to", "the", "power", "of"): "^", ("raised", "to", "the", "power", "of"): "^", ("multiplied", "by"): "*",
    ("divided", "by"): "/", ("percent", "of"): "%", ("added", "to"): "+", ("take", "away"): "-", ("plus",): "+",
    ("minus",): "-", ("less",): "-", ("times",): "*", ("over",): "/", ("power",): "^",
}  # fmt: skip
_ORDERS: Final = {  # "divide 20 by 4": what joins the two numbers, and whether they change places
    "add": ("+", ("and", "to"), False), "sum": ("+", ("and",), False), "multiply": ("*", ("by", "and", "with"), False),
    "product": ("*", ("and",), False), "divide": ("/", ("by",), False), "subtract": ("-", ("from",), True),
    "difference": ("-", ("and",), False), "take": ("-", ("from",), True),
}  # fmt: skip
_BEFORE: Final = frozenset({"up", "the", "of", "between", "together"})
_TIMES: Final = {"half": Fraction(1, 2), "twice": Fraction(2), "double": Fraction(2), "triple": Fraction(3)} | {
    "third": Fraction(1, 3), "quarter": Fraction(1, 4)
}  # fmt: skip

Term = Fraction | str
"""A number, or one of the signs of `_SAID`"""


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum as it was understood, and what it makes: None when it has no value that can be said."""

    said: str
    value: Fraction | None
    by_zero: bool = False


def find(words: Sequence[str]) -> Sum | None:
    """The first sum in a line, or None."""
    return _ordered(words) or _alone(words) or _chain(words)


def _ordered(words: Sequence[str]) -> Sum | None:
    """`subtract 5 from 20`, `the product of 6 and 7`."""
    for at, word in enumerate(words):
        if word in _ORDERS:
            sign, joins, swapped = _ORDERS[word]
            first = numbers.take(words, _skip(words, at + 1))
            if first and first[1] < len(words) and words[first[1]] in joins:
                second = numbers.take(words, first[1] + 1)
                if second:
                    pair = (second[0], sign, first[0]) if swapped else (first[0], sign, second[0])
                    return _solve(list(pair))
    return None


def _skip(words: Sequence[str], at: int) -> int:
    while at < len(words) and words[at] in _BEFORE:
        at += 1
    return at


def _alone(words: Sequence[str]) -> Sum | None:
    """`the square root of 81`, `half of 30`, `12 squared`."""
    for at, word in enumerate(words):
        if word == "root" and words[at + 1 : at + 2] in (["of"], ("of",)):
            found = numbers.take(words, at + 2)
            if found and found[0] >= 0:
                return Sum(f"The square root of {numbers.phrase(found[0])}", _root(found[0]))
        if word in ("squared", "cubed"):
            for _, end, value in numbers.every(words[:at]):
                if end == at:
                    power = 2 if word == "squared" else 3
                    return Sum(f"{numbers.phrase(value)} {word}", _power(value, power))
        if word in _TIMES:
            found = numbers.take(words, _skip(words, at + 1))
            if found:
                of = "" if word in ("twice", "double", "triple") else " of"
                a = "a " if word in ("third", "quarter") else ""
                return Sum(f"{a}{word}{of} {numbers.phrase(found[0])}".capitalize(), _bounded(_TIMES[word] * found[0]))
    return None


def _chain(words: Sequence[str]) -> Sum | None:
    """`2 plus 3 times 4`, wherever it begins."""
    for at in range(len(words)):
        terms: list[Term] = []
        here = at
        while len(terms) < 2 * MAX_TERMS and (number := numbers.take(words, here, joined=True)):
            terms.append(number[0])
            here = number[1]
            sign = _sign(words, here)
            if sign is None:
                break
            terms.append(sign[0])
            here = sign[1]
        if terms and isinstance(terms[-1], str):
            terms.pop()
        if len(terms) >= 3:
            return _solve(terms)
    return None


def _sign(words: Sequence[str], at: int) -> tuple[str, int] | None:
    for size in (5, 4, 3, 2, 1):
        sign = _SIGNS.get(tuple(words[at : at + size]))
        if sign and at + size <= len(words):
            return sign, at + size
    return None


def _solve(terms: list[Term]) -> Sum:
    said = " ".join(_SAID[term] if isinstance(term, str) else numbers.phrase(term) for term in terms)
    rest: list[Term] = list(terms)
    for signs in ("^", "%", "*/", "+-"):
        at = 1
        while at < len(rest):
            sign, left, right = str(rest[at]), rest[at - 1], rest[at + 1]
            assert isinstance(left, Fraction)
            assert isinstance(right, Fraction)
            if sign not in signs:
                at += 2
                continue
            if sign == "/" and right == 0:
                return Sum(said, None, by_zero=True)
            value = _apply(left, sign, right)
            if value is None:
                return Sum(said, None)
            rest[at - 1 : at + 2] = [value]
    assert isinstance(rest[0], Fraction)
    return Sum(said, rest[0])


def _apply(left: Fraction, sign: str, right: Fraction) -> Fraction | None:
    if sign == "^":
        return _power(left, int(right)) if right.denominator == 1 else None
    if sign == "+":
        return _bounded(left + right)
    if sign == "-":
        return _bounded(left - right)
    if sign == "/":
        return _bounded(left / right)
    return _bounded(left * right / (100 if sign == "%" else 1))


def _power(base: Fraction, power: int) -> Fraction | None:
    if not 0 <= power <= MAX_POWER:
        return None
    value = Fraction(1)
    for _ in range(power):
        found = _bounded(value * base)
        if found is None:
            return None
        value = found
    return value


def _root(value: Fraction) -> Fraction:
    """Exact where it is a whole number or a quotient of such, else to six places."""
    above, below = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if above**2 == value.numerator and below**2 == value.denominator:
        return Fraction(above, below)
    return Fraction(math.isqrt(int(value * 10**12)), 10**6)


def _bounded(value: Fraction) -> Fraction | None:
    return value if abs(value) < numbers.MAX and value.denominator < 10**60 else None
