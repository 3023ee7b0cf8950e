"""Connectivity checks on the wire: written as others read them, read as others write them, and nothing else read."""

import pytest
from aioice import stun as theirs

from relay.webrtc.port import stun
from tests.checker import met

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
# RFC 5769 §2.1 to §2.3
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249"
    "c1b571a280280004e57a3bcf"
)
ANSWER = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)


def test_the_request_of_the_rfc_is_read_and_its_signature_holds_with_its_password_alone() -> None:
    message = stun.read(REQUEST)
    assert message is not None
    assert (message.kind, message.transaction) == (stun.REQUEST, bytes.fromhex("b7e7a701bc34d686fa87dfae"))
    assert (message.user, message.priority) == ("evtj:h6vY", 0x6E0001FF)
    assert message.controlled
    assert not message.nominates
    assert message.size == len(REQUEST)
    assert message.signed_with(PASSWORD)
    assert not message.signed_with(PASSWORD + b"x")
    assert stun.user_of(REQUEST) == "evtj:h6vY"


def test_the_answer_of_the_rfc_is_read() -> None:
    message = stun.read(ANSWER)
    assert message is not None
    assert message.kind == stun.SUCCESS
    assert message.signed_with(PASSWORD)


@pytest.mark.parametrize("cut", [1, 4, 8, 20, 60, 100])
def test_what_was_cut_or_lengthened_is_not_read(cut: int) -> None:
    assert stun.read(REQUEST[:-cut]) is None
    assert stun.read(REQUEST + bytes(cut)) is None


@pytest.mark.parametrize("place", range(0, len(REQUEST), 3))
def test_one_wrong_bit_anywhere_makes_it_strange_or_unsigned(place: int) -> None:
    wrong = bytearray(REQUEST)
    wrong[place] ^= 0x04
    message = stun.read(bytes(wrong))
    assert message is None or not message.signed_with(PASSWORD)


def test_what_is_unsigned_or_has_no_fingerprint_is_not_read() -> None:
    message = theirs.Message(theirs.Method.BINDING, theirs.Class.REQUEST)
    message.attributes["USERNAME"] = "a:b"
    assert stun.read(bytes(message)) is None
    message.add_fingerprint()
    assert stun.read(bytes(message)) is None


def test_what_is_not_covered_by_the_signature_is_not_believed() -> None:
    _, browser = met()
    signed = browser.check()[:-8]
    forged = signed + b"\0\x25\0\0"  # USE-CANDIDATE
    forged = forged[:2] + (len(forged) - 12).to_bytes(2) + forged[4:]
    whole = theirs.message_fingerprint(forged + bytes(8)[:0])
    message = stun.read(forged + b"\x80\x28\0\4" + whole.to_bytes(4))
    assert message is not None
    assert not message.nominates


@pytest.mark.parametrize("address", [("192.0.2.9", 50000), ("2001:db8::9", 443), ("fe80::1%eth0", 9)])
def test_others_read_our_answers(address: tuple[str, int]) -> None:
    answer = theirs.parse_message(stun.success(bytes(range(12)), address, PASSWORD))
    assert answer.message_class == theirs.Class.RESPONSE
    assert answer.transaction_id == bytes(range(12))
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == (address[0].partition("%")[0], address[1])
    assert answer.check_message_integrity(PASSWORD)
    assert "FINGERPRINT" in answer.attributes


def test_others_read_our_refusals_and_questions() -> None:
    refusal = theirs.parse_message(stun.refusal(bytes(12), stun.ROLE_CONFLICT, PASSWORD))
    assert refusal.error_code == 487
    assert refusal.check_message_integrity(PASSWORD)
    question = theirs.parse_message(stun.request(bytes(12), "theirs:ours", 77, b"12345678", PASSWORD))
    assert question.attributes["USERNAME"] == "theirs:ours"
    assert question.attributes["PRIORITY"] == 77
    assert question.attributes["ICE-CONTROLLED"] == int.from_bytes(b"12345678")
    assert question.check_message_integrity(PASSWORD)
