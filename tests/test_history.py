"""What was said and heard, in virtual time: whatever the order of events, no more than the listener heard, once."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.history import MAX_CHARACTERS, MAX_NAME, MAX_TURNS, SEED_CHARACTERS, History
from relay.pace import SAMPLES_PER_LETTER
from relay.prior import prior_turns
from relay.reply import MAX_TURN
from relay.transcript import MAX_TOOL, How, Role, Turn

RATE = 24_000


def turns(history: History, now: float = 0.0) -> list[tuple[str, str]]:
    return [(turn.role.value, turn.text) for turn in history.transcript(now).turns if turn.tool is None]


def heard(history: History, now: float = 0.0) -> str:
    """The model's last turn."""
    told = [turn.text for turn in history.transcript(now).turns if turn.role is Role.MODEL]
    return told[-1] if told else ""


def complete(history: History, position: int, now: float) -> None:
    """The model's turn is over, and so is its sound at `position`."""
    history.end(position, now)
    history.complete(now)


def cut(history: History, position: int, now: float) -> None:
    history.played(position, now)
    history.cut(now)


# -- the user -------------------------------------------------------------------------------------------------


def test_what_the_user_says_and_types_is_whole_and_in_order() -> None:
    history = History(100.0)
    history.asked(" What is it? ", 102.5, began=101.0)
    history.asked("Well?", 103.0, how=How.TYPED)
    history.wrote(Role.MODEL, "It rains.", 104.0)
    one, two, three = history.transcript(110.0).turns
    assert one == Turn(Role.USER, "What is it?", How.SPOKEN, 1.0, 2.5, number=0)
    assert (two.text, two.how, two.began, two.ended) == ("Well?", How.TYPED, 3.0, 3.0)
    assert (three.role, three.text, three.how) == (Role.MODEL, "It rains.", How.TYPED)


def test_words_that_are_heard_late_stand_before_the_answer_that_has_begun() -> None:
    history = History(0.0)
    history.asked("What", 1.0)
    history.sound(0, 1.5)
    history.said("It rains.", 0, 1.5)
    history.asked("is it?", 1.6, late=True)
    complete(history, RATE, 2.0)
    history.played(RATE, 2.6)
    history.asked("Thanks.", 3.0, late=True)
    assert turns(history) == [
        ("user", "What"),
        ("user", "is it?"),
        ("assistant", "It rains."),
        ("user", "Thanks."),
    ]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_nothing_is_no_turn(text: str) -> None:
    history = History(0.0)
    history.asked(text, 1.0)
    history.said(text, 0, 1.0)
    complete(history, 0, 1.0)
    assert turns(history) == []


# -- the model ------------------------------------------------------------------------------------------------


def test_each_word_is_heard_at_its_sample_and_not_one_before() -> None:
    history = History(0.0)
    history.said("One two three.", 0, 0.0)  # 12 letters, which sound within a second
    history.end(RATE, 0.1)
    for letters, before, after in [(3, "", "One"), (6, "One", "One two"), (12, "One two", "One two three.")]:
        sample = letters * RATE // 12
        history.played(sample - 1, 0.0)
        assert heard(history) == before
        history.played(sample, 0.0)
        assert heard(history) == after


