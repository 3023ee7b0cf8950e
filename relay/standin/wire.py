"""The Live wire format as its server sees it: client frames in, server messages out. Pure.

Written from the recorded traffic and nothing else: it shares no line with the relay's own reading of the
format, so that a misreading on one side shows on the other.
"""

import binascii
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

Json = dict[str, Any]

MAX_DEPTH: Final = 64  # levels of nesting in a client message
MAX_REASON_BYTES: Final = 123  # what a WebSocket close frame can carry
INPUT_RATE: Final = 16_000  # Hz, when the mime type names no rate
INPUT_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OUTPUT_MIME: Final = "audio/pcm;rate=24000"

INVALID: Final = "Request contains an invalid argument."
BAD_AUDIO: Final = (
    "error when processing input audio, please check if the inputaudio is in valid format: "
    "16khz s16le pcm, mono channel.; Error"
)
NO_MEDIA_CHUNKS: Final = "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."

KINDS: Final = ("setup", "clientContent", "realtimeInput", "toolResponse", "contextUpdate")
REALTIME: Final = ("audio", "video", "text", "activityStart", "activityEnd", "audioStreamEnd", "mediaChunks")
SETUP: Final = frozenset(
    {"model", "generationConfig", "systemInstruction", "tools", "toolConfig", "sessionResumption", "labels"}
    | {"inputAudioTranscription", "outputAudioTranscription", "realtimeInputConfig", "contextWindowCompression"}
    | {"proactivity", "historyConfig", "safetySettings", "explicitVadSignal", "avatarConfig"}
)
DEEPER: Final = {  # checked when the script says "strict", else noted
    "generationConfig": frozenset(
        {"responseModalities", "temperature", "topP", "topK", "maxOutputTokens", "seed", "candidateCount"}
        | {"presencePenalty", "frequencyPenalty", "mediaResolution", "speechConfig", "thinkingConfig"}
        | {"enableAffectiveDialog", "translationConfig"}
    ),
    "realtimeInputConfig": frozenset(
        {"automaticActivityDetection", "activityHandling", "turnCoverage", "interimTranscriptTimestampEnabled"}
    ),
    "sessionResumption": frozenset({"handle", "transparent"}),
    "contextWindowCompression": frozenset({"triggerTokens", "slidingWindow"}),
    "historyConfig": frozenset({"initialHistoryInClientContent"}),
    "proactivity": frozenset({"proactiveAudio", "proactiveVideo"}),
}
# What lies under these keys is the caller's own: property names and values stay as they were written.
OPAQUE: Final = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema", "responseSchema", "labels"}
)


class Refusal(Exception):
    """The client broke the rules; the connection is to be closed with `code` and `reason`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = cut(reason)


def cut(reason: str) -> str:
    """The reason, no longer than a close frame can carry."""
    return reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")


@lru_cache(maxsize=1024)
def camel(key: str) -> str:
    return re.sub(r"(?<=[a-zA-Z0-9])_([a-z0-9])", lambda m: m[1].upper(), key)


def snake(key: str) -> str:
    return re.sub(r"[A-Z]", lambda m: "_" + m[0].lower(), key)


def normal(value: Any, depth: int = 0, opaque: bool = False) -> Any:
    """`value` with every key in lowerCamelCase, but for what lies inside opaque payloads."""
    if depth > MAX_DEPTH:
        raise Refusal(1007, INVALID)
    if isinstance(value, list):
        return [normal(item, depth + 1, opaque) for item in value]
    if not isinstance(value, dict):
        return value
    if opaque:
        return {key: normal(item, depth + 1, True) for key, item in value.items()}
    out: Json = {}
    for key, item in value.items():
        if item is not None:  # proto3 JSON: null is absent
            name = camel(key)
            out[name] = normal(item, depth + 1, name in OPAQUE)
    return out


def too_deep(value: Any, most: int = MAX_DEPTH) -> bool:
    """Whether parsed JSON is nested deeper than a message may be."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most < 0 or any(too_deep(item, most - 1) for item in inner)


