"""RTVI, what the browser says: check it, and say what it is. Pure: no clock, no channel.

`read` turns one frame of the data channel into something said, and never raises: what cannot be read is `Malformed`,
which `rtvi.complaint` answers. How many frames one client may send, `flood` says.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import pybase64

from relay.depth import nests_deeper
from relay.files import picture_format
from relay.said import (
    LABEL,
    MAX_MESSAGE,
    AppendToContext,
    ClientMessage,
    ClientReady,
    DisconnectBot,
    Dtmf,
    FunctionCallResult,
    Ignored,
    Malformed,
    Ping,
    Said,
    SendFile,
    SendText,
    TrackStatus,
)

MAX_HEAD: Final = 1024  # bytes of a larger one that are looked at; the SDKs write the result last
MAX_DEPTH: Final = 16  # levels of nesting; the deepest message of the protocol has 7
MAX_ID: Final = 128  # characters; the longest id in use is a UUID
MAX_NAMED: Final = 64  # characters of an unknown type that the complaint repeats


def read(frame: bytes | str) -> Said:
    """What one frame says; text and binary frames mean the same."""
    if len(frame) > MAX_MESSAGE or (isinstance(frame, str) and len(frame.encode("utf-8", "replace")) > MAX_MESSAGE):
        reason = f"The message is larger than {MAX_MESSAGE // 1024} KiB"
        return Malformed("", reason, oversize=True, call_id=_call_of(frame[:MAX_HEAD]))
    try:
        text = frame if isinstance(frame, str) else frame.decode()
        if text.startswith("ping"):
            return Ping()
        body = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        return Malformed("", f"The message is nested deeper than {MAX_DEPTH} levels", oversize=True)
    except ValueError:
        return Malformed("", "The message is not JSON")
    if not isinstance(body, dict):
        return Malformed("", "The message is not an object")
    id_ = body.get("id")
    id_ = id_ if isinstance(id_, str) and len(id_) <= MAX_ID else ""
    if nests_deeper(body, MAX_DEPTH):
        return Malformed(id_, f"The message is nested deeper than {MAX_DEPTH} levels", oversize=True)
    if body.get("type") == "signalling":
        return _read_signal(body.get("message"))
    label, kind = body.get("label"), body.get("type")
    if isinstance(label, str) and label != LABEL:
        return Ignored()
    if label != LABEL or not isinstance(kind, str):
        return Malformed(id_, "The message needs a label and a type")
    if kind in _UNSERVED:
        return Malformed(id_, _UNSERVED[kind])
    if kind not in _READERS:
        return Malformed(id_, f"Unsupported type {kind[:MAX_NAMED]}")
    data = body.get("data")
    try:
        return _READERS[kind](id_, data if isinstance(data, dict) else {})
    except _Invalid as why:
        return Malformed(id_, f"Invalid message: {why}")


def _call_of(head: bytes | str) -> str:
    """Which call the beginning of a message is the result of, if any: the model waits for it."""
    text = head if isinstance(head, str) else head.decode("utf-8", "replace")
    found = _CALL.search(text) if '"llm-function-call-result"' in text else None
    return found[1] if found else ""


_CALL: Final = re.compile(rf'"tool_call_id"\s*:\s*"([^"\\]{{1,{MAX_ID}}})"')


class _Invalid(Exception):
    """A member is missing or of the wrong kind; the text names it."""


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _string(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise _Invalid(f"{key} must be a string")
    return value


def _flag(data: Mapping[str, Any], key: str, default: bool) -> bool:
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _Invalid(f"{key} must be true or false")
    return value


def _read_client_ready(id_: str, data: Mapping[str, Any]) -> ClientReady:
    """Never refused: a client that is not welcomed waits for ever."""
    version, about = data.get("version"), data.get("about")
    library = about.get("library") if isinstance(about, dict) else None
    return ClientReady(
        id_,
        version if isinstance(version, str) and _VERSION.fullmatch(version) else "",
        library[:MAX_NAMED] if isinstance(library, str) else "",
        data.get("returns") is True,
    )


_VERSION: Final = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}")


def _words(data: Mapping[str, Any], key: str) -> str:
    words = _string(data, key)
    if not words.strip():
        raise _Invalid(f"{key} must not be empty")
    return words


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    if value is not None and not isinstance(value, dict):
        raise _Invalid(f"{key} must be an object")
    return value or {}


def _read_send_text(id_: str, data: Mapping[str, Any]) -> SendText:
    content, options = _words(data, "content"), _object(data, "options")
    return SendText(
        id_,
        content,
        _flag(options, "run_immediately", True),
        _flag(options, "audio_response", True),
        data.get("again") is True,
    )


def _read_send_file(id_: str, data: Mapping[str, Any]) -> SendFile:
    source, options = _object(_object(data, "file"), "source"), _object(data, "options")
    picture, url = b"", ""
    if source.get("type") == "url":
        url = _string(source, "url")
    elif source.get("type") == "bytes":
        picture = _picture(_string(source, "bytes"))
    else:
        raise _Invalid("file.source needs a type, bytes or url")
    return SendFile(
        id_,
        data["content"] if isinstance(data.get("content"), str) else "",
        picture,
        url,
        _flag(options, "run_immediately", True),
        _flag(options, "audio_response", True),
    )


def _picture(base64: str) -> bytes:
    """What the format member calls it is nobody's proof: the first bytes are."""
    if base64.startswith("data:"):
        base64 = base64.partition(",")[2]
    try:
        picture = pybase64.b64decode(base64, validate=True)
    except ValueError:
        raise _Invalid("bytes must be base64") from None
    if picture_format(picture) is None:
        raise _Invalid("the file must be a JPEG, PNG or WebP picture")
    return picture


