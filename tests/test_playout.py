"""The playout queue: what goes in comes out, in frames; an interruption is quick and does not click."""

from array import array
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio.packet import ENCODED_RATE, FRAME_BYTES
from relay.audio.playout import FADE_SAMPLES, FRAME_SAMPLES, MAX_FRAMES, REBUFFER_FRAMES, Playout


def loud(samples: int, value: int = 10_000) -> bytes:
    return array("h", [value] * samples).tobytes()


def counting(samples: int) -> bytes:
    """Samples that are all different, so that a lost or moved one shows."""
    return array("h", (i % 60_000 - 30_000 for i in range(samples))).tobytes()


def drained(playout: Playout) -> bytes:
    frames = []
    while (frame := playout.next()) is not None:
        assert len(frame) == FRAME_BYTES
        frames.append(frame)
    return b"".join(frames)


def test_nothing_comes_out_of_an_empty_queue() -> None:
    playout = Playout()
    assert playout.next() is None
    assert playout.flush() == 0.0
    assert playout.next() is None
    playout.end()
    assert playout.next() is None
    assert playout.position == playout.received == 0


def test_a_whole_frame_is_playable_at_once() -> None:
    playout = Playout()
    playout.put(counting(FRAME_SAMPLES))
    assert playout.next() == counting(FRAME_SAMPLES)
    assert playout.next() is None


def test_an_incomplete_frame_waits_for_its_rest() -> None:
    playout = Playout()
    sound = counting(FRAME_SAMPLES)
    playout.put(sound[:100])
    assert playout.next() is None
    playout.put(sound[100:])
    assert playout.next() == sound


def test_the_end_of_a_turn_fills_the_last_frame_with_silence() -> None:
    playout = Playout()
    playout.put(counting(FRAME_SAMPLES + 10))
    playout.end()
    assert drained(playout) == counting(FRAME_SAMPLES + 10) + bytes(FRAME_BYTES - 20)
    assert (playout.position, playout.skipped) == (playout.received, 0) == (FRAME_SAMPLES + 10, 0)


def test_sound_after_the_end_continues_the_tail_that_was_not_played_yet() -> None:
    playout = Playout()
    sound = counting(FRAME_SAMPLES)
    playout.put(sound[:100])
    playout.end()
    playout.put(sound[100:])
    assert drained(playout) == sound


def test_half_a_sample_at_the_end_of_a_turn_does_not_spoil_the_next_turn() -> None:
    playout = Playout()
    playout.put(counting(10) + b"\x7f")
    playout.end()
    assert drained(playout)[:20] == counting(10)
    playout.put(counting(FRAME_SAMPLES))
    assert playout.next() == counting(FRAME_SAMPLES)


def test_a_flush_leaves_one_frame_that_fades_out() -> None:
    playout = Playout()
    playout.put(loud(ENCODED_RATE))
    playout.next()
    playout.flush()
    last = array("h", playout.next() or b"")
    assert len(last) == FRAME_SAMPLES
    assert last[0] > 9_900, "the fade begins where the sound was"
    assert all(0 <= before - after < 200 for before, after in pairwise(last)), "no step, no click"
    assert not any(last[FADE_SAMPLES - 1 :])
    assert playout.next() is None


def test_a_flush_fades_the_little_that_is_there() -> None:
    for samples in range(1, FADE_SAMPLES + 2):
        playout = Playout()
        playout.put(loud(samples))
        playout.flush()
        last = array("h", playout.next() or b"")
        assert len(last) == FRAME_SAMPLES
        assert not any(last[samples - 1 :])
        assert playout.next() is None
        assert playout.position == playout.received == samples


def test_a_flush_says_how_much_was_never_heard() -> None:
    playout = Playout()
    playout.put(loud(ENCODED_RATE))
    for _ in range(10):
        playout.next()
    assert playout.flush() == (ENCODED_RATE - 10 * FRAME_SAMPLES - FADE_SAMPLES) / ENCODED_RATE
    assert playout.position - playout.skipped == 10 * FRAME_SAMPLES + FADE_SAMPLES
    assert playout.queued == 0.0


def test_in_an_underrun_nothing_sounds_so_nothing_has_to_fade() -> None:
    playout = Playout()
    playout.put(loud(FRAME_SAMPLES))
    playout.next()
    assert playout.next() is None
    playout.put(loud(2 * FRAME_SAMPLES))
    assert playout.flush() == 2 * FRAME_SAMPLES / ENCODED_RATE
    assert playout.next() is None
    assert not playout.playing


def test_a_second_flush_keeps_the_first_ones_fade() -> None:
    playout = Playout()
    playout.put(loud(ENCODED_RATE))
    playout.flush()
    playout.put(loud(ENCODED_RATE, 5_000))
    assert playout.flush() == 1.0
    assert array("h", playout.next() or b"")[0] > 9_900
    assert playout.next() is None


