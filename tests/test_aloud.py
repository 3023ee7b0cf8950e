"""Any text becomes sentences that a voice can read, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.standin import aloud


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello! I am here.  Are you?", ["Hello!", "I am here.", "Are you?"]),
        ("Dr. Smith met Mr. Jones. They talked.", ["Dr. Smith met Mr. Jones.", "They talked."]),
        ('He said "stop." Then he went.', ['He said "stop."', "Then he went."]),
        ("It costs 3.50 at 3:07 PM", ["It costs 3.50 at 3:07 PM"]),
        ("Señor Müller, café", ["Señor Müller, café"]),
        ("Hi 你好 there 🎉", ["Hi there"]),
        ("one_two\tthree\nfour", ["one two three four"]),
        ("wow!!!!! great......", ["wow!", "great."]),
        ("你好", []),
        ("!? --- …", []),
        ("", []),
    ],
)
def test_what_can_be_said_is_said_sentence_by_sentence(text: str, sentences: list[str]) -> None:
    assert list(aloud.sentences(text)) == sentences


def test_a_sentence_is_cut_where_one_breathes() -> None:
    first, second = aloud.sentences("so " * 40 + "far, " + "and " * 30 + "on.")
    assert first.endswith("far,")
    assert second.startswith("and")


def test_a_number_that_has_no_name_is_read_by_its_digits() -> None:
    assert list(aloud.sentences("9" * 16)) == ["9 9 9 9 9 9 9 9 9 9 and so on"]
    assert list(aloud.sentences("9" * aloud.MAX_DIGITS)) == ["9" * aloud.MAX_DIGITS]


@pytest.mark.parametrize("text", ["a" * 100_000, "word " * 20_000, "no. " * 25_000, "9" * 100_000, ", " * 50_000])
def test_a_hundred_kilobytes_are_read_only_as_far_as_anybody_listens(text: str) -> None:
    assert sum(len(sentence) + 1 for sentence in aloud.sentences(text)) <= 1.1 * aloud.MAX_TEXT


@given(st.text())
def test_any_text_becomes_short_sentences_of_short_words(text: str) -> None:
    for sentence in aloud.sentences(text):
        assert 0 < len(sentence) <= aloud.MAX_SENTENCE
        assert any(c.isalnum() for c in sentence)
        assert all(len(word) <= aloud.MAX_WORD for word in sentence.split())
        assert list(aloud.sentences(sentence)) == [sentence]
