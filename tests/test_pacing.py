"""Every packet leaves when it is due, by one clock for all calls; what the process has slept through is past."""

import asyncio
from typing import Any

import pytest

from relay.audio.packet import ENCODED_RATE, FRAME_TICKS
from relay.audio.playout import FRAME_SAMPLES
from relay.downlink import EARLY_SECONDS, GAP_SECONDS, Downlink
from relay.ticker import MAX_CATCH_UP, PERIOD
from tests import virtual
from tests.line import Line, burst

# What leaves later than this would be heard as a delay that stays, or not at all.
OLDEST_SECONDS = 0.300


def test_a_hundred_calls_share_one_timer_and_one_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[Line, int]:
        line, timers = Line(), 0
        others = [Downlink(line.ticker, line) for _ in range(99)]
        for downlink in others:
            downlink.connect(line._send, None)
        set_timer = line.loop.call_at

        def counted(*args: Any, **more: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return set_timer(*args, **more)

        monkeypatch.setattr(line.loop, "call_at", counted)
        for downlink in (line.downlink, *others):
            downlink.add(bytes(2 * ENCODED_RATE))
        await asyncio.sleep(0.99)
        for downlink in others:
            downlink.close()
        line.close()
        return line, timers

    line, timers = virtual.run(main())
    assert len(line.sent) == 100 * 50
    assert len({round(packet.at, 6) for packet in line.sent}) == 50
    assert timers <= 50 + 1  # and that of `sleep`


def test_a_ten_second_burst_leaves_in_real_time_without_drift() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(10))
        line.downlink.end()
        await asyncio.sleep(11)
        line.close()
        return line

    line = virtual.run(main())
    assert line.downlink.frames == 500
    assert all(abs(packet.at - n * PERIOD) < 0.001 for n, packet in enumerate(line.sent))
    stamps = [packet.timestamp for packet in line.sent]
    assert stamps == [stamps[0] + n * FRAME_TICKS for n in range(len(stamps))]
    assert line.downlink.playout.position == 240_000
    assert line.told == ["started", "stopped"]


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
    markers = [packet for packet in line.sent if packet.marker]
    assert len(markers) == 2
    assert max(map(abs, line.ages)) <= PERIOD
    assert line.told == ["started", "stopped"] * 2


def test_an_hour_of_turns_and_pauses_does_not_drift() -> None:
    async def main() -> Line:
        line, turn = Line(), 0
        while line.now < 3600:
            line.downlink.add(bytes(ENCODED_RATE * (turn % 5 + 1)))
            line.downlink.end()
            turn += 1
            await asyncio.sleep(turn % 5 + 1 + turn % 7 * 0.777)
        line.close()
        return line

    line = virtual.run(main())
    assert len(line.sent) > 40_000
    assert max(map(abs, line.ages)) <= 2 * PERIOD


def test_turns_that_follow_each_other_closely_begin_at_once_and_do_not_run_ahead_of_the_clock() -> None:
    async def main() -> Line:
        line = Line()
        for n in range(200):
            before = len(line.sent)
            line.downlink.add(bytes(2 * FRAME_SAMPLES * 3))
            assert len(line.sent) == before + 1
            line.downlink.end()
            await asyncio.sleep(0.1 + n % 10 * 0.007)
        line.close()
        return line

    line = virtual.run(main())
    assert [packet.marker for packet in line.sent] == [True] + [False] * (len(line.sent) - 1), "it never rested"
    assert max(map(abs, line.ages)) <= EARLY_SECONDS + PERIOD
    assert max(line.gaps) <= 2 * PERIOD


@pytest.mark.parametrize("seconds", [0.03, MAX_CATCH_UP, 0.13, GAP_SECONDS, 0.2, 1.0, 10.0])
def test_after_a_stall_nothing_old_is_sent_and_nothing_in_a_burst(seconds: float) -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(20))
        for _ in range(3):
            await asyncio.sleep(1)
            line.stall(seconds)
        await asyncio.sleep(2)
        line.close()
        return line

    line = virtual.run(main())
    assert max(line.ages) < OLDEST_SECONDS
    assert min(line.ages) >= -2 * PERIOD, "no packet is far ahead of its time"
    at_once = [sum(0 <= later.at - packet.at < PERIOD / 2 for later in line.sent) for packet in line.sent]
    assert max(at_once) <= MAX_CATCH_UP / PERIOD + 2
    long = [after for after, gap in zip(line.sent[1:], line.gaps, strict=True) if gap > GAP_SECONDS + 2 * PERIOD]
    assert len(long) == (3 if seconds >= 0.2 else 0)
    assert all(packet.marker for packet in long), "a stall is a pause"
    assert line.downlink.playout.skipped == 0, "no word is lost"


def test_what_cannot_leave_during_a_blackout_is_not_sent_after_it() -> None:
    async def main() -> Line:
        line = Line()
        line.downlink.add(burst(10))
        await asyncio.sleep(1)
        line.connected = False
        await asyncio.sleep(2)
        line.connected = True
        await asyncio.sleep(1)
        line.close()
        return line

    line = virtual.run(main())
    assert line.downlink.unsent == 2 / PERIOD
    assert line.downlink.packets == len(line.sent)
    assert max(map(abs, line.ages)) < PERIOD / 2
    assert [packet.at > 1 for packet in line.sent if packet.marker] == [False, True]
