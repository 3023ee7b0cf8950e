"""A caller without a browser: an aiortc peer that speaks, listens and writes down what happens.

    async with Caller(base) as caller:
        await caller.dial()
        await caller.message("bot-ready", timeout=5)
        caller.say(read_wav("tests/sounds/weather.wav"))
        await caller.message("bot-stopped-speaking", timeout=20)
        assert compare(sentence, caller.recording()).same

It codes with PyAV, not with the relay's own Opus binding, and sees RTP through a tap of its own, so that a
mistake of the relay is not repeated here. Leaving the block closes everything, whatever happened in it.
"""

import asyncio
import contextlib
import json
import time
import uuid
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any, Final, Self

import av
from aiohttp import ClientSession, ClientTimeout
from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket

from tests.sound import Sound

FRAME: Final = 0.020  # seconds per Opus frame, both ways
RTP_RATE: Final = 48000
SPOKEN_RATE: Final = 16000  # our answers ask for wideband, so a browser encodes no more
ABOUT: Final = {"library": "tests.caller", "library_version": "1", "platform": "python"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the data channel: its RTVI type, or the inner type of a signalling message."""

    at: float
    type: str
    data: Json
    id: str
    raw: str


@dataclass(frozen=True, slots=True)
class Packet:
    """One received RTP packet, as it came off the wire."""

    at: float
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


class Refused(Exception):
    """The relay answered a request with an error: `status` and the JSON `body` say which."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Caller:
    """One call to the relay at `base`, from `/start` to the goodbye. Times are of the running loop's clock."""

    def __init__(
        self,
        base: str,
        *,
        channel: bool = True,
        headers: dict[str, str] | None = None,
        request_data: Json | None = None,
    ) -> None:
        self.base = base.rstrip("/")
        self.messages: list[Message] = []
        self.packets: list[Packet] = []
        self.microphone = Microphone()
        self.session_id = ""
        self.pc_id = ""
        self.answer_sdp = ""
        self.peer = RTCPeerConnection()
        self.connected = asyncio.Event()
        self.opened = asyncio.Event()  # the data channel
        self.secret = ""  # for the way back
        self.ended = asyncio.Event()  # the peer connection is closed or failed
        self.channel: RTCDataChannel | None = None
        self.rewrite_offer: Callable[[str], str] = lambda sdp: sdp
        self._request_data = request_data
        self._http = ClientSession(headers=headers, timeout=ClientTimeout(total=30))
        self._arrival = asyncio.Event()
        self._taken: dict[str, int] = {}
        self._closed = False
        self.peer.on("connectionstatechange", self._on_state)
        if channel:
            self.channel = self.peer.createDataChannel("chat")
            self.channel.on("message", self._on_message)
            self.channel.on("open", self.opened.set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- setting up -------------------------------------------------------------------------------------

    async def dial(self, *, ready: bool = True, timeout: float = 15) -> None:
        """The whole way: session, offer, connection, and the client's first messages unless `ready` is False."""
        async with asyncio.timeout(timeout):
            await self.start()
            await self.offer()
            await self.connected.wait()
            if self.channel is not None:
                await self.opened.wait()
                if ready:
                    self.track_status(True)
                    self.client_ready()

    async def start(self, body: Json | None = None) -> Json:
        answer = await self.post("/start", body or {"transport": "webrtc"})
        self.session_id, self.secret = answer["sessionId"], answer["resumeSecret"]
        return answer

    async def return_to(self, session_id: str, secret: str) -> None:
        """Come back as a page does that is loaded again, up to `client-ready`."""
        way, key = f"/sessions/{session_id}/resume", {"Authorization": f"Bearer {secret}"}
        answer = await self.request("POST", way, {}, headers=key)
        self.session_id, self.secret, self.pc_id = session_id, answer["resumeSecret"], answer["pc_id"]
        await self.offer(restart=True)
        await self.opened.wait()
        self.track_status(True)
        self.client_ready(returns=True)

    def prepare(self) -> None:
        """Have an audio section to offer."""
        if not self.peer.getTransceivers():
            self.peer.addTransceiver(self.microphone, "sendrecv")
            receiver = self.peer.getReceivers()[0]
            receiver._handle_rtp_packet = _Tap(self.packets, receiver)  # type: ignore[method-assign]

    async def offer(self, *, restart: bool = False) -> Json:
        """Send the offer and apply the answer; `restart` asks for a new connection in the call of `pc_id`."""
        self.prepare()
        await self.peer.setLocalDescription(await self.peer.createOffer())
        body: Json = {"sdp": self.rewrite_offer(self.peer.localDescription.sdp), "type": "offer"}
        body |= {"pc_id": self.pc_id or None, "restart_pc": restart}
        if self._request_data is not None:
            body["requestData"] = self._request_data
        answer = await self.post(self.offer_path, body)
        self.pc_id, self.answer_sdp = answer["pc_id"], answer["sdp"]
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type=answer["type"]))
        return answer

    @property
    def offer_path(self) -> str:
        return f"/sessions/{self.session_id}/api/offer" if self.session_id else "/api/offer"

    async def post(self, path: str, body: Json) -> Json:
        return await self.request("POST", path, body)

    async def request(self, method: str, path: str, body: Json, **more: Any) -> Json:
        async with self._http.request(method, self.base + path, json=body, **more) as response:
            answer: Json = await response.json()
            if response.status != 200:
                raise Refused(response.status, answer)
            return answer

    # -- messages ---------------------------------------------------------------------------------------

    def client_ready(self, version: str = "2.1.0", *, returns: bool = False) -> str:
        more = {"returns": True} if returns else {}
        return self.send("client-ready", {"version": version, "about": ABOUT, **more})

    def track_status(self, enabled: bool, receiver_index: int = 0) -> None:
        status = {"type": "trackStatus", "receiver_index": receiver_index, "enabled": enabled}
        self.send_raw(json.dumps({"type": "signalling", "message": status}))

    def send(self, kind: str, data: Json | None = None) -> str:
        """Send an RTVI message and return its id."""
        message: Json = {"label": "rtvi-ai", "type": kind, "id": uuid.uuid4().hex[:8]}
        if data is not None:
            message["data"] = data
        self.send_raw(json.dumps(message))
        return str(message["id"])

    def send_raw(self, text: str | bytes) -> None:
        assert self.channel is not None, "this caller has no data channel"
        self.channel.send(text)

    async def message(
        self, kind: str, *, timeout: float = 5, where: Callable[[Json], bool] = lambda data: True
    ) -> Message:
        """The next message of that type (and with such data) that no earlier call has returned."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for index in range(self._taken.get(kind, 0), len(self.messages)):
                        message = self.messages[index]
                        if message.type == kind and where(message.data):
                            self._taken[kind] = index + 1
                            return message
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind!r} in {timeout} s; came: {[m.type for m in self.messages]}") from None

    def types(self) -> list[str]:
        return [message.type for message in self.messages]

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.type == kind]

    # -- sound ------------------------------------------------------------------------------------------

    def say(self, sound: Sound) -> None:
        """Speak after whatever is still being said; between sentences the microphone sends a quiet room."""
        self.microphone.say(sound)

    async def said(self) -> None:
        """Everything given to `say` has been sent."""
        await self.microphone.done.wait()

    def mute(self, *, packets: bool = False) -> None:
        """As the official clients mute: trackStatus, and no packets, or with `packets` silent ones."""
        self.microphone.mute(packets=packets)
        self.track_status(False)

    def unmute(self) -> None:
        self.microphone.unmute()
        self.track_status(True)

    def recording(self, start: float = 0.0, end: float = float("inf")) -> Sound:
        """What arrived between two times, decoded at 48 kHz; silence where timestamps have gaps."""
        return decode([packet for packet in self.packets if start <= packet.at < end])

    async def hears(self, *, above: float = -45.0, timeout: float = 10, after: float | None = None) -> float:
        """Wait until sound (not silence) arrives; the arrival time of its first packet."""
        since = time_now() if after is None else after
        index = next((i for i, packet in enumerate(self.packets) if packet.at >= since), len(self.packets))
        decoder = Decoder()
        async with asyncio.timeout(timeout):
            while True:
                for packet in self.packets[index:]:
                    index += 1
                    if Sound(decoder.decode(packet.payload), RTP_RATE).level() > above:
                        return packet.at
                await asyncio.sleep(FRAME / 2)

    # -- the end ----------------------------------------------------------------------------------------

    async def hang_up(self) -> None:
        """End the call as an official client does: by closing the peer connection."""
        await self.peer.close()

    async def goodbye(self) -> None:
        """End the call as our page does when it is closed: one request, sent while the peer still stands."""
        async with self._http.delete(f"{self.base}/sessions/{self.session_id}") as response:
            await response.read()

    async def vanish(self) -> None:
        """Be gone at once, as a machine whose network is pulled: no goodbye of any layer reaches the relay."""
        for connection in self._connections:
            for protocol in list(connection._protocols):
                protocol.transport.abort()
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Free everything. May be called in any state, and again."""
        if self._closed:
            return
        self._closed = True
        self.microphone.stop()
        with contextlib.suppress(ConnectionError):
            await self.peer.close()
        for connection in self._connections:  # closed just as it connects, it begins to ask for consent all the same
            if (asking := connection._query_consent_task) is not None:
                asking.cancel()
        await self._http.close()
        self.peer.remove_all_listeners()

    @property
    def _connections(self) -> list[Any]:
        """aioice's."""
        return [section.receiver.transport.transport._connection for section in self.peer.getTransceivers()]

    # -- what the peer tells us -------------------------------------------------------------------------

    def _on_state(self) -> None:
        state = self.peer.connectionState
        if state == "connected":
            self.connected.set()
        elif state in ("closed", "failed"):
            self.ended.set()

    def _on_message(self, raw: str | bytes) -> None:
        text = raw if isinstance(raw, str) else raw.decode(errors="replace")
        try:
            body = json.loads(text)
        except ValueError:
            body = {"type": "not-json"}
        kind = str(body.get("type"))
        if isinstance(raw, bytes):
            kind = f"binary {kind}"
        elif kind == "signalling":
            kind = str(body["message"]["type"])
        elif body.get("label") != "rtvi-ai":
            kind = f"unlabelled {kind}"
        data = body.get("data", {})
        self.messages.append(
            Message(time_now(), kind, data if isinstance(data, dict) else {}, body.get("id", ""), text)
        )
        self._arrival.set()


