"""A dialogue with a model and a client that do what a test says, in virtual time; the real lines of sound."""

import asyncio
import contextlib
import json
import random
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from relay import rtvi
from relay.agent import Agent
from relay.audio.activity import level
from relay.audio.opus import Decoder
from relay.audio.packet import ENCODED_RATE
from relay.call import CallSettings
from relay.dialogue import Dialogue
from relay.gemini import events
from relay.gemini.handshake import Target
from relay.gemini.protocol import Message
from relay.history import History
from relay.ticker import Ticker
from relay.uplink import MESSAGE_BYTES
from tests import virtual
from tests.listener import Listener
from tests.sound import tone

MODEL: Final = "gemini-3.8-live"
SECOND: Final = tone(220.0, 1.0, ENCODED_RATE, -20.0).pcm  # of the model's sound

AUDIBLE_DBFS: Final = -60.0


class Model(Listener):
    """Takes down what it is told."""

    generation, live = 1, True

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []
        self.heard = bytearray()
        self.marks: list[tuple[str, int]] = []  # activityStart and -End, and how much had been heard then
        self.pictures = self.renewed = 0

    def send(self, message: Message) -> bool:
        body = json.loads(message.data)
        self.sent.append(body)
        self.marks += [(kind, len(self.heard)) for kind in body.get("realtimeInput", ()) if kind.startswith("activity")]
        return True

    def send_audio(self, pcm: bytes) -> bool:
        self.heard += pcm
        return True

    def send_picture(self, jpeg: bytes) -> bool:
        self.pictures += 1
        return True

    def utterance(self, begins: bool, at: float) -> None:
        """The user begins to speak, or has stopped."""

    def playing(self, on: bool) -> None:
        """Sound begins to be heard, or has ended."""

    def renew(self) -> None:
        """Another connection is wanted."""
        self.renewed += 1


class Call:
    """A dialogue of which the model listens and the client is ready; time passes with `speak` and `rest`."""

    def __init__(self, tasks: asyncio.TaskGroup, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.said: list[rtvi.Message] = []
        self.ended: list[tuple[float, str]] = []
        self.model = Model()
        self.ticker = Ticker()
        agent = Agent(greeting="", tools=settings.pop("tools", ()))
        self.began = self.loop.time()
        self.history = History(self.began)
        self.dialogue = Dialogue(
            CallSettings(Target("ws://127.0.0.1:1", MODEL), agent, **settings),
            self.ticker,
            name="test",
            say=self.said.extend,
            ready=lambda welcome, returns: self.said.extend(welcome),
            end=lambda fault: self.ended.append((self.now, fault.code if fault is not None else "")),
            history=self.history,
            sees=True,
        )
        self.dialogue.tasks = tasks
        self.wire: list[float] = []  # when packets left that are heard
        self._ear = Decoder()
        self.dialogue.downlink.connect(self._send, None)
        self.dialogue.connect(self.model)  # type: ignore[arg-type]
        self.dialogue.begin()
        self.dialogue.greet()

    def _send(self, payload: bytes, timestamp: int, marker: bool, red: bool) -> bool:
        if level(self._ear.decode(payload)) > AUDIBLE_DBFS:
            self.wire.append(self.now)
        return True

    @property
    def now(self) -> float:
        return self.loop.time() - self.began

    @property
    def told(self) -> list[str]:
        return [m["data"]["event"] for m in self.said if m["type"] == "server-message"]

    async def speak(self, pcm: bytes) -> None:
        """The microphone's sound, as time passes."""
        for at in range(0, len(pcm), MESSAGE_BYTES):
            self.dialogue.uplink.on_pcm(pcm[at : at + MESSAGE_BYTES])
            await asyncio.sleep(0.020)

    async def rest(self, seconds: float) -> None:
        await self.speak(bytes(round(seconds * 50) * MESSAGE_BYTES))

    def does(self, *happens: events.Event) -> None:
        for event in happens:
            self.dialogue.on_model_event(event)


@contextlib.asynccontextmanager
async def playing(**settings: Any) -> AsyncIterator[Call]:
    """A call in the running loop, which must be one of virtual time."""
    async with asyncio.TaskGroup() as tasks:
        call = Call(tasks, **settings)
        yield call
        call.dialogue.close()
        call.ticker.close()


def play(main: Callable[[Call], Awaitable[None]], **settings: Any) -> None:
    """Run it, and see that nothing is left."""

    async def whole() -> None:
        async with playing(**settings) as call:
            await main(call)

    virtual.run(whole())


def voice(seconds: float) -> bytes:
    """Loud, and no two samples in a row alike."""
    dice = random.Random(1)
    return array("h", (dice.randrange(-20_000, 20_000) for _ in range(round(seconds * 16_000)))).tobytes()
