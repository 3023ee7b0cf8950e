"""What is said on a call, by whom, and what follows: the two lines of sound, the turns, the words and the tools.

A dialogue knows neither peer connections nor deadlines; `session` owns those. It is told what the browser and the
model say, and says what follows through `say` (RTVI messages), its two lines of sound and its model connection.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from relay import __version__, rtvi, said
from relay.audio.activity import Edge
from relay.audio.opus import Encoder
from relay.audio.packet import ENCODED_RATE
from relay.call import CallSettings
from relay.downlink import Downlink
from relay.errors import BrowserFault, ModelFault, RelayError
from relay.functions import FunctionCalls
from relay.gemini import events, protocol
from relay.gemini.client import LiveClient
from relay.metrics import Promptness
from relay.ticker import Ticker
from relay.turns import Turns
from relay.uplink import Uplink

# The agent's reply to a client-message: the SDK waits 10 s.
REPLY_SECONDS: Final = 9.0
# Of that reply; what a browser takes that names no limit of its own (RFC 8841 §6.1).
MAX_REPLY_BYTES: Final = 64 * 1024
# What the client wrote while the model's connection is being made; it is told that more is lost.
EARLY_MESSAGES: Final = 20

log = logging.getLogger(__name__)


class Dialogue:
    """One conversation's words and sound: `begin` when the client is ready, `greet` when both are, `close` last.

    `tasks` is the call's TaskGroup; set it before the first message. `ready` is called with the welcome whenever the
    client says that it is.
    """

    def __init__(
        self,
        call: CallSettings,
        ticker: Ticker,
        *,
        name: str,
        say: Callable[[Sequence[rtvi.Message]], None],
        ready: Callable[[Sequence[rtvi.Message]], None],
        end: Callable[[RelayError | None], None],
        watch: Callable[[int, bool], None] = lambda track, enabled: None,
    ) -> None:
        self._call = call
        self._name = name
        self._tell = say
        self._ready = ready
        self._end = end
        self._watch = watch
        self.tracks: dict[int, bool] = {}  # the last word on each: 0 microphone, 1 camera, 2 screen
        self._loop = asyncio.get_running_loop()
        self.tasks: asyncio.TaskGroup | None = None
        self.client: LiveClient | None = None
        self.uplink = Uplink(lambda pcm: None, self._on_edge, self._end_stream)
        encoder = functools.partial(Encoder, call.opus_bitrate, call.opus_complexity)
        self.downlink = Downlink(lambda *packet: False, ticker, self, encoder)
        self.promptness = Promptness(time.perf_counter)
        self._turns = Turns(epoch=time.time() - self._loop.time(), model=call.target.model)
        self._flood = said.FloodGate()
        self._functions = FunctionCalls(call.agent.toolbox, self._send, self._say, lambda: self.tasks)
        self._timer: asyncio.TimerHandle | None = None
        self._held: list[rtvi.Message] | None = None  # said while a frame is being sent
        self._early: list[bytes] | None = []  # for a model that does not listen yet
        self._asked = False  # the client has asked for an answer
        self._over = False
        self._begun = False
        self._microphone = True
        self._generating = False
        self._skipping = False  # what is left of a generation that a typed message cut
        self._overflowed = False

    def connect(self, client: LiveClient) -> None:
        """This is the model: what is said goes there without a step between, once it listens."""
        self.client = client
        self.uplink.connect(client.send_audio)

    def begin(self) -> None:
        """The client is ready, or will not say so: the microphone is on."""
        self._begun = True
        if self._microphone:
            self.uplink.open()

    def greet(self) -> None:
        """The model is there and so is the client: hand over what was said meanwhile, and let the model open."""
        self.uplink.model_ready()
        early, self._early = self._early, None
        if self.uplink.seconds_sent and not self._microphone:
            self._end_stream()
        for message in early or ():
            self._send(message)
        greeting = self._call.greeting if self._call.greeting is not None else self._call.agent.greeting
        if greeting and not self._asked:  # what was asked is to be answered
            self._say(self._turns.greeting(self._loop.time()))
            self._send(protocol.greeting_message(self._call.target.model, greeting))

    def farewell(self) -> None:
        """The call ends: what was said is told, what has begun is stopped, and nothing more is said."""
        self._say(self._turns.close(self._loop.time()))
        self._functions.close()
        self.close()

    def close(self) -> None:
        """Free the lines and the timer, and say nothing more; idempotent."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._functions.close()
        self.uplink.close()
        self.downlink.close()

    # ---- from the browser ----

    def on_frame(self, frame: str | bytes) -> None:
        """A data-channel message, well-formed or not."""
        if self._over:
            return
        now = self._loop.time()
        verdict, message = self._flood.allow(now), None
        if verdict is said.Verdict.PASS:
            message = said.read(frame)
            if isinstance(message, said.Malformed) and message.oversize:
                verdict = self._flood.refuse(now)
        if verdict is said.Verdict.CLOSE:
            self._end(BrowserFault("too-many-messages"))
        elif message is not None:
            self._understood(message, now)
        elif verdict is said.Verdict.TELL:
            self._say([rtvi.error("Too many messages; the rest of this second is ignored.")])

    def _understood(self, message: said.Said, now: float) -> None:
        match message:
            case said.ClientReady():
                self._functions.library = message.library
                self._turns.speak(1 if message.major == 1 else 2)
                self._ready(rtvi.welcome(message, __version__, self._call.about))
            case said.TrackStatus(track=track, enabled=enabled):
                self.tracks[track] = enabled
                if track == 0:
                    self._switch_microphone(enabled)
                else:
                    self._watch(track, enabled)
            case said.SendText(id=id, content=content):
                if not message.run_immediately:
                    self._told(id, protocol.content_message([("user", content)], False))
                elif self._told(id, protocol.text_message(content)):
                    self._await_answer(content, now)
            case said.AppendToContext(id=id):
                if self._told(id, protocol.content_message([(message.role, message.content)], message.run_immediately)):
                    self._say([rtvi.append_to_context_result(id)])
                    if message.run_immediately:
                        self._await_answer(message.content, now)
            case said.ClientMessage() if self.tasks is not None:
                self.tasks.create_task(self._reply(message), name="client-message")
            case said.FunctionCallResult():
                self._functions.result(message)
            case said.DisconnectBot():
                self._end(None)
            case said.Malformed():
                self._say([rtvi.complaint(message)])
            case _:
                pass  # pings, keys, other labels

    def _switch_microphone(self, enabled: bool) -> None:
        self._microphone = enabled
        if not self._begun:
            return
        if enabled:
            self.uplink.open()
        else:
            told = self.uplink.stall.ended
            self.uplink.shut()
            if self._early is None and not told:
                self._end_stream()

    def _await_answer(self, text: str, now: float) -> None:
        """The model was asked in writing: what is still being said gives way."""
        self._asked = True
        if self.downlink.playout.playing:
            self._cut(now)
            self._skipping = self._generating
        self._say(self._turns.asked(text, now))

    def _told(self, id_: str, message: bytes) -> bool:
        """Hand the client's words to the model, or tell the client that they are lost."""
        sent = self._send(message)
        if not sent:
            self._say([rtvi.refusal(id_, "The model cannot be reached; this message is lost.")])
        return sent

    async def _reply(self, request: said.ClientMessage) -> None:
        """Let the agent file answer a client-message; whatever it does, one answer goes back."""
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                reply = await self._call.agent.reply(request.t, request.d)
            answer = rtvi.server_response(request, reply)
            if len(rtvi.encode(answer).encode()) > MAX_REPLY_BYTES:
                log.warning("call %s: the agent's on_message answered more than %d bytes", self._name, MAX_REPLY_BYTES)
                answer = rtvi.error_response(request.id, "The agent's answer is too long.")
        except LookupError:
            answer = rtvi.error_response(request.id, f"No such message: {request.t[:64]}")
        except (Exception, SystemExit) as error:
            log.warning("call %s: the agent's on_message failed: %s", self._name, type(error).__name__)
            answer = rtvi.error_response(request.id, "The agent could not answer.")
        self._say([answer])

    def on_picture(self, track: int, jpeg: bytes) -> None:
        """What the camera or the screen shows now; the model gets it at once or never, because it would be old."""
        if self._early is None and self.client is not None and not self._over:
            self.client.send_picture(jpeg)

    # ---- from the model ----

    def on_model_event(self, event: events.Event) -> None:
        """What the model says, in the order it says it."""
        if self._over:
            return
        now, playout = self._loop.time(), self.downlink.playout
        match event:
            case events.Audio(rate=rate) if rate != ENCODED_RATE:
                self._end(ModelFault("model-lost", f"it speaks at {rate} Hz, not at {ENCODED_RATE}"))
                return
            case events.Audio():
                self._generating = True
                if self._skipping:
                    return
                self.promptness.model_spoke()
            case events.Interrupted():
                self._generating = self._skipping = False
                self._cut(now)
                return
            case events.GenerationComplete() | events.TurnComplete():
                self._generating = self._skipping = self._overflowed = False
            case events.GoAway():
                log.info("call %s: the model will close in %.0f s", self._name, event.time_left)
        messages = self._turns.model_event(event, playout.received, now)
        if isinstance(event, events.Audio):
            # The frame leaves first: the words about it can wait for the tenth of a millisecond that it takes.
            with self._words_after(messages):
                self._hear(event.pcm)
            return
        self._say(messages)
        match event:
            case events.GenerationComplete() | events.TurnComplete():
                self.downlink.end()
            case events.ToolCall(calls=calls):
                self._functions.begin(calls)
            case events.ToolCancelled(ids=ids):
                self._functions.cancel(ids)

    @contextlib.contextmanager
    def _words_after(self, messages: Sequence[rtvi.Message]) -> Iterator[None]:
        """What is said within the block is said after it, and after `messages`."""
        held: list[rtvi.Message] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
        self._say([*messages, *held])

    def _hear(self, pcm: bytes) -> None:
        if self.downlink.add(pcm) and not self._overflowed:
            self._overflowed = True
            self._say([rtvi.error("The answer is more than five minutes ahead; what follows is cut.")])

    def _cut(self, now: float) -> None:
        """The model is interrupted: silence the line and forget what was not heard."""
        heard_to = self.downlink.playout.position
        self.downlink.interrupt()
        self._say(self._turns.interrupted(heard_to, now))

    # ---- from the two lines ----

    def on_sound_started(self) -> None:
        """The first frame of a turn left."""
        now = self._loop.time()
        self.promptness.sound_started(now)
        self._say(self._turns.sound_started(now))

    def on_played(self, position: int) -> None:
        """The listener is at `position`, which the turns wait for."""
        self._say(self._turns.played(position, self._loop.time()))

    def on_sound_stopped(self) -> None:
        """The last frame of a turn left."""
        self.promptness.sound_stopped()
        self._say(self._turns.sound_stopped(self._loop.time()))

    def _on_edge(self, edge: Edge) -> None:
        now = self._loop.time()
        if edge.speaking:
            self.promptness.user_started()
        else:
            self.promptness.user_stopped(edge.at)
        self._say(self._turns.user_started(now) if edge.speaking else self._turns.user_stopped(now))

    # ---- out ----

    def _send(self, message: bytes) -> bool:
        """Send to the model, or keep it until there is one that listens; False if it gets nowhere."""
        if self._early is None:
            return self.client is not None and self.client.send(message)
        if len(self._early) == EARLY_MESSAGES:
            return False
        self._early.append(message)
        return True

    def _end_stream(self) -> None:
        self._send(protocol.audio_end_message())

    def _say(self, messages: Sequence[rtvi.Message]) -> None:
        """Send RTVI messages in order, and call the turns again when they want to be called."""
        self.downlink.wake_at = self._turns.waiting_for
        if self._held is not None:
            self._held += messages
            return
        if self._over:
            return
        self._tell(messages)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._turns.deadline is not None:
            self._timer = self._loop.call_at(self._turns.deadline, self._turns_due)

    def _turns_due(self) -> None:
        self._timer = None
        self._say(self._turns.poll(self._loop.time()))
