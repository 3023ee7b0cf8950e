"""What the local voice answers: the same to the same line, in a virtual conversation."""

import json
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.standin import aloud
from relay.standin.wits import capitals, functions, line, numbers, skills, sums, wits
from relay.standin.wits.answer import MAX_NAME, Notes, Wanted
from relay.standin.wits.wits import Wits

SUNDAY: Final = datetime(2026, 11, 22, 15, 7)
MOST_SAID: Final = 700  # letters of any answer: a minute of speech


def fresh(notes: Notes | None = None, seed: int = 0) -> Wits:
    return Wits(lambda: SUNDAY, seed, notes)


def said(*lines: str) -> str:
    """The last answer of a conversation of these lines."""
    mind = fresh()
    return [mind.answer(text).text for text in lines][-1]


# --- what it can do ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("What time is it?", "It is 3:07 PM."),
        ("Excuse me, do you know what time it is?", "It is 3:07 PM."),
        ("Tell me the time, please.", "It is 3:07 PM."),
        ("What day is it today?", "Today is Sunday, November 22, 2026."),
        ("What day is it to-day?", "Today is Sunday, November 22, 2026."),
        ("What's tomorrow's date?", "Tomorrow will be Monday, November 23, 2026."),
        ("Which day was yesterday?", "Yesterday was Saturday, November 21, 2026."),
        ("What year is it?", "It is the year 2026."),
        ("What month is it?", "It is November."),
        ("Count from one to five.", "One, two, three, four, five."),
        ("Can you count to three, please?", "One, two, three."),
        ("Count down from 3", "Three, two, one, zero."),
        ("Count backwards from five to two.", "Five, four, three, two."),
        ("Count from ten down to eight.", "Ten, nine, eight."),
        ("Count from 10 to 8 backwards.", "Ten, nine, eight."),
        ("Count from eight to ten backwards.", "Ten, nine, eight."),
        ("Count backwards.", "Ten, nine, eight, seven, six, five, four, three, two, one."),
        ("Could you count to three in reverse?", "Three, two, one."),
        ("Count down to eight.", "Ten, nine, eight."),
        ("Give me a countdown from two.", "Two, one, zero."),
        ("Count from 99.", "I only count up to ninety-nine."),
        ("How do you spell necessary?", "Necessary is spelled N, E, C, E, S, S, A, R, Y."),
        ("Spell the word relay.", "Relay is spelled R, E, L, A, Y."),
        ("How is Anna spelled?", "Anna is spelled A, N, N, A."),
        ("How many letters are in the word relay?", "Relay has 5 letters."),
        ("Repeat after me. The sky is blue.", "The sky is blue."),
        ("Could you please repeat after me, hello world?", "Hello world."),
        ("Say cheese!", "Cheese."),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Do you know what the capital of the United Kingdom is?", "The capital of the United Kingdom is London."),
        ("What's Germany's capital?", "The capital of Germany is Berlin."),
        ("Paris is the capital of which country?", "Paris is the capital of France."),
        ("Which country has Canberra as its capital?", "Canberra is the capital of Australia."),
        ("What is the capital of the moon?", "I do not know the capital of the moon."),
        ("Stop.", "Okay."),
        ("Be quiet now, please.", "Okay."),
        ("Thanks a lot.", "You are welcome."),
        ("How are you?", "I am well, thank you."),
        ("Can you hear me?", "Yes, I hear you."),
        ("Hello. What time is it?", "It is 3:07 PM."),
        ("My name is Tom. What is two plus two?", "Nice to meet you, Tom. 2 plus 2 is 4."),
    ],
)
def test_what_it_knows_it_answers(text: str, answer: str) -> None:
    assert said(text) == answer


def test_a_name_is_remembered_until_it_is_to_be_forgotten() -> None:
    mind = fresh()
    lines = [
        "What's my name?",
        "My name is Anna and I live in Rome.",
        "What is my name?",
        "Goodbye.",
        "Forget my name.",
    ]
    answers = [mind.answer(text) for text in lines]
    assert [answer.text for answer in answers[:3]] == [
        "You have not told me your name yet.",
        "Nice to meet you, Anna.",
        "Your name is Anna.",
    ]
    assert answers[3].sentences[0] == "Goodbye, Anna."
    assert [answer.ends for answer in answers] == [False, False, False, True, False]
    assert "not told" in mind.answer("Who am I?").text


@pytest.mark.parametrize("text", ["I am tired.", "I'm not sure.", "My name is.", "I am English.", "My name is and"])
def test_not_everything_is_a_name(text: str) -> None:
    assert fresh().answer(text).notes.name == ""


