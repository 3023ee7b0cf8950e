"""What a browser is sent while it reports loss, and what it then misses."""

import asyncio
import random

import pytest

from relay.audio import red
from relay.audio.opus import BITRATE, SILENCE, Encoder
from relay.audio.packet import FRAME_TICKS
from relay.audio.protection import CLEAN_PACKETS, MAX_BLOCKS
from relay.downlink import TAIL_FRAMES
from tests import virtual
from tests.line import Line, Sent, burst

OPUS = 109
SOME, MORE, MUCH = 0.05, 0.12, 0.20  # loss that asks for one block, for two, and for three
# What every path carries (IPv6's least), less IPv6, UDP, RTP and SRTP's tag.
PATH_BYTES = 1280 - 40 - 8 - 12 - 10


def speak(seconds: float) -> bytes:
    """Sound that is dear to code, and never twice the same."""
    dice = random.Random(5)
    return b"".join(burst(0.05, dice.uniform(90, 3000)) for _ in range(round(seconds / 0.05)))


def protected(loss: float, seconds: float = 1.0, *, red_over: int | None = OPUS, bitrate: int = BITRATE) -> Line:
    """A line that was told of loss, and has spoken on since."""

    async def main() -> Line:
        line = Line(lambda: Encoder(bitrate))
        line.downlink.red_over = red_over
        line.downlink.add(speak(5 + seconds))
        await asyncio.sleep(5)
        line.downlink.on_report(loss)
        line.sent.clear()
        await asyncio.sleep(seconds)
        line.close()
        return line

    return virtual.run(main())


def taken_apart(packet: Sent) -> red.Red:
    if not packet.red:
        return red.Red(packet.payload, ())
    found = red.read(packet.payload, OPUS)
    assert found is not None
    return found


def test_a_clean_path_gets_plain_opus() -> None:
    assert not any(packet.red for packet in protected(0.0).sent)


def test_a_browser_that_takes_no_red_gets_plain_opus_whatever_is_lost() -> None:
    line = protected(MUCH, red_over=None)
    assert not any(packet.red for packet in line.sent)
    assert len(line.sent) == 50


@pytest.mark.parametrize(("loss", "blocks"), [(SOME, 1), (MORE, 2), (MUCH, 3)])
def test_every_packet_carries_the_ones_before_it_bit_by_bit_and_says_when_they_were(loss: float, blocks: int) -> None:
    line = protected(loss)
    sent = [(packet.timestamp, taken_apart(packet)) for packet in line.sent]
    said = {timestamp: packet.primary for timestamp, packet in sent}
    assert len(set(said.values())) == len(sent) == 50
    assert [len(packet.redundant) for _, packet in sent] == [min(n, blocks) for n in range(50)]
    for timestamp, packet in sent:
        assert [before for before, _ in packet.redundant] == [
            n * FRAME_TICKS for n in range(len(packet.redundant), 0, -1)
        ]
        assert all(said[timestamp - before] == copy for before, copy in packet.redundant)
    assert line.downlink.protected[blocks - 1] == 50 - blocks
    assert all(count == 1 for count in line.downlink.protected[: blocks - 1])
    assert sum(line.downlink.protected) == 49


@pytest.mark.parametrize("bitrate", [BITRATE, 160_000])
def test_with_all_copies_a_packet_passes_through_every_path_and_copies_that_do_not_fit_are_left_out(
    bitrate: int,
) -> None:
    line = protected(MUCH, bitrate=bitrate)
    assert max(len(packet.payload) for packet in line.sent) <= PATH_BYTES
    carried = {len(taken_apart(packet).redundant) for packet in line.sent[MAX_BLOCKS:]}
    assert carried == {MAX_BLOCKS} if bitrate == BITRATE else min(carried) >= 1


def test_after_ten_clean_seconds_it_is_plain_opus_again() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.red_over = OPUS
        line.downlink.add(speak(30))
        await asyncio.sleep(5)
        line.downlink.on_report(MUCH)
        while line.downlink.packets < 300 + CLEAN_PACKETS:
            await asyncio.sleep(1)
            line.downlink.on_report(0.0)
        line.sent.clear()
        await asyncio.sleep(1)
        line.close()
        return line

    assert not any(packet.red for packet in virtual.run(main()).sent)


