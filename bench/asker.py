"""Somebody who talks to the local voice over the wire, in real time: what they are answered, how soon, and if rightly.

What the voice says comes back through their microphone, as softly as a browser's echo cancellation leaves it.
"""

import asyncio
import base64
import contextlib
import json
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect

from tests import hearing, noises

PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
SETUP: Final = {
    "setup": {"model": "models/gemini-3.8-live", "inputAudioTranscription": {}, "outputAudioTranscription": {}}
}
RATE: Final = 16_000
FRAME: Final = 320  # samples of 20 ms
ROOM_DBFS: Final = -60.0  # noise of the room
AIR: Final = 6  # frames that our sound is on its way back to the microphone
ANSWER_S: Final = 10.0
GOES_ON_S: Final = 20.0  # an answer's end is waited for so long
NOTICED_S: Final = 2.0  # an interruption that is noticed later is missed
REST_S: Final = 0.7  # then what came back of the answer is gone
INTO_S: Final = (0.6, 1.4)  # of an answer, after which it is interrupted

Sound = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """Spoken at `RATE`, and what the answer must hold, in lower case."""

    pcm: bytes
    answer: str

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / RATE


@dataclass
class Told:
    """What became of one caller's turns, in seconds; what did not come is endless."""

    answers: list[float] = field(default_factory=list)  # from the end of speech to the first sound
    captions: list[float] = field(default_factory=list)  # from its beginning to the first words
    stops: list[float] = field(default_factory=list)  # from its beginning to `interrupted`
    spent: list[float] = field(default_factory=list)  # of processor time, from a question to its answer's end
    wrong: list[str] = field(default_factory=list)  # answers that were others than they should be
    echoes: int = 0  # answers that were interrupted while nobody spoke

    def __iadd__(self, other: "Told") -> Self:
        """What became of another call's turns comes behind."""
        self.answers += other.answers
        self.captions += other.captions
        self.stops += other.stops
        self.spent += other.spent
        self.wrong += other.wrong
        self.echoes += other.echoes
        return self

    @property
    def missed(self) -> int:
        """Questions that got no answer."""
        return self.answers.count(float("inf"))

    @property
    def early(self) -> int:
        """Answers to questions that were not over yet."""
        return sum(answer < 0 for answer in self.answers)


class Loudspeaker:
    """Plays what the voice says, in real time, and gives what of it comes back through the microphone."""

    def __init__(self) -> None:
        self.heard = bytearray()  # all that was said, at 24 kHz
        self.gain = 0.0  # until it is known how loud the voice is
        self._rest: Sound = np.zeros(0)
        self._waits: deque[Sound] = deque()
        self._air: deque[Sound] = deque([np.zeros(FRAME)] * AIR)

    def calibrate(self, dbfs: float) -> None:
        """From now on what comes back of the voice's loud parts has this level."""
        self.gain = 10 ** ((dbfs - hearing.loudness(bytes(self.heard), 24_000)) / 20)

    def play(self, pcm: bytes) -> None:
        """Takes the voice's sound at 24 kHz, and makes two samples of three: an echo is no feast for the ear."""
        if not self.gain:
            self.heard += pcm
        sound = np.concatenate([self._rest, np.frombuffer(pcm, dtype="<i2") * self.gain])
        whole = len(sound) // (FRAME * 3 // 2) * (FRAME * 3 // 2)
        three, self._rest = sound[:whole].reshape(-1, 3), sound[whole:]
        two = np.column_stack((three[:, 0], (three[:, 1] + three[:, 2]) / 2)).reshape(-1, FRAME)
        self._waits.extend(two)

    def stop(self) -> None:
        """What was not played yet is dropped, as the relay drops it."""
        self._rest = np.zeros(0)
        self._waits.clear()

    def frame(self) -> Sound:
        """The next 20 ms that the microphone hears of it."""
        self._air.append(self._waits.popleft() if self._waits else np.zeros(FRAME))
        return self._air.popleft()


