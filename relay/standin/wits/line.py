"""A line of speech or writing → plain words, and the way back to how they were written. Pure.

Ears write one thing in many ways: "17 times 6", "17 x 6", "205-56", "What's", "um". Rules see one of them.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = 600  # letters looked at; what is longer is no question that can be answered here

_TOKEN: Final = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:[.:]\d+)*)(?:st|nd|rd|th)?(?![^\W\d_]{2})"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*)|(?P<odd>\d+)|(?P<sign>[+*/×÷=%²³^−–-])"
)
_SIGNS: Final = {"+": "plus", "*": "times", "×": "times", "/": "over", "÷": "over", "−": "minus", "–": "minus"} | {
    "-": "minus", "%": "percent", "²": "squared", "³": "cubed", "^": "power", "=": "is"
}  # fmt: skip
_SHORT: Final = {
    "cannot": "can not", "can't": "can not", "won't": "will not", "let's": "let us", "gonna": "going to",
    "wanna": "want to", "gimme": "give me", "ok": "okay", "o'clock": "oclock", "goodbye": "goodbye", "bye-bye": "bye",
}  # fmt: skip
_TAILS: Final = {"'s": "is", "'re": "are", "'m": "am", "'ll": "will", "'d": "would", "'ve": "have"}
_OF_SOMEBODY: Final = frozenset(
    {"what", "who", "where", "when", "how", "it", "that", "there", "he", "she", "here", "name"}
)
_HUMS: Final = frozenset({"um", "uh", "umm", "uhm", "er", "erm", "hmm", "hm", "mm", "ah", "eh"})
_OPENING: Final = re.compile(
    r"(?:well|so|okay|oh|hey|hi|hello|and|but|now|then|alright|all right|right|listen|please|actually|yes|yeah|no"
    r"|good (?:morning|evening|afternoon)|i was (?:just )?wondering|i wonder|(?:can|could|would|will) you|tell me"
    r"|do you know|i (?:want|would like|need) (?:to know|you to)|may i ask|can i ask(?: you)?|just|kindly|if)\b ?"
)
_CLOSING: Final = re.compile(r" (?:please|thanks|thank you|for me|right now|would you|could you|by the way|then)$")


@dataclass(frozen=True, slots=True)
class Line:
    """`words` in lower case without fillers; `text` as it was, tidied."""

    text: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]  # of each word in `text`
    asks: bool  # it ends in a question mark

    @property
    def plain(self) -> str:
        return " ".join(self.words)

    def request(self) -> "Line":
        """Without what is only politeness: "Well, could you please tell me …"."""
        plain, dropped = self.plain, 0
        while (found := _OPENING.match(plain)) and found.end() < len(plain):
            plain, dropped = plain[found.end() :], dropped + found[0].strip().count(" ") + 1
        while found := _CLOSING.search(plain):
            plain = plain[: found.start()]
        end = dropped + plain.count(" ") + 1
        return Line(self.text, self.words[dropped:end], self.spans[dropped:end], self.asks)

    def written(self, start: int, end: int | None = None) -> str:
        """Words `start` to `end` as they were written, with the stops between them."""
        spans = self.spans[start:end]
        return self.text[spans[0][0] : spans[-1][1]] if spans else ""

    def group(self, found: "re.Match[str]", name: str | int) -> str:
        """What a group of a match on `plain` was in writing."""
        group = found[name]
        if not group or not group.strip():
            return ""
        start = found.string.count(" ", 0, found.start(name) + len(group) - len(group.lstrip()))
        return self.written(start, start + group.strip().count(" ") + 1)


def read(text: str) -> Line:
    """Any text as a line; what is beyond `MAX_LINE` letters is not looked at."""
    text = " ".join(unicodedata.normalize("NFKC", text[:MAX_LINE])[:MAX_LINE].replace("’", "'").split())
    words: list[str] = []
    spans: list[tuple[int, int]] = []
    tokens = list(_TOKEN.finditer(text))
    for n, found in enumerate(tokens):
        for word in _plain(tokens, n):
            words.append(word)
            spans.append(found.span())
    return Line(text, tuple(words), tuple(spans), text.rstrip("\"')”").endswith("?"))


def _plain(tokens: "list[re.Match[str]]", n: int) -> list[str]:
    """The words of one token: none for a filler, two for "what's"."""
    found = tokens[n]
    if found["number"] or found["odd"]:
        return [(found["number"] or found["odd"]).replace(",", "")]
    after_number = n > 0 and bool(tokens[n - 1]["number"])
    before_number = n + 1 < len(tokens) and bool(tokens[n + 1]["number"])
    if sign := found["sign"]:
        alone = sign in "%²³" or (sign in "-−" and found.end() < len(found.string))
        wanted = after_number if sign in "%²³" else before_number and (after_number or alone)
        return [_SIGNS[sign]] if wanted else []
    word = found["word"].lower()
    if word == "x" and after_number and before_number:
        return ["times"]
    if word in _HUMS:
        return []
    if word in _SHORT:
        return _SHORT[word].split()
    head, quote, _ = word.partition("'")
    if quote:
        tail = word[len(head) :]
        if head.endswith("n") and tail == "'t":
            return [head.removesuffix("n"), "not"]
        if tail in _TAILS and (tail != "'s" or head in _OF_SOMEBODY):
            return [head, _TAILS[tail]]
        return [word.replace("'", "")]
    return [word]
