"""A model that costs next to nothing: just enough of the Live format, prebuilt answers, time stamps.

A process of its own (see `part.py`). Connections are numbered in the order of their setup.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from bench import speech
from bench.ear import Ear
from bench.part import serve
from tests.sound import Sound

LEAD: Final = 3  # chunks sent at once when talk without end begins; then real time
TURN_SPEED: Final = 4.0  # times real time, as Gemini delivers a turn
NOD: Final = 10.0  # seconds; a model that never answers who talks to it is given up by the relay after 15
TURN, PAUSE = 2.0, 3.0  # seconds; the model talks 40 % of the time, as in a conversation
FRAME_CHARS: Final = 853  # of base64 in 20 ms; the rest of a message is less than another frame
ANSWER: Final = 1.0  # seconds that it says to somebody who has stopped speaking
AUDIO: Final = re.compile(rb'"data"\s*:\s*"([^"]*)"')
STANDARD: Final = bytes.maketrans(b"-_", b"+/")  # either base64 alphabet is legal
TEXT: Final = ("I am ", "reading the ", "weather report ", "aloud to ", "you. ")
USAGE: Final = {"promptTokenCount": 522, "responseTokenCount": 42, "totalTokenCount": 564}

Stamp = int  # nanoseconds of the monotonic clock, which all processes of this machine share


class Line(WSListener):
    """One connection of the relay."""

    def __init__(self, model: "Model") -> None:
        self.model = model
        self.transport: WSTransport | None = None
        self.frames: list[tuple[Stamp, bytes]] = []
        self.received = 0  # frames of 20 ms
        self.spoken_to = False  # since the last nod
        self.speaking: asyncio.Task[Any] | None = None
        self.ear: Ear | None = None  # of a model that answers
        self.answers: list[tuple[Stamp, Stamp]] = []  # when the last sound of a turn came, and when it began to answer

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
            return
        self.spoken_to = True
        now = time.monotonic_ns()
        payload = frame.get_payload_as_bytes()
        if b"audio/pcm" in payload:
            self.received += len(payload) // FRAME_CHARS
            if self.model.recording:
                self.frames.append((now, payload))
            if self.ear is not None and (spoke := self.ear.hear(now, decoded(payload))) is not None:
                self.answer(spoke)
        elif b'"setup"' in payload[:20]:
            self.model.lines.append(self)
            self.send(b'{\n  "setupComplete": {}\n}\n')

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.transport = None
        if self in self.model.lines:
            self.model.lines.remove(self)
        if self.speaking is not None:
            self.speaking.cancel()

    def answer(self, spoke: Stamp) -> None:
        """It is our turn, since `spoke`."""
        chunks = self.model.built(200, False)[: round(ANSWER / 0.2)]
        self.answers.append((spoke, time.monotonic_ns()))
        self.speaking = asyncio.ensure_future(take_turns(self, chunks, ANSWER, 0.0, 0.0, 1))

    def send(self, message: bytes) -> None:
        if self.transport is not None:
            self.transport.send(WSMsgType.BINARY, message)


class Model:
    """All connections, and what the bench asks of them."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.recording = False
        self.datagrams: list[Stamp] = []
        self.chunks: dict[tuple[int, bool], list[bytes]] = {}
        self.nodding: asyncio.Task[None] | None = None

    async def listen(self) -> dict[str, int]:
        """Open the doors: the WebSocket's port, and the port of the bench's own delay check."""

        def accept(request: WSUpgradeRequest) -> WSListener:
            return Line(self)

        server = await ws_create_server(accept, "127.0.0.1", 0)
        self.nodding = asyncio.create_task(self.nod())
        loop = asyncio.get_running_loop()
        probe, _ = await loop.create_datagram_endpoint(lambda: Probe(self.datagrams), ("127.0.0.1", 0))
        return {"port": server.sockets[0].getsockname()[1], "probe": probe.get_extra_info("sockname")[1]}

    async def nod(self) -> None:
        """A word to those who talk while the model is to be silent, now and then, so that it counts as alive."""
        while True:
            await asyncio.sleep(NOD)
            for line in self.lines:
                if line.spoken_to and line.speaking is None and line.ear is None:
                    line.send(b'{"serverContent": {"outputTranscription": {"text": "Yes."}}}')
                    finish(line)
                line.spoken_to = False

    async def connections(self) -> int:
        return len(self.lines)

    async def record(self, on: bool) -> None:
        """Begin to count, and keep what comes if `on`."""
        self.recording = on
        for line in self.lines:
            line.received = 0
            line.frames.clear()

    async def heard(self, step: float) -> list[dict[str, Any]]:
        """What each connection received while recording: arrival and length of each frame, and its levels."""
        answer = []
        for line in self.lines:
            pcm, frames = bytearray(), []
            for at, payload in line.frames:
                sound = decoded(payload)
                frames.append((at, len(sound) // 2))
                pcm += sound
            answer.append({"frames": frames, "levels": Sound(bytes(pcm), speech.UPLINK_RATE).levels(step)})
        return answer

    async def counts(self) -> list[int]:
        return [line.received for line in self.lines]

    async def probed(self) -> list[Stamp]:
        """One-way delays of the datagrams that carried their sending time: what the bench itself adds."""
        stamps, self.datagrams[:] = list(self.datagrams), []
        return stamps

    async def speak(self, turns: bool, chunk_ms: int = 200, captions: bool = False) -> None:
        """Talk on every connection from now on: without end, or in turns with pauses."""
        chunks = self.built(chunk_ms, captions)
        for number, line in enumerate(self.lines):
            share = number / len(self.lines)
            if turns:
                said = chunks[: round(TURN * 1000 / chunk_ms)]
                line.speaking = asyncio.ensure_future(take_turns(line, said, TURN, PAUSE, share * (TURN + PAUSE)))
            else:
                line.speaking = asyncio.ensure_future(stream(line, chunks, chunk_ms / 1000, share * chunk_ms / 1000))

    async def hush(self) -> None:
        """Stop, as if interrupted: the relay drops what it has not yet said."""
        for line in self.lines:
            if line.speaking is not None:
                line.speaking.cancel()
                line.speaking = None
                line.send(b'{\n  "serverContent": {\n    "interrupted": true\n  }\n}\n')
                finish(line)

    async def turns(self, count: int, seconds: float, pause: float, chunk_ms: int = 200) -> list[list[Stamp]]:
        """Talk in so many turns on every connection, and say when each turn's first audio was sent."""
        chunks = self.built(chunk_ms, False)[: round(seconds * 1000 / chunk_ms)]
        spread = (seconds + pause) / max(1, len(self.lines)) + 0.0013  # no two in the same millisecond of 20
        return list(
            await asyncio.gather(
                *(take_turns(line, chunks, seconds, pause, n * spread, count) for n, line in enumerate(self.lines))
            )
        )

    async def converse(self) -> None:
        """From now on answer whoever has stopped speaking."""
        for line in self.lines:
            line.ear, line.answers = Ear(), []

    async def answers(self) -> list[list[tuple[Stamp, Stamp]]]:
        """How each connection was answered; no more of that."""
        for line in self.lines:
            line.ear = None
        return [line.answers for line in self.lines]

    def built(self, chunk_ms: int, captions: bool) -> list[bytes]:
        key = (chunk_ms, captions)
        if key not in self.chunks:
            self.chunks[key] = list(build(speech.sentence(speech.DOWNLINK_RATE), chunk_ms, captions))
        return self.chunks[key]


class Probe(asyncio.DatagramProtocol):
    def __init__(self, delays: list[Stamp]) -> None:
        self.delays = delays

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.delays.append(time.monotonic_ns() - int.from_bytes(data, "big"))


def decoded(payload: bytes) -> bytes:
    """The sound of a message."""
    match = AUDIO.search(payload)
    assert match is not None, "an audio frame without data"
    return base64.b64decode(match[1].translate(STANDARD))


def build(sound: Sound, chunk_ms: int, captions: bool) -> Iterator[bytes]:
    """The sound as messages, formatted as Gemini does; it is meant to be repeated."""
    size = 2 * sound.rate * chunk_ms // 1000
    words = cycle(TEXT)
    for start in range(0, len(sound.pcm) - size + 1, size):
        data = base64.b64encode(sound.pcm[start : start + size]).decode()
        part = {"inlineData": {"mimeType": f"audio/pcm;rate={sound.rate}", "data": data}}
        content: dict[str, Any] = {"modelTurn": {"parts": [part], "role": "model"}}
        if captions:
            content["outputTranscription"] = {"text": next(words)}
        yield json.dumps({"serverContent": content}, indent=2).encode() + b"\n"


async def stream(line: Line, chunks: list[bytes], seconds: float, phase: float) -> None:
    await asyncio.sleep(phase)
    start = time.monotonic()
    for number, chunk in enumerate(cycle(chunks)):
        await asyncio.sleep(start + (number - LEAD) * seconds - time.monotonic())
        line.send(chunk)


async def take_turns(
    line: Line, chunks: list[bytes], seconds: float, pause: float, phase: float, count: int = 1 << 62
) -> list[Stamp]:
    """Talk for `seconds` and pause, over and over, beginning after `phase`; when each turn began."""
    starts, start = [], time.monotonic() + phase
    for number in range(count):
        await asyncio.sleep(start + number * (seconds + pause) - time.monotonic())
        starts.append(time.monotonic_ns())
        for chunk in chunks:
            line.send(chunk)
            await asyncio.sleep(seconds / len(chunks) / TURN_SPEED)
        finish(line)
    await asyncio.sleep(seconds + pause - seconds / TURN_SPEED)
    return starts


def finish(line: Line) -> None:
    line.send(b'{\n  "serverContent": {\n    "generationComplete": true\n  }\n}\n')
    line.send(json.dumps({"serverContent": {"turnComplete": True}, "usageMetadata": USAGE}, indent=2).encode())


async def main() -> None:
    model = Model()
    names = ("listen", "connections", "record", "heard", "counts", "probed", "speak", "hush", "turns")
    await serve({name: getattr(model, name) for name in (*names, "converse", "answers")})


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
