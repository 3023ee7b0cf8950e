"""What the strictest client takes: iOS drops a message for a null in it, and crashes where `data` is not there."""

import json
import math
from typing import Any, Final

from relay import rtvi

# Members that a client decodes without asking whether they are there, and what they must be.
NEEDED: Final[dict[str, dict[str, type | tuple[type, ...]]]] = {
    "bot-ready": {"version": str, "about": dict},
    "error": {"error": str, "message": str, "fatal": bool},
    "error-response": {"error": str},
    "server-response": {"t": str},
    "server-message": {},
    "append-to-context-result": {"result": str},
    "user-transcription": {"text": str, "user_id": str, "timestamp": str, "final": bool},
    "user-input": {"text": str, "input_type": str, "timestamp": str, "final": bool},
    "user-llm-text": {"text": str},
    "bot-llm-text": {"text": str},
    "bot-transcription": {"text": str},
    "bot-tts-text": {"text": str},
    "bot-output": {"text": str, "aggregated_by": str, "spoken": bool},
    "bot-llm-search-response": {"origins": list},
    "metrics": {},
    "llm-function-call": {"function_name": str, "tool_call_id": str, "args": dict},
    "llm-function-call-started": {},
    "llm-function-call-in-progress": {"tool_call_id": str},
    "llm-function-call-stopped": {"tool_call_id": str, "cancelled": bool},
}
# Sent without any data.
BARE: Final = frozenset(
    {
        *(f"{who}-{what}-speaking" for who in ("user", "bot") for what in ("started", "stopped")),
        *(f"bot-{what}-{edge}" for what in ("llm", "tts") for edge in ("started", "stopped")),
        "bot-interrupted",
    }
)
ANSWERS: Final = frozenset({"error-response", "server-response"})
WITH_ID: Final = ANSWERS | {"bot-ready", "append-to-context-result"}


def strict(message: rtvi.Message) -> dict[str, Any]:
    """The message as a client reads it: one text frame of strict JSON and UTF-8, with all that it needs."""
    text = rtvi.encode(message)
    text.encode()
    back: dict[str, Any] = json.loads(text, parse_constant=_no_number)
    assert _whole(back), text
    if back["type"] == "signalling":
        assert back.keys() == {"type", "message"}
        return back
    kind, data = back["type"], back.get("data", {})
    assert back["label"] == "rtvi-ai"
    assert back.keys() <= {"label", "type", "id", "data"}
    assert isinstance(data, dict)
    assert ("data" in back) == (kind in NEEDED), f"{kind} with data, or without"
    assert kind in NEEDED or kind in BARE, kind
    assert "id" not in back or (kind in WITH_ID and back["id"]), kind
    for name, wanted in NEEDED.get(kind, {}).items():
        assert isinstance(data.get(name), wanted), f"{kind} needs {name}"
    if kind == "bot-output":
        assert data["aggregated_by"] in ("word", "sentence")
    if kind == "metrics":
        for row in [row for name in ("ttfb", "processing") for row in data.get(name, [])]:
            assert isinstance(row["processor"], str)
            assert type(row["value"]) in (int, float)
    return back


def _whole(value: object) -> bool:
    """No null in it, and no number that is none."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _whole(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_whole, value))
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _no_number(name: str) -> Any:
    raise AssertionError(name)
