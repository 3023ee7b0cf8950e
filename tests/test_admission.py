"""May this caller come in: hosts, origins, tokens, addresses and rates, without a socket."""

import contextlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import load
from relay.errors import BrowserFault
from relay.values import Secret
from signaling import admission
from signaling.admission import MAX_ADDRESSES, MAX_FORWARDED, START_BURST, START_SECONDS, STARTS_PER_MINUTE, Admission
from signaling.app import doorkeeper

TOKEN = "a-token-of-some-length"


def door(*arguments: str) -> Admission:
    return doorkeeper(load(arguments, {}))


def refusal(question: object, *arguments: object) -> str:
    with pytest.raises(BrowserFault) as caught:
        question(*arguments)  # type: ignore[operator]
    return caught.value.code


# --- Host ---


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:7860", "localhost", "LOCALHOST:7860", "[::1]:7860", "localhost:9999", "127.0.0.1", " localhost "],
)
def test_names_of_this_machine_are_ours(host: str) -> None:
    door().host(host, "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        None, "", "evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", "127.1",
        "localhost:abc", "192.0.2.7", "0.0.0.0", "2130706433", "localhost@evil", "[::1", "a,localhost",
        "localhost.", "[localhost]",
    ],
)  # fmt: skip
def test_a_rebound_name_is_refused(host: str | None) -> None:
    assert refusal(door().host, host, "127.0.0.1") == "host-refused"


def test_the_bound_address_and_the_public_name_are_ours() -> None:
    bound = door("--host", "192.0.2.7", "--access-token", TOKEN, "--public-url", "https://talk.example")
    for host in ("192.0.2.7:7860", "talk.example", "talk.example:443", "Talk.Example"):
        bound.host(host, "192.0.2.7")
    assert refusal(bound.host, "192.0.2.8", "192.0.2.7") == "host-refused"


def test_on_a_wildcard_the_literal_that_the_connection_came_in_on_is_ours() -> None:
    wide = door("--host", "0.0.0.0", "--access-token", TOKEN)
    wide.host("192.0.2.7:7860", "192.0.2.7")
    wide.host("192.0.2.7", "::ffff:192.0.2.7")
    wide.host("[fe80::1]:7860", "fe80::1%eth0")
    assert refusal(wide.host, "192.0.2.8", "192.0.2.7") == "host-refused"
    assert refusal(wide.host, "evil.example", "192.0.2.7") == "host-refused"


# --- Origin ---


def test_our_own_page_and_native_clients_come_in_and_are_not_foreign() -> None:
    assert door().origin(None, "127.0.0.1:7860") is False
    assert door().origin("http://127.0.0.1:7860", "127.0.0.1:7860") is False
    assert door().origin("http://localhost", "LOCALHOST:80") is False


@pytest.mark.parametrize(
    "origin",
    [
        "null", "", "http://evil.example", "https://127.0.0.1:7860", "http://127.0.0.1:7861", "http://127.0.0.1",
        "http://localhost:7860", "http://127.0.0.1:7860.evil.example", "http://127.0.0.1:7860/", "file://", "*",
        "HTTP://127.0.0.1:7860",
    ],
)  # fmt: skip
def test_another_page_is_refused(origin: str) -> None:
    assert refusal(door().origin, origin, "127.0.0.1:7860") == "origin-refused"


def test_a_named_origin_is_foreign_and_welcome_to_the_letter() -> None:
    named = door("--allow-origin", "https://app.example")
    assert named.origin("https://app.example", "127.0.0.1:7860") is True
    for other in ("http://app.example", "https://app.example:444", "https://x.app.example", "https://app.example.evil"):
        assert refusal(named.origin, other, "127.0.0.1:7860") == "origin-refused"


def test_behind_a_proxy_the_public_origin_is_ours_by_its_own_scheme_only() -> None:
    public = door("--public-url", "https://talk.example")
    assert public.origin("https://talk.example", "talk.example") is False
    assert public.origin("https://talk.example", "127.0.0.1:7860") is False  # a proxy that rewrites Host
    assert refusal(public.origin, "http://talk.example", "talk.example") == "origin-refused"


# --- access token ---


def test_without_a_token_in_the_settings_none_is_asked() -> None:
    door().token(None)
    door().token("Bearer whatever")


def test_the_token_is_asked_and_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", spy)
    guarded = door("--access-token", TOKEN)
    guarded.token(f"Bearer {TOKEN}")
    guarded.token(f"bearer  {TOKEN} ")
    assert refusal(guarded.token, "Bearer wrong") == "token-wrong"
    assert compared == [(TOKEN.encode(), TOKEN.encode())] * 2 + [(b"wrong", TOKEN.encode())]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", TOKEN])
def test_what_is_no_bearer_token_is_a_missing_one(header: str | None) -> None:
    assert refusal(door("--access-token", TOKEN).token, header) == "token-missing"


@given(st.text())
def test_any_authorization_is_judged_without_a_mistake(header: str) -> None:
    assert refusal(door("--access-token", TOKEN).token, header) in ("token-missing", "token-wrong")


