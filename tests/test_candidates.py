"""Which addresses a relay that sends first sends to: browsers', and few of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.webrtc.candidates import MAX_CANDIDATES, MAX_LINE_CHARS, MIN_PORT, Candidates

HOST = "candidate:2482378261 1 udp 2122194687 {} {} typ host generation 0 ufrag f4FC network-id 1"
PUBLIC = "8.8.4.4"


def line(address: str = PUBLIC, port: int = 50_000) -> str:
    return HOST.format(address, port)


def test_a_public_address_of_a_browser_is_sent_to() -> None:
    known = Candidates().admit(line())
    assert known is not None
    assert str(known) == f"2482378261 1 udp 2122194687 {PUBLIC} 50000 typ host"
    srflx = "a=candidate:1 1 UDP 1694498815 2001:4860:4860::8844 40000 typ srflx raddr 0.0.0.0 rport 0"
    assert Candidates().admit(srflx) is not None


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "224.0.0.251", "ff02::fb", "0.0.0.0", "::",
     "255.255.255.255", "240.0.0.1", "100.100.100.200", "fd00:ec2::254", "a1b2.local", "localhost", "fe80::1%eth0",
     "2130706433", "0x7f.1"],
)  # fmt: skip
def test_what_is_no_browsers_address_is_never_sent_to(address: str) -> None:
    assert Candidates().admit(line(address)) is None
    assert Candidates(private=True).admit(line(address)) is None


@pytest.mark.parametrize("address", ["10.0.0.5", "172.16.3.4", "192.168.1.7", "fd12::1", "::ffff:192.168.1.7"])
def test_private_addresses_are_sent_to_on_a_lan_alone(address: str) -> None:
    assert Candidates().admit(line(address)) is None
    assert Candidates(private=True).admit(line(address)) is not None


@pytest.mark.parametrize("port", [0, 9, 22, 53, 80, 443, MIN_PORT - 1, 65_536, -1])
def test_ports_of_services_are_never_sent_to(port: int) -> None:
    assert Candidates().admit(line(port=port)) is None


def test_twenty_candidates_are_taken_and_no_more() -> None:
    candidates = Candidates()
    taken = [candidates.admit(line(port=50_000 + at)) for at in range(1000)]
    assert sum(known is not None for known in taken) == MAX_CANDIDATES


def test_the_same_address_counts_once() -> None:
    candidates = Candidates()
    assert candidates.admit(line()) is not None
    assert candidates.admit(line().replace("2482378261", "7")) is None


@pytest.mark.parametrize(
    "text",
    ["", "candidate:", "candidate:1 2 udp 1 8.8.4.4 5000 typ host", "candidate:1 1 tcp 1 8.8.4.4 5000 typ host",
     "candidate:1 1 udp x 8.8.4.4 5000 typ host", "candidate:1 1 udp 1 8.8.4.4 5000 typ other",
     line() + " x" * MAX_LINE_CHARS],
)  # fmt: skip
def test_what_is_no_candidate_by_udp_is_passed_over(text: str) -> None:
    assert Candidates().admit(text) is None


@given(st.text(max_size=400) | st.from_regex(r"candidate:\S+ 1 udp \d+ \S+ \d+ typ host.*"))
def test_any_text_is_a_candidate_or_none(text: str) -> None:
    known = Candidates(private=True).admit(text)
    assert known is None or MIN_PORT <= known.port < 1 << 16
