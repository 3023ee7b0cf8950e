"""Pieces of transcript become sentences."""

from hypothesis import given
from hypothesis import strategies as st

from relay.sentences import MAX_SENTENCE, Sentence, Sentences, letters


def spoken(*pieces: str) -> list[str]:
    """All sentences of these pieces, the flushed rest included."""
    sentences = Sentences()
    whole = [sentence for piece in pieces for sentence in sentences.add(piece, 0)]
    return [sentence.text for sentence in whole + sentences.flush()]


def test_pieces_with_leading_spaces_are_joined_as_they_come() -> None:
    assert spoken("Hel", "lo", " there.", " Nice to", " meet you!", " Bye") == [
        "Hello there.",
        "Nice to meet you!",
        "Bye",
    ]


def test_pieces_with_trailing_spaces_are_joined_as_they_come() -> None:
    assert spoken("Hello Marcelo, nice ", "to meet you. ", "How are ", "you?") == [
        "Hello Marcelo, nice to meet you.",
        "How are you?",
    ]


def test_a_sentence_is_told_as_soon_as_the_next_one_begins() -> None:
    sentences = Sentences()
    assert sentences.add("Yes.", 0) == []
    assert sentences.add(" It", 100) == [Sentence("Yes.", 0)]
    assert sentences.flush() == [Sentence("It", 100)]
    assert not sentences
    assert sentences.flush() == []


def test_a_full_stop_within_a_word_or_behind_a_title_ends_nothing() -> None:
    for text in (
        "It is 3.5 degrees.",
        "Ask Dr. Smith.",
        "J. S. Bach wrote it.",
        "Use a map, e.g. this one.",
        "Am 3. Oktober ist frei.",
        "See relay.py for that.",
    ):
        assert spoken(text) == [text]
    assert spoken("It costs 3", ".", "5 euros.") == ["It costs 3.5 euros."]


def test_quotes_and_brackets_close_with_their_sentence() -> None:
    assert spoken('He said "Stop!" Then (at last.) it did…') == ['He said "Stop!"', "Then (at last.)", "it did…"]


def test_scripts_without_spaces_and_lines_end_sentences_too() -> None:
    assert spoken("你好。我很好！再见") == ["你好。", "我很好！", "再见"]
    assert spoken("नमस्ते। कैसे हैं?") == ["नमस्ते।", "कैसे हैं?"]
    assert spoken("- one\n- two\n") == ["- one", "- two"]


def test_a_sentence_begins_where_its_first_word_does() -> None:
    sentences = Sentences()
    assert sentences.add("One two", 10) == []
    assert sentences.add(" three. ", 16) == [Sentence("One two three.", 10)]
    assert sentences.add(" ", 22) == []
    assert sentences.add("Four. Five", 22) == [Sentence("Four.", 22)]
    assert sentences.add(" six", 31) == []
    assert sentences.flush() == [Sentence("Five six", 27)]


def test_a_sign_for_a_syllable_takes_as_long_as_three_letters() -> None:
    assert letters("Hello you") == 8
    assert letters("Grüße") == 5
    assert letters("你好。") == letters("한국어") == 9
    sentences = Sentences()
    assert sentences.add("你好。我", 0) == [Sentence("你好。", 0)]
    assert sentences.flush() == [Sentence("我", 9)]


def test_what_is_cut_ends_with_the_last_word_that_was_reached() -> None:
    for reached, left in [(16, "I think"), (19, "I think"), (20, "I think that"), (99, "I think that you")]:
        sentences = Sentences()
        sentences.add("I think", 10)
        sentences.add(" that you", 16)
        assert sentences.cut(range(reached + 1).__contains__) == [Sentence(left, 10)]
        assert sentences.flush() == []


def test_nothing_is_left_where_no_word_was_reached() -> None:
    sentences = Sentences()
    assert sentences.cut(lambda letter: True) == []
    sentences.add("I think", 10)
    assert sentences.cut(lambda letter: False) == []


def test_a_long_sentence_is_cut_at_a_comma_or_else_at_a_space_or_else_anywhere() -> None:
    clause = "a" * 190 + ", " + "b" * 190
    assert spoken(clause) == ["a" * 190 + ",", "b" * 190]
    assert spoken("c" * 200 + " " + "d" * 200) == ["c" * 200, "d" * 200]
    assert [len(text) for text in spoken("e" * (2 * MAX_SENTENCE + 1))] == [MAX_SENTENCE, MAX_SENTENCE, 1]


@given(st.lists(st.text(alphabet='ab .!?\n,。"3')))
def test_however_text_is_cut_no_character_is_lost_and_none_comes_twice(pieces: list[str]) -> None:
    sentences = Sentences()
    told, at = [], 0
    for piece in pieces:
        told += sentences.add(piece, at)
        at += letters(piece)
    told += sentences.flush()
    whole = "".join(pieces)
    assert "".join("".join(sentence.text for sentence in told).split()) == "".join(whole.split())
    assert all(sentence.text.strip() == sentence.text and sentence.text for sentence in told)
    assert all(len(sentence.text) <= MAX_SENTENCE for sentence in told)
    places = {letters(whole[:index]): index for index in range(len(whole))}
    assert all(whole.startswith(sentence.text, places[sentence.at]) for sentence in told)
    ends = [sentence.at + letters(sentence.text) for sentence in told]
    assert all(end <= begun.at for end, begun in zip(ends, told[1:], strict=False))
