"""What an app does with the official JavaScript SDK during a call, one feature a test."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Final

from relay.agent import Agent
from relay.standin.script import parse
from tests.clients.conftest import Street, Streets

TYPING: Final = {"enableMic": False}  # nobody speaks
TINY_PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel
)
UPLOAD: Final = """async (client, picture) => {
  const started = kit.log.find(([, name]) => name === "botStarted")[2][0];
  const form = new FormData();
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  form.append("file", new Blob([bytes], { type: "image/png" }), "pixel.png");
  const answer = await fetch(started.fileUploadUrl, { method: "POST", body: form });
  return { status: answer.status, body: await answer.json() };
}"""
SEND_FILE: Final = """(client, [file, words]) => kit.transport.sendMessage(
  {label: 'rtvi-ai', id: 'f1', type: 'send-file', data: {content: words, file, options: {run_immediately: true}}})"""


def time_in(zone: str) -> str:
    """The time of day in a time zone."""
    return f"noon in {zone}"


def show_map(city: str, zoom: int = 10) -> None:
    """Show a map in the user's app."""


async def told(street: Street, kind: str, where: Callable[[Any], bool] = lambda body: True) -> Any:
    """The first message of that kind that the model got, once it has it."""
    connection = await street.relay.model.connected()
    async with asyncio.timeout(8):
        while not (found := [body for body in connection.of(kind) if where(body)]):
            await asyncio.sleep(0.05)
    return found[0]


async def answered(street: Street, words: str) -> None:
    """The bot has said something with these words in it."""
    await street.app.page.wait_for_function(
        "words => kit.log.some(([, name, [data]]) => name === 'botOutput' && data.text.includes(words))", arg=words
    )


