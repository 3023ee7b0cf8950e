"""Callers that write as the iOS, Android and ESP32 SDKs do, over aiortc: the forms are theirs, the devices are not.

What such a client would choke on fails the test: `Device.strict` looks at all that came.
"""

import asyncio
import json
import uuid
from typing import Any, Final
from urllib.parse import urlsplit

from aiortc import RTCSessionDescription

from tests.caller import Caller

FIRMWARE_BUFFER: Final = 4096  # bytes of the whole HTTP response that the ESP32 sample has room for
SIGNALLING: Final = "signalling"


class Device(Caller):
    """What they have in common: another label of the channel, another body of the offer."""

    label = "chat"
    cameras = 1
    library: str | None = None

    def __init__(self, base: str) -> None:
        super().__init__(base, channel=False)
        self.channel = self.peer.createDataChannel(self.label)
        self.channel.on("message", self._on_message)
        self.channel.on("open", self.opened.set)

    def body(self) -> dict[str, Any]:
        """The offer's, less the description."""
        raise NotImplementedError

    def prepare(self) -> None:
        super().prepare()
        if len(self.peer.getTransceivers()) == 1:
            for _ in range(self.cameras):
                self.peer.addTransceiver("video", "sendrecv")

    async def offer(self, *, restart: bool = False) -> dict[str, Any]:
        self.prepare()
        await self.peer.setLocalDescription(await self.peer.createOffer())
        answer = await self.post(
            self.offer_path, {"sdp": self.peer.localDescription.sdp, "type": "offer", **self.body()}
        )
        self.pc_id, self.answer_sdp = answer["pc_id"], answer["sdp"]
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type=answer["type"]))
        return answer

    async def call(self) -> None:
        """From `/start` to an open channel."""
        async with asyncio.timeout(15):
            await self.start({})
            await self.offer()
            await self.connected.wait()
            await self.opened.wait()

    def strict(self) -> None:
        """Everything so far is text, an RTVI or a signalling message, and has what these SDKs insist on."""
        for message in self.messages:
            body = json.loads(message.raw)
            assert not _holds_null(body), message.raw
            if body["type"] == SIGNALLING:
                assert isinstance(body["message"], dict)
                continue
            assert body["label"] == "rtvi-ai"
            assert isinstance(body.get("data", {}), dict), message.raw
            assert isinstance(body.get("id", ""), str)
            assert not message.type.startswith("binary"), "text frames alone"
            if message.type == "bot-output":
                assert body["data"]["aggregated_by"] in ("word", "sentence"), "an enumeration on iOS"
            if message.type == "metrics":
                for entry in [*body["data"].get("ttfb", []), *body["data"].get("processing", [])]:
                    assert isinstance(entry["processor"], str)
                    assert isinstance(entry["value"], int | float)


class IPhone(Device):
    """Binary frames, ids of eight letters, no `pc_id` and no `data` where there is nothing to say."""

    label = "rtvi-events"
    library = "pipecat-client-ios"

    def body(self) -> dict[str, Any]:
        return {"restart_pc": False, **({"pc_id": self.pc_id} if self.pc_id else {})}

    def send_raw(self, text: str | bytes) -> None:
        super().send_raw(text if isinstance(text, bytes) else text.encode())

    def introduce(self) -> str:
        """`client-ready` comes first, the tracks after it."""
        id = self.send("client-ready", {"version": "2.0.0", "about": {"library": self.library, "platform": "iOS"}})
        self.track_status(True, 0)
        self.track_status(False, 1)
        return id


class Android(Device):
    """Whole UUIDs for ids, `data` null where there is nothing to say, `request_data` always."""

    library = "Pipecat Android Client"

    def body(self) -> dict[str, Any]:
        return {"pc_id": self.pc_id or None, "restart_pc": False, "request_data": {}}

    def send(self, kind: str, data: dict[str, Any] | None = None) -> str:
        id = str(uuid.uuid4())
        self.send_raw(json.dumps({"label": "rtvi-ai", "type": kind, "id": id, "data": data}))
        return id

    def introduce(self) -> str:
        id = self.send("client-ready", {"version": "2.0.0", "about": {"library": self.library, "platform": "Android"}})
        self.track_status(True, 0)
        self.track_status(False, 1)
        return id


class Firmware(Device):
    """Two sections, an offer of nothing but the description, ids that count up, and 4096 bytes for the answer."""

    label = "rtvi-ai"
    cameras = 0

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self.response = b""

    def body(self) -> dict[str, Any]:
        return {}

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """As its HTTP client does: one request, one buffer for the response."""
        address, content = urlsplit(self.base), json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            head_bytes = await reader.readuntil(b"\r\n\r\n")
            headers = head_bytes.decode().lower()
            assert "transfer-encoding" not in headers
            length = int(headers.partition("content-length:")[2].split()[0])
            self.response = head_bytes + await reader.readexactly(length)
        finally:
            writer.close()
            await writer.wait_closed()
        assert self.response.startswith(b"HTTP/1.1 200 "), "anything else makes it restart"
        answer: dict[str, Any] = json.loads(self.response.partition(b"\r\n\r\n")[2])
        return answer

    async def call(self) -> None:
        async with asyncio.timeout(15):
            await self.offer()  # it knows one address, and asks for no session
            await self.connected.wait()
            await self.opened.wait()


def _holds_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(_holds_null, value)))
