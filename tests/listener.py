"""What every stand-in for `Upstream` does alike with what it is told."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from relay.gemini.protocol import Answer, Message


class Listener(ABC):
    """Whoever takes down what a conversation tells the model. `dropped` are the calls that will have no answer."""

    def __init__(self) -> None:
        self.dropped: list[object] = []

    @abstractmethod
    def send(self, message: Message) -> bool: ...

    def begin(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.send(message)

    def answer(self, answer: Answer, connection: int) -> bool:
        return self.send(answer)

    def call_off(self, calls: Iterable[object]) -> None:
        self.dropped += calls
