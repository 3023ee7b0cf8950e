"""A whole dialogue against a service that fails as told, in virtual time: what the user gets of each failure.

`test_upstream` has the model's side alone; here the watchdog, the turns and the history are on it, with the times that
users wait.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from google.genai import types

from relay.errors import RelayError
from relay.gemini import protocol, recall
from relay.gemini.handshake import Target
from relay.gemini.upstream import Upstream
from relay.watchdog import ANSWER_SECONDS, STALL_SECONDS
from tests.service import INTERNAL, Script, Service, Visit, run, service
from tests.talk import MODEL, SECOND, Call, playing, voice

WORD: Final = voice(1.0)
NUDGE: Final = json.loads(protocol.nudge_message(MODEL).data)["realtimeInput"]["text"]
LONG: Final = 10 * 1024 * 1024  # of one message


class Line:
    """A call whose model is the service."""

    def __init__(self, call: Call, there: Service) -> None:
        self.call = call
        self.there = there
        self.faults: list[RelayError] = []
        self.upstream = Upstream(
            Target(there.url, MODEL),
            types.LiveConnectConfig(session_resumption=types.SessionResumptionConfig()),
            call.dialogue.on_model_event,
            self.faults.append,
            on_news=call.dialogue.on_news,
            memory=call.history,
            chance=lambda: 0.5,
        )
        call.dialogue.connect(self.upstream)

    async def ask(self) -> None:
        """A question, and the pause after it."""
        await self.call.speak(WORD)
        await self.call.rest(1.0)

    async def visited(self, times: int, within: float) -> float:
        """Wait until the service is called so many times; seconds that it took."""
        began = self.call.now
        while len(self.there.visits) < times:
            assert self.call.now - began < within, "nobody came"
            await self.call.rest(0.1)
        return self.call.now - began

    async def hears(self, within: float) -> None:
        """Wait until the user hears something more."""
        heard, began = len(self.call.wire), self.call.now
        while len(self.call.wire) == heard:
            assert self.call.now - began < within, "nothing is heard"
            await self.call.rest(0.1)


def play(main: Callable[[Line], Awaitable[None]], *scripts: Script, **settings: Any) -> None:
    """Run it, and see that nothing is left and nobody was given up."""

    async def whole() -> None:
        async with service(*scripts) as there, playing(**settings) as call:
            line = Line(call, there)
            try:
                await line.upstream.connect()
                line.upstream.begin(())
                await main(line)
            finally:
                await line.upstream.close()
            assert line.faults == []

    run(whole)


async def deaf(visit: Visit) -> None:
    """It takes everything and answers nothing."""
    await visit.ready("handle 1")
    await visit.listen()


async def hears(visit: Visit) -> None:
    """It hears the question whole, and that it is over."""
    await visit.until(lambda visit: WORD in visit.pcm)
    await asyncio.sleep(0.8)


async def answers(visit: Visit) -> None:
    """It hears a question, and answers."""
    await visit.ready(f"handle {visit.number}")
    await hears(visit)
    await say_all(visit)


async def goes_on(visit: Visit) -> None:
    """It says something once it is asked to."""
    await visit.ready(f"handle {visit.number}")
    await visit.until(lambda visit: visit.texts)
    await say_all(visit)


async def say_all(visit: Visit) -> None:
    await sound(visit, "It is noon.")
    await visit.finish("handle of the end")
    await visit.listen()


async def sound(visit: Visit, text: str) -> None:
    """A second of it, that is heard."""
    data = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(SECOND).decode()}
    content = {"modelTurn": {"role": "model", "parts": [{"inlineData": data}]}, "outputTranscription": {"text": text}}
    await visit.say(serverContent=content)


# -- a model that does not answer -----------------------------------------------------------------------------


def test_a_question_that_is_met_with_silence_is_asked_again_elsewhere_after_a_nudge() -> None:
    async def main(line: Line) -> None:
        await line.ask()
        took = await line.visited(2, within=2 * ANSWER_SECONDS + 2.0)
        assert took > 2 * ANSWER_SECONDS - 2.0
        assert line.there.visits[0].texts == [NUDGE]
        await line.hears(within=3.0)
        assert line.call.told == ["slow-answer", "reconnecting", "resumed"]

    play(main, deaf, answers)


def test_an_answer_that_breaks_off_is_asked_for_again_and_then_taken_up_elsewhere() -> None:
    async def stalls(visit: Visit) -> None:
        await visit.ready("handle 1")
        await hears(visit)
        await sound(visit, "It is ")
        await visit.listen()

    async def main(line: Line) -> None:
        await line.ask()
        took = await line.visited(2, within=1.0 + STALL_SECONDS + ANSWER_SECONDS + 2.0)
        assert took > STALL_SECONDS + ANSWER_SECONDS - 2.0
        assert line.there.visits[0].texts == [NUDGE]
        await line.hears(within=3.0)
        assert line.call.told == ["slow-answer", "reconnecting", "resumed"]
        assert line.there.visits[1].texts[-1] == recall.GO_ON, "not from the beginning"

    play(main, stalls, goes_on)


def test_a_turn_without_a_word_is_met_with_a_nudge_and_then_answered() -> None:
    async def empty(visit: Visit) -> None:
        await visit.ready("handle 1")
        await hears(visit)
        await visit.finish("handle 2")
        await visit.until(lambda visit: visit.texts)
        await say_all(visit)

    async def main(line: Line) -> None:
        await line.ask()
        await line.hears(within=3.0)
        [visit] = line.there.visits
        assert visit.texts == [NUDGE]
        assert line.call.told == ["slow-answer"]

    play(main, empty)


# -- connections that end -------------------------------------------------------------------------------------

ENDS: Final = {"1000": (1000, "The operation was cancelled."), "1001": (1001, ""), "1011": (1011, INTERNAL)}


@pytest.mark.parametrize("how", ENDS)
def test_a_question_between_our_own_marks_is_asked_whole_on_the_next_connection(how: str) -> None:
    """It ends while the user speaks."""

    async def ends(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.until(lambda visit: len(visit.pcm) > len(WORD) // 2)
        await visit.close(*ENDS[how])

    async def main(line: Line) -> None:
        await line.call.rest(1.0)
        await line.ask()
        await line.hears(within=3.0)
        second = line.there.visits[1]
        kinds = [kind for kind in second.order if kind != "text"]
        assert kinds == ["activityStart", "audio", "activityEnd"]
        assert WORD in second.pcm

    play(main, ends, answers, barge_in="local")


def test_a_service_that_refuses_upgrades_for_a_while_is_asked_until_it_does_not() -> None:
    async def ends(visit: Visit) -> None:
        await visit.ready("handle 1")
        await hears(visit)
        line_of[0].there.refuses = [503, 503, 500]
        await visit.close(*ENDS["1011"])

    line_of: list[Line] = []

    async def main(line: Line) -> None:
        line_of.append(line)
        await line.ask()
        await line.hears(within=5.0)
        assert line.there.refuses == []
        assert line.call.told == ["reconnecting", "resumed"]

    play(main, ends, answers)


# -- what cannot be understood --------------------------------------------------------------------------------


def odd(visit: Visit) -> Awaitable[None]:
    data = base64.b64encode(bytes(4801)).decode()
    part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}
    return visit.say(serverContent={"modelTurn": {"role": "model", "parts": [part]}})


BROKEN: Final[dict[str, Callable[[Visit], Awaitable[None]]]] = {
    "no JSON": lambda visit: visit.socket.send("{"),
    "10 MiB": lambda visit: visit.say(serverContent={"outputTranscription": {"text": "x" * LONG}}),
    "sound of odd length": odd,
    "wrong types": lambda visit: visit.say(serverContent={"modelTurn": 7}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_three_broken_messages_before_an_answer_cost_nothing(what: str) -> None:
    async def babbles(visit: Visit) -> None:
        await visit.ready("handle 1")
        for _ in range(3):
            await BROKEN[what](visit)
        await hears(visit)
        await say_all(visit)

    async def main(line: Line) -> None:
        await line.ask()
        await line.hears(within=3.0)
        assert len(line.there.visits) == 1
        assert line.call.told == []

    play(main, babbles)


@pytest.mark.parametrize("what", BROKEN)
def test_four_of_them_lead_to_a_connection_that_answers(what: str) -> None:
    async def babbles(visit: Visit) -> None:
        await visit.ready("handle 1")
        await hears(visit)
        for _ in range(4):
            await BROKEN[what](visit)
        await visit.listen()

    async def main(line: Line) -> None:
        await line.ask()
        await line.hears(within=3.0)
        assert len(line.there.visits) == 2
        assert line.call.told == ["reconnecting", "resumed"]

    play(main, babbles, answers)
