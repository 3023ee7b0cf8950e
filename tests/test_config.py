"""Settings: flag over variable over default, one sentence for what is wrong, secrets that do not print."""

import copy
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.audio.opus import BITRATE, COMPLEXITY
from relay.config import Config, ConfigError, load
from relay.cost import Budget
from relay.flags import FLAGS, GEMINI_URL, MAX_CALLS, Flag
from relay.values import (
    MAX_BITRATE,
    MAX_GREETING_CHARS,
    MAX_PRICES_BYTES,
    MAX_TEXT_CHARS,
    MIN_BITRATE,
    MIN_TOKEN_CHARS,
    Secret,
    origin,
    yes,
)

KEY = "AIzaSyCANARYcanaryCANARYcanary"
TOKEN = "t0ken-" * 4


def sentence(arguments: list[str], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(arguments, environ or {})
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def complaint(arguments: list[str], environ: dict[str, str]) -> str:
    try:
        load(arguments, environ)
    except ConfigError as exc:
        return str(exc)
    return "Nothing is wrong."


def test_without_anything_the_stand_in_speaks_on_loopback() -> None:
    config = load([], {})
    assert (config.host, config.port, config.model, config.speaker) == ("127.0.0.1", 7860, "local", "local")
    assert (config.gemini_url, config.gemini_model) == (GEMINI_URL, "gemini-3.8-live")
    assert config.loopback


def test_the_defaults_of_the_dataclass_are_those_of_the_command_line() -> None:
    config = load([], {})
    assert config == Config(state_dir=config.state_dir)


def test_a_flag_wins_over_its_variable_and_that_over_the_default() -> None:
    assert load([], {"RELAY_PORT": "8000"}).port == 8000
    assert load(["--port", "9000"], {"RELAY_PORT": "8000"}).port == 9000


def test_an_empty_variable_counts_as_absent() -> None:
    assert load([], {"RELAY_PORT": " ", "GEMINI_API_KEY": ""}).port == 7860


def test_an_empty_greeting_flag_lets_the_caller_speak_first() -> None:
    assert load([], {}).greeting is None
    assert load(["--greeting", ""], {}).greeting == ""


def test_repeatable_flags_add_up_and_their_variables_take_commas() -> None:
    twice = load(["--allow-origin", "https://a.example", "--allow-origin", "http://b.example:81"], {})
    assert twice.allow_origins == ("https://a.example", "http://b.example:81")
    networks = load([], {"RELAY_TRUSTED_PROXY": "10.0.0.0/8, ::1/128"}).trusted_proxies
    assert [str(network) for network in networks] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("name", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_a_key_in_the_environment_makes_gemini_speak(name: str) -> None:
    config = load([], {name: KEY})
    assert (config.model, config.speaker) == ("gemini", "gemini")
    assert config.api_key is not None
    assert config.api_key.reveal() == KEY


def test_of_two_keys_the_first_name_wins() -> None:
    config = load([], {"GOOGLE_API_KEY": "another-key-of-mine", "GEMINI_API_KEY": KEY})
    assert config.api_key is not None
    assert config.api_key.reveal() == KEY


def test_a_url_needs_no_key_and_the_speaker_is_called_url() -> None:
    config = load(["--gemini-url", "https://127.0.0.1:9000/live/"], {})
    assert (config.model, config.speaker) == ("gemini", "url")
    assert config.gemini_url == "wss://127.0.0.1:9000/live"


def test_local_is_local_even_with_a_key() -> None:
    assert load(["--model", "local"], {"GEMINI_API_KEY": KEY}).model == "local"


def test_gemini_without_key_and_url_does_not_start() -> None:
    assert "GEMINI_API_KEY" in sentence(["--model", "gemini"])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "relay.example", "[2001:db8::1]"])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    assert "--access-token" in sentence(["--host", host])
    assert not load(["--host", host, "--access-token", TOKEN], {}).loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    assert load(["--host", host], {}).loopback


def test_lan_listens_everywhere_over_https_and_needs_no_token_of_the_owners() -> None:
    config = load(["--lan"], {})
    assert (config.host, config.https, config.https_port, config.access_token) == ("0.0.0.0", True, 8443, None)
    assert load(["--lan", "--host", "192.0.2.1"], {}).host == "192.0.2.1"
    assert load([], {"RELAY_LAN": "yes"}).lan
    assert not load([], {"RELAY_LAN": "no"}).https


def test_a_certificate_is_https_too(tmp_path: Path) -> None:
    config = load(["--tls-cert", str(tmp_path / "c.pem"), "--tls-key", str(tmp_path / "k.pem")], {})
    assert (config.https, config.lan, config.host) == (True, False, "127.0.0.1")


