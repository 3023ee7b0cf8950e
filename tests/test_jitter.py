"""The jitter buffer, rule by rule in virtual time, and then whatever a network or an enemy may send."""

import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio.jitter import FEC_HOLD_SECONDS, HOLD_SECONDS, MAX_AHEAD, MAX_CONCEAL_TICKS, MAX_GAP_TICKS, JitterBuffer
from relay.audio.opus import Decoder, OpusError
from relay.audio.packet import CONCEAL_STEP_TICKS, FRAME_TICKS, MAX_PACKET_TICKS, duration, fec_ticks
from relay.audio.patience import LATE_HOLD_SECONDS
from relay.audio.step import Conceal, Play, Recover, Reset, Silence, Step

SSRC: Final = 0x5EED
WIDEBAND_20_MS: Final = 9 << 3
FEC_FLAG: Final = 0x40
PACKET: Final = FRAME_TICKS / 48_000  # seconds


def payload(number: int, *, fec: bool = False, toc: int = WIDEBAND_20_MS) -> bytes:
    """A packet of 20 ms that is told from others by `number`."""
    return bytes([toc, FEC_FLAG if fec else 0]) + number.to_bytes(8, "big", signed=True)


def push(jitter: JitterBuffer, *numbers: int, now: float = 0.0, fec: bool = False, ssrc: int = SSRC) -> list[Step]:
    """Packets of a sender that never pauses, each polled for at once."""
    steps: list[Step] = []
    for number in numbers:
        jitter.push(number & 0xFFFF, number * FRAME_TICKS & 0xFFFFFFFF, payload(number, fec=fec), ssrc, now)
        steps += jitter.poll(now)
    return steps


def play(*numbers: int, fec: bool = False) -> list[Step]:
    return [Play(payload(number, fec=fec), FRAME_TICKS) for number in numbers]


def test_rule_1_packets_in_order_are_played_at_once() -> None:
    jitter = JitterBuffer()
    for number in range(10, 20):
        assert push(jitter, number) == play(number)
        assert jitter.deadline is None


@pytest.mark.parametrize(
    ("toc", "ticks"), [(8 << 3, 480), (9 << 3, 960), (11 << 3, 2880), (9 << 3 | 1, 1920), (31 << 3, 960)]
)
def test_rule_1_a_packet_lasts_as_long_as_it_says(toc: int, ticks: int) -> None:
    jitter = JitterBuffer()
    for number in range(3):
        jitter.push(number, number * ticks, payload(number, toc=toc), SSRC, 0.0)
        assert jitter.poll(0.0) == [Play(payload(number, toc=toc), ticks)]


def test_rule_1_both_counters_wrap() -> None:
    wrap = (1 << 32) // FRAME_TICKS  # the timestamp of the next packet but one is small again, and not a multiple
    for first in (0xFFFE, wrap - 1):
        jitter = JitterBuffer()
        assert push(jitter, first, first + 1, first + 2) == play(first, first + 1, first + 2)
        assert push(jitter, first + 4) == []
        assert jitter.poll(1.0) == [Conceal(FRAME_TICKS), *play(first + 4)]


def test_rule_2_a_duplicate_is_dropped_held_or_played() -> None:
    jitter = JitterBuffer()
    assert push(jitter, 1, 1, 3, 3, 1) == play(1)
    assert push(jitter, 2) == play(2, 3)
    assert jitter.duplicate == 3


def test_rule_2_a_packet_whose_place_was_filled_is_dropped() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 3)
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3)]
    assert push(jitter, 2, now=HOLD_SECONDS) == []
    assert (jitter.late, jitter.lost) == (1, 1)


def test_rule_2_a_second_copy_of_a_late_packet_is_a_duplicate() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 3)
    jitter.poll(HOLD_SECONDS)
    push(jitter, 2, 2, now=HOLD_SECONDS)
    assert (jitter.late, jitter.duplicate) == (1, 1)


def test_rule_2_what_was_overtaken_by_the_first_of_all_is_late() -> None:
    jitter = JitterBuffer()
    assert push(jitter, 3, 2, 3, 4) == play(3, 4)
    assert (jitter.late, jitter.duplicate) == (1, 1)


def test_rule_2_a_payload_that_is_no_opus_counts_as_lost() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(2, 2 * FRAME_TICKS, b"", SSRC, 0.0)
    jitter.push(2, 2 * FRAME_TICKS, b"\xff\xff", SSRC, 0.0)
    push(jitter, 3)
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3)]
    assert jitter.refused == 2


