"""What the client writes: where it goes, and what the client hears of it."""

import asyncio
import base64
import json
import threading
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import pytest

from relay import rtvi, said
from relay import written as room
from relay.agent import Agent
from relay.files import Files
from relay.gemini import protocol
from relay.keys import KEYS_SECONDS
from relay.transcript import Role
from relay.video import LONGEST_SIDE
from relay.written import (
    BROKEN,
    BUSY,
    CROWDED,
    FORGETFUL,
    GONE,
    LOST,
    MAX_NOTES,
    MAX_PICTURES,
    MAX_PIXELS,
    MAX_REPLIES,
    Written,
)


class Model:
    """Takes everything down in order: what it is told, what is asked, what the client hears."""

    def __init__(self) -> None:
        self.replying = False
        self.reachable = True
        self.heard: list[Any] = []
        self.said: list[rtvi.Message] = []
        self.noticed: list[tuple[str, str]] = []

    def tell(self, message: protocol.Message) -> bool:
        if self.reachable:
            self.heard.append(message)
        return self.reachable

    def ask(self, text: str, *, silent: bool) -> None:
        self.heard.append((text, silent))

    def say(self, messages: Sequence[rtvi.Message]) -> None:
        self.said += messages

    def echo(self, text: str, id: str) -> None:
        self.said += [rtvi.user_input(text, "", final=True, kind="chat", id_=id)]

    def noted(self, role: str, text: str) -> None:
        self.noticed.append((role, text))

    @property
    def errors(self) -> list[str]:
        return [m["data"]["error"] for m in self.said if m["type"] == "error-response" and m["id"] == "a"]


def writing(*, remembers: bool = True, **agent: Any) -> tuple[Written, Model, Files]:
    model, files = Model(), Files()
    return Written(model, Agent(**agent), files, name="test", remembers=remembers), model, files


def note(text: str, role: str = "user") -> protocol.Message:
    return protocol.content_message([(role, text)], False)


