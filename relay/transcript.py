"""A conversation to be read: its turns as JSON, as plain text and as WebVTT. Pure: no clock.

Times are seconds since the call began. Whatever stands in a turn is somebody's words: each format keeps them from being
taken for anything else.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from relay.sentences import Sentences, letters

CUT: Final = "—"  # stands where an interruption cut a turn
MAX_TOOL: Final = 4_000  # characters of JSON, of arguments and of a result; longer ones are not kept
UNPRINTABLE: Final = dict.fromkeys([*range(32), *range(127, 160), 0x2028, 0x2029], " ")


class Role(StrEnum):
    """Whose turn it was; the values are those of the JSON."""

    USER = "user"
    MODEL = "assistant"
    TOOL = "tool"


class How(StrEnum):
    """How the turn came about."""

    SPOKEN = "spoken"
    TYPED = "typed"  # by the user, or in the user's name by the app
    WRITTEN = "written"  # by the model, not spoken
    PRIOR = "prior"  # handed in when the call was begun


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a function: `state` is open, answered or cancelled. What was too long to keep is None."""

    name: str
    arguments: Any = field(repr=False)
    result: Any = field(default=None, repr=False)
    state: str = "open"


def kept(value: Any) -> tuple[Any, int]:
    """A copy that nobody changes, and its size; None for what is too long or no JSON."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None, 0
    return (json.loads(text), len(text)) if len(text) <= MAX_TOOL else (None, 0)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said or did; of the model's words those that were heard. `began` is None for a prior turn."""

    role: Role
    text: str = field(repr=False)
    how: How = How.SPOKEN
    began: float | None = None
    ended: float | None = None
    interrupted: bool = False
    tool: ToolUse | None = None
    number: int = 0  # of this call's turns, in the order in which they came up

    def told(self) -> dict[str, Any]:
        """The turn in JSON."""
        told: dict[str, Any] = {"role": self.role.value}
        if self.tool is not None:
            told |= {"name": self.tool.name, "arguments": self.tool.arguments, "result": self.tool.result}
            told["state"] = self.tool.state
        else:
            told |= {"text": self.text, "how": self.how.value}
        if self.began is not None:
            told["began"] = round(self.began, 3)
        if self.ended is not None:
            told["ended"] = round(self.ended, 3)
        if self.interrupted:
            told["interrupted"] = True
        return told


@dataclass(frozen=True, slots=True)
class Transcript:
    """A call's turns in order. `started` is Unix time; `dropped` turns, the oldest, are not there any more."""

    started: float
    seconds: float
    over: bool
    dropped: int
    turns: tuple[Turn, ...] = field(repr=False)

    @property
    def characters(self) -> int:
        """About how much memory it takes."""
        return sum(len(turn.text) + (len(str(turn.tool)) if turn.tool is not None else 0) for turn in self.turns)

    def json(self) -> str:
        """``{"started", "seconds", "over", "dropped", "turns": […]}``; a turn is what `Turn.told` says."""
        body: Mapping[str, Any] = {
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "over": self.over,
            "dropped": self.dropped,
            "turns": [turn.told() for turn in self.turns],
        }
        return json.dumps(body, ensure_ascii=False)

    def text(self) -> str:
        """One line for each turn, whatever was typed into it."""
        lines = [f"({self.dropped} earlier turns are not kept.)"] if self.dropped else []
        return "".join(f"{line}\n" for line in [*lines, *map(_line, self.turns)])

    def vtt(self) -> str:
        """WebVTT (W3C, https://www.w3.org/TR/webvtt1/): a cue for each sentence, one at a time, in order.

        Prior turns and calls of functions have no place in time that anybody could see or hear, and no cue.
        """
        blocks = ["WEBVTT\n"]
        for number, (start, end, name, text) in enumerate(_apart(self.turns), 1):
            blocks.append(f"{number}\n{_clock(start)} --> {_clock(end)}\n<v {name}>{_escaped(text)}\n")
        return "\n".join(blocks)


def printable(text: str) -> str:
    """The same as text that can be written down: half a surrogate pair, which JSON can spell, is a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


NAMES: Final = {Role.USER: "User", Role.MODEL: "Assistant"}


def _line(turn: Turn) -> str:
    when = "" if turn.began is None else f"[{_minutes(turn.began)}] "
    if turn.tool is not None:
        called = f"{turn.tool.name}({_compact(turn.tool.arguments)})"
        what = _compact(turn.tool.result) if turn.tool.state == "answered" else turn.tool.state
        return _plain(f"{when}Tool: {called} -> {what}")
    return _plain(f"{when}{NAMES[turn.role]}: {turn.text}{f' {CUT}' if turn.interrupted else ''}")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _plain(text: str) -> str:
    """On one line."""
    return " ".join(text.translate(UNPRINTABLE).split())


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes:02}:{rest:02}"


def _clock(milliseconds: int) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}"


def _escaped(text: str) -> str:
    """Cue text: no markup, no blank line; with ">" gone there is no arrow either (W3C WebVTT §4.2.2)."""
    return _plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _apart(turns: Iterable[Turn]) -> Iterator[tuple[int, int, str, str]]:
    """Start and end in milliseconds, name and text of each cue: each starts later than, and not before the end of, the
    one before, which gives way where two spoke at once."""
    cues = sorted((cue for turn in turns for cue in _cues(turn)), key=lambda cue: cue[0])
    starts: list[int] = []
    for start, *_ in cues:
        starts.append(max(round(start * 1000), starts[-1] + 1 if starts else 0))
    following: list[float] = [*starts, math.inf][1:]
    for (_, end, name, text), start, bound in zip(cues, starts, following, strict=True):
        yield start, int(min(max(round(end * 1000), start + 1), bound)), name, text


def _cues(turn: Turn) -> list[tuple[float, float, str, str]]:
    """Its sentences, each with its share of the turn's time, by letters."""
    text = _plain(turn.text)
    if turn.tool is not None or turn.began is None or not text:
        return []
    sentences = Sentences()
    texts = [sentence.text for sentence in sentences.add(text, 0) + sentences.flush()]
    whole = max(1, sum(map(letters, texts)))
    begin, length = max(0.0, turn.began), max(0.0, (turn.ended or turn.began) - turn.began)
    cues, said = [], 0
    for number, sentence in enumerate(texts, 1):
        start = begin + length * said / whole
        said += letters(sentence)
        cut = f" {CUT}" if turn.interrupted and number == len(texts) else ""
        cues.append((start, begin + length * said / whole, NAMES[turn.role], sentence + cut))
    return cues
