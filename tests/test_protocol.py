"""The Live wire format, against frames as they really are and against the SDK as it is installed."""

import base64
import json
from binascii import a2b_base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from google import genai
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from relay.agent import Agent, Listening
from relay.errors import FAULTS
from relay.gemini import protocol, service
from relay.gemini.events import (
    Audio,
    Event,
    FunctionCall,
    GenerationComplete,
    GoAway,
    Grounding,
    InputTranscript,
    Interrupted,
    ModelText,
    OutputTranscript,
    ResumptionUpdate,
    SetupComplete,
    Source,
    ToolCall,
    ToolCancelled,
    TurnComplete,
    Unknown,
    Usage,
    VoiceActivity,
)
from relay.gemini.protocol import Kind, Message
from relay.gemini.reading import MAX_AUDIO_EVENT, MAX_DEPTH, BadFrame, read, seconds
from relay.gemini.service import State
from relay.tools import tool

VECTORS: Final = Path(__file__).parent / "vectors"
SERVER: Final[dict[str, str]] = {
    row["name"]: row["raw"] for row in json.loads((VECTORS / "server_messages.json").read_text())
}
CLIENT: Final[dict[str, list[dict[str, Any]]]] = json.loads((VECTORS / "client_frames.json").read_text())
MODEL: Final = "gemini-3.8-live"
HANDLE: Final = "3f823cb9-f916-469d-af23-d4740d1fde8b"

# -- what we hear ---------------------------------------------------------------------------------------------


def pcm_of(name: str) -> bytes:
    parts = json.loads(SERVER[name])["serverContent"]["modelTurn"]["parts"]
    return a2b_base64(parts[0]["inlineData"]["data"])


HEARD: Final[dict[str, list[Event]]] = {
    "setup_complete": [SetupComplete()],
    "setup_complete_vertex": [SetupComplete("5f0c1e34-0000-4000-8000-000000000001")],
    "resumption_update": [ResumptionUpdate(HANDLE, True)],
    "resumption_update_not_resumable": [ResumptionUpdate()],
    "resumption_update_transparent": [ResumptionUpdate("h2", True)],
    "bare_empty": [],
    "bare_server_content": [],
    "voice_activity_start": [VoiceActivity(True, 1.88)],
    "voice_activity_end_with_server_content": [VoiceActivity(False, 5.0)],
    "input_transcription": [InputTranscript(" my")],
    "input_transcription_finished": [InputTranscript("Hello, my name is Ada.", finished=True)],
    "interim_input_transcription": [InputTranscript("Hello my", interim=True)],
    "output_transcription": [OutputTranscript(" nice to")],
    "output_transcription_vertex_finished": [OutputTranscript("", finished=True)],
    "thought_part": [ModelText("**Greeting**\n\nThe user said hello.", thought=True)],
    "audio_part_2_5": [Audio(pcm_of("audio_part_2_5"))],
    "audio_part_3_x_with_transcript": [
        Audio(pcm_of("audio_part_3_x_with_transcript")),
        OutputTranscript(
            json.loads(SERVER["audio_part_3_x_with_transcript"])["serverContent"]["outputTranscription"]["text"]
        ),
    ],
    "audio_part_vertex_no_rate": [Audio(pcm_of("audio_part_vertex_no_rate"))],
    "text_part": [ModelText("Hi")],
    "generation_complete": [GenerationComplete()],
    "interrupted": [Interrupted()],
    "turn_complete_with_usage": [
        TurnComplete(),
        Usage(522, 42, 136, 564, {"TEXT": 332, "AUDIO": 165}, {"AUDIO": 42}),
    ],
    "turn_complete_reason": [TurnComplete("NEED_MORE_INPUT")],
    "waiting_for_input": [TurnComplete()],
    "grounding": [Grounding("", (Source("https://example.org", "example"),)), TurnComplete()],
    "tool_call": [
        ToolCall((FunctionCall("function-call-12345678901234567890", "get_weather", {"city": "Paris", "days": 3}),))
    ],
    "tool_call_cancellation": [ToolCancelled(("fc_1234567890123456789",))],
    "go_away": [GoAway(50.0)],
    "go_away_fraction": [GoAway(9.5)],
    "interaction_status_in_progress": [],
    "interaction_status_idle": [TurnComplete()],
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in SERVER if name in HEARD])
def test_a_message_of_the_model_becomes_these_events(name: str) -> None:
    assert read(SERVER[name].encode()) == HEARD[name]


