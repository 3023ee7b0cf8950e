"""A whole dialogue within its bounds, in virtual time: what the model hears, what the client is told, when it ends."""

import asyncio
import json
import math
from typing import Final

from relay.cost import Budget, Ledger
from relay.gemini import events, protocol
from relay.uplink import PREROLL_MS
from relay.warden import PARTING_SECONDS
from relay.watchdog import ANSWER_SECONDS
from tests.talk import MODEL, SECOND, Call, play, voice

TURN: Final = events.Usage(prompt=1000, response=100, total=1100)
JPEG: Final = b"\xff\xd8 a picture"


def test_in_a_call_that_nobody_uses_the_model_hears_nothing_from_the_warning_on() -> None:
    async def main(call: Call) -> None:
        await call.rest(239.0)
        assert call.told == []
        heard = len(call.model.heard)
        assert heard == 239 * 32_000
        await call.rest(2.0)
        assert call.told == ["idle-warning"]
        assert call.model.sent == [{"realtimeInput": {"audioStreamEnd": True}}]
        heard = len(call.model.heard)
        await call.rest(55.0)
        assert len(call.model.heard) == heard
        assert call.ended == []
        await call.rest(5.0)
        assert [code for _, code in call.ended] == ["idle"]
        assert math.isclose(call.ended[0][0], 300.0, abs_tol=0.1)

    play(main, idle=300.0)


def test_the_word_that_ends_the_quiet_reaches_the_model_whole() -> None:
    async def main(call: Call) -> None:
        await call.rest(245.0)
        heard = len(call.model.heard)
        word = voice(0.4)
        await call.speak(word)
        await call.rest(1.0)
        new = bytes(call.model.heard[heard:])
        assert word in new
        before = new.index(word) / 32_000
        assert 0.2 <= before <= PREROLL_MS / 1000
        await call.rest(230.0)
        assert call.told == ["idle-warning"]
        assert call.ended == []

    play(main, idle=300.0)


def test_pictures_are_not_shown_either() -> None:
    async def main(call: Call) -> None:
        status = {"type": "trackStatus", "receiver_index": 1, "enabled": True}
        call.dialogue.on_frame(json.dumps({"type": "signalling", "message": status}))
        call.dialogue.on_picture(1, JPEG)
        await call.rest(250.0)
        call.dialogue.on_picture(1, JPEG)
        assert call.model.pictures == 1
        await call.speak(voice(0.5))
        call.dialogue.on_picture(1, JPEG)
        assert call.model.pictures == 2

    play(main, idle=300.0)


def test_a_call_that_lasts_for_ever_is_announced_and_ended() -> None:
    async def main(call: Call) -> None:
        for _ in range(120):
            await call.speak(voice(1.0))
            await call.rest(1.0)
            call.does(events.Audio(SECOND), events.GenerationComplete())
            await call.rest(2.0)
            call.does(events.TurnComplete())
            await call.rest(26.0)
            if call.ended:
                break
        assert call.told == ["limit-warning"]
        assert [code for _, code in call.ended] == ["call-limit"]
        assert math.isclose(call.ended[0][0], 600.0, abs_tol=1.1)

    play(main, idle=300.0, longest=600.0)


def test_a_call_that_costs_too_much_ends_when_the_voice_has_finished_and_hears_no_more() -> None:
    async def main(call: Call) -> None:
        await call.speak(voice(1.0))
        await call.rest(0.6)
        call.does(events.Audio(SECOND * 5), events.GenerationComplete(), TURN)
        heard = len(call.model.heard)
        await call.rest(4.5)
        assert call.ended == []
        assert len(call.model.heard) == heard
        await call.rest(1.0)
        assert [code for _, code in call.ended] == ["budget-call"]

    play(main, ledger=Ledger(per_call=Budget(1000, tokens=True)))


def test_an_answer_that_never_ends_is_not_paid_for_ever() -> None:
    async def main(call: Call) -> None:
        call.does(events.Audio(SECOND * 100), TURN)
        await call.rest(PARTING_SECONDS + 1.0)
        assert [code for _, code in call.ended] == ["budget-call"]

    play(main, ledger=Ledger(per_call=Budget(1000, tokens=True)))


def test_a_model_that_says_nothing_is_asked_to_go_on() -> None:
    async def main(call: Call) -> None:
        await call.speak(voice(1.0))
        await call.rest(ANSWER_SECONDS)
        assert call.model.sent == []
        await call.rest(1.0)
        assert call.model.sent == [json.loads(protocol.nudge_message(MODEL).data)]
        assert call.told == ["slow-answer"]

    play(main)


def test_a_function_that_takes_its_time_is_waited_for() -> None:
    async def slow() -> str:
        await asyncio.sleep(20.0)
        return "done"

    async def main(call: Call) -> None:
        await call.speak(voice(1.0))
        await call.rest(0.6)
        call.does(events.ToolCall((events.FunctionCall("1", "slow", {}),)))
        await call.rest(21.0)
        assert [list(message) for message in call.model.sent] == [["toolResponse"]]
        await call.rest(ANSWER_SECONDS - 2.0)
        assert call.told == []
        await call.rest(2.0)
        assert call.told == ["slow-answer"]

    play(main, tools=[slow])
