"""How long a hole waits on a path that reorders: longer while packets have been late, and only there (rule 9)."""

from typing import Final

import pytest

from relay.audio.jitter import FEC_HOLD_SECONDS, HOLD_SECONDS, JitterBuffer
from relay.audio.packet import FRAME_TICKS
from relay.audio.patience import LATE_HOLD_SECONDS, LATE_MEMORY_SECONDS, MARGIN_SECONDS, Patience
from relay.audio.step import Conceal, Play, Step
from tests.netem import Link, Trouble
from tests.test_jitter import PACKET, SSRC, payload, play, push

SOON: Final = 0.001
WAITS: Final = {False: HOLD_SECONDS, True: FEC_HOLD_SECONDS}


def late_by(needed: float, now: float) -> JitterBuffer:
    """A buffer that gave up packet 2, which came at `now`, `needed` after the next one; packet 4 is next."""
    jitter = JitterBuffer()
    push(jitter, 1, 3, now=now - needed)
    jitter.poll(now)
    push(jitter, 2, now=now)
    return jitter


@pytest.mark.parametrize("fec", [False, True])
def test_after_late_packets_a_hole_waits_longer_whatever_fec_can_do(fec: bool) -> None:
    jitter = late_by(1.0, 2.0)
    push(jitter, 5, now=2.0, fec=fec)
    assert jitter.deadline == 2.0 + LATE_HOLD_SECONDS
    assert jitter.poll(2.0 + LATE_HOLD_SECONDS - 1e-6) == []
    assert jitter.poll(2.0 + LATE_HOLD_SECONDS)[-1:] == play(5, fec=fec)


@pytest.mark.parametrize("fec", [False, True])
def test_a_hole_waits_as_long_as_the_latest_packet_needed_and_a_little_longer(fec: bool) -> None:
    jitter = late_by(HOLD_SECONDS, 1.0)
    push(jitter, 5, now=1.0, fec=fec)
    assert jitter.deadline == pytest.approx(1.0 + HOLD_SECONDS + MARGIN_SECONDS)


def test_what_was_late_for_fec_alone_makes_it_wait_as_if_there_were_none() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 3, fec=True)
    jitter.poll(FEC_HOLD_SECONDS)
    push(jitter, 2, now=FEC_HOLD_SECONDS + SOON)
    push(jitter, 5, now=1.0, fec=True)
    assert jitter.deadline == 1.0 + HOLD_SECONDS


@pytest.mark.parametrize("fec", [False, True])
def test_after_a_quiet_while_a_hole_waits_as_before(fec: bool) -> None:
    for quiet, wait in ((LATE_MEMORY_SECONDS - SOON, LATE_HOLD_SECONDS), (LATE_MEMORY_SECONDS, WAITS[fec])):
        jitter = late_by(1.0, 2.0)
        push(jitter, 5, now=2.0 + quiet, fec=fec)
        assert jitter.deadline == 2.0 + quiet + wait


def test_the_latest_is_forgotten_first_and_then_what_was_less_late_after_it_counts() -> None:
    patience = Patience()
    patience.was_needed(0.055, 0.0)
    patience.was_needed(0.045, 1.0)
    patience.was_needed(0.050, 2.0)
    assert patience.hold(LATE_MEMORY_SECONDS - SOON) == 0.055 + MARGIN_SECONDS
    assert patience.hold(LATE_MEMORY_SECONDS + SOON) == 0.050 + MARGIN_SECONDS
    assert patience.hold(LATE_MEMORY_SECONDS + 2.0) == 0.0
    patience.was_needed(0.041, 9.0)
    assert patience.hold(9.0) == 0.041 + MARGIN_SECONDS


def test_a_packet_that_patience_has_saved_keeps_the_patience() -> None:
    jitter = late_by(1.0, 2.0)
    almost = 2.0 + LATE_MEMORY_SECONDS - SOON
    push(jitter, 5, now=almost)
    needed = HOLD_SECONDS + SOON
    assert push(jitter, 4, now=almost + needed) == play(4, 5)
    again = almost + LATE_MEMORY_SECONDS
    push(jitter, 7, now=again)
    assert jitter.deadline == pytest.approx(again + needed + MARGIN_SECONDS)


def test_a_packet_that_came_in_time_anyway_does_not_keep_it() -> None:
    jitter = late_by(1.0, 2.0)
    almost = 2.0 + LATE_MEMORY_SECONDS - SOON
    push(jitter, 5, now=almost)
    assert push(jitter, 4, now=almost + HOLD_SECONDS) == play(4, 5)
    push(jitter, 7, now=almost + 1)
    assert jitter.deadline == almost + 1 + HOLD_SECONDS


