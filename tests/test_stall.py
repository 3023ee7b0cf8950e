"""Silence for sound that does not come, rule by rule in virtual time, and an hour of a clock that runs wrong."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio.packet import DECODED_RATE, FRAME_TICKS, TICKS_PER_SECOND
from relay.audio.stall import (
    DOUBT_SECONDS,
    FRESH_SECONDS,
    LATE_LOOK_SECONDS,
    LEAD_SECONDS,
    LIMIT_SECONDS,
    LOOK_AGAIN_SECONDS,
    MAX_BACK_TICKS,
    PACKET_SECONDS,
    STALL_SECONDS,
    STEP_SECONDS,
    WARY_SECONDS,
    Stall,
)

PACKET: Final = PACKET_SECONDS
SAMPLES: Final = round(PACKET * DECODED_RATE)
FIRST: Final = STALL_SECONDS + PACKET  # when silence begins
MOMENT: Final = 1e-4


def sound(number: int) -> bytes:
    """A packet's sound that is told from others by `number`."""
    return (number + 1).to_bytes(2, "little") * SAMPLES


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * DECODED_RATE))


class Ear:
    """A stall, what the model got through it, and when it was told that nothing more comes."""

    def __init__(self) -> None:
        self.stall = Stall()
        self.pcm = bytearray()
        self.ends: list[float] = []

    def wait(self, until: float) -> None:
        """Look whenever a look is due."""
        while (due := self.stall.deadline) is not None and due <= until:
            self.look(due)

    def look(self, now: float) -> None:
        self.pcm += bytes(2 * self.stall.poll(now))
        if self.stall.ended:
            self.ends.append(now)

    def hear(self, pcm: bytes, now: float) -> bytes:
        """What the model gets of it, once whatever was due before has been done."""
        self.wait(now - MOMENT)
        got = self.stall.hear(pcm, now)
        self.pcm += got
        return got

    def talk(self, numbers: Iterable[int], *, late: float = 0.0) -> bytes:
        """Packets that come when they have been spoken, and then it is the end of the last."""
        return b"".join(self.hear(sound(n), (n + 1) * PACKET + late) for n in numbers)

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / DECODED_RATE


def told(pcm: bytes | bytearray) -> Iterator[tuple[int | None, int]]:
    """(number of the packet, or None for silence; samples), in order."""
    values = memoryview(pcm).cast("h")
    for value, run in itertools.groupby(values):
        yield (value - 1 if value else None), len(list(run))


def test_rule_1_packets_in_order_are_heard_as_they_are_and_nothing_is_added() -> None:
    ear = Ear()
    assert ear.talk(range(100)) == b"".join(map(sound, range(100)))
    assert ear.stall.even
    assert ear.stall.stalls == 0


def test_rule_1_before_the_first_sound_nothing_is_due() -> None:
    ear = Ear()
    assert ear.stall.deadline is None
    assert ear.stall.poll(1e6) == 0
    assert not ear.stall.ended


def test_rule_1_a_shorter_pause_is_not_filled() -> None:
    ear = Ear()
    ear.talk(range(10))
    ear.wait(10 * PACKET + FIRST - MOMENT)
    assert ear.seconds == pytest.approx(10 * PACKET)
    assert ear.hear(sound(20), 21 * PACKET) == sound(20)


def test_rule_1_silence_comes_all_that_is_missing_at_once_and_then_in_real_time() -> None:
    ear = Ear()
    ear.talk(range(10))
    ear.look(10 * PACKET + FIRST)
    assert ear.seconds == pytest.approx(10 * PACKET + STALL_SECONDS)
    for step in range(1, 50):
        ear.wait(10 * PACKET + FIRST + step * STEP_SECONDS + MOMENT)
        assert ear.seconds == pytest.approx(10 * PACKET + STALL_SECONDS + step * STEP_SECONDS)
    assert ear.stall.stalls == 1


def test_rule_1_times_that_are_added_up_lose_no_step() -> None:
    for start in (0.0, 0.1, 1000.0, 123_456.789, 1e6 + 1 / 3):
        stall = Stall()
        stall.hear(sound(0), start)
        given = stall.poll(start + FIRST)
        while not stall.ended:
            assert stall.deadline is not None
            given += stall.poll(stall.deadline)
        assert given == LIMIT_SECONDS * DECODED_RATE
        assert stall.deadline is None


