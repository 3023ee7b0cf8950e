"""Prior turns: what an app hands in when it begins a call, as a conversation that the model is to know. Pure: no clock.

A client that may begin a call may say anything in it, so this opens no door; what it costs is bounded.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from relay.errors import BrowserFault
from relay.transcript import How, Role, Turn, printable

FIELD: Final = "history"  # of `/start`'s body
MAX_PRIOR_TURNS: Final = 200
MAX_PRIOR_CHARACTERS: Final = 32_000  # in all: 8,000 tokens, a quarter of the smallest model's window
ROLES: Final = {"user": Role.USER, "assistant": Role.MODEL, "model": Role.MODEL}


def prior_turns(body: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The turns of ``{"history": [{"role": "user", "text": …}, {"role": "assistant", "text": …}, …]}``; none if absent.

    The two take turns, and either may begin. A `began` in seconds, as transcripts have it, must not go back; other
    members are ignored. Raises `BrowserFault` ``bad-request``, whose hint names the first turn that is too much,
    malformed or out of order, as in ``history[3]``.
    """
    told = body.get(FIELD)
    if told is None:
        return ()
    if not isinstance(told, list):
        raise BrowserFault("bad-request", FIELD, hint=f"The field {FIELD} must be a list of turns.")
    turns: list[Turn] = []
    room, latest = MAX_PRIOR_CHARACTERS, -math.inf
    for index, one in enumerate(told):
        try:
            if index == MAX_PRIOR_TURNS:
                raise ValueError(f"is one too many: at most {MAX_PRIOR_TURNS} turns can be handed in")
            turn, began = _turn(one)
            if turns and turn.role is turns[-1].role:
                raise ValueError("is out of order: user and assistant take turns")
            if began is not None:
                if began < latest:
                    raise ValueError("is out of order: it began before the one that it follows")
                latest = began
            room -= len(turn.text)
            if room < 0:
                raise ValueError(f"is too long: at most {MAX_PRIOR_CHARACTERS} characters can be handed in, in all")
        except ValueError as error:
            hint = f"The turn {FIELD}[{index}] {error}."
            raise BrowserFault("bad-request", f"{FIELD}[{index}]", hint=hint) from None
        turns.append(turn)
    return tuple(turns)


def _turn(one: object) -> tuple[Turn, float | None]:
    """The turn, and when it began, if somebody said so."""
    if not isinstance(one, dict):
        raise ValueError("must be an object with role and text")
    role, text, began = one.get("role"), one.get("text"), one.get("began")
    if not isinstance(role, str) or role not in ROLES:
        raise ValueError("needs a role, user or assistant")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("needs a text that is not empty")
    if began is not None and (isinstance(began, bool) or not isinstance(began, int | float)):
        raise ValueError("has a began that is no number")
    return Turn(ROLES[role], printable(text).strip(), How.PRIOR), began
