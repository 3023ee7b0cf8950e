"""Credentials of a TURN server that end by themselves, and how they are told to browsers."""

import hmac

import pytest

from relay.config import ConfigError, load
from relay.turn_server import CREDENTIAL_SECONDS, TurnServer
from relay.values import Secret
from tests.house import visiting

SECRET = "north-wind"
FLAGS = ("--turn", "turn:t.example.org", "--turn-secret", SECRET)


def test_a_credential_is_the_hmac_of_its_end_and_a_name() -> None:
    server = TurnServer(("turns:t.example.org:443",), Secret(SECRET)).server("ab12cd34", 1_700_000_000.9)
    assert server.told() == {
        "urls": ["turns:t.example.org:443"],
        "username": "1700000600:ab12cd34",
        # printf 1700000600:ab12cd34 | openssl dgst -sha1 -hmac north-wind -binary | base64
        "credential": "RFxGcXAgw880DSw0FNUlFN5J0Wg=",
    }


def test_a_credential_is_good_for_ten_minutes_at_most() -> None:
    assert CREDENTIAL_SECONDS <= 600


def test_a_server_without_a_transport_is_told_by_udp_and_by_tcp() -> None:
    given = ("turn:t.example.org", "turn:t.example.org:80?transport=tcp", "turns:t.example.org:443")
    assert TurnServer(given, Secret(SECRET)).urls == (
        "turn:t.example.org?transport=udp",
        "turn:t.example.org?transport=tcp",
        "turn:t.example.org:80?transport=tcp",
        "turns:t.example.org:443",
    )


def test_the_secret_shows_itself_nowhere() -> None:
    config = load(FLAGS, {})
    assert config.turn == ("turn:t.example.org",)
    assert SECRET not in repr(config)
    assert load([], {"RELAY_TURN": "turn:a, turns:b", "RELAY_TURN_SECRET": SECRET}).turn == ("turn:a", "turns:b")


@pytest.mark.parametrize(
    "flags",
    [FLAGS[:2], FLAGS[2:], (*FLAGS[:3], "short"), ("--turn", "stun:a.example", *FLAGS[2:]), (*FLAGS, "--ice", "both")],
)
def test_what_makes_no_turn_server_stops_the_start_with_a_sentence(flags: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(flags, {})
    assert str(caught.value).endswith(".")
    assert SECRET not in str(caught.value)


async def test_each_session_gets_a_credential_of_its_own_after_admission() -> None:
    async with visiting(*FLAGS, "--ice-servers", "stun:s.example.org") as visit:
        started = (await visit.ask("POST", "/start", json={})).json
        stun, turn = started["iceConfig"]["iceServers"]
        assert stun == {"urls": ["stun:s.example.org"]}
        assert turn["urls"] == ["turn:t.example.org?transport=udp", "turn:t.example.org?transport=tcp"]
        assert turn["username"].endswith(f":{started['sessionId'][:8]}")
        assert turn["credential"]
        again = (await visit.ask("GET", f"/sessions/{started['sessionId']}/ice")).json["iceConfig"]["iceServers"][1]
        assert again["urls"] == turn["urls"]
        assert hmac.compare_digest(again["username"].partition(":")[2], turn["username"].partition(":")[2])


async def test_a_credential_is_given_to_nobody_who_was_not_let_in() -> None:
    async with visiting(*FLAGS, "--access-token", "a-token-of-some-length") as visit:
        for method, path in (("POST", "/start"), ("GET", "/sessions/00/ice")):
            answered = await visit.ask(method, path, json={})
            assert answered.status in (401, 404)
            assert "credential" not in str(answered.json)
