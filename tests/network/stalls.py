"""How long this process stood still at worst: no fault of what is tested, so a bound on time is longer by as much."""

import asyncio
import time
from types import TracebackType
from typing import Final, Self

STEP: Final = 0.020  # seconds between two looks at the clock


class Stalls:
    """Looks at the clock while its block runs. `longest` is in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(STEP)
            self.longest = max(self.longest, time.monotonic() - before - STEP)
