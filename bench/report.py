"""One table of figures: the relay's, its target beside each, the stock path's and the floor."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NAME_WIDTH: Final = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it was each time, its unit, and what its median must stay below (None: for information)."""

    name: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    note: str = ""
    stock: Sequence[float] = ()  # the same of the stock path of aiortc, in the same run
    floor: float | None = None  # what the C underneath alone takes
    least: bool = False  # the target is what the median must reach, not stay below

    @property
    def met(self) -> bool | None:
        if self.target is None or not self.values:
            return None
        middle = statistics.median(self.values)
        return middle >= self.target if self.least else middle <= self.target

    @property
    def ratio(self) -> float | None:
        """How many times better than stock, below 1 worse; None where nothing is compared, or bare counts are."""
        if not self.values or not self.stock or not self.unit:
            return None
        ours, theirs = statistics.median(self.values), statistics.median(self.stock)
        above, below = (ours, theirs) if self.least else (theirs, ours)
        return above / below if below > 0 else None


def outcome(rows: Sequence[Row]) -> str:
    """What became of the targets: those missed and those that nobody measured, by name; nothing of either is `met`."""
    missed = [row.name for row in rows if row.met is False]
    unmeasured = [f"{row.name}: {row.note}" for row in rows if row.target is not None and row.met is None]
    lines = _listed("missed", missed) + _listed("not measured", unmeasured)
    return "\n".join(lines) if lines else "all targets met"


def _listed(what: str, names: Sequence[str]) -> list[str]:
    return [f"{len(names)} target{'s' * (len(names) != 1)} {what}", *(f"- {name}" for name in names)] if names else []


def table(rows: Sequence[Row]) -> str:
    """A line of headings, then one for each row."""
    head = (
        f"{'':{NAME_WIDTH}} {'median':>8} {'min':>8} {'':7} {'target':>8} {'':6} {'stock':>8} {'ratio':>7} {'floor':>8}"
    )
    return "\n".join([head, *(line(row) for row in rows)])


def line(row: Row) -> str:
    """The row as one line: median and min of the repetitions, the target and whether the median meets it."""
    middle = number(statistics.median(row.values)) if row.values else "–"
    low = number(min(row.values)) if len(row.values) > 1 else ""
    target = "" if row.target is None else f"{'≥' if row.least else '≤'} {row.target:g}"
    verdict = {None: "", True: "ok", False: "MISSED"}[row.met]
    stock = number(statistics.median(row.stock)) if row.stock else ""
    ratio = "" if row.ratio is None else f"{number(row.ratio)} ×"
    floor = "" if row.floor is None else number(row.floor)
    figures = f"{middle:>8} {low:>8} {row.unit:7} {target:>8} {verdict:6} {stock:>8} {ratio:>7} {floor:>8}"
    return f"{row.name:{NAME_WIDTH}} {figures}  {row.note}".rstrip()


def number(value: float) -> str:
    """Three digits or a little more."""
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3}f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them stay below, such as 0.99."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
