"""One caller, as a browser is one: aiortc sets the call up, then its RTP is made and read by hand.

It offers RED as Chromium does and sends it if the answer prefers it. Received RTP is never decrypted: sequence
number, marker and size are in the clear, and the kernel says when it came, so it may lie until there is time.
"""

import asyncio
import json
import os
import random
import re
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import ClientSession
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from bench.fate import Fate

FRAME: Final = 0.020  # seconds
STEP: Final = 960  # RTP clock per frame
HEADER: Final = struct.Struct("!BBHII")
RED_TYPE: Final = 63  # Chromium's number for it
CONNECT: Final = 15.0  # seconds
LARGEST_DATAGRAM: Final = 2048
SO_TIMESTAMPNS: Final = 35  # Linux, 64 bits: a datagram's arrival as a timespec; missing in `socket`
TIMESPEC: Final = struct.Struct("@qq")

Stamp = int  # nanoseconds of the monotonic clock


class Blocked(MediaStreamTrack):
    """A track that never has anything, so that aiortc's own sender sleeps."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class Reception:
    """What aiortc's receiver asks when it writes a receiver report, without a jitter that nobody reads."""

    jitter = 0

    def __init__(self, sequence: int) -> None:
        self.first = self.max_seq = sequence
        self.received = self._expected = self._had = 0

    def note(self, sequence: int) -> None:
        self.received += 1
        if 0 < (ahead := (sequence - self.max_seq) & 0xFFFF) < 0x8000:
            self.max_seq += ahead  # never wraps here; the report's field has 32 bits for it

    @property
    def packets_lost(self) -> int:
        return max(0, self.max_seq - self.first + 1 - self.received)

    @property
    def fraction_lost(self) -> int:
        expected = self.max_seq - self.first + 1
        lost = expected - self._expected - (self.received - self._had)
        share = max(0, (lost << 8) // max(1, expected - self._expected))
        self._expected, self._had = expected, self.received
        return min(255, share)


class Caller:
    """One call. After `dial` its socket is read by `drain`, and all that is not RTP goes on to aioice."""

    def __init__(self, rng: random.Random) -> None:
        self.peer = RTCPeerConnection()
        self.channel = self.peer.createDataChannel("chat")
        self.ready = asyncio.Event()
        self.sent: list[Stamp] = []  # when each packet left, or would have if it is dropped
        self.got: list[tuple[Stamp, int, int, int]] = []  # see `stamps.Got`
        self.phase = rng.random() * FRAME
        self.red = False
        self.fate = Fate()
        self.number = 0  # of the next packet, in this stretch of talk
        self._sequence, self._timestamp = rng.randrange(1 << 15), rng.randrange(1 << 31)
        self._held: list[tuple[int, bytes]] = []
        self._reception: Reception | None = None
        self.channel.on("message", self._on_message)

    async def dial(self, http: ClientSession, base: str) -> float:
        """Set the call up; how long the relay took from offer to answer, in seconds."""
        async with http.post(base + "/start", json={"transport": "webrtc"}) as response:
            if response.status != 200:
                raise RuntimeError(f"the call was refused: {await response.text()}")
            session = (await response.json())["sessionId"]
        opened = asyncio.Event()
        self.channel.on("open", opened.set)
        self.peer.addTransceiver(Blocked(), "sendrecv")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = with_red(self.peer.localDescription.sdp)
        body = {"sdp": offer, "type": "offer", "pc_id": None, "restart_pc": False}
        began = time.monotonic()
        async with http.post(f"{base}/sessions/{session}/api/offer", json=body) as response:
            answer = await response.json()
            if response.status != 200:
                raise RuntimeError(f"the offer was refused: {answer}")
        took = time.monotonic() - began
        await self.peer.setRemoteDescription(RTCSessionDescription(without_red(answer["sdp"]), "answer"))
        async with asyncio.timeout(CONNECT):
            await opened.wait()
            self.track_status(True)
            about = {"version": "2.1.0", "about": {"library": "bench", "library_version": "1"}}
            ready = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": about}
            self.channel.send(json.dumps(ready))
            await self.ready.wait()
        self._take_over(answer["sdp"])
        return took

    def _take_over(self, answer: str) -> None:
        sender: Any = self.peer.getSenders()[0]
        self._receiver: Any = self.peer.getReceivers()[0]
        pair = sender.transport.transport._connection._nominated[1]
        self._ice, self._srtp, self._ssrc = pair.protocol, sender.transport._tx_srtp, sender._ssrc
        audio = answer[answer.index("m=audio") :].split("m=application")[0]
        self.opus_type, self.red = formats(audio)
        self._extension = extension(audio)
        descriptor = pair.protocol.transport.get_extra_info("socket").fileno()
        loop: Any = asyncio.get_running_loop()
        loop._remove_reader(descriptor)
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._address = pair.remote_addr

    def drain(self) -> None:
        """Read all that has come."""
        to_monotonic = time.monotonic_ns() - time.time_ns()
        while True:
            try:
                data, notes, _, addr = self._socket.recvmsg(LARGEST_DATAGRAM, 64)
            except BlockingIOError:
                return
            if 127 < data[0] < 192 and not 64 <= data[1] & 0x7F < 96:
                seconds, nanoseconds = TIMESPEC.unpack(notes[0][2])
                at = seconds * 1_000_000_000 + nanoseconds + to_monotonic
                sequence = data[2] << 8 | data[3]
                self.got.append((at, sequence, data[1] >> 7, payload_size(data)))
                self._note(sequence, data)
            else:
                self._ice.datagram_received(data, addr)

    def _note(self, sequence: int, data: bytes) -> None:
        if self._reception is None:
            self._reception = Reception(sequence)
            streams = self._receiver._RTCRtpReceiver__remote_streams
            streams[int.from_bytes(data[8:12], "big")] = self._reception
        self._reception.note(sequence)

    def begin(self, fate: Fate, first: int = 0) -> None:
        """A stretch of talk begins, from this packet on."""
        self.fate, self.number, self._held = fate, first, []

    def send(self, payloads: Sequence[bytes]) -> None:
        """The next packet of `payloads`, over and over; unless its fate is another."""
        number, self.number = self.number, self.number + 1
        kind = RED_TYPE if self.red else self.opus_type
        header = HEADER.pack(0x90, kind, self._sequence, self._timestamp, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + STEP) & 0xFFFFFFFF
        data = self._srtp.protect(header + self._extension + payloads[number % len(payloads)])
        self.sent.append(time.monotonic_ns())
        if number in self.fate.held:
            self._held.append((len(self.sent) - 1, data))
        elif number not in self.fate.dropped:
            for place, late in self._held:
                self.sent[place] = time.monotonic_ns()
                self._socket.sendto(late, self._address)
            self._held.clear()
            self._socket.sendto(data, self._address)

    def track_status(self, enabled: bool) -> None:
        status = {"type": "trackStatus", "receiver_index": 0, "enabled": enabled}
        self.channel.send(json.dumps({"type": "signalling", "message": status}))

    async def close(self) -> None:
        self._socket.close()
        await self.peer.close()

    def _on_message(self, text: str | bytes) -> None:
        if json.loads(text).get("type") == "bot-ready":
            self.ready.set()


def with_red(offer: str) -> str:
    """The offer as Chromium phrases it: RED (RFC 2198) over the same Opus, after it."""
    found = re.search(r"a=rtpmap:(\d+) opus/48000/2\r\n", offer)
    assert found is not None, "aiortc offers no Opus"
    kind = found[1]
    offer = offer.replace(found[0], f"{found[0]}a=rtpmap:{RED_TYPE} red/48000/2\r\na=fmtp:{RED_TYPE} {kind}/{kind}\r\n")
    return re.sub(rf"(m=audio \d+ \S+(?: \d+)*? {kind}\b)", rf"\1 {RED_TYPE}", offer, count=1)


def without_red(answer: str) -> str:
    """The answer without RED, which aiortc would not know."""
    answer = re.sub(rf"a=(?:rtpmap|fmtp|rtcp-fb):{RED_TYPE} .*\r\n", "", answer)
    return re.sub(rf"(m=audio \d+ \S+(?: \d+)*?) {RED_TYPE}\b", r"\1", answer, count=1)


def formats(audio: str) -> tuple[int, bool]:
    """The payload type of Opus, and whether the answer's first choice is RED."""
    opus = re.search(r"a=rtpmap:(\d+) opus/48000/2", audio)
    first = re.match(r"m=audio \d+ \S+ (\d+)", audio)
    assert opus is not None, "the answer has no Opus"
    assert first is not None
    return int(opus[1]), int(first[1]) == RED_TYPE


def redundant(packets: Sequence[bytes], opus_type: int) -> list[bytes]:
    """Each packet as RED with the one before it, as Chromium sends it (RFC 2198 §3); the list goes round."""
    return [
        (1 << 31 | opus_type << 24 | STEP << 10 | len(before)).to_bytes(4, "big") + bytes([opus_type]) + before + packet
        for before, packet in zip([packets[-1], *packets[:-1]], packets, strict=True)
    ]


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
