"""When somebody speaks, and what of it is written down when."""

from itertools import pairwise
from typing import Final

import pytest

from relay.standin.ears import QUIET_DB
from relay.standin.listening import (
    BREATH,
    DRAFT_MS,
    LEAD,
    MAX_PIECE_S,
    MAX_TURN_S,
    ONSET,
    PARTIAL_MS,
    PARTIAL_SHARE,
    PIECE_S,
    PLAYING_GATE_DB,
    PLAYING_ONSET,
    PREROLL,
    RATE,
    SILENCE_MS,
    WINDOW_BYTES,
    WINDOW_MS,
    Draft,
    End,
    Event,
    Listening,
    Onset,
    Partial,
    Piece,
    Resumed,
)
from tests.sound import tone

NOTHING: Final = bytes(WINDOW_BYTES)
LOUD_DB: Final = -15.0  # of what we play


def sound(dbfs: float = -20.0, hz: float = 1000.0) -> bytes:
    """One window of something at this level."""
    return tone(hz, WINDOW_MS / 1000, RATE, dbfs).pcm


VOICE: Final = sound()


class Room:
    """A call in which whatever is louder than silence is a voice, unless a test says otherwise."""

    def __init__(self, probability: float = 0.9, silence_ms: int = SILENCE_MS) -> None:
        self.probability = probability
        self.asked = 0
        self.listening = Listening(self._judge, silence_ms)

    def _judge(self, pcm: bytes) -> float:
        assert len(pcm) == WINDOW_BYTES
        self.asked += 1
        return self.probability

    def hear(self, window: bytes, windows: int = 1, echo_db: float = QUIET_DB) -> list[Event]:
        return self.listening.hear(window * windows, echo_db)


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


