"""What a receiver report says of a stream, told by packets and the times they came."""

import random

from aiortc.rtcrtpreceiver import StreamStatistics
from hypothesis import given
from hypothesis import strategies as st

from relay.audio.packet import FRAME_TICKS, TICKS_PER_SECOND
from relay.webrtc.reception import MAX_DROPOUT, MAX_LOST, Reception

FRAME = FRAME_TICKS / TICKS_PER_SECOND


def stream(numbers: list[int], jitter: float = 0.0) -> Reception:
    """The reception of packets with these numbers, each sent at its own time; counted from the first."""
    dice = random.Random(7)
    reception = Reception(numbers[0] & 0xFFFF, numbers[0] * FRAME_TICKS & 0xFFFFFFFF, numbers[0] * FRAME)
    for n in numbers[1:]:
        reception.add(n & 0xFFFF, n * FRAME_TICKS & 0xFFFFFFFF, n * FRAME + dice.uniform(-jitter, jitter))
    return reception


def test_a_whole_stream_has_lost_nothing_and_does_not_jitter() -> None:
    whole = stream([*range(65_000, 66_500)])
    assert (whole.packets_received, whole.packets_expected, whole.packets_lost) == (1500, 1500, 0)
    assert whole.fraction_lost == 0
    assert whole.jitter == 0
    assert whole.cycles + whole.max_seq == 66_499, "the sequence number wrapped once"


def test_losses_are_told_for_the_time_since_the_last_report() -> None:
    holed = stream([n for n in range(1000) if n % 10 != 5])
    assert holed.packets_lost == 100
    assert holed.fraction_lost == 256 // 10
    assert holed.fraction_lost == 0, "since a moment ago nothing was lost"


def test_a_packet_that_was_overtaken_is_not_lost_and_one_that_came_twice_is_no_gain() -> None:
    assert stream([0, 1, 3, 2, 4]).packets_lost == 0
    doubled = stream([0, 1, 1, 2, 2, 3])
    assert doubled.packets_lost == -2
    assert doubled.fraction_lost == 0


def test_jitter_is_the_mean_deviation_in_ticks() -> None:
    assert 200 < stream([*range(500)], jitter=0.010).jitter < 500, "two uniform errors of 10 ms differ by 6.7 ms: 320"


def test_a_sender_that_begins_anew_has_not_lost_thousands() -> None:
    reception = stream([*range(100)])
    for n in range(100):
        reception.add(100 + MAX_DROPOUT + n, n * FRAME_TICKS, 2 + n * FRAME)
    assert reception.packets_lost == 0
    assert reception.packets_received == 100


@given(st.lists(st.integers(0, 99), min_size=2, max_size=200))
def test_aiortc_counts_the_same(steps: list[int]) -> None:
    class Packet:
        def __init__(self, n: int) -> None:
            self.sequence_number, self.timestamp = n & 0xFFFF, 0

    theirs, ours = StreamStatistics(TICKS_PER_SECOND), Reception(steps[0], 0, 0.0)
    for n in steps:
        theirs.add(Packet(n))  # type: ignore[arg-type]
    for n in steps[1:]:
        ours.add(n, 0, 0.0)
    assert (ours.packets_received, ours.packets_expected) == (theirs.packets_received, theirs.packets_expected)
    assert ours.packets_lost == theirs.packets_lost
    assert ours.fraction_lost == theirs.fraction_lost


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.floats(0, 1e6)), max_size=50))
def test_whatever_comes_the_figures_fit_their_fields(packets: list[tuple[int, int, float]]) -> None:
    reception = Reception(0, 0, 0.0)
    for sequence, timestamp, now in sorted(packets, key=lambda packet: packet[2]):
        reception.add(sequence, timestamp, now)
        assert 0 <= reception.fraction_lost < 256
        assert -MAX_LOST - 1 <= reception.packets_lost <= MAX_LOST
        assert 0 <= reception.max_seq <= 0xFFFF
        assert 0 <= reception.jitter < 1 << 32
