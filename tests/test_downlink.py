"""From the model's bursts to packets on the wire: the first at once, the rest on the beat, silence when it must be."""

import asyncio

from relay.audio.opus import SILENCE
from relay.audio.packet import FRAME_TICKS
from relay.audio.playout import REBUFFER_FRAMES
from relay.downlink import TAIL_FRAMES, Downlink
from relay.ticker import PERIOD, Ticker
from tests import virtual
from tests.caller import Decoder
from tests.sound import Sound, compare, read_wav, tone


class Line:
    """A downlink and what left it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ticker = Ticker()
        self.sent: list[tuple[float, bytes, int, bool]] = []
        self.told: list[str] = []
        self.positions: list[int] = []
        self.downlink = Downlink(self._send, self.ticker, self)

    def _send(self, payload: bytes, timestamp: int, marker: bool) -> bool:
        self.sent.append((self.loop.time() - 1000.0, payload, timestamp, marker))
        return True

    def on_sound_started(self) -> None:
        self.told.append("started")

    def on_played(self, position: int) -> None:
        self.positions.append(position)

    def on_sound_stopped(self) -> None:
        self.told.append("stopped")

    @property
    def speech(self) -> list[tuple[float, bytes, int, bool]]:
        return [packet for packet in self.sent if packet[1] != SILENCE]

    def close(self) -> None:
        self.downlink.close()
        self.ticker.close()


def burst(seconds: float) -> bytes:
    return tone(440, seconds, 24_000).pcm


def test_the_first_frame_of_a_turn_leaves_within_the_call_that_brought_it() -> None:
    async def main() -> None:
        line = Line()
        line.downlink.add(burst(0.2))
        assert len(line.speech) == 1
        assert line.sent[0][3], "the marker is set after a pause"
        assert line.told == ["started"]
        line.close()

    virtual.run(main())


def test_a_ten_second_burst_leaves_in_real_time_without_drift() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(10))
        line.downlink.end()
        await asyncio.sleep(11)
        line.close()
        return line

    line = virtual.run(main())
    times = [at for at, *_ in line.speech]
    assert len(times) == 500
    assert all(abs(at - n * PERIOD) < 0.001 for n, at in enumerate(times))
    stamps = [stamp for _, _, stamp, _ in line.sent]
    assert stamps == [stamps[0] + n * FRAME_TICKS for n in range(len(stamps))]
    assert line.positions[-1] == 240_000
    assert line.told == ["started", "stopped"]


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

    decoder = Decoder()
    heard = b"".join(decoder.decode(payload) for _, payload, _, _ in virtual.run(main()).sent)
    assert compare(sentence, Sound(heard, 48_000)).same


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
    assert line.speech[-1][0] < 1 + 3 * PERIOD
    assert line.told == ["started", "stopped"]


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
    assert line.sent[-1][0] < 0.5


def test_over_a_rest_the_timestamps_follow_the_wall_clock_and_the_marker_says_so() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(0.1))
        line.downlink.end()
        await asyncio.sleep(10)
        line.downlink.add(burst(0.1))
        line.downlink.end()
        await asyncio.sleep(1)
        line.close()
        return line

    line = virtual.run(main())
    markers = [(at, stamp) for at, _, stamp, marker in line.sent if marker]
    assert len(markers) == 2
    (first, first_stamp), (second, second_stamp) = markers
    assert abs((second_stamp - first_stamp) / 48_000 - (second - first)) <= 2 * PERIOD
    assert line.told == ["started", "stopped"] * 2


def test_a_line_that_is_roused_sends_silence_so_that_the_browser_starts_its_element() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.rouse()
        await asyncio.sleep(1)
        line.close()
        return line

    line = virtual.run(main())
    assert len(line.sent) == TAIL_FRAMES
    assert line.speech == []
    assert line.told == []


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
