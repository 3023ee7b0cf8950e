"""The Live wire format: what we hear and what we say. Pure: no socket, no clock.

`read` turns one whole message into events, in the order they are to be acted on, or raises `BadFrame`.
The functions under "what we say" return the bytes of one text frame each; sound goes by a template.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import pybase64
import pydantic_core

from relay.gemini import grounding
from relay.gemini.events import (
    OUTPUT_RATE,
    Audio,
    Event,
    FunctionCall,
    GenerationComplete,
    GoAway,
    InputTranscript,
    Interrupted,
    ModelText,
    OutputTranscript,
    ResumptionUpdate,
    SetupComplete,
    ToolCall,
    ToolCancelled,
    TurnComplete,
    Usage,
    VoiceActivity,
)

if TYPE_CHECKING:
    from google.genai.types import LiveConnectConfig

INPUT_RATE: Final = 16_000  # Hz, what the model hears: PCM16, mono, little-endian
MAX_MESSAGE: Final = 4 * 1024 * 1024  # bytes; a longer message is skipped
MAX_AUDIO_EVENT: Final = 2 * OUTPUT_RATE * 2  # bytes, 2 s at 24 kHz; longer sound arrives as several events


# -- what we hear ---------------------------------------------------------------------------------------------


class BadFrame(ValueError):
    """A message that is not the wire format. The text says what is wrong and quotes none of it."""


def read(message: bytes | str) -> list[Event]:
    """The events of one whole message, in the order to act on them. Unknown fields say nothing.

    Raises `BadFrame`, and nothing else, on whatever is not the wire format.
    """
    body = _parsed(message)
    if not isinstance(body, dict):
        raise BadFrame("not an object")
    events: list[Event] = []
    for key, reader in _READERS.items():
        if key in body:
            events += reader(_table(body, key))
    return events


def _parsed(message: bytes | str) -> Any:
    """The quick reader takes a tenth of the time for a message of sound; the patient one takes half a surrogate."""
    try:
        return pydantic_core.from_json(message)
    except ValueError:
        pass
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        raise BadFrame("not JSON") from None


def _read_setup(body: dict[str, Any]) -> list[Event]:
    return [SetupComplete(_text(body, "sessionId"))]


def _read_content(body: dict[str, Any]) -> list[Event]:
    """Interruption first, so that what follows it is not flushed; the turn's end last."""
    events: list[Event] = []
    if body.get("interrupted") is True:
        events.append(Interrupted())
    for key, interim in (("interimInputTranscription", True), ("inputTranscription", False)):
        if heard := _table(body, key):
            events.append(InputTranscript(_text(heard, "text"), heard.get("finished") is True, interim))
    parts = _table(body, "modelTurn").get("parts", [])
    if not isinstance(parts, list):
        raise BadFrame("parts is not a list")
    for part in parts:
        events += _read_part(part)
    if said := _table(body, "outputTranscription"):
        events.append(OutputTranscript(_text(said, "text"), said.get("finished") is True))
    if "groundingMetadata" in body and (found := grounding.read(body["groundingMetadata"])):
        events.append(found)
    if body.get("generationComplete") is True:
        events.append(GenerationComplete())
    status = body.get("interactionStatus")
    if status == "IDLE" or (body.get("turnComplete") is True and status != "IN_PROGRESS"):
        events.append(TurnComplete(_text(body, "turnCompleteReason")))
    return events


def _read_part(part: object) -> list[Event]:
    if not isinstance(part, dict):
        raise BadFrame("a part is not an object")
    if blob := _table(part, "inlineData"):
        mime, data = _text(blob, "mimeType"), _text(blob, "data")
        if not mime.startswith("audio/pcm"):
            return []
        return _pieces(_unbase64(data), _rate(mime))
    text = _text(part, "text")
    return [ModelText(text, part.get("thought") is True)] if text else []


def _pieces(pcm: bytes, rate: int) -> list[Event]:
    if len(pcm) % 2:
        raise BadFrame("half a sample")
    return [Audio(pcm[at : at + MAX_AUDIO_EVENT], rate) for at in range(0, len(pcm), MAX_AUDIO_EVENT)]


def _read_usage(body: dict[str, Any]) -> list[Event]:
    return [
        Usage(
            prompt=_count(body, "promptTokenCount"),
            response=_count(body, "responseTokenCount") or _count(body, "candidatesTokenCount"),
            thoughts=_count(body, "thoughtsTokenCount"),
            total=_count(body, "totalTokenCount"),
            prompt_by_modality=_by_modality(body, "promptTokensDetails"),
            response_by_modality=_by_modality(body, "responseTokensDetails")
            or _by_modality(body, "candidatesTokensDetails"),
        )
    ]


