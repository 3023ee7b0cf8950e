"""One timer for several rooms that want to be called again: it rings at the first of their deadlines."""

import asyncio
from collections.abc import Callable


class Alarm:
    """`ring` is called once for each `set`, which forgets the one before.

    When it rings, set it again for what is still due. If `ring` raises, `failed` is told: nobody else sets it again.
    """

    def __init__(self, ring: Callable[[], None], failed: Callable[[Exception], object]) -> None:
        self._ring = ring
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at: float | None = None  # when that is to ring; uvloop's own handles do not always know

    def set(self, *deadlines: float | None) -> None:
        """Ring at the first of these, by the loop's clock; never, if there is none."""
        first = min((at for at in deadlines if at is not None), default=None)
        if self._timer is not None:
            if self._at == first:
                return
            self.close()
        if first is not None:
            self._at, self._timer = first, self._loop.call_at(first, self._rings)

    def close(self) -> None:
        """Free the timer; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rings(self) -> None:
        self._timer = None
        try:
            self._ring()
        except Exception as error:
            self._failed(error)
