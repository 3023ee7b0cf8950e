"""What each setting must look like: text -> value, or `ValueError` with the end of a sentence about it."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

from relay.cost import Budget, Prices, read_prices

MAX_TEXT_CHARS: Final = 32_768  # instructions; the Live API's whole context is larger
MAX_GREETING_CHARS: Final = 1_000
MIN_TOKEN_CHARS: Final = 16  # 96 bits as URL-safe base64
MAX_TOKEN_CHARS: Final = 256
# bit/s. Below, libopus leaves the mode that costs little; above, nobody hears a difference any more.
MIN_BITRATE, MAX_BITRATE = 24_000, 128_000
MAX_PRICES_BYTES: Final = 64 * 1024

_BUDGET: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)( ?tokens)?")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]+")  # what RFC 6750 and a URL's fragment both carry as it is
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


class Secret:
    """A text that shows itself only to `reveal`: not to print, repr, format, a traceback or pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; the caller owes that it reaches no log, page or message."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError("must be a port number from 0 to 65535")
    return int(text)


def yes(text: str) -> bool:
    """A switch: its flag alone says yes."""
    if text.lower() not in ("yes", "true", "on", "1", "no", "false", "off", "0"):
        raise ValueError("must be yes or no")
    return text.lower() in ("yes", "true", "on", "1")


def whole(low: int, high: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return check


def host(text: str) -> str:
    text = text.removeprefix("[").removesuffix("]").lower()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        # digits and dots alone are a mistyped address, not a name
        if not _HOST.fullmatch(text) or text.replace(".", "").isdigit():
            raise ValueError("must be a host name or an IP address") from None
        return text


def _base(text: str, schemes: Mapping[str, str], *, path: bool) -> str:
    """A URL without user, query and fragment, its scheme mapped by `schemes`, its host in lower case."""
    kinds = ", ".join(schemes)
    try:
        parts = urlsplit(text)
        name, number = host(parts.hostname or ""), parts.port
    except ValueError:
        raise ValueError(f"must be a URL ({kinds}) with a host") from None
    if parts.scheme not in schemes or parts.username is not None or "?" in text or "#" in text:
        raise ValueError(f"must be a URL ({kinds}) without user name, query and fragment")
    tail = parts.path.rstrip("/")
    if (tail and not path) or not re.fullmatch(r"[A-Za-z0-9/._~%-]*", tail):
        raise ValueError("must be a URL without a path" if not path else "must be a URL with a plain path")
    if number == {"http": 80, "ws": 80, "https": 443, "wss": 443}[parts.scheme]:
        number = None
    name = f"[{name}]" if ":" in name else name
    return f"{schemes[parts.scheme]}://{name}{f':{number}' if number is not None else ''}{tail}"


def gemini_url(text: str) -> str:
    return _base(text, {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}, path=True)


def origin(text: str) -> str:
    """An origin as a browser writes it: scheme, host in lower case, port unless it is the scheme's own."""
    return _base(text, {"http": "http", "https": "https"}, path=False)


def token(text: str) -> Secret:
    if not (MIN_TOKEN_CHARS <= len(text) <= MAX_TOKEN_CHARS and _TOKEN.fullmatch(text)):
        raise ValueError(f"must be {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} letters, digits and . _ ~ -")
    return Secret(text)


def network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8, with no host bits set") from None


def text(limit: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > limit or "\x00" in text:
            raise ValueError(f"must be at most {limit} characters without NUL")
        return text

    return check


def pattern(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {what}")
        return text

    return check


def choice(*choices: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return check


def choices(*names: str) -> Callable[[str], tuple[str, ...]]:
    def check(text: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        if not set(chosen) <= set(names):
            raise ValueError(f"must be some of {', '.join(names)}, separated by commas")
        return chosen

    return check


def prices(text: str) -> Prices:
    """The prices in a file, TOML or JSON by its name."""
    path = Path(text).expanduser()
    if path.suffix not in (".toml", ".json") or not path.is_file():
        raise ValueError("must be a file of prices, .toml or .json")
    if path.stat().st_size > MAX_PRICES_BYTES:
        raise ValueError(f"must be a file of at most {MAX_PRICES_BYTES} bytes")
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("must be a text file") from None
    return read_prices(content, toml=path.suffix == ".toml")


def budget(text: str) -> Budget:
    match = _BUDGET.fullmatch(text.strip())
    if match is None or not float(match.group(1)):
        raise ValueError("must be an amount of money such as 2.50, or of tokens such as 200000tokens")
    return Budget(float(match.group(1)), match.group(2) is not None)


ALLOWABLE: Final[Mapping[str, Callable[[str], str]]] = {
    "voice": pattern(NAME, "a voice's name"),
    "language": pattern(LANGUAGE, "a language tag such as de-DE"),
    "instructions": text(MAX_TEXT_CHARS),
}
"""What the owner may leave to the app (`--allow-body`), each with its check."""


def path(text: str) -> Path:
    return Path(text).expanduser()


def agent_file(text: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix != ".py" or not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("must be a readable Python file (.py)")
    return path


def directory(text: str) -> Path:
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("must be a directory")
    return path


def folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ValueError("must be a directory that exists")
    return path
