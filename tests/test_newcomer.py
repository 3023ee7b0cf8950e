"""A client that comes into a running conversation, after a reload or in another tab: the newest has the call."""

import asyncio
import json
from typing import Any

import pytest

from relay.errors import BrowserFault
from relay.gemini import events
from relay.presence import LOST_SECONDS
from tests.between import KEEP, Call, FakeModel, FakePeer, Play


def kinds(peer: FakePeer) -> list[str]:
    """What it was told, by type; what the relay tells of itself by its name."""
    messages = [json.loads(text) for text in peer.sent]
    return [
        message["data"]["event"]
        if message["type"] == "server-message"
        else message["message"]["type"]
        if message["type"] == "signalling"
        else message["type"]
        for message in messages
    ]


def history(peer: FakePeer) -> list[dict[str, Any]]:
    told = [json.loads(text)["data"] for text in peer.sent if '"history"' in text]
    return [turn for part in told for turn in part["turns"]]


def turn(call: Call, question: str, answer: str, seconds: float = 1.0) -> None:
    """The user asks and the model answers, all at once."""
    call.model.on_event(events.InputTranscript(question, finished=True))
    call.model.on_event(events.Audio(b"\1\0" * round(24_000 * seconds)))
    call.model.on_event(events.OutputTranscript(answer))
    call.model.on_event(events.GenerationComplete())
    call.model.on_event(events.TurnComplete())


