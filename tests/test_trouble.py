"""A call that never connects ends with the reason, whoever gives it up."""

import asyncio

import pytest

from relay.session import GAVE_UP_SECONDS
from relay.succession import CONNECT_SECONDS
from tests.between import Call, Play


def test_at_the_deadline_the_reason_is_how_far_it_came(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        assert CONNECT_SECONDS <= await call.over() < CONNECT_SECONDS + 1
        assert call.session.reason == "no-packet"

    play(main)


@pytest.mark.parametrize(("after", "reason"), [(GAVE_UP_SECONDS + 0.1, "no-packet"), (1.0, "hung-up")])
def test_a_client_that_gives_up_late_has_not_just_hung_up(play: Play, after: float, reason: str) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        await asyncio.sleep(after)
        await call.session.close()
        assert call.session.reason == reason

    play(main)


def test_a_call_that_was_connected_has_no_such_reason(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        await asyncio.sleep(GAVE_UP_SECONDS + 1)
        assert call.session.trouble() is None
        await call.session.close()
        assert call.session.reason == "hung-up"

    play(main)


def test_candidates_go_to_the_newest_connection(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        await call.session.meet(["candidate:1"])
        assert call.peer.met == ["candidate:1"]

    play(main)
