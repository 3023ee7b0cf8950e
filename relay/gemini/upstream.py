"""The model's side of a conversation: one connection after another, as if it were one that never ends.

`life` decides when a connection is left for the next; here it is done. What the user says meanwhile waits, in order.
What the next connection has to know is put back before: turns that are newer than its handle, as they were heard; then
the question that has no answer, in the user's own voice, or a request to go on.

The owner makes an `Upstream`, awaits `connect()`, says `begin`, speaks, and owes one `close()`, also when `connect()`
failed.
Nothing of a connection that is left is heard any more. If an answer was being made on it the owner hears that it was
interrupted, and if a turn was open that it is over.
"""

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from google.genai.types import HistoryConfig, LiveConnectConfig, SessionResumptionConfig

from relay.alarm import Alarm
from relay.apart import take_apart
from relay.errors import ModelFault, OurBug, RelayError
from relay.gemini import events, life, recall
from relay.gemini.checkpoint import Memory, Nothing
from relay.gemini.client import CLOSE_DEADLINE, CONNECT_DEADLINE, LiveClient, Traffic
from relay.gemini.events import Event, FunctionCall
from relay.gemini.handover import Handover
from relay.gemini.handshake import Target
from relay.gemini.life import Busy, Life
from relay.gemini.unfinished import Unfinished

# The model has this long to answer the close frame, with all our sound in the network's hands; the next one waits.
CLOSE_SECONDS: Final = 0.1

