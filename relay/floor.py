"""Who has the floor: is an answer being made, and is it to be heard, or has the user taken over from the model?

The user takes it by writing, by voice where our own ear has the say, or the model itself notices and says so. The line
falls silent then, and what the model goes on to say before it knows is dropped.
"""

from collections.abc import Callable, Sequence

from relay import rtvi
from relay.dictation import Dictation
from relay.downlink import Downlink
from relay.gemini import events
from relay.turns import Turns
from relay.warden import Warden


class Floor:
    """The floor of one call. `say` tells the client what was cut."""

    def __init__(
        self,
        downlink: Downlink,
        turns: Turns,
        dictation: Dictation | None,
        warden: Warden,
        say: Callable[[Sequence[rtvi.Message]], None],
    ) -> None:
        self._downlink = downlink
        self._turns = turns
        self._dictation = dictation
        self._warden = warden
        self._say = say
        self._generating = False
        self._skipping = False  # what is left of a generation that the user cut

    @property
    def unfinished(self) -> bool:
        """More of an answer is to come."""
        return self._generating or self._turns.generating

    def generate(self) -> bool:
        """The model makes sound; False if it has lost the floor, and the sound is to be dropped."""
        self._generating = True
        return not self._skipping

    def passes_over(self, event: events.Event) -> bool:
        """Whether this is said by a model that has lost the floor and does not know, or is left of what it had said."""
        match event:
            case events.Audio():
                return self._skipping
            case events.OutputTranscript() | events.ModelText():
                return self._skipping or self._turns.stale
            case _:
                return False

    def complete(self) -> None:
        """The model has made all of it: what comes next is another answer."""
        self._generating = self._skipping = False

    def take(self, now: float, *, unfinished: bool) -> None:
        """The user has the floor, which the model does not know yet: what it goes on to say is not heard."""
        if self._downlink.playout.playing or unfinished:
            self._cut(now)
            self._skipping = unfinished

    def interrupted(self, now: float) -> None:
        """The model knows that the user has the floor."""
        self.complete()
        self._cut(now)

    def _cut(self, now: float) -> None:
        """Silence the line and forget what was not heard."""
        heard_to = self._downlink.playout.position
        self._downlink.interrupt()
        if self._dictation is not None:
            self._dictation.model_heard(heard_to)
        self._warden.cut(now)
        self._say(self._turns.interrupted(heard_to, now))
