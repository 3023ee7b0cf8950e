"""Settings from flags, environment and `.env`: one table, every field with its unit; a secret never prints.

A flag wins over `RELAY_<FLAG>`, which wins over the default; an empty variable counts as absent. The API key
comes from the environment alone, because a command line can be read by everybody on the machine.
"""

import argparse
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from relay import values
from relay.audio.opus import BITRATE, COMPLEXITY
from relay.cost import Budget, Prices
from relay.values import Network as Network
from relay.values import Secret as Secret

KEY_VARIABLES: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")  # the first that is set wins
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})
# A little more than the 100 two-way calls that one core keeps up with; a slower one is found out by its lateness.
MAX_CALLS: Final = 128
MOST_CALLS: Final = 10_000  # each holds sockets: beyond this the machine's own limits come first
GEMINI_URL: Final = "wss://generativelanguage.googleapis.com"
ModelKind = Literal["gemini", "local"]
Transcription = Literal["live", "flash"]  # by the Live model alone, or each turn again by another
LocalVoice = Literal["auto", "off"]  # words where there are the packages and the weights for them
BargeIn = Literal["model", "local"]  # whose ear it is that stops the voice


class ConfigError(Exception):
    """A setting is missing or malformed; the text is the one sentence the owner reads. Holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the owner chose. `model` is never "auto" here: `load` has decided."""

    host: str = "127.0.0.1"  # name or address to bind
    port: int = 7860  # TCP port; 0 takes a free one
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
    ice_servers: tuple[values.IceServer, ...] = ()  # told to clients, not used by us
    allow_body: tuple[str, ...] = ()  # settings that an app may choose, of `values.ALLOWABLE`
    allow_origins: tuple[str, ...] = ()
    access_token: Secret | None = field(default=None)
    public_url: str = ""  # origin form, no trailing slash
    trusted_proxies: tuple[Network, ...] = ()
    max_calls: int = MAX_CALLS  # promised and live together
    keep: int = 60  # seconds that a call waits for a browser which is lost
    idle: int = 300  # seconds a call may be quiet; 0: for ever
    max_call: int = 3600  # seconds a call may last; 0: for ever
    prices: Prices | None = None
    budget_call: Budget | None = None
    budget_day: Budget | None = None
    transcription: Transcription = "live"
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
    Flag("host", "host", "ADDRESS", "name or IP address to listen on", values.host, "127.0.0.1"),
    Flag("port", "port", "PORT", "TCP port to listen on; 0 takes a free one", values.port, "7860"),
    Flag("model", "model", "KIND", "who speaks: auto, gemini or local (auto: gemini if there is a key or a "
         "--gemini-url, else the voice that ships with the relay)",
         values.choice("auto", "gemini", "local"), "auto"),
    Flag("local-voice", "local_voice", "KIND", "auto: that voice understands and answers, if its packages are there; "
         "off: it says your own words back to you", values.choice("auto", "off"), "auto"),
    Flag("local-weights", "local_weights", "DIR", "where the models of that voice are, instead of those that make run "
         "fetches", values.folder, "in the environment's share/gemini-webrtc-relay"),
    Flag("gemini-url", "gemini_url", "URL", "ws, wss, http or https base that speaks the Live protocol",
         values.gemini_url, GEMINI_URL),
    Flag("gemini-model", "gemini_model", "NAME", "the Live model's name", values.pattern(values.NAME, "a model's name"),
         "gemini-3.8-live"),
    Flag("gemini-api-version", "gemini_api_version", "VERSION", "version in the Live API's path",
         values.pattern(re.compile(r"v\d[a-z0-9]{0,15}"), "a version such as v1beta"), "v1beta"),
    Flag("voice", "voice", "NAME", "the model's voice", values.pattern(values.NAME, "a voice's name"),
         "the agent's own, else Puck"),
    Flag("language", "language", "TAG", "language of the answers as a BCP 47 tag such as de-DE",
         values.pattern(values.LANGUAGE, "a language tag such as de-DE"), "the model decides"),
    Flag("instructions", "instructions", "TEXT",
         f"what the model is told to be, up to {values.MAX_TEXT_CHARS} characters",
         values.text(values.MAX_TEXT_CHARS), "the agent's own"),
    Flag("greeting", "greeting", "TEXT", f"how the model opens, up to {values.MAX_GREETING_CHARS} characters; an empty "
         "--greeting lets the caller speak first", values.text(values.MAX_GREETING_CHARS), "the agent's own"),
    Flag("agent", "agent", "FILE", "Python file that defines an Agent", values.agent_file, "the friendly one"),
    Flag("allow-body", "allow_body", "NAMES", f"which of {', '.join(values.ALLOWABLE)} an app may choose for its call, "
         "separated by commas; instructions let it make anything of the model, at your cost",
         values.choices(*values.ALLOWABLE), "none"),
    Flag("ice-address", "ice_addresses", "ADDRESS", "local IP address to bind for media and to put into answers",
         values.ice_address, "all but loopback; loopback too when --host is", repeatable=True),
    Flag("ice-servers", "ice_servers", "SERVERS", "STUN and TURN servers that /start tells the app to use: URLs "
         "separated by commas, or JSON with username and credential; better set as RELAY_ICE_SERVERS",
         values.ice_servers, "none, and none of anybody else's"),
    Flag("allow-origin", "allow_origins", "ORIGIN", "another site whose pages may call, such as "
         "https://app.example.org", values.origin, "none", repeatable=True),
    Flag("access-token", "access_token", "TOKEN",
         f"what callers must show, {values.MIN_TOKEN_CHARS} to {values.MAX_TOKEN_CHARS} characters; "
         "needed beyond loopback; better set as RELAY_ACCESS_TOKEN", values.token, "none"),
    Flag("public-url", "public_url", "URL", "address of the relay behind a proxy, such as "
         "https://talk.example.org", values.origin, "none"),
    Flag("trusted-proxy", "trusted_proxies", "CIDR", "network of proxies whose X-Forwarded-For or Forwarded is "
         "believed", values.network, "none", repeatable=True),
    Flag("max-calls", "max_calls", "N", "calls at once, promised ones included; fewer are taken in when sound would be "
         "late for all", values.whole(1, MOST_CALLS), str(MAX_CALLS)),
    Flag("metrics-port", "metrics_port", "PORT", "TCP port for Prometheus to read GET /metrics from; 0 takes a free "
         "one", values.port, "no metrics"),
    Flag("keep", "keep", "SECONDS", "how long a call and its connection to the model wait for a browser that is lost "
         "or reloads its page", values.whole(0, 600), "60"),
    Flag("idle", "idle", "SECONDS", "how long nobody may speak before a call ends, warned when a fifth of it is left; "
         "0 for ever", values.whole(0, 86_400), "300"),
    Flag("max-call", "max_call", "SECONDS", "how long a call may last, warned two minutes before; 0 for ever",
         values.whole(0, 604_800), "3600"),
    Flag("prices", "prices", "FILE", "what the model takes for a million tokens of each kind, TOML or JSON; see the "
         "README", values.prices, "none: no money is reckoned"),
    Flag("budget-call", "budget_call", "AMOUNT", "what one call may cost, in the money of --prices, or such as "
         "200000tokens", values.budget, "any"),
    Flag("budget-day", "budget_day", "AMOUNT", "the same for all calls of a day; nobody is taken in when it is spent",
         values.budget, "any"),
    Flag("transcription", "transcription", "KIND", "live: the Live model's own words alone; flash: each turn's sound "
         "goes to another model, too, whose words replace those", values.choice("live", "flash"), "live"),
    Flag("transcription-model", "transcription_model", "NAME", "that other model",
         values.pattern(values.NAME, "a model's name"), "gemini-3.8-flash"),
    Flag("barge-in", "barge_in", "WHOSE", "whose ear stops the voice when the user speaks: the model's, or at once the "
         "relay's own (local)", values.choice("model", "local"), "model"),
    Flag("metrics-host", "metrics_host", "ADDRESS", "name or IP address that the metrics are read at", values.host,
         "127.0.0.1"),
    Flag("opus-bitrate", "opus_bitrate", "BIT/S", f"of the voice to the browser, {values.MIN_BITRATE} to "
         f"{values.MAX_BITRATE}", values.whole(values.MIN_BITRATE, values.MAX_BITRATE), str(BITRATE)),
    Flag("opus-complexity", "opus_complexity", "N", "libopus's effort at that voice, 0 to 10; more bits are "
         "cheaper than more effort", values.whole(0, 10), str(COMPLEXITY)),
    Flag("state-dir", "state_dir", "DIR", "where the relay may keep files; none so far", values.directory,
         "$XDG_STATE_HOME/gemini-relay or ~/.local/state/gemini-relay"),
    Flag("log-level", "log_level", "LEVEL", "debug, info, warning or error",
         values.choice("debug", "info", "warning", "error"), "info"),
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
    chosen: dict[str, Any] = {}
    for flag in FLAGS:
        found = _value(flag, given[flag.name.replace("-", "_")], environ)
        if found is not None:
            chosen[flag.field] = found
    chosen["api_key"] = _key(environ)
    chosen.setdefault("state_dir", _state_dir(environ))
    chosen["model"] = _decide(chosen)
    config = Config(**chosen)
    if not config.loopback and config.access_token is None:
        raise ConfigError(
            f"Listening on {config.host} lets others spend your key: set --access-token too, "
            "or leave --host at 127.0.0.1."
        )
    _check_money(config)
    return config


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
