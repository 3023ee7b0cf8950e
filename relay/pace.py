"""How fast the model speaks: letters of its text ↔ samples of its sound. Pure: no clock.

Nobody says when a word sounds. What is known is where in the sound each piece of text came; between two such places the
letters are spread evenly, and behind the last they are taken to be slow, until more is known.
"""

import math
from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final

from relay.audio.packet import ENCODED_RATE
from relay.sentences import letters

# People speak 10 to 15 letters a second: with the slowest of them nothing is told of before it sounds.
SAMPLES_PER_LETTER: Final = ENCODED_RATE // 10
# Pieces of text whose place is remembered: a piece is a few words, five minutes of them can wait to be heard.
MAX_MARKS: Final = 2000


class Pace:
    """Letters of text ↔ samples of sound."""

    def __init__(self) -> None:
        self.letters = 0  # of all text so far
        self.position = 0  # where the listener is
        self._heard = 0  # letters that are known to have been
        self._marks: deque[tuple[int, int]] = deque(maxlen=MAX_MARKS)  # letters before, where they begin to sound

    def listen(self, position: int) -> None:
        """The listener is at `position`, which never goes back."""
        self.position = max(self.position, position)
        while len(self._marks) > 1 and self._marks[1][1] <= self.position:
            self._marks.popleft()

    def add(self, text: str, position: int) -> int:
        """The next piece of text, which begins to sound at `position` or later; returns the letters before it."""
        if not self._marks or position > self._marks[-1][1]:
            self._marks.append((self.letters, position))
        before = self.letters
        self.letters += letters(text)
        return before

    def end(self, position: int) -> None:
        """All text so far sounds before `position`; what came when all had sounded takes no time."""
        before, latest = self._marks[-1] if self._marks else (0, -1)
        if position > latest or self.letters > before:
            self._marks.append((self.letters, max(position, latest)))

    def known(self, letter: int) -> bool:
        """Whether it is known, and not guessed, where so many letters have been heard."""
        return bool(self._marks) and letter <= self._marks[-1][0]

    def reached(self, letter: int) -> bool:
        """Whether so many letters have been heard; the last there is only where that is known.

        What was told once stays so, though it was a guess.
        """
        if letter > self._heard and self.passed(letter) <= self.position and self.awaited(letter):
            self._heard = letter
        return letter <= self._heard

    def awaited(self, letter: int) -> bool:
        """Whether `reached` may come true without more text or its end."""
        return letter < self.letters or self.known(letter)

    def begun(self, letter: int) -> bool:
        """Whether more than so many letters have been heard."""
        return self.begins(letter) <= self.position

    def reset(self) -> None:
        """Nothing more of all this will be heard."""
        self.letters = self._heard = 0
        self._marks.clear()

    def passed(self, letter: int) -> int:
        """The first position at which so many letters have been heard."""
        return self._place(bisect_left(self._marks, letter, key=_letters) - 1, letter)

    def begins(self, letter: int) -> int:
        """The first position at which more than so many letters have been heard."""
        before = bisect_right(self._marks, letter, key=_letters) - 1
        place = self._place(before, letter)
        return place if before < 0 or self._instant(before) else place + 1

    def _instant(self, before: int) -> bool:
        """Whether what follows that mark takes no time."""
        return before + 1 < len(self._marks) and self._marks[before + 1][1] == self._marks[before][1]

    def _place(self, before: int, letter: int) -> int:
        """Where that letter sounds, by the mark `before` it and the one behind."""
        if before < 0:
            return self._marks[0][1] if self._marks else 0
        begun, at = self._marks[before]
        if before + 1 == len(self._marks):
            return at + (letter - begun) * SAMPLES_PER_LETTER
        end, until = self._marks[before + 1]
        return at + math.ceil((letter - begun) * (until - at) / (end - begun))


def _letters(mark: tuple[int, int]) -> int:
    return mark[0]
