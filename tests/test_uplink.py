"""From the microphone's packets to what the model hears: at once, in order, complete; nothing before its time."""

import asyncio
from collections.abc import Callable

from relay.audio.activity import Edge
from relay.audio.jitter import HOLD_SECONDS, MAX_GAP_TICKS
from relay.audio.packet import TICKS_PER_SECOND
from relay.uplink import MESSAGE_BYTES, WAITING_MS, Uplink
from tests import virtual
from tests.caller import FRAME, SPOKEN_RATE, Encoder
from tests.sound import Sound, compare, read_wav, tone


def packets(sound: Sound) -> list[bytes]:
    """Opus packets of `sound`, as a browser makes them."""
    pcm, encoder, size = sound.at(SPOKEN_RATE).pcm, Encoder(), 2 * round(FRAME * SPOKEN_RATE)
    return [encoder.encode(pcm[i : i + size].ljust(size, b"\0")) for i in range(0, len(pcm), size)]


class Line:
    """An uplink and what came out of it."""

    def __init__(self, *, ready: bool = True) -> None:
        self.messages: list[tuple[float, bytes]] = []
        self.edges: list[Edge] = []
        self.loop = asyncio.get_running_loop()
        self.ends: list[tuple[float, int]] = []  # when, and after how many messages, the model was told of the end
        self.uplink = Uplink(
            lambda pcm: self.messages.append((self.loop.time(), pcm)),
            self.edges.append,
            lambda: self.ends.append((self.loop.time(), len(self.messages))),
        )
        if ready:
            self.uplink.open()
            self.uplink.model_ready()

    async def hear(self, opus: list[bytes], keep: Callable[[int], bool] = lambda n: True) -> None:
        """Packets every 20 ms, without those that are lost."""
        for n, payload in enumerate(opus):
            if keep(n):
                self.uplink.on_rtp(n, n * 960, 7, payload)
            await asyncio.sleep(FRAME)

    @property
    def heard(self) -> Sound:
        return Sound(b"".join(pcm for _, pcm in self.messages), 16_000)


def test_a_packet_in_order_is_with_the_model_when_it_has_been_taken() -> None:
    async def main() -> None:
        line = Line()
        for n, payload in enumerate(packets(tone(440, 0.2, 48_000))):
            line.uplink.on_rtp(n, n * 960, 7, payload)
            assert len(line.messages) == n + 1
            assert len(line.messages[n][1]) == MESSAGE_BYTES
        line.uplink.close()

    virtual.run(main())


def test_a_sentence_arrives_as_it_was_spoken() -> None:
    sentence = read_wav("tests/sounds/weather.wav")

    async def main() -> Line:
        line = Line()
        await line.hear(packets(sentence))
        line.uplink.close()
        return line

    line = virtual.run(main())
    assert compare(sentence, line.heard).same
    assert [edge.speaking for edge in line.edges] == [True, False]


def test_at_ten_percent_loss_the_whole_duration_arrives_and_the_delay_stays_small() -> None:
    sentence = read_wav("tests/sounds/weather.wav")

    async def main() -> Line:
        line = Line()
        opus = packets(sentence)
        await line.hear(opus, keep=lambda n: n % 10 != 5 or n > len(opus) - 10)
        line.uplink.close()
        return line

    line = virtual.run(main())
    assert abs(line.heard.seconds - sentence.seconds) < 2 * FRAME
    assert compare(sentence, line.heard).same
    late = [at - 1000.0 - n * FRAME for n, (at, _) in enumerate(line.messages)]
    assert max(late) <= HOLD_SECONDS + FRAME + 0.001
    assert late[-1] < 0.001


def test_a_hole_without_a_following_packet_in_time_is_given_up_by_the_clock() -> None:
    async def main() -> int:
        line = Line()
        opus = packets(tone(440, 0.2, 48_000))
        line.uplink.on_rtp(0, 0, 7, opus[0])
        line.uplink.on_rtp(3, 3 * 960, 7, opus[3])
        assert len(line.messages) == 1
        await asyncio.sleep(HOLD_SECONDS + 0.001)
        line.uplink.close()
        return len(line.messages)

    assert virtual.run(main()) == 4


def test_before_it_is_opened_and_after_it_is_shut_nothing_reaches_the_model() -> None:
    async def main() -> None:
        line = Line(ready=False)
        line.uplink.model_ready()
        opus = packets(tone(440, 0.2, 48_000))
        line.uplink.on_rtp(0, 0, 7, opus[0])
        assert line.messages == []
        line.uplink.open()
        line.uplink.on_rtp(1, 960, 7, opus[1])
        assert len(line.messages) == 1
        line.uplink.shut()
        line.uplink.on_rtp(2, 1920, 7, opus[2])
        assert len(line.messages) == 1
        assert line.uplink.packets == 3
        line.uplink.close()

    virtual.run(main())


