"""The warden's hands on a call: the client is told, the model nudged or exchanged, the user hushed, the call ended.

Pure.
"""

from collections.abc import Callable, Sequence

from relay import rtvi
from relay.errors import RelayError
from relay.gemini import protocol
from relay.hearing import Hearing


class Keeper:
    """The keeper of one call. `say` tells the client, `end` ends the call; `model` is the name of who hears."""

    def __init__(
        self,
        hearing: Hearing,
        model: str,
        say: Callable[[Sequence[rtvi.Message]], None],
        end: Callable[[RelayError], None],
    ) -> None:
        self._model = model
        self.say, self.end = say, end
        self.renew, self.hush = hearing.renew, hearing.hush
        self._tell = hearing.tell

    def nudge(self) -> None:
        """The model is asked to go on."""
        self._tell(protocol.nudge_message(self._model))