def test_what_comes_after_a_flush_is_played_after_the_fade() -> None:
    playout = Playout()
    playout.put(loud(ENCODED_RATE))
    playout.flush()
    playout.put(counting(FRAME_SAMPLES))
    playout.next()
    assert playout.next() == counting(FRAME_SAMPLES)


def test_a_turn_is_an_interval_of_the_counters() -> None:
    playout = Playout()
    playout.put(loud(3 * FRAME_SAMPLES))
    second_turn = playout.received
    playout.put(loud(3 * FRAME_SAMPLES))
    for _ in range(4):
        playout.next()
    assert playout.position - second_turn == FRAME_SAMPLES
    assert playout.queued == 2 * FRAME_SAMPLES / ENCODED_RATE


def test_over_five_minutes_the_newest_sound_is_dropped_and_counted() -> None:
    playout = Playout()
    assert playout.put(counting(FRAME_SAMPLES)) == 0
    assert playout.put(bytes(MAX_FRAMES * FRAME_BYTES)) == FRAME_SAMPLES
    assert playout.put(loud(7)) == 7
    assert playout.dropped == FRAME_SAMPLES + 7
    assert playout.queued == MAX_FRAMES * FRAME_SAMPLES / ENCODED_RATE
    assert playout.next() == counting(FRAME_SAMPLES)
    assert playout.put(loud(FRAME_SAMPLES)) == 0


def test_a_turn_that_runs_dry_is_silent_until_some_frames_are_there_again() -> None:
    playout = Playout()
    playout.put(counting(FRAME_SAMPLES))
    assert playout.next() is not None
    assert [playout.next() for _ in range(5)] == [None] * 5
    assert playout.playing
    assert playout.underruns == 1
    playout.put(loud((REBUFFER_FRAMES - 1) * FRAME_SAMPLES))
    assert playout.next() is None
    playout.put(loud(FRAME_SAMPLES))
    assert len(drained(playout)) == REBUFFER_FRAMES * FRAME_BYTES
    assert playout.underruns == 2


def test_a_frame_after_an_underrun_is_heard_in_the_end_even_if_no_other_comes() -> None:
    playout = Playout()
    playout.put(counting(FRAME_SAMPLES))
    playout.next()
    assert [playout.next() for _ in range(50)] == [None] * 50
    playout.put(loud(FRAME_SAMPLES))
    assert [playout.next() for _ in range(REBUFFER_FRAMES - 1)] == [None] * (REBUFFER_FRAMES - 1)
    assert playout.next() == loud(FRAME_SAMPLES)


def test_a_turn_that_ran_dry_and_then_ended_gives_out_what_is_left() -> None:
    playout = Playout()
    playout.put(counting(FRAME_SAMPLES))
    playout.next()
    assert playout.next() is None
    playout.put(loud(FRAME_SAMPLES + 5))
    assert playout.next() is None
    playout.end()
    assert len(drained(playout)) == 2 * FRAME_BYTES
    assert not playout.playing
    assert playout.underruns == 1


def test_a_turn_is_playing_from_its_first_frame_to_its_last() -> None:
    playout = Playout()
    playout.put(loud(5))
    assert playout.next() is None
    assert not playout.playing
    playout.put(loud(FRAME_SAMPLES))
    playout.end()
    assert playout.next() is not None
    assert playout.playing
    assert playout.next() is not None
    assert playout.playing
    assert playout.next() is None
    assert not playout.playing
    assert playout.underruns == 0


@settings(max_examples=60)
@given(st.binary(max_size=6 * FRAME_BYTES), st.lists(st.integers(0, 2 * FRAME_BYTES)), st.booleans())
def test_every_sample_comes_out_once_and_in_order_however_it_was_cut(
    sound: bytes, cuts: list[int], play_between: bool
) -> None:
    playout = Playout()
    played, rest = b"", sound
    for cut in cuts:
        playout.put(rest[:cut])
        rest = rest[cut:]
        if play_between:
            played += playout.next() or b""
    playout.put(rest)
    playout.end()
    played += drained(playout)
    whole = len(sound) - len(sound) % 2
    assert played[:whole] == sound[:whole]
    assert not any(played[whole:])
    assert len(played) - whole < FRAME_BYTES
    assert (playout.position, playout.skipped) == (playout.received, 0) == (whole // 2, 0)


@settings(max_examples=60)
@given(st.lists(st.one_of(st.integers(0, 3000), st.sampled_from(["next", "end", "flush"])), max_size=40))
def test_whatever_happens_the_counters_add_up(happenings: list[int | str]) -> None:
    playout = Playout()
    put = 0
    for happening in happenings:
        before = playout.position
        match happening:
            case "next":
                frame = playout.next()
                assert frame is None or len(frame) == FRAME_BYTES
            case "end":
                playout.end()
            case "flush":
                playout.flush()
                assert playout.queued == 0.0
            case int(samples):
                put += samples
                playout.put(loud(samples))
        assert before <= playout.position <= playout.received == put
