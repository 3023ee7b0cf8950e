"""What is to be said when: the schedule of one connection, from which a whole turn can be withdrawn. Pure."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay.standin import wire

MAX_UNSENT: Final = 10_000  # messages to a client that does not read; then the line is closed


@dataclass(frozen=True, slots=True)
class Say:
    """A message for the client."""

    message: wire.Json


@dataclass(frozen=True, slots=True)
class Raw:
    """A frame that is no message, for the faults."""

    data: bytes | str


@dataclass(frozen=True, slots=True)
class Close:
    """Close with this code and reason, or, without a code, cut the line."""

    code: int | None
    reason: str = ""


Out = Say | Raw | Close


class Timeline:
    """Acts with due times. An act that belongs to a turn is dropped with it."""

    def __init__(self) -> None:
        self.closed = False
        self._heap: list[tuple[float, int, object | None, Callable[[float], None]]] = []
        self._count = 0
        self._out: list[Out] = []

    def at(self, due: float, act: Callable[[float], None], turn: object | None = None) -> None:
        """Calls `act` with its due time when it comes."""
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, turn, act))

    def drop(self, turn: object) -> None:
        """Forgets what belongs to a turn."""
        self._heap = [item for item in self._heap if item[2] is not turn]
        heapq.heapify(self._heap)

    def say(self, message: wire.Json) -> None:
        if len(self._out) >= MAX_UNSENT:
            self.close(1011, "Internal error encountered.")
        elif not self.closed:
            self._out.append(Say(message))

    def raw(self, data: bytes | str) -> None:
        if not self.closed:
            self._out.append(Raw(data))

    def close(self, code: int | None, reason: str = "") -> None:
        """The last thing that is said."""
        if not self.closed:
            self._out.append(Close(code, wire.cut(reason)))
        self.end()

    def end(self) -> None:
        """Nothing more comes, but for what was said already."""
        self.closed = True
        self._heap.clear()

    def due(self) -> float | None:
        """When `collect` has something to give; None for not before the next frame."""
        if self._out:
            return 0.0
        return self._heap[0][0] if self._heap else None

    def collect(self, now: float) -> list[Out]:
        """Everything that is due, in order."""
        while self._heap and self._heap[0][0] <= now:
            due, _, _, act = heapq.heappop(self._heap)
            act(due)
        out, self._out = self._out, []
        return out
