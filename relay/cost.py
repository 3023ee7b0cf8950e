"""What the calls cost: tokens of every turn, by kind; an estimate in money by the owner's prices; budgets. Pure.

The model is billed by the turn, for all that it has in mind at that turn, so what a call costs is the sum over every
`events.Usage` of it. No price is known here: prices change, so the owner gives them in a file.
"""

import json
import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from relay.gemini.events import Usage

PER_TOKENS: Final = 1_000_000  # what a price is for
# Of money for a million tokens; the dearest model there ever was took 600 dollars. More is a slip of the pen.
MAX_PRICE: Final = 100_000.0
MAX_MODELS: Final = 100
KINDS: Final = ("text", "audio", "image", "video", "document")
"""Kinds of content that tokens are of, as the model names them, in lower case."""
MAX_KINDS: Final = 16  # that one call counts; the service names five, and what it names beyond is "other"
OTHER: Final = "other"


class PriceError(ValueError):
    """The prices cannot be used; the text is the end of a sentence about the file."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What one model takes for a million tokens, by kind; `input` is what it hears, `output` what it says.

    A kind without a price costs as much as the dearest of its direction: an estimate had better be too high.
    """

    input: Mapping[str, float]
    output: Mapping[str, float]

    def of(self, usage: Usage) -> float:
        """The price of one turn. What is of no kind that is told counts as the dearest, thoughts as text."""
        heard = _priced(self.input, usage.prompt, usage.prompt_by_modality)
        said = _priced(self.output, usage.response, usage.response_by_modality)
        thought = usage.thoughts * self.output.get("text", max(self.output.values()))
        return (heard + said + thought) / PER_TOKENS


def _priced(prices: Mapping[str, float], total: int, kinds: Mapping[str, int]) -> float:
    dearest = max(prices.values())
    told = sum(kinds.values())
    price = sum(count * prices.get(kind.lower(), dearest) for kind, count in kinds.items())
    return price + max(0, total - told) * dearest


@dataclass(frozen=True, slots=True)
class Prices:
    """The owner's prices: `currency` as it is to be written, and the rates of each model by its name."""

    currency: str
    models: Mapping[str, Rates]


def read_prices(text: str, *, toml: bool) -> Prices:
    """The prices of a file, TOML or JSON; raises `PriceError`, which quotes none of it but names.

    currency = "USD"                          # three letters
    [models."gemini-3.8-live".input]          # money for a million tokens
    text = 0.75
    audio = 3.00
    [models."gemini-3.8-live".output]
    text = 4.50
    audio = 12.00
    """
    try:
        read = tomllib.loads(text) if toml else json.loads(text)
    except (ValueError, RecursionError):
        raise PriceError(f"is not {'TOML' if toml else 'JSON'}") from None
    if not isinstance(read, dict) or not read.keys() <= {"currency", "models"}:
        raise PriceError("must hold currency and models, and nothing else")
    currency, models = read.get("currency"), read.get("models")
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise PriceError('must give the currency as three capital letters, such as currency = "USD"')
    if not isinstance(models, dict) or not 0 < len(models) <= MAX_MODELS:
        raise PriceError(f"must name 1 to {MAX_MODELS} models")
    return Prices(currency, {name: _rates(name, rates) for name, rates in models.items()})


def _rates(name: str, read: Any) -> Rates:
    if not isinstance(read, dict) or read.keys() != {"input", "output"}:
        raise PriceError(f"must give {name[:64]!r} a table input and a table output, and nothing else")
    return Rates(*({kind: _price(name, kind, price) for kind, price in _kinds(name, read[way])}
                   for way in ("input", "output")))  # fmt: skip


def _kinds(name: str, read: Any) -> list[tuple[str, Any]]:
    if not isinstance(read, dict) or not read or not read.keys() <= set(KINDS):
        raise PriceError(f"must price kinds of tokens of {name[:64]!r}: some of {', '.join(KINDS)}")
    return list(read.items())


