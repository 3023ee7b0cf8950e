"""The table of faults: what each party is told."""

import logging
import re
from pathlib import Path

import pytest

from relay.errors import FAULTS, BrowserFault, Fault, ModelFault, OurBug, RelayError

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("code", FAULTS)
def test_every_code_is_a_plain_name_with_a_status_and_a_whole_sentence(code: str) -> None:
    fault = FAULTS[code]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert 400 <= fault.status <= 599
    assert fault.sentence[0].isupper()
    assert fault.sentence.endswith(".")
    assert fault.level in (logging.INFO, logging.WARNING, logging.ERROR)


def test_the_browsers_faults_never_look_like_ours() -> None:
    """A 5xx makes the official clients try again; that must be worth it."""
    for code in ("bad-sdp", "no-opus", "sdp-too-large", "unknown-peer", "unknown-session", "bad-json", "bad-request"):
        assert FAULTS[code].status < 500, code


def test_what_is_told_has_the_sentence_and_nothing_foreign() -> None:
    told = BrowserFault("bad-sdp", "the caller's own words").told()
    assert told == {"code": "bad-sdp", "info": FAULTS["bad-sdp"].sentence, "detail": FAULTS["bad-sdp"].sentence}


def test_a_hint_of_our_own_words_is_told_beside_the_sentence() -> None:
    told = BrowserFault("bad-request", "secret", hint="The field sdp is missing.").told()
    assert told["detail"] == "The field sdp is missing."
    assert told["info"] == f"{FAULTS['bad-request'].sentence} The field sdp is missing."
    assert "secret" not in str(told)


def test_the_detail_is_for_the_log() -> None:
    assert str(ModelFault("key-refused", "API key not valid")) == "key-refused: API key not valid"
    assert str(ModelFault("key-refused")) == "key-refused"


def test_our_bug_is_internal() -> None:
    assert OurBug("why").code == "internal"
    assert isinstance(OurBug(), RelayError)


def test_an_unknown_code_is_a_mistake_at_once() -> None:
    with pytest.raises(KeyError):
        BrowserFault("no-such-code")


def test_every_code_that_the_source_names_is_in_the_table() -> None:
    named = set()
    raised = re.compile(r"(?:BrowserFault|ModelFault|OwnerFault|RelayError)\(\s*\"([a-z-]+)\"")
    for room in ("relay", "signaling"):
        for path in (ROOT / room).rglob("*.py"):
            named |= set(raised.findall(path.read_text()))
    assert "bad-sdp" in named
    assert sorted(named - FAULTS.keys()) == []


def test_a_fault_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Fault(400, "A sentence.").status = 500  # type: ignore[misc]
