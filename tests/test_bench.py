"""The bench tells the truth: its figures from stamps whose answer is known."""

import random
from typing import Any

import pytest

from bench import report, speech, stamps
from bench.report import Row
from bench.stamps import Got
from tests.sound import Sound, silence

MS = 1_000_000  # nanoseconds


@pytest.fixture(scope="module")
def sentence() -> Sound:
    return speech.sentence(speech.UPLINK_RATE)


def a_call(
    sentence: Sound, *, ahead: float, delay_ms: int, packets: int, frame_ms: int = 20
) -> tuple[list[int], dict[str, Any]]:
    """A call whose talk repeats `sentence`, which the model hears `delay_ms` later.

    Its sound is preceded by `ahead` seconds of silence, or lacks as many of its first if that is negative.
    """
    sent = [n * 20 * MS for n in range(packets)]
    spoken = (sentence.pcm * (1 + packets * 640 // len(sentence.pcm)))[: packets * 640]
    pcm = silence(ahead, 16000).pcm + spoken if ahead >= 0 else spoken[2 * round(-ahead * 16000) :]
    frames, size = [], 32 * frame_ms
    for end in range(size, len(pcm) + 1, size):
        last = (end // 640) - 1 - round(ahead / 0.02)  # the packet whose sound the frame's last sample is
        frames.append((sent[max(0, last)] + delay_ms * MS, size // 2))
    return sent, {"frames": frames, "levels": Sound(pcm, 16000).levels(stamps.STEP)}


@pytest.mark.parametrize("ahead", [0.0, 0.4, -0.2], ids=["as it is", "after silence", "its start missing"])
def test_the_uplink_delay_is_found_whatever_came_before(sentence: Sound, ahead: float) -> None:
    sent, heard = a_call(sentence, ahead=ahead, delay_ms=3, packets=400)
    up = stamps.uplink(sent, heard, sentence.levels(stamps.STEP))
    assert set(up.frames) == {3.0}
    assert up.missing == max(0, round(-ahead / 0.02))
    assert up.drift == 0


def test_batching_shows_in_the_delay_of_packets_and_not_of_frames(sentence: Sound) -> None:
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=3, packets=400, frame_ms=40)
    up = stamps.uplink(sent, heard, sentence.levels(stamps.STEP))
    assert set(up.frames) == {3.0}
    assert {delay for _, delay in up.packets} == {3.0, 23.0}


def test_sound_lost_on_the_way_shows_as_drift(sentence: Sound) -> None:
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=3, packets=500)
    steps = round(0.02 / stamps.STEP)
    del heard["levels"][200 * steps : 203 * steps]
    assert stamps.uplink(sent, heard, sentence.levels(stamps.STEP)).drift == -3


def test_a_model_that_heard_something_else_is_an_error(sentence: Sound) -> None:
    rng = random.Random(1)
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=3, packets=400)
    heard["levels"] = [rng.random() for _ in heard["levels"]]
    with pytest.raises(RuntimeError, match="did not hear"):
        stamps.uplink(sent, heard, sentence.levels(stamps.STEP))


def test_an_onset_is_the_first_loud_packet_after_the_turn_began() -> None:
    packets = [(0, 1, 0, 3), (9 * MS, 2, 0, 120), (20 * MS, 3, 0, 3), (32 * MS, 4, 1, 150), (52 * MS, 5, 0, 150)]
    got = [Got(*packet) for packet in packets]
    assert stamps.onset_delays([8 * MS, 30 * MS], got) == [1.0, 2.0]


def test_missing_sequence_numbers_are_counted_over_the_wrap() -> None:
    numbers = [number & 0xFFFF for number in range(65_000, 65_000 + 140_000) if number % 1000 != 7]
    got = [Got(n * 20 * MS, number, 0, 100) for n, number in enumerate(numbers)]
    assert stamps.lost(got) == 140
    assert stamps.gaps(got[:10]) == [20.0] * 9
    assert stamps.rate([packet.at for packet in got]) == pytest.approx(50)


def test_a_row_says_whether_its_median_meets_the_target() -> None:
    assert Row("a", [1.0, 2.0, 9.0], "ms", 2.0).met
    assert Row("b", [2.1], "ms", 2.0).met is False
    assert Row("c", [1.0], "ms").met is None
    assert Row("d", [100.0], "", 90, least=True).met
    assert "MISSED" in report.line(Row("b", [2.1], "ms", 2.0))


def test_speech_without_the_recording_is_loud_from_its_first_frame() -> None:
    sound = speech.trimmed(speech.synthetic(24000, 1.0))
    assert sound.seconds > 0.8
    assert sound.levels(0.02)[0] > 100
    assert all(len(packet) > 10 for packet in speech.packets(sound.at(16000))[1:])
