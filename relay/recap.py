"""What a client that comes into a running conversation is told of it, in messages of a bounded size. Pure: no clock.

``server-message {"event": "history", "turns": […], "more", "dropped"}``: the turns in order, the newest last; `more`
while another such message follows; `dropped` in the first is how many earlier turns are not told. A turn is what
`Turn.told` says. One that is too long for a message comes in pieces, all but the first with ``"continues": true``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from relay import rtvi
from relay.said import MAX_MESSAGE
from relay.transcript import How, Role, Transcript, Turn

# Of all messages together: two hours of talk. It waits before a data channel of which 256 KiB may wait.
MAX_RECAP: Final = 128 * 1024  # bytes
ENVELOPE: Final = 256  # bytes of a message without its turns, and then some
ROOM: Final = MAX_MESSAGE - ENVELOPE
# Characters of a piece of a turn. JSON says one in six bytes at most.
PIECE: Final = (ROOM - ENVELOPE) // 6

Told = Mapping[str, Any]


def recap(transcript: Transcript, saying: str = "") -> list[rtvi.Message]:
    """All there is, or the newest that fits. The sentence that the model is `saying` is told by others."""
    told = [list(_pieces(turn)) for turn in _without(transcript.turns, saying)]
    kept: list[Told] = []
    left = MAX_RECAP
    for number, pieces in enumerate(reversed(told)):
        left -= sum(map(_size, pieces))
        if left < 0:
            dropped = transcript.dropped + len(told) - number
            break
        kept[:0] = pieces
    else:
        dropped = transcript.dropped
    return _messages(kept, dropped)


def _messages(kept: list[Told], dropped: int) -> list[rtvi.Message]:
    packs: list[list[Told]] = [[]]
    room = ROOM
    for piece in kept:
        room -= _size(piece)
        if room < 0:
            packs.append([])
            room = ROOM - _size(piece)
        packs[-1].append(piece)
    return [
        rtvi.relay_event("history", turns=pack, more=number < len(packs), dropped=dropped if number == 1 else 0)
        for number, pack in enumerate(packs, 1)
    ]


def _size(piece: Told) -> int:
    """Bytes of it in a message, with a comma."""
    return len(rtvi.encode(dict(piece)).encode()) + 1


def _pieces(turn: Turn) -> Iterator[Told]:
    told = rtvi.without_nulls(turn.told())
    if (
        turn.tool is not None and _size(told) > ROOM
    ):  # what a function was given and gave is for nobody's eyes at length
        told = {name: value for name, value in told.items() if name not in ("arguments", "result")}
    if _size(told) <= ROOM:
        yield told
        return
    for at in range(0, len(turn.text), PIECE):
        yield told | {"text": turn.text[at : at + PIECE]} | ({"continues": True} if at else {})


def _without(turns: tuple[Turn, ...], saying: str) -> list[Turn]:
    """Less what has been heard of the sentence that is being said."""
    at = max((at for at, turn in enumerate(turns) if turn.role is Role.MODEL and turn.how is not How.TYPED), default=-1)
    overlap = _overlap(turns[at].text, saying) if at >= 0 else ""
    if not overlap:
        return list(turns)
    text = turns[at].text.removesuffix(overlap).rstrip()
    return [*turns[:at], *([replace(turns[at], text=text)] if text else []), *turns[at + 1 :]]


def _overlap(heard: str, saying: str) -> str:
    """With how much of the sentence's beginning the text ends."""
    ends = range(min(len(heard), len(saying)), 0, -1)
    return next((saying[:end] for end in ends if heard.endswith(saying[:end])), "")
