"""What the browser may say, and how the relay phrases what it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import rtvi
from relay.flood import (
    BURST_MESSAGES,
    MAX_REFUSED,
    MESSAGES_PER_SECOND,
    OVERSIZE_WEIGHT,
    REFUSED_MEMORY,
    FloodGate,
    Ruling,
)
from relay.reading import MAX_DEPTH, MAX_ID, read
from relay.said import (
    MAX_MESSAGE,
    ClientMessage,
    ClientReady,
    Ignored,
    Malformed,
    Ping,
    SendFile,
    SendText,
)
from tests.strict import BARE, NEEDED, strict

VECTORS: Final = json.loads((Path(__file__).parent / "vectors" / "rtvi.json").read_text())
SAID: Final = VECTORS["said"]
PHRASED: Final = VECTORS["phrased"]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


# -- what the browser says ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", SAID, ids=lambda row: json.dumps(row["frame"])[:70])
def test_each_frame_is_what_the_vectors_say_as_text_and_as_bytes(row: dict[str, Any]) -> None:
    text = json.dumps(row["frame"])
    for frame in (text, text.encode()):
        said = read(frame)
        assert type(said).__name__ == row["is"]
        assert {name: getattr(said, name) for name in row["with"]} == row["with"]


def test_ping_needs_no_json() -> None:
    assert read("ping: 1780000000000") == read(b"ping: 1780000000000") == Ping()


def test_bytes_that_are_no_text_are_malformed() -> None:
    assert read(b"\xff\xfe{}") == Malformed("", "The message is not JSON")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "9" * 5000])
def test_numbers_that_json_cannot_say_are_malformed(number: str) -> None:
    frame = '{"label":"rtvi-ai","type":"disconnect-bot","id":"a","data":{"x":0}}'
    assert not isinstance(read(frame), Malformed)
    assert isinstance(read(frame.replace("0", number)), Malformed)


def test_a_message_of_the_limit_is_read_and_one_byte_more_is_not() -> None:
    def message(size: int) -> str:
        body = {"label": "rtvi-ai", "type": "send-text", "id": "a", "data": {"content": ""}}
        body["data"] = {"content": "x" * (size - len(json.dumps(body)))}
        return json.dumps(body)

    assert isinstance(read(message(MAX_MESSAGE)), SendText)
    for frame in (message(MAX_MESSAGE + 1), message(MAX_MESSAGE + 1).encode()):
        said = read(frame)
        assert isinstance(said, Malformed)
        assert said.oversize


def test_the_limit_counts_bytes_and_not_characters() -> None:
    said = read('"' + "ü" * (MAX_MESSAGE // 2) + '"')
    assert isinstance(said, Malformed)
    assert said.oversize


def nested(levels: int) -> str:
    return '{"label":"rtvi-ai","type":"client-message","id":"a","data":{"t":"x","d":%s}}' % (
        "[" * (levels - 2) + "]" * (levels - 2)
    )


def test_nesting_is_read_to_the_limit_and_no_deeper_and_the_id_is_kept() -> None:
    assert isinstance(read(nested(MAX_DEPTH)), ClientMessage)
    said = read(nested(MAX_DEPTH + 1))
    assert isinstance(said, Malformed)
    assert (said.id, said.oversize) == ("a", True)


def test_nesting_that_would_break_a_parser_is_only_malformed() -> None:
    said = read("[" * MAX_MESSAGE)
    assert isinstance(said, Malformed)


def test_an_id_longer_than_any_client_sends_is_not_repeated() -> None:
    said = read(json.dumps({"label": "rtvi-ai", "type": "sing", "id": "x" * (MAX_ID + 1)}))
    assert isinstance(said, Malformed)
    assert said.id == ""


def test_the_words_of_a_message_are_not_in_its_repr() -> None:
    said = read(json.dumps({"label": "rtvi-ai", "type": "send-text", "id": "a", "data": {"content": "canary"}}))
    assert "canary" not in repr(said)
    assert "canary" not in repr(read(json.dumps({"label": "rtvi-ai", "type": "canary", "id": "a"})))


def test_a_picture_is_read_from_its_base64_whatever_stands_before_it() -> None:
    for prefix in ("", "data:image/jpeg;base64,"):
        data = {"file": {"source": {"type": "bytes", "bytes": prefix + "/9j/4AAQ"}}}
        said = read(json.dumps({"label": "rtvi-ai", "type": "send-file", "id": "a", "data": data}))
        assert isinstance(said, SendFile)
        assert said.picture == b"\xff\xd8\xff\xe0\0\x10"


@given(st.binary() | st.text() | values.map(json.dumps))
def test_any_frame_is_said_or_malformed_and_never_raises(frame: bytes | str) -> None:
    said = read(frame)
    if isinstance(said, Malformed):
        strict(rtvi.complaint(said))


@given(
    st.sampled_from(
        [row["frame"]["type"] for row in SAID if isinstance(row["frame"], dict) and "type" in row["frame"]]
    ),
    values,
)
def test_any_data_of_any_known_type_is_said_or_malformed(kind: str, data: Any) -> None:
    said = read(json.dumps({"label": "rtvi-ai", "type": kind, "id": "a", "data": data, "message": data}))
    if isinstance(said, Malformed):
        assert rtvi.complaint(said)["type"] in ("error", "error-response")
    if kind == "client-ready" and not isinstance(said, Malformed):
        assert isinstance(said, ClientReady)


# -- how much it may say --------------------------------------------------------------------------------------


def test_a_burst_passes_and_then_the_rate_does() -> None:
    gate = FloodGate()
    assert [gate.allow(5.0) for _ in range(int(BURST_MESSAGES))] == [Ruling.PASS] * int(BURST_MESSAGES)
    assert gate.allow(5.0) is Ruling.TELL
    steady = [gate.allow(5.0 + 1.001 * n / MESSAGES_PER_SECOND) for n in range(1, 500)]
    assert set(steady) == {Ruling.PASS}


def test_a_flood_is_told_once_and_then_closes_the_session() -> None:
    gate = FloodGate()
    rulings = [gate.allow(n / 5000) for n in range(5000)]
    assert rulings.count(Ruling.TELL) == 1
    first, closed = rulings.index(Ruling.TELL), rulings.index(Ruling.CLOSE)
    assert rulings[:first] == [Ruling.PASS] * first
    refused = [ruling for ruling in rulings[: closed + 1] if ruling is not Ruling.PASS]
    assert len(refused) == MAX_REFUSED


def test_refusals_are_forgotten_after_a_quiet_while() -> None:
    gate = FloodGate()
    now = 0.0
    for _ in range(5):
        rulings = [gate.allow(now) for _ in range(int(BURST_MESSAGES) + MAX_REFUSED - 1)]
        assert rulings.count(Ruling.TELL) == 1
        assert Ruling.CLOSE not in rulings
        now += REFUSED_MEMORY + 0.001


def test_messages_over_a_limit_weigh_more() -> None:
    gate = FloodGate()
    rulings = [gate.refuse(n * 1.0) for n in range(MAX_REFUSED // OVERSIZE_WEIGHT)]
    assert rulings[0] is Ruling.TELL
    assert set(rulings[1:-1]) == {Ruling.DROP}
    assert rulings[-1] is Ruling.CLOSE


def test_a_clock_that_stands_still_or_steps_back_gives_nothing_away() -> None:
    gate = FloodGate()
    passed = sum(gate.allow(now) is Ruling.PASS for now in [10.0, 9.0, 10.0, 9.0] * 50)
    assert passed == BURST_MESSAGES


# -- what the relay says --------------------------------------------------------------------------------------

TIME: Final = "2026-01-01T00:00:00.000+00:00"
REQUEST: Final = ClientMessage("8f3a91c2", "set-language")
WEATHER: Final = ("fc-7", "get_weather", {"city": "Oslo"})
ORIGIN: Final = {
    "site_uri": "https://example.org",
    "site_title": "Weather",
    "results": [{"text": "rain", "confidence": [0.9]}],
}
SAYINGS: Final[dict[str, Callable[[], Any]]] = {
    "bot-ready": lambda: rtvi.welcome(ClientReady("8f3a91c2", "2.0.0"), "1.0.0", sees=True)[-1],
    "bot-ready of generation 1": lambda: rtvi.welcome(ClientReady("8f3a91c2", "1.2.0"), "1.0.0", sees=True)[-1],
    "error": lambda: rtvi.error("The model cannot be reached."),
    "error-response": lambda: rtvi.complaint(Malformed("8f3a91c2", "Unsupported type sing")),
    "server-response": lambda: rtvi.server_response(REQUEST, {"ok": True}),
    "server-message": lambda: rtvi.server_message({"kind": "session-expiring", "seconds": 60}),
    "relay event": lambda: rtvi.relay_event("mic-dead", seconds=5),
    "user-input": lambda: rtvi.user_input("hey", TIME, final=True, kind="chat", id_="9a96c803"),
    "append-to-context-result": lambda: rtvi.append_to_context_result("8f3a91c2"),
    "peer-left": rtvi.peer_left,
    "user-transcription": lambda: rtvi.user_transcription("hello there", TIME, final=True),
    "user-llm-text": lambda: rtvi.user_llm_text("hello there"),
    "bot-llm-text": lambda: rtvi.bot_llm_text("Hi, I am "),
    "bot-transcription": lambda: rtvi.bot_transcription("Hi, I am a bot."),
    "bot-tts-text": lambda: rtvi.bot_tts_text("Hi, I am a bot."),
    "bot-output": lambda: rtvi.bot_output("Hi, I am a bot.", 1),
    "bot-output that is not spoken": lambda: rtvi.bot_output("Hi, I am a bot.", 1, spoken=False),
    "bot-output in progress": lambda: rtvi.bot_output_progress("Hi, I am a bot.", 1, 5),
    "bot-output completed": lambda: rtvi.bot_output_progress("Hi, I am a bot.", 1, 15),
    "bot-output of generation 1": lambda: rtvi.bot_output("Hi, I am a bot.", 1, generation=1),
    "metrics of time": lambda: rtvi.metrics_ttfb(0.42, "models/gemini-live"),
    "metrics of the whole answer": lambda: rtvi.metrics_processing(0.9, "models/gemini-live"),
    "metrics of tokens": lambda: rtvi.metrics_tokens(10, 20, 30, reasoning_tokens=0),
    "llm-function-call-started": lambda: rtvi.function_call("fc-7")[0],
    "llm-function-call-in-progress": lambda: rtvi.function_call("fc-7")[1],
    "llm-function-call-started, the client's": lambda: rtvi.function_call_started("get_weather"),
    "llm-function-call-in-progress, the client's": lambda: rtvi.function_call_in_progress(*WEATHER),
    "llm-function-call": lambda: rtvi.legacy_function_call(*WEATHER),
    "bot-llm-search-response": lambda: rtvi.search_response("It rains.", "<b>rain</b>", [ORIGIN]),
    "llm-function-call-stopped": lambda: rtvi.function_call_stopped("fc-7"),
    "user-started-speaking": lambda: rtvi.USER_STARTED_SPEAKING,
    "bot-interrupted": lambda: rtvi.BOT_INTERRUPTED,
}


@pytest.mark.parametrize("name", PHRASED)
def test_each_message_is_phrased_as_the_vectors_say(name: str) -> None:
    assert json.loads(rtvi.encode(SAYINGS[name]())) == PHRASED[name]


@given(values, st.dictionaries(st.text(), values), st.text(), st.text(), st.integers(0), st.booleans())
def test_nothing_the_relay_can_say_holds_a_null(
    d: Any, data: dict[str, Any], text: str, id_: str, number: int, flag: bool
) -> None:
    for message in (
        *rtvi.welcome(ClientReady(id_, "7.1.0" if flag else "1.2.0"), text, data),
        *rtvi.function_call(id_),
        rtvi.complaint(Malformed(id_, text)),
        rtvi.error(text, fatal=flag, code=id_),
        rtvi.error_response(id_, text),
        rtvi.server_response(ClientMessage(id_, text), d),
        rtvi.server_message(data),
        rtvi.relay_event("replaced", **{name: value for name, value in data.items() if name.isidentifier()}),
        rtvi.user_input(text, text, final=flag, kind="chat" if flag else "transcription", id_=id_),
        rtvi.search_response(text, id_, [data, data]),
        *(rtvi.bot_output_progress(text, number, heard) for heard in (0, len(text) // 2, len(text))),
        rtvi.metrics_processing(number / 7, text),
        rtvi.function_call_started(id_),
        rtvi.function_call_in_progress(id_, text, data),
        rtvi.legacy_function_call(id_, text, data),
        rtvi.append_to_context_result(id_, text),
        rtvi.peer_left(),
        rtvi.user_transcription(text, text, final=flag),
        rtvi.user_llm_text(text),
        rtvi.bot_llm_text(text),
        rtvi.bot_transcription(text),
        rtvi.bot_tts_text(text),
        rtvi.bot_output(text, number, spoken=flag),
        rtvi.bot_output(text, number, spoken=flag, generation=1),
        rtvi.metrics_ttfb(number / 7, text),
        rtvi.metrics_tokens(number, number, number, reasoning_tokens=number),
        rtvi.function_call_stopped(id_, text, data, cancelled=flag),
        *(value for name, value in vars(rtvi).items() if name.endswith(("_SPEAKING", "STARTED", "STOPPED"))),
        rtvi.BOT_INTERRUPTED,
    ):
        strict(message)


def test_a_lone_half_of_a_character_does_not_break_the_frame() -> None:
    request = read('{"label":"rtvi-ai","type":"client-message","id":"a","data":{"t":"x","d":"\\ud800"}}')
    assert isinstance(request, ClientMessage)
    assert json.loads(rtvi.encode(rtvi.server_response(request, request.d)).encode())["data"]["d"] == "?"


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0", "2.9.9"])
def test_a_client_of_our_generation_hears_our_version(version: str) -> None:
    (ready,) = rtvi.welcome(ClientReady("a", version), "1.0.0")
    assert (ready["type"], ready["id"], ready["data"]["version"]) == ("bot-ready", "a", rtvi.VERSION)


def test_a_client_of_generation_1_hears_its_own_version() -> None:
    (ready,) = rtvi.welcome(ClientReady("a", "1.2.0"), "1.0.0")
    assert ready["data"]["version"] == "1.2.0"


@pytest.mark.parametrize("version", ["", "0.3.0", "3.0.0"])
def test_a_doubtful_version_is_told_so_first_and_welcomed_all_the_same(version: str) -> None:
    doubt, ready = rtvi.welcome(ClientReady("a", version), "1.0.0")
    assert (doubt["type"], doubt["id"]) == ("error-response", "a")
    assert doubt["data"]["error"] == f"Client version {version or 'unknown'}. Compatibility issues may occur."
    assert (ready["type"], ready["id"], ready["data"]["version"]) == ("bot-ready", "a", rtvi.VERSION)


def test_who_sent_no_id_is_told_by_an_error_that_is_not_fatal() -> None:
    message = rtvi.complaint(cast(Malformed, read("nonsense")))
    assert (message["type"], message["data"]["fatal"]) == ("error", False)
    assert "id" not in message


def test_an_answer_without_content_leaves_it_out() -> None:
    assert rtvi.server_response(REQUEST)["data"] == {"t": "set-language"}


def test_only_interim_words_and_progress_may_be_dropped() -> None:
    assert rtvi.droppable(rtvi.bot_output_progress("Hi, I am a bot.", 1, 5))
    assert rtvi.droppable(rtvi.user_transcription("hel", "", final=False))
    assert rtvi.droppable(rtvi.user_input("hel", "", final=False))
    assert not rtvi.droppable(rtvi.user_transcription("hello", "", final=True))
    assert [name for name, saying in SAYINGS.items() if rtvi.droppable(saying())] == ["bot-output in progress"]


def test_every_message_stands_in_the_list_of_messages() -> None:
    document = (Path(__file__).parent.parent / "docs" / "rtvi.md").read_text(encoding="utf-8")
    read_of = {row["frame"]["type"] for row in SAID if isinstance(row["frame"], dict) and "type" in row["frame"]}
    named = {*NEEDED, *BARE, *get_args(rtvi.RelayEvent), *read_of} - {"signalling", "sing"}
    assert not {name for name in named if f"`{name}`" not in document}


def test_another_label_is_somebody_elses() -> None:
    assert read('{"label":"x","type":"y"}') == Ignored()


def test_our_own_version_is_of_generation_2() -> None:
    assert ClientReady("a", rtvi.VERSION).major == 2
