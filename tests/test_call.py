"""A whole call without a browser: every part is the real one, and nothing is left when it is over."""

import asyncio
import logging
from typing import Any

import pytest

import relay.browser
import relay.presence
import relay.session
from relay import rtvi
from relay.agent import Agent
from relay.standin.script import Script, parse
from relay.written import MAX_REPLY_BYTES
from tests.caller import Caller, Refused
from tests.running import KEY, running
from tests.sound import Sound, compare, read_wav

SENTENCE = read_wav("tests/sounds/weather.wav")
SPOKEN = SENTENCE.part(1.0, 2.9)  # without the silence around it


def script(**content: Any) -> Script:
    return parse(content)


async def free(house: Any, *, within: float = 3.0) -> None:
    """Wait until the relay has no call and the model no connection."""
    async with asyncio.timeout(within):
        while house.calls or house.model.open:
            await asyncio.sleep(0.02)


async def test_a_caller_is_greeted_speaks_and_hears_an_answer() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        ready = await caller.message("bot-ready")
        assert ready.data["version"] == rtvi.VERSION
        await caller.message("bot-stopped-speaking", timeout=15)
        caller.say(SENTENCE)
        await caller.message("user-started-speaking")
        await caller.message("user-stopped-speaking")
        words = await caller.message("user-transcription", where=lambda data: data["final"])
        assert "s of speech" in words.data["text"]
        await caller.message("bot-started-speaking")
        shown = await caller.message("bot-output", where=lambda data: "own words" in data["text"])
        await caller.message("bot-stopped-speaking", timeout=15)
        assert compare(SPOKEN, caller.recording(shown.at - 1.0)).same, "the caller hears the answer"
        heard = Sound(house.model.received_pcm(), 16_000)
        assert compare(SPOKEN, heard).same, "the model hears the caller"
        await caller.hang_up()
        await free(house)


async def test_messages_of_a_turn_come_in_the_order_that_clients_expect() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-stopped-speaking", timeout=15)
        types = [kind for kind in caller.types() if kind not in ("bot-llm-text", "metrics")]
        first = {kind: types.index(kind) for kind in dict.fromkeys(types)}
        order = ["bot-ready", "bot-llm-started", "bot-started-speaking", "bot-output", "bot-stopped-speaking"]
        assert [first[kind] for kind in order] == sorted(first[kind] for kind in order)
        assert first["bot-tts-started"] < first["bot-tts-stopped"]
        assert types.count("bot-started-speaking") == types.count("bot-stopped-speaking") == 1


async def test_the_models_interruption_silences_the_wire_and_drops_the_unheard_words() -> None:
    lines = {"say": "One. Two. Three. Four. Five. Six. Seven. Eight. Nine. Ten.", "seconds": 10, "tone_hz": 440}
    async with running(script=script(greeting=lines)) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-started-speaking", timeout=10)
        await asyncio.sleep(1.5)
        caller.say(SENTENCE)
        interrupted = await caller.message("bot-interrupted", timeout=10)
        await caller.message("bot-stopped-speaking")
        await asyncio.sleep(0.5)
        tail = caller.recording(interrupted.at + 0.06, interrupted.at + 0.4)
        assert tail.level() < -50 or not tail.pcm
        shown = [message.data["text"] for message in caller.of("bot-output") if message.at < interrupted.at + 0.5]
        assert shown
        assert not any("Ten" in text for text in shown)


async def test_typed_words_reach_the_model_and_are_answered() -> None:
    async with running("--greeting", "") as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.send("send-text", {"content": "how are you", "options": {}})
        await caller.message("bot-started-speaking", timeout=10)
        connection = await house.model.connected()
        assert {"text": "how are you"} in connection.of("realtimeInput")