def test_rule_3_a_hole_waits_from_the_first_packet_after_it_and_then_all_drains() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, now=1.0)
    assert push(jitter, 3, now=2.0) == []
    assert push(jitter, 4, now=2.02) == []
    assert jitter.deadline == 2.0 + HOLD_SECONDS
    assert jitter.poll(2.0 + HOLD_SECONDS - 1e-6) == []
    assert jitter.poll(2.0 + HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3, 4)]
    assert jitter.deadline is None


def test_rule_3_the_missing_packet_ends_the_wait() -> None:
    jitter = JitterBuffer()
    assert push(jitter, 1, 4, 3) == play(1)
    assert push(jitter, 2, now=HOLD_SECONDS / 2) == play(2, 3, 4)
    assert jitter.deadline is None
    assert jitter.late == jitter.lost == 0


def test_rule_3_a_single_hole_that_fec_can_restore_waits_less() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    push(jitter, 3, fec=True)
    assert jitter.deadline == FEC_HOLD_SECONDS
    assert jitter.poll(FEC_HOLD_SECONDS) == [Recover(payload(3, fec=True), FRAME_TICKS), *play(3, fec=True)]


def test_rule_3_a_longer_hole_waits_in_full_whatever_fec_can_do() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    push(jitter, 4, fec=True)
    assert jitter.deadline == HOLD_SECONDS
    push(jitter, 3, fec=True, now=0.001)
    assert jitter.deadline == FEC_HOLD_SECONDS, "now a single one is missing"


def test_rule_3_each_hole_has_its_own_wait() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    push(jitter, 3, now=0.0)
    push(jitter, 5, now=0.03)
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(3)]
    assert jitter.deadline == 0.03 + HOLD_SECONDS
    assert jitter.poll(0.03 + HOLD_SECONDS) == [Conceal(FRAME_TICKS), *play(5)]


def test_rule_3_after_a_hole_there_is_no_delay_left() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 3)
    jitter.poll(HOLD_SECONDS)
    assert push(jitter, 4, now=HOLD_SECONDS) == play(4)


def test_rule_4_a_hole_of_two_is_concealed_and_its_last_frame_restored() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    push(jitter, 4, fec=True)
    assert jitter.poll(HOLD_SECONDS) == [
        Conceal(FRAME_TICKS),
        Recover(payload(4, fec=True), FRAME_TICKS),
        *play(4, fec=True),
    ]
    assert (jitter.lost, jitter.concealed, jitter.fec) == (2, 1, 1)


@pytest.mark.parametrize("fec", [False, True])
def test_rule_4_beyond_100_ms_a_hole_is_silent(fec: bool) -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    push(jitter, 12, fec=fec)
    steps = jitter.poll(HOLD_SECONDS)
    expected: list[Step] = [Conceal(MAX_CONCEAL_TICKS), Silence(10 * FRAME_TICKS - MAX_CONCEAL_TICKS)]
    if fec:
        expected = [
            Conceal(MAX_CONCEAL_TICKS),
            Silence(9 * FRAME_TICKS - MAX_CONCEAL_TICKS),
            Recover(payload(12, fec=True), FRAME_TICKS),
        ]
    assert steps == [*expected, *play(12, fec=fec)]


def test_rule_4_only_whole_steps_of_the_decoder_are_concealed() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(3, 3 * FRAME_TICKS + 77, payload(3), SSRC, 0.0)
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), Silence(77), *play(3)]


def test_rule_4_fec_of_a_frame_longer_than_the_hole_is_not_used() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    long = payload(3, fec=True, toc=11 << 3)[:1] + bytes([0x10]) + bytes(8)  # 60 ms: three voice flags, then FEC's
    assert fec_ticks(long) == 2880
    jitter.push(3, 3 * FRAME_TICKS, long, SSRC, 0.0)
    assert jitter.poll(HOLD_SECONDS) == [Conceal(FRAME_TICKS), Play(long, 2880)]


def test_rule_5_a_pause_of_the_sender_is_silence_and_waits_for_nothing() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(2, 22 * FRAME_TICKS, payload(2), SSRC, 0.4)
    assert jitter.poll(0.4) == [Silence(20 * FRAME_TICKS), *play(2)]


