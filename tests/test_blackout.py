"""No packets for a while, through the whole way up in virtual time: how much the model hears, when, and of what age.

Packet n holds what was said from n · 20 ms on, and is sent when it has been said. Only durations count here; what the
sound becomes is `test_impaired`'s.
"""

import asyncio
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio.activity import END_SECONDS
from relay.audio.packet import FRAME_TICKS
from relay.audio.patience import LATE_HOLD_SECONDS
from relay.audio.stall import (
    DOUBT_SECONDS,
    FRESH_SECONDS,
    LEAD_SECONDS,
    LIMIT_SECONDS,
    LOOK_AGAIN_SECONDS,
    PACKET_SECONDS,
    STALL_SECONDS,
    STEP_SECONDS,
)
from relay.uplink import MESSAGE_BYTES
from tests import virtual
from tests.caller import FRAME
from tests.netem import Link, Trouble
from tests.sound import tone
from tests.test_uplink import Line, packets

PATH: Final = 0.040
MOMENT: Final = 0.001
SPEECH: Final = packets(tone(440, 0.1, 48_000))[2]
QUIET: Final = b"\xd8\xff\xfe"  # 20 ms of nothing, in three bytes
SPOKEN: Final = range(250)
BEGINS: Final = 50  # the first packet that the stall meets
TROUBLES: Final = {
    "clean": Trouble(delay=PATH),
    "lossy": Trouble(delay=PATH, loss=0.05),
    "bursty": Trouble(delay=PATH, loss=0.10, burst=3),
    "jittery": Trouble(delay=PATH, uniform=0.015),
    "reordered": Trouble(delay=PATH, exponential=0.020),
    "doubled": Trouble(delay=PATH, duplicates=0.3, uniform=0.030),
    "everything": Trouble(delay=PATH, loss=0.05, exponential=0.010, duplicates=0.1),
}

Arrivals = list[tuple[float, int]]
"""(when, in seconds of the call; the packet's number), in order"""


def sent(n: int) -> float:
    return (n + 1) * FRAME


def on_time(numbers: Iterable[int]) -> Arrivals:
    return [(sent(n) + PATH, n) for n in numbers]


class Call:
    """Packets that come as `arrivals` say, and what the model had of them by when."""

    def __init__(self, arrivals: Arrivals, *, ssrc: Callable[[int], int] = lambda n: 7) -> None:
        self.arrivals = sorted(arrivals)
        self.line: Line = virtual.run(self._hold(ssrc))
        self.when = [at - self.began for at, _ in self.line.messages]  # a message came,
        lengths = (len(pcm) / MESSAGE_BYTES * FRAME for _, pcm in self.line.messages)
        self.total = [*itertools.accumulate(lengths, initial=0.0)]  # and so many seconds had come before it
        self.ends = [at - self.began for at, _ in self.line.ends]

    async def _hold(self, ssrc: Callable[[int], int]) -> Line:
        line = Line()
        self.began = line.loop.time()
        for at, n in self.arrivals:
            if (wait := self.began + at - line.loop.time()) > 0:
                await asyncio.sleep(wait)
            line.uplink.on_rtp(n, n * FRAME_TICKS, ssrc(n), SPEECH)
        await asyncio.sleep(LATE_HOLD_SECONDS + MOMENT)
        line.uplink.close()
        return line

    def seconds(self, since: float = float("-inf"), until: float = float("inf")) -> float:
        """How much the model heard after `since` and up to `until`."""
        return self.total[bisect_right(self.when, until + MOMENT / 10)] - self.total[bisect_right(self.when, since)]


def stalled(frames: int, trouble: Trouble, *, late: bool) -> Arrivals:
    """A call over a bad path that stalls: what is sent meanwhile is lost, or comes late in a burst; its end is good."""
    begin, end = BEGINS * FRAME, (BEGINS + frames) * FRAME
    link, arrivals = Link[int](trouble, seed=3), Arrivals()
    for n in SPOKEN:
        good = n == 0 or n >= SPOKEN[-1] - 10
        for at, _ in on_time([n]) if good else link.send(n, sent(n)):
            if not begin <= at - PATH < end:
                arrivals.append((at, n))
            elif late:
                arrivals.append((end + PATH, n))
    return arrivals


