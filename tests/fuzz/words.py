"""The target of the local voice's wits: lines that anybody may say, type or mishear, and what functions may answer."""

import json
from datetime import datetime
from typing import Any, Final

from relay.standin import aloud
from relay.standin.wits.answer import MAX_NAME, Wanted
from relay.standin.wits.own import is_own
from relay.standin.wits.wits import Wits

MOST_SAID: Final = 700  # letters of one answer
MAX_LINES: Final = 8
NOON: Final = datetime(2026, 11, 22, 12)


def answered(data: bytes) -> None:
    """Lines of a conversation; the first may be the declarations of functions in JSON."""
    first, *lines = data.decode(errors="replace").split("\n")[: MAX_LINES + 1]
    tools = _tools(first)
    one, other = Wits(lambda: NOON), Wits(lambda: NOON)
    for line in lines or [first]:
        answer = one.answer(line, tools)
        assert answer == other.answer(line, tools)
        assert len(answer.text) <= MOST_SAID
        assert len(answer.notes.name) <= MAX_NAME
        if answer.call is not None:
            json.dumps(answer.call.args)
        told = one.told(Wanted("f"), {"output": tools or line})
        assert len(told.text) <= MOST_SAID
        assert other.told(Wanted("f"), {"output": tools or line}) == told
        is_own(line, answer.text)
        assert all(0 < len(sentence) <= aloud.MAX_SENTENCE for sentence in aloud.sentences(line))


def _tools(text: str) -> list[dict[str, Any]]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [tool for tool in read if isinstance(tool, dict)] if isinstance(read, list) else []
