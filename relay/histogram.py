"""Counts of values by size: a list of whole numbers, cheap to add to, cheap to add up. Pure."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """`counts[i]` values were at most `edges[i]` and above the edge before; the last of `counts` is for all beyond."""

    __slots__ = ("counts", "edges", "sum")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)  # rising; a tuple is kept as it is
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value

    def include(self, other: "Histogram") -> None:
        """Count all that `other` has counted; it must have the same edges."""
        if self.edges is not other.edges and self.edges != other.edges:
            raise ValueError("histograms with different edges do not add up")
        for i, count in enumerate(other.counts):
            if count:
                self.counts[i] += count
        self.sum += other.sum

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)
