"""An utterance that is part of what is being said does not count; another one does."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.standin.wits import skills
from relay.standin.wits.own import is_own

SAYING: Final = "17 times 6 is 102. The capital of the United Kingdom is London. I can tell you the time and the date."


@pytest.mark.parametrize(
    "heard",
    [
        "The capital of the United Kingdom is London.",
        "capital of the United Kingdom",
        "Kingdom is London",
        "London.",
        "the capital of the united kin",  # cut within a word
        "The capital of United Kingdom is Lunden",
        "Seventeen times six is one hundred and two.",
        "is 102, the capital",
        "tell you the time and a date",
    ],
)
def test_what_is_being_said_is_its_own(heard: str) -> None:
    assert is_own(heard, SAYING)


@pytest.mark.parametrize(
    "heard",
    [
        "Stop.",
        "What is the capital of France?",
        "No, wait.",
        "How much is 17 times 7?",
        "Tell me a joke.",
        "What time is it?",
        "Paris",
        "London calling",
        "",
        "...",
    ],
)
def test_what_somebody_else_says_counts(heard: str) -> None:
    assert not is_own(heard, SAYING)


def test_nothing_is_part_of_silence() -> None:
    assert not is_own("Hello.", "")


@given(st.data())
def test_every_stretch_of_it_is_its_own(data: st.DataObject) -> None:
    words = " ".join(skills.HELP).split()
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    assert is_own(" ".join(words[start:end]).upper(), " ".join(words))


@settings(deadline=None)
@given(st.text(max_size=3000), st.text(max_size=5000))
def test_any_text_may_be_asked_about(heard: str, saying: str) -> None:
    assert is_own(heard, saying) in (True, False)


def test_a_hundred_kilobytes_are_looked_at_only_as_far_as_they_may_be_in_the_air() -> None:
    assert not is_own("never said before " * 6_000, "what is said " * 8_000)
    assert is_own("what is said", "what is said " * 8_000)
    assert not is_own("the very beginning", "the very beginning " + "what is said " * 8_000)
