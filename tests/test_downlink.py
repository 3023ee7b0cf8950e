"""From the model's bursts to packets on the wire: the first at once, the rest on the beat, silence when it must be."""

import asyncio
from itertools import pairwise

import pytest

from relay.audio.opus import SILENCE, Encoder
from relay.audio.packet import ENCODED_RATE, FRAME_TICKS
from relay.audio.playout import FADE_SAMPLES, FRAME_SAMPLES, REBUFFER_FRAMES
from relay.downlink import TAIL_FRAMES
from relay.ticker import PERIOD
from tests import virtual
from tests.caller import Decoder
from tests.line import Line, Sent, burst
from tests.sound import Sound, compare, read_wav


def heard(packets: list[Sent]) -> Sound:
    """What a browser that gets all of them plays."""
    decoder = Decoder()
    return Sound(b"".join(decoder.decode(packet.payload) for packet in packets), 48_000)


# ---- a turn ----


def test_the_first_frame_of_a_turn_leaves_within_the_call_that_brought_it() -> None:
    async def main() -> None:
        line = Line()
        line.downlink.add(burst(0.2))
        assert len(line.speech) == 1
        assert line.sent[0].marker, "the marker is set after a pause"
        assert line.told == ["started"]
        line.close()

    virtual.run(main())


def test_the_bit_rate_is_the_owners() -> None:
    async def main(bitrate: int) -> int:
        line = Line(lambda: Encoder(bitrate))
        line.downlink.add(read_wav("tests/sounds/weather.wav").at(ENCODED_RATE).pcm)
        await asyncio.sleep(4)
        line.close()
        return sum(len(packet.payload) for packet in line.speech)

    assert virtual.run(main(96_000)) > 1.8 * virtual.run(main(40_000))


def test_the_listener_hears_the_sentence_that_the_model_said() -> None:
    sentence = read_wav("tests/sounds/weather.wav")

    async def main() -> Line:
        line = Line()
        pcm = sentence.at(24_000).pcm
        for at in range(0, len(pcm), 9600):
            line.downlink.add(pcm[at : at + 9600])
        line.downlink.end()
        await asyncio.sleep(sentence.seconds + 1)
        line.close()
        return line

    assert compare(sentence, heard(virtual.run(main()).sent)).same


def test_the_last_milliseconds_of_a_turn_are_heard_with_it_and_not_with_the_next() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(0.1))
        line.downlink.end()
        await asyncio.sleep(1)
        line.downlink.add(bytes([1, 0]) * FRAME_SAMPLES)
        line.close()
        return line

    line = virtual.run(main())
    sound = heard(line.sent)
    assert [n for n, packet in enumerate(line.sent) if packet.marker] == [0, 5 + TAIL_FRAMES]
    assert sound.part(0.100, 0.105).level() > -20, "what the encoder still held"
    assert sound.part((5 + TAIL_FRAMES) * PERIOD).level() < -52, "nothing of the turn before"


def test_chunks_smaller_than_a_frame_do_not_reach_the_wire_until_they_make_one() -> None:
    async def main() -> None:
        line = Line()
        for _ in range(9):
            line.downlink.add(bytes(100))
        assert line.sent == []
        line.downlink.add(bytes(100))
        assert len(line.sent) == 1
        line.close()

    virtual.run(main())


def test_an_underrun_is_silence_and_sound_comes_back_when_there_is_enough() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(0.1))
        await asyncio.sleep(0.5)
        spoken = len(line.speech)
        line.downlink.add(burst(0.02))
        await asyncio.sleep(0.1)
        assert len(line.speech) == spoken
        line.downlink.add(burst(REBUFFER_FRAMES * PERIOD))
        await asyncio.sleep(0.1)
        assert len(line.speech) > spoken
        line.close()
        return line

    line = virtual.run(main())
    assert line.downlink.playout.underruns == 1
    assert line.told == ["started"]


# ---- an interruption ----


def test_an_interruption_lets_at_most_one_more_frame_out() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(10))
        await asyncio.sleep(1)
        before = len(line.speech)
        line.downlink.interrupt()
        await asyncio.sleep(1)
        line.close()
        assert len(line.speech) - before <= 2  # the faded one, and what the encoder still held of it
        return line

    line = virtual.run(main())
    assert line.speech[-1].at < 1 + 3 * PERIOD
    assert line.told == ["started", "stopped"]


def test_an_interruption_is_silent_within_one_frame_and_does_not_click() -> None:
    async def main() -> tuple[Line, int]:
        line = Line()
        line.downlink.add(burst(10))
        await asyncio.sleep(1)
        before = len(line.sent)
        line.downlink.interrupt()
        await asyncio.sleep(1)
        line.close()
        return line, before

    line, before = virtual.run(main())
    sound, cut = heard(line.sent), before * PERIOD
    coded = 0.0065  # what the encoder looks ahead
    assert sound.part(cut - PERIOD, cut).level() > -20
    assert sound.part(cut + coded + 2 * FADE_SAMPLES / ENCODED_RATE, cut + PERIOD).level() < -40
    assert sound.part(cut + PERIOD).level() < -60
    samples = sound.part(cut - 0.1, cut + PERIOD).samples
    steps = [abs(after - before) for before, after in pairwise(samples)]
    assert max(steps) < 2 * max(steps[:4000]), "no step that the tone itself has not"


