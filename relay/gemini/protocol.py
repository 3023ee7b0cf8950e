"""The Live wire format, what we say: each function returns the bytes of one text frame. Pure: no socket, no clock.

Sound goes by a template. What we hear is `reading`'s.
"""

import json
from collections.abc import Mapping, Sequence
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
