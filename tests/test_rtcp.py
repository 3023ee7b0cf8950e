"""Reports of a browser are read as RFC 3550 has them; what is cut or lies is no report, and nothing is raised."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.webrtc.rtcp import MAX_ROUND_TRIP_SECONDS, ROUNDING_SECONDS, UNITS_PER_SECOND, Report, reports, round_trip

OURS = 0xA1B2C3D4
THEIRS = 0x01020304

# A receiver report with one block and a description behind it, byte by byte after RFC 3550 §6.4.2 and §6.5.
WRITTEN_OUT = bytes.fromhex(
    "81c90007 01020304"  # version 2, one block; receiver report; 8 words; the reporter
    "a1b2c3d4 40 fffffe 0001 1388 000000f0 9abcdef0 00018000"
    "81ca0003 01020304 01 03 616263 00 0000"  # one source; a CNAME, “abc”
)


def words(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def packet(kind: int, count: int, body: bytes, *, padding: int = 0) -> bytes:
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    return struct.pack("!BBH", 0x80 | bool(padding) << 5 | count, kind, len(body) // 4) + body


def block(ssrc: int, report: Report) -> bytes:
    loss = round(report.fraction_lost * 256) << 24 | report.lost & 0xFFFFFF
    return struct.pack("!IIIIII", ssrc, loss, report.highest, report.jitter, report.lsr, report.dlsr)


def receiver_report(*blocks: bytes, extension: bytes = b"", padding: int = 0) -> bytes:
    return packet(201, len(blocks), struct.pack("!I", THEIRS) + b"".join(blocks) + extension, padding=padding)


def sender_report(*blocks: bytes) -> bytes:
    return packet(200, len(blocks), struct.pack("!IQIII", THEIRS, 1 << 40, 5, 6, 7) + b"".join(blocks))


DESCRIPTION = packet(202, 1, words(struct.pack("!I", THEIRS) + b"\x01\x03abc\0"))
GOODBYE = packet(203, 1, struct.pack("!I", THEIRS))

WORD = st.integers(0, 2**32 - 1)
REPORT = st.builds(
    Report, st.integers(0, 255).map(lambda n: n / 256), st.integers(-(2**23), 2**23 - 1), WORD, WORD, WORD, WORD
)
QUIET = Report(0.0, 0, 1, 0, 0, 0)


def test_a_report_written_out_byte_by_byte_is_read() -> None:
    assert reports(WRITTEN_OUT, OURS) == [Report(0.25, -2, 0x00011388, 240, 0x9ABCDEF0, 0x18000)]


@given(st.lists(st.tuples(st.sampled_from([OURS, THEIRS]), REPORT), max_size=31), st.booleans())
def test_every_block_about_our_stream_is_read_and_no_other(told: list[tuple[int, Report]], sends: bool) -> None:
    blocks = [block(ssrc, report) for ssrc, report in told]
    compound = (sender_report if sends else receiver_report)(*blocks) + DESCRIPTION + GOODBYE
    assert reports(compound, OURS) == [report for ssrc, report in told if ssrc == OURS]


@given(REPORT, REPORT)
def test_several_reports_in_one_datagram_come_in_their_order(first: Report, second: Report) -> None:
    compound = receiver_report(block(OURS, first)) + DESCRIPTION + sender_report(block(OURS, second))
    assert reports(compound, OURS) == [first, second]


@given(REPORT, st.integers(0, 5), st.sampled_from([0, 4, 8, 252]))
def test_what_a_profile_appends_and_padding_are_stepped_over(report: Report, extension: int, padding: int) -> None:
    compound = receiver_report(block(OURS, report), extension=bytes(4 * extension), padding=padding)
    assert reports(compound, OURS) == [report]


@given(REPORT, st.data())
def test_a_datagram_that_is_cut_says_nothing(report: Report, data: st.DataObject) -> None:
    first = receiver_report(block(OURS, report))
    compound = first + DESCRIPTION
    cut = data.draw(st.integers(0, len(compound) - 1).filter(lambda at: at != len(first)))
    assert reports(compound[:cut], OURS) == []


@given(REPORT, st.integers(0, 2**16 - 1))
def test_a_packet_that_lies_about_its_length_says_nothing(report: Report, length: int) -> None:
    whole = receiver_report(block(OURS, report))
    lying = whole[:2] + struct.pack("!H", length) + whole[4:]
    assert reports(lying, OURS) == ([report] if lying == whole else [])


@given(st.integers(2, 31))
def test_a_packet_that_promises_more_blocks_than_it_holds_says_nothing(count: int) -> None:
    assert reports(packet(201, count, struct.pack("!I", THEIRS) + block(OURS, QUIET)), OURS) == []


@pytest.mark.parametrize("padding", [4, 24, 28, 255])
def test_padding_that_eats_the_blocks_says_nothing(padding: int) -> None:
    body = struct.pack("!I", THEIRS) + block(OURS, QUIET)[:-1] + bytes([padding])
    assert reports(struct.pack("!BBH", 0xA1, 201, len(body) // 4) + body, OURS) == []


def test_another_version_says_nothing() -> None:
    whole = receiver_report(block(OURS, QUIET))
    assert reports(bytes([whole[0] & 0x3F | 0x40]) + whole[1:], OURS) == []


@given(st.binary(max_size=200), WORD)
def test_no_bytes_raise(junk: bytes, ssrc: int) -> None:
    reports(junk, ssrc)


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.sampled_from([200, 201, 202]), st.integers(0, 20), st.binary(max_size=60)),
        max_size=4,
    )
)
def test_nothing_that_looks_like_reports_raises(pieces: list[tuple[int, int, int, bytes]]) -> None:
    compound = b"".join(struct.pack("!BBH", first, kind, length) + body for first, kind, length, body in pieces)
    for report in reports(compound, 0):
        assert 0 <= report.fraction_lost < 1


@given(WORD.filter(bool), st.integers(0, 60 * UNITS_PER_SECOND), st.floats(0, MAX_ROUND_TRIP_SECONDS - 1))
def test_the_round_trip_is_the_time_that_the_browser_did_not_hold_it(sent: int, held: int, path: float) -> None:
    arrived = (sent + held + round(path * UNITS_PER_SECOND)) & 0xFFFFFFFF
    found = round_trip(QUIET._replace(lsr=sent, dlsr=held), arrived)
    assert found is not None
    assert abs(found - path) <= 1 / UNITS_PER_SECOND


def test_before_our_first_sender_report_there_is_no_round_trip() -> None:
    assert round_trip(QUIET, 12345) is None


def test_a_clock_in_whole_milliseconds_makes_no_round_trip_negative() -> None:
    report = QUIET._replace(lsr=1000, dlsr=round(0.001 * UNITS_PER_SECOND))
    assert round_trip(report, 1000) == 0.0


@pytest.mark.parametrize("seconds", [-2 * ROUNDING_SECONDS, -3600.0, MAX_ROUND_TRIP_SECONDS + 1, 3600.0])
def test_a_round_trip_that_cannot_be_true_is_none(seconds: float) -> None:
    arrived = (5 + round(seconds * UNITS_PER_SECOND)) & 0xFFFFFFFF
    assert round_trip(QUIET._replace(lsr=5), arrived) is None
