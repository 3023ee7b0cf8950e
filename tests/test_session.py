"""The deadlines of a call, in virtual time: nobody waits for ever, and what is over is freed."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import relay.browser
import relay.dialogue
import relay.session
from relay.audio.opus import SILENCE
from relay.audio.packet import DECODED_RATE, FRAME_TICKS
from relay.audio.stall import LIMIT_SECONDS
from relay.browser import MICROPHONE_SECONDS, STOPPING_SECONDS
from relay.errors import BrowserFault, ModelFault, OurBug
from relay.gemini import events, protocol
from relay.hearing import EARLY_MESSAGES
from relay.metrics import Quality
from relay.outbox import MAX_MESSAGES
from relay.peers import FORGET_SECONDS
from relay.presence import LOST_SECONDS, MAX_RESTARTS
from relay.session import CLOSE_SECONDS, READY_SECONDS
from relay.succession import CONNECT_SECONDS
from relay.webrtc.gate import Gate
from tests.between import KEEP, Call, FakeModel, FakePeer, Play


def test_a_browser_that_never_connects_is_let_go_after_fifteen_seconds(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        assert CONNECT_SECONDS <= await call.over() < CONNECT_SECONDS + 1

    play(main)


def test_without_client_ready_the_call_starts_two_seconds_after_it_connected(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        await asyncio.sleep(1)
        call.peer.connect(channel=False)
        await asyncio.sleep(READY_SECONDS - 0.1)
        assert call.model.sent == []
        await asyncio.sleep(0.2)
        assert call.model.sent == [protocol.greeting_message("gemini-3.8-live", "Say hello.")]

    play(main)


def test_with_client_ready_the_model_is_asked_to_greet_as_soon_as_it_is_there(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        assert any("bot-ready" in text for text in call.peer.sent), "bot-ready does not wait for the model"
        await asyncio.sleep(0.7)
        assert call.model.sent == []
        await asyncio.sleep(0.2)
        assert len(call.model.sent) == 1

    play(main)


def test_a_model_that_speaks_by_itself_is_not_told_of_before_the_client_is_welcomed(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        await asyncio.sleep(1)
        call.model.on_event(events.Audio(b"\1\0" * 24_000))
        await asyncio.sleep(0.5)
        assert call.peer.sent == []
        call.peer.ready()
        types = [json.loads(text)["type"] for text in call.peer.sent]
        assert types[0] == "bot-ready"
        assert "bot-started-speaking" in types

    play(main)


def test_the_models_side_knows_while_it_is_heard_and_its_news_reach_the_client(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1.0)
        call.model.on_event(events.Audio(b"\1\0" * 24_000))
        call.model.on_event(events.TurnComplete())
        await asyncio.sleep(0.5)
        assert call.model.said == ["playing True"]
        await asyncio.sleep(1.0)
        assert call.model.said == ["playing True", "playing False"]
        call.model.options["on_news"]("reconnecting")
        call.model.options["on_news"]("resumed")
        news = [
            message["data"]["event"]
            for message in map(json.loads, call.peer.sent)
            if message["type"] == "server-message"
        ]
        assert news == ["reconnecting", "resumed"]

    play(main)


def test_the_relays_own_end_is_told_in_words(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        await call.session.close(BrowserFault("closing"))
        assert any("shutting down" in text for text in call.peer.sent)
        assert "peerLeft" in call.peer.sent[-1]

    play(main)


def test_a_browser_that_fell_silent_is_waited_for_and_then_the_call_ends(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(30)
        vanished = call.loop.time()
        call.peer.vanish()
        await asyncio.sleep(LOST_SECONDS + KEEP - 5)
        assert not call.model.closed, "the model is kept"
        assert LOST_SECONDS + KEEP <= await call.over() - (vanished - call.began) <= LOST_SECONDS + KEEP + 2
        assert call.session.reason == "peer-lost"

    play(main)


def test_a_refusal_that_comes_before_the_browser_is_told_when_it_is_there(play: Play) -> None:
    async def main(call: Call) -> None:
        FakeModel.refuses = ModelFault("key-refused", "a detail for the log")
        await call.offer()
        await asyncio.sleep(3)
        call.peer.connect()
        await asyncio.sleep(0.1)
        call.peer.ready()
        await call.over()
        error = next(text for text in call.peer.sent if '"error"' in text)
        assert '"fatal":true' in error
        assert "detail for the log" not in error
        assert "peerLeft" in call.peer.sent[-1]

    play(main)


def test_the_first_reason_for_an_end_counts_and_the_close_comes_once(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        call.model.on_closed(ModelFault("model-lost"))
        call.session.end(ModelFault("quota"))
        call.peer.events.on_lost(call.peer)
        await asyncio.gather(call.session.close(), call.session.close())
        await call.over()
        assert sum('"fatal":true' in text for text in call.peer.sent) == 1
        assert any("model-lost" in text for text in call.peer.sent)

    play(main)


def test_close_returns_within_a_second_whatever_the_browser_does(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        call.peer.backlog = 1_000_000  # it reads nothing any more
        call.peer.close_takes = 0.7
        before = call.loop.time()
        await call.session.close()
        assert call.loop.time() - before <= CLOSE_SECONDS
        await call.over()

    play(main)


def test_an_offer_that_cannot_be_answered_leaves_nothing_and_a_second_one_may_work(play: Play) -> None:
    async def main(call: Call) -> None:
        with pytest.raises(BrowserFault):
            await call.session.answer("bad", pc_id=None, restart=False)
        assert call.peer.closed
        await call.offer()
        assert len(FakePeer.made) == 2

    play(main)


def test_a_strange_connection_id_is_gone_and_so_is_every_one_after_the_end(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id="f" * 32, restart=False)
        await call.session.close()
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id=pc_id, restart=False)
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id=None, restart=False)

    play(main)


def test_a_restart_puts_a_new_connection_into_the_same_call(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(2)
        old = await call.again(pc_id)
        await asyncio.sleep(5)
        assert not old.closed, "it serves until the new one stands"
        call.peer.connect()
        assert old.deaf
        await asyncio.sleep(1)
        assert old.closed
        assert not call.peer.closed
        assert len(FakeModel.made) == 1
        assert not call.closed

    play(main)


def test_until_the_new_connection_stands_the_old_one_serves_and_then_the_new_one_alone(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        call.model.on_event(events.Audio(b"\1\0" * 24_000 * 6))
        call.model.on_event(events.OutputTranscript("One two three. "))
        call.model.on_event(events.GenerationComplete())
        await asyncio.sleep(1)
        old = await call.again(pc_id)
        sent = old.rtp
        await asyncio.sleep(2)
        assert (call.peer.rtp, call.peer.sent) == (0, []), "it is not connected yet"
        assert old.rtp == pytest.approx(sent + 100, abs=2)
        call.peer.connect()
        sent = old.rtp
        await asyncio.sleep(5)
        assert old.rtp == sent
        assert call.peer.rtp == pytest.approx(150, abs=20), "the rest, and a few silent frames"
        assert "bot-stopped-speaking" in said(call)
        assert "bot-ready" not in said(call)

    play(main)


@pytest.mark.parametrize("seconds", [12.5, 20.5, LOST_SECONDS + KEEP - 1])
def test_a_browser_that_was_away_reads_what_was_said_and_hears_what_is_being_said(play: Play, seconds: float) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        call.peer.breaks()
        call.model.on_event(events.Audio(b"\1\0" * 24_000 * 5))
        call.model.on_event(events.OutputTranscript("Are you there? "))
        call.model.on_event(events.TurnComplete())
        await asyncio.sleep(seconds - 4)
        call.model.on_event(events.Audio(b"\2\0" * 24_000 * 10))
        call.model.on_event(events.TurnComplete())
        await asyncio.sleep(4)
        old = await call.again(pc_id)
        assert "Are you there?" not in "".join(old.sent)
        call.peer.connect()
        assert "Are you there?" in "".join(call.peer.sent)
        await asyncio.sleep(10)
        assert call.peer.rtp == pytest.approx(300, abs=20), "of ten seconds four were said to nobody"
        await asyncio.sleep(KEEP + LOST_SECONDS)
        assert old.closed
        assert not call.closed

    play(main)


def test_words_that_the_old_connection_has_not_acknowledged_are_said_again_on_the_new_one(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        call.peer.unacknowledged = 6  # two messages for each sentence
        for n in range(20):
            call.model.on_event(events.InputTranscript(f"Sentence {n}.", finished=True))
        old = await call.again(pc_id)
        call.peer.connect()
        assert old.sent[-6:] == call.peer.sent
        assert "Sentence 17." in call.peer.sent[0]

    play(main)


def test_words_for_a_connection_whose_end_was_not_told_yet_are_said_on_the_new_one(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        call.peer.there = False
        call.model.on_event(events.InputTranscript("Are you there?", finished=True))
        call.peer.breaks()
        old = await call.again(pc_id)
        call.peer.connect()
        assert "Are you there?" not in "".join(old.sent)
        assert "Are you there?" in "".join(call.peer.sent)

    play(main)


def test_a_browser_is_told_how_many_messages_it_will_never_get(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        call.peer.breaks()
        for n in range(MAX_MESSAGES // 2 + 100):
            call.model.on_event(events.InputTranscript(f"Sentence {n}.", finished=True))
        await call.again(pc_id)
        call.peer.connect()
        first, second, *_ = map(json.loads, call.peer.sent)
        assert first["data"] == {"event": "missed", "messages": 200}
        assert second["data"]["text"] == "Sentence 100."
        assert relay_events(call.peer) == ["missed"]

    play(main)


def test_a_connection_that_ends_in_the_dark_has_said_no_goodbye(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(5)
        call.peer.vanish()
        await asyncio.sleep(30)
        call.peer.connected = False
        call.peer.events.on_lost(call.peer, hung_up=True)  # so aiortc calls it if the path is given up for dead
        await asyncio.sleep(KEEP - 30)
        assert not call.model.closed, "the model is kept"
        await call.over()
        assert call.session.reason == "peer-lost"

    play(main)


def test_who_hangs_up_right_after_the_dark_has_hung_up_and_is_not_waited_for(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(5)
        call.peer.vanish()
        await asyncio.sleep(LOST_SECONDS + 2.5)
        call.peer.silent_since = None  # its path is back, and nobody has looked since
        call.peer.connected = False
        call.peer.events.on_lost(call.peer, hung_up=True)
        assert await call.over() < 5 + LOST_SECONDS + 3
        assert call.session.reason == "hung-up"

    play(main)


def test_a_path_that_comes_back_by_itself_goes_on_where_it_is(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(5)
        call.peer.vanish()
        await asyncio.sleep(LOST_SECONDS + KEEP - 5)
        call.peer.silent_since = None
        await asyncio.sleep(KEEP + LOST_SECONDS)
        assert not call.closed

    play(main)


def test_a_new_connection_that_never_stands_is_given_up_and_the_old_one_serves_on(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        old = await call.again(pc_id)
        await asyncio.sleep(CONNECT_SECONDS + 2)
        assert (call.peer.closed, old.closed) == (True, False)
        told = len(old.sent)
        call.model.on_event(events.InputTranscript("Hello.", finished=True))
        assert len(old.sent) > told
        again = await call.again(pc_id)
        assert again.closed
        call.peer.connect()
        await asyncio.sleep(1)
        assert old.closed

    play(main)


def test_each_connection_is_taken_apart_once_when_it_or_the_call_is_over(play: Play) -> None:
    async def main(call: Call) -> None:
        with pytest.raises(BrowserFault):
            await call.session.answer("bad", pc_id=None, restart=False)
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        call.peer.close_takes = 0.5
        call.peer.breaks()
        await call.again(pc_id)
        await call.again(pc_id)
        call.peer.connect()  # while the first is still being closed
        await asyncio.sleep(FORGET_SECONDS + 1)
        assert [peer.forgotten for peer in FakePeer.made] == [1, 1, 1, 0]
        call.peer.breaks()
        await call.again(pc_id)
        await call.session.close()
        await asyncio.sleep(FORGET_SECONDS + 1)
        assert [peer.forgotten for peer in FakePeer.made] == [1, 1, 1, 1, 1]
        assert call.model.said == ["forget"]

    play(main)


def test_of_two_new_connections_the_later_counts(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        await call.again(pc_id)
        earlier = await call.again(pc_id)
        await asyncio.sleep(1)
        assert earlier.closed
        earlier.events.on_lost(earlier, hung_up=True)
        call.peer.connect()
        await asyncio.sleep(1)
        assert not call.closed

    play(main)


def test_a_client_that_closes_the_old_connection_before_the_new_one_stands_is_waited_for(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        old = await call.again(pc_id)
        old.events.on_lost(old, hung_up=True)
        call.model.on_event(events.InputTranscript("Hello.", finished=True))
        await asyncio.sleep(2)
        assert old.closed
        call.peer.connect()
        await asyncio.sleep(60)
        assert "Hello." in "".join(call.peer.sent)
        assert not call.closed

    play(main)


def test_a_path_that_is_given_up_for_dead_may_be_replaced(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        call.peer.breaks()
        await asyncio.sleep(LOST_SECONDS + 2)
        await call.again(pc_id)
        call.peer.connect()
        await asyncio.sleep(60)
        assert not call.closed

    play(main)


def test_a_goodbye_ends_the_call_at_once(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(5)
        call.peer.events.on_lost(call.peer, hung_up=True)
        assert await call.over() < 5.5
        assert call.session.reason == "hung-up"

    play(main)


def test_a_browser_that_misbehaves_is_not_waited_for(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(5)
        call.peer.events.on_lost(call.peer)  # it is connected: it opens channels without end, or reads nothing
        assert await call.over() < 6
        assert call.session.reason == "peer-lost"

    play(main)


def test_connections_that_never_stand_do_not_keep_a_call_alive(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(5)
        call.peer.vanish()
        for _ in range(4):
            await asyncio.sleep((LOST_SECONDS + KEEP) / 4)
            await call.again(pc_id)  # as the official client does, for ever
        await asyncio.sleep(2)
        with pytest.raises(BrowserFault, match="unknown-peer"):
            await call.session.answer("offer", pc_id=pc_id, restart=True)

    play(main)


def test_more_than_five_new_connections_a_minute_are_refused_and_the_call_goes_on(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        for _ in range(MAX_RESTARTS):
            await call.again(pc_id)
            call.peer.connect()
            await asyncio.sleep(2)
        with pytest.raises(BrowserFault) as caught:
            await call.session.answer("offer", pc_id=pc_id, restart=True)
        assert (caught.value.code, caught.value.fault.status) == ("too-many-restarts", 410)
        await call.session.answer("offer", pc_id=pc_id, restart=False)  # that is none
        await asyncio.sleep(60)
        await call.again(pc_id)
        assert not call.closed

    play(main)


def test_the_last_word_on_each_track_holds_for_a_new_connection(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        call.peer.track(1, True)
        call.peer.track(2, True)
        call.peer.track(2, False)
        call.peer.mute()
        assert (call.peer.watched[1], call.peer.watched[2]) == (True, False)
        await call.again(pc_id)
        call.peer.connect()
        assert (call.peer.watched[1], call.peer.watched[2]) == (True, False)
        await asyncio.sleep(1)
        heard = call.model.audio
        call.peer.events.on_pcm(b"\1\0" * 3200)
        assert call.model.audio == heard, "the microphone is still off"

    play(main)


def relay_events(peer: FakePeer) -> list[str]:
    return [message["data"]["event"] for message in map(json.loads, peer.sent) if message["type"] == "server-message"]


def test_a_microphone_that_is_dead_on_a_new_connection_is_told_to_the_app(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(MICROPHONE_SECONDS + 1)
        assert relay_events(call.peer) == [], "a first connection may take its time, with a permission to ask for"
        await call.again(pc_id)
        await asyncio.sleep(MICROPHONE_SECONDS)
        call.peer.connect()
        call.peer.events.on_pcm(bytes(640))  # the last of it, before the client stopped it
        await asyncio.sleep(MICROPHONE_SECONDS - 0.1)
        assert relay_events(call.peer) == []
        await asyncio.sleep(0.2)
        assert relay_events(call.peer) == ["mic-dead"]
        await asyncio.sleep(30)
        assert relay_events(call.peer).count("mic-dead") == 1

    play(main)


@pytest.mark.parametrize("how", ["heard", "muted"])
def test_a_microphone_that_is_heard_or_off_is_not_called_dead(play: Play, how: str) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        if how == "muted":
            call.peer.mute()
        await asyncio.sleep(1)
        await call.again(pc_id)
        call.peer.connect()
        await asyncio.sleep(STOPPING_SECONDS + 0.1)
        for _ in range(10):
            if how == "heard":
                call.peer.events.on_pcm(bytes(640))
            await asyncio.sleep(1)
        assert relay_events(call.peer) == []

    play(main)


@pytest.mark.parametrize("how", ["stops", "silent", "muted"])
def test_a_microphone_that_dies_in_mid_call_is_told_to_the_app_and_counted(play: Play, how: str) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        for second in range(40):
            call.peer.events.on_pcm((b"\1\1" if second < 5 else bytes(2)) * 320)
            await asyncio.sleep(1)
            if second == 4 and how == "muted":
                call.peer.mute()
            if second == 5 and how == "stops":
                break
        await asyncio.sleep(MICROPHONE_SECONDS + 2)
        assert relay_events(call.peer).count("mic-dead") == (how != "muted")
        deaths = call.session.figures().deaths
        assert deaths == {"left": 0, "stopped": int(how == "stops"), "silent": int(how == "silent")}

    play(main)


def test_one_more_change_of_connection_asks_the_microphone_again(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await call.again(pc_id)
        call.peer.connect()
        await asyncio.sleep(1)
        await call.again(pc_id)
        call.peer.connect()
        await asyncio.sleep(10)
        assert [relay_events(peer) for peer in FakePeer.made] == [[], [], ["mic-dead"]]

    play(main)


def test_what_a_replaced_connection_has_counted_is_not_forgotten(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.line = SimpleNamespace(gate=Gate(111, dropped={"rate": 3}), rejected=4)
        counted = [call.session.figures()]
        await call.session.answer("offer", pc_id=pc_id, restart=True)
        call.peer.line = SimpleNamespace(gate=Gate(111, dropped={"rate": 1, "type": 1}), rejected=0)
        call.peer.connect()
        counted.append(call.session.figures())
        assert [figures.dropped["rate"] for figures in counted] == [3, 4]
        assert (counted[1].dropped["type"], counted[1].dropped["srtp"]) == (1, 4)
        assert await call.session.quality() == Quality(jitter=0.001)

    play(main)


def test_a_call_ends_for_a_reason_and_one_that_never_began_for_none(play: Play) -> None:
    async def main(call: Call) -> None:
        assert call.session.reason == "unanswered"
        assert await call.session.quality() == Quality()
        await call.begin(1.0)
        assert call.session.reason == "hung-up"
        call.session.end(BrowserFault("peer-lost"))
        assert call.session.reason == "peer-lost"

    play(main)


def test_answers_are_timed(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(2.0)
        call.model.on_event(events.Audio(b"\1\0" * 24_000))
        figures = call.session.figures()
        assert (figures.first_packet.count, figures.answer.count) == (1, 0)  # nobody had asked

    play(main)


def test_what_the_old_connection_still_says_after_a_restart_ends_nothing(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        old = call.peer
        old.connect()
        old.ready()
        await asyncio.sleep(2)
        await call.session.answer("offer", pc_id=pc_id, restart=True)
        old.events.on_lost(old)
        await asyncio.sleep(1)
        assert not call.closed

    play(main)


def test_a_browser_that_reports_loss_is_sent_each_packet_with_the_ones_before(play: Play) -> None:
    async def main(call: Call) -> None:
        pc_id = await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        call.model.on_event(events.Audio(bytes(range(256)) * 1125))
        await asyncio.sleep(2)
        assert call.peer.rtp > 100
        assert call.peer.red == 0
        call.peer.report(0.2)
        await asyncio.sleep(2)
        assert call.peer.red >= 98
        call.peer.red_over, red = None, call.peer.red
        await call.session.answer("offer", pc_id=pc_id, restart=False)
        await asyncio.sleep(1)
        assert call.peer.red == red, "it was negotiated away"

    play(main)


def test_typed_words_cut_what_is_being_said_and_the_rest_of_it_is_not_heard(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        call.model.on_event(events.Audio(bytes(48_000 * 5)))
        await asyncio.sleep(1)
        call.peer.events.on_message(
            call.peer, '{"label":"rtvi-ai","type":"send-text","id":"2","data":{"content":"stop","options":{}}}'
        )
        assert any("bot-interrupted" in text for text in call.peer.sent)
        await asyncio.sleep(1)
        sent = call.peer.rtp
        call.model.on_event(events.Audio(bytes(48_000)))  # the old generation, still coming
        await asyncio.sleep(1)
        assert call.peer.rtp == sent
        call.model.on_event(events.Interrupted())
        call.model.on_event(events.Audio(bytes(48_000)))
        await asyncio.sleep(1)
        assert call.peer.rtp > sent

    play(main)


def test_a_flood_of_messages_is_told_once_and_then_ends_the_call(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        for _ in range(5000):
            call.peer.events.on_message(call.peer, "ping: 1")
        await call.over()
        assert sum("Too many messages" in text for text in call.peer.sent) == 1

    play(main)


def test_more_than_five_minutes_ahead_the_newest_is_dropped_and_the_caller_told_once(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        for _ in range(320):
            call.model.on_event(events.Audio(b"\1\0" * 24_000))
        assert sum("five minutes" in text for text in call.peer.sent) == 1

    play(main)


def said(call: Call) -> list[str]:
    """The types of what the browser was told, in order; a signal by its own."""
    messages = [json.loads(text) for text in call.peer.sent]
    return [message["message"]["type"] if message["type"] == "signalling" else message["type"] for message in messages]


def test_a_model_lost_before_the_browser_is_there_is_told_when_it_is(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        await asyncio.sleep(1)
        call.model.on_closed(ModelFault("model-lost"))
        await asyncio.sleep(2)
        call.peer.connect()
        call.peer.ready()
        await call.over()
        assert said(call) == ["bot-ready", "error", "peerLeft"]

    play(main)


@pytest.mark.parametrize("error", [ValueError("no address"), OurBug("on_event failed")])
def test_whatever_stops_the_model_from_being_reached_the_browser_is_told(play: Play, error: Exception) -> None:
    async def main(call: Call) -> None:
        FakeModel.refuses = error
        await call.offer()
        await asyncio.sleep(1)
        call.peer.connect()
        call.peer.ready()
        await call.over()
        assert said(call) == ["bot-ready", "error", "peerLeft"]
        assert '"code":"internal"' in call.peer.sent[1]

    play(main)


def test_a_mistake_of_ours_in_mid_call_is_told_and_everything_is_freed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        monkeypatch.setattr(call.peer, "quiet_seconds", None)
        await call.over()
        assert said(call)[-2:] == ["error", "peerLeft"]

    play(main)


def test_a_message_that_we_stumble_over_ends_the_call_with_a_word(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        monkeypatch.setattr("relay.reading.read", None)
        call.peer.events.on_message(call.peer, "{}")
        await call.over()
        assert said(call)[-2:] == ["error", "peerLeft"]

    play(main)


def test_a_voice_that_we_cannot_send_ends_the_call_with_a_word(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        call.model.on_event(events.Audio(b"\1\0" * 24_000))
        await asyncio.sleep(0.1)
        monkeypatch.setattr("relay.audio.opus.Encoder.encode", None)
        await call.over()
        assert said(call)[-2:] == ["error", "peerLeft"]
        assert '"code":"internal"' in call.peer.sent[-2]

    play(main)


def packet(call: Call, number: int) -> None:
    call.peer.events.on_rtp(number, number * FRAME_TICKS, 7, SILENCE, b"")


def sound(call: Call, number: int) -> None:
    call.peer.events.on_pcm(bytes(640))


def nothing(call: Call, number: int) -> None:
    """The timer looks after what does not come."""


@pytest.mark.parametrize("comes", [packet, sound, nothing])
def test_a_voice_that_we_cannot_hear_ends_the_call_with_a_word(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, comes: Callable[[Call, int], None]
) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        packet(call, 0)
        monkeypatch.setattr("relay.audio.activity.Activity.feed", None)
        for number in range(1, 100):
            comes(call, number)
            await asyncio.sleep(0.02)
        assert await call.over() < 4
        assert said(call)[-2:] == ["error", "peerLeft"]
        assert '"code":"internal"' in call.peer.sent[-2]
        assert [record.levelname for record in caplog.records if "in the middle" in record.message] == ["ERROR"]

    play(main)


@pytest.mark.parametrize("breaks", ["relay.turns.Turns.poll", "relay.warden.Warden.poll"])
def test_a_timer_that_fails_ends_the_call_with_a_word(play: Play, monkeypatch: pytest.MonkeyPatch, breaks: str) -> None:
    async def main(call: Call) -> None:
        await call.begin(2)
        call.peer.type("dtmf", {"button": "1"})  # which waits for others
        monkeypatch.setattr(breaks, None)
        assert await call.over() < 10
        assert said(call)[-2:] == ["error", "peerLeft"]
        assert '"code":"internal"' in call.peer.sent[-2]

    play(main)


def test_an_error_during_the_farewell_leaves_nothing_open(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        monkeypatch.setattr(relay.dialogue.Dialogue, "farewell", None)
        call.session.end()
        await call.over()

    play(main)


def test_a_function_of_the_agent_that_will_not_stop_holds_up_nothing(play: Play) -> None:
    async def stubborn(kind: str, data: Any) -> None:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(20)

    async def main(call: Call) -> None:
        await call.begin(1)
        call.peer.type("client-message", {"t": "hello"})
        await asyncio.sleep(1)
        call.session.end()
        await asyncio.sleep(1)
        assert call.closed == [call.session]
        assert call.peer.closed
        await asyncio.sleep(60)  # by then it has had enough

    play(main, on_message=stubborn)


def test_an_agent_that_leaves_the_process_only_fails_to_answer(play: Play) -> None:
    async def leave(kind: str, data: Any) -> None:
        sys.exit(3)

    async def main(call: Call) -> None:
        await call.begin(1)
        call.peer.type("client-message", {"t": "hello"})
        await asyncio.sleep(0.1)
        assert said(call)[-1] == "error-response"
        assert not call.closed

    play(main, on_message=leave)


def test_after_the_goodbye_nothing_more_is_said_whatever_the_model_does(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        call.model.on_event(events.Audio(bytes(48_000)))
        await asyncio.sleep(0.3)
        call.peer.backlog = 100  # the goodbye waits for the browser to read
        call.session.end()
        await asyncio.sleep(0.05)
        assert said(call)[-1] == "peerLeft"
        rtp = call.peer.rtp
        call.model.on_event(events.Audio(bytes(48_000)))
        call.model.on_event(events.OutputTranscript("Hello there. "))
        call.peer.type("client-message", {"t": "hello"})
        await call.over()
        assert said(call)[-1] == "peerLeft"
        assert call.peer.rtp == rtp

    play(main)


def test_a_session_that_never_began_is_closed_once(play: Play) -> None:
    async def main(call: Call) -> None:
        await asyncio.gather(call.session.close(), call.session.close())

    play(main)


def test_what_is_typed_before_the_model_listens_reaches_it_and_is_answered_in_place_of_the_greeting(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(0.1)
        call.peer.type("send-text", {"content": "Her name is Ada.", "options": {"run_immediately": False}})
        call.peer.type("send-text", {"content": "What is her name?"})
        assert call.model.sent == []
        await asyncio.sleep(1)
        context = protocol.content_message([("user", "Her name is Ada.")], False)
        assert call.model.sent == [context, protocol.text_message("What is her name?")]

    play(main)


def test_context_that_comes_before_the_model_listens_precedes_the_greeting(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(0.1)
        call.peer.type("append-to-context", {"role": "user", "content": "I am Ada."})
        await asyncio.sleep(1)
        greeting = protocol.greeting_message("gemini-3.8-live", "Say hello.")
        assert call.model.sent == [protocol.content_message([("user", "I am Ada.")], False), greeting]
        assert said(call)[-1] == "append-to-context-result"

    play(main)


def test_what_the_model_will_not_get_is_told_to_whoever_typed_it(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(0.1)
        for _ in range(EARLY_MESSAGES + 1):
            call.peer.type("send-text", {"content": "Hello?"})
        assert said(call)[1:].count("user-input") == EARLY_MESSAGES
        assert said(call).count("error-response") == 1
        await asyncio.sleep(1)
        assert len(call.model.sent) == EARLY_MESSAGES
        call.model.takes = False
        call.peer.type("append-to-context", {"role": "user", "content": "I am Ada."})
        assert said(call)[-2:] == ["error-response"] * 2

    play(main)


def test_a_microphone_muted_before_the_model_listens_ends_what_was_said_until_then(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(0.1)
        call.peer.events.on_pcm(b"\1\0" * 3200)
        call.peer.mute()
        assert call.model.sent == []
        await asyncio.sleep(1)
        assert call.model.audio == 6400
        assert call.model.sent[0] == protocol.audio_end_message()

    play(main)


def test_a_browser_that_sends_no_more_sound_ends_the_stream_once_even_if_it_is_muted_then(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        await asyncio.sleep(1)
        call.peer.events.on_pcm(b"\1\0" * 3200)
        await asyncio.sleep(LIMIT_SECONDS + 1)
        assert call.model.audio == 6400 + 2 * DECODED_RATE * LIMIT_SECONDS
        assert call.model.sent.count(protocol.audio_end_message()) == 1
        call.peer.mute()
        assert call.model.sent.count(protocol.audio_end_message()) == 1

    play(main)


def test_a_stream_that_ended_before_the_model_listens_is_ended_before_the_greeting(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.ready()
        call.peer.events.on_pcm(b"\1\0" * 3200)
        await asyncio.sleep(LIMIT_SECONDS + 1)
        assert call.model.sent == []
        await asyncio.sleep(2)
        assert call.model.audio == 6400 + 2 * DECODED_RATE * LIMIT_SECONDS
        greeting = protocol.greeting_message("gemini-3.8-live", "Say hello.")
        assert call.model.sent == [protocol.audio_end_message(), greeting]

    FakeModel.takes_to_connect = 4.0
    play(main)


def test_a_microphone_that_was_never_on_ends_nothing(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.offer()
        call.peer.connect()
        call.peer.mute()
        call.peer.ready()
        await asyncio.sleep(1)
        assert call.model.sent == [protocol.greeting_message("gemini-3.8-live", "Say hello.")]

    play(main)


def test_a_question_put_into_the_context_cuts_what_is_being_said_like_a_typed_one(play: Play) -> None:
    async def main(call: Call) -> None:
        await call.begin(1)
        call.model.on_event(events.Audio(bytes(48_000 * 5)))
        call.model.on_event(events.GenerationComplete())
        await asyncio.sleep(1)
        call.peer.type("append-to-context", {"role": "user", "content": "And now?", "run_immediately": True})
        assert said(call)[-5:].count("bot-stopped-speaking") == 1
        await asyncio.sleep(1)
        sent = call.peer.rtp
        await asyncio.sleep(1)
        assert call.peer.rtp == sent, "the old answer is not heard any more"
        call.model.on_event(events.Audio(bytes(48_000)))
        await asyncio.sleep(0.1)
        assert call.peer.rtp > sent

    play(main)
