"""A line of text in, an answer out. Pure.

The caller owes: `answer` for what the user has said, `told` for what a function answered, `greeting` to begin.
`guess` is `answer` without remembering: for what may not be the user's last word.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from relay.standin.wits import functions, line, numbers, skills
from relay.standin.wits.answer import MAX_KEPT, Answer, Notes, Wanted
from relay.standin.wits.skills import Situation

GREETING: Final = ("Hello!", "I am the local voice of this relay.", "Ask me for the time, a sum, or a joke.")
AGAIN: Final = ("I am still here.", "Ask me what I can do.")
DONE: Final = "Done."
MAX_QUOTE: Final = 120  # letters of what was heard that are said back
MAX_SENTENCES: Final = 8  # of one line that are looked at
MAX_ANSWERED: Final = 3  # of them that are answered
MAX_TOLD: Final = 400  # letters of a function's answer
MAX_ITEMS: Final = 10  # of a function's answer that are read out
FOREIGN: Final = frozenset(
    re.findall(
        r"\w+",
        "hola gracias como estas que por favor buenos dias bonjour merci comment allez vous est je suis le la les"
        " der die das und ist nicht wie geht ich bin guten hallo danke ciao grazie sono che il wat een obrigado och",
    )
)
_KNOWN: Final = frozenset(
    re.findall(
        r"\w+",
        "the is are a an what how who i you my me it to of and in do can on for that this was not have time at he she",
    )
)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)\s+")
_ONE_SENTENCE: Final = re.compile(r"\W*(?:please\W+)?(?:repeat|say|echo|spell)\b", re.IGNORECASE)

Tools = Sequence[Mapping[str, Any]]


class Wits:
    """The mind of one conversation. The same seed, clock and lines give the same answers."""

    def __init__(self, clock: Callable[[], datetime], seed: int = 0, notes: Notes | None = None) -> None:
        self.notes = Notes() if notes is None else notes
        self._clock = clock
        self._seed = seed

    def greeting(self, again: bool = False) -> Answer:
        """What is said without having been asked."""
        return self._keep(Answer(AGAIN if again else GREETING, notes=self.notes))

    def answer(self, text: str, tools: Tools = ()) -> Answer:
        """The answer to any text whatever. `tools` are function declarations, as they came in the setup."""
        return self._keep(self.guess(text, tools), text)

    def guess(self, text: str, tools: Tools = ()) -> Answer:
        """What `answer` would be."""
        here = replace(self.notes, asking=None, missing="")
        if not text.strip():
            return Answer(notes=here)
        if call := functions.literal(text, tools):
            return Answer(call=call, notes=here)
        if not any(c.isascii() and c.isalnum() for c in unicodedata.normalize("NFKC", text[: line.MAX_LINE])):
            return Answer(self._not_english(text), notes=here)
        return self._asked(text, tools, here) or self._understood(text, tools, here) or self._puzzled(text, here)

    def told(self, call: Wanted, response: Mapping[str, Any]) -> Answer:
        """The answer to what the function answered to a call of `Answer.call`."""
        if error := response.get("error"):
            return self._keep(
                Answer(("That did not work.", _sentence(_cut(_phrase(error), MAX_TOLD))), notes=self.notes)
            )
        result = response.get("output", response.get("result", response))
        said = _cut(_phrase(result), MAX_TOLD)
        if isinstance(result, str) and said.count(" ") >= 2:
            return self._keep(Answer((_sentence(said),), notes=self.notes))
        return self._keep(Answer((f"The answer is {said}." if said else DONE,), notes=self.notes))

    # --- one line ----------------------------------------------------------------------------------------------

    def _asked(self, text: str, tools: Tools, notes: Notes) -> Answer | None:
        """The answer to an answer: what was missing in a call."""
        if self.notes.asking is None:
            return None
        said = line.read(text)
        known = skills.find(Situation(said, notes, self._clock(), self._seed))
        found = None if known else functions.complete(self.notes.asking, self.notes.missing, said.request(), tools)
        return known or (self._called(found, notes) if found else None)

    def _understood(self, text: str, tools: Tools, notes: Notes) -> Answer | None:
        """What is answered to the sentences of a line that are understood; mere courtesy where nothing else is."""
        parts = (
            [text] if _ONE_SENTENCE.match(text) else _SENTENCE_END.split(text[: line.MAX_LINE].strip())[:MAX_SENTENCES]
        )
        said: list[str] = []
        polite: Answer | None = None
        ends = False
        for part in parts if len(parts) == 1 else [*parts, text]:
            if part is text and len(parts) > 1 and said:
                break  # the whole is tried where no part was understood
            here = Situation(line.read(part), notes, self._clock(), self._seed)
            if not here.line.words:
                continue
            found = functions.find(here.line.request(), tools)
            if found and not found.missing:
                return replace(self._called(found, notes), sentences=tuple(said))
            known = skills.find(here)
            if known is None and found:
                return self._called(found, notes)
            if known and len(said) < MAX_ANSWERED * 3:
                said, notes, ends = [*said, *known.sentences], known.notes, ends or known.ends
            polite = skills.courtesy(here) or polite
        return Answer(tuple(said), ends=ends, notes=notes) if said else polite

    def _called(self, found: functions.Found, notes: Notes) -> Answer:
        if not found.missing:
            return Answer(call=found.call, notes=notes)
        asking = replace(notes, asking=found.call, missing=found.missing)
        return Answer((functions.wanting(found.missing),), notes=asking)

    def _puzzled(self, text: str, notes: Notes) -> Answer:
        """It says what it heard, and what it is; the first time at length."""
        words = {_bare(word) for word in line.read(text).words}
        if len(words & FOREIGN) >= 2 and not words & _KNOWN:
            return Answer(skills.ENGLISH_ONLY, notes=notes)
        heard = f"I heard: {_quote(text)}"
        told = (
            "I have no answer to that.",
            "I am only a local voice with a few rules.",
            "Ask me what I can do.",
        )
        puzzled = replace(notes, puzzled=notes.puzzled + 1)
        return Answer((heard, *(told if notes.puzzled % 4 == 0 else told[:1])), notes=puzzled)

    def _not_english(self, text: str) -> tuple[str, ...]:
        if any(c.isalpha() for c in text[: line.MAX_LINE]):
            return skills.ENGLISH_ONLY
        return ("There are no words in that.",)

    def _keep(self, answer: Answer, heard: str = "") -> Answer:
        kept = answer.notes
        self.notes = replace(
            kept,
            heard=_quote(heard) if heard.strip() else kept.heard,
            said=answer.sentences or kept.said,
            count=kept.count + 1,
        )
        return replace(answer, notes=self.notes)


def _quote(text: str) -> str:
    """What was heard as a sentence, no longer than one likes to hear it."""
    return _sentence(_cut(" ".join(text[: line.MAX_LINE].split()), MAX_QUOTE).rstrip(" ,;:"))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + ", and more"


def _bare(word: str) -> str:
    """`word` without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _phrase(value: Any, depth: int = 0) -> str:
    """What a function answered, in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if isinstance(value, float) and math.isnan(value):
            return "no number"
        return numbers.phrase(Fraction(value)) if abs(value) < numbers.MAX else "a very large number"
    if isinstance(value, str):
        return " ".join(value[:MAX_KEPT].split())
    if depth > 2:
        return "and more"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(key)[:40].replace('_', ' ')} {_phrase(item, depth + 1)}"
            for key, item in list(value.items())[:MAX_ITEMS]
        )
    if isinstance(value, Iterable):
        items = [_phrase(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
        return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
    return ""
