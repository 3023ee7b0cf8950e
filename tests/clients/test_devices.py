"""The wire forms of the iOS, Android and ESP32 clients, replayed against the relay; see `device.py`."""

import json
from collections.abc import Callable

import pytest
from aiortc import RTCRtpSender

from relay.agent import Agent
from relay.standin.script import parse
from tests.caller import Json
from tests.clients.device import FIRMWARE_BUFFER, Android, Firmware, IPhone
from tests.running import running
from tests.sound import read_wav

SPOKEN = read_wav("tests/sounds/weather.wav")
MAP = {"name": "show_map", "args": {"city": "Paris"}, "id": "fc_1"}
CALLING = parse({"replies": [{"say": "Look.", "calls": [MAP], "then": {"say": "It says {result}."}}]})

PHONES = pytest.mark.parametrize("phone", [IPhone, Android])


def show_map(city: str) -> None:
    """Show a map in the user's app."""


def saying(words: str) -> Callable[[Json], bool]:
    """Is it what the bot says?"""
    return lambda data: words in data["text"]


@PHONES
async def test_a_phone_is_welcomed_greeted_and_answered(phone: type[IPhone | Android]) -> None:
    async with running("--greeting", "Say hello.") as relay, phone(relay.base) as caller:
        await caller.call()
        asked = caller.introduce()
        ready = await caller.message("bot-ready")
        assert ready.id == asked
        assert ready.data["version"].startswith("2.")
        await caller.message("bot-stopped-speaking", timeout=10)
        caller.say(SPOKEN)
        await caller.message("user-started-speaking", timeout=10)
        assert (await caller.message("user-transcription", where=lambda data: data["final"], timeout=10)).data["text"]
        await caller.message("bot-output", where=saying("own words"), timeout=10)
        await caller.message("metrics", where=lambda data: "ttfb" in data)
        await caller.message("bot-stopped-speaking", timeout=10)
        assert not caller.of("error") + caller.of("error-response")
        caller.strict()


@PHONES
async def test_a_phones_typed_words_are_answered(phone: type[IPhone | Android]) -> None:
    every: list[dict[str, object]] = [{}, {"options": None}, {"options": {"run_immediately": True}}]
    async with running("--greeting", "") as relay, phone(relay.base) as caller:
        await caller.call()
        caller.introduce()
        for number, options in enumerate(every):
            caller.send("send-text", {"content": f"typed with {number}", **options})
            await caller.message("bot-output", where=saying(f"with {number}"), timeout=8)
        caller.strict()


@PHONES
async def test_a_phones_function_is_called_in_the_old_form_and_once(phone: type[IPhone | Android]) -> None:
    async with (
        running("--greeting", "", script=CALLING, agent=Agent(client_tools=[show_map])) as relay,
        phone(relay.base) as caller,
    ):
        await caller.call()
        caller.introduce()
        caller.send("send-text", {"content": "show me"})
        called = await caller.message("llm-function-call", timeout=8)
        assert called.data == {"function_name": "show_map", "tool_call_id": "fc_1", "args": {"city": "Paris"}}
        caller.send(
            "llm-function-call-result",
            {"function_name": "show_map", "tool_call_id": "fc_1", "arguments": {"city": "Paris"}, "result": "shown"},
        )
        await caller.message("bot-output", where=saying("shown"), timeout=8)
        assert len(caller.of("llm-function-call")) == 1
        responses = (await relay.model.connected()).of("toolResponse")
        assert [answer["id"] for response in responses for answer in response["functionResponses"]] == ["fc_1"]
        caller.strict()


@PHONES
async def test_a_phones_requests_are_answered_by_their_ids(phone: type[IPhone | Android]) -> None:
    agent = Agent(on_message=lambda kind, data: {"kind": kind, "got": data})
    async with running("--greeting", "", agent=agent) as relay, phone(relay.base) as caller:
        await caller.call()
        caller.introduce()
        asked = caller.send("client-message", {"t": "seats", "d": {"table": 6}})
        answered = await caller.message("server-response")
        assert answered.id == asked
        assert answered.data == {"t": "seats", "d": {"kind": "seats", "got": {"table": 6}}}
        added = caller.send("append-to-context", {"role": "user", "content": "I like tea", "run_immediately": False})
        assert (await caller.message("append-to-context-result")).id == added
        caller.strict()


@PHONES
async def test_a_phone_that_ends_the_bot_is_told_goodbye(phone: type[IPhone | Android]) -> None:
    async with running("--greeting", "") as relay, phone(relay.base) as caller:
        await caller.call()
        caller.introduce()
        await caller.message("bot-ready")
        caller.send("disconnect-bot")
        await caller.message("peerLeft")
        caller.strict()


@PHONES
async def test_a_phone_may_renegotiate_and_never_pings(phone: type[IPhone | Android]) -> None:
    async with running("--greeting", "") as relay, phone(relay.base) as caller:
        await caller.call()
        caller.introduce()
        await caller.message("bot-ready")
        before = caller.pc_id
        await caller.offer()
        assert caller.pc_id == before
        caller.send("send-text", {"content": "still here"})
        await caller.message("bot-output", where=saying("still here"), timeout=8)
        caller.strict()


async def test_vp8_alone_is_enough_of_a_video_section() -> None:
    async with running("--greeting", "") as relay, IPhone(relay.base) as caller:
        caller.prepare()
        codecs = RTCRtpSender.getCapabilities("video").codecs
        caller.peer.getTransceivers()[1].setCodecPreferences([one for one in codecs if one.mimeType == "video/VP8"])
        await caller.call()
        caller.introduce()
        await caller.message("bot-ready")
        assert "VP8/90000" in caller.answer_sdp
        assert "H264" not in caller.answer_sdp


async def test_an_answer_fits_into_the_buffer_of_the_firmware() -> None:
    async with running("--greeting", "") as relay, Firmware(relay.base) as caller:
        await caller.call()
        assert len(caller.response) <= FIRMWARE_BUFFER
        assert caller.answer_sdp.count("m=") == 2
        assert "sha-384" not in caller.answer_sdp
        assert "sha-512" not in caller.answer_sdp


async def test_firmware_that_says_nothing_is_greeted_and_answered() -> None:
    async with running("--greeting", "Say hello.") as relay, Firmware(relay.base) as caller:
        await caller.call()
        await caller.message("bot-started-speaking", timeout=10)
        await caller.message("bot-tts-text")
        await caller.message("bot-stopped-speaking", timeout=10)
        caller.say(SPOKEN)
        await caller.message("bot-started-speaking", timeout=15)
        assert not caller.of("error") + caller.of("error-response")
        caller.strict()


async def test_firmware_without_a_version_is_told_and_welcomed() -> None:
    async with running("--greeting", "") as relay, Firmware(relay.base) as caller:
        await caller.call()
        caller.send_raw(json.dumps({"label": "rtvi-ai", "type": "client-ready", "id": "0"}))
        assert (await caller.message("error-response")).id == "0"
        ready = await caller.message("bot-ready")
        assert ready.id == "0"
        assert caller.types().index("error-response") < caller.types().index("bot-ready")
        caller.strict()


async def test_whatever_a_client_calls_its_channel_it_is_heard() -> None:
    async with running("--greeting", "") as relay, Firmware(relay.base) as caller:
        await caller.call()
        caller.send("send-text", {"content": "hello from my channel"})
        await caller.message("bot-output", where=saying("my channel"), timeout=10)