async def test_typed_words_are_answered_in_sound_and_text(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        await street.app.run("client => client.sendText('how are you')")
        await answered(street, "how are you")
        await street.app.event("botStartedSpeaking")
        await street.app.event("botStoppedSpeaking")
        assert await street.app.sound() > 0
        assert await told(street, "realtimeInput", lambda body: body.get("text") == "how are you")


async def test_an_answer_in_text_alone_is_read_and_not_heard(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        await street.app.run("client => client.sendText('whisper it', {audio_response: false})")
        await answered(street, "whisper it")
        await street.app.event("botLlmStopped")
        await asyncio.sleep(1.0)
        quiet = await street.app.sound()
        assert quiet < 1e-6
        await street.app.run("client => client.sendText('aloud again')")
        await answered(street, "aloud again")
        await street.app.event("botStoppedSpeaking")
        assert await street.app.sound() > quiet + 1e-4


async def test_words_for_later_are_remembered_and_not_answered(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        await street.app.run("client => client.sendText('my name is Ada', {run_immediately: false})")
        content = await told(street, "clientContent")
        assert "my name is Ada" in str(content)
        assert not content.get("turnComplete")
        await asyncio.sleep(1.0)
        assert not await street.app.events("botOutput")


async def test_a_typed_question_interrupts_what_is_being_said(streets: Streets) -> None:
    long = {"say": "A long story. " * 20, "seconds": 15}
    async with streets(client=TYPING, script=parse({"replies": [long, {"say": "Fine."}], "after": "echo"})) as street:
        await street.app.connect()
        await street.app.run("client => client.sendText('tell me a story')")
        await street.app.event("botStartedSpeaking")
        await asyncio.sleep(0.5)
        await street.app.run("client => client.sendText('stop')")
        await street.app.event("botStoppedSpeaking")
        await street.app.event("botStartedSpeaking", 2)
        await answered(street, "Fine.")
        await street.app.event("botStoppedSpeaking", 2)
        outputs = [data["text"] for data in await street.app.events("botOutput") if data["spoken_status"] == "new"]
        assert len(outputs) < 8, "what was not said is not shown"


async def test_the_apps_own_request_is_answered_by_the_agent_file(streets: Streets) -> None:
    async def on_message(kind: str, data: Any) -> Any:
        if kind != "seats":
            raise LookupError(kind)
        return {"free": data["table"] * 2}

    async with streets(client=TYPING, agent=Agent(on_message=on_message)) as street:
        await street.app.connect()
        assert await street.app.run("client => client.sendClientRequest('seats', {table: 6})") == {"free": 12}
        refused = await street.app.attempt("client => client.sendClientRequest('weather', {})")
        assert refused["error"]["type"] == "error-response"
        assert "weather" in refused["error"]["data"]["error"]


async def test_a_function_of_the_app_is_called_once_and_the_model_gets_what_it_returns(streets: Streets) -> None:
    call = {"name": "show_map", "args": {"city": "Paris", "zoom": 3}, "id": "fc_1"}
    script = parse({"replies": [{"say": "Look.", "calls": [call], "then": {"say": "It says {result}."}}]})
    async with streets(client=TYPING, script=script, agent=Agent(client_tools=[show_map])) as street:
        await street.app.run("""client => {
            window.called = [];
            client.registerFunctionCallHandler('show_map', async (call) => { called.push(call); return {shown: 42}; });
        }""")
        await street.app.connect()
        await street.app.run("client => client.sendText('show me Paris')")
        response = await told(street, "toolResponse")
        assert [answer["id"] for answer in response["functionResponses"]] == ["fc_1"]
        assert "42" in str(response["functionResponses"][0]["response"])
        progress = await street.app.event("llmFunctionCallInProgress")
        assert progress["function_name"] == "show_map"
        assert progress["arguments"] == {"city": "Paris", "zoom": 3}
        stopped = await street.app.event("llmFunctionCallStopped")
        assert (stopped["tool_call_id"], stopped["cancelled"]) == ("fc_1", False)
        await answered(street, "42")
        called = await street.app.page.evaluate("called")
        assert called == [{"functionName": "show_map", "arguments": {"city": "Paris", "zoom": 3}}]
        assert not await street.app.events("llmFunctionCall"), "the old form would run it again"


async def test_a_function_of_the_relay_is_shown_and_left_alone(streets: Streets) -> None:
    call = {"name": "time_in", "args": {"zone": "Europe/Oslo"}, "id": "fc_1"}
    script = parse({"replies": [{"say": "A moment.", "calls": [call], "then": {"say": "It is {result}."}}]})
    async with streets(client=TYPING, script=script, agent=Agent(tools=[time_in])) as street:
        await street.app.run("""client => {
            window.called = [];
            client.registerFunctionCallHandler('time_in', async (call) => { called.push(call); return {}; });
        }""")
        await street.app.connect()
        await street.app.run("client => client.sendText('what time is it in Oslo')")
        await answered(street, "noon in Europe/Oslo")
        assert (await street.app.event("llmFunctionCallInProgress"))["tool_call_id"] == "fc_1"
        assert (await street.app.event("llmFunctionCallStopped"))["tool_call_id"] == "fc_1"
        assert await street.app.page.evaluate("called") == []
        assert len((await street.relay.model.connected()).of("toolResponse")) == 1


async def test_a_muted_microphone_is_not_heard_until_it_is_on_again(streets: Streets) -> None:
    async with streets(media="own") as street:
        await street.app.connect()
        await street.app.run("client => client.enableMic(false)")
        await asyncio.sleep(0.5)
        heard = len(street.relay.model.received_pcm())
        await asyncio.sleep(1.0)
        assert len(street.relay.model.received_pcm()) == heard
        assert not await street.app.run("client => client.isMicEnabled")
        await street.app.run("client => client.enableMic(true)")
        async with asyncio.timeout(3):
            while len(street.relay.model.received_pcm()) == heard:
                await asyncio.sleep(0.05)
        status = [message["message"]["enabled"] for message in await street.app.said("trackStatus")
                  if message["message"]["receiver_index"] == 0]  # fmt: skip
        assert status == [True, False, True]


async def test_a_spoken_sentence_is_shown_as_it_is_heard_and_answered(streets: Streets) -> None:
    async with streets() as street:
        await street.app.connect()
        await street.app.event("userStartedSpeaking")
        await street.app.event("userStoppedSpeaking")
        transcripts = await street.app.page.wait_for_function(
            "kit.log.some(([, name, [data]]) => name === 'userTranscript' && data.final)"
        )
        assert transcripts
        await street.app.event("botStartedSpeaking")
        await street.app.event("botOutput")
        await street.app.event("botTranscript")
        ttfb = await street.app.page.wait_for_function(
            "kit.log.map(([, name, [data]]) => name === 'metrics' && data.ttfb?.[0]).find(Boolean)"
        )
        assert 0 < (await ttfb.json_value())["value"] < 5
        tokens = await street.app.page.wait_for_function(
            "kit.log.map(([, name, [data]]) => name === 'metrics' && data.tokens?.[0]).find(Boolean)"
        )
        assert (await tokens.json_value())["total_tokens"] > 0


async def test_keys_of_a_telephone_reach_the_model(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        await street.app.run("client => client.sendDTMF('12#')")
        pressed = await told(street, "realtimeInput", lambda body: "#" in body.get("text", ""))
        assert [key for key in pressed["text"] if key in "0123456789*#"] == ["1", "2", "#"]
        assert not await street.app.events("messageError")


async def test_old_apps_add_to_the_context(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        await street.app.run(
            "client => client.appendToContext({role: 'user', content: 'I like tea', run_immediately: false})"
        )
        assert "I like tea" in str(await told(street, "clientContent"))
        assert (await street.app.hears("append-to-context-result"))["data"] == {"result": "ok"}


async def test_an_uploaded_picture_is_shown_to_the_model(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        uploaded = await street.app.run(UPLOAD, TINY_PNG)
        assert uploaded["status"] == 200
        assert uploaded["body"]["name"] == "pixel.png"
        assert uploaded["body"]["format"] == "image/png"
        await street.app.run(SEND_FILE, [uploaded["body"], "what is this pixel"])
        picture = await told(street, "realtimeInput", lambda body: "video" in body)
        assert picture["video"]["mimeType"].startswith("image/")
        await answered(street, "what is this pixel")
        assert not await street.app.events("messageError")


async def test_a_picture_in_a_message_is_shown_to_the_model(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        file = {"format": "image/png", "name": "a.png", "source": {"type": "bytes", "bytes": TINY_PNG}}
        await street.app.run(SEND_FILE, [file, "and this one"])
        assert await told(street, "realtimeInput", lambda body: "video" in body)
        await answered(street, "and this one")


async def test_an_upload_that_is_no_picture_is_refused_with_words(streets: Streets) -> None:
    async with streets(client=TYPING) as street:
        await street.app.connect()
        refused = await street.app.run(UPLOAD, "aGVsbG8gd29ybGQ=")
        assert refused["status"] == 415
        assert refused["body"]["info"].endswith(".")


async def test_camera_and_screen_are_seen_only_while_they_are_on(streets: Streets) -> None:
    async with streets(media="screen", client=TYPING) as street:
        await street.app.connect()
        connection = await street.relay.model.connected()
        seen: list[float] = []

        async def look(seconds: float, enough: int = 1 << 30) -> int:
            """How many pictures there are after that time, or as soon as there are enough."""
            end = asyncio.get_running_loop().time() + seconds
            while (now := asyncio.get_running_loop().time()) < end and len(seen) < enough:
                count = sum("video" in body for body in connection.of("realtimeInput"))
                seen.extend([now] * (count - len(seen)))
                await asyncio.sleep(0.02)
            return len(seen)

        assert await look(1.5) == 0
        await street.app.run("client => client.enableCam(true)")
        assert await look(20.0, enough=3) == 3
        assert all(later - earlier > 0.8 for earlier, later in itertools.pairwise(seen)), "at most one a second"
        await street.app.run("client => client.enableCam(false)")
        await look(0.5)
        before = len(seen)
        assert await look(1.5) == before
        await street.app.run("client => client.enableScreenShare(true)")
        assert await look(20.0, enough=before + 1) > before


async def test_what_the_app_asks_for_in_the_body_is_the_owners_to_allow(streets: Streets) -> None:
    call = "client => client.startBotAndConnect({endpoint: '/start', requestData: {body: {voice: 'Kore'}}})"
    async with streets(client=TYPING) as street:
        refused = await street.app.attempt(call)
        assert refused["error"]["status"] == 400
        assert "voice" in refused["error"]["message"]
    async with streets("--allow-body", "voice", client=TYPING) as street:
        await street.app.run(call)
        connection = await street.relay.model.connected()
        async with asyncio.timeout(8):
            while connection.setup is None:
                await asyncio.sleep(0.05)
        assert "Kore" in str(connection.setup)
