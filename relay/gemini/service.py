"""Where the Live service is, how a connection to it stands, and what its refusals and endings mean. Pure."""

from enum import Enum
from typing import Final
from urllib.parse import urlsplit, urlunsplit

MAX_DETAIL: Final = 200  # characters of foreign text that may reach a log line
API_VERSIONS: Final = ("v1beta", "v1")  # the model may be known under one only; see `wrong_version`
DEFAULT_BASE_URL: Final = "wss://generativelanguage.googleapis.com"


def live_url(base_url: str = DEFAULT_BASE_URL, version: str = API_VERSIONS[0]) -> str:
    """The address of the Live service under `base_url` (ws, wss, http or https; a path is kept)."""
    parts = urlsplit(base_url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc or parts.username is not None:
        raise ValueError("the model's address must begin with ws://, wss://, http:// or https:// and a host")
    service = f"/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + service, "", ""))


# -- how a connection stands, and how it ends -----------------------------------------------------------------


class State(Enum):
    """How one connection to the model stands."""

    CONNECTING = "connecting"
    SETUP = "setup"
    LIVE = "live"
    GOING_AWAY = "going-away"  # still serving, until the time the model named
    CLOSED = "closed"


MOVES: Final[dict[State, frozenset[State]]] = {
    State.CONNECTING: frozenset({State.SETUP, State.CLOSED}),
    State.SETUP: frozenset({State.LIVE, State.CONNECTING, State.CLOSED}),  # CONNECTING: the other API version
    State.LIVE: frozenset({State.GOING_AWAY, State.CLOSED}),
    State.GOING_AWAY: frozenset({State.GOING_AWAY, State.CLOSED}),
    State.CLOSED: frozenset(),
}

# What a reason text says, in the order asked; the code alone says little (1008 is key, quota, model and more).
_REASONS: Final = (
    ("key-refused", ("api key", "api_key", "permission", "unauthenticated", "authentication", "credential")),
    ("quota", ("quota", "resource_exhausted", "resource has been exhausted", "rate limit", "billing")),
    ("model-not-found", ("is not found for api version", "publisher model", "model not found")),
    ("setup-refused", ("prohibited", "policies", "use policy", "content policy", "safety")),
)
_REFUSALS: Final = {401: "key-refused", 403: "key-refused", 404: "model-not-found", 429: "quota"}


def close_fault(code: int, reason: str, live: bool) -> str:
    """The code in `relay.errors.FAULTS` for a connection the model closed; `live` once setup was complete."""
    lowered = reason.lower()
    for fault, words in _REASONS:
        if any(word in lowered for word in words):
            return fault
    if live:
        return "model-lost"
    return "setup-refused" if code in (1003, 1007, 1008) else "model-unreachable"


def refusal_fault(status: int, body: str = "") -> str:
    """The code in `relay.errors.FAULTS` for an upgrade that was answered with plain HTTP."""
    if status == 400:
        return "key-refused" if "api key" in body.lower() else "setup-refused"
    return _REFUSALS.get(status, "model-unreachable")


def wrong_version(reason: str) -> bool:
    """Whether a refusal may be cured by asking under the other API version."""
    return "not found for api version" in reason.lower()


def clipped(text: str) -> str:
    """Foreign text as one short printable line, for `RelayError.detail` alone."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_DETAIL])
