"""What an app hands in of a conversation before the call."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BrowserFault
from relay.prior import MAX_PRIOR_CHARACTERS, MAX_PRIOR_TURNS, prior_turns
from relay.transcript import How, Role
from signaling.offers import MAX_BODY_BYTES

USER, MODEL = {"role": "user", "text": "Hello."}, {"role": "assistant", "text": "Hi!"}


def refused(history: Any) -> str:
    with pytest.raises(BrowserFault) as caught:
        prior_turns({"history": history})
    assert caught.value.code == "bad-request"
    assert caught.value.hint.endswith(".")
    return caught.value.hint


def test_turns_come_over_as_they_are_and_either_side_may_begin() -> None:
    for told in ([USER, MODEL], [MODEL, USER], [{**USER, "text": " Hello.\n"}, {"role": "model", "text": "Hi!"}]):
        turns = prior_turns({"history": told})
        assert sorted((turn.role, turn.text) for turn in turns) == [(Role.MODEL, "Hi!"), (Role.USER, "Hello.")]
        assert {(turn.how, turn.began) for turn in turns} == {(How.PRIOR, None)}


@pytest.mark.parametrize("body", [{}, {"history": None}, {"history": []}])
def test_there_may_be_none(body: dict[str, Any]) -> None:
    assert prior_turns(body) == ()


@pytest.mark.parametrize("history", ["Hello.", {}, 5, True, {"0": USER}])
def test_what_is_no_list_is_refused(history: Any) -> None:
    assert "history" in refused(history)


NO_ROLES: list[Any] = ["system", "tool", "User", "", None, 5, [], {}]
NO_TEXTS: list[Any] = [None, 5, [], {"text": "Hello."}]
NO_TIMES: list[Any] = ["soon", True, []]


@pytest.mark.parametrize(
    "turn",
    [
        *[None, "Hello.", 5, [], {}],
        *[{"role": "user"}, {"text": "Hello."}, {"role": "user", "text": ""}, {"role": "user", "text": " \n"}],
        *[{"role": role, "text": "Hello."} for role in NO_ROLES],
        *[{"role": "user", "text": text} for text in NO_TEXTS],
        *[{**USER, "began": began} for began in NO_TIMES],
    ],
)
def test_a_malformed_turn_is_named_by_its_index(turn: Any) -> None:
    assert "history[2]" in refused([USER, MODEL, turn, MODEL])


def test_the_first_turn_out_of_order_is_named_by_its_index() -> None:
    assert "history[1]" in refused([USER, USER])
    assert "history[3]" in refused([USER, MODEL, USER, USER, MODEL, MODEL])
    assert "history[1]" in refused([MODEL, {"role": "model", "text": "Hi!"}])
    assert "history[3]" in refused([{**USER, "began": 3}, MODEL, {**USER, "began": 3}, {**MODEL, "began": 2.9}])


def test_the_first_turn_that_is_too_much_is_named_by_its_index() -> None:
    assert len(prior_turns({"history": [USER, MODEL] * (MAX_PRIOR_TURNS // 2)})) == MAX_PRIOR_TURNS
    assert f"history[{MAX_PRIOR_TURNS}]" in refused([USER, MODEL] * MAX_PRIOR_TURNS)
    half = "x" * (MAX_PRIOR_CHARACTERS // 2)
    fitting = [{"role": "user", "text": half}, {"role": "model", "text": half}]
    assert len(prior_turns({"history": fitting})) == 2
    assert len(json.dumps(fitting)) < MAX_BODY_BYTES
    assert "history[2]" in refused([*fitting, USER])
    assert "history[0]" in refused([{"role": "user", "text": "x" * (MAX_PRIOR_CHARACTERS + 1)}])


def test_half_a_surrogate_pair_can_be_written_down() -> None:
    (turn,) = prior_turns({"history": [{"role": "user", "text": "\ud83d!"}]})
    assert turn.text.encode() == b"?!"


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["user", "model"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["role", "text", "began", "x"]), inner),
    max_leaves=20,
)


@given(_json)
def test_whatever_is_handed_in_is_taken_whole_or_refused_in_words(history: Any) -> None:
    try:
        turns = prior_turns({"history": history})
    except BrowserFault as fault:
        told = fault.told()
        assert (told["code"], "history" in told["detail"]) == ("bad-request", True)
    else:
        assert [turn.text for turn in turns] == [
            one["text"].encode("utf-8", "replace").decode().strip() for one in history or []
        ]
