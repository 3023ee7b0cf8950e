"""Counts of values by size."""

import pytest

from relay.histogram import Histogram


def test_each_value_is_counted_once_and_an_edge_belongs_to_what_is_under_it() -> None:
    sizes = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 100.0):
        sizes.add(value)
    assert sizes.counts == [2, 2, 2]
    assert sizes.count == 6
    assert sizes.sum == pytest.approx(106.6)


def test_two_add_up() -> None:
    one, other = Histogram((1.0,)), Histogram((1.0,))
    one.add(0.5)
    other.add(3.0)
    one.include(other)
    one.add(0.5)
    assert (one.counts, one.sum) == ([2, 1], 4.0)
    assert other.counts == [0, 1]


def test_different_edges_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="edges"):
        Histogram((1.0,)).include(Histogram((2.0,)))