def test_what_is_said_while_the_model_is_being_reached_is_kept_up_to_a_bound() -> None:
    async def main() -> int:
        line = Line(ready=False)
        line.uplink.open()
        await line.hear(packets(tone(440, WAITING_MS / 1000 + 1, 48_000)))
        assert line.messages == []
        line.uplink.model_ready()
        line.uplink.close()
        return len(line.messages)

    assert virtual.run(main()) == WAITING_MS // 20


def test_muting_in_mid_word_ends_the_users_turn() -> None:
    async def main() -> list[bool]:
        line = Line()
        await line.hear(packets(tone(440, 0.5, 48_000)))
        line.uplink.shut()
        line.uplink.close()
        return [edge.speaking for edge in line.edges]

    assert virtual.run(main()) == [True, False]


def test_packets_that_are_no_opus_are_counted_and_the_next_good_one_is_heard() -> None:
    async def main() -> None:
        line = Line()
        opus = packets(tone(440, 0.5, 48_000))
        for n, payload in enumerate(opus):
            bad = b"\xff" * 40 if n % 5 == 1 else bytes([payload[0], *payload[:0:-1]]) if n % 5 == 3 else payload
            line.uplink.on_rtp(n, n * 960, 7, bad)
            await asyncio.sleep(FRAME)
        await asyncio.sleep(HOLD_SECONDS)
        line.uplink.close()
        assert line.uplink.jitter.refused > 0
        assert abs(line.heard.seconds - 0.5) < 0.05

    virtual.run(main())


def test_a_timestamp_that_steps_by_a_fraction_of_a_sample_shifts_nothing() -> None:
    async def main() -> None:
        line = Line()
        opus = packets(tone(440, 0.5, 48_000))
        for n, payload in enumerate(opus):
            line.uplink.on_rtp(n, n * 960 + n, 7, payload)  # each packet one tick late: a third of a sample
        line.uplink.close()
        pcm = b"".join(message for _, message in line.messages)
        assert len(pcm) % 2 == 0
        assert Sound(pcm, 16_000).level() < -10, "half a sample's shift would be noise at full scale"

    virtual.run(main())


def test_sound_that_somebody_else_decoded_is_cut_into_messages() -> None:
    async def main() -> list[int]:
        line = Line()
        for size in (100, 1000, 640, 2):
            line.uplink.on_pcm(bytes(size))
        line.uplink.close()
        return [len(pcm) for _, pcm in line.messages]

    assert virtual.run(main()) == [MESSAGE_BYTES, MESSAGE_BYTES]


def test_after_the_microphone_is_muted_a_hole_that_still_waits_reaches_nobody() -> None:
    async def main() -> None:
        line = Line()
        opus = packets(tone(440, 0.2, 48_000))
        await line.hear(opus[:3])
        line.uplink.on_rtp(5, 5 * 960, 7, opus[5])
        line.uplink.shut()
        heard = len(line.messages)
        await asyncio.sleep(1)
        assert len(line.messages) == heard
        line.uplink.close()

    virtual.run(main())


def test_what_was_sent_while_muted_is_no_hole_when_the_microphone_is_on_again() -> None:
    async def main() -> None:
        line = Line()
        opus = packets(tone(440, 0.8, 48_000))
        await line.hear(opus[:10])
        line.uplink.shut()
        await line.hear(opus[10:30])
        line.uplink.open()
        for n in (30, 31):
            line.uplink.on_rtp(n, n * 960, 7, opus[n])
            assert len(line.messages) == n - 19, "at once, and nothing in the place of what was muted"
        assert line.uplink.jitter.lost == 0
        line.uplink.close()

    virtual.run(main())


def test_a_sender_whose_timestamps_race_is_not_silent_faster_than_time_passes() -> None:
    async def main() -> float:
        line = Line()
        (payload,) = packets(tone(440, FRAME, 48_000))
        for n in range(500):
            line.uplink.on_rtp(n, n * (960 + MAX_GAP_TICKS), 7, payload)
            await asyncio.sleep(FRAME)
        line.uplink.close()
        return line.heard.seconds

    longest_pause = MAX_GAP_TICKS / TICKS_PER_SECOND
    assert 10 < virtual.run(main()) <= 10 + 10 + longest_pause, "each packet's sound, and the time between them"