def test_rule_2_after_two_seconds_of_silence_the_stream_ends_once() -> None:
    ear = Ear()
    ear.talk(range(10))
    ear.wait(1000.0)
    assert ear.ends == [pytest.approx(10 * PACKET + PACKET + LIMIT_SECONDS)]
    assert ear.seconds == pytest.approx(10 * PACKET + LIMIT_SECONDS)
    assert ear.stall.deadline is None
    assert ear.stall.poll(2000.0) == 0


@pytest.mark.parametrize("lost", [11, 25, 50, 99])
def test_rule_3_after_a_loss_the_call_goes_on_where_it_would_have_been(lost: int) -> None:
    ear = Ear()
    ear.talk(range(10))
    back = 10 + lost
    ear.wait((back + 1) * PACKET - MOMENT)
    missing = bytes(lost * len(sound(0)))  # what the jitter buffer makes of the hole
    assert ear.hear(missing + sound(back), (back + 1) * PACKET).endswith(sound(back))
    ear.talk(range(back + 1, back + 10))
    assert [*told(ear.pcm)][10:] == [(None, lost * SAMPLES), *((n, SAMPLES) for n in range(back, back + 10))]


@pytest.mark.parametrize("held", [11, 25, 50, 99])
def test_rule_3_what_comes_late_in_a_burst_is_neither_heard_twice_nor_later(held: int) -> None:
    ear = Ear()
    ear.talk(range(10))
    now = (10 + held) * PACKET + MOMENT
    ear.wait(now)
    for n in range(10, 10 + held):
        ear.hear(sound(n), now)
    ear.talk(range(10 + held, 200))
    said = [*told(ear.pcm)]
    stood_in = said[10][1]
    assert said[10][0] is None
    assert (held - 1) * SAMPLES <= stood_in <= held * SAMPLES
    assert sum(samples for _, samples in said) == 200 * SAMPLES
    assert said[-190 + held :] == [(n, SAMPLES) for n in range(10 + held, 200)]


def test_rule_3_sound_is_passed_over_to_the_sample() -> None:
    for odd in (1, 7, SAMPLES - 1):
        ear = Ear()
        ear.talk(range(10))
        ear.look(10 * PACKET + FIRST)
        stood_in = round(STALL_SECONDS * DECODED_RATE)
        now = 10 * PACKET + FIRST + MOMENT
        assert ear.hear(bytes(2 * (stood_in - odd)), now) == b""
        assert ear.hear(sound(30), now) == sound(30)[2 * odd :]
        assert ear.stall.even


def test_rule_3_one_stall_after_the_other_adds_up_to_the_time_that_passed() -> None:
    ear = Ear()
    number = 0
    for _ in range(50):
        ear.talk(range(number, number + 5))
        number += 5 + 17
        ear.wait(number * PACKET)
        ear.hear(bytes(17 * len(sound(0))), number * PACKET + MOMENT)
        assert ear.stall.even
        assert len(ear.pcm) == number * len(sound(0))
    assert ear.stall.stalls == 50
    assert not ear.ends


def test_rule_4_a_new_beginning_stands_where_the_clock_says() -> None:
    for away in (PACKET, 0.15, 0.5, 1.5):
        ear = Ear()
        ear.talk(range(10))
        ear.wait(10 * PACKET + away - MOMENT)
        ear.stall.reset()
        assert ear.hear(sound(700), 10 * PACKET + away).endswith(sound(700))
        assert ear.seconds == pytest.approx(10 * PACKET + away, abs=1 / DECODED_RATE)
        assert ear.stall.even


def test_rule_4_a_new_beginning_that_comes_early_loses_nothing() -> None:
    ear = Ear()
    ear.talk(range(10))
    ear.stall.reset()
    assert ear.hear(sound(700), 10 * PACKET + MOMENT) == sound(700)


def test_rule_5_a_clock_that_stood_still_loses_no_word_and_costs_no_time() -> None:
    for still in (0.25, 0.5, 1.0, 1.9):
        ear = Ear()
        ear.talk(range(10))
        ear.talk(range(10, 60), late=still)
        said = [*told(ear.pcm)]
        assert said[:10] == [(n, SAMPLES) for n in range(10)]
        assert said[10] == (None, round(still * DECODED_RATE))
        assert said[11:] == [(n, SAMPLES) for n in range(10, 60)]
        assert ear.seconds == pytest.approx(60 * PACKET + still)


def test_rule_5_it_takes_a_moment_to_believe_it() -> None:
    ear = Ear()
    ear.talk(range(10))
    assert ear.talk(range(10, 10 + round(DOUBT_SECONDS / PACKET)), late=0.5) == b""
    number = 10 + round(DOUBT_SECONDS / PACKET)
    assert ear.talk([number], late=0.5).endswith(b"".join(map(sound, range(10, number + 1))))


