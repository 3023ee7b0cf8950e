"""Ours against stock, with the floor under both.

Both relays run at once and are loaded in turn, so that noise of the machine hits both; the floor is measured between.
While ours is measured stock is frozen, for it costs nearly as much when nobody talks; while stock is measured ours
rests, which costs next to nothing.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.part import Part
from bench.report import Row
from bench.side import Load, Side, Window


@dataclass
class Match:
    """The two sides, the floor, and the figures so far. `stock` is None when only ours is measured."""

    ours: Side
    stock: Side | None
    ground: Part
    say_row: Callable[[Row], None]
    rows: list[Row] = field(default_factory=list)
    floors: list[dict[str, float]] = field(default_factory=list)

    def say(
        self,
        name: str,
        values: Sequence[float],
        unit: str,
        target: float | None = None,
        note: str = "",
        *,
        stock: Sequence[float] = (),
        floor: float | None = None,
        least: bool = False,
    ) -> None:
        self.rows.append(Row(name, values, unit, target, note, stock, floor, least))
        self.say_row(self.rows[-1])

    @property
    def sides(self) -> list[Side]:
        return [self.ours] if self.stock is None else [self.ours, self.stock]

    def turn_of(self, side: Side) -> None:
        """Freeze stock unless it is its turn."""
        if self.stock is not None:
            if side is self.stock:
                side.relay.thaw()
            else:
                self.stock.relay.freeze()

    async def dial(self, ours: int, stock: int) -> dict[str, list[float]]:
        took = {}
        for side in self.sides:
            self.turn_of(side)
            took[side.kind] = await side.dial(ours if side is self.ours else stock)
        return took

    async def hang_up(self) -> None:
        for side in self.sides:
            self.turn_of(side)
            await side.hang_up()

    async def windows(self, load: Load, rounds: int, seconds: float) -> tuple[list[Window], list[Window]]:
        """So many windows of each side, in turn; ours, then stock's."""
        seen: dict[str, list[Window]] = {"relay": [], "stock": []}
        for _ in range(rounds):
            for side in self.sides:
                self.turn_of(side)
                seen[side.kind].append(await side.window(load, seconds))
            await self.measure_floor()
        return seen["relay"], seen["stock"]

    async def measure_floor(self) -> None:
        self.turn_of(self.ours)
        self.floors.append(await self.ground.ask("measure"))

    def floor(self, steps: Mapping[str, float]) -> float | None:
        """Microseconds of so many of each step, the median of what was measured so far."""
        if not self.floors:
            return None
        return sum(count * statistics.median(each[name] for each in self.floors) for name, count in steps.items())
