"""What the stand-in is told to do, read from one JSON file. Pure but for `load`.

Everything is optional; `{}` is the stand-in as it comes. Times are in seconds where the name ends in `_s`, in
milliseconds where it ends in `_ms`. An unknown name or a wrong type is an error, told in one sentence.

    {
      "seed": 0,                     // handles and call ids follow from it (without a script they are random)
      "style": "auto",               // stream shape: "2.5", "3.8", or "auto" by the model's name
      "strict": false,               // refuse unknown names deeper in the setup too
      "greet": "nudge",              // "nudge": by whitespace or "say hello"; "setup": by itself; "never"
      "greeting": LINE,              // instead of the hummed greeting
      "replies": [LINE, …],          // the n-th thing the user says or types gets the n-th line
      "after": "echo",               // past the last line: "echo", "loop" from the first, "last" for ever, "silence"
      "transcripts": ["…", …],       // what generateContent answers to the n-th request; then "(2.3 s of sound)"
      "timings": {
        "chunk_ms": 190,             // length of an audio chunk
        "speed": 4.0,                // times faster than real time
        "latency_ms": 150,           // from the end of speech to the first chunk
        "turn_complete_ms": 0,       // turnComplete, after playback would be over
        "silence_ms": 500,           // ends an utterance, unless the setup says otherwise
        "interim_ms": 300,           // between interim transcripts
        "setup_ms": 0,               // before setupComplete
        "transcript_ms": 0,          // before an answer of generateContent
        "lifetime_s": 600,           // of a connection; 0 for ever. Closes 1011 "Deadline expired…"
        "time_left_s": 50            // goAway, before that
      },
      "faults": [FAULT, …]
    }

LINE, what is said back:

    {
      "heard": "hello there",        // inputTranscription, instead of "(2.3 s of speech)"
      "interim": ["hel", "hello"],   // interimInputTranscription, while the user speaks
      "say": "Hi! Nice weather.",    // outputTranscription; hummed in its rhythm. "{result}" is the tool's answer
      "seconds": 2.0,                // length of the sound; 0 for none
      "tone_hz": 440,                // a sine instead of the hum
      "wav": "hello.wav",            // 16-bit mono, beside the script; instead of the hum
      "echo": true,                  // the user's own words instead of the hum
      "thought": "…",                // a thought part before the sound
      "code": "print(6 * 7)",        // an executableCode part before the sound, and its codeExecutionResult
      "grounding": {"groundingChunks": […]},   // groundingMetadata, after the sound
      "latency_ms": 1200,            // instead of the timings'
      "calls": [{"name": "get_weather", "args": {"city": "Paris"}, "id": "fc_1"}],   // after the sound
      "blocking": true,              // wait for the answer and go on with "then" in the same turn; else the turn ends
      "then": LINE                   // once every call is answered
    }

FAULT, each with `"on": [1, 3]` for the first and third connection only (all without it):

    {"kind": "refuse-upgrade", "status": 429, "body": "…"}         // HTTP, instead of the WebSocket
    {"kind": "refuse-transcript", "status": 503, "body": "…"}      // generateContent; "on" counts its requests
    {"kind": "refuse-setup", "code": 1008, "reason": "…"}
    {"kind": "silent-setup"}                                        // never answers the setup
    {"kind": "slow-setup", "seconds": 2}
    {"kind": "close", "after_s": 3, "code": 1011, "reason": "…"}
    {"kind": "drop", "after_s": 3}                                  // TCP reset, no close frame
    {"kind": "silence", "after_s": 3}                               // half-open: nothing is answered any more
    {"kind": "go-away", "after_s": 3, "time_left_s": 2, "code": 1011, "reason": "…", "silent": false}
    {"kind": "garbage", "after_s": 3, "what": "not-json"}           // one of `faults.GARBAGE`

`after_s` counts from setupComplete; `"after_chunks": 3` instead counts the audio chunks of the connection.
"""

import io
import json
import wave
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast, get_args, get_type_hints

from relay.standin import voice
from relay.standin.faults import FAULTS, GARBAGE, Fault

MAX_SCRIPT_BYTES: Final = 1 << 20
MAX_WAV_BYTES: Final = 16 << 20

CHOICES: Final = {
    "style": ("auto", "2.5", "3.8"),
    "greet": ("nudge", "setup", "never"),
    "after": ("echo", "loop", "last", "silence"),
    "kind": tuple(FAULTS),
    "what": tuple(GARBAGE),
}
RANGES: Final = {  # least and most, units as the names say
    "chunk_ms": (1, 1000),
    "speed": (0.1, 1000),
    "silence_ms": (20, 10_000),
    "interim_ms": (1, 10_000),
    "seconds": (0, 60),
    "tone_hz": (20, 11_000),
    "code": (1000, 4999),
    "status": (300, 599),
}