@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.parametrize("late", [False, True], ids=["lost", "late"])
@pytest.mark.parametrize("frames", [5, 12, 13, 50, 95])
def test_the_model_hears_exactly_as_long_as_was_spoken(frames: int, late: bool, name: str) -> None:
    call = Call(stalled(frames, TROUBLES[name], late=late))
    assert call.seconds() == pytest.approx(len(SPOKEN) * FRAME, abs=1e-6), "to the sample"
    assert all(len(pcm) == MESSAGE_BYTES for _, pcm in call.line.messages)
    assert not call.ends
    assert call.line.uplink.stall.even


@pytest.mark.parametrize("late", [False, True], ids=["lost", "late"])
@pytest.mark.parametrize("frames", [125, 250, 1000])
def test_after_two_seconds_of_silence_the_stream_ends_and_begins_anew_with_what_is_fresh(
    frames: int, late: bool
) -> None:
    begin, back = BEGINS * FRAME + PATH, (BEGINS + frames) * FRAME + PATH
    arrivals = on_time(range(BEGINS)) + on_time(range(BEGINS + frames, BEGINS + frames + 100))
    if late:
        arrivals += [(back, n) for n in range(BEGINS, BEGINS + frames)]
    call = Call(arrivals)
    assert call.ends == [pytest.approx(begin + PACKET_SECONDS + LIMIT_SECONDS)]
    assert call.seconds(until=call.ends[0]) == pytest.approx(BEGINS * FRAME + LIMIT_SECONDS)
    assert call.seconds(call.ends[0], back - MOMENT) == 0
    old = FRESH_SECONDS if late else 0.0
    assert call.seconds(back - MOMENT, back + FRAME) == pytest.approx(old + FRAME), "at once, and no older"
    assert call.seconds(back - MOMENT) == pytest.approx(old + 100 * FRAME)
    assert call.line.uplink.stall.even


def test_silence_comes_in_real_time_while_no_packets_do() -> None:
    call = Call(on_time(range(BEGINS)) + on_time([BEGINS + 90]))
    begin = BEGINS * FRAME + PATH
    for tick in range(1, 80):
        now = begin + STALL_SECONDS + PACKET_SECONDS + tick * STEP_SECONDS
        assert call.seconds(until=now) == pytest.approx(now - PATH - PACKET_SECONDS)
    assert call.seconds(begin, begin + STALL_SECONDS + PACKET_SECONDS - MOMENT) == 0


def test_a_word_that_the_network_cuts_off_ends_for_everybody() -> None:
    call = Call(on_time(range(BEGINS)) + on_time([1000]))
    began, ended = call.line.edges[:2]
    assert (began.speaking, ended.speaking) == (True, False)
    assert ended.at - call.began == pytest.approx(BEGINS * FRAME + PATH, abs=FRAME)
    assert 2 * END_SECONDS < LIMIT_SECONDS, "within the silence"


def test_a_sender_that_is_quiet_between_words_is_heard_to_the_sample_and_its_stream_goes_on() -> None:
    """Discontinuous transmission: a packet every 400 ms says that nothing is said."""

    async def main(line: Line) -> None:
        sequence, began = 0, line.loop.time()
        for n in range(500):
            speaks = n % 250 < 50
            if speaks or n % 20 == 0:
                line.uplink.on_rtp(sequence, n * FRAME_TICKS, 7, SPEECH if speaks else QUIET)
                sequence += 1
                assert len(line.messages) == n + 1
                assert line.messages[-1][0] == line.loop.time()
            await asyncio.sleep(began + sent(n) - line.loop.time())
        assert not line.ends

    in_a_call(main)


@pytest.mark.parametrize("still", [0.25, 1.0, 1.9])
def test_a_microphone_whose_clock_stood_still_loses_no_word(still: float) -> None:
    arrivals = on_time(range(BEGINS)) + [(at + still, n) for at, n in on_time(range(BEGINS, 200))]
    call = Call(arrivals)
    assert call.seconds() == pytest.approx(200 * FRAME + still, abs=FRAME)
    back = arrivals[BEGINS][0] - MOMENT
    assert call.seconds(back) == pytest.approx(150 * FRAME, abs=2 * FRAME)
    assert call.seconds(back, back + DOUBT_SECONDS + 2 * MOMENT) > DOUBT_SECONDS, "and is believed after a moment"


