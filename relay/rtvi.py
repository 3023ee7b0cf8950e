"""What the relay says in RTVI; what the browser says is read by `relay.said`. Pure: no clock, no channel.

Messages are plain objects, and `encode` makes one text frame of such an object. No message holds a null anywhere, and
`data` is left out or an object: some clients drop what breaks this, some crash.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from relay.said import LABEL, ClientMessage, ClientReady, Malformed

VERSION: Final = "2.1.0"
LIBRARY: Final = "gemini-webrtc-relay"
PROCESSOR: Final = "GeminiLive#0"  # under this name metrics are charted

Message = dict[str, Any]


def encode(message: Message) -> str:
    """The text frame of a message."""
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def droppable(message: Message) -> bool:
    """Whether a client that reads too slowly may miss this message: the final words follow."""
    return message["type"] == "user-transcription" and not message["data"]["final"]


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


def welcome(ready: ClientReady, library_version: str, about: Mapping[str, Any] | None = None) -> list[Message]:
    """The answer to `ready`: doubts about its version first, then bot-ready in any case.

    A client of generation 1 hears its own version, lest it wait for what generation 2 would send.
    """
    messages = []
    if ready.major not in (1, 2):
        version = ready.version or "unknown"
        messages.append(refusal(ready.id, f"Client version {version}. Compatibility issues may occur."))
    about = {"library": LIBRARY, "library_version": library_version, **(about or {})}
    version = ready.version if ready.major == 1 else VERSION
    return [*messages, plain("bot-ready", {"version": version, "about": about}, ready.id)]


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


def append_to_context_result(id_: str, result: str = "ok") -> Message:
    return plain("append-to-context-result", {"result": result}, id_)


def peer_left() -> Message:
    """The last message: the client hangs up at once instead of waiting 12 s for a sign of life."""
    return {"type": "signalling", "message": {"type": "peerLeft"}}


def user_transcription(text: str, timestamp: str, *, final: bool) -> Message:
    return plain("user-transcription", {"text": text, "user_id": "", "timestamp": timestamp, "final": final})


def user_llm_text(text: str) -> Message:
    return plain("user-llm-text", {"text": text})


def bot_llm_text(text: str) -> Message:
    return plain("bot-llm-text", {"text": text})


def bot_transcription(text: str) -> Message:
    return plain("bot-transcription", {"text": text})


def bot_tts_text(text: str) -> Message:
    return plain("bot-tts-text", {"text": text})


def bot_output(text: str, segment: int, *, spoken: bool = True, generation: int = 2) -> Message:
    """A whole sentence as it begins to be heard; `segment` is a number of its own."""
    if generation == 1:
        return plain("bot-output", {"text": text, "aggregated_by": "sentence", "spoken": spoken})
    return plain(
        "bot-output",
        {
            "text": text,
            **dict.fromkeys(("aggregated_by", "text_type", "output_type"), "sentence"),
            "segment_id": segment,
            "spoken": spoken,
            "will_be_spoken": False,  # no progress follows
            "spoken_status": "new",
        },
    )


def metrics_ttfb(seconds: float, model: str) -> Message:
    """Time to first byte: from the end of the question to the first sound of the answer."""
    return plain("metrics", {"ttfb": [{"processor": PROCESSOR, "model": model, "value": round(seconds, 4)}]})


def metrics_tokens(prompt: int, completion: int, total: int, **details: int) -> Message:
    """Tokens of one turn; `details` such as ``reasoning_tokens`` are left out when zero."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return plain("metrics", {"tokens": [counts | {name: count for name, count in details.items() if count}]})


def function_call(call_id: str) -> Sequence[Message]:
    """A function of the server is being run. Its name stays here: a named call would make the client run it too."""
    return plain("llm-function-call-started", {}), plain("llm-function-call-in-progress", {"tool_call_id": call_id})


def function_call_stopped(call_id: str, *, cancelled: bool = False) -> Message:
    return plain("llm-function-call-stopped", {"tool_call_id": call_id, "cancelled": cancelled})


USER_STARTED_SPEAKING: Final = plain("user-started-speaking")
USER_STOPPED_SPEAKING: Final = plain("user-stopped-speaking")
BOT_LLM_STARTED: Final = plain("bot-llm-started")
BOT_LLM_STOPPED: Final = plain("bot-llm-stopped")
BOT_TTS_STARTED: Final = plain("bot-tts-started")
BOT_TTS_STOPPED: Final = plain("bot-tts-stopped")
BOT_STARTED_SPEAKING: Final = plain("bot-started-speaking")
BOT_STOPPED_SPEAKING: Final = plain("bot-stopped-speaking")
BOT_INTERRUPTED: Final = plain("bot-interrupted")
