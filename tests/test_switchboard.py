"""Of all calls on one port each gets its own datagrams, and what is nobody's is counted."""

import secrets

from relay.webrtc.port.switchboard import MAX_STREAMS, Switchboard
from tests.checker import Browser, Dice, met


def board() -> Switchboard[str]:
    return Switchboard(Dice())


def check_for(name: str) -> bytes:
    agent, _ = met()
    return Browser(agent).check(name=f"{name}:them")


def sound_of(ssrc: int, kind: int = 111) -> bytes:
    return bytes([0x80, kind]) + bytes(6) + ssrc.to_bytes(4) + bytes(40)


def report_of(ssrc: int) -> bytes:
    return bytes([0x80, 201, 0, 1]) + ssrc.to_bytes(4) + bytes(40)


def test_a_check_goes_to_the_call_that_it_names_and_an_answer_to_the_one_that_asked() -> None:
    exchange = board()
    calls = [exchange.enter(f"call {n}") for n in range(20)]
    assert len(exchange) == 20
    for n, (name, mark) in enumerate(calls):
        assert exchange.find(check_for(name)) == f"call {n}"
        assert exchange.find(b"\1\1\0\0\x21\x12\xa4\x42" + mark + bytes(8)) == f"call {n}"
    assert +exchange.dropped == {}


def test_sound_from_an_unknown_address_is_known_by_its_stream_and_so_are_reports() -> None:
    exchange = board()
    exchange.enter("mine")
    exchange.expect("mine", [1, 2])
    assert exchange.find(sound_of(1)) == "mine"
    assert exchange.find(sound_of(2, kind=0x80 | 96)) == "mine"
    assert exchange.find(report_of(2)) == "mine"
    assert exchange.find(sound_of(3)) is None
    assert +exchange.dropped == {"stranger": 1}


def test_a_stream_is_not_taken_from_a_call_by_another_that_claims_it() -> None:
    exchange = board()
    exchange.expect("mine", [1])
    exchange.expect("theirs", [1, 2])
    assert exchange.find(sound_of(1)) == "mine"
    assert exchange.find(sound_of(2)) == "theirs"


def test_a_call_may_announce_few_streams() -> None:
    exchange = board()
    exchange.expect("mine", range(1000))
    assert [ssrc for ssrc in range(1000) if exchange.find(sound_of(ssrc))] == list(range(MAX_STREAMS))


def test_a_call_that_announces_others_leaves_those_before_to_whoever_has_them() -> None:
    exchange = board()
    for n in range(100):
        exchange.expect("mine", [n, n, 1000])
    exchange.expect("theirs", [1000])
    assert [ssrc for ssrc in range(1001) if exchange.find(sound_of(ssrc))] == [99, 1000]
    assert exchange.find(sound_of(1000)) == "mine"
    exchange.expect("mine", [])
    exchange.expect("theirs", [99])
    assert exchange.find(sound_of(99)) == "theirs"
    assert exchange.find(sound_of(1000)) is None


def test_whose_sound_it_is_may_be_asked_without_its_being_counted() -> None:
    exchange = board()
    exchange.expect("mine", [1])
    assert exchange.speaker(sound_of(1)) == exchange.speaker(report_of(1)) == "mine"
    for data in (sound_of(2), sound_of(1)[:11], b"\x16" + sound_of(1)[1:], b""):
        assert exchange.speaker(data) is None
    assert +exchange.dropped == {}


def test_a_call_that_is_over_is_nobodys_any_more() -> None:
    exchange = board()
    name, mark = exchange.enter("mine")
    exchange.expect("mine", [1])
    exchange.leave(name, mark)
    exchange.leave(name, mark)
    assert len(exchange) == 0
    assert exchange.find(check_for(name)) is None
    assert exchange.find(sound_of(1)) is None
    assert exchange.find(b"\1\1\0\0\x21\x12\xa4\x42" + mark + bytes(8)) is None
    assert +exchange.dropped == {"name": 1, "stranger": 1, "answer": 1}


def test_what_is_cut_empty_or_anything_is_nobodys() -> None:
    exchange = board()
    exchange.enter("mine")
    exchange.expect("mine", [0])
    for data in (
        b"",
        b"\0",
        b"\1",
        b"\1\1",
        b"\x80",
        b"\x80\x6f",
        bytes(19),
        b"\x16\xfe\xfd" + bytes(40),
        b"\xff" * 60,
    ):
        assert exchange.find(data) is None
    assert sum(exchange.dropped.values()) == 9


def test_names_are_long_enough_not_to_be_guessed_and_of_letters_that_ice_allows() -> None:
    exchange: Switchboard[int] = Switchboard(secrets.token_bytes)
    names = {exchange.enter(n)[0] for n in range(2000)}
    assert len(names) == 2000
    assert all(len(name) == 8 and name.replace("+", "a").replace("/", "a").isalnum() for name in names)
