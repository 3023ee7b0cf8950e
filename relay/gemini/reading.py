"""The Live wire format, what we hear: one whole message → events, in the order to act on them. Pure: no socket.

A message that is not the wire format is a `BadFrame` as a whole. What is the wire format but nothing that we know is
`Unknown`: it is to be counted, for the service may have learnt something new, and to be left alone.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import pybase64
import pydantic_core

from relay.depth import nests_deeper
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
    Unknown,
    Usage,
    VoiceActivity,
)

MAX_MESSAGE: Final = 4 * 1024 * 1024  # bytes; a longer message is skipped
# Levels of nesting: as deep as the quick reader goes. What is much deeper can be read, and not be written again.
MAX_DEPTH: Final = 200
MAX_AUDIO_EVENT: Final = 2 * OUTPUT_RATE * 2  # bytes, 2 s at 24 kHz; longer sound arrives as several events


class BadFrame(ValueError):
    """A message that is not the wire format. The text says what is wrong and quotes none of it."""


def read(message: bytes | str) -> list[Event]:
    """The events of one whole message, in the order to act on them. Unknown fields beside known ones say nothing.

    Raises `BadFrame`, and nothing else, on whatever is not the wire format.
    """
    body = _parsed(message)
    if not isinstance(body, dict):
        raise BadFrame("not an object")
    events: list[Event] = []
    for key, reader in _READERS.items():
        if key in body:
            events += reader(_table(body, key))
    return [Unknown()] if body and _READERS.keys().isdisjoint(body) else events


def _parsed(message: bytes | str) -> Any:
    """The quick reader takes a tenth of the time for a message of sound; the patient one takes half a surrogate."""
    try:
        return pydantic_core.from_json(message)
    except ValueError:
        pass
    try:
        body = json.loads(message)
    except (ValueError, RecursionError):
        raise BadFrame("not JSON") from None
    if nests_deeper(body, MAX_DEPTH):
        raise BadFrame("nested too deep")
    return body


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
            return [] if mime.startswith("image/") else [Unknown()]  # what it draws while it computes is not for us
        _check_rate(mime)
        return _pieces(_unbase64(data))
    text = _text(part, "text")
    return [ModelText(text, part.get("thought") is True)] if text else []


def _pieces(pcm: bytes) -> list[Event]:
    if len(pcm) % 2:
        raise BadFrame("half a sample")
    return [Audio(pcm[at : at + MAX_AUDIO_EVENT]) for at in range(0, len(pcm), MAX_AUDIO_EVENT)]


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
    """Either alphabet; the server writes the standard one, so that one is tried first. Nothing else is sound."""
    try:
        return pybase64.b64decode(data, validate=True)
    except ValueError:
        pass
    try:
        return pybase64.b64decode(data.translate(_STANDARD), validate=True)
    except ValueError:
        raise BadFrame("not base64") from None


_STANDARD: Final = str.maketrans("-_", "+/")


def _check_rate(mime: str) -> None:
    """Nothing resamples here: at another rate it would be another voice. Where none is named it is the usual one."""
    _, _, tail = mime.partition("rate=")
    digits = tail.partition(";")[0].strip()
    if digits.isascii() and digits.isdecimal() and digits.lstrip("0") != str(OUTPUT_RATE):
        raise BadFrame("sound at another rate")