def test_a_reloaded_page_is_ready_again_with_the_history_and_then_the_live_turns(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready(returns=True)
        await asyncio.sleep(2)
        turn(call, "What is the capital of France?", "It is Paris. ")
        await asyncio.sleep(2)
        call.peer.events.on_lost(call.peer, hung_up=True)
        await asyncio.sleep(1)
        old = await call.newcomer()
        assert old.closed
        call.peer.connect()
        assert call.peer.sent == [], "it is not ready"
        call.peer.ready(returns=True)
        assert kinds(call.peer) == ["bot-ready", "history"]
        assert [(one["role"], one["text"]) for one in history(call.peer)] == [
            ("user", "What is the capital of France?"),
            ("assistant", "It is Paris."),
        ]
        turn(call, "And of Spain?", "It is Madrid. ")
        await asyncio.sleep(2)
        assert "Madrid" in "".join(call.peer.sent)
        assert kinds(call.peer)[-1] == "bot-stopped-speaking"
        assert len(FakeModel.made) == 1
        assert not any(b"Say hello" in message.data for message in call.model.sent[1:]), "it is greeted once"

    play(main)


def test_who_comes_in_the_middle_of_an_answer_hears_and_reads_the_rest_of_it(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        turn(call, "Count.", "One two three four. Five six seven eight. Nine ten eleven twelve.", 6.0)
        await asyncio.sleep(3)
        await call.newcomer()
        call.peer.connect()
        await asyncio.sleep(0.5)
        call.peer.ready()
        said = [json.loads(text) for text in call.peer.sent]
        [answer] = [one for one in history(call.peer) if one["role"] == "assistant"]
        [now] = [one["data"]["text"] for one in said if one["type"] == "bot-output"]
        [ahead] = [one["data"]["text"] for one in said if one["type"] == "bot-llm-text"]
        assert answer["text"] == "One two three four.", "what has been heard, and not the sentence that is being said"
        assert now == "Five six seven eight."
        assert ahead == "Five six seven eight. Nine ten eleven twelve."
        assert kinds(call.peer) == [
            "bot-ready", "history", "bot-llm-started", "bot-llm-text", "bot-llm-stopped", "bot-started-speaking",
            "bot-output",
        ]  # fmt: skip
        await asyncio.sleep(6)
        later = [json.loads(text)["data"] for text in call.peer.sent if '"bot-output"' in text]
        completed = [one["text"] for one in later if one["spoken_status"] == "completed"]
        assert completed == ["Five six seven eight.", "Nine ten eleven twelve."]
        assert call.peer.rtp >= 100

    play(main)


def test_what_is_said_between_its_connection_and_its_readiness_is_told_once(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        await call.newcomer()
        call.peer.connect()
        await asyncio.sleep(0.1)
        turn(call, "Who are you?", "I am the model. ")
        await asyncio.sleep(0.5)
        call.peer.ready()
        await asyncio.sleep(2)
        assert [one["text"] for one in history(call.peer)] == ["Who are you?"]
        said = [json.loads(text)["data"] for text in call.peer.sent if '"bot-output"' in text]
        assert [one["spoken_status"] for one in said if one["spoken_status"] != "in-progress"] == ["new", "completed"]
        assert sum("Who are you?" in text for text in call.peer.sent) == 1

    play(main)


def test_who_comes_is_told_what_still_holds_and_what_is_left(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(245)
        assert kinds(call.peer)[-1] == "idle-warning"
        call.model.options["on_news"]("reconnecting")
        call.session.warn(30.0)
        await call.newcomer()
        call.peer.connect()
        await asyncio.sleep(1)
        call.peer.ready()
        assert kinds(call.peer) == ["bot-ready", "history", "reconnecting", "idle-warning", "closing"]
        left = [json.loads(text)["data"].get("seconds") for text in call.peer.sent[-2:]]
        assert left == [55, 29]

    play(main, idle=300.0)


def test_who_comes_is_not_told_what_holds_no_longer(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(245)
        on_news = call.model.options["on_news"]
        on_news("reconnecting")
        call.peer.unacknowledged = len(call.peer.sent)
        call.peer.type("send-text", {"content": "I am here."})
        on_news("resumed")
        await call.newcomer()
        call.peer.connect()
        call.peer.ready()
        told = kinds(call.peer)
        assert not {"idle-warning", "reconnecting", "resumed"} & set(told)
        assert told[:2] == ["bot-ready", "history"]

    play(main, idle=300.0)


def test_words_said_while_nobody_was_there_are_in_the_history_and_not_told_twice(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready(returns=True)
        await asyncio.sleep(2)
        call.peer.events.on_lost(call.peer, hung_up=True)
        turn(call, "Are you there?", "I am. ")
        await asyncio.sleep(3)
        await call.newcomer()
        call.peer.connect()
        call.peer.ready()
        assert [one["text"] for one in history(call.peer)] == ["Are you there?", "I am."]
        assert "".join(call.peer.sent).count("Are you there?") == 1

    play(main)


def test_of_two_tabs_the_newest_wins_and_the_other_is_told_and_does_not_fight_back(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(2)
        old = await call.newcomer()
        await asyncio.sleep(2)
        assert not old.closed, "until the other one stands"
        told = len(old.sent)
        call.peer.connect()
        assert old.deaf
        old.type("disconnect-bot", {})  # as clients do that are told to go
        old.events.on_lost(old, hung_up=True)
        await asyncio.sleep(1)
        assert kinds(old)[told:] == ["replaced", "peerLeft"]
        assert old.closed
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id=pc_id, restart=True)
        call.peer.ready()
        await asyncio.sleep(10)
        assert not call.closed

    play(main)


def test_a_way_back_that_was_given_away_closes_the_one_before(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        first, second = call.session.expect_newcomer(), call.session.expect_newcomer()
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id=first, restart=True)
        await call.again(second)
        third = call.session.expect_newcomer()
        await asyncio.sleep(1)
        assert call.peer.closed, "its offer was answered, and it never stood"
        await call.again(third)
        call.peer.connect()
        call.peer.ready()
        assert "bot-ready" in kinds(call.peer)

    play(main)


def test_a_newcomer_may_negotiate_anew_and_restart_like_any_client(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        pc_id = call.session.expect_newcomer()
        await call.session.answer("offer", pc_id=pc_id, restart=False)  # it need not know that it comes back
        assert len(FakePeer.made) == 2
        await call.session.answer("offer", pc_id=pc_id, restart=False)
        assert len(FakePeer.made) == 2
        call.peer.connect()
        call.peer.ready()
        await call.again(pc_id)
        call.peer.connect()
        await asyncio.sleep(1)
        assert kinds(call.peer) == [], "the same client need not be told again"

    play(main)


def test_a_newcomer_that_changes_its_connection_before_it_is_ready_is_not_told_that_it_is_replaced(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        pc_id = call.session.expect_newcomer()
        await call.again(pc_id)
        call.peer.connect()
        first = await call.again(pc_id)
        call.peer.connect()
        await asyncio.sleep(1)
        assert (first.closed, first.sent) == (True, [])
        call.peer.ready()
        assert kinds(call.peer)[:1] == ["bot-ready"]

    play(main)


def test_a_page_that_returns_is_waited_for_when_it_closes_its_connection_and_others_are_not(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready(returns=True)
        await asyncio.sleep(5)
        left = call.loop.time()
        call.peer.events.on_lost(call.peer, hung_up=True)
        await asyncio.sleep(0.5)
        assert call.peer.closed
        assert KEEP <= await call.over() - (left - call.began) <= KEEP + 2 < KEEP + LOST_SECONDS
        assert call.session.reason == "peer-lost"

    play(main)


def test_a_page_that_returns_may_still_say_goodbye(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready(returns=True)
        await asyncio.sleep(5)
        call.peer.type("disconnect-bot", {})
        assert await call.over() < 6
        assert call.session.reason == "hung-up"

    play(main)


def test_a_newcomers_camera_is_off_until_it_says_otherwise_and_its_microphone_as_it_was(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        call.peer.track(1, True)
        call.peer.mute()
        await call.newcomer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(2)
        assert call.peer.watched.get(1) is None
        heard = call.model.audio
        call.peer.events.on_pcm(b"\1\0" * 3200)
        assert call.model.audio == heard
        call.peer.track(0, True)
        call.peer.events.on_pcm(b"\1\0" * 3200)
        assert call.model.audio > heard

    play(main)


def test_a_newcomer_that_never_stands_changes_nothing_for_the_one_that_is_there(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        old = await call.newcomer()
        await asyncio.sleep(30)
        assert (old.closed, call.peer.closed) == (False, True)
        turn(call, "Hello?", "Hello. ")
        await asyncio.sleep(2)
        assert "Hello." in "".join(old.sent)

    play(main)