News = Literal["reconnecting", "resumed", "memory-shortened"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Changes:
    """What became of the connections, for the figures."""

    left: int = 0  # connections, for whatever reason,
    lost: int = 0  # of them not by plan
    afresh: int = 0
    audio_dropped: int = 0  # pieces of sound that waited for a connection for too long


class Upstream:
    """The model's side of a conversation. `on_event` gets its events, `on_fault` one last word when it cannot go on.

    What may be said to it, `Handover` says. `memory` has what was said before the conversation, and all that is.

    `on_news` is told ``reconnecting``, ``resumed`` and ``memory-shortened``. The owner says what the model cannot
    know: when the user speaks (`utterance`), and when sound is `playing`.
    """

    def __init__(
        self,
        target: Target,
        config: LiveConnectConfig,
        on_event: Callable[[Event], None],
        on_fault: Callable[[RelayError], None],
        *,
        on_news: Callable[[News], None] = lambda name: None,
        memory: Memory | None = None,
        name: str = "",
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._target = target
        self._config = config
        self._on_event = on_event
        self._on_fault = on_fault
        self._on_news = on_news
        self._name = name
        self.memory: Memory = memory or Nothing()
        self._seeds = False  # the newest connection was set up to be told the history first
        self._loop = asyncio.get_running_loop()
        self._life = Life(chance)
        self._client: LiveClient | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()  # a first connection listens, or none will
        self._over = False
        self._fault: RelayError | None = None  # the last one
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(self._tick, self._failed)
        self._unfinished = Unfinished(target.model, self.memory)
        self._busy: frozenset[Busy] = frozenset()  # as `life` knows it
        self._handover = Handover(self._unfinished, self.memory, self._settle)
        self.begin, self.send, self.answer = self._handover.begin, self._handover.send, self._handover.answer
        self.send_audio, self.send_picture = self._handover.send_audio, self._handover.send_picture
        self.utterance = self._handover.utterance
        self.changes = Changes()
        self.traffic = Traffic()  # of all connections

    @property
    def live(self) -> bool:
        """Whether the model listens."""
        return self._handover.listening

    @property
    def generation(self) -> int:
        """The number of the newest connection, from 1."""
        return self._life.generation

    # ---- opening and closing ----

    async def connect(self) -> None:
        """Open the first connection and wait until the model accepts the setup; raises `RelayError`."""
        self._do(self._life.open(self._loop.time()))
        await self._opened

    async def close(self) -> None:
        """Say goodbye and let go of everything; idempotent."""
        self._stop(ModelFault("model-lost", "closed while connecting"))
        self._life.close()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if self._client is not None:
            await self._client.close()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_DEADLINE)

    def forget(self) -> None:
        """Closed and asked for by nobody any more: take it apart, once."""
        if self._client is not None:
            take_apart(self._client)
        take_apart(self)

    def renew(self) -> None:
        """The connection is of no use, though it has not ended: go on with another."""
        if self.live:
            self.changes.lost += 1
        self._do(self._life.renew(self._loop.time()))

    def _stop(self, fault: RelayError) -> None:
        self._over = True
        self._alarm.close()
        self._handover.close()
        if not self._opened.done():
            self._opened.set_exception(fault)
            self._opened.exception()  # nobody may be waiting

    # ---- what the owner knows ----

    def playing(self, on: bool) -> None:
        """Sound of the model begins to be heard, or has ended."""
        self._do(self._life.busy(Busy.PLAYING, on, self._loop.time()))

    def call_off(self, calls: Iterable[tuple[int, FunctionCall]]) -> None:
        """These functions, and the connections that called them: they will have no answer."""
        if promised := self._unfinished.forget(calls):
            self.send(recall.called_off(promised), owed=True)
        self._settle()

    # ---- hearing ----

    def _hear(self, generation: int, event: Event) -> None:
        """What a connection says, if it is the one that is listened to."""
        if isinstance(event, events.SetupComplete):
            self._accept(generation)
        elif generation == self._life.generation and self.live:
            if type(event) is events.Audio and self._unfinished.generating:
                self._on_event(event)  # the straight way, five times a second
                return
            self._unfinished.begins(event, self._loop.time(), generation)
            self._settle()
            self._on_event(event)
            if generation == self._life.generation and self.live:
                self._follow(event)

    def _follow(self, event: Event) -> None:
        """What follows from it for the connection, which may be left at once."""
        self._unfinished.ends(event)
        self._settle()
        match event:
            case events.ResumptionUpdate(handle=handle, resumable=True) if handle:
                if self._unfinished.offered():
                    self._do(self._life.offered(self._life.generation, handle, self._loop.time()))
            case events.GoAway(time_left=left):
                self._do(self._life.sent_away(self._life.generation, left, self._loop.time()))

    def _settle(self) -> None:
        """Tell `life` what the connection is busy with: first what begins, or it would seem quiet between the two."""
        self.changes.audio_dropped = self._handover.dropped
        busy, before = self._unfinished.busy, self._busy
        if busy != before:
            self._busy, now = busy, self._loop.time()
            for what in [*(busy - before), *(before - busy)]:
                self._do(self._life.busy(what, what in busy, now))
        self._arm()

    # ---- from one connection to the next ----

    def _do(self, actions: list[life.Action]) -> None:
        """What `life` says, and its next timer."""
        for action in actions:
            match action:
                case life.Close():
                    self._leave()
                    self._spawn(self._hang_up(action))
                case life.Open():
                    self._spawn(self._dial(action))
                case life.Tell(name=name):
                    self._on_news(name)
                case life.GiveUp(fault=fault):
                    self._give_up(fault)
        self._arm()

    def _arm(self) -> None:
        timer = self._life.timer
        self._alarm.set(*(() if self._over else (timer.at if timer is not None else None, self._unfinished.deadline)))

    def _tick(self) -> None:
        now = self._loop.time()
        self._unfinished.poll(now)
        self._settle()
        self._do(self._life.tick(self._life.generation, now))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._over:
            work.close()
            return
        task = self._loop.create_task(work, name="model")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        log.error("call %s: the model's side failed", self._name, exc_info=error)
        self._fail(OurBug(type(error).__name__))

    async def _dial(self, opening: life.Open) -> None:
        generation = opening.generation
        client = LiveClient(
            self._target,
            self._configured(opening.handle),
            functools.partial(self._hear, generation),
            functools.partial(self._lose, generation),
            on_upgraded=lambda: self._do(self._life.upgraded(generation)),
            connect_deadline=min(opening.seconds, CONNECT_DEADLINE),
            traffic=self.traffic,
        )
        self._client = client
        try:
            await client.connect()
        except RelayError as fault:
            self._lose(generation, fault)

    def _configured(self, handle: str | None) -> LiveConnectConfig:
        self._seeds = handle is None and recall.is_strict(self._target.model) and self.memory.mark > 0
        more: dict[str, Any] = {}
        if handle is not None:
            more["session_resumption"] = SessionResumptionConfig(handle=handle)
        if self._seeds:
            more["history_config"] = HistoryConfig(initial_history_in_client_content=True)
        return self._config.model_copy(update=more)

    async def _hang_up(self, closing: life.Close) -> None:
        """Close the old connection, and say so: what it has not taken gets longer to leave."""
        client = self._client
        if client is not None:
            await client.close(CLOSE_DEADLINE if client.unsent else CLOSE_SECONDS)
        self._do(self._life.gone(closing.generation, self._loop.time()))

    def _lose(self, generation: int, fault: RelayError) -> None:
        """A connection ended, or could not be made."""
        if self._over or generation != self._life.generation:
            return
        self._fault = fault
        code = self._client.close_code if self._client is not None else 0
        log.info("call %s: connection %d to the model ended: %s", self._name, generation, fault)
        if self.live:
            self.changes.lost += 1
        self._do(self._life.ended(generation, fault.code, code, self._loop.time()))

    def _give_up(self, code: str) -> None:
        fault = self._fault if self._fault is not None and self._fault.code == code else None
        detail = f"for {life.BUDGET_SECONDS:g} s" if fault is None else ""
        self._fail(fault or ModelFault(code, detail))

    def _fail(self, fault: RelayError) -> None:
        if self._over:
            return
        told, self._fault = self._opened.done(), fault
        self._stop(fault)
        if told:  # else `connect` raises it
            self._on_fault(fault)

    def _leave(self) -> None:
        """Nothing more is heard of this connection, or said to it."""
        if not self.live:
            return
        self.changes.left += 1
        self._handover.stop()
        for event in self._unfinished.leave():
            self._on_event(event)

    def _accept(self, generation: int) -> None:
        """The model listens; it may say so twice, and nothing is put back a second time."""
        if self._over or self.live or generation != self._life.generation:
            return
        actions = self._life.accepted(generation, self._loop.time())
        afresh = not self._life.resumed and self.changes.left > 0
        mark = self._unfinished.checkpoint.mark if self._life.resumed else self.memory.lately() if afresh else 0
        shortened = self._handover.put_back(mark, seeds=self._seeds) and afresh
        if not self._opened.done():
            self._opened.set_result(None)
        self._do(actions)
        if shortened:
            self.changes.afresh += 1
            self._on_news("memory-shortened")
        if self._client is not None and self.live:
            self._handover.to(self._client)
