"""Text → sentences that can be said aloud, whatever the text is. Pure.

A voice reads a sentence at once: one of 100 kB would cost minutes and all memory, and a number of a thousand digits
has no name. So sentences are cut to what one breath says, numbers without a name are read digit by digit, and what
has no sound is left out.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

MAX_TEXT: Final = 1000  # letters said of one text, more than a minute; the rest is dropped
MAX_SENTENCE: Final = 160  # letters of one sentence, some 10 s of sound and 0.1 s of work
MAX_WORD: Final = 40  # letters; a longer one is nobody's word and is read in pieces
MAX_DIGITS: Final = 15  # of a number that is read as one; of a longer one the first ten are read, one by one

_END: Final = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=\S)")
_TITLES: Final = frozenset({"Dr.", "Mr.", "Mrs.", "Ms.", "Prof.", "St.", "vs.", "etc.", "e.g.", "i.e."})
_UNSAID: Final = re.compile(r"[^\w\s.,;:!?'’\"%$£€°+*/=&@#()\-–—…×÷]|_")
_LONG_NUMBER: Final = re.compile(rf"\d{{{MAX_DIGITS + 1},}}")
_LONG_WORD: Final = re.compile(rf"\S{{{MAX_WORD + 1},}}")
_STOPS: Final = re.compile(r"([.,;:!?'\"%$£€°+*/=&@#()\-–—…×÷])\1{2,}")


def sentences(text: str) -> Iterator[str]:
    """What of `text` can be said, in sentences of at most `MAX_SENTENCE` letters; nothing when nothing can."""
    for sentence in _split(clean(text)):
        yield from _breaths(sentence)


def clean(text: str) -> str:
    """`text` without what has no sound: other scripts than Latin, pictures, marks; bounded."""
    text = unicodedata.normalize("NFKC", text[:MAX_TEXT])[:MAX_TEXT]
    text = "".join(c if ord(c) < 0x250 or "‐" <= c <= "⁞" or c == "€" else " " for c in text)
    text = _STOPS.sub(r"\1", _UNSAID.sub(" ", text))
    text = _LONG_NUMBER.sub(lambda found: f"{' '.join(found[0][:10])} and so on", text)
    text = _LONG_WORD.sub(lambda found: " ".join(_pieces(found[0], MAX_WORD)), text)
    return " ".join(text.split())


def _split(text: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(text):
        sentence = text[start : end.end()].strip()
        if sentence.rsplit(" ", 1)[-1] not in _TITLES:
            yield sentence
            start = end.end()
    yield text[start:].strip()


def _breaths(sentence: str) -> Iterator[str]:
    """A sentence in pieces that are short enough, cut at its last stop or else between words."""
    while len(sentence) > MAX_SENTENCE:
        head = sentence[:MAX_SENTENCE]
        cut = max(head.rfind(mark) + 1 for mark in (", ", "; ", ": "))
        if cut < MAX_SENTENCE // 3:
            cut = head.rfind(" ")
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if any(c.isalnum() for c in sentence):
        yield sentence


def _pieces(word: str, size: int) -> list[str]:
    return [word[i : i + size] for i in range(0, len(word), size)]
