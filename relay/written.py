"""What the client writes to the model, or asks of the agent file: text, pictures, keys, context, its own messages.

Whatever it is, the client hears of it once at most: an answer where the protocol has one, an error where it failed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from relay import rtvi, said
from relay.agent import Agent
from relay.files import Files, picture_format
from relay.gemini import protocol
from relay.keys import Keys
from relay.thread import Crowded, Places
from relay.transcript import Role
from relay.video import darkroom

# The agent's reply to a client-message: the SDK waits 10 s.
REPLY_SECONDS: Final = 9.0
# Replies at a time, until their threads have ended: an app asks for some things at once when it begins, and no call is
# to take the threads of all others.
MAX_REPLIES: Final = 8
# Of such a reply; what a browser takes that names no limit of its own (RFC 8841 §6.1).
MAX_REPLY_BYTES: Final = 64 * 1024
# A telephone's photograph has 12 million pixels, some have 24; as many take 0.2 s and 75 MB to decode.
MAX_PIXELS: Final = 25_000_000
# The share of a core that one call's pictures may take, and how many of them may wait.
CORE_SHARE: Final = 0.05
MAX_PICTURES: Final = 4
# Messages for the history that wait for the model to end its turn: one in the middle of it would cut it short.
MAX_NOTES: Final = 20
# Messages that have come, of which another copy may be sent on the next connection; the page keeps 20 unanswered ones.
MAX_TAKEN: Final = 64

log = logging.getLogger(__name__)

# What FFmpeg calls the formats that `picture_format` knows.
_CODECS: Final = {"image/jpeg": "mjpeg", "image/png": "png", "image/webp": "webp"}

LOST: Final = "The model cannot be reached; this message is lost."
GONE: Final = "There is no such file, or no longer."
BROKEN: Final = "The file is no picture that can be read."
FORGETFUL: Final = "This model takes nothing in that it is not to answer; this message is lost."
CROWDED: Final = "Too many pictures at a time; this one is lost."
BUSY: Final = "The agent is still busy with other messages; this one is lost."


class Listener(Protocol):
    """Who the words are for. `tell` is False if they get nowhere; after `ask` an answer is awaited."""

    @property
    def replying(self) -> bool: ...
    def tell(self, message: protocol.Message) -> bool: ...
    def ask(self, text: str, *, silent: bool) -> None: ...
    def say(self, messages: Sequence[rtvi.Message]) -> None: ...
    def echo(self, text: str, id: str) -> None: ...
    def noted(self, role: str, text: str) -> None: ...


class Written:
    """One conversation's writing. After each call look at `deadline`, and call `poll` then.

    It `remembers` if the model can be told what it is not to answer.
    """

    def __init__(self, listener: Listener, agent: Agent, files: Files, *, name: str, remembers: bool = True) -> None:
        self._listener = listener
        self._agent = agent
        self._files = files
        self._name = name
        self._remembers = remembers
        self._keys = Keys()
        self._notes: deque[tuple[str, protocol.Message, str, str]] = deque()  # id, message, role and text
        self._taken: deque[str] = deque(maxlen=MAX_TAKEN)
        self._pictures = 0  # being read, or waiting for it
        self._reading = asyncio.Lock()
        self._rested_at = 0.0  # when the next one may be read
        self._replies = Places(MAX_REPLIES)

    @property
    def pending(self) -> list[tuple[Role, str]]:
        """What has been taken and will be added to the history when the model's turn is over."""
        return [(Role.MODEL if role == "model" else Role.USER, text) for _, _, role, text in self._notes]

    @property
    def deadline(self) -> float | None:
        """When `poll` is due."""
        return self._keys.deadline

    def poll(self, now: float) -> None:
        """Tell the model the keys, if no other follows."""
        if self.deadline is not None and self.deadline <= now:
            text = self._keys.take()
            if self._told("", protocol.text_message(text)):
                self._listener.ask(text, silent=False)

    def settle(self) -> None:
        """The model's turn is over: what was written down meanwhile is added to the history."""
        while self._notes:
            id, note, role, text = self._notes.popleft()
            if self._told(id, note):
                self._listener.noted(role, text)
            elif id in self._taken:
                self._taken.remove(id)

    def text(self, message: said.SendText) -> None:
        """Typed words: to be answered, or only to be remembered; those that have come before are only acknowledged."""
        if message.again and message.id in self._taken:
            self._listener.echo(message.content, message.id)
        elif message.run_immediately:
            if self._ask(message.id, message.content, silent=not message.audio_response):
                self._taken.append(message.id)
        elif self._noted(message.id, "user", message.content):
            self._taken.append(message.id)
            self._listener.echo(message.content, message.id)

    async def picture(self, message: said.SendFile) -> None:
        """A picture, and what it is asked about; without words the model only sees it.

        It is made anew, no larger than the model looks at it: what is no picture could end the model's connection.
        """
        file = self._files.take(message.url) if message.url else None
        if message.url and file is None:
            self._listener.say([rtvi.refusal(message.id, GONE)])
        elif self._pictures >= MAX_PICTURES:
            self._listener.say([rtvi.refusal(message.id, CROWDED)])
        elif (jpeg := await self._read(file.content if file is not None else message.picture)) is None:
            self._listener.say([rtvi.refusal(message.id, BROKEN)])
        elif self._told(message.id, protocol.image_message(jpeg)) and message.content.strip():
            self.text(said.SendText(message.id, message.content, message.run_immediately, message.audio_response))

    async def _read(self, picture: bytes) -> bytes | None:
        """The same as a JPEG of at most 768 pixels, after those before it; None if it is none."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[bytes | None, float]] = loop.create_future()

        def read(jpeg: bytes | None, seconds: float) -> None:
            if not done.done():
                done.set_result((jpeg, seconds))

        self._pictures += 1
        try:
            async with self._reading:
                await asyncio.sleep(self._rested_at - loop.time())
                codec = _CODECS[picture_format(picture) or "image/jpeg"]
                if not darkroom.develop(codec, picture, read, MAX_PIXELS):
                    return None
                jpeg, seconds = await done
                self._rested_at = loop.time() + seconds / CORE_SHARE
                return jpeg
        finally:
            self._pictures -= 1

    def context(self, message: said.AppendToContext) -> None:
        """The old form of `text`, with an answer. What the model itself is made to have said asks for none."""
        if message.run_immediately and message.role == "user":
            done = self._ask(message.id, message.content, silent=False)
        else:
            done = self._noted(message.id, "model" if message.role == "assistant" else "user", message.content)
        if done:
            self._listener.say([rtvi.append_to_context_result(message.id)])

    def keys(self, message: said.Dtmf, now: float) -> None:
        """Keys of a telephone."""
        self._keys.press(message.buttons, now)
        self.poll(now)

    async def reply(self, request: said.ClientMessage) -> None:
        """Let the agent file answer a client-message; whatever it does, one answer goes back."""
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                reply = await self._agent.reply(request.t, request.d, self._replies)
            answer = rtvi.server_response(request, reply)
            if len(rtvi.encode(answer).encode()) > MAX_REPLY_BYTES:
                log.warning("call %s: the agent's on_message answered more than %d bytes", self._name, MAX_REPLY_BYTES)
                answer = rtvi.error_response(request.id, "The agent's answer is too long.")
        except LookupError:
            answer = rtvi.error_response(request.id, f"No such message: {request.t[:64]}")
        except Crowded:
            answer = rtvi.error_response(request.id, BUSY)
        except (Exception, SystemExit) as error:
            log.warning("call %s: the agent's on_message failed: %s", self._name, type(error).__name__)
            answer = rtvi.error_response(request.id, "The agent could not answer.")
        self._listener.say([answer])

    def _ask(self, id: str, text: str, *, silent: bool) -> bool:
        self.settle()
        told = self._told(id, protocol.text_message(text))
        if told:
            self._listener.echo(text, id)
            self._listener.ask(text, silent=silent)
        return told

    def _noted(self, id: str, role: str, text: str) -> bool:
        """Add to the history, now or when the model's turn is over."""
        if not self._remembers:
            self._listener.say([rtvi.refusal(id, FORGETFUL)])
            return False
        note = protocol.content_message([(role, text)], False)
        if not self._listener.replying:
            if told := self._told(id, note):
                self._listener.noted(role, text)
            return told
        if len(self._notes) == MAX_NOTES:
            self._listener.say([rtvi.refusal(id, "Too much is waiting for the model to finish; this message is lost.")])
            return False
        self._notes.append((id, note, role, text))
        return True

    def _told(self, id: str, message: protocol.Message) -> bool:
        """Hand the client's words to the model, or tell the client that they are lost."""
        sent = self._listener.tell(message)
        if not sent:
            self._listener.say([rtvi.refusal(id, LOST)])
        return sent