def test_a_title_belongs_to_a_name() -> None:
    assert said("Call me Dr. Strange.") == "Nice to meet you, Dr. Strange."


def test_jokes_come_one_after_the_other_and_begin_where_the_seed_says() -> None:
    mind = fresh(seed=3)
    told = [mind.answer("Tell me another joke!").sentences for _ in skills.JOKES]
    assert sorted(told) == sorted(skills.JOKES)
    assert told[0] == skills.JOKES[3]


def test_what_was_said_can_be_asked_for() -> None:
    assert said("What is two plus three?", "Sorry?") == "2 plus 3 is 5."
    assert said("Count to two.", "What did I say?") == "You said: Count to two."


def test_what_it_does_not_understand_it_says_back_and_says_what_it_is() -> None:
    answer = fresh().answer("The gluon carries the strong force.")
    assert answer.sentences[0] == "I heard: The gluon carries the strong force."
    assert "local voice" in answer.text


def test_it_explains_itself_at_length_only_now_and_then() -> None:
    mind = fresh()
    lengths = [len(mind.answer("Blue ideas sleep.").sentences) for _ in range(5)]
    assert lengths[0] == lengths[4] > lengths[1] == lengths[2] == lengths[3]


@pytest.mark.parametrize("text", ["What is the weather like?", "Who is the president of France?", "Any news today?"])
def test_it_does_not_pretend_to_know_the_world(text: str) -> None:
    assert said(text) == " ".join(skills.NO_WORLD)


@pytest.mark.parametrize(
    "text", ["What a nice day!", "Time flies.", "I have a date tonight.", "I was there two times."]
)
def test_a_word_alone_is_no_question(text: str) -> None:
    assert said(text).startswith("I heard")


def test_it_never_says_what_would_stop_it() -> None:
    """Or its own echo could do it."""
    own = " ".join(
        [*skills.HELP, *skills.MYSELF, *skills.NO_WORLD, *wits.GREETING, *wits.AGAIN, *sum(skills.JOKES, ())]
    )
    assert not {"stop", "quiet", "silence", "wait", "cancel", "goodbye", "bye"} & set(line.read(own[:600]).words)
    assert not {"stop", "quiet", "silence", "wait", "cancel", "goodbye", "bye"} & set(line.read(own[600:]).words)


# --- sums --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("How much is seventeen times six?", "17 times 6 is 102."),
        ("How much is 17 x 6?", "17 times 6 is 102."),
        ("17×6", "17 times 6 is 102."),
        ("205-56", "205 minus 56 is 149."),
        ("What is 200 and 5 -56?", "205 minus 56 is 149."),
        ("I was wondering, um, what is two hundred and five minus fifty six?", "205 minus 56 is 149."),
        ("What's 5 + 5 * 2?", "5 plus 5 times 2 is 15."),
        ("What is nine divided by four?", "9 divided by 4 is 2.25."),
        ("What is 100 divided by 7?", "100 divided by 7 is about 14.2857."),
        ("What is 9 divided by zero?", "Nothing can be divided by zero."),
        ("What's 20% of 50?", "20 percent of 50 is 10."),
        ("What is minus five plus eight?", "Minus 5 plus 8 is 3."),
        ("What is three point five times two?", "3.5 times 2 is 7."),
        ("What is the square root of 81?", "The square root of 81 is 9."),
        ("What is the square root of two?", "The square root of 2 is about 1.4142."),
        ("Twelve squared?", "12 squared is 144."),
        ("Two to the power of ten", "2 to the power of 10 is 1,024."),
        ("What is 10 to the power of 40?", "That number is too large for me to say."),
        ("half of thirty", "Half of 30 is 15."),
        ("Subtract five from twenty.", "20 minus 5 is 15."),
        ("Add 200 and 5.", "200 plus 5 is 205."),
        ("the product of six and seven", "6 times 7 is 42."),
        ("What is 1,250 plus three million?", "1,250 plus 3,000,000 is 3,001,250."),
    ],
)
def test_sums_are_reckoned_however_they_are_written(text: str, answer: str) -> None:
    assert said(text) == answer


@given(st.integers(0, 999_999_999), st.sampled_from(["plus", "minus", "times"]), st.integers(0, 999_999))
def test_sums_are_right(a: int, sign: str, b: int) -> None:
    found = sums.find(line.read(f"What is {a:,} {sign} {b}?").words)
    assert found is not None
    assert found.value == {"plus": a + b, "minus": a - b, "times": a * b}[sign]


