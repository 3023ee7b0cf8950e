"""What the relay says in RTVI; what the browser says is read by `relay.reading`. Pure: no clock, no channel.

Messages are plain objects, and `encode` makes one text frame of such an object. No message holds a null anywhere, and
`data` is left out or an object: some clients drop what breaks this, some crash.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from relay.said import LABEL, ClientMessage, ClientReady, Malformed

VERSION: Final = "2.2.0"
LIBRARY: Final = "gemini-webrtc-relay"
PROCESSOR: Final = "GeminiLive#0"  # under this name metrics are charted

Message = dict[str, Any]
InputType = Literal["transcription", "chat"]
# What the relay tells of itself, as `server-message {event: …}`; docs/rtvi.md says when, and with what.
RelayEvent = Literal[
    "reconnecting",
    "resumed",
    "memory-shortened",
    "idle-warning",
    "limit-warning",
    "closing",
    "slow-answer",
    "cost",
    "replaced",
    "missed",
    "history",
    "mic-dead",
    "transcript-corrected",
]


def encode(message: Message) -> str:
    """The text frame of a message."""
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def droppable(message: Message) -> bool:
    """Whether a client that reads too slowly may miss this message: the final words, or the whole sentence, follow."""
    if message["type"] == "bot-output":
        return bool(message["data"].get("spoken_status") == "in-progress")
    return message["type"] in ("user-transcription", "user-input") and not message["data"]["final"]


def plain(type_: str, data: Mapping[str, Any] | None = None, id_: str = "") -> Message:
    """Any message; `data` and `id` are left out rather than empty, and nulls are left out of `data`."""
    message: Message = {"label": LABEL, "type": type_}
    if id_:
        message["id"] = id_
    if data is not None:
        message["data"] = without_nulls(data)
    return message


def without_nulls(value: Any) -> Any:
    """The same without nulls, and without the numbers that JSON cannot say."""
    if isinstance(value, Mapping):
        kept = ((str(key), without_nulls(inner)) for key, inner in value.items())
        return {key: inner for key, inner in kept if inner is not None}
    if isinstance(value, list | tuple):
        return [inner for inner in map(without_nulls, value) if inner is not None]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def capabilities(*, sees: bool = False) -> Message:
    """What this relay can do. It `sees` when it takes a camera and a screen."""
    return {
        "audio_in": True,
        "audio_out": True,
        "video_in": sees,
        "screen_in": sees,
        "video_out": False,
        "metrics": True,
    }


def welcome(
    ready: ClientReady, library_version: str, about: Mapping[str, Any] | None = None, *, sees: bool = False
) -> list[Message]:
    """The answer to `ready`: doubts about its version first, then bot-ready in any case.

    A client of generation 1 hears its own version, or it would wait for what generation 2 would send.
    """
    messages = []
    if ready.major not in (1, 2):
        version = ready.version or "unknown"
        messages.append(refusal(ready.id, f"Client version {version}. Compatibility issues may occur."))
    data: Message = {"version": VERSION, "about": {"library": LIBRARY, "library_version": library_version}}
    data["about"] |= about or {}
    if ready.major == 1:
        data["version"] = ready.version
    else:
        data["capabilities"] = capabilities(sees=sees)
    return [*messages, plain("bot-ready", data, ready.id)]


def complaint(malformed: Malformed) -> Message:
    """What the sender of a malformed message is told."""
    return refusal(malformed.id, malformed.reason)


def refusal(id_: str, text: str) -> Message:
    """Why a request failed: to that request if it has an id, else to nobody in particular."""
    return error_response(id_, text) if id_ else error(text)


def error(text: str, *, fatal: bool = False, code: str = "") -> Message:
    """Trouble of the relay. A `fatal` one makes clients hang up."""
    return plain("error", {"error": text, "message": text, "fatal": fatal, "code": code or None})


def error_response(id_: str, text: str) -> Message:
    return plain("error-response", {"error": text}, id_)


def server_response(request: ClientMessage, d: Any = None) -> Message:
    return plain("server-response", {"t": request.t, "d": d}, request.id)


def server_message(data: Mapping[str, Any]) -> Message:
    return plain("server-message", data)


def relay_event(name: RelayEvent, /, **data: Any) -> Message:
    """What the relay tells of itself; docs/rtvi.md lists the events and their members."""
    return server_message({**data, "event": name})


def append_to_context_result(id_: str, result: str = "ok") -> Message:
    return plain("append-to-context-result", {"result": result}, id_)


def peer_left() -> Message:
    """The last message: the client hangs up at once instead of waiting 12 s for a sign of life."""
    return {"type": "signalling", "message": {"type": "peerLeft"}}


def user_transcription(text: str, timestamp: str, *, final: bool) -> Message:
    return plain("user-transcription", {"text": text, "user_id": "", "timestamp": timestamp, "final": final})


def user_input(text: str, timestamp: str, *, final: bool, kind: InputType = "transcription", id_: str = "") -> Message:
    """Protocol 2.2's word for what the user says or types; `id_` is that of the send-text."""
    data = {"text": text, "input_type": kind, "timestamp": timestamp, "final": final, "msg_id": id_ or None}
    return plain("user-input", data)


