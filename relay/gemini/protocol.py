"""The Live wire format, what we say: one text frame each, with what it is to the model. Pure: no socket, no clock.

Sound goes by a template, and is bytes alone. What we hear is `reading`'s.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import pybase64

if TYPE_CHECKING:
    from google.genai.types import LiveConnectConfig

INPUT_RATE: Final = 16_000  # Hz, what the model hears: PCM16, mono, little-endian

_AUDIO_HEAD: Final = b'{"realtimeInput":{"audio":{"data":"'
_AUDIO_TAIL: Final = b'","mimeType":"audio/pcm;rate=%d"}}}' % INPUT_RATE
# A blank line would do for some models; to others it is nothing.
NUDGE: Final = "(The user hears nothing and is waiting: please go on.)"
# Fields of a LiveConnectConfig that travel inside generationConfig.
_GENERATION: Final = {
    *("responseModalities", "temperature", "topP", "topK", "maxOutputTokens", "mediaResolution", "seed"),
    *("speechConfig", "thinkingConfig", "enableAffectiveDialog", "translationConfig"),
}


class Kind(Enum):
    """What a message of ours is to the model."""

    ASKED = "asked"  # to be answered
    NUDGED = "nudged"  # asks for an answer to what was asked
    NOTED = "noted"  # to be remembered
    SHOWN = "shown"  # to be looked at
    ANSWERED = "answered"  # what a function returned
    BEGINS = "begins"  # where the user begins to speak
    MARKED = "marked"  # where the user ends, or sound pauses

    @property
    def asks(self) -> bool:
        """Whether it makes the model speak."""
        return self in (Kind.ASKED, Kind.NUDGED)


@dataclass(frozen=True, slots=True)
class Message:
    """One text frame."""

    kind: Kind
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """What a function returned; `key` is the call's id or, where it has none, the function's name."""

    key: str
    name: str
    response: Mapping[str, Any] = field(repr=False)
    scheduling: str | None


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


def image_message(jpeg: bytes) -> Message:
    """One picture from camera or screen; at most one a second."""
    data = pybase64.b64encode(jpeg)
    return Message(Kind.SHOWN, b'{"realtimeInput":{"video":{"data":"' + data + b'","mimeType":"image/jpeg"}}}')


def text_message(text: str) -> Message:
    """Something the user typed; on Gemini 3 it is a whole utterance and is answered."""
    return Message(Kind.ASKED, _frame({"realtimeInput": {"text": text}}))


def audio_end_message() -> Message:
    """The microphone pauses: what was heard so far is answered now. The sound may go on later."""
    return Message(Kind.MARKED, b'{"realtimeInput":{"audioStreamEnd":true}}')


def activity_message(started: bool) -> Message:
    """The user's turn begins or ends; only with the model's own detection switched off."""
    if started:
        return Message(Kind.BEGINS, b'{"realtimeInput":{"activityStart":{}}}')
    return Message(Kind.MARKED, b'{"realtimeInput":{"activityEnd":{}}}')


def content_message(turns: Sequence[tuple[str, str]], complete: bool = True) -> Message:
    """Turns of (role, text) for the history; `complete` asks for an answer and cuts a running one short."""
    content = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    data = _frame({"clientContent": {"turns": content, "turnComplete": complete}})
    return Message(Kind.ASKED if complete else Kind.NOTED, data)


def tool_message(call_id: str, name: str, response: Mapping[str, Any], scheduling: str | None = None) -> Answer:
    """The one answer to a function call. `scheduling` (SILENT, WHEN_IDLE, INTERRUPT) is for NON_BLOCKING ones."""
    answer: dict[str, Any] = {"name": name, "response": dict(response)}
    if call_id:  # Vertex gives none, and goes by the name
        answer = {"id": call_id, **answer}
    if scheduling is not None:
        answer["scheduling"] = scheduling
    data = _frame({"toolResponse": {"functionResponses": [answer]}})
    return Answer(Kind.ANSWERED, data, call_id or name, name, response, scheduling)


def greeting_message(model: str, instruction: str) -> Message:
    """Asks the model to speak first. Gemini 3 answers a typed line; the 2.5 models want a turn of content.

    Neither way needs `historyConfig`: under it the first content would only be remembered, not answered.
    """
    if "gemini-2" in model or "live-2.5" in model:
        return content_message([("user", instruction)])
    return text_message(instruction)


def nudge_message(model: str) -> Message:
    """Asks a model that says nothing for more; one that talks would stop."""
    return Message(Kind.NUDGED, greeting_message(model, NUDGE).data)


def _frame(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")
