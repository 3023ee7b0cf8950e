"""A hundred rounds of a kind, and one line of what came of them: how many, how many lost, median and worst.

`RELAY_SOAK_FAULTS` sets how many rounds (default 100), `RELAY_SOAK_AT_ONCE` how many at once, where that may differ.
"""

import asyncio
import math
import os
import statistics
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

TIMES: Final = int(os.environ.get("RELAY_SOAK_FAULTS", "100"))
AT_ONCE: Final = int(os.environ.get("RELAY_SOAK_AT_ONCE", "0"))
ROUND_SECONDS: Final = 100.0  # for as many as are done at once: longer than any of them may take

T = TypeVar("T")


class Rounds:
    """One kind's, so many of them beside each other, which begin some seconds `apart`."""

    def __init__(self, kind: str, beside: int = 1, apart: float = 0.0) -> None:
        self.kind = kind
        self.apart = apart
        self.beside = AT_ONCE or beside
        self.lost: list[str] = []

    async def of(self, once: Callable[[], Awaitable[T]]) -> list[T]:
        """The results of `TIMES` of them but for the lost ones, in bounded time."""
        places, done = asyncio.Semaphore(self.beside), list[T]()

        async def one(number: int) -> None:
            async with places:
                if number < self.beside:
                    await asyncio.sleep(number * self.apart)
                try:
                    done.append(await once())
                except Exception as error:
                    self.lose(error)

        async with asyncio.timeout(self.beside * self.apart + ROUND_SECONDS * math.ceil(TIMES / self.beside)):
            await asyncio.gather(*(one(number) for number in range(TIMES)))
        return done

    def lose(self, error: Exception) -> None:
        """A round ended so."""
        self.lost.append(f"{type(error).__name__}: {str(error)[:200]}")
        traceback.print_exception(error)

    def tell(self, **figures: Sequence[float]) -> None:
        """One line of figures in seconds, a value for each round that was not lost; and that none was."""
        rounds = max(map(len, figures.values())) + len(self.lost)
        told = ", ".join(
            f"{name} {1000 * statistics.median(values):.0f} / {1000 * max(values):.0f}"
            for name, values in figures.items()
            if any(values)
        )
        print(f"\n{self.kind}: {rounds} rounds, {len(self.lost)} lost; median / worst in ms: {told}")
        assert not self.lost, self.lost
