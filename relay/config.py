"""Settings from flags, environment and `.env`: one table, every field with its unit; a secret never prints.

A flag wins over `RELAY_<FLAG>`, which wins over the default; an empty variable counts as absent. The API key
comes from the environment alone, because a command line can be read by everybody on the machine.
"""

import argparse
import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn
from urllib.parse import urlsplit

KEY_VARIABLES: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")  # the first that is set wins
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})
GEMINI_URL: Final = "wss://generativelanguage.googleapis.com"
MAX_TEXT_CHARS: Final = 32_768  # instructions; the Live API's whole context is larger
MAX_GREETING_CHARS: Final = 1_000
MIN_TOKEN_CHARS: Final = 16  # 96 bits as URL-safe base64
MAX_TOKEN_CHARS: Final = 256

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]+")  # what RFC 6750 and a URL's fragment both carry as it is
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

ModelKind = Literal["gemini", "local"]


class ConfigError(Exception):
    """A setting is missing or malformed; the text is the one sentence the owner reads. Holds no secret."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the owner chose. `model` is never "auto" here: `load` has decided."""

    host: str = "127.0.0.1"  # name or address to bind
    port: int = 7860  # TCP port; 0 takes a free one
    model: ModelKind = "local"
    gemini_url: str = GEMINI_URL  # ws or wss base, no trailing slash
    gemini_model: str = "gemini-3.8-live"
    gemini_api_version: str = "v1beta"
    voice: str = ""  # empty: the agent's own, which is Puck unless it says otherwise
    language: str = ""  # BCP 47; empty: the model decides
    instructions: str = ""  # empty: the agent's own
    greeting: str | None = None  # None: the agent's own; empty: the caller speaks first
    agent: Path | None = None
    ice_addresses: tuple[str, ...] = ()  # empty: every local address, see `--ice-address`
    allow_origins: tuple[str, ...] = ()
    access_token: Secret | None = field(default=None)
    public_url: str = ""  # origin form, no trailing slash
    trusted_proxies: tuple[Network, ...] = ()
    state_dir: Path = Path()
    log_level: str = "info"
    api_key: Secret | None = field(default=None)

    @property
    def loopback(self) -> bool:
        """Is the server reachable from this machine only?"""
        return is_loopback(self.host)

    @property
    def speaker(self) -> str:
        """Who speaks, in a word for `/healthz` and the page: gemini, local, or url for somebody else's server."""
        return "url" if self.model == "gemini" and self.gemini_url != GEMINI_URL else self.model

    @property
    def on_loopback(self) -> bool:
        """Does the server listen on loopback, alone or among others?"""
        return self.loopback or self.host in WILDCARDS


def is_loopback(host: str) -> bool:
    """True for localhost and loopback literals; a name that only resolves to one does not count."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- what each value must look like: text -> value, or ValueError with the end of a sentence ---------------


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError("must be a port number from 0 to 65535")
    return int(text)


def _host(text: str) -> str:
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
        host, port = parts.hostname or "", parts.port
        host = f"[{_host(host)}]" if ":" in host else _host(host)
    except ValueError:
        raise ValueError(f"must be a URL ({kinds}) with a host") from None
    scheme = parts.scheme
    if scheme not in schemes or parts.username is not None or "?" in text or "#" in text:
        raise ValueError(f"must be a URL ({kinds}) without user name, query and fragment")
    tail = parts.path.rstrip("/")
    if (tail and not path) or not re.fullmatch(r"[A-Za-z0-9/._~%-]*", tail):
        raise ValueError("must be a URL without a path" if not path else "must be a URL with a plain path")
    if port == {"http": 80, "ws": 80, "https": 443, "wss": 443}[scheme]:
        port = None
    return f"{schemes[scheme]}://{host}{f':{port}' if port is not None else ''}{tail}"


def _gemini_url(text: str) -> str:
    return _base(text, {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}, path=True)


def origin(text: str) -> str:
    """An origin as a browser writes it: scheme, host in lower case, port unless it is the scheme's own."""
    return _base(text, {"http": "http", "https": "https"}, path=False)


