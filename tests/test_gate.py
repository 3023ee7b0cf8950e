"""One stream of Opus at the pace of speech passes; the rest is dropped and counted."""

from relay.audio.packet import MAX_PAYLOAD_BYTES
from relay.webrtc.gate import (
    BURST_PACKETS,
    MAX_RED_BYTES,
    PACKETS_PER_SECOND,
    SSRC_CHANGE_SECONDS,
    Gate,
)


def test_speech_passes_for_an_hour() -> None:
    gate = Gate(111)
    assert all(gate.admit(111, 7, 60, n * 0.020) for n in range(180_000))
    assert gate.dropped == {}


def test_another_payload_type_is_dropped_and_counted() -> None:
    gate = Gate(111)
    assert not gate.admit(0, 7, 160, 1.0)
    assert gate.dropped == {"type": 1}


def test_empty_and_oversized_packets_are_dropped_and_counted() -> None:
    gate = Gate(111)
    assert not gate.admit(111, 7, 0, 1.0)
    assert gate.admit(111, 7, MAX_PAYLOAD_BYTES, 1.0)
    assert not gate.admit(111, 7, MAX_PAYLOAD_BYTES + 1, 1.0)
    assert gate.dropped == {"size": 2}


def test_sound_with_copies_passes_if_it_was_negotiated_as_large_as_a_datagram() -> None:
    gate = Gate(111, red_type=63)
    assert gate.admit(63, 7, MAX_RED_BYTES, 10.0)
    assert gate.admit(111, 7, 60, 10.02)
    assert gate.admit(63, 7, 120, 10.04)
    assert not gate.admit(63, 7, MAX_RED_BYTES + 1, 10.06)
    assert not gate.admit(63, 7, 0, 10.06)
    assert not gate.admit(111, 7, MAX_PAYLOAD_BYTES + 1, 10.06)
    assert gate.dropped == {"size": 3}


def test_sound_with_copies_is_dropped_if_it_was_not_negotiated() -> None:
    gate = Gate(111)
    assert not gate.admit(63, 7, 120, 10.0)
    assert gate.dropped == {"type": 1}


def test_both_kinds_share_one_pace_and_one_stream() -> None:
    gate = Gate(111, red_type=63)
    assert sum(gate.admit(63 if n % 2 else 111, 7, 60, 100.0) for n in range(1000)) == BURST_PACKETS
    assert not gate.admit(63, 8, 60, 100.0)
    assert gate.dropped == {"rate": 1000 - BURST_PACKETS, "ssrc": 1}


def test_after_a_flood_speech_passes_again_at_once() -> None:
    gate = Gate(111)
    for n in range(20_000):
        gate.admit(111, 7, 60, 100.0 + n / 20_000)
    assert all(gate.admit(111, 7, 60, 101.1 + n * 0.020) for n in range(500))


def test_three_hundred_strange_streams_count_as_one_admitted() -> None:
    gate = Gate(111)
    assert sum(gate.admit(111, ssrc, 60, 10.0 + ssrc / 1000) for ssrc in range(300)) == 1
    assert gate.dropped == {"ssrc": 299}


def test_a_new_stream_is_let_in_after_a_while() -> None:
    gate = Gate(111)
    assert gate.admit(111, 1, 60, 10.0)
    assert not gate.admit(111, 2, 60, 10.0 + SSRC_CHANGE_SECONDS - 0.1)
    assert gate.admit(111, 2, 60, 10.0 + SSRC_CHANGE_SECONDS)


def test_after_a_new_answer_the_stream_may_change_at_once_and_once() -> None:
    gate = Gate(111)
    assert gate.admit(111, 1, 60, 10.0)
    gate.renegotiated()
    assert gate.admit(111, 1, 60, 10.9), "what was under way of the old one"
    assert gate.admit(111, 2, 60, 11.0)
    assert not gate.admit(111, 3, 60, 11.1)
    assert not gate.admit(111, 1, 60, 11.1)
    assert gate.dropped == {"ssrc": 2}


def test_a_burst_passes_and_a_flood_is_held_to_the_rate() -> None:
    gate = Gate(111)
    passed = sum(gate.admit(111, 7, 60, 100.0 + n / 20_000) for n in range(20_000))
    assert BURST_PACKETS <= passed <= BURST_PACKETS + PACKETS_PER_SECOND + 1
    assert gate.dropped["rate"] == 20_000 - passed