def test_https_settings_that_contradict_each_other_do_not_start() -> None:
    assert "--host" in sentence(["--lan", "--host", "127.0.0.1"])
    assert "--tls-cert" in sentence(["--tls-key", "k.pem"])
    assert "--https-port" in sentence(["--lan", "--port", "8443"])
    assert load(["--lan", "--port", "0", "--https-port", "0"], {}).lan
    assert load(["--port", "8443"], {}).port == 8443


def test_a_wildcard_is_on_loopback_among_others() -> None:
    wildcard = load(["--host", "0.0.0.0", "--access-token", TOKEN], {})
    assert wildcard.on_loopback
    assert not load(["--host", "192.0.2.1", "--access-token", TOKEN], {}).on_loopback


WRONG = [
    ("port", "65536"), ("port", "-1"), ("port", "http"), ("port", "٣"), ("port", "1" * 5000), ("host", "a b"),
    ("host", "1.2.3"), ("host", "300.1.1.1"), ("model", "parrot"), ("gemini-url", "ftp://x"), ("gemini-url", "ws://"),
    ("gemini-url", "wss://u:p@x"), ("gemini-url", "wss://x?key=1"), ("gemini-url", "wss://x:99999"),
    ("gemini-url", "wss://x#a"), ("gemini-url", "wss://[::1"), ("gemini-model", "a b"), ("gemini-model", "../x\n"),
    ("gemini-api-version", "1"), ("voice", "a b"), ("language", "deutsch!"), ("agent", "/no/such/file.py"),
    ("agent", "/etc/passwd"), ("agent", "a\x00b.py"), ("ice-address", "localhost"), ("ice-address", "0.0.0.0"),
    ("ice-address", "224.0.0.1"), ("allow-origin", "*"), ("allow-origin", "null"), ("allow-origin", "https://a/path"),
    ("allow-origin", "https://*.example"), ("access-token", "short"), ("access-token", "with space" * 3),
    ("access-token", "ä" * 20), ("public-url", "talk.example"), ("public-url", "https://a/sub"),
    ("trusted-proxy", "10.0.0.1/8"), ("trusted-proxy", "proxy"), ("log-level", "loud"), ("state-dir", "/etc/passwd"),
    ("ice-servers", "http://stun.example"), ("ice-servers", "stun:"), ("ice-servers", "stun://a.example"),
    ("ice-servers", "stun:a.example:99999"), ("ice-servers", "stun:a.example?transport=udp"), ("ice-servers", "[1]"),
    ("ice-servers", "turn:a.example"), ("ice-servers", "{"), ("ice-servers", "{}"), ("ice-servers", '{"urls":[]}'),
    ("ice-servers", '{"urls":["turn:a.example"],"username":"u"}'), ("ice-servers", '{"urls":"stun:a","x":1}'),
    ("ice-servers", '{"urls":"turn:a","username":1,"credential":"p"}'), ("ice-servers", ",".join(["stun:a"] * 9)),
    ("allow-body", "voice,model"), ("allow-body", "voice;language"),
    ("max-calls", "0"), ("max-calls", "10001"), ("max-calls", "-3"), ("max-calls", "many"), ("max-calls", "1e3"),
    ("metrics-port", "65536"), ("metrics-port", "off"), ("metrics-host", "a b"),
    ("opus-bitrate", str(MIN_BITRATE - 1)), ("opus-bitrate", str(MAX_BITRATE + 1)), ("opus-bitrate", "64k"),
    ("opus-complexity", "11"), ("opus-complexity", "-1"),
    ("keep", "-1"), ("keep", "601"), ("keep", "1m"),
    ("idle", "-1"), ("idle", "86401"), ("idle", "5m"), ("max-call", "1h"), ("max-call", "604801"),
    ("budget-call", "0"), ("budget-call", "free"), ("budget-call", "-1"), ("budget-day", "0tokens"),
    ("budget-day", "nan"), ("budget-day", "1e9"), ("prices", "/no/such.toml"), ("prices", "a\x00b.toml"),
    ("transcription", "yes"), ("transcription-model", "a b"), ("barge-in", "mine"),
    ("state-dir", "~nobody-of-that-name/x"),
    ("instructions", "x" * (MAX_TEXT_CHARS + 1)), ("greeting", "x" * (MAX_GREETING_CHARS + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_one_sentence_that_names_the_flag_or_the_variable(name: str, value: str) -> None:
    said = sentence([f"--{name}={value}"])
    assert said.startswith(f"--{name} ")
    variable = "RELAY_" + name.upper().replace("-", "_")
    assert sentence([], {variable: value}).startswith(variable)


def test_a_wrong_secret_is_not_repeated() -> None:
    assert "s3cret!" not in sentence(["--access-token", "s3cret!"])
    assert "wrong key" not in sentence([], {"GEMINI_API_KEY": "wrong key"})


def test_no_flag_takes_the_key_and_one_that_tries_is_not_repeated() -> None:
    assert [flag.name for flag in FLAGS if "key" in flag.name] == ["tls-key"]  # a file's name
    for arguments in (["--api-key", KEY], [f"--gemini-api-key={KEY}"], [KEY], ["-k", KEY]):
        assert KEY not in sentence(arguments)


def test_a_flag_without_its_value_is_named() -> None:
    assert sentence(["--port"]) == "--port needs a value."


def test_abbreviated_flags_are_unknown() -> None:
    assert "--acc" in sentence(["--acc", TOKEN])


def test_help_names_every_flag_with_its_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        load(["--help"], {})
    assert left.value.code == 0
    told = re.sub(r"\s+", "", capsys.readouterr().out)  # lines are folded at spaces and hyphens
    for flag in FLAGS:
        assert f"--{flag.name}{flag.value}" in told
        assert re.sub(r"\s+", "", f"[{flag.variable}; default: {flag.shown}]") in told


def test_every_flag_fills_a_field() -> None:
    assert {flag.field for flag in FLAGS} | {"api_key"} == set(Config.__dataclass_fields__)


def test_no_secret_prints() -> None:
    config = load(["--access-token", TOKEN], {"GEMINI_API_KEY": KEY})
    assert config.access_token is not None
    for text in (repr(config), str(config), f"{config.api_key}", f"{config.access_token!r:>40}", str([config.api_key])):
        assert KEY not in text
        assert TOKEN not in text


def test_a_secret_does_not_leave_by_pickle_or_copy() -> None:
    for leave in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(Secret(KEY))


def test_a_too_short_token_is_refused_at_its_limit() -> None:
    assert load(["--access-token", "x" * MIN_TOKEN_CHARS], {}).access_token is not None
    sentence(["--access-token", "x" * (MIN_TOKEN_CHARS - 1)])


def test_origins_are_written_as_browsers_write_them() -> None:
    assert origin("HTTPS://Talk.Example:443/") == "https://talk.example"
    assert origin("http://talk.example:80") == "http://talk.example"
    assert origin("http://[::1]:8080") == "http://[::1]:8080"
    assert origin("https://talk.example:80") == "https://talk.example:80"


def test_calls_are_bounded_and_metrics_are_off_unless_asked_for() -> None:
    config = load([], {})
    assert (config.max_calls, config.metrics_port, config.metrics_host) == (MAX_CALLS, None, "127.0.0.1")
    config = load(["--max-calls", "7", "--metrics-port", "0"], {"RELAY_METRICS_HOST": "::1"})
    assert (config.max_calls, config.metrics_port, config.metrics_host) == (7, 0, "::1")


def test_the_voice_is_encoded_as_the_owner_says_or_as_the_encoder_does_by_itself() -> None:
    config = load([], {})
    assert (config.opus_bitrate, config.opus_complexity) == (BITRATE, COMPLEXITY)
    config = load(["--opus-bitrate", "96000"], {"RELAY_OPUS_COMPLEXITY": "10"})
    assert (config.opus_bitrate, config.opus_complexity) == (96_000, 10)


def test_the_state_directory_follows_xdg() -> None:
    assert load([], {"XDG_STATE_HOME": "/var/x"}).state_dir == Path("/var/x/gemini-relay")
    assert load([], {"XDG_STATE_HOME": "relative"}).state_dir == Path.home() / ".local/state/gemini-relay"


def test_an_agent_file_that_is_there_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text("")
    assert load(["--agent", str(file)], {}).agent == file


@given(st.lists(st.one_of(st.sampled_from([f"--{flag.name}" for flag in FLAGS]), st.text(max_size=20)), max_size=6))
def test_any_command_line_is_settings_or_a_sentence(arguments: list[str]) -> None:
    if not any(argument.startswith(("-h", "--he")) for argument in arguments):
        assert complaint(arguments, {}).endswith(".")


@given(st.sampled_from(FLAGS), st.text(st.characters(exclude_characters="\x00"), max_size=40))
def test_any_variable_is_a_setting_or_a_sentence(flag: Flag, text: str) -> None:
    assert complaint([], {flag.variable: text}).endswith(".")


def test_ice_servers_are_urls_or_json_and_their_credential_is_a_secret() -> None:
    text = (
        '[{"urls":["turn:[2001:db8::1]:3478?transport=udp","turns:t.example"],"username":"u","credential":"s3cret!"}]'
    )
    for config in (load(["--ice-servers", text], {}), load([], {"RELAY_ICE_SERVERS": text})):
        (server,) = config.ice_servers
        assert server.urls == ("turn:[2001:db8::1]:3478?transport=udp", "turns:t.example")
        assert server.credential is not None
        assert server.told()["credential"] == "s3cret!"
        assert "s3cret!" not in repr(config)
    assert [one.urls for one in load(["--ice-servers", "stun:a, stuns:b:5349"], {}).ice_servers] == [
        ("stun:a",),
        ("stuns:b:5349",),
    ]
    assert "s3cret!" not in sentence(["--ice-servers", '{"urls":"turn:","username":"u","credential":"s3cret!"}'])


def test_what_an_app_may_choose_is_a_list_of_names() -> None:
    assert load([], {}).allow_body == ()
    assert load(["--allow-body", "voice, language"], {}).allow_body == ("voice", "language")


COST = (Path(__file__).parent.parent / "docs" / "cost.md").read_text()
PRICES = re.search(r"```toml\n(.*?)```", COST, re.DOTALL)
MONEY = ["--budget-call", "2.50"]


def prices(folder: Path, text: str, name: str = "prices.toml") -> list[str]:
    path = folder / name
    path.write_text(text)
    return ["--prices", str(path)]


def test_the_prices_in_the_documents_are_a_file_of_prices(tmp_path: Path) -> None:
    assert PRICES is not None
    config = load([*prices(tmp_path, PRICES.group(1)), *MONEY, "--budget-day", "20"], {})
    assert config.prices is not None
    assert config.prices.currency == "USD"
    assert set(config.prices.models) == {config.gemini_model}
    assert (config.budget_call, config.budget_day) == (Budget(2.5), Budget(20.0))


def test_a_price_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    assert PRICES is not None
    given = prices(tmp_path, PRICES.group(1))
    assert sentence([*given, "--gemini-model", "other"]) == "--prices names no prices of other."
    assert sentence([*given, "--transcription", "flash"]) == "--prices names no prices of gemini-3.8-flash."


def test_a_file_that_holds_no_prices_stops_the_start(tmp_path: Path) -> None:
    assert sentence(prices(tmp_path, "currency = 7")) == (
        '--prices must give the currency as three capital letters, such as currency = "USD".'
    )
    assert "is not JSON" in sentence(prices(tmp_path, "currency = 7", "prices.json"))
    assert "must be a file of prices" in sentence(prices(tmp_path, "", "prices.csv"))
    assert "must be a file of prices" in sentence(["--prices", str(tmp_path / "none.toml")])
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "must be a text file" in sentence(["--prices", str(tmp_path / "bytes.toml")])
    assert f"at most {MAX_PRICES_BYTES}" in sentence(prices(tmp_path, " " * (MAX_PRICES_BYTES + 1)))


def test_a_budget_of_money_needs_prices_and_one_of_tokens_none() -> None:
    assert "--budget-call in money needs --prices" in sentence(MONEY)
    assert "--budget-day in money needs --prices" in sentence(["--budget-day", "1"])
    config = load(["--budget-call", "200000tokens", "--budget-day", "3000000 tokens"], {})
    assert (config.budget_call, config.budget_day) == (Budget(200_000, True), Budget(3_000_000, True))


def test_calls_are_bounded_in_time_unless_the_owner_says_otherwise() -> None:
    config = load([], {})
    assert (config.idle, config.max_call) == (300, 3600)
    config = load(["--idle", "0", "--max-call", "0"], {})
    assert (config.idle, config.max_call) == (0, 0)


def test_no_sound_goes_elsewhere_and_the_models_ear_counts_unless_the_owner_says_otherwise() -> None:
    config = load([], {})
    assert (config.transcription, config.barge_in) == ("live", "model")


@pytest.mark.parametrize(("text", "meant"), [("yes", True), ("True", True), ("1", True), ("off", False), ("no", False)])
def test_a_switch_says_yes_or_no(text: str, meant: bool) -> None:
    assert yes(text) is meant


def test_a_switch_that_says_neither_is_refused() -> None:
    with pytest.raises(ValueError, match="must be yes or no"):
        yes("perhaps")


def test_a_public_address_goes_with_the_one_udp_port_alone() -> None:
    assert load([], {}).one_udp_port
    assert load(["--udp-port", "5000", "--public-address", "203.0.113.5"], {}).public_addresses == ("203.0.113.5",)
    for flags in (["--udp-port", "0"], ["--ice", "active"]):
        assert not load(flags, {}).one_udp_port
        with pytest.raises(ConfigError, match="--public-address is for calls on one UDP port"):
            load([*flags, "--public-address", "203.0.113.5"], {})
    for address in ("0.0.0.0", "127.0.0.1", "here"):
        with pytest.raises(ConfigError, match="--public-address must be an"):
            load(["--public-address", address], {})
