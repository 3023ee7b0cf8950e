"""What waits for a connection and what was asked in vain: in order, bounded, and never twice."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from relay.gemini import events, protocol, recall
from relay.gemini.events import FunctionCall
from relay.gemini.life import Busy
from relay.gemini.protocol import Kind
from relay.gemini.unfinished import PATIENCE_SECONDS, Unfinished
from relay.gemini.unheard import (
    LATELY_SECONDS,
    LEAD_SECONDS,
    MAX_NOTES,
    MAX_WORDS,
    MAX_WORDS_BYTES,
    PIECE_SECONDS,
    QUESTION_SECONDS,
    WAITING_SECONDS,
    Item,
    Notes,
    Question,
    Waiting,
    Words,
)

MODEL: Final = "gemini-3.8-live"
NOW: Final = 1000.0


def piece(number: int) -> bytes:
    return number.to_bytes(2, "little") * 320


def asked(text: str) -> Words:
    return Words(protocol.text_message(text), Kind.ASKED)


def taken(waiting: Waiting) -> list[Item]:
    found = []
    while waiting:
        found.append(waiting.take())
    return found


# -- waiting --------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), max_size=600))
def test_what_waits_comes_out_in_order_and_only_the_oldest_sound_is_missing(kinds: list[int]) -> None:
    waiting, order, most = Waiting(), list[Item](), round(WAITING_SECONDS / PIECE_SECONDS)
    for number, kind in enumerate(kinds):
        if kind:
            waiting.add_sound(piece(number))
            order.append(piece(number))
        elif waiting.add(asked(str(number))):
            order.append(asked(str(number)))
    sound = [item for item in order if isinstance(item, bytes)]
    lost = set(sound[:-most]) if len(sound) > most else set()
    assert waiting.dropped == len(lost)
    assert waiting.pieces == len(sound) - len(lost)
    assert taken(waiting) == [item for item in order if isinstance(item, Words) or item not in lost]


def test_so_many_words_wait_and_so_long_ones() -> None:
    waiting = Waiting()
    assert [waiting.add(asked(str(n))) for n in range(MAX_WORDS + 1)] == [True] * MAX_WORDS + [False]
    waiting.take()
    assert waiting.add(asked("one more"))
    waiting = Waiting()
    assert waiting.add(asked("x" * (MAX_WORDS_BYTES - 100)))
    assert not waiting.add(asked("x" * 100))


def test_an_answer_of_a_function_that_waits_is_told_in_words_to_another_connection() -> None:
    waiting = Waiting()
    waiting.add(Words(b"for who asked", Kind.ANSWERED, b"for all"))
    waiting.turn_elsewhere()
    assert taken(waiting) == [Words(b"for all", Kind.ASKED)]


# -- the question ---------------------------------------------------------------------------------------------


def hear(question: Question, *numbers: int) -> None:
    for number in numbers:
        question.heard.append(piece(number))


def test_a_question_begins_a_little_before_its_onset() -> None:
    question = Question()
    hear(question, *range(200))
    question.begin(0.1, 0)
    count = round((0.1 + LEAD_SECONDS) / PIECE_SECONDS)
    assert list(question.heard) == [piece(number) for number in range(200 - count, 200)]


def test_of_a_question_that_began_while_nobody_listened_only_the_lead_was_heard() -> None:
    question = Question()
    hear(question, *range(200))
    question.begin(0.1, 10)
    assert len(question.heard) == round((0.1 + LEAD_SECONDS) / PIECE_SECONDS) - 10
    question = Question()
    question.begin(0.1, 200)
    assert (question.open, list(question.heard)) == (True, [])


def test_a_pause_in_a_question_begins_no_other() -> None:
    question = Question()
    question.begin(0.0, 0)
    hear(question, *range(100))
    question.begin(0.1, 0)
    assert len(question.heard) == 100


def test_what_is_said_over_an_answer_is_another_question() -> None:
    question = Question()
    question.begin(0.0, 0)
    hear(question, *range(100))
    question.answer()
    question.begin(0.0, 0)
    assert len(question.heard) == round(LEAD_SECONDS / PIECE_SECONDS)
    question.complete()
    assert question.open, "it was the other that was answered"


def test_an_answered_question_is_forgotten_and_sound_is_kept_for_a_moment() -> None:
    question = Question()
    question.ask(asked("hello"))
    hear(question, *range(300))
    question.answer()
    question.complete()
    assert not question.open
    assert list(question.heard) == [piece(n) for n in range(300 - round(LATELY_SECONDS / PIECE_SECONDS), 300)]
    hear(question, *range(1000))
    assert len(question.heard) == round(LATELY_SECONDS / PIECE_SECONDS)


def test_a_question_is_kept_for_fifteen_seconds_of_sound() -> None:
    question = Question()
    question.begin(0.0, 0)
    hear(question, *range(2000))
    assert len(question.heard) == round(QUESTION_SECONDS / PIECE_SECONDS)


def test_silence_pushes_no_part_of_a_question_out() -> None:
    question, lately = Question(), round(LATELY_SECONDS / PIECE_SECONDS)
    question.begin(0.0, 0)
    hear(question, *range(100))
    question.pause()
    hear(question, *range(100, 2000))
    assert question.again == [piece(n) for n in (*range(100), *range(2000 - lately, 2000))]
    question.begin(0.0, 0)
    hear(question, *range(2000, 2100))
    question.pause()
    assert question.again == [piece(n) for n in (*range(100), *range(2000 - lately, 2100))]


def test_silence_pushes_no_written_question_out() -> None:
    question = Question()
    question.ask(asked("hello?"))
    hear(question, *range(1000))
    assert question.again[0] == asked("hello?")
    question.ask(asked("are you there?"))
    assert asked("are you there?") in question.again
    assert len(question.again) <= round(QUESTION_SECONDS / PIECE_SECONDS)


def test_where_we_say_that_the_user_begins_that_is_said_again() -> None:
    start = Words(protocol.activity_message(True), Kind.MARKED)
    question = Question()
    question.begin(0.0, 0)
    question.ask(start)
    hear(question, 1, 2)
    assert question.again == [start, piece(1), piece(2)]
    hear(question, *range(2000))
    assert question.again[0] == start
    assert question.again[1:] == list(question.heard)
    question.answer()
    question.complete()
    assert start not in question.again


def test_the_newest_notes_are_kept() -> None:
    notes = Notes()
    for number in range(MAX_NOTES + 5):
        notes.add(str(number).encode())
    assert list(notes) == [str(number).encode() for number in range(5, MAX_NOTES + 5)]
    notes.add(bytes(MAX_WORDS_BYTES - 1))
    assert len(list(notes)) == 1
    notes.clear()
    assert not list(notes)


# -- what is unfinished ---------------------------------------------------------------------------------------

SOUND: Final = events.Audio(bytes(2))
CALL: Final = events.ToolCall((FunctionCall("c1", "get_weather", {"city": "Paris"}),))
HEARD: Final = [("user", "what time is it?"), ("model", "It is")]


def texts(items: list[Item]) -> list[bytes]:
    return [item.message for item in items if isinstance(item, Words)]


def test_a_turn_keeps_the_connection_busy_from_its_first_sound_to_its_end() -> None:
    unfinished = Unfinished(MODEL)
    assert not unfinished.busy
    unfinished.begins(SOUND)
    assert unfinished.busy == {Busy.GENERATING}
    unfinished.ends(events.GenerationComplete())
    assert unfinished.busy == {Busy.GENERATING}, "its handle comes after the turn"
    unfinished.begins(events.OutputTranscript("late"))
    assert unfinished.leave() == [events.TurnComplete()], "text that straggles in begins nothing"
    unfinished.ends(events.TurnComplete())
    assert not unfinished.busy


def test_a_question_keeps_the_connection_busy_for_a_while() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.utterance(True, NOW, NOW, 0)
    assert unfinished.busy == {Busy.ASKED}
    assert unfinished.deadline is None, "who speaks is not waited for"
    unfinished.utterance(False, NOW, NOW + 1, 0)
    assert unfinished.deadline == NOW + 1 + PATIENCE_SECONDS
    unfinished.poll(NOW + 1 + PATIENCE_SECONDS)
    assert not unfinished.busy
    assert unfinished.deadline is None


def test_who_is_asked_to_go_on_is_still_asked_what_he_was_asked_before() -> None:
    unfinished, nudge = Unfinished(MODEL), Words(protocol.nudge_message(MODEL), Kind.ASKED)
    unfinished.sent(asked("what time is it?"), NOW)
    unfinished.sent(nudge, NOW + 15)
    assert unfinished.deadline == NOW + 15 + PATIENCE_SECONDS
    unfinished.leave()
    assert texts(unfinished.put_back([], NOW + 30)) == [asked("what time is it?").message]


def test_a_call_keeps_the_connection_busy_until_it_is_answered_or_cancelled() -> None:
    for how in ("answered", "cancelled"):
        unfinished = Unfinished(MODEL)
        unfinished.begins(CALL)
        unfinished.ends(events.TurnComplete())
        assert unfinished.busy == {Busy.CALLING}
        if how == "answered":
            assert unfinished.answer(protocol.tool_message("c1", "get_weather", {})).kind is Kind.ANSWERED
        else:
            unfinished.ends(events.ToolCancelled(("c1",)))
        assert not unfinished.busy


def test_a_cut_answer_of_which_something_was_heard_is_gone_on_with() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.sent(asked("what time is it?"), NOW)
    unfinished.begins(SOUND)
    assert unfinished.leave() == [events.Interrupted(), events.TurnComplete()]
    back = texts(unfinished.put_back(HEARD, NOW))
    assert back == [*recall.tell(MODEL, HEARD), recall.go_on(MODEL, HEARD, heard=True)]
    assert unfinished.leave() == []
    assert texts(unfinished.put_back(HEARD, NOW)) == back, "and again, should that be lost too"


def test_a_cut_answer_of_which_nothing_was_heard_has_its_question_asked_again() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.sent(asked("what time is it?"), NOW)
    unfinished.begins(SOUND)
    unfinished.leave()
    assert texts(unfinished.put_back(HEARD[:1], NOW)) == [asked("what time is it?").message]


def test_a_cut_answer_to_nothing_that_is_known_is_asked_for() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.begins(SOUND)
    unfinished.leave()
    assert texts(unfinished.put_back([], NOW)) == [recall.go_on(MODEL, [], heard=False)]


def test_a_question_that_led_to_a_call_is_not_asked_again() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.sent(asked("will it rain?"), NOW)
    unfinished.begins(CALL)
    assert unfinished.leave() == [events.TurnComplete()], "nothing was being said"
    back = texts(unfinished.put_back([("user", "will it rain?")], NOW))
    assert back == [
        protocol.content_message([("user", "will it rain?")], False),
        protocol.content_message([("user", recall.CALLED % 'get_weather({"city": "Paris"})')], False),
    ]


def test_a_note_is_told_once_whether_or_not_a_question_follows_it() -> None:
    note = protocol.content_message([("user", "I am Ann.")], False)
    turns = [("user", "I am Ann.")]
    unfinished = Unfinished(MODEL)
    unfinished.sent(Words(note, Kind.NOTED), NOW)
    assert texts(unfinished.put_back(turns, NOW)) == [note]
    unfinished.sent(asked("who am I?"), NOW)
    turns.append(("user", "who am I?"))
    assert texts(unfinished.put_back(turns, NOW)) == [note, asked("who am I?").message]
    unfinished.begins(SOUND)
    unfinished.ends(events.TurnComplete())
    turns.append(("model", "You are Ann."))
    unfinished.sent(asked("sure?"), NOW)
    back = texts(unfinished.put_back(turns, NOW))
    assert back == [protocol.content_message(turns, False), asked("sure?").message]


def test_a_picture_is_shown_again_until_a_handle_holds_it() -> None:
    picture = protocol.image_message(b"jpeg")
    unfinished = Unfinished(MODEL)
    unfinished.sent(Words(picture, Kind.SHOWN), NOW)
    assert texts(unfinished.put_back([], NOW)) == [picture]
    unfinished.ends(events.ResumptionUpdate("handle", resumable=True))
    assert texts(unfinished.put_back([], NOW)) == []


# -- in words -------------------------------------------------------------------------------------------------


def test_a_model_that_takes_no_content_is_told_in_its_request_to_go_on() -> None:
    strict = "gemini-3.1-flash-live-preview"
    assert recall.tell(strict, HEARD) == []
    message = recall.go_on(strict, HEARD, heard=True)
    assert message == protocol.text_message(f"User: what time is it?\nYou: It is\n{recall.GO_ON}")


def test_an_answer_that_is_not_to_be_spoken_of_is_only_remembered() -> None:
    message = recall.returned(MODEL, "note", {"output": 1}, "SILENT")
    assert protocol.kind(message) is Kind.NOTED
    assert protocol.kind(recall.returned(MODEL, "note", {"output": 1}, "WHEN_IDLE")) is Kind.ASKED


def test_an_answer_without_an_id_goes_by_the_name() -> None:
    key, words = recall.answered(MODEL, protocol.tool_message("", "f", {"output": "long" * 20_000}))
    assert key == "f"
    assert len(words.instead) < recall.MAX_RESULT + 1000


def test_a_question_is_told_once_though_it_is_known_in_writing() -> None:
    assert recall.without_last_question([*HEARD, ("user", "and now?")]) == HEARD
    assert recall.without_last_question([("user", "hello?")]) == []