def picture(codec: str = "png", width: int = 64, height: int = 48) -> bytes:
    frame = av.VideoFrame(width, height, "rgb24")
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.time_base = width, height, Fraction(1)
    encoder.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
    frame = frame if codec == "png" else frame.reformat(format="yuvj420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def shown(message: protocol.Message) -> tuple[int, int]:
    """The size of the picture that the model is shown."""
    video = json.loads(message.data)["realtimeInput"]["video"]
    assert video["mimeType"] == "image/jpeg"
    decoder: Any = av.CodecContext.create("mjpeg", "r")
    data = base64.b64decode(video["data"])
    [frame] = decoder.decode(av.Packet(data)) or decoder.decode(None)
    return frame.width, frame.height


# -- text -----------------------------------------------------------------------------------------------------


def test_text_is_asked_and_told_back_with_its_id() -> None:
    written, model, _ = writing()
    written.text(said.SendText("a", "How many?"))
    assert model.heard == [protocol.text_message("How many?"), ("How many?", False)]
    assert [(m["data"]["text"], m["data"]["msg_id"]) for m in model.said] == [("How many?", "a")]


def test_text_that_is_sent_again_on_another_connection_is_asked_once_and_told_back_each_time() -> None:
    written, model, _ = writing()
    for again in (False, True):
        written.text(said.SendText("a", "How many?", again=again))
        written.text(said.SendText("b", "I am Ada.", run_immediately=False, again=again))
    assert model.heard == [protocol.text_message("How many?"), ("How many?", False), note("I am Ada.")]
    assert [m["data"]["msg_id"] for m in model.said] == ["a", "b", "a", "b"]


def test_text_that_is_sent_again_and_had_not_come_is_asked() -> None:
    written, model, _ = writing()
    model.reachable = False
    written.text(said.SendText("a", "How many?"))
    model.reachable = True
    written.text(said.SendText("a", "How many?", again=True))
    written.text(said.SendText("b", "Whose?", again=True))
    assert model.heard[-3::2] == [("How many?", False), ("Whose?", False)]


def test_a_client_that_gives_all_its_messages_one_id_is_heard_each_time() -> None:
    written, model, _ = writing()
    for text in ("Yes", "Yes"):
        written.text(said.SendText("1", text))
    assert model.heard[1::2] == [("Yes", False)] * 2


def test_text_without_sound_asks_for_a_silent_answer() -> None:
    written, model, _ = writing()
    written.text(said.SendText("a", "How many?", audio_response=False))
    assert model.heard[-1] == ("How many?", True)


def test_text_that_is_only_to_be_remembered_asks_nothing_whatever_its_sound() -> None:
    written, model, _ = writing()
    written.text(said.SendText("a", "I am Ada.", run_immediately=False, audio_response=False))
    assert model.heard == [note("I am Ada.")]


def test_what_is_to_be_remembered_is_part_of_the_conversation_once_and_what_is_lost_is_not() -> None:
    written, model, _ = writing()
    written.text(said.SendText("a", "One", run_immediately=False))
    model.replying = True
    written.context(said.AppendToContext("b", "assistant", "Two"))
    model.replying = False
    written.settle()
    model.reachable = False
    written.text(said.SendText("c", "Three", run_immediately=False))
    assert model.noticed == [("user", "One"), ("model", "Two")]


def test_what_is_to_be_remembered_does_not_cut_the_model_short() -> None:
    written, model, _ = writing()
    model.replying = True
    written.text(said.SendText("a", "One", run_immediately=False))
    written.context(said.AppendToContext("b", "user", "Two"))
    assert model.heard == []
    assert [message["type"] for message in model.said] == ["user-input", "append-to-context-result"]
    written.settle()
    written.settle()
    assert model.heard == [note("One"), note("Two")]


def test_what_is_to_be_remembered_comes_before_the_next_question() -> None:
    written, model, _ = writing()
    model.replying = True
    written.text(said.SendText("a", "I am Ada.", run_immediately=False))
    written.text(said.SendText("a", "Who am I?"))
    assert model.heard[:2] == [note("I am Ada."), protocol.text_message("Who am I?")]


def test_what_waits_to_be_remembered_is_pending_until_it_is_part_of_the_conversation() -> None:
    written, model, _ = writing()
    model.replying = True
    written.text(said.SendText("a", "One", run_immediately=False))
    written.context(said.AppendToContext("b", "assistant", "Two"))
    assert written.pending == [(Role.USER, "One"), (Role.MODEL, "Two")]
    written.settle()
    assert written.pending == []


@pytest.mark.parametrize("replying", [False, True])
def test_a_model_that_remembers_nothing_in_mid_conversation_is_not_promised_to(replying: bool) -> None:
    written, model, _ = writing(remembers=False)
    model.replying = replying
    written.text(said.SendText("a", "I am Ada.", run_immediately=False))
    written.context(said.AppendToContext("a", "user", "I am Ada."))
    written.context(said.AppendToContext("a", "assistant", "I said so.", run_immediately=True))
    written.settle()
    assert (model.errors, len(model.said)) == ([FORGETFUL] * 3, 3)
    assert (model.heard, model.noticed) == ([], [])
    written.text(said.SendText("a", "Who am I?"))
    assert model.heard == [protocol.text_message("Who am I?"), ("Who am I?", False)]


def test_what_waited_to_be_remembered_and_gets_nowhere_is_told_as_lost_and_may_come_again() -> None:
    written, model, _ = writing()
    model.replying = True
    written.text(said.SendText("a", "I am Ada.", run_immediately=False))
    model.reachable = model.replying = False
    written.settle()
    assert (model.errors, model.noticed) == ([LOST], [])
    model.reachable = True
    written.text(said.SendText("a", "I am Ada.", run_immediately=False, again=True))
    assert (model.heard, model.noticed) == ([note("I am Ada.")], [("user", "I am Ada.")])


def test_more_than_can_wait_is_refused() -> None:
    written, model, _ = writing()
    model.replying = True
    for _ in range(MAX_NOTES + 1):
        written.context(said.AppendToContext("a", "user", "x"))
    assert len(model.errors) == 1
    assert len(model.said) == MAX_NOTES + 1
    written.settle()
    assert len(model.heard) == MAX_NOTES


def test_the_old_form_is_answered_and_knows_the_models_own_words() -> None:
    written, model, _ = writing()
    written.context(said.AppendToContext("a", "user", "And now?", run_immediately=True))
    written.context(said.AppendToContext("b", "assistant", "I said so.", run_immediately=True))
    assert model.heard == [protocol.text_message("And now?"), ("And now?", False), note("I said so.", "model")]
    results = [m for m in model.said if m["type"] == "append-to-context-result"]
    assert [(m["id"], m["data"]) for m in results] == [("a", {"result": "ok"}), ("b", {"result": "ok"})]


def test_what_gets_nowhere_is_told_to_whoever_wrote_it_and_asks_nothing() -> None:
    written, model, _ = writing()
    model.reachable = False
    written.text(said.SendText("a", "How many?"))
    written.text(said.SendText("a", "I am Ada.", run_immediately=False))
    written.context(said.AppendToContext("a", "user", "And now?", run_immediately=True))
    assert model.errors == [LOST] * 3
    assert model.heard == []
    assert len(model.said) == 3


# -- keys -----------------------------------------------------------------------------------------------------


def test_keys_are_asked_about_in_one_line() -> None:
    written, model, _ = writing()
    written.keys(said.Dtmf("a", "1"), 0.0)
    written.keys(said.Dtmf("b", "2"), 1.0)
    assert model.heard == []
    assert written.deadline == 1.0 + KEYS_SECONDS
    written.poll(1.0 + KEYS_SECONDS)
    written.keys(said.Dtmf("c", "3#"), 5.0)
    assert model.heard == [
        protocol.text_message("The caller pressed 1 2"),
        ("The caller pressed 1 2", False),
        protocol.text_message("The caller pressed 3 #"),
        ("The caller pressed 3 #", False),
    ]
    assert model.said == []


# -- pictures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "size"), [("png", (64, 48)), ("mjpeg", (64, 48)), ("png", (2048, 1024))])
async def test_a_picture_is_shown_no_larger_than_the_model_looks_and_then_asked_about(
    codec: str, size: tuple[int, int]
) -> None:
    written, model, _ = writing()
    await written.picture(said.SendFile("a", "What is it?", picture(codec, *size), audio_response=False))
    image, *rest = model.heard
    shrunk = min(1.0, LONGEST_SIDE / max(size))
    assert shown(image) == tuple(round(side * shrunk) for side in size)
    assert rest == [protocol.text_message("What is it?"), ("What is it?", True)]


async def test_a_picture_without_words_is_only_shown() -> None:
    written, model, _ = writing()
    await written.picture(said.SendFile("a", "", picture()))
    assert len(model.heard) == 1
    assert model.said == []


async def test_a_picture_for_later_is_shown_and_its_words_are_remembered() -> None:
    written, model, _ = writing()
    await written.picture(said.SendFile("a", "My cat", picture(), run_immediately=False))
    assert model.heard[1:] == [note("My cat")]


async def test_an_uploaded_picture_is_found_once() -> None:
    written, model, files = writing()
    file = files.put(picture(), "image/png", "cat.png")
    for _ in range(2):
        await written.picture(said.SendFile("a", "What is it?", url=file.url))
    assert len(model.heard) == 3, "the picture, its words, and that they are asked"
    assert model.errors == [GONE]


@pytest.mark.parametrize("broken", [b"\xff\xd8\xff nothing", b"\x89PNG\r\n\x1a\n", picture()[:60], b"RIFF1234WEBP"])
async def test_what_only_begins_like_a_picture_never_reaches_the_model(broken: bytes) -> None:
    written, model, _ = writing()
    await written.picture(said.SendFile("a", "What is it?", broken))
    assert model.heard == []
    assert model.errors == [BROKEN]


async def test_a_small_file_that_unfolds_into_too_large_a_picture_is_refused() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    width, height = 6000, MAX_PIXELS // 6000 + 1
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])  # grey, 8 bits
    rows = zlib.compress(bytes((width + 1) * height), 1)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    written, model, _ = writing()
    await written.picture(said.SendFile("a", "What is it?", bomb))
    assert model.errors == [BROKEN]


