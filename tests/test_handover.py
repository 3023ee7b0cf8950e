"""What the next connection is given first, however long there was none and whatever was said meanwhile."""

import asyncio
from typing import Final

import pytest
from google.genai import types

from relay.gemini import life, protocol, recall
from relay.gemini.client import LiveClient
from relay.gemini.handover import Handover
from relay.gemini.handshake import Target
from relay.gemini.unfinished import PATIENCE_SECONDS, Unfinished
from relay.gemini.unheard import MAX_WORDS
from tests.memory import Memory
from tests.service import INTERNAL, Visit, run, service
from tests.test_upstream import MODEL, PIECE, Owner, counted, listen, ready_after

CALLED: Final = "user: " + recall.CALLED % "play_music({})"


async def crash_in_mid_sentence(visit: Visit) -> None:
    await visit.speak(1.0, "Once upon a time")
    await asyncio.sleep(2)
    await visit.close(1011, INTERNAL)


async def answering(visit: Visit) -> None:
    await visit.ready("handle 1")
    await crash_in_mid_sentence(visit)


# -- long outages ---------------------------------------------------------------------------------------------


def test_a_question_is_not_forgotten_while_nobody_listens() -> None:
    down = (PATIENCE_SECONDS + life.BUDGET_SECONDS) / 2

    async def main() -> None:
        async with service(listen) as there, Owner(there.url) as owner:
            owner.upstream.utterance(True, owner.loop.time())
            for _ in range(50):
                owner.say_piece()
            owner.upstream.utterance(False, owner.loop.time())
            await asyncio.sleep(1)
            await there.down()
            await asyncio.sleep(down)
            await there.up()
            await asyncio.sleep(life.LONGEST_WAIT * (1 + life.SPREAD))
            assert owner.faults == []
            assert counted(there.visits[1].pcm) == list(range(50 * PIECE))

    run(main)


# -- answers that were cut ------------------------------------------------------------------------------------


def test_an_answer_that_was_cut_beside_a_function_that_runs_is_gone_on_with() -> None:
    async def calling(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "play_music")
        await crash_in_mid_sentence(visit)

    async def main() -> None:
        async with service(calling, listen) as there, Owner(there.url) as owner:
            owner.memory.turns += [("user", "a story with music, please"), ("model", "Once upon")]
            await asyncio.sleep(4)
            told = ["user: a story with music, please", "model: Once upon", CALLED, recall.GO_ON]
            assert there.visits[1].texts == told

    run(main)


def test_who_types_after_an_answer_was_cut_is_answered_and_the_answer_is_not_gone_on_with() -> None:
    async def main() -> None:
        async with service(answering, ready_after(2)) as there, Owner(there.url) as owner:
            owner.memory.turns += [("user", "a story, please"), ("model", "Once upon")]
            await asyncio.sleep(3)
            assert not owner.upstream.live
            assert owner.upstream.send(protocol.text_message("what time is it?"))
            owner.memory.turns.append(("user", "what time is it?"))
            await asyncio.sleep(2)
            assert there.visits[1].texts == ["user: a story, please", "model: Once upon", "what time is it?"]

    run(main)


def test_who_only_notes_something_after_an_answer_was_cut_has_it_gone_on_with() -> None:
    async def main() -> None:
        async with service(answering, ready_after(2)) as there, Owner(there.url) as owner:
            owner.memory.turns += [("user", "a story, please"), ("model", "Once upon")]
            await asyncio.sleep(3)
            assert owner.upstream.send(protocol.content_message([("user", "I am Ann.")], False))
            owner.memory.turns.append(("user", "I am Ann."))
            await asyncio.sleep(2)
            told = ["user: a story, please", "model: Once upon", recall.GO_ON, "user: I am Ann."]
            assert there.visits[1].texts == told

    run(main)


# -- what must not be lost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", [False, True])
def test_what_the_model_waits_for_is_not_refused_because_much_was_written(down: bool) -> None:
    async def calling(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "play_music")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(calling, ready_after(2)) as there, Owner(there.url) as owner:
            await asyncio.sleep(2 if down else 0.5)
            if not down:
                owner.upstream.renew()
            assert owner.upstream.send(protocol.activity_message(True))
            assert [owner.upstream.send(protocol.text_message("?")) for _ in range(MAX_WORDS + 1)][-2:] == [True, False]
            assert owner.upstream.answer(protocol.tool_message("c1", "play_music", {"output": "ok"}), 1)
            assert owner.upstream.send(protocol.activity_message(False))
            await asyncio.sleep(5)
            returned = recall.RETURNED % ("play_music", '{"output": "ok"}')
            assert there.visits[1].texts == ["?"] * MAX_WORDS + [returned]
            kinds = [kind for kind, _ in there.visits[1].heard]
            assert kinds == ["activityStart", *["text"] * (MAX_WORDS + 1), "activityEnd"]

    run(main)


class Line(LiveClient):
    """A connection that takes so many messages, and then has ended."""

    def __init__(self, takes: int) -> None:
        super().__init__(Target("ws://", MODEL), types.LiveConnectConfig(), lambda event: None, lambda fault: None)
        self._takes = takes
        self.taken: list[bytes] = []

    def send(self, message: bytes) -> bool:
        if len(self.taken) == self._takes:
            return False
        self.taken.append(message)
        return True


async def test_what_a_connection_does_not_take_is_given_to_the_next_one() -> None:
    memory = Memory()
    handover = Handover(Unfinished(MODEL, memory), memory, lambda: None)
    said = [protocol.text_message(text) for text in ("one", "two", "three")]
    handover.begin(said)
    first, second = Line(1), Line(3)
    handover.put_back(0, seeds=False)
    handover.to(first)
    handover.stop()
    handover.put_back(0, seeds=False)
    handover.to(second)
    handover.close()
    assert first.taken == [said[0].data]
    assert second.taken == [message.data for message in said]
