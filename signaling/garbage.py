"""When garbage is collected: between calls rather than in the middle of one.

Python frees by counting references; its collector is there for what refers to itself in a circle, and to find that it
visits every object there is, while nothing else in the process moves. After the start there are 116,000 objects, and
one visit to all of them takes 78 ms; with 60 connections 103 ms. That is five packets of silence in every call at
once, whenever a counter says so. What we do about it:

- What is there after the warm-up stays for good and is never visited again (`gc.freeze`): 60 connections alone take
  19 ms, and nothing takes 0.01.
- A full collection never starts by itself (`THRESHOLDS`). Young objects are still looked at, a few at a time: sound
  makes none that outlive it, so only the beginning of calls triggers that, for 1 ms, and every fifth time for 8.
- A call that ends is taken apart ten seconds later (`Session`): its 600 objects, which hold each other, are freed there
  and then. What is left in circles is one check of a certificate, 5 objects, and whatever the owner's functions leave.
  It is collected when no call is live; else, once enough calls have ended, in a moment when nobody is being spoken to,
  because the model does not mind 20 ms and a listener hears nothing of it; and after `OVERDUE_CALLS` without such a
  moment anyway, or memory would be lost for good.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from relay.metrics import Metrics

# New objects until the youngest are looked at, how often that until those a little older are, and never the rest. The
# last is what counts: with a higher first number the pauses are rarer and longer, 6 ms with 10,000.
THRESHOLDS: Final = (2_000, 5, 1_000_000)
LOOK_SECONDS: Final = 2.0
# Ended calls until it is worth a short pause in others.
DUE_CALLS: Final = 256
OVERDUE_CALLS: Final = 4096  # a few MB, and no sooner than in an hour of a hundred calls at a time

log = logging.getLogger(__name__)


class Garbage:
    """The process's collector, from `start` on; owes one `close`.

    `speaking` says how many callers are being sent sound.
    """

    def __init__(self, metrics: Metrics, speaking: Callable[[], int]) -> None:
        self._metrics = metrics
        self._speaking = speaking
        self._before: tuple[int, int, int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._collected = 0  # how many calls had ended when it was done last
        self._began = 0.0

    def start(self) -> None:
        """Everything that lasts is there: keep it, and collect by our own rule from now on."""
        if self._before is not None:
            return
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._pause)
        self._wait()

    def close(self) -> None:
        """Let Python collect as it likes again; idempotent.

        What was kept stays so: a process that ends visits everything else once more, and this saves it 0.4 s.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._before is not None:
            gc.callbacks.remove(self._pause)
            gc.set_threshold(*self._before)
            self._before = None

    def look(self) -> bool:
        """Collect if there is something and this is the moment; says whether it did."""
        ended = self._metrics.ended.total()
        due = ended - self._collected
        if not due or (self._metrics.calls and not self._bearable(due)):
            return False
        self._collected = ended
        gc.collect()
        return True

    def _bearable(self, due: int) -> bool:
        return due >= OVERDUE_CALLS or (due >= DUE_CALLS and not self._speaking())

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._looked)

    def _looked(self) -> None:
        self.look()
        self._wait()

    def _pause(self, phase: str, info: dict[str, Any]) -> None:
        """Called by the collector before and after each of its rounds."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._metrics.pauses.add(time.perf_counter() - self._began)
