"""Who is written down next."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from typing import Final

import pytest

from relay.standin.desk import MAX_FINALS, Crowded, Desk

PATIENCE_S: Final = 20.0


class Writer:
    """Writes nothing until it is let, and then what it was given."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.began = threading.Semaphore(0)
        self.written: list[bytes] = []
        self.busy = self.busiest = 0
        self._lock = threading.Lock()

    def write(self, pcm: bytes) -> str:
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            self.written.append(pcm)
        self.began.release()
        assert self.let.wait(PATIENCE_S)
        with self._lock:
            self.busy -= 1
        if pcm == b"bad":
            raise ValueError("bad sound")
        return pcm.decode()


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def desk(writer: Writer) -> Iterator[Desk]:
    """One thread, which has begun with something and does not get on with it."""
    desk = Desk(writer.write, threads=1)
    desk.final("other", b"first")
    assert writer.began.acquire(timeout=PATIENCE_S)
    yield desk
    writer.let.set()
    desk.close()


def text(future: "Future[str]") -> str:
    return future.result(PATIENCE_S)


def test_finals_come_before_partials_and_in_order(desk: Desk, writer: Writer) -> None:
    partial = desk.partial("a", b"partial")
    finals = [desk.final(call, call.encode()) for call in "bcd"]
    writer.let.set()
    assert [text(final) for final in finals] == ["b", "c", "d"]
    assert text(partial) == "partial"
    assert writer.written == [b"first", b"b", b"c", b"d", b"partial"]


def test_of_each_call_only_the_newest_partial_is_written_down(desk: Desk, writer: Writer) -> None:
    old, new, other = desk.partial("a", b"old"), desk.partial("a", b"new"), desk.partial("b", b"other")
    assert old.cancelled()
    writer.let.set()
    assert (text(new), text(other)) == ("new", "other")
    assert b"old" not in writer.written


def test_a_final_makes_the_partial_before_it_needless(desk: Desk, writer: Writer) -> None:
    partial, final = desk.partial("a", b"partial"), desk.final("a", b"final")
    assert partial.cancelled()
    writer.let.set()
    assert text(final) == "final"


def test_a_call_may_have_several_finals(desk: Desk, writer: Writer) -> None:
    finals = [desk.final("a", b"%d" % n) for n in range(5)]
    writer.let.set()
    assert [text(final) for final in finals] == list("01234")


def test_a_draft_that_is_void_is_not_written_down(desk: Desk, writer: Writer) -> None:
    draft, final = desk.final("a", b"draft"), desk.final("a", b"final")
    assert draft.cancel()
    writer.let.set()
    assert text(final) == "final"
    assert b"draft" not in writer.written


def test_sound_that_cannot_be_written_down_stops_nobody_else(desk: Desk, writer: Writer) -> None:
    bad, good = desk.final("a", b"bad"), desk.final("b", b"good")
    writer.let.set()
    with pytest.raises(ValueError, match="bad sound"):
        bad.result(PATIENCE_S)
    assert text(good) == "good"


def test_more_than_ever_comes_to_its_turn_is_refused(desk: Desk, writer: Writer) -> None:
    finals = [desk.final(n, b"x") for n in range(MAX_FINALS)]
    with pytest.raises(Crowded):
        desk.final("one more", b"x").result(PATIENCE_S)
    writer.let.set()
    assert all(text(final) == "x" for final in finals)


def test_several_are_written_down_at_once_but_never_more_than_there_are_threads(writer: Writer) -> None:
    desk = Desk(writer.write, threads=2)
    finals = [desk.final(n, b"x") for n in range(6)]
    assert writer.began.acquire(timeout=PATIENCE_S)
    assert writer.began.acquire(timeout=PATIENCE_S)
    writer.let.set()
    assert [text(final) for final in finals] == ["x"] * 6
    assert writer.busiest == 2
    desk.close()


def test_closing_cancels_what_waits_and_finishes_what_is_being_written(writer: Writer) -> None:
    desk = Desk(writer.write, threads=1)
    begun = desk.final("a", b"begun")
    assert writer.began.acquire(timeout=PATIENCE_S)
    waiting = [desk.final("a", b"x"), desk.partial("b", b"y")]
    closing = threading.Thread(target=desk.close)
    closing.start()
    for future in waiting:
        with pytest.raises(CancelledError):
            future.result(PATIENCE_S)
    writer.let.set()
    closing.join(PATIENCE_S)
    desk.close()
    assert text(begun) == "begun"
    late = desk.final("a", b"late")
    assert desk.partial("a", b"late").cancelled()
    with pytest.raises(Crowded):
        late.result(PATIENCE_S)
