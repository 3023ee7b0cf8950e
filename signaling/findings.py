"""What a check of the relay's health has found, and how it is told to the owner. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WELL: Final = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at and what it `says`; `do` is the next step, empty when all is well.

    It is `grave` when calls fail as long as nothing is done. `says` may name this machine's addresses, `do` does not.
    """

    what: str
    says: str
    do: str = ""
    grave: bool = False
    url: str = ""  # of the server that was asked, if one was

    @property
    def word(self) -> str:
        """ok, look or bad."""
        return WELL if not self.do else "bad" if self.grave else "look"


def report(findings: Sequence[Finding]) -> str:
    """All of them as lines for a terminal; the last one sums up."""
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding.word:<4}  {finding.what:<{width}}  {finding.says}")
        if finding.do:
            lines.append(f"{'':<4}  {'':<{width}}  → {finding.do}")
    grave = sum(finding.word == "bad" for finding in findings)
    look = sum(finding.word == "look" for finding in findings)
    if grave:
        lines.append(f"{_count(grave, 'thing')} must be put right before calls can work.")
    elif look:
        lines.append(f"Calls can work; {_count(look, 'thing')} may be worth a look.")
    else:
        lines.append("All is well.")
    return "\n".join(lines)


def told(findings: Iterable[Finding]) -> dict[str, str]:
    """For everybody to read: of each thing that it is well, or the next step."""
    said: dict[str, str] = {}
    for finding in findings:
        if finding.do or finding.what not in said:
            said[finding.what] = finding.do or WELL
    return said


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
