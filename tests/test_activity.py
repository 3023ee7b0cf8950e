"""Somebody speaks, somebody stops; a fan, a click and a mute button are none of that."""

import random
from array import array
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio.activity import (
    END_OVER_FLOOR,
    END_SECONDS,
    FLOOR_RISE,
    GATE_DBFS,
    ONSET_OVER_FLOOR,
    ONSET_SECONDS,
    SILENT_DBFS,
    Activity,
    Edge,
    level,
)
from relay.audio.packet import DECODED_RATE
from tests.sound import Sound, read_wav, silence, tone

FRAME: Final = 0.020
WEATHER: Final = read_wav(Path(__file__).parent / "sounds" / "weather.wav")


def noise(dbfs: float, seconds: float, seed: int = 1) -> Sound:
    rng = random.Random(seed)
    spread = 32768 * 10 ** (dbfs / 20)
    samples = (max(-32768, min(32767, round(rng.gauss(0, spread)))) for _ in range(round(seconds * DECODED_RATE)))
    return Sound(array("h", samples).tobytes(), DECODED_RATE)


def hear(activity: Activity, *sounds: Sound, start: float = 0.0, frame: float = FRAME) -> list[Edge]:
    pcm = b"".join(sound.pcm for sound in sounds)
    size = 2 * round(frame * DECODED_RATE)
    edges = []
    for i in range(0, len(pcm), size):
        start += len(pcm[i : i + size]) / 2 / DECODED_RATE
        if edge := activity.feed(pcm[i : i + size], start):
            edges.append(edge)
    return edges


def mixed(one: Sound, other: Sound) -> Sound:
    pairs = zip(one.samples, other.samples, strict=False)
    return Sound(array("h", (max(-32768, min(32767, a + b)) for a, b in pairs)).tobytes(), one.rate)


@pytest.mark.parametrize("dbfs", [-60.0, -30.0, -12.0, -3.1])
def test_the_level_is_the_rms_in_dbfs(dbfs: float) -> None:
    assert level(tone(440.0, 0.5, DECODED_RATE, dbfs).pcm) == pytest.approx(dbfs, abs=0.1)


def test_the_level_has_ends() -> None:
    assert level(b"") == level(b"\x01") == level(bytes(640)) == SILENT_DBFS
    assert level(b"\x00\x80" * 320) == 0.0
    assert level(b"\x01\x00" + bytes(100_000)) == SILENT_DBFS


@pytest.mark.parametrize("frame", [0.010, 0.020, 0.060])
def test_one_sentence_is_one_onset_and_one_end(frame: float) -> None:
    activity = Activity()
    edges = hear(activity, WEATHER, silence(1.0, DECODED_RATE), frame=frame)
    assert [edge.speaking for edge in edges] == [True, False]
    assert not activity.speaking
    loud = [i * 0.01 for i, rms in enumerate(WEATHER.levels()) if rms > 32768 * 10 ** (GATE_DBFS / 20)]
    assert edges[0].at == pytest.approx(loud[0], abs=0.15)
    assert edges[1].at == pytest.approx(loud[-1], abs=0.15)


def test_the_onset_is_told_60_ms_after_it_happened_and_the_end_half_a_second_after() -> None:
    activity = Activity()
    hear(activity, noise(-65.0, 1.0))
    frame = tone(440.0, FRAME, DECODED_RATE).pcm
    told = [activity.feed(frame, 1.0 + (i + 1) * FRAME) for i in range(3)]
    assert told[:2] == [None, None]
    assert told[2] is not None
    assert told[2].speaking
    assert told[2].at == pytest.approx(1.0)
    assert activity.feed(bytes(640), 1.06 + END_SECONDS - 0.001) is None
    assert activity.feed(bytes(640), 1.06 + END_SECONDS) == Edge(False, 1.06)


def test_a_click_is_no_onset() -> None:
    click = tone(2000.0, ONSET_SECONDS - FRAME, DECODED_RATE, level=-6.0)
    quiet = noise(-65.0, 0.3)
    assert hear(Activity(), quiet, click, quiet, click, quiet, click, quiet) == []


def test_the_pauses_of_a_sentence_do_not_end_it() -> None:
    word, pause = tone(300.0, 0.2, DECODED_RATE), noise(-65.0, END_SECONDS - 2 * FRAME)
    assert [edge.speaking for edge in hear(Activity(), pause, word, pause, word, pause, word)] == [True]


def test_a_quiet_room_is_not_speech_and_nor_is_what_lies_under_the_gate() -> None:
    assert hear(Activity(), noise(-70.0, 1.0), noise(GATE_DBFS - 2, 3.0)) == []


def test_a_fan_becomes_the_floor_and_speech_over_it_is_heard() -> None:
    activity = Activity()
    fan = noise(-40.0, (60.0 - 40.0) / FLOOR_RISE + 2.0)
    edges = hear(activity, fan)
    assert [edge.speaking for edge in edges] == [True, False]
    over = mixed(WEATHER, noise(-40.0, WEATHER.seconds, seed=2))
    edges = hear(activity, over, start=fan.seconds)
    assert [edge.speaking for edge in edges] == [True, False]


def test_a_muted_microphone_does_not_make_the_room_loud_afterwards() -> None:
    activity = Activity()
    fan = noise(-40.0, 10.0)
    hear(activity, fan)
    assert hear(activity, silence(60.0, DECODED_RATE), fan.part(0.0, 2.0), start=10.0) == []


def test_what_is_too_quiet_to_begin_a_speech_is_loud_enough_to_continue_it() -> None:
    room = noise(-44.0, 8.0)
    murmur = tone(300.0, 0.8, DECODED_RATE, level=-44.0 + (ONSET_OVER_FLOOR + END_OVER_FLOOR) / 2)
    murmuring, speaking = Activity(), Activity()
    hear(murmuring, room)
    hear(speaking, room)
    assert hear(murmuring, murmur, start=8.0) == []
    word = tone(300.0, 0.2, DECODED_RATE)
    assert [edge.speaking for edge in hear(speaking, word, murmur, start=8.0)] == [True]


def test_twenty_seconds_without_a_breath_are_one_speech() -> None:
    activity = Activity()
    syllables = [tone(250.0, 0.16, DECODED_RATE, -20.0), noise(-50.0, 0.06)] * 90
    assert [edge.speaking for edge in hear(activity, noise(-65.0, 0.5), *syllables)] == [True]


def test_when_no_sound_arrives_any_more_time_alone_ends_the_speech() -> None:
    activity = Activity()
    hear(activity, tone(440.0, 0.5, DECODED_RATE))
    assert activity.speaking
    assert activity.feed(b"", 0.5 + END_SECONDS - 0.01) is None
    edge = activity.feed(b"", 0.5 + END_SECONDS + 0.01)
    assert edge is not None
    assert not edge.speaking
    assert edge.at == pytest.approx(0.5)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=700), st.floats(0.0, 1.0)), max_size=50))
def test_whatever_is_fed_onsets_and_ends_alternate(pieces: list[tuple[bytes, float]]) -> None:
    activity = Activity()
    now, speaking = 0.0, False
    for pcm, wait in pieces:
        now += wait
        edge = activity.feed(pcm, now)
        assert SILENT_DBFS <= level(pcm) <= 0.0
        if edge is not None:
            assert edge.speaking is not speaking
            assert edge.at <= now
            speaking = edge.speaking
        assert activity.speaking is speaking