class ScriptError(Exception):
    """The script cannot be used; the text is one sentence that says where and why."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function call the script makes."""

    name: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What is said once; see the top of this file."""

    heard: str | None = None
    interim: tuple[str, ...] = ()
    say: str | None = None
    seconds: float | None = None
    tone_hz: float | None = None
    wav: str | None = None
    echo: bool = False
    thought: str = ""
    code: str = ""
    grounding: dict[str, Any] = field(default_factory=dict)
    latency_ms: float | None = None
    calls: tuple[Call, ...] = ()
    blocking: bool = True
    then: "Line | None" = None
    sound: bytes = b""  # what `wav` holds, at 24 kHz


@dataclass(frozen=True, slots=True)
class Timings:
    """See the top of this file."""

    chunk_ms: float = 190
    speed: float = 4.0
    latency_ms: float = 150
    turn_complete_ms: float = 0
    silence_ms: float = 500
    interim_ms: float = 300
    setup_ms: float = 0
    transcript_ms: float = 0
    lifetime_s: float = 600
    time_left_s: float = 50


@dataclass(frozen=True, slots=True)
class Script:
    """All that the stand-in is told. `Script()` is the stand-in as it comes."""

    seed: int | None = None
    style: str = "auto"
    strict: bool = False
    greet: str = "nudge"
    greeting: Line | None = None
    replies: tuple[Line, ...] = ()
    after: str = "echo"
    transcripts: tuple[str, ...] = ()
    timings: Timings = Timings()
    faults: tuple[Fault, ...] = ()

    def fault(self, kind: str, connection: int) -> Fault | None:
        """The first fault of a kind that hits a connection."""
        return next((f for f in self.faults if f.kind == kind and f.hits(connection)), None)


def load(path: Path) -> Script:
    """The script in a file, with the WAV files beside it."""
    try:
        text = _read(path, MAX_SCRIPT_BYTES).decode()
    except UnicodeDecodeError:
        raise ScriptError(f"{path} is not UTF-8.") from None
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScriptError(f"{path} is not JSON: {str(error)[:200]}.") from None
    return parse(raw, path.parent)


def parse(raw: Any, folder: Path | None = None) -> Script:
    """A script from parsed JSON, or `ScriptError`. `folder` is where WAV files lie; without it there are none."""
    if isinstance(raw, dict):
        raw = {"seed": 0, **raw}
    script = cast(Script, _record(Script, raw, "the script", folder))
    for n, fault in enumerate(script.faults):
        given = set(raw["faults"][n]) - {"kind", "on"}
        if not fault.kind:
            raise ScriptError(f"faults[{n}] needs a kind, one of: {', '.join(FAULTS)}.")
        if extra := sorted(given - FAULTS[fault.kind]):
            raise ScriptError(f"faults[{n}]: the kind {fault.kind} takes no {extra[0]}.")
        if "after_s" in FAULTS[fault.kind] and fault.after_s is None and fault.after_chunks is None:
            raise ScriptError(f"faults[{n}] needs after_s or after_chunks.")
    return script


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ScriptError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > most:
        raise ScriptError(f"{path} is larger than {most >> 20} MiB.")
    return data


def _record(kind: type, raw: Any, where: str, folder: Path | None) -> Any:
    """A dataclass from a JSON object: each field by its annotation."""
    if not isinstance(raw, dict):
        raise ScriptError(f"{where} must be an object.")
    hints = get_type_hints(kind)
    names = {f.name for f in fields(kind)} - {"sound"}
    given: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in names:
            raise ScriptError(f"{where} has an unknown name {name[:40]!r}; known are {', '.join(sorted(names))}.")
        inner = f"{where}.{name}" if where != "the script" else name
        given[name] = _value(hints[name], value, inner, folder)
        _check(name, given[name], inner)
    if kind is Call and not given.get("name"):
        raise ScriptError(f"{where} needs a name.")
    if kind is Line and given.get("wav"):
        given["sound"] = _wav(given["wav"], where, folder)
    return kind(**given)


def _value(hint: Any, value: Any, where: str, folder: Path | None) -> Any:
    options = [a for a in get_args(hint) if a is not type(None)] if type(None) in get_args(hint) else []
    if options:
        return None if value is None else _value(options[0], value, where, folder)
    if hint in (Line, Call, Timings, Fault):
        return _record(hint, value, where, folder)
    if get_args(hint) and get_args(hint)[-1] is Ellipsis:
        if not isinstance(value, list):
            raise ScriptError(f"{where} must be a list.")
        return tuple(_value(get_args(hint)[0], item, f"{where}[{n}]", folder) for n, item in enumerate(value))
    plain = dict if get_args(hint) else hint
    right = isinstance(value, int | float if plain is float else plain)
    if not right or (isinstance(value, bool) and plain is not bool):
        words = {str: "text", bool: "true or false", int: "a whole number", float: "a number", dict: "an object"}
        raise ScriptError(f"{where} must be {words[plain]}.")
    return value


def _check(name: str, value: Any, where: str) -> None:
    if name in CHOICES and value not in CHOICES[name]:
        raise ScriptError(f"{where} must be one of: {', '.join(CHOICES[name])}.")
    if isinstance(value, int | float) and not isinstance(value, bool) and name != "seed":
        least, most = RANGES.get(name, (0, 1_000_000))
        if not least <= value <= most:
            raise ScriptError(f"{where} must be from {least} to {most}.")


def _wav(name: str, where: str, folder: Path | None) -> bytes:
    if folder is None:
        raise ScriptError(f"{where}.wav needs a script file to lie beside.")
    try:
        with wave.open(io.BytesIO(_read(folder / name, MAX_WAV_BYTES))) as file:
            if file.getsampwidth() != 2 or file.getnchannels() != 1 or not 8_000 <= file.getframerate() <= 48_000:
                raise ScriptError(f"{where}.wav must be 16-bit mono, 8 to 48 kHz.")
            return voice.resample(file.readframes(file.getnframes()), file.getframerate())
    except (wave.Error, EOFError):
        raise ScriptError(f"{where}.wav is not a WAV file.") from None