def read(frame: str | bytes) -> tuple[str, Json]:
    """Which of the five client messages a frame is, and its body in lowerCamelCase; or `Refusal`."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        raise Refusal(1007, "Invalid JSON payload received.") from None
    if not isinstance(message, dict):
        raise Refusal(1007, "Invalid JSON payload received. Expected an object.")
    message = normal(message)
    for key in message:
        if key not in KINDS:
            raise Refusal(1007, f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.')
    if len(message) != 1:
        raise Refusal(1007, INVALID)
    (kind,) = message
    return kind, entry(message, kind, kind)


def entry(parent: Json, key: str, where: str) -> Json:
    """The object at `key`, `{}` when absent."""
    value = parent.get(key, {})
    if not isinstance(value, dict):
        raise Refusal(1007, f"Invalid value at '{snake(where)}' (type.googleapis.com), not an object")
    return value


def entries(parent: Json, key: str, where: str) -> list[Json]:
    """The objects in the list at `key`, `[]` when absent; a lone object counts as a list of one."""
    value = parent.get(key, [])
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refusal(1007, f"Invalid value at '{snake(where)}', not a list of objects")
    return value


def text_of(content: Json) -> str:
    """The texts of a content's parts, joined."""
    return "".join(str(part["text"]) for part in entries(content, "parts", "parts") if "text" in part)


def base64_bytes(text: Any, where: str) -> bytes:
    """Bytes from either base64 alphabet, padded or not."""
    try:
        raw = text.encode("ascii").translate(_URL_SAFE).rstrip(b"=")
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4), strict_mode=True)
    except (AttributeError, ValueError):
        raise Refusal(1007, f"Invalid value at '{snake(where)}' (TYPE_BYTES), Base64 decoding failed.") from None


_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def audio_bytes(blob: Json, where: str) -> tuple[bytes, int]:
    """The PCM of a blob and its rate in Hz; or `Refusal` with the service's own words."""
    mime = blob.get("mimeType", "audio/pcm")
    found = re.fullmatch(r"audio/(?:pcm|l16)(?:\s*;\s*rate=(\d{4,6}))?(?:\s*;.*)?", str(mime).lower())
    pcm = base64_bytes(blob.get("data", ""), where + ".data")
    rate = int(found[1] or INPUT_RATE) if found else 0
    if len(pcm) % 2 or rate not in INPUT_RATES:
        raise Refusal(1007, BAD_AUDIO)
    return pcm, rate


@dataclass(frozen=True, slots=True)
class Setup:
    """What a client asked for, checked."""

    model: str
    raw: Json
    manual: bool  # automatic activity detection is off
    interrupts: bool
    silence_ms: int | None
    prefix_ms: int
    hard_of_hearing: bool  # START_SENSITIVITY_LOW
    input_transcript: bool
    output_transcript: bool
    resumption: bool
    handle: str
    seeding: bool
    functions: dict[str, str]  # name -> BLOCKING, NON_BLOCKING or "" when not said
    notes: tuple[str, ...]

    @property
    def style(self) -> str:
        """Whose stream shape to use: 2.5's or 3.8's."""
        return "2.5" if "2.5" in self.model or "2.0" in self.model else "3.8"


