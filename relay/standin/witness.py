"""What one connection sent to the stand-in and was told, kept for tests."""

from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.server import ServerConnection

from relay.standin import voice, wire
from relay.standin.conversation import Conversation

MAX_RECORD_BYTES: Final = 64 << 20  # of sound kept of one connection when recording, half an hour
MAX_RECORDED: Final = 20_000  # messages kept each way when recording


@dataclass(slots=True, eq=False)
class Heard:
    """What one connection sent and was told, for tests: full only in a server that records."""

    number: int
    path: str
    headers: dict[str, str]  # names in lower case
    conversation: Conversation
    opened: float
    socket: ServerConnection
    pcm: bytearray = field(default_factory=bytearray)  # at 16 kHz
    pcm_at: list[tuple[float, int]] = field(default_factory=list)  # (time.monotonic(), bytes) of each audio message
    messages: list[tuple[str, wire.Json]] = field(default_factory=list)  # (kind, body), keys in lowerCamelCase
    sent: list[wire.Json] = field(default_factory=list)
    closed: tuple[int, str] | None = None  # what either side closed with; 1006 when it was cut

    @property
    def setup(self) -> wire.Json | None:
        """The setup as sent, keys in lowerCamelCase."""
        return self.conversation.setup.raw if self.conversation.setup else None

    def of(self, kind: str) -> list[wire.Json]:
        """The client's messages of one kind."""
        return [body for name, body in self.messages if name == kind]

    def take(self, frame: str | bytes, now: float) -> None:
        """The client sent this."""
        kind, body = wire.read(frame)
        audio = body.get("audio") if kind == "realtimeInput" else None
        if isinstance(audio, dict):
            pcm, rate = wire.audio_bytes(audio, "audio")
            if len(self.pcm) < MAX_RECORD_BYTES:
                self.pcm += voice.resample(pcm, rate, 16_000)
                self.pcm_at.append((now, len(pcm)))
            body = {**body, "audio": {**audio, "data": len(pcm)}}
        if len(self.messages) < MAX_RECORDED:
            self.messages.append((kind, body))

    def told(self, message: wire.Json) -> None:
        """And was sent this."""
        if len(self.sent) < MAX_RECORDED:
            self.sent.append(message)