# --- rate ---


def starts(asked: Admission, address: str, now: float, count: int) -> int:
    refused: list[BrowserFault] = []
    for _ in range(count):
        try:
            asked.start(address, now)
        except BrowserFault as fault:
            refused.append(fault)
    assert all(fault.code == "too-many-starts" and 1 <= fault.retry_after <= START_SECONDS for fault in refused)
    return count - len(refused)


def test_a_burst_of_fifty_starts_grants_exactly_the_burst() -> None:
    assert starts(door(), "192.0.2.1", 100.0, 50) == START_BURST


def test_a_minute_grants_exactly_its_rate() -> None:
    asked = door()
    starts(asked, "192.0.2.1", 0.0, 50)
    assert sum(starts(asked, "192.0.2.1", second, 5) for second in range(1, 61)) == STARTS_PER_MINUTE


def test_after_the_wait_it_was_told_a_caller_comes_in() -> None:
    asked = door()
    starts(asked, "192.0.2.1", 0.0, 3)
    with pytest.raises(BrowserFault) as caught:
        asked.start("192.0.2.1", 0.0)
    assert starts(asked, "192.0.2.1", float(caught.value.retry_after), 1) == 1


def test_addresses_do_not_pay_for_each_other_but_an_ipv6_household_is_one() -> None:
    asked = door()
    assert starts(asked, "192.0.2.1", 0.0, 9) == START_BURST
    assert starts(asked, "192.0.2.2", 0.0, 9) == START_BURST
    assert starts(asked, "2001:db8::1", 0.0, 9) + starts(asked, "2001:db8::ffff:1", 0.0, 9) == START_BURST
    assert starts(asked, "2001:db8:0:1::1", 0.0, 9) == START_BURST
    assert starts(asked, "::ffff:192.0.2.1", 0.0, 9) == 0


def test_this_machine_is_not_counted_unless_a_proxy_sits_on_it() -> None:
    assert starts(door(), "127.0.0.1", 0.0, 50) == 50
    assert starts(door(), "::1", 0.0, 50) == 50
    assert starts(door("--public-url", "https://talk.example"), "127.0.0.1", 0.0, 50) == START_BURST


def test_what_is_remembered_is_bounded() -> None:
    asked = door()
    for number in range(MAX_ADDRESSES + 10):
        asked.start(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(asked._booked) == MAX_ADDRESSES


# --- whose address ---

PROXIED = ("--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "x_forwarded_for", "forwarded", "client"),
    [
        ("192.0.2.9", ["198.51.100.1"], ["for=198.51.100.1"], "192.0.2.9"),  # not a proxy: not believed
        ("10.0.0.1", [], [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], [], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.5, 198.51.100.1"], [], "198.51.100.1"),  # the left one is the caller's invention
        ("10.0.0.1", ["203.0.113.5", "198.51.100.1, 10.0.0.2"], [], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], [], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.5, unknown"], [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5, unknown, 10.0.0.2"], [], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1:443"], [], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::5]:443"], [], "2001:db8::5"),
        ("::ffff:10.0.0.1", ["2001:db8::5"], [], "2001:db8::5"),
        ("10.0.0.1", [], ['for="[2001:db8::5]:1";proto=https'], "2001:db8::5"),
        ("10.0.0.1", [], ["for=203.0.113.5, by=10.0.0.9;FOR=198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [], ["proto=https"], "10.0.0.1"),
        ("10.0.0.1", [], ["for=_hidden"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], ["for=198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1"], ["for=203.0.113.5"], "10.0.0.1"),  # two stories: neither
    ],
)
def test_the_callers_address_is_the_rightmost_that_is_no_proxy(
    peer: str, x_forwarded_for: list[str], forwarded: list[str], client: str
) -> None:
    assert door(*PROXIED).client_address(peer, x_forwarded_for, forwarded) == client


def test_only_so_many_hops_are_read() -> None:
    hops = ", ".join(["198.51.100.1"] + ["10.0.0.2"] * MAX_FORWARDED)
    assert door(*PROXIED).client_address("10.0.0.1", [hops], []) == "10.0.0.2"


@given(st.lists(st.text(max_size=60), max_size=4), st.lists(st.text(max_size=60), max_size=4))
def test_any_forwarding_is_read_without_a_mistake(x_forwarded_for: list[str], forwarded: list[str]) -> None:
    assert door(*PROXIED).client_address("10.0.0.1", x_forwarded_for, forwarded)


@given(st.text(max_size=80), st.one_of(st.none(), st.text(max_size=80)))
def test_any_host_and_origin_is_judged_without_a_mistake(host: str, origin: str | None) -> None:
    asked = door()
    with contextlib.suppress(BrowserFault):
        asked.host(host, "127.0.0.1")
        asked.origin(origin, host)


def test_the_policy_never_prints_its_token() -> None:
    assert TOKEN not in repr(admission.Policy(host="127.0.0.1", access_token=Secret(TOKEN)))
