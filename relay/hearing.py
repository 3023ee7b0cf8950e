"""What the model is given of the user: words, pictures, and leave to hear them. Pure.

Until the model listens words wait here; while the call is hushed nothing of what the user says or shows reaches it.
Where the relay's own ear has the say, what they say stands between marks.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from relay import marks
from relay.gemini import protocol
from relay.gemini.protocol import Message

# What the client wrote while the model's connection is being made; it is told that more is lost.
EARLY_MESSAGES: Final = 20


class Model(Protocol):
    """Who listens. `begin` is said once, with what was written before.

    `send` is False for what gets nowhere; a picture that does is only old.
    """

    def begin(self, messages: Iterable[Message]) -> None: ...
    def send(self, message: Message) -> bool: ...
    def send_picture(self, jpeg: bytes) -> bool: ...
    def renew(self) -> None: ...


class Hearing:
    """What one call's model hears. `connect` it, and say when it is ready. `marked` when our own ear has the say."""

    def __init__(self, line: marks.Line, *, marked: bool) -> None:
        self._line = line
        self._model: Model | None = None
        self._marks = marks.Marks(line, self.tell) if marked else None
        self._early: list[Message] | None = []  # for a model that does not listen yet
        self._hushed = False  # nothing is to reach the model

    def connect(self, model: Model) -> None:
        """This is the model: it may not listen yet."""
        self._model = model

    def model_ready(self) -> None:
        """The model listens, and gets what was said meanwhile: the sound first, then the words."""
        early, self._early = self._early or [], None
        if self._marks is not None:
            self._marks.model_ready()
        else:
            self._line.model_ready()
        if self._model is not None:
            self._model.begin(early)

    def tell(self, message: Message) -> bool:
        """Send to the model, or keep it until there is one that listens; False if it gets nowhere."""
        if self._early is None:
            return self._model is not None and self._model.send(message)
        if len(self._early) == EARLY_MESSAGES:
            return False
        self._early.append(message)
        return True

    def renew(self) -> None:
        """Another connection may do better than this one."""
        if self._model is not None:
            self._model.renew()

    @property
    def sees(self) -> bool:
        """Whether a picture would reach the model now."""
        return self._model is not None and self._early is None and not self._hushed

    def show(self, jpeg: bytes) -> None:
        """The model gets it at once or never, because it would be old."""
        if self._model is not None and self.sees:
            self._model.send_picture(jpeg)

    # ---- where the user's turns begin and end ----

    @property
    def barges_in(self) -> bool:
        """A voice that begins now stops the model's at once: our own ear has the say, and is heard."""
        return self._marks is not None and not self._hushed

    def begin_turn(self) -> None:
        """The user's voice begins: where our own ear has the say, the model hears it from just before now on."""
        if self._marks is not None:
            self._marks.begin()

    def end_turn(self) -> None:
        """The user's voice has ceased, as far as our own ear has the say."""
        if self._marks is not None:
            self._marks.end()

    def end_stream(self) -> None:
        """No more sound comes for now: the model is not to wait for it."""
        if self._marks is not None:
            self._marks.end()
        else:
            self.tell(protocol.audio_end_message())

    def hush(self, hushed: bool) -> None:
        """Nothing of the user reaches the model any more, or again: with the beginning of what they say."""
        if hushed == self._hushed:
            return
        self._hushed = hushed
        if self._marks is not None:
            self._marks.end()
        elif hushed:
            self._line.hold()
            self.end_stream()
        else:
            self._line.release()