@pytest.mark.parametrize("pause", ["no loss", "no RED"])
def test_protection_that_begins_again_brings_no_copy_from_before_it_ended(pause: str) -> None:
    async def main() -> Line:
        line = Line()
        send = line._send  # one and the same: it is no other connection
        line.downlink.connect(send, OPUS)
        line.downlink.add(speak(40))
        await asyncio.sleep(5)
        line.downlink.on_report(MUCH)
        await asyncio.sleep(1)
        assert line.sent[-1].red
        if pause == "no RED":
            line.downlink.connect(send, None)
        while line.sent[-1].red:
            await asyncio.sleep(1)
            line.downlink.on_report(0.0 if pause == "no loss" else MUCH)
        await asyncio.sleep(5)
        line.downlink.protected[:] = [0] * MAX_BLOCKS
        line.sent.clear()
        line.downlink.connect(send, OPUS)
        line.downlink.on_report(MUCH)
        await asyncio.sleep(1)
        line.close()
        return line

    line = virtual.run(main())
    assert [len(taken_apart(packet).redundant) for packet in line.sent] == [0, 1, 2] + [3] * 47
    assert [packet.red for packet in line.sent] == [False] + [True] * 49
    assert line.downlink.protected == [1, 1, 47]


def test_the_last_words_are_protected_and_the_silence_behind_them_is_not() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.red_over = OPUS
        line.downlink.add(speak(5))
        line.downlink.end()
        await asyncio.sleep(4)
        line.downlink.on_report(MUCH)
        await asyncio.sleep(2)
        line.close()
        return line

    # the first packet after the sound is what the encoder still held
    tail = virtual.run(main()).sent[-TAIL_FRAMES + 1 :]
    assert [packet.red for packet in tail] == [True] * MAX_BLOCKS + [False] * (TAIL_FRAMES - 1 - MAX_BLOCKS)
    assert all(taken_apart(packet).primary == SILENCE for packet in tail)


@pytest.mark.parametrize("pause", ["rest", "stall", "blackout"])
def test_no_packet_carries_one_from_before_a_pause(pause: str) -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.red_over = OPUS
        line.downlink.add(speak(6))
        await asyncio.sleep(5)
        line.downlink.on_report(MUCH)
        if pause == "rest":
            line.downlink.end()
            await asyncio.sleep(3)
            line.downlink.add(speak(1))
        elif pause == "stall":
            await asyncio.sleep(0.5)
            line.stall(0.2)
        else:
            await asyncio.sleep(0.3)
            line.connected = False
            await asyncio.sleep(0.1)
            line.connected = True
        await asyncio.sleep(0.3)
        line.close()
        return line

    sent = virtual.run(main()).sent
    last = max(n for n, packet in enumerate(sent) if packet.marker)
    assert last > 250
    assert [len(taken_apart(packet).redundant) for packet in sent[last : last + 4]] == [0, 1, 2, 3]


# ---- a lossy path ----


def missed(loss: float, seed: int) -> float:
    """The share of speech that a browser has neither received nor can restore, from its third report on.

    It reports as Chromium does, every 2.5 to 7.5 seconds, what was lost since the last time.
    """

    async def main() -> float:
        line, dice = Line(), random.Random(seed)
        line.downlink.red_over = OPUS
        line.downlink.add(speak(5) * 40)
        arrived: list[bool] = []
        begun = 0
        for report in range(30):
            await asyncio.sleep(dice.uniform(2.5, 7.5))
            told = [dice.random() >= loss for _ in range(len(line.sent) - len(arrived))]
            arrived += told
            line.downlink.on_report(int(256 * told.count(False) / len(told)) / 256)
            begun = len(arrived) if report == 2 else begun
        line.close()
        there = set[int]()
        for packet, came in zip(line.sent, arrived, strict=True):
            if came:
                whole = taken_apart(packet)
                there |= {packet.timestamp, *(packet.timestamp - before for before, _ in whole.redundant)}
        due = [packet.timestamp for packet in line.sent[begun:-MAX_BLOCKS]]
        return sum(timestamp not in there for timestamp in due) / len(due)

    return virtual.run(main())


def test_of_ten_percent_lost_at_random_a_browser_misses_less_than_half_a_percent() -> None:
    assert missed(0.10, seed=1) < 0.005


def test_of_twenty_percent_lost_at_random_a_browser_misses_less_than_half_a_percent() -> None:
    assert missed(0.20, seed=1) < 0.005
