"""Settings from flags, environment and `.env`: one table, every field with its unit; a secret
shows itself to `reveal` alone.

A flag wins over `RELAY_<FLAG>`, which wins over the default; an empty variable counts as absent. The API key
comes from the environment alone, because a command line can be read by everybody on the machine.
"""

import argparse
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from relay import ice
from relay.audio.opus import BITRATE, COMPLEXITY
from relay.cost import Budget, Prices
from relay.flags import FLAGS, GEMINI_URL, MAX_CALLS, Flag
from relay.values import Network, Secret

KEY_VARIABLES: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")  # the first that is set wins
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})
ModelKind = Literal["gemini", "local"]
TranscribedBy = Literal["live", "flash"]  # by the Live model alone, or each turn again by another
LocalVoice = Literal["auto", "off"]  # words where there are the packages and the weights for them
IceRole = Literal["passive", "active"]  # do we wait for the browser's packets, or send first?
BargeIn = Literal["model", "local"]  # whose ear it is that stops the voice


class ConfigError(Exception):
    """A setting is missing or malformed; the text is the one sentence the owner reads. Holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the owner chose. `model` is never "auto" here: `load` has decided."""

    host: str = "127.0.0.1"  # name or address to bind
    port: int = 7860  # TCP port; 0 takes a free one
    lan: bool = False  # HTTPS by a certificate of our own, beyond loopback
    https_port: int = 8443  # TCP port; 0 takes a free one
    tls_cert: Path | None = None
    tls_key: Path | None = None  # None: it is in `tls_cert`
    model: ModelKind = "local"
    local_voice: LocalVoice = "auto"
    local_weights: Path | None = None  # None: where they were fetched to
    gemini_url: str = GEMINI_URL  # ws or wss base, no trailing slash
    gemini_model: str = "gemini-3.8-live"
    gemini_api_version: str = "v1beta"
    voice: str = ""  # empty: the agent's own, which is Puck unless it says otherwise
    language: str = ""  # BCP 47; empty: the model decides
    instructions: str = ""  # empty: the agent's own
    greeting: str | None = None  # None: the agent's own; empty: the caller speaks first
    agent: Path | None = None
    ice_addresses: tuple[str, ...] = ()  # empty: every local address, see `--ice-address`
    udp_port: int | None = None  # of all calls; 0: each has its own; None: the number of `port`
    public_addresses: tuple[str, ...] = ()  # told in answers instead of ours
    ice_servers: tuple[ice.IceServer, ...] = ()  # told to clients; used by us only if `ice_role` is active
    turn: tuple[str, ...] = ()  # URLs
    turn_secret: Secret | None = field(default=None)
    ice_role: IceRole = "passive"
    allow_body: tuple[str, ...] = ()  # settings that an app may choose, of `values.ALLOWABLE`
    allow_origins: tuple[str, ...] = ()
    access_token: Secret | None = field(default=None)
    public_url: str = ""  # origin form, no trailing slash
    trusted_proxies: tuple[Network, ...] = ()
    max_calls: int = MAX_CALLS  # promised and live together
    keep: int = 60  # seconds that a call waits for a browser which is lost
    idle: int = 300  # seconds a call may be quiet; 0: for ever
    max_call: int = 3600  # seconds a call may last; 0: for ever
    drain: int = 30  # seconds that calls may go on once the relay is told to stop
    prices: Prices | None = None
    budget_call: Budget | None = None
    budget_day: Budget | None = None
    transcription: TranscribedBy = "live"
    transcription_model: str = "gemini-3.8-flash"
    barge_in: BargeIn = "model"
    metrics_host: str = "127.0.0.1"  # name or address to bind
    metrics_port: int | None = None  # TCP port; 0 takes a free one; None: no metrics
    opus_bitrate: int = BITRATE  # bit/s, of the voice to the browser
    opus_complexity: int = COMPLEXITY  # 0–10: libopus's effort at it
    state_dir: Path = Path()
    log_level: str = "info"
    api_key: Secret | None = field(default=None)

    @property
    def loopback(self) -> bool:
        """Is the server reachable from this machine only?"""
        return is_loopback(self.host)

    @property
    def https(self) -> bool:
        """Is the page served over HTTPS by the relay itself?"""
        return self.lan or self.tls_cert is not None

    @property
    def speaker(self) -> str:
        """Who speaks, in a word for `/healthz` and the page: gemini, local, or url for somebody else's server."""
        return "url" if self.model == "gemini" and self.gemini_url != GEMINI_URL else self.model

    @property
    def one_udp_port(self) -> bool:
        """Are all calls on one UDP port? A call that sends first needs a socket of its own for each server."""
        return self.udp_port != 0 and self.ice_role == "passive"

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
        epilog="`gemini-relay doctor`, with the same flags, says whether calls would work, and what to do if not. "
        "The key comes from GEMINI_API_KEY or GOOGLE_API_KEY, never from a flag. A .env file in the working "
        "directory is read. Lists in variables are separated by commas.",
    )
    for flag in FLAGS:
        words = f"{flag.help}{'; repeatable' if flag.repeatable else ''} [{flag.variable}; default: {flag.shown}]"
        taken: dict[str, Any] = (
            {"action": "store_const", "const": "yes"}
            if flag.switch
            else {"action": "append" if flag.repeatable else "store", "metavar": flag.value}
        )
        made.add_argument(f"--{flag.name}", help=words.replace("%", "%%"), **taken)
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
    chosen: dict[str, Any] = {}
    for flag in FLAGS:
        found = _value(flag, given[flag.name.replace("-", "_")], environ)
        if found is not None:
            chosen[flag.field] = found
    chosen["api_key"] = _key(environ)
    chosen.setdefault("state_dir", _state_dir(environ))
    chosen["model"] = _decide(chosen)
    if chosen.get("lan"):
        chosen.setdefault("host", "0.0.0.0")
    config = Config(**chosen)
    _check_https(config)
    if not config.loopback and config.access_token is None and not config.lan:  # --lan makes a token
        raise ConfigError(
            f"Listening on {config.host} lets others spend your key: set --access-token too, "
            "or leave --host at 127.0.0.1."
        )
    if config.public_addresses and not config.one_udp_port:
        raise ConfigError("--public-address is for calls on one UDP port: not with --udp-port 0 or --ice active.")
    if bool(config.turn) != (config.turn_secret is not None):
        raise ConfigError("--turn and --turn-secret go together: the server must know the secret, too.")
    _check_money(config)
    return config


