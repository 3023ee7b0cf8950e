"""The impairer does what it is told to do: its statistics, its bounds, and the same again for the same seed."""

from itertools import groupby, pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.netem import Link, Trouble

FRAME: Final = 0.020  # seconds between packets
MANY: Final = 10_000

Arrivals = list[tuple[float, int]]


def carry(trouble: Trouble, packets: int = MANY, seed: int = 1, size: int = 0) -> Arrivals:
    """Numbered packets through a link, in the order in which they come out."""
    return Link[int](trouble, seed).carry(((number * FRAME, number) for number in range(packets)), size)


def lost(arrivals: Arrivals, packets: int = MANY) -> list[bool]:
    came = {number for _, number in arrivals}
    return [number not in came for number in range(packets)]


def extra(arrivals: Arrivals) -> list[float]:
    """How long after it went in each packet came out, the shortest first."""
    return sorted(time - number * FRAME for time, number in arrivals)


def test_a_clean_path_delays_and_nothing_else() -> None:
    arrivals = carry(Trouble(delay=0.040), 100)
    assert arrivals == [(number * FRAME + 0.040, number) for number in range(100)]


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.10, 0.30])
def test_random_loss_has_its_share_and_comes_one_by_one(loss: float) -> None:
    gone = lost(carry(Trouble(loss=loss)))
    lengths = [len(list(run)) for bad, run in groupby(gone) if bad]
    assert sum(gone) / MANY == pytest.approx(loss, rel=0.1)
    assert sum(lengths) / len(lengths) == pytest.approx(1 / (1 - loss), rel=0.05)


@pytest.mark.parametrize(("loss", "burst"), [(0.05, 3), (0.10, 3), (0.10, 1), (0.10, 8)])
def test_bursts_have_their_mean_length_and_leave_the_share_of_loss(loss: float, burst: float) -> None:
    gone = lost(carry(Trouble(loss=loss, burst=burst), 3 * MANY), 3 * MANY)
    lengths = [len(list(run)) for bad, run in groupby(gone) if bad]
    assert sum(gone) / len(gone) == pytest.approx(loss, rel=0.15)
    assert sum(lengths) / len(lengths) == pytest.approx(burst, rel=0.15)


def test_exponential_jitter_has_its_mean_and_its_tail_and_reorders() -> None:
    arrivals = carry(Trouble(delay=0.040, exponential=0.020))
    times = [time - 0.040 for time in extra(arrivals)]
    assert times[0] >= -1e-9
    assert sum(times) / MANY == pytest.approx(0.020, rel=0.05)
    assert times[int(0.95 * MANY)] == pytest.approx(0.060, rel=0.05)  # -ln(0.05) means
    assert any(later < earlier for (_, earlier), (_, later) in pairwise(arrivals))


