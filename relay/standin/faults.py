"""What goes wrong on purpose: the kinds of faults a script may have, and when each strikes a connection. Pure.

`script.py` shows how they are written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.standin import wire
from relay.standin.timeline import Timeline

GARBAGE: Final[dict[str, str]] = {  # what is sent; `garbage` makes the last two long
    "not-json": "\x00\ufffd this is not JSON",
    "truncated": '{\n  "serverContent": {\n    "modelTurn": {',
    "text-frame": "{}\n",
    "not-an-object": "[1, 2, 3]\n",
    "wrong-types": '{\n  "serverContent": "yes",\n  "usageMetadata": 7\n}\n',
    "wrong-parts": '{"serverContent": {"modelTurn": {"parts": [7, null, {"inlineData": 3}]}}}\n',
    "unknown": '{\n  "frobnicate": {\n    "much": true\n  }\n}\n',
    "bad-base64": '{"serverContent": {"modelTurn": {"parts": [{"inlineData": '
    '{"mimeType": "audio/pcm;rate=24000", "data": "!!*"}}]}}}\n',
    "odd-audio": '{"serverContent": {"modelTurn": {"parts": [{"inlineData": '
    '{"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}]}}}\n',
    "deep": '{"serverContent": %s}\n',
    "huge": '{"serverContent": {"inputTranscription": {"text": "%s"}}}\n',
}
HUGE_BYTES: Final = 10 << 20
DEEP_LEVELS: Final = 3000
FAULTS: Final[dict[str, frozenset[str]]] = {  # kind -> the fields it takes
    "refuse-upgrade": frozenset({"status", "body"}),
    "refuse-transcript": frozenset({"status", "body"}),
    "refuse-setup": frozenset({"code", "reason"}),
    "silent-setup": frozenset(),
    "slow-setup": frozenset({"seconds"}),
    "close": frozenset({"after_s", "after_chunks", "code", "reason"}),
    "drop": frozenset({"after_s", "after_chunks"}),
    "silence": frozenset({"after_s", "after_chunks"}),
    "go-away": frozenset({"after_s", "after_chunks", "time_left_s", "code", "reason", "silent"}),
    "garbage": frozenset({"after_s", "after_chunks", "what"}),
}
DEADLINE: Final = "Deadline expired before operation could complete."


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong on purpose."""

    kind: str = ""
    on: tuple[int, ...] = ()
    after_s: float | None = None
    after_chunks: int | None = None
    code: int = 1011
    reason: str = DEADLINE
    status: int = 503
    body: str = ""
    seconds: float = 1.0
    time_left_s: float = 50
    silent: bool = False
    what: str = "not-json"

    def hits(self, connection: int) -> bool:
        return not self.on or connection in self.on


def garbage(what: str) -> bytes | str:
    """A frame that no client should choke on; binary, but for `text-frame`."""
    if what == "text-frame":
        return GARBAGE[what]
    filling = {"deep": "[" * DEEP_LEVELS + "]" * DEEP_LEVELS, "huge": "x" * HUGE_BYTES}.get(what, "")
    return GARBAGE[what].replace("%s", filling).encode()


class Trouble:
    """The faults of one connection, the `number`-th. `close` and `fall_silent` are what they do to it."""

    def __init__(
        self,
        faults: Sequence[Fault],
        number: int,
        timeline: Timeline,
        close: Callable[[int | None, str], None],
        fall_silent: Callable[[float], None],
    ) -> None:
        self._faults = [fault for fault in faults if fault.hits(number)]
        self._timeline = timeline
        self._close = close
        self._fall_silent = fall_silent

    def of(self, kind: str) -> Fault | None:
        """The first of a kind, which the conversation itself is to follow."""
        return next((fault for fault in self._faults if fault.kind == kind), None)

    def begin(self, now: float) -> None:
        """The connection stands: from now on the seconds count."""
        for fault in self._faults:
            if fault.after_s is not None:
                self._timeline.at(now + fault.after_s, lambda at, fault=fault: self._strike(fault, at))  # type: ignore[misc]

    def count_chunk(self, count: int, now: float) -> None:
        """So many chunks of sound have been sent."""
        for fault in self._faults:
            if fault.after_chunks == count:
                self._strike(fault, now)

    def go_away_at(self, when: float, left: float, code: int = 1011, reason: str = DEADLINE) -> None:
        """Takes leave at `when`, and leaves so many seconds later."""
        self._timeline.at(when, lambda at: self._timeline.say({"goAway": {"timeLeft": wire.duration(left)}}))
        self._timeline.at(when + left, lambda at: self._close(code, reason))

    def _strike(self, fault: Fault, now: float) -> None:
        if fault.kind == "close":
            self._close(fault.code, fault.reason)
        elif fault.kind == "drop":
            self._close(None, "")
        elif fault.kind == "silence":
            self._fall_silent(now)
        elif fault.kind == "garbage":
            self._timeline.raw(garbage(fault.what))
        elif fault.kind == "go-away":
            self.go_away_at(now, fault.time_left_s, fault.code, fault.reason)
            if fault.silent:
                self._timeline.at(now, self._fall_silent)