@pytest.mark.parametrize("after", [0.0, 0.5 * PERIOD, PERIOD, 1.5 * PERIOD])
def test_sound_that_comes_before_a_cut_one_has_faded_is_a_turn_of_its_own(after: float) -> None:
    async def main() -> None:
        line = Line()
        line.downlink.add(burst(10))
        await asyncio.sleep(1.001)
        line.downlink.interrupt()
        await asyncio.sleep(after)
        line.downlink.add(burst(1))
        assert line.told == ["started"], "the fade is not the first of it"
        await asyncio.sleep(2 * PERIOD)
        assert line.told == ["started", "started"]
        line.downlink.end()
        await asyncio.sleep(2)
        assert line.told == ["started", "started", "stopped"]
        line.close()

    virtual.run(main())


def test_a_turn_that_is_cut_while_the_model_is_behind_is_over_too() -> None:
    async def main() -> None:
        line = Line()
        line.downlink.add(burst(0.1))
        await asyncio.sleep(0.15)
        line.downlink.interrupt()
        line.downlink.add(burst(0.1))
        await asyncio.sleep(PERIOD)
        assert line.told == ["started", "started"]
        line.close()

    virtual.run(main())


def test_what_was_cut_before_its_first_frame_has_never_begun() -> None:
    async def main() -> None:
        line = Line()
        line.downlink.rouse()
        line.downlink.add(burst(0.01))
        line.downlink.interrupt()
        await asyncio.sleep(1)
        assert line.told == []
        line.close()

    virtual.run(main())


def test_what_was_sent_is_known_to_the_sample() -> None:
    async def main() -> tuple[Line, float]:
        line = Line()
        line.downlink.add(burst(0.5) + bytes(10))
        line.downlink.end()
        await asyncio.sleep(1)
        assert line.downlink.playout.position == ENCODED_RATE // 2 + 5
        line.downlink.add(burst(10))
        await asyncio.sleep(1)
        spoken = line.downlink.frames - 26
        line.downlink.interrupt()
        await asyncio.sleep(1)
        line.close()
        return line, spoken

    line, spoken = virtual.run(main())
    playout = line.downlink.playout
    assert line.downlink.frames == 26 + spoken + 1
    heard = ENCODED_RATE // 2 + 5 + spoken * FRAME_SAMPLES + FADE_SAMPLES
    assert playout.received == playout.position == heard + playout.skipped


# ---- between turns ----


def test_after_a_turn_a_few_silent_frames_go_out_and_then_the_line_rests() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(0.1))
        line.downlink.end()
        await asyncio.sleep(10)
        line.close()
        return line

    line = virtual.run(main())
    assert len(line.sent) == 5 + TAIL_FRAMES
    assert line.sent[-1].at < 0.5


def test_a_line_that_is_roused_sends_silence_so_that_the_browser_starts_its_element() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.rouse()
        await asyncio.sleep(1)
        line.close()
        return line

    line = virtual.run(main())
    assert [packet.payload for packet in line.sent] == [SILENCE] * TAIL_FRAMES
    assert line.told == []


# ---- what is told ----


def test_the_position_is_told_from_where_it_is_wanted_and_not_before() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(1))
        await asyncio.sleep(0.1)
        line.downlink.wake_at = 20 * FRAME_SAMPLES
        await asyncio.sleep(0.35)
        line.downlink.wake_at = None
        await asyncio.sleep(1)
        line.close()
        return line

    line = virtual.run(main())
    assert line.positions == [n * FRAME_SAMPLES for n in (20, 21, 22, 23)]


# ---- nobody there ----


def test_while_nobody_is_there_time_goes_on_and_who_comes_back_hears_what_is_said_then() -> None:
    async def main() -> None:
        line = Line()
        line.downlink.add(burst(5.0))
        line.downlink.end()
        await asyncio.sleep(1.01)
        line.connected = False
        sent = len(line.sent)
        await asyncio.sleep(3.0)
        line.connected = True
        await asyncio.sleep(4.0)
        assert len(line.sent) == round((5.0 - 3.0) / PERIOD) + TAIL_FRAMES, "three seconds were said to nobody"
        assert line.sent[sent].marker, "it follows a pause"
        assert max(line.ages) < PERIOD, "and nothing is older than it says"
        assert line.told == ["started", "stopped"]
        line.close()

    virtual.run(main())


def test_what_is_said_to_nobody_does_not_pile_up() -> None:
    async def main() -> None:
        line = Line()
        line.connected = False
        for _ in range(10):
            line.downlink.add(burst(2.0))
            line.downlink.end()
            await asyncio.sleep(3.0)
            assert line.downlink.playout.queued == 0
        line.connected = True
        line.downlink.rouse()
        await asyncio.sleep(1)
        assert [packet.payload for packet in line.sent] == [SILENCE] * TAIL_FRAMES
        assert line.told == ["started", "stopped"] * 10
        line.close()

    virtual.run(main())


def test_another_connection_begins_with_a_marker_and_without_copies_of_what_was_said_on_the_old_one() -> None:
    async def main() -> None:
        line, other = Line(), list[tuple[int, bool, bool]]()

        def send(payload: bytes, timestamp: int, marker: bool, red: bool) -> bool:
            other.append((timestamp, marker, red))
            return True

        line.downlink.connect(line._send, 111)
        line.downlink.add(burst(3.0))
        line.downlink.on_report(0.2)
        await asyncio.sleep(1.0)
        line.downlink.on_report(0.2)
        await asyncio.sleep(1.0)
        assert line.sent[-1].red
        line.downlink.connect(send, 111)
        await asyncio.sleep(0.5)
        (first, marker, red), *later = other
        assert (first - line.sent[-1].timestamp, marker, red) == (FRAME_TICKS, True, False)
        assert not any(marker for _, marker, _ in later)
        assert all(red for _, _, red in later[2:])
        line.close()

    virtual.run(main())