class Asker:
    """One caller. `at` has when what happened first since they began to ask."""

    def __init__(self, socket: ClientConnection, seed: int) -> None:
        self.told = Told()
        self.at: dict[str, float] = {}
        self.loudspeaker = Loudspeaker()
        self._socket = socket
        self._said = ""  # of the answer, so far
        self._event = asyncio.Event()
        self._next: bytes = b""
        self._room = np.frombuffer(noises.pcm(noises.white(10.0, seed), ROOM_DBFS), dtype="<i2")

    async def listen(self) -> None:
        with contextlib.suppress(Exception):
            async for message in self._socket:
                told = json.loads(message)
                self._take(told, told.get("serverContent", {}), time.monotonic())
                self._event.set()

    def _take(self, told: dict[str, Any], content: dict[str, Any], now: float) -> None:
        if "setupComplete" in told:
            self.at["setupComplete"] = now
        if "modelTurn" in content:
            if "modelTurn" not in self.at:
                self.at.pop("turnComplete", None)  # of the answer before, which was interrupted
            for part in content["modelTurn"]["parts"]:
                self.loudspeaker.play(base64.b64decode(part.get("inlineData", {}).get("data", "")))
        self._said += content.get("outputTranscription", {}).get("text", "")
        for name in ("modelTurn", "interimInputTranscription", "interrupted", "turnComplete"):
            if name in content:
                self.at.setdefault(name, now)
        if "interrupted" in content:
            self.loudspeaker.stop()
            self._said = ""
            self.at.pop("modelTurn", None)
            if "begins" not in self.at:
                self.told.echoes += 1

    async def until(self, name: str, seconds: float = ANSWER_S) -> bool:
        deadline = time.monotonic() + seconds
        while name not in self.at and (left := deadline - time.monotonic()) > 0:
            self._event.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), left)
        return name in self.at

    async def stream(self) -> None:
        """The microphone: what is to be said, the room, and the echo."""
        begin, n, rest = time.monotonic(), 0, b""
        while True:
            if self._next:
                rest, self._next = self._next, b""
                self.at["begins"] = time.monotonic()
                self.at["ends"] = self.at["begins"] + len(rest) / 2 / RATE
                self._event.set()
            voice = np.frombuffer(rest[: 2 * FRAME].ljust(2 * FRAME, b"\0"), dtype="<i2")
            rest = rest[2 * FRAME :]
            at = n * FRAME % (len(self._room) - FRAME)
            sound = voice + self._room[at : at + FRAME] + self.loudspeaker.frame()
            pcm = np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()
            blob = {"data": base64.b64encode(pcm).decode(), "mimeType": f"audio/pcm;rate={RATE}"}
            await self._socket.send(json.dumps({"realtimeInput": {"audio": blob}}))
            n += 1
            await asyncio.sleep(max(0.0, begin + n * FRAME / RATE - time.monotonic()))

    async def greeted(self) -> None:
        """It says hello, which tells how loud it is."""
        await self._socket.send(
            json.dumps({"realtimeInput": {"text": "Say hello, briefly, and ask how you can help."}})
        )
        await self.until("turnComplete", GOES_ON_S)
        self.loudspeaker.calibrate(hearing.ECHO_DBFS)
        await asyncio.sleep(REST_S)

    async def begin(self, pcm: bytes) -> None:
        """Opens the mouth."""
        self.at.clear()
        self._said = ""
        self._next = pcm
        await self.until("begins")

    async def ask(self, question: Question) -> None:
        """One question, and its whole answer."""
        await self.begin(question.pcm)
        await self._answered(question)
        if await self.until("turnComplete", GOES_ON_S) and question.answer not in self._said.lower():
            self.told.wrong.append(self._said)
        self.at.clear()
        await asyncio.sleep(REST_S)

    async def _answered(self, question: Question) -> None:
        await self.until("modelTurn", question.seconds + ANSWER_S)
        never = float("inf")
        self.told.answers.append(self.at.get("modelTurn", never) - self.at["ends"])
        self.told.captions.append(self.at.get("interimInputTranscription", never) - self.at["begins"])

    async def interrupt(self, questions: Sequence[Question], chance: random.Random) -> None:
        """Each question is spoken into the answer to the one before."""
        await self.begin(questions[0].pcm)
        for question in questions[1:]:
            if not await self.until("modelTurn"):
                self.told.answers.append(float("inf"))
            self.at.clear()
            await asyncio.sleep(chance.uniform(*INTO_S))
            await self.begin(question.pcm)
            await self.until("interrupted", NOTICED_S)
            self.told.stops.append(self.at.get("interrupted", float("inf")) - self.at["begins"])
        await self.until("turnComplete", GOES_ON_S)


@contextlib.asynccontextmanager
async def _asker(url: str, seed: int) -> AsyncIterator[Asker]:
    async with connect(url + PATH, max_size=None, compression=None) as socket:
        asker = Asker(socket, seed)
        listening = asyncio.create_task(asker.listen())
        await socket.send(json.dumps(SETUP))
        await asker.until("setupComplete")
        speaking = asyncio.create_task(asker.stream())
        try:
            await asker.greeted()
            yield asker
        finally:
            speaking.cancel()
            listening.cancel()
            await asyncio.gather(speaking, listening, return_exceptions=True)


async def conversation(
    url: str, questions: Iterable[Question], seconds: Callable[[], float] | None = None, seed: int = 0
) -> Told:
    """One question after the other; `seconds` tells of the processor time of the voice, whose only call it then is."""
    async with _asker(url, seed) as asker:
        for question in questions:
            before = seconds() if seconds else 0.0
            await asker.ask(question)
            asker.told.spent += [seconds() - before] if seconds else []
        return asker.told


async def interruptions(url: str, questions: Sequence[Question], seed: int = 0) -> Told:
    """Every question but the first interrupts an answer."""
    async with _asker(url, seed) as asker:
        await asker.interrupt(questions, random.Random(seed))
        return asker.told
