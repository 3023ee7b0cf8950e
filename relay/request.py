"""What an app asks of the call it begins: data of its own, and settings where the owner lets it choose. Pure.

`/start` carries the data as `body`, an offer as `requestData` or `request_data`; the agent file may read both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from relay.errors import BrowserFault
from relay.transcript import Turn
from relay.values import ALLOWABLE

# What decides cost or behaviour is the owner's to choose; a caller who asks for it is told so.
OWNERS: Final = frozenset(
    {
        *("model", "geminimodel", "voice", "voicename", "language", "languagecode", "greeting", "tools", "agent"),
        *("instructions", "systeminstruction", "systeminstructions", "systemprompt", "apikey", "geminiurl"),
        *("apiversion", "generationconfig", "speechconfig", "config"),
    }
)


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What `/start` and the first offer brought for the call: JSON objects as they came, empty where there was none.

    `prior` is what was said before it.
    """

    body: Mapping[str, Any] = field(default_factory=dict)
    request_data: Mapping[str, Any] = field(default_factory=dict)
    prior: tuple[Turn, ...] = field(default=(), repr=False)

    def settings(self, allowed: Collection[str]) -> dict[str, str]:
        """The settings that it chooses, by their names in `values.ALLOWABLE`; the offer's word is the later one.

        Raises what `settings` raises.
        """
        return settings(self.body, allowed) | settings(self.request_data, allowed)


def settings(data: Mapping[str, Any], allowed: Collection[str]) -> dict[str, str]:
    """What `data` chooses of the `allowed` settings; null is no choice, and other names are the app's own affair.

    Raises `BrowserFault`: ``setting-refused`` for a setting that is the owner's, ``bad-request`` for a malformed one.
    """
    chosen = {}
    for name, value in data.items():
        plain = name.lower().replace("_", "").replace("-", "")
        if name in ALLOWABLE and name in allowed:
            if value is not None:
                chosen[name] = _checked(name, value)
        elif plain in OWNERS:
            raise BrowserFault("setting-refused", hint=f"The relay's owner chooses {plain}.")
    return chosen


def _checked(name: str, value: Any) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError("must be a text")
        return ALLOWABLE[name](value)
    except ValueError as error:
        raise BrowserFault("bad-request", name, hint=f"The field {name} {error}.") from None
