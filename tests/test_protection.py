"""Redundancy when the path loses packets, none when it does not; and what then remains to be concealed."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.audio.protection import (
    CLEAN_PACKETS,
    MAX_BLOCKS,
    MEMORY_PACKETS,
    ONE_BLOCK_LOSS,
    OUTAGE_LOSS,
    THREE_BLOCKS_LOSS,
    TWO_BLOCKS_LOSS,
    Protection,
)

SECOND = 50  # packets
REPORT_SECONDS = 5.0  # Chromium's mean, from half of it to one and a half


def after(*reports: tuple[float, int]) -> int:
    """The blocks after reports of (share lost, packets)."""
    protection = Protection()
    for fraction_lost, packets in reports:
        protection.heard(fraction_lost, packets)
    return protection.blocks


def test_a_clean_path_has_plain_opus() -> None:
    assert after(*[(0.0, 250)] * 100) == 0


@pytest.mark.parametrize(
    ("loss", "blocks"),
    [
        (0.0, 0), (ONE_BLOCK_LOSS, 0), (0.035, 1), (TWO_BLOCKS_LOSS, 1), (0.12, 2), (THREE_BLOCKS_LOSS, 2), (0.2, 3),
        (OUTAGE_LOSS, 3),
    ],
)  # fmt: skip
def test_one_report_of_five_seconds_is_enough(loss: float, blocks: int) -> None:
    assert after((loss, 5 * SECOND)) == blocks


@pytest.mark.parametrize(("loss", "blocks"), [(0.05, 1), (0.10, 1), (0.20, 2)])
def test_a_report_of_one_second_is_enough_for_protection_and_of_heavy_loss_for_all_of_it(
    loss: float, blocks: int
) -> None:
    assert after((loss, SECOND)) == blocks


def test_steady_loss_of_ten_percent_is_believed_after_a_few_seconds_however_often_it_is_reported() -> None:
    for packets in (SECOND // 2, SECOND, 2 * SECOND, 5 * SECOND):
        assert after(*[(0.10, packets)] * (5 * SECOND // packets)) == 2


def test_one_packet_of_the_few_around_a_pause_is_chance() -> None:
    assert after((0.0, 5 * SECOND), (0.1, 10)) == 0
    assert after((0.1, 10)) == 0


def test_many_of_a_few_are_a_beginning() -> None:
    assert after((0.0, 5 * SECOND), (0.5, 10)) == 2


def test_a_blackout_asks_for_one_block_and_is_forgotten() -> None:
    assert after((0.95, 5 * SECOND)) == 1
    assert after((1.0, 5 * SECOND), *[(0.0, 5 * SECOND)] * 2) == 0
    assert after((0.95, 5 * SECOND), (0.05, 5 * SECOND)) == 1


def test_after_ten_clean_seconds_there_is_plain_opus_again_and_not_before() -> None:
    protection = Protection()
    protection.heard(0.2, 5 * SECOND)
    for _ in range(CLEAN_PACKETS // SECOND - 1):
        protection.heard(0.0, SECOND)
        assert protection.blocks == 3
    protection.heard(0.0, SECOND)
    assert protection.blocks == 0


def test_when_less_is_lost_there_is_less_protection_after_ten_seconds() -> None:
    assert after((0.2, 250), (0.04, 250), (0.0, 250)) == 1
    assert after((0.2, 250), (0.04, 250), (0.0, 250), (0.0, 250), (0.0, 250)) == 0


def test_loss_that_comes_back_begins_the_ten_seconds_anew() -> None:
    assert after((0.04, 250), (0.0, 250), (0.04, 250), (0.0, 250)) == 1


def test_a_pause_is_no_clean_time() -> None:
    assert after((0.2, 250), *[(0.0, 0)] * 100) == 3


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(-5, 100_000))))
def test_whatever_is_reported_there_are_none_to_three_blocks(reports: list[tuple[float, int]]) -> None:
    assert 0 <= after(*reports) <= MAX_BLOCKS


@given(st.lists(st.tuples(st.floats(0, ONE_BLOCK_LOSS), st.integers(0, 1000))))
def test_no_series_of_small_losses_adds_up_to_protection(reports: list[tuple[float, int]]) -> None:
    assert after(*reports) == 0


@given(st.floats(0, OUTAGE_LOSS), st.integers(1, 1000))
def test_one_report_is_never_taken_for_more_than_it_says(loss: float, packets: int) -> None:
    believed = loss * packets / (packets + MEMORY_PACKETS)
    steps = ONE_BLOCK_LOSS, TWO_BLOCKS_LOSS, THREE_BLOCKS_LOSS
    assert after((loss, packets)) == sum(believed > step for step in steps)


# ---- a path, its reports, and what is left to conceal ----


def concealed(is_lost: Callable[[random.Random], bool], seed: int, seconds: int = 600) -> tuple[float, float]:
    """The share of packets that neither arrive nor are restored, half a minute after the loss began; and what is sent
    on the mean, in blocks per packet.
    """
    dice, protection = random.Random(seed), Protection()
    lost: list[bool] = []
    blocks: list[int] = []
    since, due = 0, 0.0
    for n in range(seconds * SECOND):
        lost.append(is_lost(dice))
        blocks.append(protection.blocks)
        if n >= due:
            told = lost[since:]
            protection.heard(int(256 * sum(told) / len(told)) / 256, len(told))
            since, due = len(lost), n + dice.uniform(0.5, 1.5) * REPORT_SECONDS * SECOND
    places = range(30 * SECOND, len(lost) - MAX_BLOCKS)
    gone = sum(
        all(lost[n + later] or blocks[n + later] < later for later in range(1, MAX_BLOCKS + 1))
        for n in places
        if lost[n]
    )
    return gone / len(places), sum(blocks) / len(blocks)


def test_at_ten_percent_random_loss_half_a_percent_is_left_to_conceal() -> None:
    left, _ = concealed(lambda dice: dice.random() < 0.10, seed=1)
    assert left < 0.005


def test_at_twenty_percent_random_loss_three_in_a_thousand_are_left_to_conceal() -> None:
    left, _ = concealed(lambda dice: dice.random() < 0.20, seed=1)
    assert left < 0.003


def test_at_three_percent_random_loss_one_block_is_enough() -> None:
    left, blocks = concealed(lambda dice: dice.random() < 0.03, seed=1)
    assert left < 0.004
    assert blocks < 1.05


def test_half_a_percent_of_random_loss_is_no_reason_for_more_bits() -> None:
    _, blocks = concealed(lambda dice: dice.random() < 0.005, seed=1)
    assert blocks < 0.05
