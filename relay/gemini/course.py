"""The course of the model's side: which state follows from which, and what the end of a connection means. Pure.

`TABLE` is what `life` moves by, and what `docs/conversation.md` draws.
"""

from enum import Enum
from typing import Final

# Close codes after which the conversation can go on elsewhere (RFC 6455 §7.4.1); 0: we ended the connection ourselves.
PASSING_CODES: Final = frozenset({0, 1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014})
# Faults that another attempt meets again.
LASTING_FAULTS: Final = frozenset({"key-missing", "key-refused", "quota", "model-not-found", "internal"})


class State(Enum):
    """How the model's side stands."""

    CONNECTING = "connecting"
    SETUP = "setup"
    LIVE = "live"
    DRAINING = "draining"  # still live, and to be left at the next pause
    RESUMING = "resuming"  # between two connections
    CLOSED = "closed"


class Cause(Enum):
    """Why the state changes; the values are what the drawing says."""

    UPGRADED = "socket open"
    ACCEPTED = "setup complete"
    GO_AWAY = "goAway"
    AGED = "nine minutes old"
    QUIET = "between turns"
    OVERDUE = "no time left"
    LOST = "connection lost"
    REFUSED = "handle refused"
    DUE = "old socket gone, wait over"
    SPENT = "30 s are over"
    FATAL = "key, quota, model or policy"
    HUNG_UP = "the call ends"


_ENDS: Final = {Cause.FATAL: State.CLOSED, Cause.HUNG_UP: State.CLOSED}
_OPENING: Final = {**_ENDS, Cause.LOST: State.RESUMING, Cause.REFUSED: State.RESUMING, Cause.SPENT: State.CLOSED}
_OPEN: Final = {**_ENDS, Cause.LOST: State.RESUMING, Cause.REFUSED: State.RESUMING, Cause.GO_AWAY: State.DRAINING}

TABLE: Final[dict[State, dict[Cause, State]]] = {
    State.CONNECTING: {Cause.UPGRADED: State.SETUP, **_OPENING},
    State.SETUP: {Cause.ACCEPTED: State.LIVE, **_OPENING},
    State.LIVE: {Cause.AGED: State.DRAINING, **_OPEN},
    State.DRAINING: {Cause.QUIET: State.RESUMING, Cause.OVERDUE: State.RESUMING, **_OPEN},
    State.RESUMING: {Cause.DUE: State.CONNECTING, Cause.SPENT: State.CLOSED, **_ENDS},
    State.CLOSED: {},
}


def verdict(fault: str, code: int, *, live: bool, resumed: bool, refusals: int) -> Cause:
    """What the end of a connection means: `fault` is a code of `FAULTS`, `code` the close code, 0 where there was none.

    `live` says that its setup had been accepted, `resumed` that it stands on a handle, which may be bad. A live one may
    be ended as if its input were wrong when it is not: after the first of such `refusals` in a row another connection
    goes on, after the second one begins afresh, and the third is believed.
    """
    if fault in LASTING_FAULTS:
        return Cause.FATAL
    if fault == "setup-refused":
        return Cause.REFUSED if resumed and not live else Cause.FATAL
    if not live or code in PASSING_CODES or refusals == 1:
        return Cause.LOST
    return Cause.REFUSED if refusals == 2 else Cause.FATAL