@pytest.mark.parametrize("gap", [-FRAME_TICKS, -1, MAX_GAP_TICKS + 1, 1 << 31])
@pytest.mark.parametrize("sequence", [2, 3])
def test_rule_6_a_jump_of_the_timestamps_is_a_new_beginning(gap: int, sequence: int) -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    there = 2 * FRAME_TICKS + gap & 0xFFFFFFFF
    jitter.push(sequence, there, payload(2), SSRC, 0.0)
    assert jitter.poll(HOLD_SECONDS) == [Reset(), *play(2)]
    jitter.push(sequence + 1, there + FRAME_TICKS & 0xFFFFFFFF, payload(3), SSRC, HOLD_SECONDS)
    assert jitter.poll(HOLD_SECONDS) == play(3)


def test_rule_6_the_longest_gap_is_still_filled() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    jitter.push(2, 2 * FRAME_TICKS + MAX_GAP_TICKS, payload(2), SSRC, 0.0)
    assert jitter.poll(0.0) == [Silence(MAX_GAP_TICKS), *play(2)]


@pytest.mark.parametrize("jump", [MAX_AHEAD + 2, -MAX_AHEAD - 1, 30_000])
def test_rule_7_a_far_sequence_is_believed_when_its_neighbour_agrees(jump: int) -> None:
    jitter = JitterBuffer()
    push(jitter, 1000)
    assert push(jitter, 1000 + jump) == []
    assert push(jitter, 1001 + jump) == [Reset(), *play(1000 + jump, 1001 + jump)]
    assert push(jitter, 1002 + jump) == play(1002 + jump)


def test_rule_7_the_neighbour_may_be_beyond_the_wrap() -> None:
    jitter = JitterBuffer()
    push(jitter, 1000, 0xFFFF)
    assert push(jitter, 0x10000) == [Reset(), *play(0xFFFF, 0x10000)]


def test_rule_7_one_packet_from_elsewhere_changes_nothing() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 9000)
    assert push(jitter, 2) == play(2)
    assert push(jitter, 9001) == [], "the stream's own packet came between: begin to count again"
    assert push(jitter, 3) == play(3)


def test_rule_7_the_farthest_packet_that_belongs_here_is_held() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 2 + MAX_AHEAD)
    assert jitter.poll(HOLD_SECONDS)[-1:] == play(2 + MAX_AHEAD)


def test_rule_8_another_ssrc_is_a_new_beginning() -> None:
    jitter = JitterBuffer()
    push(jitter, 1, 3)
    assert push(jitter, 2, ssrc=SSRC + 1) == [Reset(), *play(2)]
    assert push(jitter, 3, ssrc=SSRC + 1) == play(3)
    assert jitter.deadline is None


def follows(jitter: JitterBuffer, number: int, content: bytes | None = None) -> bool:
    content = payload(number) if content is None else content
    return jitter.follows(number & 0xFFFF, number * FRAME_TICKS & 0xFFFFFFFF, SSRC, content)


def test_what_follows_is_taken_without_a_step() -> None:
    jitter = JitterBuffer()
    assert not follows(jitter, 7), "the first packet of a stream follows nothing"
    push(jitter, 7)
    assert all(follows(jitter, number) for number in range(8, 100))
    assert (jitter.deadline, jitter.poll(1.0)) == (None, [])
    assert push(jitter, 100) == play(100), "pushing it comes to the same"
    assert jitter.in_order == 94


