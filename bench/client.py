"""Many callers in one cheap process: aiortc sets a call up, then packets are made and read by hand.

A process of its own (see `part.py`). All calls share one sender; each has its own random phase in the 20 ms.
Received RTP is never decrypted: sequence number, marker and size are in the clear.
"""

import asyncio
import json
import random
import re
import socket
import struct
import time
from typing import Any, Final

import aioice.ice
from aiohttp import ClientSession
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from bench import speech
from bench.part import serve
from tests.sound import silence

FRAME: Final = 0.020  # seconds
STEP: Final = 960  # RTP clock per frame
HEADER: Final = struct.Struct("!BBHII")
CONNECT: Final = 15.0  # seconds
LARGEST_DATAGRAM: Final = 2048

Stamp = int  # nanoseconds of the monotonic clock


class Blocked(MediaStreamTrack):
    """A track that never has anything, so that aiortc's own sender sleeps."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class Call(asyncio.DatagramProtocol):
    """One call. After `take_over` its datagrams are ours; all but RTP goes on to aioice."""

    def __init__(self, rng: random.Random) -> None:
        self.peer = RTCPeerConnection()
        self.channel = self.peer.createDataChannel("chat")
        self.ready = asyncio.Event()
        self.sent: list[Stamp] = []
        self.got: list[tuple[Stamp, int, int, int]] = []  # arrival, sequence, marker, payload size
        self.phase = rng.random() * FRAME
        self.sequence, self.timestamp, self.place = rng.randrange(1 << 15), rng.randrange(1 << 31), 0
        self.channel.on("message", self._on_message)

    async def dial(self, http: ClientSession, base: str) -> float:
        """Set the call up; how long the relay took from offer to answer, in seconds."""
        async with http.post(base + "/start", json={"transport": "webrtc"}) as response:
            session = (await response.json())["sessionId"]
        opened, connected = asyncio.Event(), asyncio.Event()
        self.channel.on("open", opened.set)
        self.peer.on("connectionstatechange", connected.set)
        self.peer.addTransceiver(Blocked(), "sendrecv")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        body = {"sdp": self.peer.localDescription.sdp, "type": "offer", "pc_id": None, "restart_pc": False}
        began = time.monotonic()
        async with http.post(f"{base}/sessions/{session}/api/offer", json=body) as response:
            answer = await response.json()
            if response.status != 200:
                raise RuntimeError(f"the offer was refused: {answer}")
        took = time.monotonic() - began
        await self.peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        async with asyncio.timeout(CONNECT):
            await opened.wait()
            self.track_status(True)
            about = {"version": "2.1.0", "about": {"library": "bench", "library_version": "1"}}
            ready = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": about}
            self.channel.send(json.dumps(ready))
            await self.ready.wait()
        self._take_over(answer["sdp"])
        return took

    def _take_over(self, sdp: str) -> None:
        sender = self.peer.getSenders()[0]
        dtls: Any = sender.transport
        pair = dtls.transport._connection._nominated[1]
        self._ice, self._transport, self._address = pair.protocol, pair.protocol.transport, pair.remote_addr
        self._srtp, self._ssrc = dtls._tx_srtp, sender._ssrc
        audio = sdp[sdp.index("m=audio") :].split("m=application")[0]
        opus = re.search(r"a=rtpmap:(\d+) opus/48000/2", audio)
        assert opus is not None, "the answer has no Opus"
        self._payload_type = int(opus[1])
        self._extension = extension(audio)
        self._transport.max_size = LARGEST_DATAGRAM  # asyncio's default allocates 256 KiB per packet
        self._transport.set_protocol(self)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if 127 < data[0] < 192 and not 64 <= data[1] & 0x7F < 96:
            self.got.append((time.monotonic_ns(), data[2] << 8 | data[3], data[1] >> 7, payload_size(data)))
        else:
            self._ice.datagram_received(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ice.connection_lost(exc)

    def send(self, payload: bytes) -> None:
        header = HEADER.pack(0x90, self._payload_type, self.sequence, self.timestamp, self._ssrc)
        data = self._srtp.protect(header + self._extension + payload)
        self.sent.append(time.monotonic_ns())
        self._transport.sendto(data, self._address)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + STEP) & 0xFFFFFFFF

    def track_status(self, enabled: bool) -> None:
        status = {"type": "trackStatus", "receiver_index": 0, "enabled": enabled}
        self.channel.send(json.dumps({"type": "signalling", "message": status}))

    def _on_message(self, text: str | bytes) -> None:
        if json.loads(text).get("type") == "bot-ready":
            self.ready.set()


class Client:
    """All calls, and what the bench asks of them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.speech = speech.packets(speech.sentence(speech.UPLINK_RATE))
        self.silence = speech.packets(silence(0.2, speech.UPLINK_RATE))[-1:]
        self.payloads: list[bytes] = []
        self.sender: asyncio.Task[None] | None = None
        self.rng = random.Random(1)

    async def dial(self, base: str) -> float:
        """One more call; its seconds from offer to answer."""
        call = Call(self.rng)
        async with ClientSession() as http:
            took = await call.dial(http, base)
        self.calls.append(call)
        return took

    async def talk(self, what: str) -> None:
        """Send `speech`, `silence` (a muted but running microphone) or `nothing`, from now on."""
        if self.sender is not None:
            self.sender.cancel()
        for call in self.calls:
            call.place = 0
            call.track_status(what == "speech")
        self.payloads = {"speech": self.speech, "silence": self.silence, "nothing": []}[what]
        if self.payloads:
            self.sender = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        due = time.monotonic()
        calls = sorted(self.calls, key=lambda call: call.phase)
        while True:
            for call in calls:
                if (wait := due + call.phase - time.monotonic()) > 0.0002:
                    await asyncio.sleep(wait)
                call.send(self.payloads[call.place % len(self.payloads)])
                call.place += 1
            due += FRAME

    async def take(self) -> list[dict[str, Any]]:
        """What was sent and received since the last time."""
        answer = [{"sent": call.sent, "got": call.got} for call in self.calls]
        for call in self.calls:
            call.sent, call.got = [], []
        return answer

    async def probe(self, port: int, count: int = 100) -> None:
        """Send datagrams that carry their sending time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(count):
                out.sendto(time.monotonic_ns().to_bytes(8, "big"), ("127.0.0.1", port))
                await asyncio.sleep(0.011)

    async def hang_up(self) -> None:
        await self.talk("nothing")
        await asyncio.gather(*(call.peer.close() for call in self.calls))
        self.calls.clear()


def extension(audio: str) -> bytes:
    """The header extensions of the answer as a browser fills them in: which section, and how loud."""
    ids = {uri: int(number) for number, uri in re.findall(r"a=extmap:(\d+)\S* (\S+)", audio)}
    body = b""
    if mid := ids.get("urn:ietf:params:rtp-hdrext:sdes:mid"):
        body += bytes([mid << 4, ord("0")])
    if level := ids.get("urn:ietf:params:rtp-hdrext:ssrc-audio-level"):
        body += bytes([level << 4, 0x80 | 25])
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", 0xBEDE, len(body) // 4) + body


def payload_size(data: bytes) -> int:
    """Bytes of Opus in an SRTP packet (AES-128-CM with an 80-bit tag, or GCM: near enough)."""
    size = len(data) - HEADER.size - 10
    if data[0] & 0x10:
        size -= 4 + 4 * int.from_bytes(data[14:16], "big")
    return size


async def main() -> None:
    # One socket per call, on loopback only: host addresses differ between machines.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    client = Client()
    await serve({name: getattr(client, name) for name in ("dial", "talk", "take", "probe", "hang_up")})


if __name__ == "__main__":
    asyncio.run(main())