def _read_append(id_: str, data: Mapping[str, Any]) -> AppendToContext:
    role = _string(data, "role")
    if role not in ("user", "assistant"):
        raise _Invalid("role must be user or assistant")
    return AppendToContext(id_, role, _words(data, "content"), _flag(data, "run_immediately", False))


def _read_dtmf(id_: str, data: Mapping[str, Any]) -> Dtmf:
    buttons = data.get("buttons", [data.get("button")])
    if not isinstance(buttons, list) or not buttons:
        raise _Invalid("buttons must be a list of keys")
    if not all(isinstance(key, str) and len(key) == 1 and key in "0123456789*#" for key in buttons):
        raise _Invalid("buttons must be a list of keys")
    return Dtmf(id_, "".join(buttons))


def _read_signal(message: object) -> Said:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return Malformed("", "Invalid message: signalling needs a type")
    if message["type"] != "trackStatus":
        return Ignored()
    track, enabled = message.get("receiver_index"), message.get("enabled")
    if type(track) is not int or not isinstance(enabled, bool):
        return Malformed("", "Invalid message: trackStatus needs receiver_index and enabled")
    return TrackStatus(track, enabled) if 0 <= track <= 2 else Ignored()


_READERS: Final[dict[str, Callable[[str, Mapping[str, Any]], Said]]] = {
    "client-ready": _read_client_ready,
    "disconnect-bot": lambda id_, _: DisconnectBot(id_),
    "client-message": lambda id_, data: ClientMessage(id_, _string(data, "t"), data.get("d")),
    "send-text": _read_send_text,
    "send-file": _read_send_file,
    "append-to-context": _read_append,
    "dtmf": _read_dtmf,
    "llm-function-call-result": lambda id_, data: FunctionCallResult(
        id_, _string(data, "function_name"), _string(data, "tool_call_id"), data.get("result")
    ),
    "ui-snapshot": lambda _id, _data: Ignored(),  # a stream of them, which nobody answers
}

# Types of the protocol that this relay has no use for, and what their sender is told.
_UNSERVED: Final[dict[str, str]] = {
    "raw-audio": "Unsupported type raw-audio: sound comes over the audio track",
    "raw-audio-batch": "Unsupported type raw-audio-batch: sound comes over the audio track",
    "ui-event": "Unsupported type ui-event: nothing here works on the page; send a client-message",
    "ui-cancel-job-group": "Unsupported type ui-cancel-job-group: there are no jobs here",
}