def test_every_recorded_message_has_its_expectation() -> None:
    assert set(SERVER) == set(HEARD) | {"tool_call_parallel"}


def test_several_calls_of_one_message_stay_together_and_in_order() -> None:
    (event,) = read(SERVER["tool_call_parallel"])
    assert isinstance(event, ToolCall)
    assert [call.name for call in event.calls] == ["a", "b"]
    assert len({call.id for call in event.calls}) == 2


def test_an_interruption_comes_before_the_sound_and_the_end_of_the_turn_after_it() -> None:
    content = {
        "turnComplete": True,
        "generationComplete": True,
        "modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "AAA="}}]},
        "interrupted": True,
        "inputTranscription": {"text": "stop"},
    }
    events = read(json.dumps({"usageMetadata": {"totalTokenCount": 1}, "serverContent": content}))
    assert [type(event) for event in events] == [
        Interrupted, InputTranscript, Audio, GenerationComplete, TurnComplete, Usage
    ]  # fmt: skip


def test_what_the_model_computes_is_not_shown_as_its_words() -> None:
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "print(6 * 7)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ]
    assert read(json.dumps({"serverContent": {"modelTurn": {"role": "model", "parts": parts}}})) == []


def test_what_is_unknown_beside_what_is_known_says_nothing() -> None:
    message = {
        "somethingNew": {"a": 1},
        "serverContent": {"newField": [1], "modelTurn": {"parts": [{"executableCode": {"code": "1"}}]}},
        "voiceActivity": {"type": "ACTIVITY_PAUSED"},
    }
    assert read(json.dumps(message)) == []


@pytest.mark.parametrize(
    "message",
    [{"somethingNew": {"a": 1}}, {"server_content": {"turnComplete": True}},
     {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "text/plain", "data": "aGk="}}]}}}],
)  # fmt: skip
def test_a_message_of_which_nothing_is_known_is_told_as_unknown_and_no_more(message: dict[str, Any]) -> None:
    assert read(json.dumps(message)) == [Unknown()]


def test_an_unknown_interaction_status_does_not_swallow_the_end_of_a_turn() -> None:
    assert read('{"serverContent":{"turnComplete":true,"interactionStatus":"DREAMING"}}') == [TurnComplete()]


def sound(pcm: bytes, mime: str = "audio/pcm;rate=24000", *, urlsafe: bool = False) -> str:
    data = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(pcm).decode()
    return json.dumps({"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": mime, "data": data}}]}}})


def test_long_sound_comes_in_pieces_of_two_seconds_and_loses_nothing() -> None:
    pcm = bytes(range(256)) * 1000
    events = [event for event in read(sound(pcm)) if isinstance(event, Audio)]
    assert b"".join(event.pcm for event in events) == pcm
    assert max(len(event.pcm) for event in events) == MAX_AUDIO_EVENT == 96_000


def test_both_alphabets_of_base64_are_read() -> None:
    pcm = b"\xfb\xff\xfe\xff" * 8
    assert read(sound(pcm, urlsafe=True)) == read(sound(pcm)) == [Audio(pcm)]


@pytest.mark.parametrize("mime", ["audio/pcm", "audio/pcm;rate=", "audio/pcm; rate=24000;x=1", "audio/pcm;rate=fast"])
def test_sound_is_at_the_usual_rate_unless_another_is_named(mime: str) -> None:
    assert read(sound(b"\0\0", mime)) == [Audio(b"\0\0")]


@pytest.mark.parametrize("rate", ["16000", "48000;x=1", "0", "1", "99999999"])
def test_sound_at_another_rate_is_a_bad_frame(rate: str) -> None:
    with pytest.raises(BadFrame):
        read(sound(b"\0\0", f"audio/pcm;rate={rate}"))


