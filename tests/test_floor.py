"""The user has the floor: the answer that was cut is over for everybody, and the next one is told of as it begins."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from relay.gemini import events
from relay.ticker import PERIOD
from relay.watchdog import ANSWER_SECONDS, STALL_SECONDS
from tests.talk import SECOND, Call, play

NEXT = "Now this."
TOLD = ("bot-started-speaking", "bot-output", "bot-interrupted", "bot-stopped-speaking")


WHOLE = (events.GenerationComplete(), events.TurnComplete())


async def answering(call: Call) -> None:
    """The model is in the middle of a long answer, of which more is to come."""
    call.does(events.OutputTranscript("One two three four five six seven eight nine ten."), events.Audio(SECOND * 10))
    await call.rest(2.0)


def type_(call: Call, words: str) -> None:
    """The client sends them."""
    frame = {"label": "rtvi-ai", "type": "send-text", "id": "1", "data": {"content": words}}
    call.dialogue.on_frame(json.dumps(frame))


def types(call: Call, since: int = 0) -> list[str]:
    """What the client is told of what it hears."""
    kinds = [message["type"] for message in call.said[since:]]
    return [kind for kind in kinds if kind in TOLD]


def outputs(call: Call) -> list[dict[str, Any]]:
    """What it is told of the next answer on its way to be heard."""
    rows = [message["data"] for message in call.said if message["type"] == "bot-output"]
    return [row for row in rows if row["text"] == NEXT]


# -- an answer that begins before the one that was cut has faded ---------------------------------------------------


@pytest.mark.parametrize("after", [0.0, 0.010, 0.020, 0.030])
@pytest.mark.parametrize("offset", [0.0, 0.011])
def test_an_answer_that_follows_a_cut_at_once_is_told_of_from_its_first_packet(offset: float, after: float) -> None:
    async def main(call: Call) -> None:
        await answering(call)
        await asyncio.sleep(offset)
        before = len(call.said)
        call.does(events.Interrupted(), events.TurnComplete())
        await asyncio.sleep(after)
        call.does(events.OutputTranscript(NEXT), events.Audio(SECOND), events.GenerationComplete())
        await asyncio.sleep(2 * PERIOD + 0.001)  # the fade, and the first frame
        assert [row["spoken_status"] for row in outputs(call)] == ["new"]
        await call.rest(2.0)
        assert types(call, before) == [
            "bot-output",  # how far the first had come
            "bot-interrupted",
            "bot-stopped-speaking",
            "bot-started-speaking",
            *["bot-output"] * 3,  # new, in progress, completed
            "bot-stopped-speaking",
        ]
        assert [row["spoken_status"] for row in outputs(call)] == ["new", "in-progress", "completed"]
        turn = call.history.transcript(call.loop.time()).turns[-1]
        assert (turn.text, turn.interrupted) == (NEXT, False)

    play(main)


# -- an answer that the user cuts by typing, while more of it is on its way ------------------------------------------


@pytest.mark.parametrize("goes_on", [(), WHOLE])
def test_what_crosses_a_typed_question_is_not_taken_for_its_answer(goes_on: Sequence[events.Event]) -> None:
    async def main(call: Call) -> None:
        call.does(events.Audio(SECOND * 40))
        await call.rest(2.0)
        type_(call, "And now?")
        call.does(events.OutputTranscript(" More."), events.Audio(SECOND), *goes_on)
        await call.rest(ANSWER_SECONDS - 0.1)
        assert call.told == []
        await call.rest(0.2)
        assert call.told == ["slow-answer"]

    play(main)


def test_text_that_straggles_in_behind_an_interruption_is_not_taken_for_the_next_answer() -> None:
    async def main(call: Call) -> None:
        call.does(events.Audio(SECOND * 40))
        await call.rest(2.0)
        type_(call, "And now?")
        call.does(events.Interrupted(), events.OutputTranscript(" More."), events.TurnComplete())
        await call.rest(ANSWER_SECONDS - 0.1)
        assert call.told == []
        await call.rest(0.2)
        assert call.told == ["slow-answer"]

    play(main)


def test_what_was_cut_is_not_waited_for_when_the_next_answer_breaks_off() -> None:
    async def main(call: Call) -> None:
        call.does(events.Audio(SECOND * 40), *WHOLE)
        await call.rest(2.0)
        type_(call, "And now?")
        call.does(events.Audio(SECOND))
        await call.rest(1.0 + STALL_SECONDS - 0.1)
        assert call.told == []
        await call.rest(0.2)
        assert call.told == ["slow-answer"]

    play(main)