def _check_https(config: Config) -> None:
    if config.lan and config.loopback:
        raise ConfigError(f"--lan is for others, whom --host {config.host} keeps out: leave --host out.")
    if config.tls_key is not None and config.tls_cert is None:
        raise ConfigError("--tls-key needs --tls-cert.")
    if config.https and config.port == config.https_port != 0:
        raise ConfigError(f"Port {config.port} cannot be HTTP and HTTPS at once: choose another with --https-port.")


def _check_money(config: Config) -> None:
    """A price that is missing would count as nothing."""
    if config.prices is not None:
        models = [config.gemini_model, *([config.transcription_model] if config.transcription == "flash" else [])]
        for model in models:
            if model not in config.prices.models:
                raise ConfigError(f"--prices names no prices of {model}.")
        return
    for name, budget in (("call", config.budget_call), ("day", config.budget_day)):
        if budget is not None and not budget.tokens:
            raise ConfigError(f"--budget-{name} in money needs --prices; a budget of tokens is such as 200000tokens.")


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


def _decide(chosen: Mapping[str, Any]) -> ModelKind:
    wanted, reachable = chosen.get("model", "auto"), bool(chosen["api_key"] or "gemini_url" in chosen)
    if wanted == "gemini" and not reachable:
        raise ConfigError("--model gemini needs a key: set GEMINI_API_KEY, or name another server with --gemini-url.")
    return "gemini" if wanted == "gemini" or (wanted == "auto" and reachable) else "local"


def _state_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME", "")
    # the XDG specification says that a relative path is invalid and ignored
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "gemini-relay"
