"""What the jitter buffer makes of copies that later packets bring along (rule 10)."""

import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio.jitter import FEC_HOLD_SECONDS, HOLD_SECONDS, MAX_AHEAD, MAX_CONCEAL_TICKS, MAX_GAP_TICKS, JitterBuffer
from relay.audio.packet import FRAME_TICKS
from relay.audio.patience import LATE_HOLD_SECONDS
from relay.audio.red import MAX_BLOCKS, Block
from relay.audio.step import Conceal, Play, Recover, Reset, Silence, Step
from tests.netem import Link, Trouble
from tests.test_jitter import PACKET, SSRC, check, payload, play
from tests.test_jitter import push as push_bare

SHORT: Final = 8 << 3  # wideband, 10 ms


def copies_of(number: int, count: int, *, fec: bool = False) -> list[Block]:
    """Copies of the packets before this one; the oldest first."""
    return [Block(back * FRAME_TICKS, payload(number - back, fec=fec)) for back in range(count, 0, -1)]


def push(jitter: JitterBuffer, *numbers: int, now: float = 0.0, copies: int = 1, fec: bool = False) -> list[Step]:
    """Packets of a sender that never pauses, with copies of those before them, each polled for at once."""
    steps: list[Step] = []
    for number in numbers:
        timestamp = number * FRAME_TICKS & 0xFFFFFFFF
        redundant = copies_of(number, copies, fec=fec)
        jitter.push(number & 0xFFFF, timestamp, payload(number, fec=fec), SSRC, now, redundant)
        steps += jitter.poll(now)
    return steps


def fates(jitter: JitterBuffer) -> dict[str, int]:
    """The counters that are not zero."""
    names = ("in_order", "red", "fec", "concealed", "lost", "late", "duplicate", "refused")
    return {name: count for name in names if (count := getattr(jitter, name))}


def test_a_hole_that_copies_cover_is_filled_at_once() -> None:
    for copies in (1, 2, MAX_BLOCKS):
        jitter = JitterBuffer()
        assert push(jitter, 10, copies=copies) == play(10)
        assert push(jitter, 11 + copies, copies=copies) == play(*range(11, 12 + copies))
        assert jitter.deadline is None
        assert fates(jitter) == {"in_order": 2, "red": copies}


def test_a_hole_across_both_wraps_is_filled_by_copies() -> None:
    for wrap in (0x10000, (1 << 32) // FRAME_TICKS + 1):
        jitter = JitterBuffer()
        push(jitter, wrap - 2)
        assert push(jitter, wrap + 1, copies=2) == play(wrap - 1, wrap, wrap + 1)


def test_packets_in_order_make_nothing_of_their_copies() -> None:
    jitter = JitterBuffer()
    assert push(jitter, *range(20), copies=2) == play(*range(20))
    assert fates(jitter) == {"in_order": 20}


def test_of_two_missing_the_copys_own_fec_restores_the_first() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, fec=True)
    assert push(jitter, 4, fec=True) == []
    assert jitter.deadline == FEC_HOLD_SECONDS, "and so it waits no longer than for a single one"
    assert jitter.poll(FEC_HOLD_SECONDS) == [Recover(payload(3, fec=True), FRAME_TICKS), *play(3, 4, fec=True)]
    assert fates(jitter) == {"in_order": 2, "red": 1, "fec": 1, "lost": 1}


def test_without_fec_what_the_copies_do_not_reach_is_concealed_after_the_full_wait() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    assert push(jitter, 4) == []
    assert jitter.deadline == HOLD_SECONDS
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3, 4)]
    assert fates(jitter) == {"in_order": 2, "red": 1, "concealed": 1, "lost": 1}


def test_after_100_ms_of_concealment_there_is_silence_and_then_fec_the_copy_and_the_packet() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, fec=True)
    push(jitter, 12, fec=True)
    assert jitter.poll(HOLD_SECONDS) == [
        Conceal(MAX_CONCEAL_TICKS),
        Silence(8 * FRAME_TICKS - MAX_CONCEAL_TICKS),
        Recover(payload(11, fec=True), FRAME_TICKS),
        *play(11, 12, fec=True),
    ]


def test_a_packet_whose_copy_was_played_is_a_duplicate_and_asks_for_no_patience() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 3)
    assert push(jitter, 2, now=HOLD_SECONDS + 0.001) == []
    assert fates(jitter) == {"in_order": 2, "red": 1, "duplicate": 1}
    push_bare(jitter, 5, now=1.0)
    assert jitter.deadline == 1.0 + HOLD_SECONDS


