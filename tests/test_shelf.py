"""Transcripts of calls that are over, in virtual time: there for ten minutes, then gone."""

import asyncio

from relay.transcript import Role, Transcript, Turn
from signaling.shelf import KEEP_SECONDS, MAX_KEPT, MAX_KEPT_CHARACTERS, Shelf
from signaling.tickets import Ticket
from tests.virtual import run


def transcript(characters: int = 5) -> Transcript:
    return Transcript(0.0, 1.0, True, 0, (Turn(Role.USER, "x" * characters),))


def test_a_transcript_is_there_for_ten_minutes_and_then_deleted_though_nobody_asks() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.put("a", transcript(), Ticket())
        await asyncio.sleep(300)
        shelf.put("b", transcript(), Ticket())
        await asyncio.sleep(KEEP_SECONDS - 301)
        assert len(shelf) == 2
        await asyncio.sleep(2)
        assert len(shelf) == 1
        assert shelf.find("a") is None
        assert shelf.find("b") is not None
        await asyncio.sleep(300)
        assert len(shelf) == 0
        shelf.put("c", transcript(), Ticket())
        await asyncio.sleep(KEEP_SECONDS + 1)
        assert len(shelf) == 0

    assert KEEP_SECONDS == 600
    run(main())


def test_the_oldest_goes_for_the_newest() -> None:
    async def main() -> None:
        shelf = Shelf()
        for number in range(MAX_KEPT + 1):
            shelf.put(str(number), transcript(), Ticket())
        assert len(shelf) == MAX_KEPT
        assert shelf.find("0") is None
        shelf.put("long", transcript(MAX_KEPT_CHARACTERS), Ticket())
        assert len(shelf) == 1
        shelf.put("short", transcript(), Ticket())
        assert shelf.find("long") is None
        assert shelf.find("short") is not None
        shelf.close()

    run(main())


def test_what_is_dropped_is_gone_and_makes_room() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.put("a", transcript(MAX_KEPT_CHARACTERS), Ticket())
        assert shelf.drop("a")
        assert not shelf.drop("a")
        shelf.put("b", transcript(MAX_KEPT_CHARACTERS), Ticket())
        shelf.put("b", transcript(), Ticket())  # again
        assert len(shelf) == 1
        shelf.close()

    run(main())


def test_once_it_is_closed_nothing_is_kept() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.put("a", transcript(), Ticket())
        shelf.close()
        shelf.close()
        shelf.put("b", transcript(), Ticket())
        assert len(shelf) == 0

    run(main())
