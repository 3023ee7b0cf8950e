"""A line of text in, an answer out. Pure.

The caller owes: `answer` for what the user has said, `told` for what a function answered, `greeting` to begin.
`guess` is `answer` without remembering: for what may not be the user's last word.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from relay.standin.wits.answer import Answer, Notes, Wanted

GREETING: Final = ("Hello!", "I am the local voice of this relay.", "Ask me for the time, a sum, or a joke.")
AGAIN: Final = ("I am still here.", "Ask me what I can do.")


class Wits:
    """The mind of one conversation. The same seed, clock and lines give the same answers."""

    def __init__(self, clock: Callable[[], datetime], seed: int = 0, notes: Notes | None = None) -> None:
        self.notes = Notes() if notes is None else notes
        self._clock = clock
        self._seed = seed

    def greeting(self, again: bool = False) -> Answer:
        """What is said without having been asked."""
        return self._keep(self._answer(AGAIN if again else GREETING))

    def answer(self, text: str, tools: Sequence[Mapping[str, Any]] = ()) -> Answer:
        """The answer to any text whatever. `tools` are function declarations, as they came in the setup."""
        return self._keep(self.guess(text, tools))

    def guess(self, text: str, tools: Sequence[Mapping[str, Any]] = ()) -> Answer:
        """What `answer` would be."""
        return self._answer((f"I heard: {text[:100]}.",))

    def told(self, call: Wanted, response: Mapping[str, Any]) -> Answer:
        """The answer to what the function answered to a call of `Answer.call`."""
        return self._keep(self._answer((f"{call.name} says: {response!s:.100}.",)))

    def _answer(self, sentences: tuple[str, ...]) -> Answer:
        return Answer(sentences, notes=replace(self.notes, said=sentences, count=self.notes.count + 1))

    def _keep(self, answer: Answer) -> Answer:
        self.notes = answer.notes
        return answer