def test_an_interruption_cuts_behind_the_last_whole_word_that_was_heard() -> None:
    for position, left in [(0, ""), (RATE // 2 - 1, "One"), (RATE // 2, "One two"), (RATE - 1, "One two")]:
        history = History(0.0)
        history.sound(0, 1.0)
        history.said("One two three.", 0, 1.0)
        history.end(RATE, 1.0)
        history.started(1.0)
        cut(history, position, 2.0)
        history.played(RATE, 2.0)  # the playout goes over what was not heard
        told = history.transcript(3.0).turns
        assert [(turn.text, turn.interrupted, turn.began, turn.ended) for turn in told] == (
            [(left, True, 1.0, 2.0)] if left else []
        )


def test_where_the_end_is_not_known_letters_are_slow_and_the_last_word_waits() -> None:
    history = History(0.0)
    history.said("One two", 0, 0.0)
    history.played(3 * SAMPLES_PER_LETTER - 1, 1.0)
    assert heard(history) == ""
    history.played(3 * SAMPLES_PER_LETTER, 1.0)
    assert heard(history) == "One"
    history.played(100 * SAMPLES_PER_LETTER, 1.0)
    assert heard(history) == "One"
    history.said(" three", 100 * SAMPLES_PER_LETTER, 1.0)
    assert heard(history) == "One two"


def test_pieces_are_joined_within_words() -> None:
    history = History(0.0)
    for number, piece in enumerate([" It", " is Mo", "nda", "y", ".", " Good"]):
        history.said(piece, number * 1000, 0.0)
    history.played(2000, 0.0)
    assert heard(history) == "It is"
    history.played(4999, 0.0)
    assert heard(history) == "It is"
    history.played(5000, 0.0)
    assert heard(history) == "It is Monday."


def test_a_script_without_spaces_is_cut_between_its_signs() -> None:
    history = History(0.0)
    history.said("今天天气", 0, 0.0)
    history.end(4 * 1200, 0.0)
    cut(history, 2 * 1200, 1.0)
    assert heard(history) == "今天"


def test_an_interruption_cuts_turns_that_were_whole_but_not_yet_heard() -> None:
    history = History(0.0)
    for number, text in enumerate(["One two.", "Three four.", "Five."]):
        history.said(text, number * RATE, 0.0)
        complete(history, (number + 1) * RATE, 0.0)
    cut(history, RATE + RATE // 2, 2.0)
    told = history.transcript(3.0).turns
    assert [(turn.text, turn.interrupted) for turn in told] == [("One two.", False), ("Three", True)]


def test_what_comes_after_an_interruption_is_another_turn() -> None:
    history = History(0.0)
    history.said("One two", 0, 0.0)
    cut(history, 5000, 0.1)
    history.said("Three", 5000, 1.0)
    complete(history, 10_000, 1.0)
    history.played(10_000, 2.0)
    assert [text for _, text in turns(history)][-1] == "Three"


def test_text_without_sound_stands_when_the_turn_is_complete() -> None:
    history = History(0.0)
    history.said("It rains.", 0, 1.0)
    assert turns(history) == []
    complete(history, 0, 2.0)
    (turn,) = history.transcript(3.0).turns
    assert (turn.text, turn.how) == ("It rains.", How.WRITTEN)


def test_a_silent_reply_is_read_as_it_is_written() -> None:
    history = History(0.0)
    history.said("It", 0, 1.0, silent=True)
    history.said(" rains.", 0, 1.5, silent=True)
    (turn,) = history.transcript(3.0).turns
    assert (turn.text, turn.how, turn.began, turn.ended) == ("It rains.", How.WRITTEN, 1.0, 1.5)
    complete(history, 0, 2.0)
    history.said("And snows.", 0, 3.0)  # that is heard, in its own time
    assert heard(history) == "It rains."
    complete(history, RATE, 3.1)
    history.played(RATE, 4.0)
    assert heard(history) == "And snows."


def test_the_times_are_those_at_which_it_was_heard() -> None:
    history = History(10.0)
    history.sound(0, 12.0)
    history.said("One two.", 0, 12.0)
    history.started(12.1)
    complete(history, 2 * RATE, 12.2)
    history.said("Three.", 2 * RATE, 12.3)
    complete(history, 3 * RATE, 12.4)
    history.played(2 * RATE + RATE // 2, 14.6)
    one = history.transcript(20.0).turns[0]
    assert one.began == pytest.approx(2.1)
    assert one.ended == pytest.approx(4.1)
    history.played(3 * RATE, 15.1)
    two = history.transcript(20.0).turns[1]
    assert two.began == pytest.approx(4.1)
    assert two.ended == pytest.approx(5.1)


# -- tools ----------------------------------------------------------------------------------------------------


def test_calls_of_functions_stand_with_what_came_of_them() -> None:
    history = History(0.0)
    arguments = {"sides": 6}
    history.called("a", "roll", arguments, 1.0)
    history.called("b", "wait", {}, 1.0)
    history.called("c", "look", {}, 1.0)
    arguments["sides"] = 0  # a copy is kept
    history.returned("a", {"output": 4}, 1.5)
    history.cancelled("b", 1.6)
    history.returned("a", {"output": 5}, 1.7)
    history.returned("no such", {}, 1.7)
    told = [turn.tool for turn in history.transcript(2.0).turns]
    assert [(tool.name, tool.arguments, tool.result, tool.state) for tool in told if tool] == [
        ("roll", {"sides": 6}, {"output": 4}, "answered"),
        ("wait", {}, None, "cancelled"),
        ("look", {}, None, "open"),
    ]


@pytest.mark.parametrize("value", ["x" * MAX_TOOL, float("nan"), object()])
def test_what_a_function_was_given_or_gave_is_kept_if_it_is_short_and_json(value: Any) -> None:
    history = History(0.0)
    history.called("a", "n" * 1000, value, 1.0)
    history.returned("a", value, 1.0)
    (turn,) = history.transcript(1.0).turns
    assert turn.tool is not None
    assert (len(turn.tool.name), turn.tool.arguments, turn.tool.result) == (MAX_NAME, None, None)
    assert turn.tool.state == "answered"


# -- for another session of the model -------------------------------------------------------------------------


def test_it_knows_what_is_new_since_a_mark() -> None:
    history = History(0.0, prior=prior_turns({"history": [{"role": "user", "text": "Before."}]}))
    history.asked("One.", 1.0)
    mark = history.mark
    assert history.since(mark) == []
    history.asked("Two.", 2.0)
    history.called("a", "roll", {}, 2.1)
    history.said("Three four.", 0, 2.2)
    complete(history, RATE, 2.2)
    assert history.since(mark) == [("user", "Two.")]
    history.played(RATE // 2, 2.7)
    assert history.since(mark) == [("user", "Two."), ("model", "Three")]
    history.played(RATE, 3.2)
    history.asked("Five.", 4.0)
    history.asked("Six.", 5.0)
    assert history.since(mark) == [("user", "Two."), ("model", "Three four."), ("user", "Five.\nSix.")]
    assert history.since(0)[0] == ("user", "Before.\nOne.\nTwo.")


def test_a_seed_is_the_newest_whole_turns_that_fit() -> None:
    history = History(0.0, prior=[Turn(Role.USER, "0" * 100, How.PRIOR)])
    for role in (Role.MODEL, Role.USER, Role.MODEL):
        history.wrote(role, "x" * 10, 1.0)
    seeds = {limit: history.since(history.lately(limit)) for limit in (0, 9, 10, 31, 32, SEED_CHARACTERS)}
    assert seeds[32] == [("model", "x" * 10), ("user", "x" * 10), ("model", "x" * 10)]
    assert seeds[31] == [("user", "x" * 10), ("model", "x" * 10)]
    assert seeds[10] == [("model", "x" * 10)]
    assert seeds[9] == seeds[0] == []
    assert len(seeds[SEED_CHARACTERS]) == 4


def test_between_two_marks_is_what_was_said_before_the_second_though_it_became_known_later() -> None:
    history = History(0.0)
    history.said("Yes.", 0, 1.0)
    complete(history, RATE, 1.0)
    history.played(RATE, 2.0)
    mark = history.mark
    history.asked("Is it?", 2.0)
    assert history.since(0, mark) == [("model", "Yes.")]
    assert history.since(0, 0) == []
    assert history.since(mark, mark) == []
    late = History(0.0)
    late.said("Yes.", 0, 1.0)
    mark = late.mark
    late.asked("Is it?", 1.1, late=True)
    complete(late, RATE, 1.2)
    late.played(RATE, 2.0)
    assert late.since(0, mark) == [("user", "Is it?"), ("model", "Yes.")]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=20), st.integers(0, 300))
def test_a_seed_never_exceeds_its_limit_and_ends_with_the_newest_turn(told: list[tuple[bool, int]], limit: int) -> None:
    history = History(0.0)
    for number, (user, characters) in enumerate(told):
        history.wrote(Role.USER if user else Role.MODEL, chr(97 + number) * characters, 1.0)
    seed = history.since(history.lately(limit))
    assert sum(len(text) for _, text in seed) <= limit
    lines = [line for _, text in seed for line in text.split("\n")]
    assert lines == [chr(97 + number) * told[number][1] for number in range(len(told) - len(lines), len(told))]
    assert all(one[0] != two[0] for one, two in pairwise(seed))


# -- better text ----------------------------------------------------------------------------------------------


def test_a_better_text_takes_the_place_of_a_turns_once_it_is_over() -> None:
    history = History(0.0)
    history.asked("Wether?", 1.0)
    history.said("It rains.", 0, 1.0)
    (user,) = history.transcript(1.0).turns
    assert history.correct(user.number, " Weather? ")
    assert not history.correct(user.number, "  ")
    assert not history.correct(user.number + 1, "It pours.")
    complete(history, RATE, 1.0)
    history.played(RATE, 2.0)
    assert history.correct(user.number + 1, "It pours.")
    assert not history.correct(99, "Nobody.")
    assert turns(history) == [("user", "Weather?"), ("assistant", "It pours.")]


# -- bounds ---------------------------------------------------------------------------------------------------


def test_the_oldest_turns_go_and_are_counted() -> None:
    history = History(0.0)
    for number in range(MAX_TURNS + 3):
        history.asked(f"Turn {number}.", 1.0)
    told = history.transcript(1.0)
    assert (len(told.turns), told.dropped, told.turns[0].text) == (MAX_TURNS, 3, "Turn 3.")


def test_a_model_that_never_ends_takes_bounded_memory_and_time() -> None:
    history = History(0.0)
    for _ in range(40):
        history.said("blah " * 5000, 0, 1.0)
        assert history.transcript(1.0).characters <= MAX_CHARACTERS
    complete(history, 0, 1.0)
    told = history.transcript(1.0)
    assert MAX_CHARACTERS - MAX_TURN <= sum(len(turn.text) for turn in told.turns) <= MAX_CHARACTERS
    assert max(len(turn.text) for turn in told.turns) <= MAX_TURN
    assert told.dropped > 0


def test_a_very_long_turn_goes_on_in_another_and_nothing_of_it_is_lost() -> None:
    history = History(0.0)
    text = " ".join(f"w{number:05}" for number in range(6000))
    for at in range(0, len(text), 999):
        history.said(text[at : at + 999], at * 1200, 1.0)
    complete(history, len(text) * 1200, 1.0)
    history.played(len(text) * 1200, 9.0)
    told = [turn.text for turn in history.transcript(9.0).turns]
    assert len(told) == 3
    assert "".join("".join(told).split()) == "".join(text.split())


def test_tools_and_long_words_of_the_user_count_towards_the_bounds() -> None:
    history = History(0.0)
    for number in range(MAX_CHARACTERS // 1000 + 10):
        history.called(str(number), "look", "x" * 500, 1.0)
        history.returned(str(number), "y" * 500, 1.0)
    assert history.transcript(1.0).characters < MAX_CHARACTERS * 1.2
    assert history.transcript(1.0).dropped > 0
    history.asked("x" * (MAX_TURN + 1), 2.0)
    assert [len(turn.text) for turn in history.transcript(2.0).turns[-2:]] == [MAX_TURN, 1]


def test_a_seed_is_a_small_part_of_what_is_kept() -> None:
    assert SEED_CHARACTERS < MAX_CHARACTERS


def test_what_cannot_be_written_down_becomes_a_question_mark() -> None:
    history = History(0.0)
    history.asked("\ud83d!", 1.0)
    assert json.loads(history.transcript(1.0).json())["turns"][0]["text"] == "?!"


# -- whatever happens -----------------------------------------------------------------------------------------

WORDS = " ".join(f"w{number:05}" for number in range(5000))
WORD = len("w00000 ")


class Mouth:
    """A model that counts, and a listener: whatever they do, what history says is held against what was done."""

    def __init__(self) -> None:
        self.history = History(0.0)
        self.now = 0.0
        self.received = self.position = 0
        self.spoken = 0  # characters of WORDS
        self.pieces: list[tuple[int, int]] = []  # the first word that begins behind the piece's begin, and where
        self.behind: list[tuple[int, int]] = []  # so many words sound before that position
        self.lost: set[int] = set()  # words that were cut
        self.read: set[int] = set()  # words that make no sound
        self.before: dict[int, str] = {}

    def speak(self, characters: int) -> None:
        self._speak(characters, silent=False)

    def write(self, characters: int) -> None:
        self.next_word()
        first = self.spoken // WORD
        self._speak(-(-characters // WORD) * WORD, silent=True)
        self.read |= set(range(first, self.spoken // WORD))

    def _speak(self, characters: int, *, silent: bool) -> None:
        text = WORDS[self.spoken : self.spoken + characters]
        if not silent and self.pieces and self.received > self.pieces[-1][1]:
            self.behind.append((self.spoken // WORD, self.received))
        self.pieces.append((-(-self.spoken // WORD), self.received))
        self.history.said(text, self.received, self.now, silent=silent)
        self.spoken += len(text)

    def next_word(self) -> None:
        """What follows is another turn: it begins with a word, and half a word stays what it is."""
        if self.spoken % WORD:
            self.lost.add(self.spoken // WORD)
        self.spoken = -(-self.spoken // WORD) * WORD

    def sound(self, samples: int) -> None:
        self.history.sound(self.received, self.now)
        self.received += samples

    def play(self, samples: int) -> None:
        self.position = min(self.received, self.position + samples)
        self.now += samples / RATE
        self.history.played(self.position, self.now)

    def end(self, _: int) -> None:
        self.history.end(self.received, self.now)

    def complete(self, _: int) -> None:
        complete(self.history, self.received, self.now)
        self.behind.append((self.spoken // WORD, self.received))
        self.next_word()

    def cut(self, _: int) -> None:
        cut(self.history, self.position, self.now)
        self._lose()
        self.behind = []
        self.position = self.received

    def _lose(self) -> None:
        self.next_word()
        told = {word for turn in self.told() for word in numbers(turn.text)}
        self.lost |= set(range(self.spoken // WORD)) - told

    def ask(self, number: int) -> None:
        self.history.asked("What?", self.now, late=number % 2 == 0)

    def told(self) -> list[Turn]:
        return [turn for turn in self.history.transcript(self.now).turns if turn.role is Role.MODEL]

    def check(self) -> None:
        self.history.played(self.position, self.now)
        told = self.told()
        words = [whole for turn in told if (whole := numbers(turn.text))]
        for one in words:
            assert one == list(range(one[0], one[-1] + 1))  # nothing in the middle is left out
        assert all(one[-1] < two[0] for one, two in pairwise(words))  # nothing twice, nothing before its time
        flat = {word for turn in words for word in turn}
        for word in flat - self.read:
            begun = max((at for first, at in self.pieces if first <= word), default=0)
            assert begun <= self.position
        for count, before in self.behind:
            if before <= self.position:
                assert set(range(count)) - self.lost <= flat
        for turn in told:
            assert turn.text.startswith(self.before.get(turn.number, ""))
            assert turn.began is not None
            assert 0.0 <= turn.began <= self.now + 1e-6
            assert turn.ended is None or turn.began <= turn.ended <= self.now + 1e-6
        gone = self.before.keys() - {turn.number for turn in told}
        assert not gone
        self.before = {turn.number: turn.text for turn in told}


def numbers(text: str) -> list[int]:
    """The whole words' numbers."""
    return [int(word[1:]) for word in text.split() if len(word) == WORD - 1]


_deed = st.tuples(
    st.sampled_from(["speak", "speak", "sound", "sound", "play", "play", "play"])
    | st.sampled_from(["write", "end", "complete", "cut", "ask"]),
    st.integers(0, 30_000),
)


@given(st.lists(_deed, max_size=60))
def test_whatever_happens_what_was_heard_begins_what_was_said_and_nothing_is_heard_twice(
    deeds: list[tuple[str, int]],
) -> None:
    mouth = Mouth()
    for deed, number in deeds:
        if deed in ("speak", "write"):
            number = 1 + number % 40
        getattr(mouth, deed)(number)
        mouth.check()
