"""The ears of the tests: a sentence is recognised through delay, level, rate and a little damage, another is not."""

import random
from array import array
from pathlib import Path

import pytest

from tests.sound import Sound, compare, read_wav, silence, tone, write_wav

SENTENCE = read_wav(Path(__file__).parent / "sounds" / "weather.wav")


def backwards(sound: Sound) -> Sound:
    """As loud and as voiced as speech, and a different sentence."""
    return Sound(sound.samples[::-1].tobytes(), sound.rate)


def test_a_sentence_is_found_where_it_begins() -> None:
    recording = Sound(silence(1.5, 16000).pcm + SENTENCE.pcm + silence(1, 16000).pcm, 16000)
    likeness = compare(SENTENCE, recording)
    assert likeness.same
    assert likeness.waveform > 0.99
    assert likeness.lag == pytest.approx(1.5, abs=0.001)


def test_another_rate_a_lower_level_and_noise_do_not_hide_a_sentence() -> None:
    rng = random.Random(1)
    quieter = array("h", (value // 3 + rng.randrange(-60, 61) for value in SENTENCE.at(24000).samples))
    assert compare(SENTENCE, Sound(quieter.tobytes(), 24000)).same


def test_a_late_start_of_the_recording_does_not_hide_a_sentence() -> None:
    assert compare(SENTENCE.part(0.9), SENTENCE.part(1.0)).same


def test_forty_missing_milliseconds_do_not_hide_a_sentence() -> None:
    damaged = Sound(SENTENCE.part(0, 1.8).pcm + SENTENCE.part(1.84).pcm, 16000)
    assert compare(SENTENCE, damaged).same


@pytest.mark.parametrize("name", ["backwards", "silence", "tone", "its first syllable"])
def test_something_else_is_not_the_sentence(name: str) -> None:
    others = {
        "backwards": backwards(SENTENCE),
        "silence": silence(5, 16000),
        "tone": tone(440, 5, 16000),
        "its first syllable": SENTENCE.part(0, 1.3),
    }
    assert not compare(SENTENCE, others[name]).same


def test_levels_and_spoken_time_are_those_of_a_known_tone(tmp_path: Path) -> None:
    sound = Sound(silence(0.5, 8000).pcm + tone(1000, 1.0, 8000, level=-20).pcm, 8000)
    write_wav(tmp_path / "tone.wav", sound)
    assert read_wav(tmp_path / "tone.wav") == sound
    assert sound.part(0.5).level() == pytest.approx(-20, abs=0.1)
    assert sound.spoken() == pytest.approx(1.0)
    assert sound.at(48000).seconds == pytest.approx(1.5)