def _read_calls(body: dict[str, Any]) -> list[Event]:
    raw = body.get("functionCalls", [])
    if not isinstance(raw, list) or not all(isinstance(call, dict) for call in raw):
        raise BadFrame("functionCalls is not a list of objects")
    calls = tuple(FunctionCall(_text(call, "id"), _text(call, "name"), _table(call, "args")) for call in raw)
    return [ToolCall(calls)] if calls else []


def _read_cancelled(body: dict[str, Any]) -> list[Event]:
    ids = body.get("ids", [])
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise BadFrame("ids is not a list of strings")
    return [ToolCancelled(tuple(ids))] if ids else []


def _read_activity(body: dict[str, Any]) -> list[Event]:
    kind = body.get("type")
    if kind not in ("ACTIVITY_START", "ACTIVITY_END"):
        return []
    return [VoiceActivity(kind == "ACTIVITY_START", seconds(body.get("audioOffset")))]


def _read_go_away(body: dict[str, Any]) -> list[Event]:
    return [GoAway(seconds(body.get("timeLeft")) or 0.0)]


def _read_resumption(body: dict[str, Any]) -> list[Event]:
    return [ResumptionUpdate(_text(body, "newHandle"), body.get("resumable") is True)]


# The order in which the members of one message are acted on.
_READERS: Final[dict[str, Callable[[dict[str, Any]], list[Event]]]] = {
    "setupComplete": _read_setup,
    "voiceActivity": _read_activity,
    "serverContent": _read_content,
    "usageMetadata": _read_usage,
    "toolCall": _read_calls,
    "toolCallCancellation": _read_cancelled,
    "goAway": _read_go_away,
    "sessionResumptionUpdate": _read_resumption,
}


def seconds(duration: object) -> float | None:
    """A protobuf duration, told leniently: ``"9.500s"``, a number, or ``{"seconds": "9", "nanos": 5e8}``."""
    try:
        if isinstance(duration, str):
            value = float(duration.removesuffix("s"))
        elif isinstance(duration, dict):
            value = float(duration.get("seconds", 0)) + float(duration.get("nanos", 0)) / 1e9
        elif isinstance(duration, int | float) and not isinstance(duration, bool):
            value = float(duration)
        else:
            return None
    except (ValueError, TypeError, OverflowError):
        return None
    return value if 0.0 <= value < 1e9 else None


