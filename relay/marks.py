"""Where the user's turns begin and end, where the relay's own ear says so and not the model's. Pure.

The model then hears these turns and nothing else. What comes just before one is known to have begun is kept for a
moment, and goes with it: no first word is cut.
"""

from collections.abc import Callable
from typing import Protocol

from relay.gemini import protocol


class Line(Protocol):
    """The way to the model: held, sound stays here, but for the last of it; what was sent before it is ready waits."""

    def hold(self) -> None: ...
    def release(self) -> None: ...
    def model_ready(self) -> None: ...


class Marks:
    """The marks of one call. `tell` is used once the model is ready."""

    def __init__(self, line: Line, tell: Callable[[protocol.Message], object]) -> None:
        self._line = line
        self._tell = tell
        self._open = False  # a turn
        self._listening = False  # the model
        self._waits = False  # something was said to a model that does not listen yet
        line.hold()

    def begin(self) -> None:
        """The user begins to speak, now."""
        self._open = True
        if self._listening:
            self._tell(protocol.activity_message(True))
        else:
            self._waits = True
        self._line.release()

    def end(self) -> None:
        """The user has ceased, or is not to be heard any more; idempotent."""
        if not self._open:
            return
        self._open = False
        self._line.hold()
        if self._listening:
            self._tell(protocol.activity_message(False))

    def model_ready(self) -> None:
        """The model listens: what was said until now is one turn."""
        self._listening = True
        if self._waits:
            self._tell(protocol.activity_message(True))
        self._line.model_ready()
        if self._waits and not self._open:
            self._tell(protocol.activity_message(False))
