"""Pieces of transcript → sentences, with where in all that is said they begin. Pure: no clock.

The model transcribes itself in pieces of any size that carry their own spaces, so pieces are joined as they come.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Final, NamedTuple

# A longer sentence is cut at a comma or a space: captions are read while they are heard.
MAX_SENTENCE: Final = 300
# The marks that end a sentence, with what closes behind them. A space or line must follow, for "3.5" does not end one;
# scripts without spaces need none.
_END: Final = re.compile(r"""(?:[.!?…؟।]+["'”’»)\]]*(?=\s)|[。！？]+[」』”’）]*|(?<=\S)\n)""")
_CLAUSE: Final = re.compile(r"[,;:،、，；：—–](?=\s|[^\x00-\u2fff])|\s")
# What a full stop follows without ending a sentence: an initial, a small number, a title.
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:\w|\d{1,2}|[A-Za-z]\.[A-Za-z]|Mrs?|Ms|Dr|Prof|Sra?|St|No|Nr|vs|bzw|ca)\.$", re.IGNORECASE
)


# From here on Unicode has ideographs, kana and hangul.
_SYLLABLES: Final = "\u2e80"
# What a listener may have heard without what follows: signs that stand for syllables have no spaces between.
WORD: Final = re.compile("[\u2e80-\U0010ffff]|[^\\s\u2e80-\U0010ffff]+")


class Sentence(NamedTuple):
    """Whole words, and how many letters were said before them."""

    text: str
    at: int


def letters(text: str) -> int:
    """How long it takes to say: one for each character but spaces, three for a sign that stands for a syllable."""
    said = "".join(text.split())
    return len(said) if said.isascii() else len(said) + 2 * sum(sign >= _SYLLABLES for sign in said)


def words(text: str, before: int) -> list[tuple[int, int]]:
    """Where each word ends: in characters, and in letters where so many were said before."""
    ends = []
    for word in WORD.finditer(text):
        before += letters(word[0])
        ends.append((word.end(), before))
    return ends


class Sentences:
    """What the model says, piece by piece, until a sentence is whole."""

    def __init__(self) -> None:
        self._pieces: list[Sentence] = []

    def __bool__(self) -> bool:
        """Something waits for its end."""
        return bool(self._pieces)

    @property
    def rest(self) -> str:
        """What waits."""
        return "".join(piece.text for piece in self._pieces)

    def add(self, text: str, at: int) -> list[Sentence]:
        """The sentences that are whole with this piece, before which `at` letters were said."""
        if not text or not (self._pieces or text.strip()):
            return []
        self._pieces.append(Sentence(text, at))
        whole = self.rest
        cuts = self._cuts(whole)
        return self._take(whole, cuts) if cuts else []

    def flush(self) -> list[Sentence]:
        """What waits, as it is."""
        whole = self.rest
        return self._take(whole, [len(whole)])

    def cut(self, reached: Callable[[int], bool]) -> list[Sentence]:
        """What waits, up to the last word whose letters have been `reached`."""
        whole = "".join(piece.text for piece in self._pieces)
        at = self._pieces[0].at if self._pieces else 0
        end = max((end for end, letter in words(whole, at) if reached(letter)), default=0)
        self._pieces = []
        return [Sentence(text, at)] if (text := whole[:end].strip()) else []

    def _cuts(self, whole: str) -> list[int]:
        """Where sentences end."""
        cuts: list[int] = []
        start = 0
        for end in _END.finditer(whole):
            if end[0].startswith(".") and _ABBREVIATION.search(whole, max(start, end.start() - 8), end.start() + 1):
                continue
            self._cut_long(whole, start, end.end(), cuts)
            start = end.end()
            cuts.append(start)
        self._cut_long(whole, start, len(whole), cuts)
        return cuts

    def _cut_long(self, whole: str, start: int, end: int, cuts: list[int]) -> None:
        while end - start > MAX_SENTENCE:
            window = start + MAX_SENTENCE
            clauses = [mark.end() for mark in _CLAUSE.finditer(whole, start + MAX_SENTENCE // 2, window)]
            start = clauses[-1] if clauses else window
            cuts.append(start)

    def _take(self, whole: str, cuts: list[int]) -> list[Sentence]:
        """Split `whole`, which is all pieces, at `cuts`; what follows the last one waits on."""
        ends = list(accumulate(len(piece.text) for piece in self._pieces))

        def at(index: int) -> int:
            number = bisect_right(ends, index)
            piece = self._pieces[number]
            return piece.at + letters(piece.text[: index - ends[number] + len(piece.text)])

        taken: list[Sentence] = []
        start = 0
        for cut in cuts:
            if text := whole[start:cut].strip():
                taken.append(Sentence(text, at(cut - len(whole[start:cut].lstrip()))))
            start = cut
        kept = bisect_right(ends, start)
        rest = [Sentence(whole[start : ends[kept]], at(start))] if kept < len(ends) else []
        rest += self._pieces[kept + 1 :]
        self._pieces = rest if whole[start:].strip() else []
        return taken