async def test_a_tool_of_the_agent_is_run_and_its_answer_told() -> None:
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    line = {
        "say": "Let me look.",
        "seconds": 0.3,
        "calls": [{"name": "get_weather", "args": {"city": "Paris"}}],
        "then": {"say": "It is {result}.", "seconds": 0.5},
    }
    agent = Agent(tools=[get_weather])
    async with running(script=script(greeting=line), agent=agent) as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("llm-function-call-in-progress", timeout=10)
        await caller.message("llm-function-call-stopped")
        await caller.message("bot-output", timeout=10, where=lambda data: "sunny in Paris" in data["text"])
        connection = await house.model.connected()
        assert len(connection.of("toolResponse")) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "refuse-setup", "code": 1008, "reason": "API key not valid."}, "key"),
        ({"kind": "refuse-upgrade", "status": 403, "body": "forbidden"}, "key"),
        ({"kind": "refuse-upgrade", "status": 429, "body": "quota"}, "quota"),
        ({"kind": "refuse-setup", "code": 1008, "reason": "models/x is not found for API version v1beta"}, "model"),
        ({"kind": "refuse-setup", "code": 1007, "reason": "Request contains an invalid argument."}, "settings"),
    ],
)
async def test_a_refusal_by_the_model_is_told_in_words_within_two_seconds_and_never_with_the_key(
    fault: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(script=script(faults=[fault])) as house, Caller(house.base) as caller:
        started = asyncio.get_running_loop().time()
        await caller.dial()
        error = await caller.message("error", timeout=3)
        assert asyncio.get_running_loop().time() - started < 2.5
        assert error.data["fatal"] is True
        assert words in error.data["error"]
        await caller.message("peerLeft")
        await free(house)
        assert KEY not in caplog.text
        assert all(KEY not in message.raw for message in caller.messages)
    assert any(record.levelno >= logging.WARNING for record in caplog.records), "the owner learns why"


async def test_losing_the_model_in_mid_call_ends_the_call_with_a_clear_message() -> None:
    fault = {"kind": "close", "after_s": 0.5, "code": 1008, "reason": "Operation is not implemented."}
    async with running(script=script(faults=[fault])) as house, Caller(house.base) as caller:
        await caller.dial()
        error = await caller.message("error", timeout=5)
        assert error.data["fatal"] is True
        assert "lost" in error.data["error"]
        await caller.message("peerLeft")
        await free(house)


async def test_a_model_that_goes_away_is_left_for_another_connection_and_the_call_goes_on() -> None:
    fault = {"kind": "go-away", "on": [1], "after_s": 0.3, "time_left_s": 3, "code": 1011, "reason": "Deadline expired"}
    async with running("--greeting", "", script=script(faults=[fault])) as house, Caller(house.base) as caller:
        await caller.dial()
        async with asyncio.timeout(5):
            while len(house.model.connections) < 2:
                await asyncio.sleep(0.02)
        assert any("goAway" in message for message in house.model.connections[0].sent)
        caller.send("send-text", {"content": "still there?", "options": {}})
        await caller.message("bot-started-speaking", timeout=2.5)
        assert not caller.of("error")
        assert not caller.of("server-message"), "nobody hears it"


async def test_junk_on_the_data_channel_is_answered_and_the_call_goes_on() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        channels: Any = caller.peer.sctp
        channels._remote_max_message_size = 0  # this caller does not care what the answer said
        for junk in ("", "{", "[]", "null", b"\xff\xfe", '{"label":"rtvi-ai"}', "x" * 20_000):
            caller.send_raw(junk or " ")
        await caller.message("error")
        unknown = caller.send("no-such-type", {})
        answer = await caller.message("error-response", where=lambda data: "no-such-type" in data["error"])
        assert answer.id == unknown
        request = caller.send("client-message", {"t": "anything", "d": 1})
        answer = await caller.message("error-response", where=lambda data: "anything" in data["error"])
        assert answer.id == request
        caller.send("send-text", {"content": "still there?", "options": {}})
        await caller.message("bot-started-speaking", timeout=10)
        assert house.calls == 1


async def test_the_agent_file_answers_an_apps_own_message() -> None:
    async def on_message(kind: str, data: Any) -> Any:
        if kind != "double":
            raise LookupError(kind)
        return data * 2

    async with running(agent=Agent(on_message=on_message)) as house, Caller(house.base) as caller:
        await caller.dial()
        request = caller.send("client-message", {"t": "double", "d": 21})
        answer = await caller.message("server-response")
        assert (answer.id, answer.data) == (request, {"t": "double", "d": 42})


async def test_an_agents_answer_that_is_too_long_is_refused_and_the_call_goes_on() -> None:
    async def on_message(kind: str, data: Any) -> Any:
        return "x" * data

    async with running(agent=Agent(on_message=on_message)) as house, Caller(house.base) as caller:
        await caller.dial()
        request = caller.send("client-message", {"t": "much", "d": MAX_REPLY_BYTES})
        assert (await caller.message("error-response")).id == request
        request = caller.send("client-message", {"t": "less", "d": MAX_REPLY_BYTES - 1000})
        assert (await caller.message("server-response")).id == request
        assert house.calls == 1


async def test_a_muted_microphone_reaches_nobody_and_ends_the_users_turn() -> None:
    async with running("--greeting", "") as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        await asyncio.sleep(0.5)
        caller.mute(packets=True)
        connection = await house.model.connected()
        async with asyncio.timeout(2):
            while {"audioStreamEnd": True} not in connection.of("realtimeInput"):
                await asyncio.sleep(0.02)
        heard = len(house.model.received_pcm())
        caller.say(SENTENCE)
        await asyncio.sleep(0.6)
        assert len(house.model.received_pcm()) == heard
        caller.unmute()
        async with asyncio.timeout(2):
            while len(house.model.received_pcm()) == heard:
                await asyncio.sleep(0.02)


async def test_a_client_without_a_data_channel_is_served_all_the_same() -> None:
    async with running() as house, Caller(house.base, channel=False) as caller:
        await caller.dial()
        await caller.hears(timeout=10)
        assert house.calls == 1


async def test_a_client_that_never_says_it_is_ready_is_greeted_after_a_while() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial(ready=False)
        await caller.hears(timeout=10)
        assert house.calls == 1


async def test_disconnect_bot_ends_the_call_with_a_goodbye() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.send("disconnect-bot", {})
        await caller.message("peerLeft")
        await free(house)


async def test_the_pages_goodbye_frees_the_call_at_once() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        async with caller._http.delete(f"{house.base}/sessions/{caller.session_id}") as answer:
            assert answer.status in (200, 204)
        await free(house)


async def test_hanging_up_frees_everything_at_once() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-started-speaking", timeout=10)
        await caller.hang_up()
        await free(house)


async def test_three_calls_one_after_the_other_and_two_at_once() -> None:
    async with running() as house:
        for _ in range(3):
            async with Caller(house.base) as caller:
                await caller.dial()
                await caller.message("bot-started-speaking", timeout=10)
        async with Caller(house.base) as one, Caller(house.base) as two:
            await asyncio.gather(one.dial(), two.dial())
            await asyncio.gather(*(caller.message("bot-started-speaking", timeout=10) for caller in (one, two)))
            assert house.calls == 2
        await free(house)


async def test_a_second_offer_renegotiates_and_a_strange_one_is_gone() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        before = caller.pc_id
        await caller.offer()
        assert caller.pc_id == before
        with pytest.raises(Refused) as refused:
            await caller.post(caller.offer_path, {"sdp": "v=0", "type": "offer", "pc_id": "f" * 32})
        assert refused.value.status == 410
        assert refused.value.body["code"] == "unknown-peer"


async def test_the_setup_that_the_model_gets_has_voice_instructions_and_transcription() -> None:
    async with running("--voice", "Kore", "--language", "de-DE", "--instructions", "Be terse.") as house:
        async with Caller(house.base) as caller:
            await caller.dial()
            await caller.message("bot-ready")
            setup = (await house.model.connected()).setup
        assert setup is not None
        text = str(setup)
        assert "Kore" in text
        assert "de-DE" in text
        assert "Be terse." in text
        assert "inputAudioTranscription" in setup
        assert "outputAudioTranscription" in setup
        assert "contextWindowCompression" in setup


async def test_the_logs_of_a_whole_call_hold_two_lines_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.send("send-text", {"content": "CANARY-IN-THE-TEXT", "options": {}})
        await caller.message("bot-started-speaking", timeout=10)
        await caller.hang_up()
        await free(house)
    lines = [record for record in caplog.records if record.name.startswith(("relay.session", "relay.webrtc"))]
    assert [record.getMessage().split()[2] for record in lines] == ["opened", "closed"]
    for secret in ("CANARY-IN-THE-TEXT", KEY, caller.session_id, caller.pc_id, "a=ice-pwd"):
        assert secret not in caplog.text


async def test_a_caller_that_never_connects_is_let_go_and_everything_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.session, "CONNECT_SECONDS", 1.0)
    async with running() as house, Caller(house.base) as caller:
        await caller.start()
        caller.prepare()
        await caller.peer.setLocalDescription(await caller.peer.createOffer())
        await caller.post(caller.offer_path, {"sdp": caller.peer.localDescription.sdp, "type": "offer"})
        assert house.calls == 1
        await free(house)


async def test_a_caller_whose_network_is_pulled_is_noticed_and_everything_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay.presence, "LOST_SECONDS", 1.0)
    monkeypatch.setattr(relay.browser, "WATCH_SECONDS", 0.1)
    async with running("--keep", "1") as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-started-speaking", timeout=10)
        await asyncio.sleep(1.5)
        assert house.calls == 1, "a caller that is there is not taken for a lost one"
        await caller.vanish()
        await free(house)


async def test_a_caller_that_stops_after_ice_and_never_speaks_dtls_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.session, "CONNECT_SECONDS", 1.0)

    async def mute(self: Any, remote: Any) -> None:
        await asyncio.sleep(0)

    async with running() as house, Caller(house.base) as caller:
        await caller.start()
        caller.prepare()
        caller.peer.getTransceivers()[0].receiver.transport.start = mute.__get__(caller)  # type: ignore[method-assign]
        await caller.offer()
        await free(house)