@given(st.integers(0, 999_999))
def test_a_number_in_words_is_that_number(n: int) -> None:
    assert numbers.take(in_words(n).split(), 0) == (Fraction(n), len(in_words(n).split()))


def in_words(n: int) -> str:
    """`n` below a million, written by another hand than the one that reads it."""
    if n < 100:
        return numbers.word(n).replace("-", " ")
    size, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    head, rest = divmod(n, size)
    return f"{in_words(head)} {name}" + (f"{' and' if size == 100 else ''} {in_words(rest)}" if rest else "")


# --- countries ---------------------------------------------------------------------------------------------------


def test_every_country_has_a_capital_and_can_be_asked_for_as_it_is_written() -> None:
    for country, capital in capitals.CAPITALS.values():
        assert capital in said(f"What is the capital of {country}?"), country
        assert country in said(f"Which country is {capital} the capital of?") or capital in ("London",), capital


# --- functions ---------------------------------------------------------------------------------------------------


def declared(name: str, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"name": name, "parameters": {"type": "OBJECT", "properties": properties, "required": list(required)}}


TEXT: Final = {"type": "STRING"}
WHOLE: Final = {"type": "INTEGER"}
TOOLS: Final = [
    declared("time_in", ("zone",), zone=TEXT),
    declared("roll_dice", sides=WHOLE, count=WHOLE),
    declared("show_price", ("part", "euros"), part=TEXT, euros=WHOLE),
    declared("price_of", ("part",), part=TEXT),
    declared("order", ("part",), part=TEXT),
    declared("switchLight", ("on",), on={"type": "BOOLEAN"}, room=TEXT),
    declared("search_web", ("query",), query=TEXT),
    declared("plan_trip", ("stops",), stops={"type": "ARRAY", "items": TEXT}),
    {
        "name": "get_weather",
        "parametersJsonSchema": {
            "type": "object",
            "properties": {"city": {"type": ["string", "null"]}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
        },
    },
]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("What time is it in Oslo?", Wanted("time_in", {"zone": "Oslo"})),
        ("What time is it in Europe/Oslo?", Wanted("time_in", {"zone": "Europe/Oslo"})),
        ("Roll the dice!", Wanted("roll_dice", {})),
        ("Could you roll two dice, please?", Wanted("roll_dice", {"count": 2})),
        ("Roll 3 dice with 20 sides.", Wanted("roll_dice", {"sides": 20, "count": 3})),
        ("What is the price of the crown?", Wanted("price_of", {"part": "crown"})),
        ("I would like to order a saddle, please.", Wanted("order", {"part": "saddle"})),
        ("Switch the light on.", Wanted("switchLight", {"on": True})),
        ("Switch off the light in the kitchen.", Wanted("switchLight", {"on": False, "room": "kitchen"})),
        ("Search the web for cheap flights to Paris", Wanted("search_web", {"query": "cheap flights to Paris"})),
        ("What's the weather in New York?", Wanted("get_weather", {"city": "New York"})),
        ("What is the weather in Rome in Fahrenheit?", Wanted("get_weather", {"city": "Rome", "unit": "fahrenheit"})),
        ('call roll_dice {"count": 2}', Wanted("roll_dice", {"count": 2})),
    ],
)
def test_a_function_is_called_when_it_is_plainly_asked_for(text: str, call: Wanted) -> None:
    assert fresh().answer(text, TOOLS).call == call


@pytest.mark.parametrize(
    "text",
    [
        "What time is it?",
        "I like to roll dice.",
        "Do not roll the dice.",
        "The weather in Rome is nice.",
        "Plan a trip to Rome and Paris.",  # wants a list, which no line gives
        "You should order a bell.",
        "call nothing {}",
        'call roll_dice {"count": ',
        "dice",
    ],
)
def test_what_is_not_plainly_asked_for_is_not_called(text: str) -> None:
    assert fresh().answer(text, TOOLS).call is None


def test_what_is_missing_is_asked_for_once() -> None:
    mind = fresh()
    assert mind.answer("What is the weather?", TOOLS).text == functions.wanting("city") == "What should the city be?"
    assert mind.answer("In Paris, please.", TOOLS).call == Wanted("get_weather", {"city": "Paris"})
    assert mind.answer("Paris", TOOLS).call is None


