"""Reports of a browser are read as RFC 3550 has them, and ours are ones that another reader understands."""

import struct

import pytest
from aiortc.rtp import RtcpPacket, RtcpRrPacket, RtcpSdesPacket, RtcpSrPacket
from hypothesis import given
from hypothesis import strategies as st

from relay.audio.packet import TICKS_PER_SECOND
from relay.webrtc.reception import Reception
from relay.webrtc.rtcp import MAX_ROUND_TRIP_SECONDS, MAX_SENDERS, ROUNDING_SECONDS, Reports, Sent

OURS = 0xA1B2C3D4
THEIRS = 0x01020304
SECOND = 1 << 32  # of an NTP timestamp
NOW = 3_900_000_000 * SECOND
NOTHING = Sent(0, 0, 0, 0)

# A receiver report with one block and a description behind it, byte by byte after RFC 3550 §6.4.2 and §6.5.
WRITTEN_OUT = bytes.fromhex(
    "81c90007 01020304"  # version 2, one block; receiver report; 8 words; the reporter
    "a1b2c3d4 40 fffffe 0001 1388 000000f0 9abcdef0 00018000"
    "81ca0003 01020304 01 03 616263 00 0000"  # one source; a CNAME, “abc”
)


def reports() -> Reports:
    return Reports(OURS, "a name")