def _price(name: str, kind: str, price: Any) -> float:
    good = isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price <= MAX_PRICE
    if not good or not math.isfinite(price):
        raise PriceError(f"must price {kind} of {name[:64]!r} from 0 to {MAX_PRICE:,.0f}, for a million tokens")
    return float(price)


# ---- what was spent ----


@dataclass(slots=True)
class Spent:
    """A sum over turns. `input` and `output` are tokens by kind, in lower case; thoughts are among no kind."""

    turns: int = 0
    tokens: int = 0  # of all kinds and none
    thoughts: int = 0
    money: float = 0.0  # by the prices; 0 without any
    input: Counter[str] = field(default_factory=Counter)
    output: Counter[str] = field(default_factory=Counter)

    def add(self, usage: Usage, money: float = 0.0) -> None:
        """One turn more."""
        self.turns += 1
        self.tokens += tokens_of(usage)
        self.thoughts += usage.thoughts
        self.money += money
        _count(self.input, usage.prompt, usage.prompt_by_modality)
        _count(self.output, usage.response, usage.response_by_modality)

    def include(self, other: "Spent") -> None:
        """Add another sum to this one."""
        self.turns += other.turns
        self.tokens += other.tokens
        self.thoughts += other.thoughts
        self.money += other.money
        self.input.update(other.input)
        self.output.update(other.output)


def tokens_of(usage: Usage) -> int:
    """All tokens of a turn: the model's own sum, or what it consists of where that is more."""
    return max(usage.total, usage.prompt + usage.response + usage.thoughts)


def _count(sums: Counter[str], total: int, kinds: Mapping[str, int]) -> None:
    for kind, count in kinds.items():
        name = kind.lower()
        sums[name if name in sums or len(sums) < MAX_KINDS else OTHER] += count
    if (rest := total - sum(kinds.values())) > 0:
        sums[OTHER] += rest


@dataclass(frozen=True, slots=True)
class Budget:
    """As much may be spent: of money in the currency of the prices, or of tokens. Exactly as much is not too much."""

    amount: float
    tokens: bool = False

    def exceeded(self, spent: Spent) -> bool:
        """Whether more than that was spent."""
        return (spent.tokens if self.tokens else spent.money) > self.amount


class Ledger:
    """What all calls of this process spent, in all and today; in memory alone, so a restart begins anew.

    A day is one of the clock of this machine. `model` prices what no other name is given with.
    """

    def __init__(
        self,
        prices: Prices | None = None,
        *,
        model: str = "",
        per_call: Budget | None = None,
        per_day: Budget | None = None,
    ) -> None:
        self.total = Spent()
        self.currency = prices.currency if prices is not None else ""
        self._rates = prices.models if prices is not None else {}
        self._model = model
        self._per_call = per_call
        self._per_day = per_day
        self._day = date.min
        self._today = Spent()

    def enter(self, call: Spent, usage: Usage, today: date, model: str = "") -> str | None:
        """One turn of a call, whose sums are `call`: which budget is exceeded now, as a code of `errors.FAULTS`."""
        rates = self._rates.get(model or self._model)
        money = rates.of(usage) if rates is not None else 0.0
        for sums in (call, self.total, self._of(today)):
            sums.add(usage, money)
        if self._per_call is not None and self._per_call.exceeded(call):
            return "budget-call"
        return "budget-day" if self.used_up(today) else None

    def spent(self, today: date) -> Spent:
        """What this day has cost so far; not yours to change."""
        return self._of(today)

    def used_up(self, today: date) -> bool:
        """Whether the day's budget is spent, and nobody is to be taken in."""
        return self._per_day is not None and self._per_day.exceeded(self._of(today))

    def _of(self, today: date) -> Spent:
        if today != self._day:
            self._day, self._today = today, Spent()
        return self._today


def seconds_to_midnight(now: datetime) -> int:
    """Until the next day begins, at least 1; `now` is local time."""
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    return max(1, math.ceil((midnight - now).total_seconds()))