async def test_pictures_wait_for_each_other_and_too_many_are_refused() -> None:
    written, model, _ = writing()
    sent = [written.picture(said.SendFile("a", "", picture())) for _ in range(MAX_PICTURES + 2)]
    await asyncio.gather(*sent)
    assert len(model.heard) == MAX_PICTURES
    assert model.errors == [CROWDED] * 2


# -- the app's own messages -----------------------------------------------------------------------------------


async def test_one_client_takes_no_more_than_its_threads_and_leaves_them_when_they_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    monkeypatch.setattr(room, "REPLY_SECONDS", 0.05)
    before = threading.active_count()
    written, model, _ = writing(on_message=lambda kind, data: released.wait(5))
    for _ in range(2):  # the second time nobody waits for the threads any more
        await asyncio.gather(*(written.reply(said.ClientMessage("a", "hang", None)) for _ in range(100)))
    assert len(model.errors) == 200
    assert model.errors.count(BUSY) == 200 - MAX_REPLIES
    assert threading.active_count() == before + MAX_REPLIES
    other, app, _ = writing(on_message=lambda kind, data: data)
    await other.reply(said.ClientMessage("b", "hello", 1))
    assert app.said == [rtvi.server_response(said.ClientMessage("b", "hello", 1), 1)], "of another call"
    released.set()
    async with asyncio.timeout(5):
        while threading.active_count() > before:
            await asyncio.sleep(0.01)
    await written.reply(said.ClientMessage("b", "hang", None))
    assert model.said[-1]["type"] == "server-response"


@pytest.mark.parametrize("wrapped", [False, True])
async def test_async_replies_are_counted_too_until_they_end(wrapped: bool) -> None:
    released = asyncio.Event()

    async def wait(kind: str, data: Any) -> None:
        await released.wait()

    written, model, _ = writing(on_message=(lambda kind, data: wait(kind, data)) if wrapped else wait)
    replies = [asyncio.create_task(written.reply(said.ClientMessage("a", "wait", n))) for n in range(MAX_REPLIES + 1)]
    async with asyncio.timeout(5):
        while not model.errors:
            await asyncio.sleep(0)
    assert model.errors == [BUSY]
    released.set()
    await asyncio.gather(*replies)
    await written.reply(said.ClientMessage("a", "wait", None))
    assert model.errors == [BUSY]