def test_a_packet_takes_the_place_of_its_copy_as_long_as_that_waits() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 4, now=0.0)
    assert push(jitter, 3, 3, now=0.005, copies=0) == []
    assert jitter.deadline == HOLD_SECONDS, "the wait began with the copy"
    assert push(jitter, 2, now=0.01) == play(2, 3, 4)
    assert fates(jitter) == {"in_order": 4, "duplicate": 1}


def test_a_copy_that_comes_before_its_packet_is_late_fills_a_hole_that_already_waits() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, copies=0)
    assert push(jitter, 4, copies=0) == []
    assert push(jitter, 3, now=0.01) == play(2, 3, 4)
    assert jitter.deadline is None


def test_a_copy_of_what_was_played_or_given_up_or_is_held_is_nothing() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 2, copies=0)
    assert push(jitter, 3, copies=2) == play(3)
    push(jitter, 5, copies=0)
    jitter.poll(HOLD_SECONDS)
    assert push(jitter, 6, now=HOLD_SECONDS, copies=2) == play(6)
    push(jitter, 8, now=HOLD_SECONDS, copies=0)
    assert push(jitter, 9, now=HOLD_SECONDS) == []
    assert jitter.poll(1.0) == [Conceal(FRAME_TICKS), *play(8, 9)]
    assert fates(jitter) == {"in_order": 7, "concealed": 2, "lost": 2}


def test_even_a_patient_buffer_fills_at_once_what_copies_cover() -> None:
    jitter = JitterBuffer()
    push_bare(jitter, 1, 3)
    jitter.poll(HOLD_SECONDS)
    push_bare(jitter, 2, 5, now=1.0)
    assert jitter.deadline == 1.0 + LATE_HOLD_SECONDS
    assert push(jitter, 6, now=1.0, copies=2) == play(4, 5, 6)


def test_copies_before_the_beginning_of_a_stream_are_nothing() -> None:
    jitter = JitterBuffer()
    assert push(jitter, 7, copies=2) == play(7)
    jitter.push(50, 50 * FRAME_TICKS, payload(50), SSRC + 1, 0.0, copies_of(50, 2))
    assert jitter.poll(0.0) == [Reset(), *play(50)]
    assert fates(jitter) == {"in_order": 2}


def test_copies_of_a_packet_that_is_refused_or_far_away_are_nothing() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(3, 3 * FRAME_TICKS, b"", SSRC, 0.0, copies_of(3, 1))
    jitter.push(9000, 3 * FRAME_TICKS, payload(3), SSRC, 0.0, copies_of(3, 1))
    assert (jitter.poll(0.0), jitter.deadline) == ([], None)


def test_a_copy_that_is_no_opus_is_left_out() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(3, 3 * FRAME_TICKS, payload(3), SSRC, 0.0, [Block(FRAME_TICKS, b"\xff\xff"), Block(FRAME_TICKS, b"")])
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3)]
    assert fates(jitter) == {"in_order": 2, "concealed": 1, "lost": 1}


def test_a_packet_of_another_length_is_told_by_its_own() -> None:
    jitter = JitterBuffer()
    for number in (0, 3):
        redundant = [Block(back * 480, payload(number - back, toc=SHORT)) for back in (2, 1)]
        jitter.push(number, number * 480, payload(number, toc=SHORT), SSRC, 0.0, redundant)
    assert jitter.poll(0.0) == [Play(payload(number, toc=SHORT), 480) for number in range(4)]


def test_a_copy_of_what_was_said_before_a_pause_stands_before_it() -> None:
    """A sender with DTX: packet 2 was said 20 ms after packet 1, and packet 3 after 200 ms of silence."""
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(3, 13 * FRAME_TICKS, payload(3), SSRC, 0.2, [Block(11 * FRAME_TICKS, payload(2))])
    assert jitter.poll(0.2) == [*play(2), Silence(10 * FRAME_TICKS), *play(3)]
    assert fates(jitter) == {"in_order": 2, "red": 1}


@pytest.mark.parametrize("ticks_before", [0, 1, FRAME_TICKS - 1, 3 * FRAME_TICKS])
def test_a_copy_that_does_not_fit_into_the_hole_is_nothing(ticks_before: int) -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(3, 3 * FRAME_TICKS, payload(3), SSRC, 0.0, [Block(ticks_before, payload(2))])
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3)]