def windows(ms: float) -> int:
    return -(-int(ms) // WINDOW_MS)


def test_silence_is_not_even_judged() -> None:
    room = Room()
    assert room.hear(NOTHING, 100) == []
    assert room.asked == 0


def test_two_windows_of_voice_are_an_onset_and_what_came_before_is_not_lost() -> None:
    room = Room()
    room.hear(NOTHING, 20)
    (onset,) = room.hear(VOICE, ONSET)
    assert isinstance(onset, Onset)
    assert onset.at == pytest.approx(20 * WINDOW_MS / 1000)
    assert room.listening.speaking
    (end,) = room.listening.finish()
    assert isinstance(end, End)
    assert end.pcm == NOTHING * LEAD + VOICE * ONSET


def test_a_voice_that_had_to_outlast_ours_is_kept_from_its_first_word() -> None:
    room = Room()
    room.hear(NOTHING, 20, -20.0)
    room.hear(sound(-45.0), 5, -20.0)  # too soft to interrupt us
    (onset,) = room.hear(VOICE, PLAYING_ONSET, -20.0)
    assert isinstance(onset, Onset)
    (end,) = room.listening.finish()
    assert isinstance(end, End)
    assert end.pcm == (NOTHING * LEAD + sound(-45.0) * 5 + VOICE * PLAYING_ONSET)[-PREROLL * WINDOW_BYTES :]


def test_one_window_is_no_onset() -> None:
    room = Room()
    assert room.hear(VOICE + NOTHING * 20 + VOICE + NOTHING * 20) == []


def test_what_is_loud_and_no_voice_begins_nothing() -> None:
    room = Room(probability=0.3)
    assert room.hear(VOICE, 300) == []


def test_the_pieces_in_which_sound_comes_do_not_matter() -> None:
    whole, split = Room(), Room()
    said = NOTHING * 5 + VOICE * 30 + NOTHING * 30
    at_once = whole.hear(said)
    bit_by_bit = [event for i in range(0, len(said), 642) for event in split.hear(said[i : i + 642])]
    assert at_once == bit_by_bit


def test_a_partial_is_due_every_half_second() -> None:
    room = Room()
    events = room.hear(VOICE, windows(2200) + ONSET)
    assert kinds(events) == [Onset] + [Partial] * 4
    times = [event.at for event in events[1:]]
    assert all(PARTIAL_MS <= 1000 * (b - a) <= PARTIAL_MS + WINDOW_MS for a, b in pairwise(times))
    lengths = [len(event.pcm) for event in events if isinstance(event, Partial)]
    assert lengths == sorted(set(lengths))


def test_the_first_partial_is_due_half_a_second_after_the_onset() -> None:
    room = Room()
    onset, partial, *_ = room.hear(VOICE, 40)
    assert partial.at - onset.at <= 0.7


def test_partials_of_a_long_part_come_less_often() -> None:
    room = Room()
    partials = [event.at for event in room.hear(VOICE, windows(1000 * MAX_PIECE_S)) if isinstance(event, Partial)]
    assert partials[-1] - partials[-2] >= PARTIAL_SHARE * (partials[-2] - 1)


def test_a_draft_comes_with_a_little_silence_and_the_end_with_more() -> None:
    room = Room()
    room.hear(VOICE, 15)
    begun = room.listening.at
    draft, end = room.hear(NOTHING, windows(SILENCE_MS))
    assert isinstance(draft, Draft)
    assert isinstance(end, End)
    assert DRAFT_MS <= 1000 * (draft.at - begun) < DRAFT_MS + WINDOW_MS
    assert SILENCE_MS - WINDOW_MS < 1000 * (end.at - begun) <= SILENCE_MS
    assert end.drafted
    assert end.pcm.startswith(draft.pcm)
    assert not room.listening.speaking


def test_a_draft_is_void_when_speech_goes_on() -> None:
    room = Room()
    room.hear(VOICE, 15)
    events = room.hear(NOTHING * windows(300) + VOICE * 10)
    assert kinds(events)[:2] == [Draft, Resumed]
    assert kinds(room.hear(NOTHING, 30)) == [Draft, End]


def test_no_partial_is_asked_for_while_a_draft_stands() -> None:
    room = Room(silence_ms=3000)
    room.hear(VOICE, 15)
    assert kinds(room.hear(NOTHING, windows(2900))) == [Draft]


def test_a_client_that_wants_a_quick_end_has_it_without_a_draft() -> None:
    room = Room(silence_ms=100)
    room.hear(VOICE, 15)
    (end,) = room.hear(NOTHING, 4)
    assert isinstance(end, End)
    assert not end.drafted


def test_a_stream_that_pauses_ends_the_turn() -> None:
    room = Room()
    room.hear(VOICE, 10)
    assert kinds(room.listening.finish()) == [End]
    assert room.listening.finish() == []


def test_turns_follow_one_another() -> None:
    room = Room()
    events = room.hear((VOICE * 12 + NOTHING * 40) * 3)
    assert kinds(events) == [Onset, Draft, End] * 3


def test_a_long_turn_is_cut_at_its_little_pauses() -> None:
    room = Room()
    events = room.hear((VOICE * 60 + NOTHING * BREATH) * 10)
    pieces = [event for event in events if isinstance(event, Piece)]
    assert pieces
    assert all(PIECE_S <= len(piece.pcm) / 2 / RATE < MAX_PIECE_S for piece in pieces)
    assert all(piece.pcm.endswith(NOTHING * BREATH) for piece in pieces)
    assert End not in kinds(events)


def test_ten_minutes_without_a_pause_are_written_down_in_bounded_parts_and_nothing_is_lost() -> None:
    room = Room()
    said = bytearray()
    kept = 0
    minute = VOICE * (windows(60_000) + 1)
    ended = False
    for _ in range(int(MAX_TURN_S // 60)):
        for event in room.hear(minute):
            if isinstance(event, Piece | End):
                said += event.pcm
            if isinstance(event, Partial | Piece | Draft | End):
                kept = max(kept, len(event.pcm))
            ended = ended or isinstance(event, End)
    assert ended
    assert kept <= (MAX_PIECE_S * 1000 + WINDOW_MS) * RATE * 2 / 1000
    assert len(said) >= (MAX_TURN_S - 1) * RATE * 2


def test_a_voice_must_be_louder_than_the_room() -> None:
    room = Room(probability=0.0)
    room.hear(sound(-40.0), windows(8000))
    room.probability = 0.9
    assert room.hear(sound(-36.0), 20) == []
    assert kinds(room.hear(sound(-25.0), 5)) == [Onset]


def test_a_voice_louder_than_any_room_is_always_heard() -> None:
    room = Room(probability=0.0)
    room.hear(sound(-20.0), windows(8000))
    room.probability = 0.9
    assert kinds(room.hear(sound(-20.0), 5)) == [Onset]


def test_a_quiet_voice_is_heard_in_a_quiet_room() -> None:
    assert kinds(Room().hear(sound(-50.0), 5)) == [Onset]


def test_while_we_speak_what_is_as_quiet_as_our_echo_interrupts_nobody() -> None:
    room = Room()
    assert room.hear(sound(PLAYING_GATE_DB), windows(10_000), LOUD_DB) == []


def test_while_we_speak_a_voice_interrupts_after_a_moment_more() -> None:
    room = Room()
    assert room.hear(VOICE, PLAYING_ONSET - 1, LOUD_DB) == []
    assert kinds(room.hear(VOICE, 1, LOUD_DB)) == [Onset]


def test_an_echo_that_was_taken_for_a_voice_is_not_so_again() -> None:
    room = Room()
    echo = sound(-32.0)
    assert Onset in kinds(room.hear(echo, 8, LOUD_DB))
    room.hear(NOTHING, 40)
    assert room.hear(echo, 40, LOUD_DB) == []


def test_a_voice_that_outlives_our_sound_was_none_of_ours() -> None:
    room = Room()
    voice = sound(-32.0)
    room.hear(voice, 8, LOUD_DB)
    room.hear(voice, 8)
    room.hear(NOTHING, 40)
    assert Onset in kinds(room.hear(voice, 8, LOUD_DB))


@pytest.mark.parametrize("odd", [b"", b"\0", b"\xff" * 3])
def test_odd_amounts_of_sound_harm_nothing(odd: bytes) -> None:
    assert Room().hear(odd) == []
