"""A bad network, pure and seeded: a packet and the time it goes in → the packets and times that come out.

Nothing waits here and nobody owns a clock, so an hour of trouble takes a moment and is the same trouble every time.
A packet meets, in this order: a blackout, the queue before a slow line, loss, delay with jitter, and its double.
Each kind of trouble has dice of its own: more of one leaves what the others do as it was.
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

# What IPv4, UDP, SRTP's tag and RTP's header add to an Opus payload on the wire.
OVERHEAD_BYTES: Final = 20 + 8 + 10 + 12


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a path does to packets. Durations are seconds, shares are between 0 and 1; the default is a clean path."""

    delay: float = 0.0
    loss: float = 0.0
    burst: float = 0.0  # mean number of packets lost in a row (Gilbert–Elliott); 0: each packet on its own
    exponential: float = 0.0  # the mean of jitter that is exponential
    uniform: float = 0.0  # the most of jitter that is uniform
    in_order: bool = False  # jitter makes nobody overtake: who would, comes out with the one before
    overtaken: float = 0.0  # the share of packets that are held up,
    overtaken_by: float = 0.030  # by so much
    duplicates: float = 0.0  # each has a jitter of its own
    rate: float = 0.0  # bit/s; 0: no limit
    queue: float = 0.2  # how long a packet may wait for the slow line; who would wait longer, is dropped
    blackouts: tuple[tuple[float, float], ...] = ()  # from, until: what goes in meanwhile is lost

    def __post_init__(self) -> None:
        shares = (self.loss, self.overtaken, self.duplicates)
        amounts = (self.delay, self.exponential, self.uniform, self.overtaken_by, self.rate, self.queue)
        if not all(0 <= share <= 1 for share in shares) or min(amounts) < 0:
            raise ValueError("shares are between 0 and 1, and no amount is negative")
        if self.burst and not (self.burst >= 1 and self.loss < 1 and self.loss * (self.burst + 1) <= self.burst):
            raise ValueError("bursts of this mean length cannot make up this loss")


class Link(Generic[T]):
    """One direction of a path. `counts`: `sent`, `lost`, `dropped` by the queue, `dark`, `doubled`, `delivered`."""

    def __init__(self, trouble: Trouble, seed: int) -> None:
        self.trouble = trouble
        self.counts: Counter[str] = Counter()
        # A string as seed, because neighbouring numbers make similar dice.
        self._loss, self._jitter, self._overtaken, self._double = (
            random.Random(f"{seed} {kind}") for kind in ("loss", "jitter", "overtaken", "double")
        )
        self._bad = False  # Gilbert–Elliott's state: this packet is lost
        self._now = float("-inf")
        self._last = float("-inf")  # when the last packet came out, for a path that keeps order
        self._line_free_at = float("-inf")

    def send(self, packet: T, now: float, size: int = 0) -> list[tuple[float, T]]:
        """What becomes of one packet of `size` bytes that goes in at `now`, in the order in which it comes out."""
        if now < self._now:
            raise ValueError("packets go in in the order of time")
        self._now = now
        self.counts["sent"] += 1
        # All dice are cast for every packet, so that one kind of trouble does not shift another's.
        lost, held_up = self._is_lost(), self._overtaken.random() < self.trouble.overtaken
        doubled = self._double.random() < self.trouble.duplicates
        jitters = (self._one_jitter(), self._one_jitter())
        if any(start <= now < end for start, end in self.trouble.blackouts):
            self.counts["dark"] += 1
            return []
        through = self._through_the_line(now, size)
        if through is None:
            self.counts["dropped"] += 1
            return []
        if lost:
            self.counts["lost"] += 1
            return []
        through += self.trouble.delay + (self.trouble.overtaken_by if held_up else 0.0)
        times = [through + jitter for jitter in jitters[: 1 + doubled]]
        if self.trouble.in_order:
            times = [max(time, self._last) for time in times]
            self._last = max(times)
        self.counts["doubled"] += doubled
        self.counts["delivered"] += len(times)
        return [(time, packet) for time in sorted(times)]

    def carry(self, packets: Iterable[tuple[float, T]], size: int = 0) -> list[tuple[float, T]]:
        """What comes out of packets that go in at these times, in the order in which it does."""
        out = [arrival for now, packet in packets for arrival in self.send(packet, now, size)]
        return sorted(out, key=lambda arrival: arrival[0])

    def _is_lost(self) -> bool:
        dice, loss, burst = self._loss.random(), self.trouble.loss, self.trouble.burst
        if not burst:
            return dice < loss
        # A burst ends with 1/burst; it begins so often that the share of bad packets is the loss.
        self._bad = dice >= 1 / burst if self._bad else dice < loss / (burst * (1 - loss))
        return self._bad

    def _one_jitter(self) -> float:
        exponential, uniform = self._jitter.expovariate(1.0), self._jitter.random()
        return exponential * self.trouble.exponential + uniform * self.trouble.uniform

    def _through_the_line(self, now: float, size: int) -> float | None:
        """When the slow line has sent the packet's last bit; None if its queue is full."""
        if not self.trouble.rate:
            return now
        begins = max(now, self._line_free_at)
        if begins - now > self.trouble.queue:
            return None
        self._line_free_at = begins + 8 * size / self.trouble.rate
        return self._line_free_at