@dataclass(slots=True)
class _Tap:
    """Stands in for the receiver's packet handler: keeps the packets and the statistics behind RTCP reports."""

    packets: list[Packet]
    receiver: Any  # an RTCRtpReceiver, of which we need a private part

    async def __call__(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        marker = bool(packet.marker)
        self.packets.append(Packet(time_now(), packet.sequence_number, packet.timestamp, marker, packet.payload))
        streams = self.receiver._RTCRtpReceiver__remote_streams
        if packet.ssrc not in streams:
            streams[packet.ssrc] = StreamStatistics(RTP_RATE)
        streams[packet.ssrc].add(packet)


class Microphone(MediaStreamTrack):
    """A track of Opus packets at real time: what is said, else a quiet room, else (muted) little or nothing."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.done = asyncio.Event()
        self.done.set()
        self.sent = 0
        self._frames: list[bytes] = []
        self._encoder = Encoder()
        self._on = asyncio.Event()
        self._on.set()
        self._silent = False
        self.began: float | None = None
        self._tick = 0
        size = 2 * round(FRAME * SPOKEN_RATE)
        self._nothing = bytes(size)
        self._room = array("h", ((i * 7919) % 7 - 3 for i in range(size // 2))).tobytes()

    def say(self, sound: Sound) -> None:
        pcm = sound.at(SPOKEN_RATE).pcm
        size = len(self._nothing)
        self._frames += [pcm[i : i + size].ljust(size, b"\0") for i in range(0, len(pcm), size)]
        self.done.clear()

    def mute(self, *, packets: bool) -> None:
        self._silent = packets
        if not packets:
            self._on.clear()

    def unmute(self) -> None:
        self._silent = False
        self._on.set()

    async def recv(self) -> "av.Packet[Any]":
        now = time_now()
        if self.began is None:
            self.began = now
        if not self._on.is_set():
            await self._on.wait()
            self._tick = round((time_now() - self.began) / FRAME)
        await asyncio.sleep(self.began + self._tick * FRAME - time_now())
        packet: av.Packet[Any] = av.Packet(self._encoder.encode(self._next()))
        packet.pts = self._tick * round(FRAME * RTP_RATE)
        packet.time_base = Fraction(1, RTP_RATE)
        self._tick += 1
        self.sent += 1
        return packet

    def _next(self) -> bytes:
        if self._silent:
            return self._nothing
        if not self._frames:
            self.done.set()
            return self._room
        return self._frames.pop(0)


class Encoder:
    """Opus as a browser encodes a microphone: VOIP, in-band FEC, 20 ms."""

    def __init__(self, rate: int = SPOKEN_RATE, bit_rate: int = 28000) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        assert isinstance(self._codec, av.AudioCodecContext)
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = rate
        self._codec.bit_rate = bit_rate
        self._codec.time_base = Fraction(1, rate)
        self._codec.options = {"application": "voip", "fec": "1", "packet_loss": "10", "frame_duration": "20"}
        self._rate = rate
        self._pts = 0

    def encode(self, pcm: bytes) -> bytes:
        """One frame of PCM in, one packet out."""
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._pts, Fraction(1, self._rate)
        self._pts += frame.samples
        [packet] = self._codec.encode(frame)
        return bytes(packet)


class Decoder:
    """Opus to 48 kHz mono."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "r")
        assert isinstance(self._codec, av.AudioCodecContext)
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = RTP_RATE

    def decode(self, payload: bytes) -> bytes:
        """One packet in, its PCM out."""
        frames = self._codec.decode(av.Packet(payload))
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)


def decode(packets: list[Packet]) -> Sound:
    """Packets in order of their timestamps → 48 kHz; holes become silence of the same length."""
    pcm = bytearray()
    if packets:
        decoder, first = Decoder(), packets[0].timestamp
        # Timestamps wrap at 2^32: order by the signed distance from the first.
        placed = {((p.timestamp - first + (1 << 31)) & 0xFFFFFFFF) - (1 << 31): p.payload for p in packets}
        start = min(placed)
        for place, payload in sorted(placed.items()):
            pcm += bytes(max(0, 2 * (place - start) - len(pcm)))
            pcm += decoder.decode(payload)
    return Sound(bytes(pcm), RTP_RATE)


def time_now() -> float:
    """The clock of every time in this module: monotonic, and shared with other processes of this machine."""
    return time.monotonic()