def _table(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadFrame(f"{key} is not an object")
    return value


def _text(body: dict[str, Any], key: str) -> str:
    """Text that can be written down again: half a surrogate pair, which JSON can spell, becomes a question mark."""
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadFrame(f"{key} is not a string")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _count(body: dict[str, Any], key: str) -> int:
    """A token count; protobuf writes 64-bit ones as strings. Nonsense counts as none: it must not cost the turn."""
    value = body.get(key)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18 else 0


def _by_modality(body: dict[str, Any], key: str) -> dict[str, int]:
    rows = body.get(key)
    if not isinstance(rows, list):
        return {}
    counts: dict[str, int] = {}
    for row in rows:
        if isinstance(row, dict) and isinstance(modality := row.get("modality"), str):
            counts[modality] = counts.get(modality, 0) + _count(row, "tokenCount")
    return counts


def _unbase64(data: str) -> bytes:
    """Either alphabet; the server writes the standard one, so that one is tried first."""
    try:
        return pybase64.b64decode(data, validate=True)
    except ValueError:
        pass
    try:
        return pybase64.b64decode(data.translate(_STANDARD))
    except ValueError:
        raise BadFrame("not base64") from None


_STANDARD: Final = str.maketrans("-_", "+/")


def _rate(mime: str) -> int:
    _, _, tail = mime.partition("rate=")
    digits = tail.partition(";")[0].strip()
    rate = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 7 else OUTPUT_RATE
    return rate if 8_000 <= rate <= 48_000 else OUTPUT_RATE


# -- what we say ----------------------------------------------------------------------------------------------

_AUDIO_HEAD: Final = b'{"realtimeInput":{"audio":{"data":"'
_AUDIO_TAIL: Final = b'","mimeType":"audio/pcm;rate=%d"}}}' % INPUT_RATE
# A blank line would do for some models; to others it is nothing.
NUDGE: Final = "(The user hears nothing and is waiting: please go on.)"
# Fields of a LiveConnectConfig that travel inside generationConfig.
_GENERATION: Final = {
    *("responseModalities", "temperature", "topP", "topK", "maxOutputTokens", "mediaResolution", "seed"),
    *("speechConfig", "thinkingConfig", "enableAffectiveDialog", "translationConfig"),
}


def setup_message(model: str, config: "LiveConnectConfig") -> bytes:
    """The first frame of a connection.

    `config.tools` holds declarations, not Python functions: a function cannot be written down here.
    """
    fields: dict[str, Any] = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    fields.pop("httpOptions", None)
    if "explicitVadSignal" in fields:
        raise ValueError("explicit_vad_signal is not a field of the Gemini API")
    generation: dict[str, Any] = fields.pop("generationConfig", {})
    generation |= {key: fields.pop(key) for key in tuple(fields) if key in _GENERATION}
    setup: dict[str, Any] = {"model": model if "/" in model else f"models/{model}"}
    if generation:
        setup["generationConfig"] = generation
    if (instruction := fields.pop("systemInstruction", None)) is not None:
        setup["systemInstruction"] = _content(instruction)
    setup |= fields
    return _frame({"setup": setup})


def _content(union: Any) -> dict[str, Any]:
    """What the SDK takes for one content, as the content it means: text, a part, several, or a content."""
    if isinstance(union, dict) and "parts" in union:
        return union
    parts = union if isinstance(union, list) else [union]
    return {"parts": [{"text": part} if isinstance(part, str) else part for part in parts], "role": "user"}


def audio_message(pcm: bytes | bytearray | memoryview) -> bytes:
    """A piece of the user's voice: PCM16 mono at 16 kHz, whole samples only."""
    if len(pcm) % 2:
        raise ValueError("half a sample")
    return _AUDIO_HEAD + pybase64.b64encode(pcm) + _AUDIO_TAIL


def image_message(jpeg: bytes) -> bytes:
    """One picture from camera or screen; at most one a second."""
    data = pybase64.b64encode(jpeg)
    return b'{"realtimeInput":{"video":{"data":"' + data + b'","mimeType":"image/jpeg"}}}'


def text_message(text: str) -> bytes:
    """Something the user typed; on Gemini 3 it is a whole utterance and is answered."""
    return _frame({"realtimeInput": {"text": text}})


def audio_end_message() -> bytes:
    """The microphone pauses: what was heard so far is answered now. The sound may go on later."""
    return b'{"realtimeInput":{"audioStreamEnd":true}}'


def activity_message(started: bool) -> bytes:
    """The user's turn begins or ends; only with the model's own detection switched off."""
    return b'{"realtimeInput":{"activityStart":{}}}' if started else b'{"realtimeInput":{"activityEnd":{}}}'


def content_message(turns: Sequence[tuple[str, str]], complete: bool = True) -> bytes:
    """Turns of (role, text) for the history; `complete` asks for an answer and cuts a running one short."""
    content = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    return _frame({"clientContent": {"turns": content, "turnComplete": complete}})


def tool_message(call_id: str, name: str, response: Mapping[str, Any], scheduling: str | None = None) -> bytes:
    """The one answer to a function call. `scheduling` (SILENT, WHEN_IDLE, INTERRUPT) is for NON_BLOCKING ones."""
    answer: dict[str, Any] = {"name": name, "response": dict(response)}
    if call_id:  # Vertex gives none, and goes by the name
        answer = {"id": call_id, **answer}
    if scheduling is not None:
        answer["scheduling"] = scheduling
    return _frame({"toolResponse": {"functionResponses": [answer]}})


def greeting_message(model: str, instruction: str) -> bytes:
    """Asks the model to speak first. Gemini 3 answers a typed line; the 2.5 models want a turn of content.

    Neither way needs `historyConfig`: under it the first content would only be remembered, not answered.
    """
    if "gemini-2" in model or "live-2.5" in model:
        return content_message([("user", instruction)])
    return text_message(instruction)


def nudge_message(model: str) -> bytes:
    """Asks a model that says nothing for more; one that talks would stop."""
    return greeting_message(model, NUDGE)


class Kind(Enum):
    """What a message of ours is to the model."""

    SOUND = "sound"
    ASKED = "asked"  # to be answered
    NOTED = "noted"  # to be remembered
    SHOWN = "shown"  # to be looked at
    ANSWERED = "answered"  # what a function returned
    MARKED = "marked"  # where sound pauses, where the user begins and ends


_KINDS: Final = (
    (b'{"realtimeInput":{"audio":', Kind.SOUND),
    (b'{"realtimeInput":{"text":', Kind.ASKED),
    (b'{"realtimeInput":{"video":', Kind.SHOWN),
    (b'{"realtimeInput":{', Kind.MARKED),
    (b'{"toolResponse":', Kind.ANSWERED),
)


def kind(message: bytes) -> Kind:
    """Of which kind a message is that a function of this room made."""
    for head, found in _KINDS:
        if message.startswith(head):
            return found
    # a quote in a text is escaped, so that no text ends a message like this
    return Kind.NOTED if message.endswith(b',"turnComplete":false}}') else Kind.ASKED


def _frame(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")
