"""What the browser sends on the data channel, as far as it is to be served: so many messages, and none too large. Pure.

The first that is too much is refused in words, the rest of that second in silence; who goes on has the call ended.
"""

from collections.abc import Callable, Sequence

from relay import flood, reading, rtvi, said
from relay.errors import BrowserFault, RelayError


class Inbox:
    """The inbox of one call. `say` tells the client that it sends too much, `end` ends the call if it goes on."""

    def __init__(self, say: Callable[[Sequence[rtvi.Message]], None], end: Callable[[RelayError | None], None]) -> None:
        self._say = say
        self._end = end
        self._flood = flood.FloodGate()

    def read(self, frame: str | bytes, now: float) -> said.Said | None:
        """What a message says, well-formed or not; None if it is not to be served."""
        ruling, message = self._flood.allow(now), None
        if ruling is flood.Ruling.PASS:
            message = reading.read(frame)
            if isinstance(message, said.Malformed) and message.oversize:
                ruling = self._flood.refuse(now)
        if ruling is flood.Ruling.CLOSE:
            self._end(BrowserFault("too-many-messages"))
            return None
        if message is None and ruling is flood.Ruling.TELL:
            self._say([rtvi.error("Too many messages; the rest of this second is ignored.")])
        return message
