"""What is written while connections to the model come and go: remembered, and told once. Virtual time, no network."""

import asyncio
import itertools
import json
import random
from typing import Any

import pytest

from relay.gemini.upstream import Upstream
from tests.service import INTERNAL, Visit
from tests.test_outages import Line, play, sound

NOTE = "I am Ann."


def writes(line: Line, **data: Any) -> None:
    """The client sends a message."""
    line.call.dialogue.on_frame(json.dumps({"id": "m", "label": "rtvi-ai", **data}))


def append(line: Line, text: str) -> None:
    data = {"role": "user", "content": text, "run_immediately": False}
    writes(line, type="append-to-context", data=data)


def text(line: Line, text: str, *, answered: bool = True) -> None:
    writes(line, type="send-text", data={"content": text, "options": {"run_immediately": answered}})


async def listens(visit: Visit) -> None:
    await visit.ready(f"handle {visit.number}")
    await visit.listen()


@pytest.mark.parametrize("planned", [False, True])
@pytest.mark.parametrize("how", [append, lambda line, words: text(line, words, answered=False)])
def test_what_is_written_during_an_answer_is_known_to_every_connection_after_it(how: Any, planned: bool) -> None:
    async def answers(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.until(lambda visit: visit.texts)
        if planned:
            await visit.say(goAway={"timeLeft": "50s"})
        await sound(visit, "It is noon.")
        await asyncio.sleep(1.0)
        await visit.finish("handle of before the note")
        await asyncio.sleep(1.5)
        await visit.close(1011, INTERNAL)

    async def main(line: Line) -> None:
        text(line, "what time is it?")
        await line.call.rest(0.6)
        how(line, NOTE)
        await line.visited(2, within=10.0)
        await line.call.rest(1.0)
        first, second = line.there.visits
        assert first.texts == ["what time is it?", f"user: {NOTE}"]
        assert second.handle == "handle of before the note"
        assert second.texts == [f"user: {NOTE}"]
        assert [turn.text for turn in line.call.history.transcript(0.0).turns][-1] == NOTE

    play(main, answers, listens)


def test_what_is_written_between_two_connections_is_told_once() -> None:
    async def crashes(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(1.0)
        await visit.close(1011, INTERNAL)

    async def late(visit: Visit) -> None:
        await asyncio.sleep(3.0)
        await listens(visit)

    async def main(line: Line) -> None:
        await line.call.rest(2.0)
        append(line, NOTE)
        text(line, "who am I?")
        await line.call.rest(4.0)
        assert line.there.visits[1].texts == [f"user: {NOTE}", "who am I?"]

    play(main, crashes, late)


def test_what_is_written_when_the_call_ends_in_an_answer_is_in_the_transcript() -> None:
    async def answers(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.until(lambda visit: visit.texts)
        await sound(visit, "It is noon.")
        await visit.listen()

    async def main(line: Line) -> None:
        text(line, "what time is it?")
        await line.call.rest(0.6)
        append(line, NOTE)
        line.call.dialogue.farewell()
        assert [turn.text for turn in line.call.history.transcript(0.0).turns][-1] == NOTE

    play(main, answers)


def test_a_slow_function_of_a_dead_connection_is_not_answered_to_a_call_of_the_same_id() -> None:
    async def slow(city: str) -> str:
        """Take three seconds."""
        await asyncio.sleep(3.0)
        return city

    async def calls(visit: Visit) -> None:
        await visit.ready(f"handle {visit.number}")
        await visit.call("c1", "slow", city=["Rome", "Oslo"][visit.number - 1])
        if visit.number == 1:
            await asyncio.sleep(1.0)
            await visit.close(1011, INTERNAL)
        await visit.listen()

    async def main(line: Line) -> None:
        assert isinstance(line.call.dialogue.client, Upstream)
        await line.call.rest(7.0)
        (response,) = [body for kind, body in line.there.visits[1].heard if kind == "toolResponse"]
        assert response["functionResponses"] == [{"id": "c1", "name": "slow", "response": {"output": "Oslo"}}]
        assert [said for said in line.there.visits[1].texts if "returned" in said and "Rome" in said]

    play(main, calls, tools=[slow])


class Knowing:
    """A service whose handles hold what it had been told when the last turn ended, and that dies again and again."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._held: dict[str | None, list[str]] = {None: []}
        self._handles = itertools.count(1)
        self.calm = False  # nothing happens any more

    def knows(self, visit: Visit) -> list[str]:
        """What was said on it, and on those before it that it stands on."""
        return self._held[visit.handle] + visit.texts

    async def serve(self, visit: Visit) -> None:
        await visit.say(setupComplete={})
        await self._offer(visit, self.knows(visit))
        ends = asyncio.create_task(self._end(visit))
        try:
            answered = 0
            while True:
                await visit.until(lambda visit, answered=answered: len(visit.texts) > answered)  # type: ignore[misc]
                await asyncio.sleep(self._dice.uniform(0.1, 1.5))
                answered = len(visit.texts)
                await sound(visit, "So be it.")
                await asyncio.sleep(self._dice.choice([0.1, 1.0, 2.0]))
                known = self.knows(visit)
                await visit.finish()
                await asyncio.sleep(self._dice.choice([0.0, 0.0, 0.3]))
                await self._offer(visit, known)
        finally:
            ends.cancel()

    async def _offer(self, visit: Visit, known: list[str]) -> None:
        handle = f"handle {next(self._handles)}"
        self._held[handle] = list(known)
        await visit.offer(handle)

    async def _end(self, visit: Visit) -> None:
        await asyncio.sleep(self._dice.uniform(6.0, 12.0))
        if self.calm:
            return
        if self._dice.random() < 0.5:
            await visit.say(goAway={"timeLeft": "4s"})
            await asyncio.sleep(4.0)
        await visit.close(1011, INTERNAL)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_model_knows_in_the_end_all_that_was_written(seed: int) -> None:
    dice = random.Random(seed)
    there, written = Knowing(dice), list[str]()

    async def main(line: Line) -> None:
        for number in range(25):
            match dice.randrange(3):
                case 0:
                    append(line, words := f"Note {number}.")
                case 1:
                    text(line, words := f"Remember {number}.", answered=False)
                case _:
                    text(line, words := f"Question {number}?")
            written.append(words)
            await asyncio.sleep(dice.choice([0.1, 0.5, 1.0, 3.0, 5.0]))
        there.calm = True
        await asyncio.sleep(20.0)
        known = there.knows(line.there.visits[-1])
        assert [words for words in written if not any(words in told for told in known)] == []
        assert len(line.there.visits) > 3

    play(main, there.serve)
