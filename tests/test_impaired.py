"""What the model hears of a sentence that came over a bad network, through the whole way up, in virtual time.

A delay is from when a frame was sent, plus what the path takes at best, to when its 20 ms are with the model.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Final

import pytest

from relay.audio import red
from relay.audio.jitter import FEC_HOLD_SECONDS, HOLD_SECONDS, MAX_CONCEAL_TICKS
from relay.audio.packet import FRAME_TICKS
from relay.audio.patience import LATE_HOLD_SECONDS
from relay.audio.stall import PACKET_SECONDS, STALL_SECONDS
from relay.uplink import MESSAGE_BYTES
from tests import virtual
from tests.caller import FRAME
from tests.netem import OVERHEAD_BYTES, Link, Trouble
from tests.sound import Sound, compare, read_wav, silence
from tests.test_uplink import Line, packets

SENTENCE: Final = read_wav("tests/sounds/weather.wav")
PATH: Final = 0.040  # seconds from the browser to the relay at best
MOMENT: Final = 0.001  # below this nobody has waited
LOSSES: Final = (0.01, 0.05, 0.10, 0.20, 0.30)
BURSTS: Final = (0.05, 0.10)
SINGLE_LOSSES: Final = 7  # the seed of a path that never loses two packets in a row
OPUS: Final = 111  # a payload type


QUIET: Final = silence(0.4, SENTENCE.rate)  # after what is said, so that the network can deliver the rest
WORDS: Final = range(50, 140)  # the frames of the sentence in which somebody speaks


@functools.cache
def sentence() -> list[bytes]:
    return packets(Sound(SENTENCE.pcm + QUIET.pcm, SENTENCE.rate))


@functools.cache
def monologue() -> list[bytes]:
    """16 s of speech without a pause."""
    words = SENTENCE.part(WORDS[0] * FRAME, (WORDS[-1] + 1) * FRAME)
    return packets(Sound(9 * words.pcm + QUIET.pcm, SENTENCE.rate))


class Call:
    """What was said, sent over a bad network; which of the many that its seed makes is part of the test.

    With `copies` each packet brings so many of those before it along.
    """

    def __init__(self, trouble: Trouble, said: list[bytes], *, seed: int = 2, copies: int = 0) -> None:
        self.sent = said
        self.copies = copies
        self.link = Link[int](trouble, seed)
        self.arrived: dict[int, float] = {}  # when the first copy of each packet came, in seconds of the call
        self.line: Line = virtual.run(self._hold())
        self.jitter = self.line.uplink.jitter
        self.first = min(self.arrived, key=self.arrived.__getitem__)  # where the stream begins for the relay
        self.messages = {n: pcm for n, (_, pcm) in enumerate(self.line.messages, self.first)}
        self.at = {n: at - self._began for n, (at, _) in enumerate(self.line.messages, self.first)}

    async def _hold(self) -> Line:
        line = Line()
        last = self._began = line.loop.time()
        for n, payload in enumerate(self.sent):
            for at, _ in self.link.send(n, n * FRAME, len(payload) + OVERHEAD_BYTES):
                line.loop.call_at(self._began + at, self._deliver(line, n, payload))
                last = max(last, self._began + at)
        await asyncio.sleep(last - self._began + LATE_HOLD_SECONDS + MOMENT)  # and before silence begins
        line.uplink.close()
        return line

    def _deliver(self, line: Line, n: int, payload: bytes) -> Callable[[], None]:
        def deliver() -> None:
            self.arrived.setdefault(n, line.loop.time() - self._began)
            line.uplink.on_rtp(n, n * FRAME_TICKS, 7, payload, self._around(n) if self.copies else b"")

        return deliver

    def _around(self, n: int) -> bytes:
        before = range(max(0, n - self.copies), n)
        return red.write(self.sent[n], [((n - m) * FRAME_TICKS, self.sent[m]) for m in before], OPUS)

    @property
    def missing(self) -> list[int]:
        """What never came, from the first packet that did to the last."""
        return [n for n in range(self.first, max(self.arrived)) if n not in self.arrived]

    @property
    def delays(self) -> list[float]:
        """Of the frames whose packets came; the shortest first."""
        return sorted(self.at[n] - n * FRAME - PATH for n in self.arrived if n >= self.first)

    @property
    def p95(self) -> float:
        return self.delays[int(0.95 * len(self.delays))]

    def is_whole(self) -> bool:
        """From its first frame to its last the model has 20 ms for every 20 ms that were spoken, give or take one."""
        whole = all(len(pcm) == MESSAGE_BYTES for pcm in self.messages.values())
        return whole and self.first <= 1 and max(self.arrived) == max(self.messages) >= len(self.sent) - 10

    def is_recognised(self) -> bool:
        """It is this sentence, and each word stands where it was spoken: a frame too many or too few would shift it."""
        likeness = compare(SENTENCE, self.line.heard)
        return likeness.same and abs(likeness.lag + self.first * FRAME) < FRAME / 2


@functools.cache
def clean() -> Call:
    return Call(Trouble(delay=PATH), sentence())


def test_over_a_clean_path_every_frame_is_with_the_model_when_it_arrives() -> None:
    call = clean()
    assert call.is_whole()
    assert len(call.messages) == len(call.sent)
    assert call.is_recognised()
    assert -MOMENT < call.delays[0] <= call.delays[-1] < MOMENT


@pytest.mark.parametrize("loss", LOSSES)
def test_under_random_loss_the_whole_sentence_arrives_in_time_and_nothing_that_came_is_wasted(loss: float) -> None:
    call = Call(Trouble(delay=PATH, loss=loss), monologue())
    assert call.is_whole()
    assert call.p95 <= (0.025 if loss <= 0.05 else 0.045)
    assert call.delays[-1] <= HOLD_SECONDS + MOMENT
    assert call.jitter.late == 0
    assert call.jitter.lost == len(call.missing) > 0
    assert call.jitter.fec > 0.5 * call.jitter.lost


@pytest.mark.parametrize("loss", BURSTS)
def test_after_a_burst_the_delay_is_back_at_once(loss: float) -> None:
    call = Call(Trouble(delay=PATH, loss=loss, burst=3), monologue())
    assert call.is_whole()
    assert call.jitter.late == 0
    assert call.jitter.lost == len(call.missing) > 0
    assert call.p95 <= (0.025 if loss <= 0.05 else 0.045)
    waited = round(HOLD_SECONDS / FRAME)  # packets that come while a hole is waited for
    for n in call.arrived:
        if all(before in call.arrived for before in range(n - waited, n)):
            assert call.at[n] - n * FRAME - PATH < MOMENT


@pytest.mark.parametrize(
    ("loss", "burst", "seed"), [(0.01, 0, 2), (0.05, 0, 3), (0.10, 0, 2), (0.05, 3, 7), (0.10, 3, 7)]
)
def test_up_to_ten_percent_loss_the_sentence_is_still_itself(loss: float, burst: float, seed: int) -> None:
    call = Call(Trouble(delay=PATH, loss=loss, burst=burst), sentence(), seed=seed)
    assert len(set(call.missing) & set(WORDS)) >= loss * len(WORDS), "this seed's losses hit the words"
    assert call.is_recognised()


@pytest.mark.parametrize(("jitter", "dropped"), [(0.010, 0.003), (0.020, 0.010)])
def test_packets_that_overtake_each_other_are_heard_in_order_and_hardly_one_is_dropped(
    jitter: float, dropped: float
) -> None:
    call = Call(Trouble(delay=PATH, exponential=jitter), monologue())
    assert call.is_whole()
    assert not call.missing
    assert call.jitter.late == call.jitter.lost + call.first <= dropped * len(call.sent) + 1
    used = [n for n in call.arrived if n >= call.first and call.at[n] >= call.arrived[n]]
    assert len(used) == len(call.arrived) - call.jitter.late
    waits = sorted(call.at[n] - call.arrived[n] for n in used)
    assert waits[int(0.95 * len(waits))] <= 0.045
    assert waits[-1] <= LATE_HOLD_SECONDS + MOMENT


@pytest.mark.parametrize("jitter", [0.010, 0.020])
def test_a_sentence_whose_packets_overtake_each_other_is_still_itself(jitter: float) -> None:
    assert Call(Trouble(delay=PATH, exponential=jitter), sentence()).is_recognised()


def test_with_a_copy_in_the_next_packet_single_losses_change_no_sample() -> None:
    call = Call(Trouble(delay=PATH, loss=0.05), sentence(), seed=SINGLE_LOSSES, copies=1)
    assert len(set(call.missing) & set(WORDS)) >= 0.05 * len(WORDS)
    assert not any(n + 1 in call.missing for n in call.missing)
    assert call.messages == clean().messages
    assert call.delays[-1] < MOMENT, "what came was never held up, because nothing was left to wait for"
    assert (call.jitter.red, call.jitter.lost) == (len(call.missing), 0)


@pytest.mark.parametrize(("loss", "burst"), [(0.10, 0), (0.20, 0), (0.10, 3)])
def test_with_copies_a_bad_network_costs_little_sound_and_little_time(loss: float, burst: float) -> None:
    trouble = Trouble(delay=PATH, loss=loss, burst=burst)
    bare, copied = Call(trouble, monologue()), Call(trouble, monologue(), copies=1)
    assert bare.missing == copied.missing
    assert copied.is_whole()
    assert copied.jitter.red + copied.jitter.lost == bare.jitter.lost
    invented = [call.jitter.lost - call.jitter.fec for call in (bare, copied)]
    assert invented[1] < (0.7 if burst else 0.4) * invented[0]
    assert copied.p95 <= (bare.p95 if burst else FEC_HOLD_SECONDS + MOMENT)


def test_with_copies_packets_that_overtake_each_other_are_neither_missed_nor_late() -> None:
    call = Call(Trouble(delay=PATH, exponential=0.020), monologue(), copies=1)
    assert call.is_whole()
    assert call.jitter.lost <= 0.003 * len(call.sent)


def test_doubled_packets_cost_nothing() -> None:
    call = Call(Trouble(delay=PATH, duplicates=0.05), sentence())
    assert call.link.counts["doubled"] > 0
    assert call.messages == clean().messages
    assert call.delays[-1] < MOMENT


def test_packets_that_are_doubled_and_reordered_are_each_heard_once() -> None:
    once = Call(Trouble(delay=PATH, uniform=0.015), sentence())
    twice = Call(Trouble(delay=PATH, uniform=0.015, duplicates=0.5), sentence())
    assert twice.link.counts["doubled"] > 50
    assert once.messages == twice.messages == clean().messages, "and 15 ms of jitter change no sample"


def test_after_a_blackout_of_a_second_the_call_goes_on_where_it_would_have_been() -> None:
    begin, end = 1.2, 2.2
    call = Call(Trouble(delay=PATH, blackouts=((begin, end),)), sentence())
    dark = range(round(begin / FRAME), round(end / FRAME))
    assert call.missing == [*dark]
    assert call.is_whole()
    concealed = MAX_CONCEAL_TICKS // FRAME_TICKS
    assert any(call.messages[dark[0]]), "the last word fades"
    assert not any(any(call.messages[n]) for n in dark[concealed:]), "and then it is silence"
    stalled = STALL_SECONDS + PACKET_SECONDS
    for n in dark:
        due = max(stalled - (n - dark[0]) * FRAME, PACKET_SECONDS)
        assert call.at[n] - n * FRAME - PATH == pytest.approx(due, abs=FRAME), "that came while nothing else did"
    back = dark[-1] + 1
    assert call.messages[back] != bytes(MESSAGE_BYTES), "the first word after it is not lost"
    for n in call.arrived:
        held = HOLD_SECONDS - (n - back) * FRAME if n >= back else 0.0
        assert call.at[n] - n * FRAME - PATH < max(held, 0.0) + MOMENT


def test_a_sentence_over_a_slow_line_that_drops_nothing_is_only_later() -> None:
    call = Call(Trouble(delay=PATH, rate=64_000), sentence())
    slowest = 8 * (max(map(len, call.sent)) + OVERHEAD_BYTES) / 64_000
    assert call.messages == clean().messages
    assert call.delays[-1] < slowest + FRAME


def test_everything_at_once_breaks_nothing() -> None:
    trouble = Trouble(delay=PATH, loss=0.10, burst=3, exponential=0.010, duplicates=0.05, blackouts=((1.5, 1.7),))
    call = Call(trouble, sentence())
    assert {"lost", "dark", "doubled"} <= call.link.counts.keys()
    assert call.is_whole()
    assert call.p95 <= LATE_HOLD_SECONDS + FRAME