def test_a_packet_that_comes_late_in_the_wait_of_a_hole_lengthens_it() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 3, now=0.0)
    jitter.poll(HOLD_SECONDS)
    push(jitter, 5, now=1.0)
    push(jitter, 2, now=1.0 + SOON)
    assert jitter.deadline == 1.0 + LATE_HOLD_SECONDS


def test_neither_loss_nor_doubles_make_it_wait_longer() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 1, 3, 3, now=0.0)
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3)]
    push(jitter, 1, 3, 5, now=HOLD_SECONDS)
    assert jitter.deadline == 2 * HOLD_SECONDS


def test_the_second_copy_of_a_late_packet_says_nothing_new() -> None:
    jitter = late_by(0.1, 1.0)
    push(jitter, 2, now=1.0 + LATE_MEMORY_SECONDS)
    push(jitter, 5, now=1.0 + LATE_MEMORY_SECONDS)
    assert jitter.deadline == 1.0 + LATE_MEMORY_SECONDS + HOLD_SECONDS


def test_what_was_given_up_before_a_new_beginning_is_not_late_after_it() -> None:
    for begin_anew in (lambda jitter: jitter.restart(), lambda jitter: push(jitter, 900, ssrc=SSRC + 1)):
        jitter = JitterBuffer()
        push(jitter, 1, 3)
        jitter.poll(HOLD_SECONDS)
        begin_anew(jitter)
        push(jitter, 3, 2, 5, now=HOLD_SECONDS)
        assert jitter.deadline == 2 * HOLD_SECONDS


def test_a_packet_in_order_is_never_delayed_by_patience() -> None:
    jitter = late_by(0.1, 1.0)
    for number in range(4, 100):
        assert push(jitter, number, now=1.0) == play(number)
        assert jitter.deadline is None


def waits(trouble: Trouble, packets: int, seed: int) -> tuple[list[float], JitterBuffer]:
    """How long each packet that was played had waited, and the buffer with its counters."""
    jitter = JitterBuffer()
    arrived: dict[bytes, float] = {}
    waited: list[float] = []

    def act(steps: list[Step], now: float) -> None:
        waited.extend(now - arrived[step.payload] for step in steps if isinstance(step, Play))

    for now, number in Link[int](trouble, seed).carry((number * PACKET, number) for number in range(packets)):
        while jitter.deadline is not None and jitter.deadline <= now:
            act(jitter.poll(due := jitter.deadline), due)
        arrived.setdefault(payload(number, fec=True), now)
        act(push(jitter, number, now=now, fec=True), now)
    return sorted(waited), jitter


def test_with_jitter_of_mean_20_ms_one_percent_is_dropped_at_most_and_the_wait_stays_small() -> None:
    packets, seeds, waited = 4000, 10, list[float]()
    shares: list[float] = []
    for seed in range(seeds):
        some, jitter = waits(Trouble(exponential=0.020), packets, seed)
        assert jitter.fec > 0.9 * jitter.lost, "and of what is dropped FEC has a copy"
        shares.append(jitter.late / packets)
        waited += some
    waited.sort()
    assert sum(shares) / seeds <= 0.007
    assert max(shares) <= 0.010
    assert waited[len(waited) // 2] == 0.0
    assert waited[int(0.95 * len(waited))] <= 0.045
    assert waited[-1] <= LATE_HOLD_SECONDS + 1e-6


def test_with_jitter_of_mean_10_ms_hardly_a_packet_is_dropped() -> None:
    waited, jitter = waits(Trouble(exponential=0.010), 20_000, seed=1)
    assert jitter.late <= 0.002 * 20_000
    assert waited[int(0.95 * len(waited))] <= 0.010


def test_on_a_path_that_reorders_a_little_what_is_lost_does_not_wait_in_full() -> None:
    waited, jitter = waits(Trouble(exponential=0.010, loss=0.05), 10_000, seed=1)
    assert jitter.late <= 0.003 * 10_000
    assert waited[int(0.95 * len(waited))] <= HOLD_SECONDS


def test_a_path_that_keeps_order_makes_nobody_wait_however_it_jitters() -> None:
    waited, jitter = waits(Trouble(exponential=0.050, in_order=True), 3000, seed=1)
    assert waited[-1] == 0.0
    assert jitter.late == 0