def user_llm_text(text: str) -> Message:
    return plain("user-llm-text", {"text": text})


def bot_llm_text(text: str) -> Message:
    return plain("bot-llm-text", {"text": text})


def bot_transcription(text: str) -> Message:
    return plain("bot-transcription", {"text": text})


def bot_tts_text(text: str) -> Message:
    return plain("bot-tts-text", {"text": text})


def bot_output(text: str, segment: int, *, spoken: bool = True, generation: int = 2) -> Message:
    """A whole sentence as it begins to be heard, or one that never is; `segment` is a number of its own.

    Of one that is `spoken` a client of generation 2 is told more: `bot_output_progress`.
    """
    if generation == 1:
        return plain("bot-output", {"text": text, "aggregated_by": "sentence", "spoken": spoken})
    return plain("bot-output", _segment(text, segment) | {"will_be_spoken": spoken, "spoken_status": "new"})


def bot_output_progress(text: str, segment: int, heard: int) -> Message:
    """The first `heard` characters of the sentence have been heard; all of them, and it is completed."""
    data = _segment(text, segment) | {
        "spoken": heard >= len(text),
        "will_be_spoken": True,
        "spoken_status": "completed" if heard >= len(text) else "in-progress",
        "spoken_progress": {"accumulated_text": text[:heard], "remaining_text": text[heard:]},
    }
    return {"label": LABEL, "type": "bot-output", "data": data}  # nothing in it can be null


def _segment(text: str, segment: int) -> Message:
    """`spoken` is true once, of the sentence that was heard to its end: clients that know no progress wait for it."""
    kinds = dict.fromkeys(("aggregated_by", "text_type", "output_type"), "sentence")
    return {"text": text, **kinds, "segment_id": segment, "spoken": False}


def search_response(result: str, rendered: str, origins: Sequence[Mapping[str, Any]]) -> Message:
    """What the model found. `rendered` is Google's HTML, which its terms ask to show.

    An origin: ``{"site_uri", "site_title", "results": [{"text", "confidence": [0…1]}]}``.
    """
    data = {"search_result": result or None, "rendered_content": rendered or None, "origins": origins}
    return plain("bot-llm-search-response", data)


def metrics_ttfb(seconds: float, model: str) -> Message:
    """Time to first byte: from the end of the question to the first sound of the answer."""
    return plain("metrics", {"ttfb": [_measured(seconds, model)]})


def metrics_processing(seconds: float, model: str) -> Message:
    """From the end of the question until the answer was complete, though not yet played."""
    return plain("metrics", {"processing": [_measured(seconds, model)]})


def _measured(seconds: float, model: str) -> Message:
    return {"processor": PROCESSOR, "model": model, "value": round(seconds, 4)}


def metrics_tokens(prompt: int, completion: int, total: int, **details: int) -> Message:
    """Tokens of one turn; `details` such as ``reasoning_tokens`` are left out when zero."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return plain("metrics", {"tokens": [counts | {name: count for name, count in details.items() if count}]})


def function_call(call_id: str) -> Sequence[Message]:
    """A function of the server is being run. Its name stays here: a named call would make the client run it too."""
    return function_call_started(), plain("llm-function-call-in-progress", {"tool_call_id": call_id})


def function_call_started(name: str = "") -> Message:
    """The model calls a function. Only one of the client is named."""
    return plain("llm-function-call-started", {"function_name": name or None})


def function_call_in_progress(call_id: str, name: str, arguments: Mapping[str, Any]) -> Message:
    """A function of the client: it runs it, and answers `said.FunctionCallResult`."""
    data = {"tool_call_id": call_id, "function_name": name, "arguments": arguments}
    return plain("llm-function-call-in-progress", data)


def legacy_function_call(call_id: str, name: str, arguments: Mapping[str, Any]) -> Message:
    """The same for iOS and Android, which know no other form. A client that knows both would run it twice."""
    return plain("llm-function-call", {"function_name": name, "tool_call_id": call_id, "args": arguments})


def function_call_stopped(call_id: str, name: str = "", result: Any = None, *, cancelled: bool = False) -> Message:
    """The call is over; only one of the client is named, and has its result told."""
    data = {"tool_call_id": call_id, "cancelled": cancelled, "function_name": name or None, "result": result}
    return plain("llm-function-call-stopped", data)


USER_STARTED_SPEAKING: Final = plain("user-started-speaking")
USER_STOPPED_SPEAKING: Final = plain("user-stopped-speaking")
BOT_LLM_STARTED: Final = plain("bot-llm-started")
BOT_LLM_STOPPED: Final = plain("bot-llm-stopped")
BOT_TTS_STARTED: Final = plain("bot-tts-started")
BOT_TTS_STOPPED: Final = plain("bot-tts-stopped")
BOT_STARTED_SPEAKING: Final = plain("bot-started-speaking")
BOT_STOPPED_SPEAKING: Final = plain("bot-stopped-speaking")
BOT_INTERRUPTED: Final = plain("bot-interrupted")
