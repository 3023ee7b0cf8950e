"""What is asked of the model in writing, or only added to the conversation: told to all that it concerns."""

import asyncio
from collections.abc import Callable, Sequence

from relay import rtvi
from relay.floor import Floor
from relay.hearing import Hearing
from relay.history import History
from relay.transcript import Role
from relay.turns import Turns
from relay.warden import Warden


class Asking:
    """What one call's client asks: `written` decides what that is, and what becomes of it stands here."""

    def __init__(
        self,
        hearing: Hearing,
        turns: Turns,
        floor: Floor,
        history: History,
        warden: Warden,
        say: Callable[[Sequence[rtvi.Message]], None],
    ) -> None:
        self._turns = turns
        self._floor = floor
        self._history = history
        self._warden = warden
        self._loop = asyncio.get_running_loop()
        self.tell, self.say = hearing.tell, say
        self.asked = False  # the client has asked for an answer

    @property
    def replying(self) -> bool:
        """The model's turn has begun, and is not complete."""
        return self._turns.replying

    def ask(self, text: str, *, silent: bool) -> None:
        """The model was asked in writing: what is still being said gives way."""
        now, unfinished = self._loop.time(), self._floor.unfinished
        self.asked = True
        self.say(self._turns.takes_turn(now))
        self._floor.take(now, unfinished=unfinished)
        self._warden.asked(now)
        self.say(self._turns.asked(text, now, silent=silent))

    def echo(self, text: str, id: str) -> None:
        """The client is told that its words are with the model."""
        self.say(self._turns.chat(text, id, self._loop.time()))

    def noted(self, role: str, text: str) -> None:
        """The app has added words to the conversation, which nobody is to answer."""
        self._history.wrote(Role.MODEL if role == "model" else Role.USER, text, self._loop.time())
