"""What an answer is, and what is remembered from one to the next. Pure."""

from dataclasses import dataclass, field
from typing import Any, Final

MAX_NAME: Final = 40  # letters of a name that is remembered
MAX_KEPT: Final = 300  # letters remembered of what either side said last


@dataclass(frozen=True, slots=True)
class Wanted:
    """A function of the agent's that is to be called."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notes:
    """What is remembered of a conversation; it may be kept and given to the `Wits` of the next connection."""

    name: str = ""  # the user's
    heard: str = ""  # what the user said last
    said: tuple[str, ...] = ()  # the last answer
    count: int = 0  # answers given
    jokes: int = 0  # told
    puzzled: int = 0  # times that it did not understand
    asking: Wanted | None = None  # a call that waits for one more value
    missing: str = ""  # which


@dataclass(frozen=True, slots=True)
class Answer:
    """Sentences to say one after the other, and then a function to call; neither means that it keeps silent."""

    sentences: tuple[str, ...] = ()
    call: Wanted | None = None
    ends: bool = False  # the user took leave
    notes: Notes = field(default_factory=Notes)  # as they are when this has been said

    @property
    def text(self) -> str:
        return " ".join(self.sentences)
