"""What waits for a connection and what was asked in vain: in order, bounded, and never twice."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from relay.gemini import events, protocol, recall
from relay.gemini.checkpoint import CROSSING_SECONDS, Checkpoint
from relay.gemini.events import FunctionCall
from relay.gemini.life import Busy
from relay.gemini.protocol import Kind, Message
from relay.gemini.unfinished import PATIENCE_SECONDS, Unfinished
from relay.gemini.unheard import (
    LATELY_SECONDS,
    LEAD_SECONDS,
    MAX_NOTES,
    MAX_OWED,
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
from tests.memory import Memory

MODEL: Final = "gemini-3.8-live"
NOW: Final = 1000.0


def piece(number: int) -> bytes:
    return number.to_bytes(2, "little") * 320


def asked(text: str) -> Words:
    return Words(protocol.text_message(text))


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


def test_what_the_model_is_owed_takes_no_room_from_what_is_written() -> None:
    waiting = Waiting()
    owed = Words(Message(Kind.ANSWERED, b"result"), Message(Kind.ASKED, b"in words"), owed=True)
    mark = Words(protocol.activity_message(False))
    while waiting.add(asked("?")):
        pass
    assert waiting.add(owed)
    assert waiting.add(mark)
    waiting.turn_elsewhere()
    assert taken(waiting)[MAX_WORDS:] == [owed.elsewhere, mark]
    assert [waiting.add(mark) for _ in range(MAX_OWED + 1)] == [True] * MAX_OWED + [False]
    assert waiting.add(asked("?"))


def test_an_answer_of_a_function_that_waits_is_told_in_words_to_another_connection() -> None:
    waiting = Waiting()
    waiting.add(Words(Message(Kind.ANSWERED, b"for who asked"), Message(Kind.ASKED, b"for all")))
    waiting.turn_elsewhere()
    assert taken(waiting) == [Words(Message(Kind.ASKED, b"for all"))]


# -- the question ---------------------------------------------------------------------------------------------


def hear(question: Question, *numbers: int) -> None:
    for number in numbers:
        question.heard.append(piece(number))


def test_a_question_begins_a_little_before_its_onset() -> None:
    question = Question()
    hear(question, *range(200))
    question.begin(0.1, 0, 0)
    count = round((0.1 + LEAD_SECONDS) / PIECE_SECONDS)
    assert list(question.heard) == [piece(number) for number in range(200 - count, 200)]


def test_of_a_question_that_began_while_nobody_listened_only_the_lead_was_heard() -> None:
    question = Question()
    hear(question, *range(200))
    question.begin(0.1, 10, 0)
    assert len(question.heard) == round((0.1 + LEAD_SECONDS) / PIECE_SECONDS) - 10
    question = Question()
    question.begin(0.1, 200, 0)
    assert (question.open, list(question.heard)) == (True, [])


def test_a_pause_in_a_question_begins_no_other() -> None:
    question = Question()
    question.begin(0.0, 0, 0)
    hear(question, *range(100))
    question.begin(0.1, 0, 0)
    assert len(question.heard) == 100


def test_what_is_said_over_an_answer_is_another_question() -> None:
    question = Question()
    question.begin(0.0, 0, 0)
    hear(question, *range(100))
    question.answer()
    question.begin(0.0, 0, 0)
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
    question.begin(0.0, 0, 0)
    hear(question, *range(2000))
    assert len(question.heard) == round(QUESTION_SECONDS / PIECE_SECONDS)


def test_silence_pushes_no_part_of_a_question_out() -> None:
    question, lately = Question(), round(LATELY_SECONDS / PIECE_SECONDS)
    question.begin(0.0, 0, 0)
    hear(question, *range(100))
    question.pause()
    hear(question, *range(100, 2000))
    assert question.again == [piece(n) for n in (*range(100), *range(2000 - lately, 2000))]
    question.begin(0.0, 0, 0)
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
    start = Words(protocol.activity_message(True))
    question = Question()
    question.begin(0.0, 0, 0)
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
    notes, said = Notes(), [Words(Message(Kind.NOTED, str(number).encode())) for number in range(MAX_NOTES + 5)]
    for number, words in enumerate(said):
        notes.add(words, NOW + number)
    assert list(notes) == said[5:]
    notes.forget(NOW + 10)
    assert list(notes) == said[10:]
    notes.add(Words(Message(Kind.NOTED, bytes(MAX_WORDS_BYTES - 1))), NOW + 100)
    assert len(list(notes)) == 1


# -- what is unfinished ---------------------------------------------------------------------------------------

SOUND: Final = events.Audio(bytes(2))
CALL: Final = events.ToolCall((FunctionCall("c1", "get_weather", {"city": "Paris"}),))
RAIN: Final = protocol.tool_message("c1", "get_weather", {"output": "rain"})
HEARD: Final = [("user", "what time is it?"), ("model", "It is")]


def texts(items: list[Item]) -> list[Message]:
    return [item.message for item in items if isinstance(item, Words)]


def test_a_turn_keeps_the_connection_busy_from_its_first_sound_to_its_end() -> None:
    unfinished = Unfinished(MODEL)
    assert not unfinished.busy
    unfinished.begins(SOUND, NOW, 1)
    assert unfinished.busy == {Busy.GENERATING}
    unfinished.ends(events.GenerationComplete())
    assert unfinished.busy == {Busy.GENERATING}, "its handle comes after the turn"
    unfinished.begins(events.OutputTranscript("late"), NOW, 1)
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


def test_who_asked_waits_only_for_a_connection_that_listens() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.sent(asked("what time is it?"), NOW)
    unfinished.leave()
    assert unfinished.deadline is None
    unfinished.poll(NOW + PATIENCE_SECONDS)
    assert texts(unfinished.put_back(0, None, NOW + 25)) == [asked("what time is it?").message]
    assert unfinished.deadline == NOW + 25 + PATIENCE_SECONDS


def test_who_is_asked_to_go_on_is_still_asked_what_he_was_asked_before() -> None:
    unfinished, nudge = Unfinished(MODEL), Words(protocol.nudge_message(MODEL))
    unfinished.sent(asked("what time is it?"), NOW)
    unfinished.sent(nudge, NOW + 15)
    assert unfinished.deadline == NOW + 15 + PATIENCE_SECONDS
    unfinished.leave()
    assert texts(unfinished.put_back(0, None, NOW + 30)) == [asked("what time is it?").message]


def test_a_call_keeps_the_connection_busy_until_it_is_answered_or_cancelled() -> None:
    for how in ("answered", "cancelled"):
        unfinished = Unfinished(MODEL)
        unfinished.begins(CALL, NOW, 1)
        unfinished.ends(events.TurnComplete())
        assert unfinished.busy == {Busy.CALLING}
        if how == "answered":
            assert unfinished.answer(protocol.tool_message("c1", "get_weather", {}), 1).kind is Kind.ANSWERED
        else:
            unfinished.ends(events.ToolCancelled(("c1",)))
        assert not unfinished.busy


def test_a_call_keeps_it_busy_no_longer_when_it_will_have_no_answer() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.begins(CALL, NOW, 7)
    unfinished.ends(events.TurnComplete())
    unfinished.forget([(6, CALL.calls[0]), (7, FunctionCall("c2", "get_weather", {}))])
    assert unfinished.busy == {Busy.CALLING}
    unfinished.forget([(7, CALL.calls[0])])
    assert not unfinished.busy
    unfinished.leave()
    assert unfinished.put_back(0, None, NOW) == []


def test_calls_without_an_id_are_answered_one_by_one_on_the_connection_that_asked() -> None:
    call, message = FunctionCall("", "get_weather", {}), protocol.tool_message("", "get_weather", {})
    unfinished = Unfinished(MODEL)
    unfinished.begins(events.ToolCall((call, call)), NOW, 2)
    kinds = [unfinished.answer(message, connection).kind for connection in (1, 2, 2, 2)]
    assert kinds == [Kind.ASKED, Kind.ANSWERED, Kind.ANSWERED, Kind.ASKED]


def test_a_cut_answer_of_which_something_was_heard_is_gone_on_with() -> None:
    memory = Memory()
    unfinished = Unfinished(MODEL, memory)
    unfinished.sent(asked("what time is it?"), NOW)
    unfinished.begins(SOUND, NOW, 1)
    memory.turns += HEARD
    assert unfinished.leave() == [events.Interrupted(), events.TurnComplete()]
    back = texts(unfinished.put_back(0, None, NOW))
    assert back == [*recall.tell(MODEL, HEARD), recall.go_on(MODEL, HEARD, heard=True)]
    assert unfinished.leave() == []
    assert texts(unfinished.put_back(0, None, NOW)) == back, "and again, should that be lost too"


def cut_unheard() -> tuple[Memory, Unfinished]:
    """The user asked in writing, and the connection was lost before anything of the answer was heard."""
    memory = Memory()
    unfinished = Unfinished(MODEL, memory)
    unfinished.sent(asked("what time is it?"), NOW)
    memory.turns += HEARD[:1]
    unfinished.begins(SOUND, NOW, 1)
    unfinished.leave()
    return memory, unfinished


def test_a_cut_answer_of_which_nothing_was_heard_has_its_question_asked_again() -> None:
    _, unfinished = cut_unheard()
    assert texts(unfinished.put_back(0, None, NOW)) == [asked("what time is it?").message]


def test_what_an_app_notes_for_the_model_is_nothing_that_was_heard_of_its_answer() -> None:
    memory, unfinished = cut_unheard()
    waits = memory.mark
    memory.turns.append(("model", "The clock is broken."))
    assert texts(unfinished.put_back(0, waits, NOW)) == [asked("what time is it?").message]


def test_of_an_answer_nothing_was_heard_though_the_one_before_it_was() -> None:
    memory = Memory(HEARD)
    unfinished = Unfinished(MODEL, memory)
    unfinished.utterance(True, NOW, NOW, 0)
    unfinished.question.heard.append(piece(1))
    unfinished.begins(SOUND, NOW, 1)
    unfinished.leave()
    assert unfinished.put_back(0, None, NOW)[-1] == piece(1)


def test_a_cut_answer_to_nothing_that_is_known_is_asked_for() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.begins(SOUND, NOW, 1)
    unfinished.leave()
    assert texts(unfinished.put_back(0, None, NOW)) == [recall.go_on(MODEL, [], heard=False)]


def test_a_question_that_led_to_a_call_is_not_asked_again() -> None:
    memory = Memory()
    unfinished = Unfinished(MODEL, memory)
    unfinished.sent(asked("will it rain?"), NOW)
    memory.turns.append(("user", "will it rain?"))
    unfinished.begins(CALL, NOW, 1)
    unfinished.question.heard.append(piece(1))  # the microphone goes on
    assert unfinished.leave() == [events.TurnComplete()], "nothing was being said"
    back = texts(unfinished.put_back(0, None, NOW))
    assert back == [
        protocol.content_message([("user", "will it rain?")], False),
        protocol.content_message([("user", recall.CALLED % 'get_weather({"city": "Paris"})')], False),
    ]


def test_an_answer_after_a_call_that_was_cut_before_it_was_heard_is_asked_for() -> None:
    memory = Memory()
    unfinished = Unfinished(MODEL, memory)
    unfinished.utterance(True, NOW, NOW, 0)
    unfinished.question.heard.append(piece(1))
    memory.turns.append(("user", "will it rain?"))
    unfinished.begins(CALL, NOW, 1)
    unfinished.sent(unfinished.answer(RAIN, 1), NOW)
    unfinished.question.heard.append(piece(2))
    unfinished.begins(SOUND, NOW, 1)
    unfinished.leave()
    told = recall.tell(MODEL, memory.turns)
    assert texts(unfinished.put_back(0, None, NOW)) == [*told, recall.go_on(MODEL, memory.turns, heard=False)]


def test_an_answer_that_went_on_beside_a_call_is_gone_on_with_when_it_was_cut() -> None:
    memory = Memory()
    unfinished = Unfinished(MODEL, memory)
    unfinished.sent(asked("will it rain?"), NOW)
    unfinished.begins(CALL, NOW, 1)
    unfinished.begins(SOUND, NOW, 1)
    memory.turns += HEARD
    unfinished.leave()
    told = recall.tell(MODEL, HEARD, CALL.calls)
    assert texts(unfinished.put_back(0, None, NOW)) == [*told, recall.go_on(MODEL, HEARD, heard=True)]


def test_an_answer_that_was_cut_gives_way_to_what_was_asked_since() -> None:
    memory = Memory(HEARD)
    unfinished = Unfinished(MODEL, memory)
    unfinished.begins(SOUND, NOW, 1)
    unfinished.leave()
    assert texts(unfinished.put_back(0, None, NOW, asks=True)) == recall.tell(MODEL, HEARD)


def test_a_call_with_an_id_that_the_service_repeats_is_waited_for_once() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.begins(events.ToolCall(CALL.calls * 2), NOW, 1)
    unfinished.begins(CALL, NOW, 1)
    unfinished.ends(events.TurnComplete())
    assert unfinished.answer(RAIN, 1).kind is Kind.ANSWERED
    assert not unfinished.busy


def test_a_function_that_runs_over_several_connections_is_promised_to_each_until_it_has_ended() -> None:
    promise = recall.tell(MODEL, [], CALL.calls)
    for how in ("answered", "called off"):
        unfinished = Unfinished(MODEL)
        unfinished.begins(CALL, NOW, 1)
        for _ in range(3):
            unfinished.leave()
            assert texts(unfinished.put_back(0, None, NOW)) == promise
        assert not unfinished.busy, "it is told in words when it comes"
        if how == "answered":
            assert unfinished.answer(RAIN, 1).kind is Kind.ASKED
        else:
            assert unfinished.forget([(1, CALL.calls[0]), (2, CALL.calls[0])]) == [CALL.calls[0]]
        unfinished.leave()
        assert unfinished.put_back(0, None, NOW) == []


def test_a_result_is_told_to_each_connection_until_one_goes_on_with_it() -> None:
    unfinished = Unfinished(MODEL)
    unfinished.begins(CALL, NOW, 1)
    unfinished.sent(unfinished.answer(RAIN, 1), NOW)
    for _ in range(3):
        unfinished.leave()
        assert texts(unfinished.put_back(0, None, NOW)) == [recall.returned(MODEL, RAIN)]
    unfinished.begins(SOUND, NOW, 1)
    unfinished.begins(events.TurnComplete(), NOW, 1)
    unfinished.ends(events.TurnComplete())
    unfinished.leave()
    assert unfinished.put_back(0, None, NOW) == []


def test_a_result_that_is_not_to_be_spoken_of_asks_nothing_and_is_told_until_a_handle_holds_it() -> None:
    silent = protocol.tool_message("c1", "note", {"output": 1}, "SILENT")
    call = events.ToolCall((FunctionCall("c1", "note", {}),))
    unfinished = Unfinished(MODEL)
    unfinished.begins(call, NOW, 1)
    words = unfinished.answer(silent, 1)
    unfinished.sent(words, NOW)
    unfinished.sent(words.elsewhere, NOW)
    unfinished.begins(events.TurnComplete(), NOW, 1)
    unfinished.ends(events.TurnComplete())
    assert not unfinished.busy
    assert unfinished.offered()
    assert texts(unfinished.put_back(0, None, NOW)) == [words.instead], "the handle may be older"
    unfinished.begins(events.TurnComplete(), NOW + 1, 1)
    assert unfinished.offered()
    assert texts(unfinished.put_back(0, None, NOW)) == []


def test_a_handle_that_holds_less_than_all_counts_for_nothing_with_a_model_that_cannot_be_told_the_rest() -> None:
    strict, memory = "gemini-3.1-flash-live-preview", Memory([("user", "One.")])
    picture = Words(protocol.image_message(b"jpeg"))
    unfinished = Unfinished(strict, memory)
    unfinished.sent(picture, NOW)
    unfinished.begins(events.TurnComplete(), NOW + 1, 1)
    unfinished.sent(Words(protocol.text_message("Two."), mark=1), NOW + 1)
    memory.turns.append(("user", "Two."))
    assert not unfinished.offered()
    assert unfinished.checkpoint.mark == 0
    assert picture.message in texts(unfinished.put_back(0, None, NOW + 2))
    unfinished.begins(events.TurnComplete(), NOW + 3, 1)
    assert unfinished.offered()
    assert unfinished.checkpoint.mark == 2


def test_a_note_is_told_once_whether_or_not_a_question_follows_it() -> None:
    note, memory = protocol.content_message([("user", "I am Ann.")], False), Memory()
    unfinished = Unfinished(MODEL, memory)

    def sends(text: str, kind: Kind, at: float) -> None:
        message = note if kind is Kind.NOTED else protocol.text_message(text)
        unfinished.sent(Words(message, mark=memory.mark), at)
        memory.turns.append(("user", text))

    def back() -> list[Message]:
        return texts(unfinished.put_back(0, None, NOW))

    sends("I am Ann.", Kind.NOTED, NOW)
    assert back() == [note]
    sends("who am I?", Kind.ASKED, NOW)
    assert back() == [note, protocol.text_message("who am I?")]
    unfinished.sent(Words(note, mark=memory.mark), NOW)
    memory.turns.append(("user", "I am Ann."))
    assert back() == [note, note, protocol.text_message("who am I?")], "what was added to it is no turn before it"
    unfinished.begins(SOUND, NOW, 1)
    unfinished.begins(events.TurnComplete(), NOW + 1, 1)
    unfinished.ends(events.TurnComplete())
    memory.turns[1:] = [("user", "who am I?"), ("model", "You are Ann.")]
    known = [("user", "I am Ann."), ("user", "who am I?"), ("model", "You are Ann.")]
    sends("sure?", Kind.ASKED, NOW + 1)
    assert back() == [protocol.content_message(known, False), protocol.text_message("sure?")]


def test_a_picture_is_shown_again_until_a_handle_holds_it() -> None:
    picture = protocol.image_message(b"jpeg")
    unfinished = Unfinished(MODEL)
    unfinished.sent(Words(picture), NOW)
    assert unfinished.offered()
    assert texts(unfinished.put_back(0, None, NOW)) == [picture], "it may be older than the picture"
    unfinished.begins(events.TurnComplete(), NOW + 1, 1)
    assert unfinished.offered()
    assert texts(unfinished.put_back(0, None, NOW)) == []


# -- what a handle holds --------------------------------------------------------------------------------------


def test_a_handle_holds_what_was_told_before_the_last_turn_ended() -> None:
    memory = Memory([("user", "One.")])
    checkpoint = Checkpoint(memory)
    checkpoint.accept(0, NOW)
    checkpoint.offer()
    assert not checkpoint.whole, "that of the setup"
    assert checkpoint.mark == 0
    memory.turns.append(("model", "Two."))
    checkpoint.rest(NOW + 10)
    checkpoint.tell(memory.mark, NOW + 10)
    memory.turns.append(("user", "Three."))
    checkpoint.offer()
    assert (checkpoint.whole, checkpoint.mark) == (False, 2)
    checkpoint.rest(NOW + 20)
    checkpoint.offer()
    assert (checkpoint.whole, checkpoint.mark) == (True, 3)


def test_what_crosses_the_end_of_a_turn_is_not_taken_to_be_held() -> None:
    memory = Memory([("user", "One.")])
    checkpoint = Checkpoint(memory)
    checkpoint.accept(1, NOW)
    checkpoint.tell(1, NOW + 10)
    memory.turns.append(("user", "Two."))
    checkpoint.rest(NOW + 10 + CROSSING_SECONDS / 2)
    checkpoint.offer()
    assert checkpoint.mark == 1


@given(st.lists(st.tuples(st.sampled_from(["tell", "rest", "offer"]), st.floats(0, 1)), max_size=200))
def test_a_handle_is_never_taken_to_hold_what_it_may_not(steps: list[tuple[str, float]]) -> None:
    memory, now, rested = Memory(), NOW, 0.0
    checkpoint, told = Checkpoint(memory), list[tuple[float, int]]()
    checkpoint.accept(0, now)
    for step, seconds in steps:
        now += seconds
        if step == "tell":
            told.append((now, memory.mark))
            checkpoint.tell(memory.mark, now)
            memory.turns.append(("user", "x"))
        elif step == "rest":
            rested = now
            checkpoint.rest(now)
        else:
            checkpoint.offer()
            crossing = [mark for at, mark in told if at >= rested - CROSSING_SECONDS]
            assert checkpoint.mark <= min(crossing, default=memory.mark)


# -- in words -------------------------------------------------------------------------------------------------


def test_a_model_that_takes_no_content_is_told_in_its_request_to_go_on() -> None:
    strict = "gemini-3.1-flash-live-preview"
    assert recall.tell(strict, HEARD) == []
    message = recall.go_on(strict, HEARD, heard=True)
    assert message == protocol.text_message(f"User: what time is it?\nYou: It is\n{recall.GO_ON}")


def test_a_model_that_waits_for_a_history_gets_one_whole_content_even_of_nothing() -> None:
    strict, calls = "gemini-3.1-flash-live-preview", CALL.calls
    called = ("user", recall.CALLED % 'get_weather({"city": "Paris"})')
    assert recall.tell(strict, HEARD, calls, seeds=True) == [protocol.content_message([*HEARD, called], True)]
    assert recall.tell(strict, [], seeds=True) == [protocol.content_message([], True)]


def test_an_answer_that_is_not_to_be_spoken_of_is_only_remembered() -> None:
    for scheduling, kind in (("SILENT", Kind.NOTED), ("WHEN_IDLE", Kind.ASKED), (None, Kind.ASKED)):
        answer = protocol.tool_message("c1", "note", {"output": 1}, scheduling)
        assert recall.returned(MODEL, answer).kind is kind


def test_a_long_result_is_cut_where_it_is_told_in_words() -> None:
    answer = protocol.tool_message("", "f", {"output": "long" * 20_000})
    assert len(recall.returned(MODEL, answer).data) < recall.MAX_RESULT + 1000