def read_setup(raw: Json, strict: bool = False) -> Setup:
    """A checked setup, or `Refusal` as the real service would close."""
    notes = _check(raw, strict)
    realtime = entry(raw, "realtimeInputConfig", "setup.realtimeInputConfig")
    detection = entry(realtime, "automaticActivityDetection", "setup.realtimeInputConfig.automaticActivityDetection")
    resumption = entry(raw, "sessionResumption", "setup.sessionResumption")
    history = entry(raw, "historyConfig", "setup.historyConfig")
    silence = detection.get("silenceDurationMs")
    return Setup(
        model=raw["model"],
        raw=raw,
        manual=detection.get("disabled") is True,
        interrupts=realtime.get("activityHandling") != "NO_INTERRUPTION",
        silence_ms=_whole(silence, "silence_duration_ms") if silence is not None else None,
        prefix_ms=_whole(detection.get("prefixPaddingMs", 0), "prefix_padding_ms"),
        hard_of_hearing=detection.get("startOfSpeechSensitivity") == "START_SENSITIVITY_LOW",
        input_transcript="inputAudioTranscription" in raw,
        output_transcript="outputAudioTranscription" in raw,
        resumption="sessionResumption" in raw,
        handle=str(resumption.get("handle", "")),
        seeding=history.get("initialHistoryInClientContent") is True,
        functions=_functions(raw),
        notes=notes,
    )


def _check(raw: Json, strict: bool) -> tuple[str, ...]:
    """`Refusal` for what the real service takes from nobody; what it might not know is only noted unless `strict`."""
    notes: list[str] = []
    for key in raw:
        if key not in SETUP:
            raise Refusal(1007, unknown(key, "setup"))
    for name, known in DEEPER.items():
        for key in entry(raw, name, f"setup.{name}"):
            if key not in known:
                if strict:
                    raise Refusal(1007, unknown(key, f"setup.{snake(name)}"))
                notes.append(f"unknown name {key} at setup.{name}")
    model = raw.get("model", "")
    if not isinstance(model, str) or not re.fullmatch(r"(models|projects|publishers)/[\w./@:-]{1,200}", model):
        raise Refusal(
            1008,
            f"{str(model)[:60]} is not found for API version v1, or is not supported for bidiGenerateContent. "
            "Call ListModels to see the list of available models.",
        )
    modalities = entry(raw, "generationConfig", "setup.generationConfig").get("responseModalities", ["AUDIO"])
    if modalities not in (["AUDIO"], [], "AUDIO"):
        raise Refusal(1007, INVALID)
    if entry(raw, "proactivity", "setup.proactivity").get("proactiveAudio") is False and "3.8" in model:
        raise Refusal(1007, INVALID)
    return tuple(notes)


def unknown(key: str, where: str) -> str:
    return f"Invalid JSON payload received. Unknown name \"{key[:40]}\" at '{where}': Cannot find field."


def _whole(value: Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if isinstance(value, bool) or not 0 <= number <= 60_000:
        raise Refusal(1007, f"Invalid value at 'setup.{where}' (TYPE_INT32)")
    return number


def _functions(raw: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for tool in entries(raw, "tools", "setup.tools"):
        for function in entries(tool, "functionDeclarations", "setup.tools.functionDeclarations"):
            found[str(function.get("name", ""))] = str(function.get("behavior", ""))
    return found


# Server messages. Each is a plain object; `phrase` gives the bytes of the binary frame.


def phrase(message: Json) -> bytes:
    """A message as the real server writes it: two-space indent, trailing newline, to go in a binary frame."""
    return (json.dumps(message, indent=2, ensure_ascii=False) + "\n").encode(errors="replace")


def content(**fields: Any) -> Json:
    return {"serverContent": fields}


def audio_part(pcm: bytes, style: str, transcript: str = "") -> Json:
    """One chunk of the model's voice; the newer style carries its transcript in the same message."""
    data = binascii.b2a_base64(pcm, newline=False).decode()
    turn: Json = {"parts": [{"inlineData": {"mimeType": OUTPUT_MIME, "data": data}}]}
    if style != "2.5":
        turn = {"role": "model", **turn}
    fields: Json = {"modelTurn": turn}
    if transcript:
        fields["outputTranscription"] = {"text": transcript}
    return {"serverContent": fields}


def duration(seconds: float) -> str:
    """`1.880s`, `5s`: no fraction or three digits of it."""
    millis = round(seconds * 1000)
    return f"{millis // 1000}s" if millis % 1000 == 0 else f"{millis / 1000:.3f}s"