@pytest.mark.parametrize(
    "text", ["the weather is fine!", "the weather is fine", "AAAA AAAA", "AAAA\nAAAA", "AA-A AA_A", "AAA=AAA="]
)
def test_text_where_sound_belongs_is_a_bad_frame_and_never_played(text: str) -> None:
    with pytest.raises(BadFrame):
        read(sound(b"\0\0").replace("AAA=", text.replace("\n", "\\n")))


@pytest.mark.parametrize("text", ["plain", "half of \\ud83d"])
@pytest.mark.parametrize(("open", "shut"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_so_deep_that_it_could_not_be_written_again_is_a_bad_frame(
    text: str, open: str, shut: str
) -> None:
    def call(depth: int) -> str:
        nest = open * depth + f'"{text}"' + shut * depth
        return '{"toolCall":{"functionCalls":[{"id":"1","name":"f","args":{"a":' + nest + "}}]}}"

    assert len(read(call(MAX_DEPTH // 2))) == 1
    for depth in (MAX_DEPTH, 500, 900, 100_000):
        with pytest.raises(BadFrame):
            read(call(depth))


def test_half_a_surrogate_pair_becomes_text_that_can_be_written_down() -> None:
    (event,) = read('{"serverContent":{"outputTranscription":{"text":"na\\u00efve \\ud83d"}}}')
    assert event == OutputTranscript("naïve ?")


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("50s", 50.0), ("9.500s", 9.5), ("1.880000000s", 1.88), (3, 3.0), ("7", 7.0),
     ({"seconds": "9", "nanos": 5e8}, 9.5), ("soon", None), (None, None), (True, None), ("-1s", None), ("nan", None),
     ("1e400s", None), ([], None)],
)  # fmt: skip
def test_durations_are_read_leniently(duration: object, expected: float | None) -> None:
    assert seconds(duration) == expected


def test_a_go_away_without_a_time_means_now() -> None:
    assert read('{"goAway":{}}') == [GoAway(0.0)]


def test_counts_come_as_numbers_or_strings_and_nonsense_costs_nothing() -> None:
    usage = {"promptTokenCount": "42", "candidatesTokenCount": 7, "totalTokenCount": "many", "promptTokensDetails": 3}
    assert read(json.dumps({"usageMetadata": usage})) == [Usage(prompt=42, response=7)]
    assert read(json.dumps({"usageMetadata": {"totalTokenCount": 10**4000}})) == [Usage()], "no number of tokens"


@pytest.mark.parametrize(
    "broken",
    [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b'"text"', b"[" * 100_000, b'{"a":' * 100_000, b'{"serverContent":[]}',
     b'{"serverContent":{"modelTurn":{"parts":{}}}}', b'{"serverContent":{"modelTurn":{"parts":[1]}}}',
     b'{"serverContent":{"outputTranscription":{"text":1}}}', b'{"toolCall":{"functionCalls":[3]}}',
     b'{"toolCallCancellation":{"ids":[3]}}', b'{"goAway":5}', b'{"x":' + b"9" * 5000 + b"}",
     sound(b"\0\0\0").encode(), sound(b"\0\0").replace("AAA=", "A").encode(),
     '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"é"}}]}}}'.encode()],
)  # fmt: skip
def test_a_broken_message_is_a_bad_frame_that_quotes_nothing(broken: bytes) -> None:
    with pytest.raises(BadFrame) as caught:
        read(broken)
    assert len(str(caught.value)) < 60


LEAVES: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(
    ["AAA=", "audio/pcm", "ACTIVITY_START", "IDLE", "50s", "fc_1"]
)  # fmt: skip


def keys_of(value: Any) -> set[str]:
    """Every key that the wire format is known to use, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


KEYS: Final = st.sampled_from(sorted(keys_of([json.loads(raw) for raw in SERVER.values()])))
TREES: Final = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4) | TREES)
def test_whatever_json_comes_it_is_events_or_a_bad_frame(tree: object) -> None:
    try:
        events = read(json.dumps(tree))
    except BadFrame:
        return
    for event in events:
        assert isinstance(event, Event)
        if isinstance(event, OutputTranscript | InputTranscript | ModelText):
            event.text.encode()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_whatever_bytes_come_they_are_events_or_a_bad_frame(message: bytes) -> None:
    try:
        read(message)
    except BadFrame:
        return


def test_no_repr_of_an_event_holds_what_was_said() -> None:
    said: list[Event] = [
        Audio(b"canary"), ModelText("canary"), InputTranscript("canary"), OutputTranscript("canary"),
        ToolCall((FunctionCall("1", "f", {"x": "canary"}),)), ResumptionUpdate("canary", True),
    ]  # fmt: skip
    assert "canary" not in repr(said)


# -- what we say ----------------------------------------------------------------------------------------------

OPAQUE: Final = {"args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema", "labels"}


def camel(key: str) -> str:
    head, *tail = key.split("_")
    return head + "".join(part.capitalize() for part in tail)


def meaning(value: Any) -> Any:
    """The message behind its spelling: either case of keys, either alphabet of base64; payloads stay as they are."""
    if isinstance(value, dict):
        named = {camel(key): inner for key, inner in value.items()}
        return {
            key: inner if key in OPAQUE else bytes_of(inner) if key == "data" else meaning(inner)
            for key, inner in named.items()
        }
    return [meaning(inner) for inner in value] if isinstance(value, list) else value


def bytes_of(data: str) -> bytes:
    return base64.urlsafe_b64decode(data.replace("+", "-").replace("/", "_"))


def said(message: bytes | Message) -> Any:
    return meaning(json.loads(message if isinstance(message, bytes) else message.data))


def get_weather(city: str, days: int = 3) -> dict[str, Any]:
    """Look up the weather."""
    return {city: days}


def full_config() -> types.LiveConnectConfig:
    """Almost every option at once."""
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        temperature=0.7,
        top_p=0.9,
        top_k=40,
        max_output_tokens=4096,
        media_resolution=types.MediaResolution.MEDIA_RESOLUTION_LOW,
        seed=7,
        speech_config=types.SpeechConfig(
            voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Puck")),
            language_code="en-US",
        ),
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
        enable_affective_dialog=True,
        translation_config=types.TranslationConfig(echo_target_language=True, target_language_code="es"),
        system_instruction="You are terse.",
        tools=[
            types.Tool(google_search=types.GoogleSearch()),
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="turn_on",
                        description="d",
                        behavior=types.Behavior.NON_BLOCKING,
                        parameters=types.Schema(
                            type=types.Type.OBJECT,
                            properties={"room": types.Schema(type=types.Type.STRING)},
                            required=["room"],
                        ),
                    ),
                    types.FunctionDeclaration.from_callable_with_api_option(callable=get_weather, use_json_schema=True),
                ]
            ),
        ],
        session_resumption=types.SessionResumptionConfig(handle="HANDLE-1"),
        input_audio_transcription=types.AudioTranscriptionConfig(
            language_codes=["en-US"], custom_vocabulary=["Kubernetes"]
        ),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        realtime_input_config=types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(
                disabled=False,
                start_of_speech_sensitivity=types.StartSensitivity.START_SENSITIVITY_HIGH,
                end_of_speech_sensitivity=types.EndSensitivity.END_SENSITIVITY_LOW,
                prefix_padding_ms=20,
                silence_duration_ms=500,
            ),
            activity_handling=types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS,
            turn_coverage=types.TurnCoverage.TURN_INCLUDES_ONLY_ACTIVITY,
            interim_transcript_timestamp_enabled=True,
        ),
        context_window_compression=types.ContextWindowCompressionConfig(
            trigger_tokens=25_600, sliding_window=types.SlidingWindow(target_tokens=12_800)
        ),
        proactivity=types.ProactivityConfig(proactive_audio=True),
        history_config=types.HistoryConfig(initial_history_in_client_content=True),
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_ONLY_HIGH
            )
        ],
        labels={"team_name": "x"},
    )


AUDIO_ONLY: Final = [types.Modality.AUDIO]
CONFIGS: Final[dict[str, Callable[[], types.LiveConnectConfig]]] = {
    "setup_empty_config": types.LiveConnectConfig,
    "setup_minimal": lambda: types.LiveConnectConfig(response_modalities=AUDIO_ONLY),
    "setup_full": lambda: full_config().model_copy(update={"labels": {"team": "x"}}),
    "setup_manual_vad": lambda: types.LiveConnectConfig(
        response_modalities=AUDIO_ONLY,
        realtime_input_config=types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(disabled=True),
            activity_handling=types.ActivityHandling.NO_INTERRUPTION,
        ),
    ),
    "setup_transcription_resumption_empty": lambda: types.LiveConnectConfig(
        response_modalities=AUDIO_ONLY,
        session_resumption=types.SessionResumptionConfig(),
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        context_window_compression=types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow()),
    ),
}
# What only the SDK itself shows: all of the above, and what agents are made of.
LIVE_CONFIGS: Final = CONFIGS | {
    "labels stay as they are written": full_config,
    "default agent": lambda: Agent().live_config(MODEL),
    "agent with everything": lambda: Agent(
        instructions="Sei kurz – “wirklich”.",
        voice="Kore",
        language="de-DE",
        tools=[get_weather],
        client_tools=[tool({"name": "show_map", "description": "Show it."}, blocking=False, scheduling="SILENT")],
        google_search=True,
        code_execution=True,
        listening=Listening(start="high", end="low", prefix=20, silence=700),
    ).live_config(MODEL, voice="Leda"),
    "instruction as parts": lambda: types.LiveConnectConfig(
        system_instruction=[types.Part(text="a"), types.Part(text="b")]
    ),
    "instruction as one part": lambda: types.LiveConnectConfig(system_instruction=types.Part(text="a")),
    "instruction as content": lambda: types.LiveConnectConfig(
        system_instruction=types.Content(role="user", parts=[types.Part(text="a")])
    ),
}


def normal(setup: Any) -> Any:
    """0.7 and a float that came through 32 bits are one; topK is a float on one side of a capture."""
    return json.loads(json.dumps(setup), parse_int=float)


@pytest.mark.parametrize("name", CONFIGS)
def test_our_setup_means_what_a_recorded_one_means(name: str) -> None:
    (recorded,) = CLIENT[name]
    assert normal(said(protocol.setup_message(MODEL, CONFIGS[name]()))) == normal(meaning(recorded))


@asynccontextmanager
async def listening_server() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A server that notes each first message and accepts it."""
    setups: list[dict[str, Any]] = []

    async def accept(connection: ServerConnection) -> None:
        setups.append(json.loads(await connection.recv()))
        await connection.send(b"{}")
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", setups


@pytest.mark.parametrize("name", LIVE_CONFIGS)
async def test_our_setup_means_what_the_installed_sdk_sends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = said(protocol.setup_message(MODEL, LIVE_CONFIGS[name]()))
    async with listening_server() as (url, setups):
        client = genai.Client(api_key="none")
        monkeypatch.setattr(client._api_client, "_websocket_base_url", lambda http_options=None: url)
        monkeypatch.setattr(client._api_client, "_websocket_ssl_ctx", {})
        try:
            async with client.aio.live.connect(model=MODEL, config=LIVE_CONFIGS[name]()):
                pass
        finally:
            await client.aio.aclose()
            client.close()
    assert normal(ours) == normal(meaning(setups[0]))


def test_the_deprecated_generation_block_is_merged_and_the_fields_beside_it_win() -> None:
    config = types.LiveConnectConfig(
        generation_config=types.GenerationConfig(temperature=0.1, max_output_tokens=9), temperature=0.5
    )
    generation = json.loads(protocol.setup_message(MODEL, config))["setup"]["generationConfig"]
    assert generation == {"temperature": 0.5, "maxOutputTokens": 9}


def test_a_model_gets_its_prefix_once() -> None:
    for model in (MODEL, f"models/{MODEL}"):
        setup = json.loads(protocol.setup_message(model, types.LiveConnectConfig()))
        assert setup == {"setup": {"model": f"models/{MODEL}"}}


def test_a_field_the_gemini_api_does_not_have_is_refused_here() -> None:
    with pytest.raises(ValueError, match="explicit_vad_signal"):
        protocol.setup_message(MODEL, types.LiveConnectConfig(explicit_vad_signal=True))


def test_our_messages_mean_what_recorded_ones_mean() -> None:
    audio, video, text, start, end, stream_end, _deprecated = map(meaning, CLIENT["realtime_input"])
    assert said(protocol.audio_message(audio["realtimeInput"]["audio"]["data"])) == audio
    assert said(protocol.image_message(video["realtimeInput"]["video"]["data"])) == video
    assert said(protocol.text_message("hello “there”")) == text
    assert said(protocol.activity_message(True)) == start
    assert said(protocol.activity_message(False)) == end
    assert said(protocol.audio_end_message()) == stream_end
    turns = protocol.content_message([("user", "hi"), ("model", "hello")], complete=False)
    assert said(turns) == meaning(CLIENT["client_content"][0])
    answer = protocol.tool_message("fc_1", "get_weather", {"output": "ok"})
    assert said(answer) == meaning(CLIENT["tool_response"][0])


def test_an_answer_may_say_when_it_is_to_be_used() -> None:
    message = json.loads(protocol.tool_message("1", "f", {"snake_case": 1}, "SILENT").data)
    assert message["toolResponse"]["functionResponses"] == [
        {"id": "1", "name": "f", "response": {"snake_case": 1}, "scheduling": "SILENT"}
    ]


def test_an_answer_goes_by_the_calls_id_or_by_the_functions_name() -> None:
    assert protocol.tool_message("1", "f", {}).key == "1"
    assert protocol.tool_message("", "f", {}).key == "f"


def test_half_a_sample_is_never_sent() -> None:
    with pytest.raises(ValueError, match="half a sample"):
        protocol.audio_message(b"\0\0\0")


def test_text_that_cannot_be_written_down_is_sent_without_what_cannot() -> None:
    assert json.loads(protocol.text_message("a\ud83d").data)["realtimeInput"]["text"] == "a?"


def test_the_greeting_is_asked_for_in_the_way_the_model_answers() -> None:
    assert protocol.greeting_message(MODEL, "hi") == protocol.text_message("hi")
    assert protocol.greeting_message("gemini-3.1-flash-live-preview", "hi") == protocol.text_message("hi")
    older = protocol.greeting_message("gemini-2.5-flash-native-audio-preview-12-2025", "hi")
    assert older == protocol.content_message([("user", "hi")], complete=True)


# -- where, and how it ends -----------------------------------------------------------------------------------

PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.mark.parametrize(
    ("base", "url"),
    [("wss://generativelanguage.googleapis.com", "wss://generativelanguage.googleapis.com" + PATH),
     ("https://127.0.0.1:1/", "wss://127.0.0.1:1" + PATH), ("http://localhost:2/a/", "ws://localhost:2/a" + PATH),
     ("ws://[::1]:3?key=k#x", "ws://[::1]:3" + PATH)],
)  # fmt: skip
def test_the_address_is_made_from_the_base(base: str, url: str) -> None:
    assert service.live_url(base, "v1beta") == url


@pytest.mark.parametrize("base", ["", "localhost:1", "ftp://x", "wss://", "wss://me:secret@host"])
def test_an_address_that_is_none_is_refused_without_being_quoted(base: str) -> None:
    with pytest.raises(ValueError, match="must begin with ws") as caught:
        service.live_url(base, "v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason", "early", "late"),
    [
        (1000, "", "model-unreachable", "model-lost"),
        (1000, "The operation was cancelled.", "model-unreachable", "model-lost"),
        (1001, "", "model-unreachable", "model-lost"),
        (1006, "", "model-unreachable", "model-lost"),
        (1007, "Request contains an invalid argument.", "setup-refused", "model-lost"),
        (1007, "Invalid JSON payload received. Unknown name: Cannot find field.", "setup-refused", "model-lost"),
        (1007, "API key not valid. Please pass a valid API key.", "key-refused", "key-refused"),
        (1008, "models/X is not found for API version v1beta, or", "model-not-found", "model-not-found"),
        (1008, "Publisher Model `projects/p` was not found", "model-not-found", "model-not-found"),
        (1008, "Operation is not implemented, or supported, or enabled.", "setup-refused", "model-lost"),
        (1008, "Requested entity was not found", "setup-refused", "model-lost"),
        (1008, "The caller does not have permission", "key-refused", "key-refused"),
        (1008, "You exceeded your current quota, please check your plan", "quota", "quota"),
        (1011, "You exceeded your current quota, please check your plan", "quota", "quota"),
        (1011, "RESOURCE_EXHAUSTED", "quota", "quota"),
        (1011, "Internal error encountered.", "model-unreachable", "model-lost"),
        (1011, "Deadline expired before operation could complete.", "model-unreachable", "model-lost"),
        (1011, "The service is currently unavailable.", "model-unreachable", "model-lost"),
    ],
)  # fmt: skip
def test_the_reason_says_more_than_the_code(code: int, reason: str, early: str, late: str) -> None:
    assert (service.close_fault(code, reason, False), service.close_fault(code, reason, True)) == (early, late)
    assert {early, late} <= set(FAULTS)


@pytest.mark.parametrize(
    ("status", "fault"),
    [(400, "setup-refused"), (401, "key-refused"), (403, "key-refused"), (404, "model-not-found"), (429, "quota"),
     (500, "model-unreachable"), (503, "model-unreachable"), (302, "model-unreachable"), (0, "model-unreachable")],
)  # fmt: skip
def test_a_refused_upgrade_has_its_fault(status: int, fault: str) -> None:
    assert service.refusal_fault(status) == fault
    assert fault in FAULTS


def test_a_bad_request_may_be_about_the_key() -> None:
    assert service.refusal_fault(400, '{"error":{"message":"API key not valid."}}') == "key-refused"


def test_only_an_unknown_version_is_worth_another_version() -> None:
    assert service.wrong_version("models/x is not found for API version v1, or is not supported")
    assert not service.wrong_version("Requested entity was not found")


def test_every_state_has_its_moves_and_the_last_has_none() -> None:
    assert set(service.MOVES) == set(State)
    assert not service.MOVES[State.CLOSED]
    assert all(State.CLOSED in moves for state, moves in service.MOVES.items() if state is not State.CLOSED)


def test_foreign_text_is_cut_and_on_one_line() -> None:
    clean = service.clipped("a\nb\x1b[31m" + "x" * 1000)
    assert len(clean) == service.MAX_DETAIL
    assert clean.startswith("a b [31m")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (protocol.image_message(b"jpeg"), Kind.SHOWN),
        (protocol.text_message('","turnComplete":false}}'), Kind.ASKED),
        (protocol.audio_end_message(), Kind.MARKED),
        (protocol.activity_message(True), Kind.BEGINS),
        (protocol.activity_message(False), Kind.MARKED),
        (protocol.content_message([("user", '","turnComplete":true}}')], False), Kind.NOTED),
        (protocol.content_message([("user", '","turnComplete":false}}')]), Kind.ASKED),
        (protocol.tool_message("1", "f", {"output": 1}), Kind.ANSWERED),
        (protocol.nudge_message(MODEL), Kind.NUDGED),
        (protocol.greeting_message(MODEL, "hi"), Kind.ASKED),
        (protocol.greeting_message("gemini-2.5-flash-native-audio-preview-12-2025", "hi"), Kind.ASKED),
    ],
)
def test_of_every_message_of_ours_the_kind_is_known(message: Message, kind: Kind) -> None:
    assert message.kind is kind
