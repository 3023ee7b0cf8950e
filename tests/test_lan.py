"""The machine's addresses for the phones in the room, and what is kept for them: certificate and token."""

import os
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.config import ConfigError, load
from relay.values import MIN_TOKEN_CHARS
from signaling import lan
from signaling.lan import MAX_NAMES, RENEW, access_token, addresses, host_names, identity, ranked, settled

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOME, OFFICE = "192.168.1.5", "10.20.0.7"


def private(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == 0o600


# --- addresses ---


def test_the_address_with_the_way_out_comes_first_and_containers_come_last() -> None:
    found = [
        ("lo", "127.0.0.1"), ("docker0", "172.17.0.1"), ("wg0", "10.8.0.2"), ("eth0", "192.0.2.9"),
        ("wlan0", HOME), ("wlan0", "169.254.3.4"), ("br-5f1e", "172.18.0.1"),
    ]  # fmt: skip
    assert ranked(found, HOME) == (HOME, "192.0.2.9", "10.8.0.2", "172.17.0.1", "172.18.0.1")
    assert ranked(found, "10.8.0.2")[:3] == ("192.0.2.9", HOME, "10.8.0.2")  # through a tunnel no phone comes


def test_without_a_way_out_a_private_address_comes_first() -> None:
    assert ranked([("eth0", "203.0.114.9"), ("eth1", HOME)], "") == (HOME, "203.0.114.9")


def test_ipv6_counts_only_where_there_is_no_ipv4() -> None:
    six = [("lo", "::1"), ("eth0", "fe80::1%2"), ("eth0", "fd00::5"), ("eth0", "2001:db8::5")]
    assert ranked([*six, ("eth0", HOME)], HOME) == (HOME,)
    assert set(ranked(six, "")) == {"fd00::5", "2001:db8::5"}


def test_no_network_is_no_address() -> None:
    assert ranked([("lo", "127.0.0.1"), ("lo", "::1")], "") == ()


def test_a_host_that_the_owner_names_is_the_address() -> None:
    assert addresses(HOME) == (HOME,)
    assert all(one != "127.0.0.1" for one in addresses("0.0.0.0"))


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("box", ("box", "box.local")),
        ("Box.Home.example", ("box", "box.local")),
        ("localhost", ()),
        ("", ()),
        ("under_score", ()),
        ("a" * 64, ()),
    ],
)
def test_a_machine_is_known_by_its_name_and_by_mdns(name: str, names: tuple[str, ...]) -> None:
    assert host_names(name) == names


# --- the certificate ---


def test_the_certificate_holds_addresses_and_names_and_nobody_else_reads_its_key(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "relay"
    made = identity(folder, [HOME], NOW)
    assert {HOME, "localhost", "127.0.0.1", *host_names(socket.gethostname())} <= set(made.names)
    (path,) = folder.iterdir()
    assert private(path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_next_start_shows_the_same_certificate(tmp_path: Path) -> None:
    first = identity(tmp_path, [HOME, OFFICE], NOW)
    assert identity(tmp_path, [HOME], NOW + timedelta(days=300)).fingerprint == first.fingerprint


def test_another_address_makes_a_new_one_that_holds_the_old_address_too(tmp_path: Path) -> None:
    first = identity(tmp_path, [HOME], NOW)
    second = identity(tmp_path, [OFFICE], NOW)
    assert second.fingerprint != first.fingerprint
    assert {HOME, OFFICE} <= set(second.names)
    assert identity(tmp_path, [HOME], NOW).fingerprint == second.fingerprint  # back home nobody is warned again


def test_of_many_networks_the_oldest_is_forgotten(tmp_path: Path) -> None:
    for number in range(MAX_NAMES):
        last = identity(tmp_path, [f"10.0.0.{number}"], NOW)
    assert len(last.names) == MAX_NAMES
    assert f"10.0.0.{MAX_NAMES - 1}" in last.names
    assert "10.0.0.0" not in last.names


def test_one_that_nears_its_end_is_renewed(tmp_path: Path) -> None:
    first = identity(tmp_path, [HOME], NOW)
    early, late = first.ends - RENEW - timedelta(hours=1), first.ends - RENEW + timedelta(hours=1)
    assert identity(tmp_path, [HOME], early).fingerprint == first.fingerprint
    renewed = identity(tmp_path, [HOME], late)
    assert renewed.fingerprint != first.fingerprint
    assert renewed.ends > late + timedelta(days=300)


@pytest.mark.parametrize("damage", ["", "half", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_one_that_is_damaged_is_made_anew(damage: str, tmp_path: Path) -> None:
    first = identity(tmp_path, [HOME], NOW)
    (tmp_path / lan.CERTIFICATE).write_text(damage)
    assert identity(tmp_path, [HOME], NOW).fingerprint != first.fingerprint


def test_what_others_may_read_is_theirs_no_more(tmp_path: Path) -> None:
    identity(tmp_path, [HOME], NOW)
    access_token(tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    identity(tmp_path, [HOME], NOW)
    access_token(tmp_path)
    assert all(map(private, tmp_path.iterdir()))


# --- the token ---


def test_the_token_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    token = access_token(folder).reveal()
    assert len(token) >= MIN_TOKEN_CHARS
    assert access_token(folder).reveal() == token
    assert private(folder / lan.TOKEN)
    assert access_token(tmp_path / "elsewhere").reveal() != token


def test_an_own_token_wins_and_nothing_is_kept(tmp_path: Path) -> None:
    flags = ["--lan", "--state-dir", str(tmp_path)]
    mine = settled(load([*flags, "--access-token", "a-token-of-some-length"], {}))
    assert mine.access_token is not None
    assert mine.access_token.reveal() == "a-token-of-some-length"
    assert not list(tmp_path.iterdir())
    made = settled(load(flags, {})).access_token
    assert made is not None
    assert made.reveal() == (tmp_path / lan.TOKEN).read_text().strip()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 30, b"no token, but a sentence"])
def test_a_token_that_is_none_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / lan.TOKEN).write_bytes(content)
    with pytest.raises(ConfigError, match=r"holds no access token; delete it to get a new one\.$"):
        access_token(tmp_path)


def test_a_state_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(ConfigError, match=r"cannot be (read|written): .*\.$"):
            access_token(folder)
        with pytest.raises(ConfigError, match=r"cannot be (read|written): .*\.$"):
            identity(folder, [HOME], NOW)


def test_a_write_that_fails_leaves_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ConfigError, match="name another directory with --state-dir"):
        access_token(tmp_path)
    assert not list(tmp_path.iterdir())
