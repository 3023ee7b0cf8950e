"""A conversation to be read: JSON that programs can rely on, text on lines, WebVTT that players take."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.transcript import CUT, How, Role, ToolUse, Transcript, Turn

STARTED = 1_800_000_000.0
ROLL = ToolUse("roll", {"sides": 6}, {"output": 4}, "answered")
TURNS = (
    Turn(Role.USER, "Yesterday.", How.PRIOR),
    Turn(Role.USER, "Roll it.", How.SPOKEN, 1.0, 2.0, number=1),
    Turn(Role.TOOL, "", How.WRITTEN, 2.0, 2.25, tool=ROLL, number=2),
    Turn(Role.MODEL, "A four. That is", How.SPOKEN, 62.0, 64.0, interrupted=True, number=3),
    Turn(Role.USER, "Thanks", How.TYPED, 64.5, 64.5, number=4),
)


def transcript(*turns: Turn, dropped: int = 0) -> Transcript:
    return Transcript(STARTED, 70.0, True, dropped, turns)


def cues(vtt: str) -> list[tuple[float, float, str]]:
    """The cues as a player reads them: start, end, text; whatever is malformed fails."""
    blocks = vtt.split("\n\n")
    assert blocks[0].rstrip("\n") == "WEBVTT"
    read = []
    for number, block in enumerate(blocks[1:], 1):
        id, times, text = block.rstrip("\n").split("\n")
        assert id == str(number)
        match = re.fullmatch(r"(\d\d+):(\d\d):(\d\d)\.(\d{3}) --> (\d\d+):(\d\d):(\d\d)\.(\d{3})", times)
        assert match
        h1, m1, s1, t1, h2, m2, s2, t2 = map(int, match.groups())
        assert max(m1, s1, m2, s2) < 60
        read.append((h1 * 3600 + m1 * 60 + s1 + t1 / 1000, h2 * 3600 + m2 * 60 + s2 + t2 / 1000, text))
    return read


def test_the_json_has_a_shape_that_stays() -> None:
    assert json.loads(transcript(*TURNS, dropped=2).json()) == {
        "started": "2027-01-15T08:00:00.000+00:00",
        "seconds": 70.0,
        "over": True,
        "dropped": 2,
        "turns": [
            {"role": "user", "text": "Yesterday.", "how": "prior"},
            {"role": "user", "text": "Roll it.", "how": "spoken", "began": 1.0, "ended": 2.0},
            {
                "role": "tool",
                "name": "roll",
                "arguments": {"sides": 6},
                "result": {"output": 4},
                "state": "answered",
                "began": 2.0,
                "ended": 2.25,
            },
            {
                "role": "assistant",
                "text": "A four. That is",
                "how": "spoken",
                "began": 62.0,
                "ended": 64.0,
                "interrupted": True,
            },
            {"role": "user", "text": "Thanks", "how": "typed", "began": 64.5, "ended": 64.5},
        ],
    }


def test_the_text_has_a_line_for_each_turn() -> None:
    assert transcript(*TURNS, dropped=2).text() == (
        "(2 earlier turns are not kept.)\n"
        "User: Yesterday.\n"
        "[00:01] User: Roll it.\n"
        '[00:02] Tool: roll({"sides":6}) -> {"output":4}\n'
        f"[01:02] Assistant: A four. That is {CUT}\n"
        "[01:04] User: Thanks\n"
    )


def test_webvtt_has_a_cue_for_each_sentence_with_its_share_of_the_time() -> None:
    assert transcript(*TURNS).vtt() == (
        "WEBVTT\n\n"
        "1\n00:00:01.000 --> 00:00:02.000\n<v User>Roll it.\n\n"
        "2\n00:01:02.000 --> 00:01:03.000\n<v Assistant>A four.\n\n"
        f"3\n00:01:03.000 --> 00:01:04.000\n<v Assistant>That is {CUT}\n\n"
        "4\n00:01:04.500 --> 00:01:04.501\n<v User>Thanks\n"
    )


def test_an_empty_conversation_is_well_formed() -> None:
    nothing = transcript()
    assert json.loads(nothing.json())["turns"] == []
    assert nothing.text() == ""
    assert cues(nothing.vtt()) == []


def test_where_two_speak_at_once_the_first_gives_way() -> None:
    both = transcript(Turn(Role.MODEL, "Well", began=1.0, ended=9.0), Turn(Role.USER, "No", began=2.0, ended=3.0))
    assert [(start, end) for start, end, _ in cues(both.vtt())] == [(1.0, 2.0), (2.0, 3.0)]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<b>&lt;</b>", "&lt;b&gt;&amp;lt;&lt;/b&gt;"),
        ("00:01.000 --> 00:02.000", "00:01.000 --&gt; 00:02.000"),
        ("one\n\n2\r\n\rthree", "one 2 three"),
        ("a\0b\x1bc\u2028d\u0085e", "a b c d e"),
    ],
)
def test_words_are_never_taken_for_markup(said: str, shown: str) -> None:
    one = transcript(Turn(Role.USER, said, began=1.0, ended=2.0))
    assert "".join(text.removeprefix("<v User>") + " " for *_, text in cues(one.vtt())).strip() == shown
    assert one.text().count("\n") == 1


_turns = st.builds(
    lambda role, text, began, length, interrupted: Turn(
        role, text, began=began, ended=began + length, interrupted=interrupted
    ),
    st.sampled_from([Role.USER, Role.MODEL]),
    st.text(max_size=80) | st.text("a.!?<>&-\n ", max_size=80),
    st.floats(0, 1e6),
    st.floats(0, 100),
    st.booleans(),
)


@given(st.lists(_turns, max_size=12))
def test_cues_are_in_order_and_one_at_a_time_and_nothing_is_lost(turns: list[Turn]) -> None:
    read = cues(transcript(*turns).vtt())
    assert all(start < end for start, end, _ in read)
    assert all(one[1] <= two[0] for one, two in pairwise(read))
    for *_, text in read:
        assert re.fullmatch(r"<v (User|Assistant)>[^<>]+", text)
        assert not re.search("&(?!amp;|lt;|gt;)", text)
        assert "-->" not in text
    shown = "".join("".join(text.partition(">")[2].split()).removesuffix(CUT) for *_, text in read)
    assert len(shown.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")) >= sum(
        len("".join(c for c in turn.text if c.isprintable() and not c.isspace())) - turn.text.count(CUT)
        for turn in turns
    )


@given(st.lists(_turns, max_size=5))
def test_every_turn_is_one_line_of_the_text(turns: list[Turn]) -> None:
    assert transcript(*turns).text().splitlines() == [line for line in transcript(*turns).text().split("\n") if line]
    assert len(transcript(*turns).text().splitlines()) == len(turns)
