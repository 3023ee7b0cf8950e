"""What a client that comes into a running conversation is told of it: all that fits, in small messages."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay import rtvi
from relay.recap import MAX_RECAP, recap
from relay.said import MAX_MESSAGE
from relay.transcript import How, Role, ToolUse, Transcript, Turn


def talk(*turns: Turn, dropped: int = 0) -> Transcript:
    return Transcript(1_700_000_000.0, 60.0, False, dropped, turns)


def user(text: str) -> Turn:
    return Turn(Role.USER, text, began=1.0, ended=2.0)


def model(text: str, ended: float | None = 4.0) -> Turn:
    return Turn(Role.MODEL, text, began=3.0, ended=ended)


def told(messages: list[rtvi.Message]) -> list[dict[str, Any]]:
    return [turn for message in messages for turn in message["data"]["turns"]]


def texts(messages: list[rtvi.Message]) -> list[str]:
    """Of each turn, put together again."""
    whole: list[str] = []
    for turn in told(messages):
        if turn.get("continues"):
            whole[-1] += turn["text"]
        else:
            whole.append(turn["text"])
    return whole


def test_a_conversation_is_told_in_one_message() -> None:
    [message] = recap(talk(user("Hello?"), model("Hello.")))
    assert message["type"] == "server-message"
    assert message["data"] == {
        "event": "history",
        "turns": [
            {"role": "user", "text": "Hello?", "how": "spoken", "began": 1.0, "ended": 2.0},
            {"role": "assistant", "text": "Hello.", "how": "spoken", "began": 3.0, "ended": 4.0},
        ],
        "more": False,
        "dropped": 0,
    }


def test_a_conversation_that_has_not_begun_is_told_as_such() -> None:
    [message] = recap(talk())
    assert message["data"] == {"event": "history", "turns": [], "more": False, "dropped": 0}


def test_a_long_one_comes_in_several_and_the_last_says_so() -> None:
    messages = recap(talk(*(user(f"{n} {'x' * 1000}") for n in range(100)), dropped=3))
    assert [message["data"]["more"] for message in messages] == [True] * (len(messages) - 1) + [False]
    assert [message["data"]["dropped"] for message in messages] == [3] + [0] * (len(messages) - 1)
    assert texts(messages) == [f"{n} {'x' * 1000}" for n in range(100)]


def test_of_a_very_long_one_the_newest_turns_are_told_and_how_many_are_not() -> None:
    messages = recap(talk(*(user(f"{n} {'x' * 1000}") for n in range(300)), dropped=3))
    kept = texts(messages)
    assert kept[-1].startswith("299 ")
    assert messages[0]["data"]["dropped"] == 3 + 300 - len(kept)
    assert sum(len(rtvi.encode(message).encode()) for message in messages) > 0.9 * MAX_RECAP


def test_a_turn_that_is_too_long_for_a_message_goes_on_in_the_next() -> None:
    [_, *rest] = messages = recap(talk(user("é" * 20_000), model("Yes.")))
    assert rest
    assert texts(messages) == ["é" * 20_000, "Yes."]


def test_what_a_function_was_given_at_length_is_left_out() -> None:
    tool = Turn(
        Role.TOOL, "", How.WRITTEN, 1.0, 2.0, tool=ToolUse("look", {"for": "€" * 4000}, ["€" * 4000], "answered")
    )
    small = Turn(Role.TOOL, "", How.WRITTEN, 1.0, 2.0, tool=ToolUse("look", {"for": "it"}, None, "open"))
    one, other = told(recap(talk(tool, small)))
    assert one == {"role": "tool", "name": "look", "state": "answered", "began": 1.0, "ended": 2.0}
    assert other == {
        "role": "tool",
        "name": "look",
        "arguments": {"for": "it"},
        "state": "open",
        "began": 1.0,
        "ended": 2.0,
    }


def test_the_sentence_that_is_being_said_is_told_by_others() -> None:
    now = model("It is Paris. And it has", ended=None)
    assert texts(recap(talk(user("Where?"), now), "And it has a tower.")) == ["Where?", "It is Paris."]
    assert texts(recap(talk(user("Where?"), model("And it has", ended=None)), "And it has a tower.")) == ["Where?"]
    assert texts(recap(talk(now, user("Wait.")), "And it has a tower.")) == ["It is Paris.", "Wait."]
    app = Turn(Role.MODEL, "I said so.", How.TYPED, began=5.0, ended=5.0)
    assert texts(recap(talk(now, app), "And it has a tower.")) == ["It is Paris.", "I said so."]
    assert texts(recap(talk(now), "Nothing of it was heard.")) == ["It is Paris. And it has"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.text(min_size=1, max_size=40), st.integers(1, 2000)), max_size=40))
def test_whatever_was_said_no_message_is_too_large_and_what_is_told_is_told_whole(
    said: list[tuple[bool, str, int]],
) -> None:
    turns = [(user if by_user else model)(text * times) for by_user, text, times in said]
    messages = recap(talk(*turns))
    assert all(len(rtvi.encode(message).encode()) <= MAX_MESSAGE for message in messages)
    dropped = messages[0]["data"]["dropped"]
    assert texts(messages) == [turn.text for turn in turns[dropped:]]
