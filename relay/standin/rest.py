"""generateContent, the service's other API, on the stand-in's own port: a recording in, words out.

The words are the script's, else what the local voice's ears hear, else how long it was. A connection that begins with
POST is plain HTTP and is answered once; any other is the WebSocket server's. The deadlines are ours for both, for
`websockets` knows of one alone, which a long recording outlasts.
"""

import asyncio
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.server import ServerConnection

from relay.standin import recording, wire
from relay.standin.script import Script
from relay.standin.workshop import Workshop

MAX_HEAD_BYTES: Final = 16 << 10
MAX_BODY_BYTES: Final = 20 << 20  # the service's own limit for what is sent along
MAX_REQUESTS: Final = 32  # under way at once; more are refused
OPENING_S: Final = 10.0  # for a request's first line, or the WebSocket's whole handshake
BODY_S: Final = 60.0  # for a whole request to arrive
ANSWERING_S: Final = 600.0  # for its answer: ten minutes of sound take one on a machine that has nothing else to do
TOKENS_PER_SECOND: Final = 32  # of sound
PATH: Final = re.compile(r"/{1,2}(v1|v1beta|v1alpha)/models/([\w.-]+):(generateContent|streamGenerateContent)")

Answer = tuple[int, wire.Json]
"""status, body"""


class Rest:
    """What is answered, request by request. `recordings` are (mime type, bytes), when they are kept."""

    def __init__(self, script: Script, record: bool, shop: Workshop | None = None) -> None:
        self._script = script
        self._shop = shop
        self._record = record
        self.count = 0
        self.recordings: list[tuple[str, bytes]] = []
        self.requests: list[wire.Json] = []
        self.doors: set[Door] = set()  # behind which a request is under way

    def close(self) -> None:
        """Cuts off whoever still waits; idempotent."""
        for door in list(self.doors):
            door.transport.abort()

    async def answer(self, path: str, body: bytes) -> Answer:
        """One request."""
        if not (match := PATH.fullmatch(path.partition("?")[0])):
            return _error(404, "NOT_FOUND", "There is nothing at this address.")
        self.count += 1
        if fault := self._script.fault("refuse-transcript", self.count):
            return _error(fault.status, "UNAVAILABLE", fault.body)
        try:
            read = wire.normal(json.loads(body))
            parts = [part for content in read["contents"] for part in content["parts"]]
            blobs = [part["inlineData"] for part in parts if "inlineData" in part]
            sounds = [(blob["mimeType"], wire.base64_bytes(blob["data"], "data")) for blob in blobs]
        except (ValueError, TypeError, KeyError, RecursionError, wire.Refusal):
            return _error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        if self._record:
            self.recordings += sounds
            self.requests.append(read)
        scripted = self._script.transcripts[self.count - 1 : self.count]
        try:
            if not scripted and sounds and self._shop is not None and await self._shop.ready():
                text, length = await self._listen(sounds, self._shop)
            else:
                length = sum(_seconds(mime, sound) for mime, sound in sounds)
                text = scripted[0] if scripted else f"({length:.1f} s of sound)"
        except recording.Unreadable:
            return _error(400, "INVALID_ARGUMENT", "Unable to process input audio.")
        await asyncio.sleep(self._script.timings.transcript_ms / 1000)
        return 200, _told(text, match.group(2), round(length * TOKENS_PER_SECOND))

    async def _listen(self, sounds: list[tuple[str, bytes]], shop: Workshop) -> tuple[str, float]:
        """What is said in recordings, and how long they are."""
        words: list[str] = []
        length = 0.0
        for mime, data in sounds:
            pcm, pieces = await asyncio.to_thread(_taken_apart, mime, data, shop.new_watch())
            length += len(pcm) / 2 / recording.RATE
            words += [await shop.text(piece) for piece in pieces]
        return " ".join(filter(None, words)), length


def _taken_apart(mime: str, data: bytes, watch: recording.Watch) -> tuple[bytes, list[bytes]]:
    """A recording's sound, and the pieces in which it is written down. Computes."""
    pcm = recording.sound(mime, data)
    watch.hear(pcm)
    return pcm, list(recording.pieces(pcm, watch.voiced))


