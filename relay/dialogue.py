"""What is said on a call, by whom, and what follows: the two lines of sound, the turns, the words and the tools.

A dialogue knows neither peer connections nor deadlines; `session` owns those. It is told what the browser and the
model say, and says what follows through `say` (RTVI messages), its two lines of sound and its model connection.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Sequence
from datetime import date

from relay import __version__, rtvi, said
from relay.alarm import Alarm
from relay.asking import Asking
from relay.audio.activity import Edge
from relay.audio.opus import Encoder
from relay.call import CallSettings
from relay.dictation import Dictation
from relay.downlink import Downlink
from relay.errors import OurBug, RelayError
from relay.files import Files
from relay.floor import Floor
from relay.functions import FunctionCalls
from relay.gemini import events, protocol, recall
from relay.gemini.upstream import Upstream
from relay.hearing import Hearing
from relay.history import History
from relay.inbox import Inbox
from relay.keeper import Keeper
from relay.metrics import Promptness
from relay.recap import recap
from relay.ticker import Ticker
from relay.tracks import Tracks
from relay.transcript import Role, Transcript
from relay.turns import Turns
from relay.uplink import Uplink
from relay.warden import Warden
from relay.written import Written

log = logging.getLogger(__name__)


class Dialogue:
    """One conversation's words and sound: `begin` when the client is ready, `greet` when both are, `close` last.

    `tasks` is the call's TaskGroup; set it before the first message. `ready` is called whenever the client says that it
    is, with the welcome and whether it means to come back after it has closed its connection; `watch` when it says that
    a camera (1) or a screen (2) is on or off. It `sees` if the model is to be shown them.
    """

    def __init__(
        self,
        call: CallSettings,
        ticker: Ticker,
        *,
        name: str,
        say: Callable[[Sequence[rtvi.Message]], None],
        ready: Callable[[Sequence[rtvi.Message], bool], None],
        end: Callable[[RelayError | None], None],
        watch: Callable[[int, bool], None] = lambda track, enabled: None,
        files: Files | None = None,
        sees: bool = False,
        history: History | None = None,
    ) -> None:
        self._call = call
        self._name = name
        self._out = say
        self._ready = ready
        self._end = end
        self._sees = sees
        self._loop = asyncio.get_running_loop()
        self.tasks: asyncio.TaskGroup | None = None
        self.client: Upstream | None = None
        self.uplink = Uplink(lambda pcm: None, self._on_edge, lambda: self._hearing.end_stream(), self.failed)
        self._hearing = Hearing(self.uplink, marked=call.barge_in == "local")
        self.tell = self._hearing.tell
        self._tracks = Tracks(self.uplink, watch, self._hearing.end_stream)
        self.tracks, self.forget_pictures = self._tracks.status, self._tracks.forget_pictures
        self.microphone, self.microphone_dead = self._tracks.microphone, self._tracks.microphone_dead
        encoder = functools.partial(Encoder, call.opus_bitrate, call.opus_complexity)
        self.downlink = Downlink(ticker, self, encoder)
        self.promptness = Promptness(time.perf_counter)
        epoch = time.time() - self._loop.time()
        self._history = history or History(self._loop.time(), epoch=epoch)
        self._turns = Turns(epoch=epoch, model=call.target.model, history=self._history)
        self._inbox = Inbox(self.say, end)
        self._functions = FunctionCalls(
            call.agent.toolbox, self.say, lambda: self.tasks, self._history,
            lambda: self.warden.settle(self._loop.time()),
        )  # fmt: skip
        self.warden = Warden(
            Keeper(self._hearing, call.target.model, self.say, end),
            self._loop.time(),
            idle=call.idle,
            longest=call.longest,
            ledger=call.ledger,
            today=date.today,
            calling=lambda: self._functions.running,
            name=name,
        )
        self._dictation: Dictation | None = None
        if call.transcriber is not None:
            self._dictation = Dictation(
                call.transcriber, call, self._history, lambda: self.tasks, self.say,
                lambda usage, model: self.warden.pay(usage, self._loop.time(), model),
            )  # fmt: skip
        self._floor = Floor(self.downlink, self._turns, self._dictation, self.warden, self.say)
        self._asking = Asking(self._hearing, self._turns, self._floor, self._history, self.warden, self.say)
        remembers = not recall.is_strict(call.target.model)
        self._written = Written(self._asking, call.agent, files or Files(), name=name, remembers=remembers)
        self._alarm = Alarm(self._due, self.failed)
        self._held: list[rtvi.Message] | None = None  # said while a frame is being sent
        self._overflowed = False
        self._over = False

    def connect(self, client: Upstream) -> None:
        """This is the model: what is said goes there without a step between, once it listens."""
        self.client = client
        self._hearing.connect(client)
        self._functions.connect(client)
        send_audio = client.send_audio
        self.uplink.connect(self._dictation.beside(send_audio) if self._dictation is not None else send_audio)

    @property
    def pending(self) -> Sequence[tuple[Role, str]]:
        """What the app has added to the conversation, and the history does not have yet."""
        return self._written.pending

    def recap(self, transcript: Transcript) -> list[rtvi.Message]:
        """What a client that comes into the conversation is told of it."""
        standing = [*self._turns.standing(), *self.warden.standing(self._loop.time())]
        return [*recap(transcript, self._turns.saying), *standing]

    def begin(self) -> None:
        """The client is ready, or will not say so: the microphone is on."""
        self._tracks.begin()

    def greet(self) -> None:
        """The model is there and so is the client: hand over what was said meanwhile, and let the model open."""
        self._hearing.model_ready()
        self._tracks.model_ready()
        greeting = self._call.greeting if self._call.greeting is not None else self._call.agent.greeting
        if greeting and not self._asking.asked:  # what was asked is to be answered
            self.say(self._turns.greeting(self._loop.time()))
            self.tell(protocol.greeting_message(self._call.target.model, greeting))
            self.warden.asked(self._loop.time())
        self.say([])

    def farewell(self) -> None:
        """The call ends: what was said is told, what has begun is stopped, and nothing more is said."""
        try:
            self._written.settle()
            self.say(self._turns.close(self._loop.time()))
        except Exception:  # perhaps what the call ends for; the user is still to be told why
            log.exception("call %s cannot end its turns", self._name)
        self._functions.close()
        self.close()

    def close(self) -> None:
        """Free the lines and the timer, and say nothing more; idempotent."""
        self._over = True
        self._alarm.close()
        self._functions.close()
        self.uplink.close()
        self.downlink.close()

    # ---- from the browser ----

    def on_frame(self, frame: str | bytes) -> None:
        """A data-channel message, well-formed or not."""
        if self._over:
            return
        now = self._loop.time()
        message = self._inbox.read(frame, now)
        if isinstance(message, said.SendText | said.AppendToContext | said.SendFile | said.Dtmf):
            self.warden.wrote(now)
        if message is not None:
            self._understood(message, now)

    def _understood(self, message: said.Said, now: float) -> None:
        match message:
            case said.ClientReady():
                self._functions.library = message.library
                self._turns.speak(1 if message.major == 1 else 2)
                self._ready(rtvi.welcome(message, __version__, self._call.about, sees=self._sees), message.returns)
            case said.TrackStatus(track=track, enabled=enabled):
                self._tracks.switch(track, enabled)
            case said.SendText():
                self._written.text(message)
            case said.SendFile() if self.tasks is not None:
                self.tasks.create_task(self._written.picture(message), name="picture")
            case said.AppendToContext():
                self._written.context(message)
            case said.Dtmf():
                self._written.keys(message, now)
                self.say([])
            case said.ClientMessage() if self.tasks is not None:
                self.tasks.create_task(self._written.reply(message), name="client-message")
            case said.FunctionCallResult():
                self._functions.result(message)
            case said.DisconnectBot():
                self._end(None)
            case said.Malformed():
                self.say([rtvi.complaint(message)])
                self._functions.too_long(message.call_id)
            case _:
                pass  # pings, other labels

    def on_picture(self, track: int, jpeg: bytes) -> None:
        """What the camera or the screen shows now."""
        if self._hearing.sees and not self._over and self._tracks.shows(track, self._loop.time()):
            self._hearing.show(jpeg)

    # ---- from the model ----

    def on_model_event(self, event: events.Event) -> None:
        """What the model says, in the order it says it."""
        if self._over:
            return
        now, playout = self._loop.time(), self.downlink.playout
        if not self._floor.passes_over(event):
            self.warden.model_event(event, now)
        match event:
            case events.Audio():
                self._hear(event, now)
                return
            case events.Interrupted():
                self._floor.interrupted(now)
                if self.client is not None and self.client.live:  # else its connection is left, and the calls stand
                    self._functions.interrupt()
                self._written.settle()
                return
            case events.GenerationComplete() | events.TurnComplete():
                self._floor.complete()
                self._overflowed = False
            case events.GoAway():
                log.info("call %s: the model will close in %.0f s", self._name, event.time_left)
        self.say(self._turns.model_event(event, playout.received, now))
        match event:
            case events.GenerationComplete() | events.TurnComplete():
                self.downlink.end()
                if self._dictation is not None and not playout.playing:
                    self._dictation.model_heard(playout.position)
                if not self._turns.replying:
                    self._written.settle()
            case events.ToolCall(calls=calls):
                self._functions.begin(calls)
            case events.ToolCancelled(ids=ids):
                self._functions.cancel(ids)

    def _hear(self, event: events.Audio, now: float) -> None:
        """The frame leaves first: the words about it can wait for the tenth of a millisecond that it takes."""
        if not self._floor.generate():
            return
        silent, received = self._turns.silent(now), self.downlink.playout.received
        if not silent:
            self.promptness.model_spoke()
        messages = self._turns.model_event(event, received, now)
        if silent:
            self.say(messages)
            return
        if self._dictation is not None:
            self._dictation.model_sound(received, event.pcm)
        held = self._held = []
        try:
            overflows = self.downlink.add(event.pcm) and not self._overflowed
        finally:
            self._held = None
        if overflows:
            self._overflowed = True
            held.append(rtvi.error("The answer is more than five minutes ahead; what follows is cut."))
        self.say([*messages, *held])

    def on_news(self, name: rtvi.RelayEvent) -> None:
        """What becomes of the connection to the model, as far as the user has to know."""
        if name in ("reconnecting", "resumed"):
            self.warden.away(self._loop.time(), away=name == "reconnecting")
        self.say([rtvi.relay_event(name)])

    # ---- from the two lines ----

    def on_sound_started(self) -> None:
        """The first frame of a turn left."""
        now = self._loop.time()
        self.promptness.sound_started(now)
        self.warden.sound_started(now)
        if self.client is not None:
            self.client.playing(True)
        self.say(self._turns.sound_started(now))

    def on_played(self, position: int) -> None:
        """The listener is at `position`, which the turns wait for."""
        self.say(self._turns.played(position, self._loop.time()))

    def on_sound_stopped(self) -> None:
        """The last frame of a turn left."""
        self.promptness.sound_stopped()
        now = self._loop.time()
        self.say(self._turns.sound_stopped(self.downlink.playout.position, now))
        self.warden.sound_stopped(now)
        if self._dictation is not None and not self._floor.unfinished:
            self._dictation.model_heard(self.downlink.playout.position)
        if self.client is not None:
            self.client.playing(False)

    def failed(self, error: Exception) -> None:
        """A mistake of ours: nothing more is heard on one of the lines, or no timer rings. Better no call than such."""
        log.error("call %s failed in the middle", self._name, exc_info=error)
        self._end(OurBug(type(error).__name__))

    def _on_edge(self, edge: Edge) -> None:
        now = self._loop.time()
        if edge.speaking:
            self.promptness.user_started()
            self.warden.user_started(now)
        else:
            self.promptness.user_stopped(edge.at)
            self.warden.user_stopped(edge.at, now)
        if self._dictation is not None:
            self._dictation.user(edge.speaking)
        if self.client is not None:
            self.client.utterance(edge.speaking, edge.at)
        if not edge.speaking:
            self._hearing.end_turn()
        elif self._hearing.barges_in:  # the voice stops at once, and so does what the model waits for
            self._floor.take(now, unfinished=self._floor.unfinished)
            self._functions.interrupt()
            self._hearing.begin_turn()
        self.say(self._turns.user_started(now) if edge.speaking else self._turns.user_stopped(now))

    # ---- out ----

    def say(self, messages: Sequence[rtvi.Message]) -> None:
        """Send RTVI messages in order, and call the turns again when they want to be called."""
        self.downlink.wake_at = self._turns.waiting_for
        if self._held is not None:
            self._held += messages
            return
        if self._over:
            return
        if messages:
            self._out(messages)
            if self._dictation is not None:
                self._dictation.said(messages)
        self._alarm.set(self._turns.deadline, self._written.deadline, self.warden.deadline)

    def _due(self) -> None:
        now = self._loop.time()
        self._written.poll(now)
        self.warden.poll(now)
        self.say(self._turns.poll(now))
        if not self._turns.replying:
            self._written.settle()