def test_a_question_for_something_missing_may_be_left_unanswered() -> None:
    mind = fresh()
    mind.answer("What is the weather?", TOOLS)
    assert mind.answer("What is two plus two?", TOOLS).text == "2 plus 2 is 4."
    mind.answer("What is the weather?", TOOLS)
    assert mind.answer("Why do you want to know that?", TOOLS).call is None


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ({"output": "It is 21 degrees in Paris."}, "It is 21 degrees in Paris."),
        ({"output": [3, 5]}, "The answer is 3 and 5."),
        ({"output": 12.5}, "The answer is 12.5."),
        ({"result": "Monday"}, "The answer is Monday."),
        ({"output": True}, "The answer is yes."),
        ({"temperature": 21, "sky_is": "blue"}, "The answer is temperature 21, sky is blue."),
        ({"output": None}, "Done."),
        ({}, "Done."),
        ({"error": "There is no such time zone."}, "That did not work. There is no such time zone."),
        ({"output": float("nan")}, "The answer is no number."),
        ({"output": 10**400}, "The answer is a very large number."),
    ],
)
def test_what_a_function_answers_is_said(response: dict[str, Any], answer: str) -> None:
    assert fresh().told(Wanted("f"), response).text == answer


# --- anything at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "word " * 20_000,
        "9" * 100_000,
        "1 plus " * 15_000,
        "what is " * 12_500,
        "repeat " + "a, " * 30_000,
        "é" * 100_000,
        "你好" * 50_000,
        "((((" * 25_000,
        "how many letters " * 6_000,
        "two hundred and " * 6_000,
    ],
    ids=lambda text: text[:8],
)
def test_a_hundred_kilobytes_get_a_short_answer(text: str) -> None:
    answer = fresh().answer(text, TOOLS)
    assert 0 < len(answer.text) <= MOST_SAID
    assert len(repr(answer.notes)) < 2000


@pytest.mark.parametrize("text", ["你好吗", "Привет, как дела?", "Hola, ¿cómo estás?", "Wie geht es Ihnen?", "مرحبا"])
def test_other_languages_are_told_that_it_speaks_english(text: str) -> None:
    assert said(text) == " ".join(skills.ENGLISH_ONLY)


@pytest.mark.parametrize("text", ["!!! ??? ###", "…", "🎉🎉", "-"])
def test_symbols_are_no_words(text: str) -> None:
    assert said(text) == "There are no words in that."


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_to_nothing_it_says_nothing(text: str) -> None:
    answer = fresh().answer(text)
    assert (answer.sentences, answer.call) == ((), None)


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
VOCABULARY: Final = """
what is the capital of time roll dice weather in order price my name call spell count repeat 7 seven hundred and plus
minus times divided by zero point percent - x 3.5 1,000 12:30 is a to from for how many letters two
"""
WORDS: Final = st.lists(st.sampled_from(VOCABULARY.split()), max_size=14).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=80) | WORDS, min_size=1, max_size=3))
def test_any_text_gets_a_bounded_answer_and_always_the_same(lines: list[str]) -> None:
    one, other = fresh(), fresh()
    for text in lines:
        guess = one.guess(text, TOOLS)
        answer = one.answer(text, TOOLS)
        assert answer == other.answer(text, TOOLS)
        assert (guess.sentences, guess.call) == (answer.sentences, answer.call)
        assert len(answer.text) <= MOST_SAID
        assert len(answer.notes.name) <= MAX_NAME


@settings(max_examples=200, deadline=None)
@given(WORDS, st.lists(st.fixed_dictionaries({}, optional={"name": JSON, "parameters": JSON}), max_size=3), JSON)
def test_declarations_may_be_anything(text: str, tools: list[dict[str, Any]], response: Any) -> None:
    mind = fresh()
    answer = mind.answer(text, [*tools, *TOOLS])
    if answer.call is not None:
        json.dumps(answer.call.args)
    assert len(mind.told(Wanted("f"), {"output": response}).text) <= MOST_SAID


def test_a_guess_is_not_remembered() -> None:
    mind = fresh()
    assert mind.guess("My name is Anna.").text == "Nice to meet you, Anna."
    assert mind.notes == Notes()


def test_notes_go_on_with_another_connection() -> None:
    mind = fresh()
    mind.answer("My name is Anna.")
    assert fresh(mind.notes).answer("What is my name?").text == "Your name is Anna."


def test_everything_that_it_has_to_say_can_be_said() -> None:
    for text in (*skills.HELP, *skills.MYSELF, *skills.NO_WORLD, *skills.ENGLISH_ONLY, *wits.GREETING, *wits.AGAIN):
        assert list(aloud.sentences(text)) == [text]
