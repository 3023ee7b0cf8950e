"""What the model may say, as frozen events: one class for each thing to act on. Pure.

Reprs leave out what was said, so that no log or traceback can hold it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

OUTPUT_RATE: Final = 24_000  # Hz, what it speaks


@dataclass(frozen=True, slots=True)
class SetupComplete:
    """The model accepted the setup; from now on it may be spoken to."""

    session_id: str = ""


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of the model's voice: whole PCM16 mono samples, at most 2 s of them at 24 kHz."""

    pcm: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelText:
    """Text the model wrote instead of speaking it; a `thought` is not meant for the listener."""

    text: str = field(repr=False)
    thought: bool = False


@dataclass(frozen=True, slots=True)
class InputTranscript:
    """What the user said. Join the pieces verbatim; an `interim` piece is replaced by the next one."""

    text: str = field(repr=False)
    finished: bool = False
    interim: bool = False


@dataclass(frozen=True, slots=True)
class OutputTranscript:
    """What the model says. Join the pieces verbatim; `finished` is unreliable, the turn's end is not."""

    text: str = field(repr=False)
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The user spoke over the model: flush the playout at once."""


@dataclass(frozen=True, slots=True)
class GenerationComplete:
    """All sound of this answer has been sent; it may still be playing."""


@dataclass(frozen=True, slots=True)
class TurnComplete:
    """The model's turn is over. `reason` is the model's own word when the turn did not end as usual."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One function the model wants called; answer it under the same `id`, which may be empty, exactly once."""

    id: str
    name: str
    args: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model waits for these calls; every one needs a `tool_response`, even a failed one."""

    calls: tuple[FunctionCall, ...]


@dataclass(frozen=True, slots=True)
class ToolCancelled:
    """The model no longer wants these answers: stop the calls and drop their results."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of an answer, and how sure the model is of it, 0 to 1, for each source that it has."""

    text: str = field(repr=False)
    confidence: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the model found, and the passages of its answer that rest on it."""

    address: str = field(repr=False)
    title: str = field(default="", repr=False)
    passages: tuple[Passage, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Grounding:
    """The model searched: what of its answer rests on what. `rendered` is Google's HTML, which asks to be shown."""

    answer: str = field(default="", repr=False)
    sources: tuple[Source, ...] = ()
    rendered: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """The model heard speech start or end, `offset` seconds into the sound it was sent."""

    started: bool
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class GoAway:
    """The connection ends in `time_left` seconds; set a timer, for the model may say nothing more."""

    time_left: float


@dataclass(frozen=True, slots=True)
class ResumptionUpdate:
    """A `handle` to resume from, when `resumable`; otherwise keep the one before."""

    handle: str = field(default="", repr=False)
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn over the whole context. Bills are the sum of all of these."""

    prompt: int = 0
    response: int = 0
    thoughts: int = 0
    total: int = 0
    prompt_by_modality: Mapping[str, int] = field(default_factory=dict)
    response_by_modality: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message, or a piece of an answer, that we do not know."""


Event = (
    SetupComplete
    | Audio
    | ModelText
    | InputTranscript
    | OutputTranscript
    | Interrupted
    | GenerationComplete
    | TurnComplete
    | ToolCall
    | ToolCancelled
    | Grounding
    | VoiceActivity
    | GoAway
    | ResumptionUpdate
    | Usage
    | Unknown
)