@pytest.mark.parametrize("wrap", [0x10000, (1 << 32) // FRAME_TICKS + 1])
def test_the_first_packet_beyond_a_wrap_is_pushed_and_is_played_at_once(wrap: int) -> None:
    jitter = JitterBuffer()
    push(jitter, wrap - 2)
    assert follows(jitter, wrap - 1)
    assert not follows(jitter, wrap)
    assert push(jitter, wrap) == play(wrap)
    assert follows(jitter, wrap + 1)
    assert push(jitter, wrap + 3) == []
    assert push(jitter, wrap + 2) == play(wrap + 2, wrap + 3)
    assert (jitter.in_order, jitter.lost) == (6, 0)


def test_a_hole_may_lie_across_a_wrap() -> None:
    jitter = JitterBuffer()
    push(jitter, 0xFFFE)
    assert follows(jitter, 0xFFFF)
    assert push(jitter, 0x10002) == []
    assert jitter.poll(HOLD_SECONDS) == [Conceal(2 * FRAME_TICKS), *play(0x10002)]
    push(jitter, 0x10000, 0xFFFF, now=HOLD_SECONDS)
    assert (jitter.in_order, jitter.lost, jitter.late, jitter.duplicate) == (3, 2, 1, 1)


def test_what_does_not_follow_changes_nothing() -> None:
    jitter = JitterBuffer()
    push(jitter, 1)
    state = dict(vars(jitter))
    for sequence, timestamp, ssrc, content in (
        (3, 2 * FRAME_TICKS, SSRC, payload(2)),
        (1, 2 * FRAME_TICKS, SSRC, payload(2)),
        (2, 2 * FRAME_TICKS + 1, SSRC, payload(2)),
        (2, 2 * FRAME_TICKS, SSRC + 1, payload(2)),
        (2, 2 * FRAME_TICKS, SSRC, b""),
        (2, 2 * FRAME_TICKS, SSRC, b"\xff\xff"),
        (2, 2 * FRAME_TICKS, SSRC, payload(2, toc=WIDEBAND_20_MS | 1)),  # two frames: to be looked at
    ):
        assert not jitter.follows(sequence, timestamp, ssrc, content)
        assert vars(jitter) == state
    push(jitter, 3)
    assert not follows(jitter, 2), "somebody waits for it"
    assert push(jitter, 2) == play(2, 3)


def test_an_idle_buffer_has_nothing_to_say() -> None:
    jitter = JitterBuffer()
    assert jitter.poll(0.0) == []
    assert jitter.deadline is None


def test_a_packet_pushed_but_not_polled_is_due_at_once() -> None:
    jitter = JitterBuffer()
    jitter.push(1, FRAME_TICKS, payload(1), SSRC, 7.0)
    assert jitter.deadline == 7.0


FATES: Final = st.tuples(
    st.booleans(),  # arrives
    st.integers(0, 3),  # how many packets overtake it
    st.booleans(),  # arrives twice
    st.booleans(),  # has FEC
    st.sampled_from([0, 0, 0, 0, 960, 9600, 7]),  # the sender pauses before it
)


@settings(max_examples=60)
@given(st.lists(FATES, min_size=1, max_size=60), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_the_steps_last_as_long_as_the_timestamps_that_passed(
    fates: list[tuple[bool, int, bool, bool, int]], sequence: int, timestamp: int
) -> None:
    sent: list[tuple[float, int, int, bytes]] = []
    clock = 0
    for number, (arrives, overtaken, twice, fec, pause) in enumerate(fates):
        clock += pause
        # The first packet begins the stream and the last ends it; between them anything may happen.
        edge = number in (0, len(fates) - 1)
        for extra in range(1 + twice if arrives or edge else 0):
            arrival = number * PACKET + (0.0 if edge else (overtaken + 0.5) * PACKET) + extra * 0.001
            packet = payload(number, fec=fec)
            sent.append((arrival, sequence + number & 0xFFFF, timestamp + clock & 0xFFFFFFFF, packet))
        clock += FRAME_TICKS
    jitter = JitterBuffer()
    steps: list[Step] = []
    for arrival, number, stamp, packet in sorted(sent):
        while jitter.deadline is not None and jitter.deadline <= arrival:
            steps += jitter.poll(jitter.deadline)
        jitter.push(number, stamp, packet, SSRC, arrival)
        steps += jitter.poll(arrival)
    steps += jitter.poll(1e9)
    assert sum(step.ticks for step in steps) == clock - fates[0][4]
    assert not any(isinstance(step, Reset) for step in steps)
    played = [step.payload for step in steps if isinstance(step, Play)]
    assert played == sorted(set(played), key=lambda packet: packet[2:]), "each once, in order"
    assert len(played) + jitter.lost == len(fates)
    assert jitter.in_order == len(played)
    assert jitter.in_order + jitter.late + jitter.duplicate == len(sent)
    assert jitter.deadline is None


ANYTHING: Final = st.tuples(
    st.one_of(st.integers(0, 300), st.integers(0, 0xFFFF)),
    st.one_of(st.integers(0, 300).map(lambda number: number * FRAME_TICKS), st.integers(0, 0xFFFFFFFF)),
    st.one_of(st.binary(max_size=1400), st.builds(payload, st.integers(0, 300), fec=st.booleans())),
    st.sampled_from([SSRC, SSRC, SSRC, SSRC, 7]),
    st.floats(0.0, 0.1),
    st.booleans(),  # polled for
)


@settings(max_examples=60)
@given(st.lists(ANYTHING, max_size=80))
def test_no_packets_break_it_and_what_it_says_can_be_done(
    packets: list[tuple[int, int, bytes, int, float, bool]],
) -> None:
    jitter = JitterBuffer()
    now = 0.0
    for sequence, timestamp, content, ssrc, wait, polled in packets:
        now += wait
        jitter.push(sequence, timestamp, content, ssrc, now)
        assert len(jitter._held) <= MAX_AHEAD + 1
        assert jitter.deadline is None or jitter.deadline <= now + LATE_HOLD_SECONDS
        for step in jitter.poll(now) if polled else []:
            check(step)
        assert not polled or jitter.deadline is None or jitter.deadline > now
    for step in jitter.poll(now + LATE_HOLD_SECONDS):
        check(step)
    assert jitter.deadline is None


def check(step: Step) -> None:
    match step:
        case Play(content, ticks) | Recover(content, ticks):
            assert 0 < ticks <= MAX_PACKET_TICKS
            assert ticks == (duration(content) if isinstance(step, Play) else fec_ticks(content))
        case Conceal(ticks):
            assert 0 < ticks <= MAX_CONCEAL_TICKS
            assert ticks % CONCEAL_STEP_TICKS == 0
        case Silence(ticks):
            assert 0 < ticks <= MAX_GAP_TICKS
        case Reset(ticks):
            assert ticks == 0


def test_a_broken_packet_that_promises_fec_does_not_stop_the_decoder() -> None:
    broken = bytes.fromhex("21698003c726b58f")
    with pytest.raises(OpusError):
        Decoder().decode(broken)
    jitter, decoder = JitterBuffer(), Decoder()
    push(jitter, 1)
    jitter.push(3, 3 * FRAME_TICKS, broken, SSRC, 0.0)
    concealed, recovered, played = jitter.poll(HOLD_SECONDS)
    assert isinstance(recovered, Recover)
    assert len(decoder.recover(recovered.following, recovered.ticks)) == recovered.ticks // 3 * 2
    assert (concealed, played) == (Conceal(FRAME_TICKS - recovered.ticks), Play(broken, FRAME_TICKS))


def test_a_gap_is_measured_from_the_end_of_what_was_played_across_the_wrap_and_within_one_stream() -> None:
    wrap = 1 << 32
    jitter = JitterBuffer()
    assert jitter.gap(0, SSRC) is None
    jitter.push(1, wrap - 10, payload(1), SSRC, 0.0)
    jitter.poll(0.0)
    end = FRAME_TICKS - 10
    assert jitter.gap(end, SSRC) == 0
    assert jitter.gap(end + 48_000, SSRC) == 48_000
    assert jitter.gap(wrap - 10, SSRC) == -FRAME_TICKS
    assert jitter.gap(end, SSRC + 1) is None
    jitter.restart()
    assert jitter.gap(end, SSRC) is None


def test_what_is_held_is_bounded_even_if_nobody_polls() -> None:
    jitter = JitterBuffer()
    rng = random.Random(8)
    for _ in range(20_000):
        number = rng.randrange(0x10000) if rng.random() < 0.5 else rng.randrange(400)
        jitter.push(number, number * FRAME_TICKS, payload(number), SSRC, 0.0)
        assert len(jitter._held) <= MAX_AHEAD + 1


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.10, 0.20, 0.30])
def test_under_loss_every_packet_that_arrives_is_used_and_the_delay_stays_small(loss: float) -> None:
    jitter, decoder, rng = JitterBuffer(), Decoder(), random.Random(round(loss * 100))
    delays: list[float] = []
    arrived = ticks = samples = 0

    def act(steps: list[Step], now: float) -> None:
        nonlocal ticks, samples
        for step in steps:
            ticks += step.ticks
            match step:
                case Play(content, length):
                    delays.append(now - int.from_bytes(content[2:], "big") * PACKET)
                    samples += length // 3
                case Conceal(length):
                    samples += len(decoder.conceal(length)) // 2
                case Recover(content, length):
                    samples += len(decoder.recover(content, length)) // 2

    for number in range(2000):
        now = number * PACKET
        while jitter.deadline is not None and jitter.deadline <= now:
            due = jitter.deadline
            act(jitter.poll(due), due)
        if number in (0, 1999) or rng.random() >= loss:
            arrived += 1
            act(push(jitter, number, now=now, fec=True), now)
    due = jitter.deadline or 0.0
    act(jitter.poll(due), due)
    assert len(delays) == arrived
    assert ticks == 2000 * FRAME_TICKS
    assert samples >= ticks // 3 * 0.99, "hardly ever more than 100 ms in a row"
    delays.sort()
    assert delays[-1] <= HOLD_SECONDS + 1e-6
    assert delays[int(0.95 * len(delays))] <= (0.025 if loss <= 0.05 else 0.045)
