"""What is counted: sums that never fall, whoever comes and goes, and the times that a caller waits."""

import logging
from dataclasses import dataclass, field

import pytest

from relay.downlink import Downlink
from relay.metrics import (
    CAUSES,
    FATES,
    KINDS,
    CallFigures,
    Metrics,
    Promptness,
    Quality,
    figures_of,
    middle_and_worst,
)
from relay.ticker import Ticker
from relay.uplink import Uplink
from tests import virtual


@dataclass(eq=False)
class Counted:
    """A call that has counted what it is told to have counted."""

    in_order: int = 0
    dropped: int = 0
    reason: str = "hung-up"
    broken: bool = False
    quality_now: Quality = field(default_factory=Quality)

    def figures(self) -> CallFigures:
        if self.broken:
            raise ZeroDivisionError
        figures = CallFigures()
        figures.packets_in["in_order"] += self.in_order
        figures.dropped["rate"] += self.dropped
        figures.underruns += 1
        figures.answer.add(0.5)
        return figures

    async def quality(self) -> Quality:
        return self.quality_now


class Deaf:
    """Nobody to be told of sound."""

    def on_sound_started(self) -> None: ...

    def on_played(self, position: int) -> None: ...

    def on_sound_stopped(self) -> None: ...

    def failed(self, error: Exception) -> None: ...


def _nothing(*_: object) -> None: ...