def test_rule_5_a_queue_that_empties_slowly_is_waited_for() -> None:
    ear, pace = Ear(), 1.6
    ear.talk(range(10))
    back = 1.0
    late = [back + n * PACKET / pace for n in range(200)]
    for n, at in enumerate(late, 10):
        ear.hear(sound(n), max(at, (n + 1) * PACKET))
    said = [*told(ear.pcm)]
    assert sum(samples for _, samples in said) == 210 * SAMPLES
    heard = [n for n, samples in said if n is not None and samples == SAMPLES]
    assert heard == [*range(10), *range(heard[10], 210)], "the stretch that silence stood in for, and no other"


def test_rule_6_what_comes_in_a_burst_after_all_is_held_to_the_time_that_passes() -> None:
    ear = Ear()
    ear.talk(range(10))
    ear.talk(range(10, 20), late=1.0)
    assert ear.seconds == pytest.approx(20 * PACKET + 1.0), "believed"
    now = 20 * PACKET + 1.0 + MOMENT
    for n in range(20, 70):
        ear.hear(sound(n), now)
    assert ear.seconds == pytest.approx(now + LEAD_SECONDS, abs=PACKET)
    for n in range(70, 80):
        ear.hear(sound(n), now + MOMENT)
    assert ear.seconds == pytest.approx(80 * PACKET), "as many as the sender's clock has counted, after all"
    assert ear.stall.even


def test_rule_6_after_a_while_it_is_believed_for_good() -> None:
    ear = Ear()
    ear.talk(range(10))
    ear.talk(range(10, 10 + round(WARY_SECONDS / PACKET)), late=0.5)
    assert not ear.stall.even
    ear.talk(range(10 + round(WARY_SECONDS / PACKET), 20 + round(WARY_SECONDS / PACKET)), late=0.5)
    assert ear.stall.even


def ended() -> Ear:
    """Ten packets were heard, and nothing after them."""
    ear = Ear()
    ear.talk(range(10))
    ear.wait(10 * PACKET + 5)
    assert ear.ends
    ear.pcm.clear()
    return ear


def test_rule_7_after_the_end_the_next_packet_is_heard_at_once_and_nothing_is_owed() -> None:
    for late in (0.0, FRESH_SECONDS - PACKET):
        ear = ended()
        first = 260
        now = (first + 1) * PACKET + late
        assert ear.stall.absent(now)
        ear.stall.begin((first - 10) * FRAME_TICKS, now)
        assert ear.hear(sound(first), now) == sound(first)
        assert not ear.stall.absent(now)
        assert not ear.stall.ended
        assert ear.talk(range(first + 1, first + 20), late=late) == b"".join(map(sound, range(first + 1, first + 20)))


def test_rule_7_of_a_burst_after_the_end_only_what_is_fresh_is_heard() -> None:
    ear = ended()
    now = 260 * PACKET
    ear.stall.begin(0, now)
    for n in range(10, 260):
        ear.hear(sound(n), now)
    assert [*told(ear.pcm)] == [(n, SAMPLES) for n in range(260 - round(FRESH_SECONDS / PACKET), 260)]
    assert ear.talk(range(260, 270)) == b"".join(map(sound, range(260, 270)))


def test_rule_7_a_clock_that_stood_still_until_after_the_end_loses_no_word() -> None:
    ear = ended()
    ear.stall.begin(0, 11 * PACKET + 60)
    ear.talk(range(10, 40), late=60.0)
    assert [*told(ear.pcm)] == [(n, SAMPLES) for n in range(10, 40)]


@pytest.mark.parametrize("gap", [None, -MAX_BACK_TICKS - 1, 3600 * TICKS_PER_SECOND])
def test_rule_7_a_packet_that_no_clock_places_is_heard_at_once(gap: int | None) -> None:
    ear = ended()
    ear.stall.begin(gap, 10.0)
    assert ear.hear(sound(1), 10.0) == sound(1)


def test_rule_7_a_burst_of_old_packets_alone_is_no_new_stream() -> None:
    ear = ended()
    ear.stall.begin(0, 6.0)
    assert b"".join(ear.hear(sound(n), 6.0) for n in range(10, 60)) == b""
    assert ear.stall.ended
    assert ear.stall.deadline is None
    assert ear.stall.absent(7.0), "what comes then is looked at anew"
    ear.stall.begin(0, 7.0)
    assert b"".join(ear.hear(sound(n), 7.0) for n in range(60, 300)) == b"", "they too were behind time before"
    ear.stall.begin(0, 8.0)
    assert [n for n, _ in told(b"".join(ear.hear(sound(n), 8.0) for n in range(300, 400)))] == [*range(385, 400)]