def _token(text: str) -> Secret:
    if not (MIN_TOKEN_CHARS <= len(text) <= MAX_TOKEN_CHARS and _TOKEN.fullmatch(text)):
        raise ValueError(f"must be {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} letters, digits and . _ ~ -")
    return Secret(text)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8, with no host bits set") from None


def _ice_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError("must be an IP address of this machine") from None
    if address.is_unspecified or address.is_multicast:
        raise ValueError("must be one address of this machine, not a wildcard or multicast address")
    return str(address)


def _text(limit: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > limit or "\x00" in text:
            raise ValueError(f"must be at most {limit} characters without NUL")
        return text

    return check


def _pattern(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {what}")
        return text

    return check


def _choice(*choices: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return check


def _agent_file(text: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix != ".py" or not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("must be a readable Python file (.py)")
    return path


def _directory(text: str) -> Path:
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("must be a directory")
    return path


# --- the table --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting: `--name`, `RELAY_NAME`, the field of `Config` it fills."""

    name: str
    field: str
    value: str  # what stands for the value in --help
    help: str
    parse: Callable[[str], Any]
    shown: str  # the default in --help
    repeatable: bool = False

    @property
    def variable(self) -> str:
        return "RELAY_" + self.name.upper().replace("-", "_")


FLAGS: Final = (
    Flag("host", "host", "ADDRESS", "name or IP address to listen on", _host, "127.0.0.1"),
    Flag("port", "port", "PORT", "TCP port to listen on; 0 takes a free one", _port, "7860"),
    Flag("model", "model", "KIND", "who speaks: auto, gemini or local (auto: gemini if there is a key or a "
         "--gemini-url, else the stand-in that ships with the relay)", _choice("auto", "gemini", "local"), "auto"),
    Flag("gemini-url", "gemini_url", "URL", "ws, wss, http or https base that speaks the Live protocol",
         _gemini_url, GEMINI_URL),
    Flag("gemini-model", "gemini_model", "NAME", "the Live model's name", _pattern(_NAME, "a model's name"),
         "gemini-3.8-live"),
    Flag("gemini-api-version", "gemini_api_version", "VERSION", "version in the Live API's path",
         _pattern(re.compile(r"v\d[a-z0-9]{0,15}"), "a version such as v1beta"), "v1beta"),
    Flag("voice", "voice", "NAME", "the model's voice", _pattern(_NAME, "a voice's name"),
         "the agent's own, else Puck"),
    Flag("language", "language", "TAG", "language of the answers as a BCP 47 tag such as de-DE",
         _pattern(_LANGUAGE, "a language tag such as de-DE"), "the model decides"),
    Flag("instructions", "instructions", "TEXT", f"what the model is told to be, up to {MAX_TEXT_CHARS} characters",
         _text(MAX_TEXT_CHARS), "the agent's own"),
    Flag("greeting", "greeting", "TEXT", f"how the model opens, up to {MAX_GREETING_CHARS} characters; an empty "
         "--greeting lets the caller speak first", _text(MAX_GREETING_CHARS), "the agent's own"),
    Flag("agent", "agent", "FILE", "Python file that defines an Agent", _agent_file, "the friendly one"),
    Flag("ice-address", "ice_addresses", "ADDRESS", "local IP address to bind for media and to put into answers",
         _ice_address, "all but loopback; loopback too when --host is", repeatable=True),
    Flag("allow-origin", "allow_origins", "ORIGIN", "another site whose pages may call, such as "
         "https://app.example.org", origin, "none", repeatable=True),
    Flag("access-token", "access_token", "TOKEN", f"what callers must show, {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} "
         "characters; needed beyond loopback; better set as RELAY_ACCESS_TOKEN", _token, "none"),
    Flag("public-url", "public_url", "URL", "address of the relay behind a proxy, such as "
         "https://talk.example.org", origin, "none"),
    Flag("trusted-proxy", "trusted_proxies", "CIDR", "network of proxies whose X-Forwarded-For or Forwarded is "
         "believed", _network, "none", repeatable=True),
    Flag("state-dir", "state_dir", "DIR", "where the relay keeps files", _directory,
         "$XDG_STATE_HOME/gemini-relay or ~/.local/state/gemini-relay"),
    Flag("log-level", "log_level", "LEVEL", "debug, info, warning or error",
         _choice("debug", "info", "warning", "error"), "info"),
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse's words hold what was typed, which may be a secret in the wrong place: only a flag's name is told
        name = re.match(r"argument (--[a-z-]+): expected one argument", message)
        raise ConfigError(f"{name.group(1)} needs a value." if name else "The command line is wrong; see --help.")


def parser() -> argparse.ArgumentParser:
    """The command line; values stay text until `load` checks them, so that environment and flags meet one check."""
    made = _Parser(
        prog="gemini-relay",
        allow_abbrev=False,
        description="Puts a browser on the phone with Gemini Live over WebRTC.",
        epilog="The key comes from GEMINI_API_KEY or GOOGLE_API_KEY, never from a flag. A .env file in the working "
        "directory is read. Lists in variables are separated by commas.",
    )
    for flag in FLAGS:
        made.add_argument(
            f"--{flag.name}",
            metavar=flag.value,
            action="append" if flag.repeatable else "store",
            help=f"{flag.help}{'; repeatable' if flag.repeatable else ''} "
            f"[{flag.variable}; default: {flag.shown}]".replace("%", "%%"),
        )
    return made


def load(arguments: Sequence[str], environ: Mapping[str, str]) -> Config:
    """Flags over environment over defaults. Raises `ConfigError` with a sentence; `--help` exits by itself."""
    namespace, unknown = parser().parse_known_args(arguments)
    if unknown:
        name = re.match(r"--?[A-Za-z-]+", unknown[0])
        raise ConfigError(
            f"There is no flag {name.group()}; see --help." if name else "A value has no flag; see --help."
        )
    given = vars(namespace)
    values: dict[str, Any] = {}
    for flag in FLAGS:
        found = _value(flag, given[flag.name.replace("-", "_")], environ)
        if found is not None:
            values[flag.field] = found
    values["api_key"] = _key(environ)
    values.setdefault("state_dir", _state_dir(environ))
    values["model"] = _decide(values)
    config = Config(**values)
    if not config.loopback and config.access_token is None:
        raise ConfigError(
            f"Listening on {config.host} lets others spend your key: set --access-token too, "
            "or leave --host at 127.0.0.1."
        )
    return config


def _value(flag: Flag, given: str | list[str] | None, environ: Mapping[str, str]) -> Any:
    if given is not None:
        where, texts = f"--{flag.name}", given if isinstance(given, list) else [given]
    else:
        text = environ.get(flag.variable, "").strip()
        if not text:
            return None
        where, texts = flag.variable, [part.strip() for part in text.split(",")] if flag.repeatable else [text]
    try:
        parsed = [flag.parse(text) for text in texts]
    except (ValueError, OSError, RuntimeError) as exc:
        raise ConfigError(f"{where} {exc if isinstance(exc, ValueError) else 'cannot be read'}.") from None
    return tuple(parsed) if flag.repeatable else parsed[0]


def _key(environ: Mapping[str, str]) -> Secret | None:
    for name in KEY_VARIABLES:
        text = environ.get(name, "").strip()
        if text:
            if not re.fullmatch(r"[!-~]{8,512}", text):
                raise ConfigError(f"{name} does not look like a key: it must be 8 to 512 printable characters.")
            return Secret(text)
    return None


def _decide(values: Mapping[str, Any]) -> ModelKind:
    wanted, reachable = values.get("model", "auto"), bool(values["api_key"] or "gemini_url" in values)
    if wanted == "gemini" and not reachable:
        raise ConfigError("--model gemini needs a key: set GEMINI_API_KEY, or name another server with --gemini-url.")
    return "gemini" if wanted == "gemini" or (wanted == "auto" and reachable) else "local"


def _state_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME", "")
    # the XDG specification says that a relative path is invalid and ignored
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "gemini-relay"