def test_a_microphone_whose_clock_stood_still_until_after_the_end_loses_no_word() -> None:
    call = Call(on_time(range(BEGINS)) + [(at + 60, n) for at, n in on_time(range(BEGINS, 200))])
    assert len(call.ends) == 1
    assert call.seconds(call.ends[0]) == pytest.approx(150 * FRAME)


@pytest.mark.parametrize("away", [0.1, 0.5, 1.5, 60.0])
def test_another_stream_begins_at_once_and_stands_where_the_clock_says(away: float) -> None:
    arrivals = on_time(range(BEGINS)) + [(at + away, n) for at, n in on_time(range(BEGINS, 100))]
    call = Call(arrivals, ssrc=lambda n: 7 if n < BEGINS else 8)
    back = arrivals[BEGINS][0]
    assert call.seconds(back - MOMENT, back) >= FRAME - MOMENT
    if call.ends:
        assert call.seconds(call.ends[0]) == pytest.approx(50 * FRAME)
    else:
        assert call.seconds() == pytest.approx(100 * FRAME + away, abs=FRAME)


def in_a_call(main: Callable[[Line], Any]) -> Line:
    async def call() -> Line:
        line = Line()
        await main(line)
        line.uplink.close()
        return line

    return virtual.run(call())


def test_before_the_first_packet_and_after_the_end_no_timer_runs() -> None:
    async def main(line: Line) -> None:
        await asyncio.sleep(60)
        assert line.uplink._timer is None
        line.uplink.on_rtp(0, 0, 7, SPEECH)
        assert line.uplink._timer is not None
        await asyncio.sleep(LIMIT_SECONDS + 1)
        assert line.uplink._timer is None
        assert len(line.ends) == 1
        messages = len(line.messages)
        await asyncio.sleep(3600)
        assert len(line.messages) == messages
        assert len(line.ends) == 1

    in_a_call(main)


def test_a_clean_call_looks_at_the_clock_five_times_a_second_and_moves_no_timer_for_a_packet() -> None:
    async def main(line: Line) -> None:
        armed = 0
        call_at = line.loop.call_at

        def counted(when: float, callback: Callable[..., Any], *args: Any, **more: Any) -> asyncio.TimerHandle:
            nonlocal armed
            armed += callback == line.uplink._look
            return call_at(when, callback, *args, **more)

        line.loop.call_at = counted  # type: ignore[method-assign, assignment]
        for n in range(500):
            line.uplink.on_rtp(n, n * FRAME_TICKS, 7, QUIET)
            await asyncio.sleep(FRAME)
        line.loop.call_at = call_at  # type: ignore[method-assign]
        assert armed <= 500 * FRAME / STALL_SECONDS + 1

    in_a_call(main)


def test_a_muted_microphone_is_no_stall() -> None:
    async def main(line: Line) -> None:
        for stop in (0.1, 0.5):
            await line.hear([SPEECH] * 10)
            await asyncio.sleep(stop)
            line.uplink.shut()
            messages = len(line.messages)
            assert line.uplink._timer is None
            await asyncio.sleep(10)
            line.uplink.open()
            await asyncio.sleep(10)
            assert len(line.messages) == messages
        line.uplink.on_rtp(9000, 9000 * FRAME_TICKS, 7, SPEECH)
        assert len(line.messages) == messages + 1, "and what comes after it is heard at once"
        assert not line.ends

    in_a_call(main)


def test_a_stream_that_ended_before_the_model_listens_is_ended_when_it_does() -> None:
    async def main() -> None:
        line = Line(ready=False)
        line.uplink.open()
        await line.hear([SPEECH] * 25)
        await asyncio.sleep(5)
        assert not line.ends
        line.uplink.model_ready()
        assert len(line.messages) == 25 + LIMIT_SECONDS / FRAME
        assert len(line.ends) == 1
        line.uplink.close()

    virtual.run(main())