def test_rule_7_a_second_stall_ends_the_new_stream_as_the_first() -> None:
    ear = ended()
    ear.stall.begin(None, 10.0)
    ear.hear(sound(1), 10.0)
    ear.wait(100.0)
    assert ear.ends[1:] == [pytest.approx(10.0 + PACKET + LIMIT_SECONDS)]
    assert ear.seconds == pytest.approx(PACKET + LIMIT_SECONDS)


def test_rule_8_a_look_that_is_late_looks_again_before_it_says_anything() -> None:
    ear = Ear()
    ear.talk(range(10))
    woke = 10 * PACKET + 1.0
    assert ear.stall.poll(woke) == 0
    assert ear.stall.deadline == pytest.approx(woke + LOOK_AGAIN_SECONDS)
    for n in range(10, 60):
        assert ear.hear(sound(n), woke + MOMENT) == sound(n), "they had come in time"
    assert ear.stall.stalls == 0


def test_rule_8_the_second_look_counts_however_late_it_is() -> None:
    ear = Ear()
    ear.talk(range(10))
    ear.look(10 * PACKET + 0.5)
    ear.look(10 * PACKET + 1.0)
    assert ear.seconds == pytest.approx(10 * PACKET + 1.0 - PACKET)
    on_time = ear.stall.deadline
    assert on_time is not None
    ear.look(on_time + LATE_LOOK_SECONDS)
    assert ear.seconds == pytest.approx(10 * PACKET + 1.0 + STEP_SECONDS)


def test_the_microphone_switched_off_owes_nothing_and_awaits_nothing() -> None:
    for moment in (0.1, 0.5, 5.0):
        ear = Ear()
        ear.talk(range(10))
        ear.wait(moment)
        ear.stall.restart()
        assert ear.stall.deadline is None
        assert not ear.stall.ended
        assert ear.hear(sound(7), 100.0) == sound(7)


@pytest.mark.parametrize("parts", [100e-6, -100e-6])
def test_the_drift_of_a_clock_is_not_added_up_in_an_hour_of_stalls(parts: float) -> None:
    stall, heard = Stall(), 0

    def packets(first: int, after: int, late: float = 0.0) -> int:
        return sum(len(stall.hear(sound(0), n * PACKET * (1 + parts) + late)) // 2 for n in range(first, after))

    whole_hour, every = round(3600 / PACKET), 3000
    for first in range(0, whole_hour, every):
        heard += packets(first, first + every - 50)
        back = (first + every) * PACKET * (1 + parts)
        while (due := stall.deadline) is not None and due < back - PACKET:
            heard += stall.poll(due)
        heard += sum(len(stall.hear(sound(0), back)) // 2 for _ in range(50))
        assert heard == (first + every) * SAMPLES
    assert stall.stalls == whole_hour // every


events = st.one_of(
    st.tuples(st.just("hear"), st.integers(0, 4000)),
    st.tuples(st.just("poll"), st.just(0)),
    st.tuples(st.just("reset"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("begin"), st.one_of(st.none(), st.integers(-(1 << 31), (1 << 31) - 1))),
)
waits = st.one_of(st.just(0.0), st.floats(0.0, 0.1), st.floats(0.1, 4.0), st.floats(4.0, 1e5))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(waits, events), max_size=60))
def test_in_no_order_of_events_does_it_say_more_than_it_heard_and_was_silent_for(
    order: list[tuple[float, tuple[str, int | None]]],
) -> None:
    stall, now, given_out, heard = Stall(), 1000.0, 0, 0
    for wait, (event, amount) in order:
        now += wait
        match event, amount:
            case "hear", int(samples):
                heard += samples
                got = stall.hear(b"\1\0" * samples, now)
                assert len(got) % 2 == 0
                given_out += len(got) // 2
            case "poll", _:
                silence = stall.poll(now)
                assert 0 <= silence <= LIMIT_SECONDS * DECODED_RATE
                given_out += silence
            case "begin", gap:
                if stall.absent(now):
                    stall.begin(gap, now)
            case name, _:
                getattr(stall, name)()
        assert stall.deadline is None or not stall.ended
        assert given_out <= heard + (now - 1000.0) * DECODED_RATE + 1