@pytest.mark.parametrize("jump", [-MAX_GAP_TICKS, MAX_GAP_TICKS, 1 << 31])
def test_copies_do_not_hide_a_jump_of_the_timestamps(jump: int) -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(3, 3 * FRAME_TICKS + jump & 0xFFFFFFFF, payload(3), SSRC, 0.0, copies_of(3, 1))
    steps = jitter.poll(HOLD_SECONDS)
    assert steps[0] == (Silence(jump) if jump == MAX_GAP_TICKS else Reset())
    assert steps[-1:] == play(3)
    assert sum(isinstance(step, Reset) for step in steps) <= 1


def carried(trouble: Trouble, copies: int, *, packets: int = 3000, seed: int = 1) -> tuple[list[Step], JitterBuffer]:
    """What is made of a stream that crosses a bad network; its first packet and its last arrive."""
    jitter = JitterBuffer()
    steps: list[Step] = []
    link = Link[int](trouble, seed)
    arrivals = link.carry((number * PACKET, number) for number in range(1, packets - 1))
    for now, number in [(0.0, 0), *arrivals, (packets * PACKET + 1, packets - 1)]:
        while jitter.deadline is not None and jitter.deadline <= now:
            steps += jitter.poll(jitter.deadline)
        steps += push(jitter, number, now=now, copies=copies, fec=True)
    steps += jitter.poll(1e9)
    return steps, jitter


@pytest.mark.parametrize(("copies", "left"), [(1, 0.015), (2, 0.002)])
def test_of_ten_percent_loss_copies_leave_little(copies: int, left: float) -> None:
    steps, jitter = carried(Trouble(loss=0.10), copies)
    assert sum(step.ticks for step in steps) == 3000 * FRAME_TICKS
    assert jitter.red + jitter.lost > 0.08 * 3000
    assert jitter.lost < left * 3000
    assert jitter.fec >= 0.6 * jitter.lost
    assert jitter.in_order + jitter.red + jitter.lost == 3000
    assert jitter.late == jitter.duplicate == 0


def test_with_copies_a_path_that_reorders_hardly_loses_a_frame() -> None:
    steps, jitter = carried(Trouble(exponential=0.020), 1)
    assert sum(step.ticks for step in steps) == 3000 * FRAME_TICKS
    assert jitter.in_order + jitter.duplicate + jitter.late == 3000
    assert jitter.lost <= 0.002 * 3000


HOSTILE: Final = st.tuples(
    st.integers(0, 40),
    st.one_of(st.integers(0, 40).map(lambda number: number * FRAME_TICKS), st.integers(0, 0xFFFFFFFF)),
    st.lists(
        st.builds(
            Block,
            st.one_of(st.integers(0, 4).map(lambda back: back * FRAME_TICKS), st.integers(0, (1 << 14) - 1)),
            st.one_of(st.binary(max_size=4), st.builds(payload, st.integers(0, 40), fec=st.booleans())),
        ),
        max_size=MAX_BLOCKS,
    ),
    st.floats(0.0, 0.05),
)


@settings(max_examples=80)
@given(st.lists(HOSTILE, max_size=60))
def test_no_copies_break_it_and_every_place_has_one_fate(
    packets: list[tuple[int, int, list[Block], float]],
) -> None:
    jitter = JitterBuffer()
    now, played = 0.0, 0
    for sequence, timestamp, redundant, wait in packets:
        now += wait
        jitter.push(sequence, timestamp, payload(sequence), SSRC, now, redundant)
        assert len(jitter._held) <= MAX_AHEAD + 1
        for step in jitter.poll(now):
            check(step)
            played += isinstance(step, Play)
    for step in jitter.poll(now + LATE_HOLD_SECONDS):
        check(step)
        played += isinstance(step, Play)
    assert jitter.deadline is None
    assert played == jitter.in_order + jitter.red
    assert jitter.in_order + jitter.late + jitter.duplicate == len(packets)


def test_copies_cannot_make_it_hold_more_than_its_bound() -> None:
    jitter, rng = JitterBuffer(), random.Random(10)
    for _ in range(5000):
        number = rng.randrange(400)
        blocks = [Block(rng.randrange(1 << 14), payload(rng.randrange(400))) for _ in range(MAX_BLOCKS)]
        jitter.push(number, number * FRAME_TICKS, payload(number), SSRC, 0.0, blocks)
        assert len(jitter._held) <= MAX_AHEAD + 1