def packet(kind: int, count: int, body: bytes, *, padding: int = 0) -> bytes:
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    return struct.pack("!BBH", 0x80 | bool(padding) << 5 | count, kind, len(body) // 4) + body


def block(ssrc: int, lost: int, lsr: int = 0, dlsr: int = 0) -> bytes:
    return struct.pack("!IIIIII", ssrc, lost << 24, 1, 0, lsr, dlsr)


def receiver_report(*blocks: bytes, extension: bytes = b"", padding: int = 0) -> bytes:
    return packet(201, len(blocks), struct.pack("!I", THEIRS) + b"".join(blocks) + extension, padding=padding)


def sender_report(*blocks: bytes, ssrc: int = THEIRS, ntp: int = NOW) -> bytes:
    return packet(200, len(blocks), struct.pack("!IQIII", ssrc, ntp, 5, 6, 7) + b"".join(blocks))


DESCRIPTION = packet(202, 1, struct.pack("!I", THEIRS) + b"\x01\x03abc\0\0\0")
GOODBYE = packet(203, 1, struct.pack("!I", THEIRS))
WORD = st.integers(0, 2**32 - 1)


def test_a_report_written_out_byte_by_byte_is_read() -> None:
    heard = reports()
    assert heard.take(WRITTEN_OUT, NOW) == [0.25]
    assert heard.loss == 0.25


@given(st.lists(st.tuples(st.sampled_from([OURS, THEIRS]), st.integers(0, 255)), max_size=31), st.booleans())
def test_every_block_about_our_stream_is_read_and_no_other(told: list[tuple[int, int]], sends: bool) -> None:
    blocks = [block(ssrc, lost) for ssrc, lost in told]
    compound = (sender_report if sends else receiver_report)(*blocks) + DESCRIPTION + GOODBYE
    assert reports().take(compound, NOW) == [lost / 256 for ssrc, lost in told if ssrc == OURS]


@given(st.integers(0, 5), st.sampled_from([0, 4, 8, 252]))
def test_what_a_profile_appends_and_padding_are_stepped_over(extension: int, padding: int) -> None:
    compound = receiver_report(block(OURS, 64), extension=bytes(4 * extension), padding=padding)
    assert reports().take(compound, NOW) == [0.25]


@given(st.data())
def test_a_datagram_that_is_cut_says_nothing(data: st.DataObject) -> None:
    first = receiver_report(block(OURS, 64))
    compound = first + DESCRIPTION
    cut = data.draw(st.integers(0, len(compound) - 1).filter(lambda at: at != len(first)))
    assert reports().take(compound[:cut], NOW) == []


@given(st.integers(0, 2**16 - 1))
def test_a_packet_that_lies_about_its_length_says_nothing(length: int) -> None:
    whole = receiver_report(block(OURS, 64))
    lying = whole[:2] + struct.pack("!H", length) + whole[4:]
    assert reports().take(lying, NOW) == ([0.25] if lying == whole else [])


@given(st.integers(2, 31))
def test_a_packet_that_promises_more_blocks_than_it_holds_says_nothing(count: int) -> None:
    assert reports().take(packet(201, count, struct.pack("!I", THEIRS) + block(OURS, 64)), NOW) == []


@pytest.mark.parametrize("padding", [4, 24, 28, 255])
def test_padding_that_eats_the_blocks_says_nothing(padding: int) -> None:
    body = struct.pack("!I", THEIRS) + block(OURS, 64)[:-1] + bytes([padding])
    assert reports().take(struct.pack("!BBH", 0xA1, 201, len(body) // 4) + body, NOW) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.sampled_from([200, 201, 202]), st.integers(0, 20), st.binary(max_size=60)),
        max_size=4,
    )
)
def test_nothing_that_looks_like_reports_raises(pieces: list[tuple[int, int, int, bytes]]) -> None:
    compound = b"".join(struct.pack("!BBH", first, kind, length) + body for first, kind, length, body in pieces)
    for loss in Reports(0, "").take(compound, NOW):
        assert 0 <= loss < 1


@given(st.integers(0, 60 << 16), st.floats(0, MAX_ROUND_TRIP_SECONDS - 1))
def test_the_round_trip_is_the_time_that_the_browser_did_not_hold_our_report(held: int, path: float) -> None:
    heard = reports()
    came = NOW + (held << 16) + int(path * SECOND)
    heard.take(receiver_report(block(OURS, 0, NOW >> 16 & 0xFFFFFFFF, held)), came)
    assert heard.round_trip == pytest.approx(path, abs=2 / (1 << 16))


@pytest.mark.parametrize("seconds", [-2 * ROUNDING_SECONDS, -3600.0, MAX_ROUND_TRIP_SECONDS + 1, 3600.0])
def test_a_round_trip_that_cannot_be_true_changes_nothing(seconds: float) -> None:
    heard = reports()
    heard.take(receiver_report(block(OURS, 0, NOW >> 16 & 0xFFFFFFFF, 0)), NOW + int(seconds * SECOND))
    assert heard.round_trip is None


def test_a_clock_in_whole_milliseconds_makes_no_round_trip_negative() -> None:
    heard = reports()
    heard.take(receiver_report(block(OURS, 0, NOW >> 16 & 0xFFFFFFFF, 66)), NOW)
    assert heard.round_trip == 0.0


def test_what_we_say_of_what_we_sent_is_true_at_the_moment_that_it_leaves() -> None:
    ours = reports().compound(Sent(50, 8000, 48_000, NOW), [], NOW + SECOND // 2)
    sender, description = RtcpPacket.parse(ours)
    assert isinstance(sender, RtcpSrPacket)
    assert (sender.ssrc, sender.reports) == (OURS, [])
    info = sender.sender_info
    assert (info.ntp_timestamp, info.rtp_timestamp) == (NOW + SECOND // 2, 48_000 + TICKS_PER_SECOND // 2)
    assert (info.packet_count, info.octet_count) == (50, 8000)
    assert isinstance(description, RtcpSdesPacket)
    [source] = description.chunks
    assert (source.ssrc, source.items) == (OURS, [(1, b"a name")])


def test_before_anything_was_sent_we_only_say_what_came() -> None:
    reception = Reception(0xFFFE, 0, 0.0)
    for at, sequence in enumerate((0xFFFF, 1), start=1):
        reception.add(sequence, 960 * at, 0.02 * at)
    heard = reports()
    heard.take(sender_report(ntp=NOW), NOW)
    report, _ = RtcpPacket.parse(heard.compound(NOTHING, [(THEIRS, reception)], NOW + 2 * SECOND))
    assert isinstance(report, RtcpRrPacket)
    [about] = report.reports
    assert (about.ssrc, about.packets_lost, about.fraction_lost) == (THEIRS, 1, 64)
    assert about.highest_sequence == 0x10001
    assert (about.lsr, about.dlsr) == (NOW >> 16 & 0xFFFFFFFF, 2 << 16)


@given(st.integers(-(2**23), 2**23 - 1))
def test_a_doubled_packet_is_a_negative_loss(lost: int) -> None:
    reception = Reception(1, 0, 0.0)
    reception.packets_received = reception.packets_expected - lost
    report, _ = RtcpPacket.parse(reports().compound(NOTHING, [(THEIRS, reception)], NOW))
    assert isinstance(report, RtcpRrPacket)
    assert report.reports[0].packets_lost == lost


def test_a_browser_that_invents_senders_takes_no_memory_and_the_newest_is_known() -> None:
    heard = reports()
    for ssrc in range(1, 20 * MAX_SENDERS):
        heard.take(sender_report(ssrc=ssrc), NOW)
    streams = [(ssrc, Reception(0, 0, 0.0)) for ssrc in range(20 * MAX_SENDERS - 31, 20 * MAX_SENDERS)]
    report, _ = RtcpPacket.parse(heard.compound(NOTHING, streams, NOW))
    assert isinstance(report, RtcpRrPacket)
    assert [block.lsr != 0 for block in report.reports] == [False] * (31 - MAX_SENDERS) + [True] * MAX_SENDERS