def _seconds(mime: str, sound: bytes) -> float:
    """The length of a recording by the first block of a FLAC file (RFC 9639 §8.2); of anything else it is a guess."""
    if mime != "audio/flac" or len(sound) < 42:
        return len(sound) / 32_000
    packed = int.from_bytes(sound[18:26])  # 20 bits of rate, 3 and 5 of shape, 36 of samples
    return (packed & (1 << 36) - 1) / max(1, packed >> 44)


def _told(text: str, model: str, heard: int) -> wire.Json:
    said = len(text) // 4 + 1
    usage = {
        "promptTokenCount": heard + 20,
        "candidatesTokenCount": said,
        "totalTokenCount": heard + 20 + said,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "AUDIO", "tokenCount": heard}],
    }
    content = {"parts": [{"text": text}], "role": "model"}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model}


def _error(status: int, name: str, message: str) -> Answer:
    return status, {"error": {"code": status, "message": message or name, "status": name}}


class Door(ServerConnection):
    """A connection that is not known yet for a WebSocket's or for plain HTTP."""

    def __init__(self, rest: Rest, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._rest = rest
        self._answering: asyncio.Task[None] | None = None
        self._plain: bytearray | None = None
        self._known = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._within(OPENING_S, self.transport.abort)

    async def handshake(self, *args: Any, **more: Any) -> None:
        """The WebSocket's. Of a plain request it sees nothing until that has gone."""
        try:
            await super().handshake(*args, **more)
        finally:
            self._within(None)

    def data_received(self, data: bytes) -> None:
        if not self._known:
            self._known = True
            if data.startswith(b"POST "):
                self._plain = bytearray()
                if len(self._rest.doors) >= MAX_REQUESTS:
                    self._write(*_error(503, "UNAVAILABLE", "All lines are busy."))
                self._rest.doors.add(self)
                self._within(BODY_S, lambda: self._write(*_error(408, "DEADLINE_EXCEEDED", "Where is the rest?")))
        if self._plain is None:
            super().data_received(data)
        elif self._answering is None and not self.transport.is_closing():
            self._plain += data
            self._read(self._plain)

    def _read(self, plain: bytearray) -> None:
        """Begins to answer when a request is whole."""
        end = plain.find(b"\r\n\r\n")
        if end < 0:
            if len(plain) > MAX_HEAD_BYTES:
                self.transport.close()
            return
        head, begins = bytes(plain[: end + 2]), end + 4
        length = re.search(rb"\r\ncontent-length: *(\d{1,9})\r\n", head, re.IGNORECASE)
        if length is None or int(length.group(1)) > MAX_BODY_BYTES:
            self._write(*_error(413, "INVALID_ARGUMENT", "The request is too large, or does not say how large it is."))
        elif len(plain) - begins >= int(length.group(1)):
            path, body = head.split(b" ", 2)[1].decode("latin-1"), bytes(plain[begins:])
            self._plain = bytearray()
            self._answering = self.loop.create_task(self._reply(path, body))
            self._within(ANSWERING_S, lambda: self._write(*_error(504, "DEADLINE_EXCEEDED", "That takes too long.")))

    def connection_lost(self, exc: Exception | None) -> None:
        self._within(None)
        self._rest.doors.discard(self)
        if self._answering is not None:
            self._answering.cancel()
        super().connection_lost(exc)

    def _within(self, seconds: float | None, late: Callable[[], None] = lambda: None) -> None:
        """Does `late` unless the next step comes in time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, late)

    async def _reply(self, path: str, body: bytes) -> None:
        status, told = await self._rest.answer(path, body)
        self._write(status, told, streamed=":streamGenerateContent" in path)

    def _write(self, status: int, told: wire.Json, *, streamed: bool = False) -> None:
        """Answers, and closes: with one event, or a list of one, where events or a list were asked for."""
        if self.transport.is_closing():
            return
        kind, body = "application/json", json.dumps(told).encode()
        if streamed and status == 200:
            kind, body = "text/event-stream", b"data: " + body + b"\r\n\r\n"
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self.transport.close()
