"""An admitted caller that sends more sound than there is time for: the model hears one call's worth."""

import asyncio

import pytest

from relay.audio.packet import TICKS_PER_SECOND, duration
from relay.uplink import AHEAD_SECONDS
from relay.webrtc.gate import PACKETS_PER_SECOND, Gate
from tests import virtual
from tests.test_uplink import Line

SECONDS = 60
PERIOD = 1 / PACKETS_PER_SECOND
SHORT, SIXTY_MS, TWICE_SIXTY_MS = b"\xd8\xff\xfe", b"\x18" + bytes(20), b"\x1b\x02" + bytes(40)


async def sent(payload: bytes, every: int) -> tuple[Line, float]:
    """A minute of as many packets as the gate lets through, each `every`-th of a stream, and how far ahead they got."""
    line, gate, ticks, ahead = Line(), Gate(111), duration(payload), 0.0
    began = line.loop.time()
    for number in range(round(SECONDS / PERIOD)):
        place = number * every
        assert gate.admit(111, 7, len(payload), line.loop.time())
        line.uplink.on_rtp(place & 0xFFFF, place * ticks & 0xFFFFFFFF, 7, payload)
        if number % 10 == 0:
            ahead = max(ahead, line.uplink.seconds_sent - (line.loop.time() - began))
        await asyncio.sleep(PERIOD)
    line.uplink.close()
    return line, ahead


@pytest.mark.parametrize("every", [1, 2], ids=["whole", "with holes"])
@pytest.mark.parametrize("payload", [SHORT, SIXTY_MS, TWICE_SIXTY_MS], ids=["20 ms", "60 ms", "120 ms"])
def test_packets_of_any_length_bring_no_more_sound_than_there_is_time(payload: bytes, every: int) -> None:
    line, ahead = virtual.run(sent(payload, every))
    unnoticed = 0.25 * duration(payload) / TICKS_PER_SECOND / PERIOD  # nobody looks for a quarter of a second
    assert ahead <= AHEAD_SECONDS + unnoticed
    assert line.heard.seconds <= SECONDS + AHEAD_SECONDS + unnoticed
    assert line.uplink.hurried > 1000


def test_after_a_flood_of_long_packets_speech_is_heard_again_at_once() -> None:
    async def main() -> None:
        line, _ = await sent(TWICE_SIXTY_MS, 1)
        line.uplink.open()
        await asyncio.sleep(AHEAD_SECONDS)
        before, hurried = len(line.messages), line.uplink.hurried
        for number in range(500):
            line.uplink.on_rtp(number, number * 960, 8, SHORT)
            assert len(line.messages) == before + number + 1
            await asyncio.sleep(0.02)
        assert line.uplink.hurried == hurried
        line.uplink.close()

    virtual.run(main())


def test_a_clock_as_much_too_fast_as_others_are_in_ten_hours_is_heard() -> None:
    async def main() -> None:
        line = Line()
        for number in range(6 * 60 * 50):
            line.uplink.on_rtp(number & 0xFFFF, number * 960 & 0xFFFFFFFF, 7, SHORT)
            await asyncio.sleep(0.02 * 0.99)
        line.uplink.close()
        assert line.uplink.hurried == 0

    virtual.run(main())