class Processor:
    """CPU time as the test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def read(metrics: Metrics) -> CallFigures:
    """The sums of all calls there have been, as a scrape adds them up."""
    sums = metrics.past()
    for call in metrics.calls:
        sums.include(figures_of(call))
    return sums


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Processor())


def test_every_figure_is_there_before_anything_was_counted(metrics: Metrics) -> None:
    figures = read(metrics)
    assert dict(figures.packets_in) == dict.fromkeys(FATES, 0)
    assert dict(figures.dropped) == dict.fromkeys(CAUSES, 0)
    assert dict(figures.packets_out) == dict.fromkeys(KINDS, 0)


def test_nothing_is_lost_when_a_call_ends_between_two_readings(metrics: Metrics) -> None:
    one, other = Counted(10), Counted(5, dropped=2)
    metrics.enter(one, 0.0)
    metrics.enter(other, 0.0)
    seen = [read(metrics).packets_in["in_order"]]
    one.in_order = 30
    metrics.leave(one, 1.0)
    seen.append(read(metrics).packets_in["in_order"])
    one.in_order = 1000  # nobody looks at it any more
    other.in_order = 6
    seen.append(read(metrics).packets_in["in_order"])
    metrics.leave(other, 2.0)
    seen.append(read(metrics).packets_in["in_order"])
    assert seen == [15, 35, 36, 36]
    figures = read(metrics)
    assert (figures.dropped["rate"], figures.underruns, figures.answer.count) == (2, 2, 2)


def test_a_call_ends_once_and_for_a_reason(metrics: Metrics) -> None:
    one, other = Counted(1), Counted(2, reason="peer-lost")
    for call in (one, other):
        metrics.enter(call, 0.0)
    assert metrics.calls == [one, other]
    for call in (one, other, one):
        metrics.leave(call, 1.0)
    assert (metrics.opened, metrics.calls, dict(metrics.ended)) == (2, [], {"hung-up": 1, "peer-lost": 1})
    assert read(metrics).packets_in["in_order"] == 3


def test_a_call_that_cannot_be_read_keeps_nobody_from_the_others(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = Counted(7), Counted(broken=True)
    for call in (bad, good):
        metrics.enter(call, 0.0)
    assert read(metrics).packets_in["in_order"] == 7
    metrics.leave(bad, 1.0)
    assert metrics.calls == [good]
    assert all(record.levelno == logging.ERROR for record in caplog.records)


def test_cpu_time_counts_while_a_call_is_live() -> None:
    processor = Processor()
    metrics, one, other = Metrics(processor), Counted(), Counted()
    processor.seconds = 50.0  # the start was somebody else's
    metrics.enter(one, 100.0)
    processor.seconds = 51.0
    metrics.enter(other, 110.0)
    processor.seconds = 53.0
    assert (metrics.call_seconds(120.0), metrics.cpu_seconds(120.0)) == (30.0, 3.0)
    metrics.leave(one, 120.0)
    metrics.leave(other, 130.0)
    processor.seconds = 90.0
    assert (metrics.call_seconds(200.0), metrics.cpu_seconds(200.0)) == (40.0, 3.0)


def test_refusals_are_counted_by_their_code(metrics: Metrics) -> None:
    for code in ("busy", "token-wrong", "busy"):
        metrics.refuse(code)
    assert dict(metrics.refused) == {"busy": 2, "token-wrong": 1}


class Watch:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def waits(watch: Watch) -> Promptness:
    return Promptness(watch)


def test_an_answer_is_timed_from_the_end_of_the_question_and_its_first_packet_from_its_first_byte(
    waits: Promptness, watch: Watch
) -> None:
    waits.user_started()
    waits.user_stopped(10.0)
    watch.now = 500.0  # another clock than the loop's
    waits.model_spoke()
    watch.now = 500.0002
    waits.model_spoke()
    watch.now = 500.0004
    waits.sound_started(11.0)
    waits.model_spoke()
    waits.sound_stopped()
    assert (waits.answer.count, waits.first_packet.count) == (1, 1)
    assert waits.answer.sum == pytest.approx(1.0)
    assert waits.first_packet.sum == pytest.approx(0.0004)


def test_what_the_model_says_of_its_own_accord_answers_nothing(waits: Promptness) -> None:
    waits.model_spoke()
    waits.sound_started(5.0)
    assert (waits.answer.count, waits.first_packet.count) == (0, 1)


def test_an_answer_that_is_quicker_than_we_know_of_the_end_of_the_question_is_timed_all_the_same(
    waits: Promptness,
) -> None:
    waits.user_started()
    waits.sound_started(10.3)
    waits.user_stopped(10.0)
    assert waits.answer.sum == pytest.approx(0.3)
    waits.sound_stopped()
    waits.sound_started(60.0)
    assert waits.answer.count == 1


def test_who_speaks_again_has_not_been_kept_waiting(waits: Promptness) -> None:
    waits.user_stopped(10.0)
    waits.user_started()
    waits.sound_started(30.0)
    assert waits.answer.count == 0


def test_an_interruption_begins_a_new_question(waits: Promptness) -> None:
    waits.sound_started(1.0)
    waits.user_started()
    waits.sound_stopped()
    waits.user_stopped(3.0)
    waits.sound_started(4.5)
    assert waits.answer.sum == pytest.approx(1.5)


def test_the_median_and_the_worst_of_what_is_known() -> None:
    assert middle_and_worst([None, 3.0, 1.0, None, 2.0]) == (2.0, 3.0)
    assert middle_and_worst([None]) is None


def test_packets_are_told_by_the_copies_they_carry_and_no_sum_falls_when_one_cannot_leave() -> None:
    async def main() -> list[CallFigures]:
        ticker = Ticker()
        downlink, uplink = Downlink(ticker, Deaf()), Uplink(_nothing, _nothing, _nothing)
        read = list[CallFigures]()
        for packets, protected, unsent in ((10, [3, 1, 1], 0), (10, [4, 1, 1], 1), (11, [4, 1, 1], 1)):
            downlink.packets, downlink.protected, downlink.unsent = packets, protected, unsent
            read.append(CallFigures())
            read[-1].add_sound(uplink, downlink, Promptness(Watch()))
        ticker.close()
        return read

    read = virtual.run(main())
    assert [list(figures.packets_out.values()) for figures in read] == [[5, 3, 1, 1], [5, 4, 1, 1], [6, 4, 1, 1]]
    assert [figures.unsent for figures in read] == [0, 1, 1]
