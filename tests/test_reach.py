"""Which STUN and TURN servers a relay that sends first uses itself: those that answer, as far as it has asked."""

import time

from aiortc.rtcicetransport import connection_kwargs

from relay.config import load
from relay.webrtc.reach import Reach, reach_of

TURN = ("--turn", "turn:t.example.org", "--turn", "turns:t.example.org:443", "--turn-secret", "north-wind")
BY_UDP, BY_TCP = (f"turn:t.example.org?transport={transport}" for transport in ("udp", "tcp"))
BY_TLS = "turns:t.example.org:443"


def used(reach: Reach) -> tuple[object, ...]:
    """The TURN server that aiortc takes: where, how, and whether with TLS."""
    taken = connection_kwargs(reach.configuration().iceServers or [])
    return tuple(taken.get(f"turn_{name}") for name in ("server", "transport", "ssl"))


def test_of_a_servers_ways_it_takes_the_first_that_has_not_been_silent() -> None:
    silent: set[str] = set()
    reach = reach_of(load(("--ice", "active", *TURN), {}), silent)
    assert used(reach) == (("t.example.org", 3478), "udp", False)
    silent.add(BY_UDP)
    assert used(reach) == (("t.example.org", 3478), "tcp", False)
    silent.add(BY_TCP)
    assert used(reach) == (("t.example.org", 443), "tcp", True)
    silent.add(BY_TLS)
    assert used(reach) == (("t.example.org", 3478), "udp", False), "when all are silent it may be for a moment"


def test_each_connection_has_a_credential_of_its_own_moment() -> None:
    reach = reach_of(load(("--ice", "active", *TURN), {}))
    taken = connection_kwargs(reach.configuration().iceServers or [])
    end, _, name = taken["turn_username"].partition(":")
    assert 590 < int(end) - time.time() <= 600
    assert (name, bool(taken["turn_password"])) == ("relay", True)


def test_stun_servers_are_taken_by_the_same_rule_and_addresses_that_aiortc_cannot_read_are_left_out() -> None:
    silent = {"stun:a.example.org"}
    servers = "stun:[2001:db8::1],stun:a.example.org,stun:b.example.org"
    reach = reach_of(load(("--ice", "active", "--ice-servers", servers), {}), silent)
    assert connection_kwargs(reach.configuration().iceServers or []) == {"stun_server": ("b.example.org", 3478)}


def test_a_relay_that_waits_to_be_found_uses_none() -> None:
    assert reach_of(load(TURN, {})).configuration().iceServers == []