def test_a_stream_that_goes_on_when_the_model_listens_is_not_ended() -> None:
    async def main() -> None:
        line = Line(ready=False)
        line.uplink.open()
        await line.hear([SPEECH] * 25)
        await asyncio.sleep(5)
        line.uplink.on_rtp(300, 300 * FRAME_TICKS, 7, SPEECH)
        line.uplink.model_ready()
        assert not line.ends
        line.uplink.close()

    virtual.run(main())


def test_sound_that_somebody_else_decoded_is_looked_after_as_well() -> None:
    async def main(line: Line) -> None:
        for _ in range(10):
            line.uplink.on_pcm(b"\1\0" * 320)
            await asyncio.sleep(FRAME)
        await asyncio.sleep(10)
        assert len(line.messages) == 10 + LIMIT_SECONDS / FRAME
        assert len(line.ends) == 1
        line.uplink.on_pcm(b"\1\0" * 320)
        assert line.messages[-1][1] == b"\1\0" * 320

    in_a_call(main)


def test_an_event_loop_that_slept_reads_what_came_before_it_makes_silence() -> None:
    async def main(line: Line) -> None:
        await line.hear([SPEECH] * 10)
        line.loop._advance(1.0)  # type: ignore[attr-defined]
        for n in range(10, 60):
            line.loop.call_later(MOMENT, line.uplink.on_rtp, n, n * FRAME_TICKS, 7, SPEECH)
        await asyncio.sleep(LOOK_AGAIN_SECONDS * 2)
        assert len(line.messages) == 60
        assert line.uplink.stall.stalls == 0

    in_a_call(main)


def test_the_end_of_a_stream_lets_go_of_what_is_less_than_a_message() -> None:
    async def main(line: Line) -> None:
        line.uplink.on_pcm(bytes(100))
        await asyncio.sleep(10)
        assert sum(len(pcm) for _, pcm in line.messages) == 100 + LIMIT_SECONDS / FRAME * MESSAGE_BYTES

    in_a_call(main)


# ---- whatever happens ----

KINDS: Final = ("clean", "lossy", "dark", "held", "slow", "jittery", "longer")


def weather(parts: Sequence[tuple[str, int, int]]) -> Arrivals:
    """Stretches of a call: (what the network does, for how many packets, how badly, 0–99)."""
    arrivals, n, extra, free = on_time([0]), 1, 0.0, 0.0
    for kind, count, amount in parts:
        until = sent(n + count) + PATH
        if kind == "longer":
            extra += amount / 1000
        for k in range(n, n + count):
            at, dice = sent(k) + PATH + extra, (k * 7919 + amount * 104_729) % 100
            if kind == "dark" or (kind == "lossy" and dice < amount / 2):
                continue
            if kind == "jittery":
                at += dice / 1000
            elif kind in ("held", "slow"):
                free = max(at, until, free + (amount / 5000 if kind == "slow" else 0.0))
                at = free
            arrivals.append((at, k))
        n += count
    return sorted(arrivals + on_time([n]))


part = st.tuples(st.sampled_from(KINDS), st.integers(1, 60), st.integers(0, 99))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(part, min_size=1, max_size=7))
def test_whatever_the_network_does_the_model_hears_no_more_than_time_goes_by_and_no_less_than_comes(
    parts: list[tuple[str, int, int]],
) -> None:
    call = Call(weather(parts))
    last = (call.line.loop.time(), len(call.line.messages))
    ends = [*call.line.ends, last]
    first_end = ends[0][0] - call.began if call.ends else float("inf")
    for at, total in zip(call.when[: ends[0][1]], call.total[1:], strict=False):
        assert total <= at - PATH + LEAD_SECONDS + 1e-6, "no more than time went by"
    for at, n in call.arrivals:
        now = at + LATE_HOLD_SECONDS + MOMENT
        if now < first_end:
            assert call.seconds(until=now) >= sent(n) - FRAME - 1e-6, "no less than came"
    path = 0.1 + sum(amount / 1000 for kind, _, amount in parts if kind == "longer")  # how it may change meanwhile
    for (began, first), (ended, after) in itertools.pairwise(ends):
        came = min((at for at, _ in call.arrivals if at > began - call.began - MOMENT), default=ended - call.began)
        lasted = ended - call.began - came
        assert call.total[after] - call.total[first] <= lasted + FRESH_SECONDS + LEAD_SECONDS + FRAME + path
