"""Redundant audio data: what is written is read again, and what is cut or lies is nothing."""

import random
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.audio import red
from relay.audio.red import MAX_BLOCK_BYTES, MAX_BLOCKS, MAX_TICKS_BEFORE, Block, Red

OPUS: Final = 111
# What Chromium sent for `0x48 "new"` after `0x48 "old"`, 20 ms before.
CHROMIUM: Final = bytes([0x80 | OPUS, 960 >> 6, (960 & 0x3F) << 2, 4, OPUS]) + b"\x48old\x48new"

BLOCKS: Final = st.lists(
    st.tuples(st.integers(0, MAX_TICKS_BEFORE), st.binary(max_size=MAX_BLOCK_BYTES)), max_size=MAX_BLOCKS
)


def test_a_browsers_packet_is_its_own_and_one_copy_of_the_one_before() -> None:
    assert red.read(CHROMIUM, OPUS) == Red(b"\x48new", (Block(960, b"\x48old"),))
    assert red.write(b"\x48new", [(960, b"\x48old")], OPUS) == CHROMIUM


def test_the_first_packet_of_a_stream_has_no_copy() -> None:
    assert red.read(bytes([OPUS]) + b"\x48new", OPUS) == Red(b"\x48new", ())


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=1200), BLOCKS, st.integers(0, 127))
def test_what_is_written_is_read_again(primary: bytes, redundant: list[tuple[int, bytes]], payload_type: int) -> None:
    written = red.write(primary, redundant, payload_type)
    assert red.read(written, payload_type) == (primary, tuple(redundant))
    assert red.primary(written, payload_type) == primary


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from([0x80 | OPUS, OPUS, 0, 1, 2, 3, 4, 255]), max_size=60).map(bytes),
    )
)
@example(b"")
@example(bytes([0x80 | OPUS]))
@example(bytes([OPUS]))
@example(bytes([0x80 | OPUS, 0, 0, 1, OPUS]))
def test_anything_is_read_or_refused_and_read_the_same_both_ways(payload: bytes) -> None:
    found = red.read(payload, OPUS)
    assert red.primary(payload, OPUS) == (found.primary if found else b"")
    if found is not None:
        assert found.primary
        assert red.write(*found, OPUS) == payload


def test_a_packet_cut_anywhere_before_its_own_sound_is_refused() -> None:
    whole = red.write(b"\x48new", [(1920, b"\x48older"), (960, b"\x48old")], OPUS)
    for size in range(len(whole) - len(b"\x48new") + 1):
        assert red.read(whole[:size], OPUS) is None


@pytest.mark.parametrize("at", [0, 4, 8])
def test_a_foreign_payload_type_anywhere_inside_is_refused(at: int) -> None:
    whole = bytearray(red.write(b"\x48new", [(1920, b"\x48older"), (960, b"\x48old")], OPUS))
    assert red.read(bytes(whole), OPUS) is not None
    whole[at] ^= 1
    assert red.read(bytes(whole), OPUS) is None


def test_a_copy_that_claims_more_than_there_is_is_refused() -> None:
    lie = bytearray(CHROMIUM)
    lie[3] = 8  # the copy and all of the packet itself
    assert red.read(bytes(lie), OPUS) is None
    assert red.primary(bytes(lie), OPUS) == b""


def test_more_copies_than_any_browser_sends_are_refused() -> None:
    header, block = CHROMIUM[:4], CHROMIUM[5:9]
    for count, read in ((MAX_BLOCKS, True), (MAX_BLOCKS + 1, False)):
        packet = header * count + bytes([OPUS]) + block * count + b"\x48new"
        assert (red.read(packet, OPUS) is not None) == read


@pytest.mark.parametrize("block", [(MAX_TICKS_BEFORE + 1, b"copy"), (960, bytes(MAX_BLOCK_BYTES + 1))])
def test_a_copy_that_cannot_be_expressed_is_left_out(block: tuple[int, bytes]) -> None:
    assert red.read(red.write(b"new", [block, (960, b"old")], OPUS), OPUS) == Red(b"new", (Block(960, b"old"),))


def test_of_more_copies_than_are_read_the_newest_are_written() -> None:
    copies = [(960 * before, bytes([before])) for before in range(MAX_BLOCKS + 2, 0, -1)]
    found = red.read(red.write(b"new", copies, OPUS), OPUS)
    assert found == Red(b"new", tuple(Block(*copy) for copy in copies[2:]))


def test_bytes_flipped_at_random_are_read_or_refused() -> None:
    rng = random.Random(2198)
    whole = red.write(bytes(60), [(1920, bytes(50)), (960, bytes(40))], OPUS)
    kinds = set()
    for _ in range(5000):
        packet = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            packet[rng.randrange(12)] = rng.randrange(256)
        kinds.add(red.read(bytes(packet), OPUS) is None)
    assert kinds == {True, False}
