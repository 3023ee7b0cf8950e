"""The table of settings: one flag a row, with its variable, its check, its words for `--help`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from relay import ice, values
from relay.audio.opus import BITRATE, COMPLEXITY

# A little more than the 100 two-way calls that one core keeps up with; a slower one is found out by its lateness.
MAX_CALLS: Final = 128
MOST_CALLS: Final = 10_000  # each holds sockets: beyond this the machine's own limits come first
GEMINI_URL: Final = "wss://generativelanguage.googleapis.com"


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting: `--name`, `RELAY_NAME`, the field of `Config` it fills.

    A switch takes no value on the command line; its variable says yes or no, and `values.yes` reads both.
    """

    name: str
    field: str
    value: str  # what stands for the value in --help; empty: a switch
    help: str
    parse: Callable[[str], Any]
    shown: str  # the default in --help
    repeatable: bool = False

    @property
    def switch(self) -> bool:
        return not self.value

    @property
    def variable(self) -> str:
        return "RELAY_" + self.name.upper().replace("-", "_")


FLAGS: Final = (
    Flag("host", "host", "ADDRESS", "name or IP address to listen on", values.host, "127.0.0.1"),
    Flag("port", "port", "PORT", "TCP port to listen on; 0 takes a free one", values.port, "7860"),
    Flag("lan", "lan", "", "serve phones in the same room: over HTTPS on every address, with a certificate of the "
         "relay's own and an access token, both kept in --state-dir, and a QR code", values.yes, "no"),
    Flag("https-port", "https_port", "PORT", "TCP port for HTTPS, to which --port then leads; 0 takes a free one",
         values.port, "8443, with --lan or --tls-cert"),
    Flag("tls-cert", "tls_cert", "FILE", "certificate for HTTPS in PEM, with its chain", values.path,
         "with --lan the relay's own, else no HTTPS"),
    Flag("tls-key", "tls_key", "FILE", "its private key in PEM, without a passphrase", values.path,
         "in the same file"),
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
         ice.address, "all but loopback; loopback too when --host is", repeatable=True),
    Flag("udp-port", "udp_port", "PORT", "UDP port for the sound of all calls; 0: a free one for each call, as with "
         "--ice active", values.port, "the number of --port"),
    Flag("public-address", "public_addresses", "ADDRESS", "address under which a 1:1 NAT shows this machine, as in "
         "most clouds: answers name it instead of our own", ice.public_address, "none", repeatable=True),
    Flag("ice-servers", "ice_servers", "SERVERS", "STUN and TURN servers that /start tells the app to use: URLs "
         "separated by commas, or JSON with username and credential; better set as RELAY_ICE_SERVERS",
         ice.servers, "none, and none of anybody else's"),
    Flag("turn", "turn", "URL", "TURN server for browsers that reach us by no other way, such as turn:turn.example.org "
         "(by UDP and by TCP) or turns:turn.example.org:443; needs --turn-secret", ice.turn, "none", repeatable=True),
    Flag("turn-secret", "turn_secret", "SECRET", "what that server knows as static-auth-secret: credentials made from "
         "it are good for ten minutes; better set as RELAY_TURN_SECRET", ice.turn_secret, "none"),
    Flag("ice", "ice_role", "ROLE", "passive: browsers find us, and we send to none that has not; active: for a relay "
         "behind a NAT that must send first, also over the servers of --turn and --ice-servers",
         values.choice("passive", "active"), "passive"),
    Flag("allow-origin", "allow_origins", "ORIGIN", "another site whose pages may call, such as "
         "https://app.example.org", values.origin, "none", repeatable=True),
    Flag("access-token", "access_token", "TOKEN",
         f"what callers must show, {values.MIN_TOKEN_CHARS} to {values.MAX_TOKEN_CHARS} characters; "
         "needed beyond loopback; better set as RELAY_ACCESS_TOKEN", values.token,
         "none; with --lan one is made"),
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
    Flag("drain", "drain", "SECONDS", "how long calls may go on once the relay is told to stop; a second signal ends "
         "them at once", values.whole(0, 3600), "30"),
    Flag("prices", "prices", "FILE", "what the model takes for a million tokens of each kind, TOML or JSON; see "
         "docs/cost.md", values.prices, "none: no money is reckoned"),
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
    Flag("state-dir", "state_dir", "DIR", "where the relay keeps what --lan needs: certificate and access token",
         values.directory,
         "$XDG_STATE_HOME/gemini-relay or ~/.local/state/gemini-relay"),
    Flag("log-level", "log_level", "LEVEL", "debug, info, warning or error",
         values.choice("debug", "info", "warning", "error"), "info"),
)  # fmt: skip