def test_uniform_jitter_is_even_and_bounded() -> None:
    times = extra(carry(Trouble(uniform=0.040)))
    assert times[0] >= 0
    assert times[-1] <= 0.040 + 1e-9
    assert times[MANY // 4] == pytest.approx(0.010, rel=0.05)
    assert times[MANY * 3 // 4] == pytest.approx(0.030, rel=0.05)


def test_a_path_that_keeps_order_bunches_instead_of_reordering() -> None:
    arrivals = carry(Trouble(exponential=0.050, duplicates=0.05, in_order=True))
    assert [number for _, number in arrivals] == sorted(number for _, number in arrivals)
    assert extra(arrivals)[-1] > 0.2


def test_who_is_overtaken_is_held_up_by_so_much() -> None:
    arrivals = carry(Trouble(overtaken=0.05, overtaken_by=0.030))
    held_up = [time for time in extra(arrivals) if time > 0.001]
    assert len(held_up) / MANY == pytest.approx(0.05, rel=0.1)
    assert held_up == pytest.approx([0.030] * len(held_up))


def test_a_packet_comes_out_once_and_a_doubled_one_twice() -> None:
    link = Link[int](Trouble(duplicates=0.05, exponential=0.010), seed=1)
    copies = [len(link.send(number, number * FRAME)) for number in range(MANY)]
    assert set(copies) == {1, 2}
    assert copies.count(2) == link.counts["doubled"] == pytest.approx(0.05 * MANY, rel=0.1)


def test_a_slow_line_sends_bit_by_bit_and_drops_what_would_wait_too_long() -> None:
    link = Link[int](Trouble(rate=8000, queue=0.5), seed=1)  # a packet of 100 bytes takes 100 ms
    arrivals = [arrival for number in range(10) for arrival in link.send(number, 0.0, size=100)]
    assert [time for time, _ in arrivals] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert link.counts["dropped"] == 4
    [(time, _)] = link.send(10, 1.0, size=100)
    assert time == pytest.approx(1.1), "when it is empty again, nobody waits"


def test_an_overloaded_line_carries_its_rate_and_no_more() -> None:
    arrivals = carry(Trouble(rate=20_000, queue=0.2), 1000, size=100)  # half of what 50 packets/s need
    assert len(arrivals) == pytest.approx(500, abs=10)
    assert extra(arrivals)[-1] <= 0.2 + 0.040 + 1e-9


def test_what_goes_in_during_a_blackout_is_gone() -> None:
    gone = lost(carry(Trouble(blackouts=((1.0, 2.0), (3.0, 3.1))), 200), 200)
    assert [number for number in range(200) if gone[number]] == [*range(50, 100), *range(150, 155)]


def test_the_same_seed_is_the_same_network_and_another_is_another() -> None:
    trouble = Trouble(loss=0.1, burst=3, exponential=0.02, uniform=0.01, duplicates=0.05, overtaken=0.05)
    assert carry(trouble, 500, seed=1) == carry(trouble, 500, seed=1)
    assert carry(trouble, 500, seed=1) != carry(trouble, 500, seed=2)


def test_one_kind_of_trouble_leaves_the_dice_of_the_others_alone() -> None:
    alone = carry(Trouble(loss=0.1), 1000)
    crowded = carry(Trouble(loss=0.1, exponential=0.02, duplicates=0.1, overtaken=0.1), 1000)
    assert lost(alone, 1000) == lost(crowded, 1000)


def test_time_does_not_run_backwards_and_impossible_trouble_is_refused() -> None:
    link = Link[int](Trouble(), seed=1)
    link.send(1, 1.0)
    with pytest.raises(ValueError, match="order of time"):
        link.send(2, 0.9)
    impossible: list[dict[str, Any]] = [{"loss": 1.1}, {"delay": -1}, {"loss": 0.9, "burst": 1}, {"burst": 0.5}]
    for arguments in impossible:
        with pytest.raises(ValueError, match=r"shares|bursts"):
            Trouble(**arguments)


SHARES: Final = st.floats(0, 1)
SECONDS: Final = st.floats(0, 0.2)
TROUBLES: Final = st.builds(
    Trouble,
    delay=SECONDS,
    loss=st.floats(0, 0.5),
    burst=st.sampled_from([0, 1, 3]),
    exponential=SECONDS,
    uniform=SECONDS,
    in_order=st.booleans(),
    overtaken=SHARES,
    overtaken_by=SECONDS,
    duplicates=SHARES,
    rate=st.sampled_from([0, 8000, 64_000]),
    queue=SECONDS,
    blackouts=st.sampled_from([(), ((0.2, 0.5),)]),
)


@settings(max_examples=60)
@given(TROUBLES, st.integers())
def test_whatever_the_trouble_a_packet_is_accounted_for_and_comes_out_after_it_went_in(
    trouble: Trouble, seed: int
) -> None:
    link = Link[int](trouble, seed)
    for number in range(60):
        out = link.send(number, number * FRAME, size=100)
        assert len(out) <= (2 if trouble.duplicates else 1)
        assert all(packet == number and time >= number * FRAME + trouble.delay for time, packet in out)
    counts = link.counts
    gone = counts["lost"] + counts["dropped"] + counts["dark"]
    assert counts["sent"] == 60 == gone + counts["delivered"] - counts["doubled"]
