"""A peer connection answers, connects without candidates, carries sound both ways, and always closes."""

import asyncio
import re
import struct
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtcsctptransport import WEBRTC_DCEP, WEBRTC_STRING

from relay.audio import red
from relay.errors import BrowserFault, OurBug
from relay.outbox import Fate
from relay.webrtc import peer, tame
from relay.webrtc.gate import BURST_PACKETS, PACKETS_PER_SECOND
from relay.webrtc.media import LINES, Media, prepare
from relay.webrtc.peer import BACKLOG_BYTES, DEAD_BACKLOG_BYTES, MAX_CHANNELS, Peer
from relay.webrtc.port.sockets import Port
from relay.webrtc.srtp import KEYLESS
from relay.webrtc.wire import RawLine
from tests.caller import FRAME, SPOKEN_RATE, Decoder, Encoder, Microphone
from tests.sound import Sound, tone


class Owner:
    """Writes down what the peer tells its owner."""

    def __init__(self) -> None:
        self.connected, self.open, self.lost, self.heard = (asyncio.Event() for _ in range(4))
        self.rtp: list[tuple[int, int, int, bytes]] = []
        self.red: list[bytes] = []
        self.pcm: list[bytes] = []
        self.reports: list[float] = []
        self.pictures: list[tuple[float, int, bytes]] = []  # when, track, JPEG
        self.messages: list[str | bytes] = []
        self.hung_up = False

    def on_rtp(self, sequence: int, timestamp: int, ssrc: int, payload: bytes, red: bytes) -> None:
        self.red.append(red)
        self.rtp.append((sequence, timestamp, ssrc, payload))
        self.heard.set()

    def on_report(self, fraction_lost: float) -> None:
        self.reports.append(fraction_lost)

    def on_picture(self, track: int, jpeg: bytes) -> None:
        self.pictures.append((time.monotonic(), track, jpeg))

    def on_pcm(self, pcm: bytes) -> None:
        self.pcm.append(pcm)
        self.heard.set()

    def on_message(self, peer: Peer, frame: str | bytes) -> None:
        self.messages.append(frame)

    def on_connected(self, peer: Peer) -> None:
        self.connected.set()

    def on_open(self, peer: Peer) -> None:
        self.open.set()

    def on_lost(self, peer: Peer, *, hung_up: bool = False) -> None:
        self.hung_up = hung_up
        self.lost.set()


class Call:
    """An aiortc browser and our peer."""

    def __init__(self, media: Media) -> None:
        self.browser = RTCPeerConnection()
        self.microphone = Microphone()
        self.browser.addTransceiver(self.microphone, "sendrecv")
        self.channel = self.browser.createDataChannel("any label")
        self.owner = Owner()
        self.peer = Peer(media, self.owner)
        self.answer = ""
        self.port: Port | None = None
        self.payload_type = 0  # of Opus

    async def negotiate(self) -> None:
        await self.browser.setLocalDescription(await self.browser.createOffer())
        self.answer = await self.peer.answer(self.browser.localDescription.sdp)
        # of sections that share a transport aiortc reads the last one's candidates alone
        head, *sections = re.split("^(?=m=)", self.answer, flags=re.MULTILINE)
        candidates = "".join(re.findall("^a=candidate:.*\n", sections[0], flags=re.MULTILINE))
        told = head + sections[0] + "".join(section + candidates for section in sections[1:])
        await self.browser.setRemoteDescription(RTCSessionDescription(sdp=told, type="answer"))
        first, *others = self.browser.getTransceivers()
        for other in others:  # aiortc leaves a second section of a kind on a transport that bundling has ended
            other.sender.setTransport(first.sender.transport)
            other.receiver.setTransport(first.receiver.transport)

    async def connect(self) -> None:
        await self.negotiate()
        async with asyncio.timeout(10):
            await self.owner.connected.wait()
            await self.owner.open.wait()


@asynccontextmanager
async def call(tier: str = "raw", *, one_port: bool = True) -> AsyncIterator[Call]:
    port = await Port.open(["127.0.0.1"]) if one_port else None
    media = prepare(["127.0.0.1"], tiers=[tier], port=port)
    assert media.tier == tier
    call = Call(media)
    call.port = port
    try:
        yield call
    finally:
        call.microphone.stop()
        await call.peer.close()
        await call.browser.close()
        if port is not None:
            port.close()


async def test_the_installed_libraries_have_every_private_part_that_the_fast_path_touches() -> None:
    parts = RTCPeerConnection().addTransceiver("audio")
    assert {tier: line.lacks(parts) for tier, line in LINES.items()} == {"raw": [], "middle": []}


class ChangedLibrary:
    """Stands where a newer release has put something else."""


@pytest.mark.parametrize(
    ("changed", "tier"),
    [
        (["aioice.ice.StunProtocol.datagram_received"], "middle"),
        (["pylibsrtp.Session._Session__process", "relay.webrtc.srtp.Srtp._lib"], "middle"),
        (["aiortc.rtcrtpsender.RTCRtpSender._handle_rtcp_packet"], "public"),
        (["aioice.ice.StunProtocol.datagram_received", "aiortc.rtcdtlstransport.RTCDtlsTransport._send_rtp"], "public"),
    ],
)
async def test_a_library_that_changed_is_named_and_the_next_path_taken(
    changed: list[str], tier: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in changed:
        monkeypatch.setattr(name, lambda: ChangedLibrary(), raising=False)
    media = prepare(["127.0.0.1"])
    assert media.tier == tier
    assert media.missing
    assert all(name in caplog.text for name in media.missing)


@pytest.mark.parametrize("tier", ["raw", "middle", "public"])
async def test_sound_goes_both_ways(tier: str) -> None:
    async with call(tier) as line:
        await line.connect()
        async with asyncio.timeout(10):
            await line.owner.heard.wait()
        encoder, track = Encoder(), line.browser.getReceivers()[0].track
        beep = tone(440, FRAME, SPOKEN_RATE).pcm

        async def speak() -> None:
            for n in range(400):
                line.peer.send_rtp(encoder.encode(beep), n * 960, n == 0, False)
                await asyncio.sleep(0.01)

        speaking = asyncio.create_task(speak())
        async with asyncio.timeout(10):
            while True:
                frame: Any = await track.recv()
                if Sound(bytes(frame.planes[0])[: frame.samples * 4 : 1], 48_000).level() > -40:
                    break
        speaking.cancel()
        await asyncio.wait([speaking])


@pytest.mark.parametrize("tier", ["raw", "middle"])
async def test_what_the_browser_lost_of_our_sound_is_told(tier: str) -> None:
    async with call(tier) as line:
        await line.connect()
        sound: Any = line.peer.line
        for n in range(400):
            if any(line.owner.reports):
                break
            if n % 4:
                line.peer.send_rtp(b"\xd8\xff\xfe", n * 960, n == 0, False)
            else:
                sound._sequence += 1  # lost on the way
            await asyncio.sleep(0.01)
        assert 0.1 < max(line.owner.reports) < 0.4


async def test_the_microphone_arrives_packet_for_packet_and_decodes() -> None:
    async with call() as line:
        line.microphone.say(tone(440, 1.0, 48_000))
        await line.connect()
        async with asyncio.timeout(10):
            while len(line.owner.rtp) < 40:
                await asyncio.sleep(0.02)
        # what came before DTLS was done takes aiortc's way, and may be overtaken
        sequences = sorted(sequence for sequence, *_ in line.owner.rtp)
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        assert len({ssrc for _, _, ssrc, _ in line.owner.rtp}) == 1
        assert isinstance(line.peer.line, RawLine)
        assert line.peer.line.detoured <= 3, "all others are taken at the socket"
        decoder = Decoder()
        heard = b"".join(decoder.decode(payload) for *_, payload in line.owner.rtp)
        assert Sound(heard, 48_000).level() > -30


async def test_sound_that_comes_by_aiortcs_own_path_is_taken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a TURN relay, whose socket is not ours."""
    monkeypatch.setattr(RawLine, "take", lambda line, datagram: KEYLESS)
    async with call(one_port=False) as line:
        await line.connect()
        async with asyncio.timeout(5):
            while len(line.owner.rtp) < 10:
                await asyncio.sleep(0.02)
        assert isinstance(line.peer.line, RawLine)
        assert line.peer.line.detoured >= 10


async def test_redundancy_goes_both_ways_and_what_is_none_is_dropped() -> None:
    async with call() as line:
        offered = line.browser.createOffer

        async def offer_red() -> RTCSessionDescription:
            offer = await offered()
            opus = re.search(r"a=rtpmap:(\d+) opus/48000/2\r\n", offer.sdp)
            assert opus is not None
            said = f"{opus[0]}a=rtpmap:63 red/48000/2\r\na=fmtp:63 {opus[1]}/{opus[1]}\r\n"
            sdp = re.sub(r"(m=audio \d+ \S+ )", r"\g<1>63 ", offer.sdp.replace(opus[0], said))
            line.payload_type = int(opus[1])
            return RTCSessionDescription(sdp=sdp, type="offer")

        await line.browser.setLocalDescription(await offered())
        line.answer = await line.peer.answer((await offer_red()).sdp)
        assert re.search(rf"m=audio \d+ UDP/TLS/RTP/SAVPF 63 {line.payload_type} ?", line.answer)
        await line.browser.setRemoteDescription(RTCSessionDescription(sdp=line.answer, type="answer"))
        async with asyncio.timeout(10):
            await line.owner.connected.wait()
        assert line.peer.red_over == line.payload_type
        sender: Any = line.browser.getSenders()[0]
        copies = red.write(b"\x08new", [(960, b"\x08old")], line.payload_type)
        async with asyncio.timeout(5):
            while not line.owner.rtp:
                await asyncio.sleep(0.02)
        line.microphone.stop()
        next_one = line.owner.rtp[-1][0] + 1000  # what is far from those sent so far, SRTP takes for a replay
        gate = line.peer.line.gate
        assert gate is not None
        for n, payload in enumerate((copies, copies[:-1], b"\xff" * 9)):
            header = struct.pack("!BBHII", 0x80, 63, next_one + n & 0xFFFF, 960 * n, sender._ssrc)
            await sender.transport._send_rtp(header + payload)
        async with asyncio.timeout(5):
            while not gate.dropped.get("red"):
                await asyncio.sleep(0.02)
        taken = [(packet[3], whole) for packet, whole in zip(line.owner.rtp, line.owner.red, strict=True) if whole]
        assert taken == [(b"\x08new", copies), (b"\x08ne", copies[:-1])]
        seen = bytearray()
        receiver: Any = line.browser.getReceivers()[0]
        receiver.transport._handle_rtp_data = seen_by(seen, line.browser)
        assert line.peer.send_rtp(copies, 0, True, True)
        async with asyncio.timeout(5):
            while copies not in seen:
                await asyncio.sleep(0.02)


def seen_by(seen: bytearray, browser: RTCPeerConnection) -> Any:
    async def handle(data: bytes, arrival_time_ms: int) -> None:
        seen.extend(data)

    return handle


async def test_reports_to_the_browser_stay_true() -> None:
    async with call() as line:
        await line.connect()
        async with asyncio.timeout(10):
            while not (report := await remote_inbound(line.browser)):
                await asyncio.sleep(0.1)
        assert -3 <= report.packetsLost <= 0  # those that waited while DTLS was being done may come in behind
        sent = line.microphone.sent
        assert sent - 20 <= report.packetsReceived <= sent + 1


async def remote_inbound(browser: RTCPeerConnection) -> Any:
    reports = (await browser.getStats()).values()
    return next((r for r in reports if r.type == "remote-inbound-rtp"), None)


async def test_messages_go_both_ways_whatever_the_label() -> None:
    async with call() as line:
        got: asyncio.Queue[str | bytes] = asyncio.Queue()
        line.channel.on("message", got.put_nowait)
        await line.connect()
        assert line.peer.send_message("hello") is Fate.SENT
        assert await asyncio.wait_for(got.get(), 5) == "hello"
        line.channel.send("text")
        line.channel.send(b"binary")
        async with asyncio.timeout(5):
            while len(line.owner.messages) < 2:
                await asyncio.sleep(0.01)
        assert line.owner.messages == ["text", b"binary"]


async def test_a_message_longer_than_the_browser_takes_is_not_sent_and_ends_nothing() -> None:
    async with call() as line:
        got: asyncio.Queue[str | bytes] = asyncio.Queue()
        line.channel.on("message", got.put_nowait)
        await line.connect()
        [takes] = re.findall(r"a=max-message-size:(\d+)", line.browser.localDescription.sdp)
        assert line.peer.send_message("x" * (int(takes) + 1)) is Fate.TOO_LONG
        assert line.peer.send_message("short") is Fate.SENT
        assert await asyncio.wait_for(got.get(), 5) == "short"


async def test_a_browser_that_reads_slowly_may_miss_what_is_spare_and_one_that_reads_nothing_is_lost() -> None:
    async with call() as line:
        await line.connect()
        assert line.peer.send_message("on", spare=True) is Fate.SENT
        while line.peer.backlog <= BACKLOG_BYTES:
            assert line.peer.send_message("x" * 50_000) is Fate.SENT
        assert line.peer.send_message("on", spare=True) is Fate.LEFT_OUT
        while line.peer.backlog <= DEAD_BACKLOG_BYTES:
            assert line.peer.send_message("x" * 50_000) is Fate.SENT
        assert line.peer.send_message("on", spare=True) is Fate.LEFT_OUT
        assert not line.owner.lost.is_set()
        assert line.peer.send_message("words") is Fate.NOBODY_THERE
        assert line.owner.lost.is_set()


async def test_a_long_message_travels_in_datagrams_that_fit_a_path_of_1280_bytes() -> None:
    async with call() as line:
        sizes, texts = list[int](), list[str]()
        await line.connect()
        for protocol in line.browser.getReceivers()[0].transport.transport._connection._protocols:
            protocol.transport.set_protocol(Scale(protocol, sizes))
        line.channel.on("message", texts.append)
        assert line.peer.send_message("x" * 12_000) is Fate.SENT
        async with asyncio.timeout(5):
            while not texts:
                await asyncio.sleep(0.01)
        assert texts == ["x" * 12_000]
        assert 1000 < max(sizes) <= 1280 - 40 - 8, "less the headers of IPv6 and UDP"


class Scale(asyncio.DatagramProtocol):
    """Weighs each datagram and passes it on."""

    def __init__(self, inner: Any, sizes: list[int]) -> None:
        self._inner, self._sizes = inner, sizes

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._sizes.append(len(data))
        self._inner.datagram_received(data, addr)


async def test_text_that_is_no_utf8_and_a_channel_opened_twice_end_no_call() -> None:
    async with call() as line:
        await line.connect()
        sctp: Any = line.browser.sctp
        async with asyncio.timeout(5):
            while line.channel.readyState != "open":
                await asyncio.sleep(0.01)
        await sctp._send(line.channel.id, WEBRTC_STRING, b"caf\xe9")
        await sctp._send(line.channel.id, WEBRTC_DCEP, struct.pack("!BBHLHH", 3, 0, 0, 0, 0, 0))
        await sctp._send(line.channel.id, WEBRTC_DCEP, struct.pack("!BBHLHH", 3, 0, 0, 0, 4, 0) + b"\xff\xff\xff\xff")
        line.channel.send("still there")
        async with asyncio.timeout(5):
            while "still there" not in line.owner.messages:
                await asyncio.sleep(0.01)
        assert line.owner.messages == ["caf\N{REPLACEMENT CHARACTER}", "still there"]
        assert line.peer.connected


async def test_many_channels_are_an_attack_and_end_the_call() -> None:
    async with call() as line:
        await line.connect()
        for n in range(MAX_CHANNELS):
            line.browser.createDataChannel(str(n))
        await asyncio.wait_for(line.owner.lost.wait(), 5)


async def test_the_offer_decides_nobody_we_send_to() -> None:
    """Candidates that name a third party get nothing, and the browser still connects."""
    loop, packets = asyncio.get_running_loop(), list[bytes]()

    class Victim(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            packets.append(data)

    victim, _ = await loop.create_datagram_endpoint(Victim, local_addr=("127.0.0.1", 0))
    port = victim.get_extra_info("sockname")[1]
    async with call() as line:
        await line.browser.setLocalDescription(await line.browser.createOffer())
        offer = line.browser.localDescription.sdp
        bad = f"a=candidate:9 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
        offer = re.sub(r"(a=candidate)", bad + r"\1", offer)
        assert offer.count(str(port)) >= 2, "in both sections"
        answer = await line.peer.answer(offer)
        await line.browser.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        await asyncio.wait_for(line.owner.connected.wait(), 10)
        await asyncio.sleep(0.3)
    victim.close()
    await asyncio.sleep(0)
    assert packets == []


async def test_the_answer_has_only_chosen_addresses_and_opus_with_fec() -> None:
    async with call() as line:
        await line.negotiate()
        candidates = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+)", line.answer)
        assert set(candidates) == {"127.0.0.1"}
        assert re.search(r"m=audio \d+ UDP/TLS/RTP/SAVPF \d+\r\n", line.answer)
        assert "useinbandfec=1" in line.answer


@pytest.mark.parametrize(("tier", "answered"), [("raw", 2), ("middle", 2), ("public", 0)])
async def test_camera_and_screen_are_answered_and_cost_no_thread(tier: str, answered: int) -> None:
    async with call(tier) as line:
        for _ in range(2):
            line.browser.addTransceiver("video")
        await line.connect()
        _, *sections = line.answer.split("m=video")
        directions = [re.findall("a=(recvonly|inactive)", section) for section in sections]
        assert directions == [["recvonly"]] * answered + [["inactive"]] * (2 - answered)
        assert not any(thread.name == "video-decoder" for thread in threading.enumerate())


async def test_a_second_audio_section_is_answered_inactive_and_costs_no_thread() -> None:
    async with call() as line:
        second = Microphone()
        line.browser.addTransceiver(second, "sendonly")
        await line.connect()
        second.stop()
        sections = line.answer.split("m=audio")
        assert "a=sendrecv" in sections[1]
        assert "a=inactive" in sections[2]
        decoders = sum(thread.name == "audio-decoder" for thread in threading.enumerate())
        assert decoders == 1, "the browser's own"


async def test_messages_that_the_browser_has_not_acknowledged_are_counted() -> None:
    async with call() as line:
        await line.connect()
        counts = [line.peer.unacknowledged]
        for length in (1, 5000, 1):
            assert line.peer.send_message("x" * length) is Fate.SENT
        counts.append(line.peer.unacknowledged)
        async with asyncio.timeout(5):
            while line.peer.unacknowledged:
                await asyncio.sleep(0.02)
        ice: Any = line.browser.getTransceivers()[0].receiver.transport.transport
        for protocol in ice._connection._protocols:
            protocol.transport.abort()  # its network is pulled
        await asyncio.sleep(0)
        for _ in range(30):
            line.peer.send_message("x" * 1000)
        await asyncio.sleep(0.5)
        counts.append(line.peer.unacknowledged)
        await line.peer.close()
        counts.append(line.peer.unacknowledged)
    assert counts == [0, 3, 30, 30], "what opens the channel is no message, and a close acknowledges nothing"


@pytest.mark.parametrize("tier", ["raw", "middle", "public"])
async def test_a_connection_that_serves_no_more_is_not_heard(tier: str) -> None:
    async with call(tier) as line:
        await line.connect()
        async with asyncio.timeout(5):
            await line.owner.heard.wait()
        line.peer.deafen()
        heard = len(line.owner.rtp) + len(line.owner.pcm)
        await asyncio.sleep(0.3)
        assert len(line.owner.rtp) + len(line.owner.pcm) == heard
        assert line.peer.connected


async def test_a_second_offer_on_the_same_connection_is_a_harmless_renegotiation() -> None:
    async with call() as line:
        await line.connect()
        await line.negotiate()
        before = len(line.owner.rtp)
        async with asyncio.timeout(5):
            while len(line.owner.rtp) < before + 5:
                await asyncio.sleep(0.02)
        assert line.peer.connected


async def test_a_microphone_that_is_replaced_is_heard_from_its_first_packet_after_the_answer() -> None:
    async with call() as line:
        await line.connect()
        await asyncio.wait_for(line.owner.heard.wait(), 5)
        sender: Any = line.browser.getSenders()[0]
        sender._ssrc = sender._ssrc + 1 & 0xFFFFFFFF
        await line.negotiate()
        async with asyncio.timeout(2):
            while line.owner.rtp[-1][2] != sender._ssrc:
                await asyncio.sleep(0.02)


AUDIO_ONLY = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"


@pytest.mark.parametrize("offer", ["", "v=0\r\n", AUDIO_ONLY])
async def test_an_offer_that_cannot_be_answered_is_the_browsers_fault(offer: str) -> None:
    async with call() as line:
        with pytest.raises(BrowserFault):
            await line.peer.answer(offer)


async def test_an_answer_that_takes_too_long_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gathers_for_ever(connection: RTCPeerConnection, description: RTCSessionDescription) -> None:
        await asyncio.Event().wait()

    async with call() as line:
        await line.browser.setLocalDescription(await line.browser.createOffer())
        monkeypatch.setattr(RTCPeerConnection, "setLocalDescription", gathers_for_ever)
        monkeypatch.setattr(peer, "ANSWER_SECONDS", 0.05)
        with pytest.raises(OurBug):
            await line.peer.answer(line.browser.localDescription.sdp)


async def test_a_browser_that_hangs_up_is_noticed_at_once() -> None:
    async with call() as line:
        await line.connect()
        line.microphone.stop()
        await line.browser.close()
        await asyncio.wait_for(line.owner.lost.wait(), 2)
        assert line.owner.hung_up
        assert line.peer.send_message("too late") is Fate.NOBODY_THERE, "and no task is left to find out"


async def test_silence_on_the_wire_is_measured_and_any_packet_ends_it() -> None:
    async with call() as line:
        await line.connect()
        loop = asyncio.get_running_loop()
        assert await line.peer.quiet_seconds(loop.time()) < 1
        assert await line.peer.quiet_seconds(loop.time() + 30) > 29


async def test_a_flood_of_sound_is_held_to_the_rate_and_the_close_works() -> None:
    async with call() as line:
        await line.connect()
        await asyncio.wait_for(line.owner.heard.wait(), 5)
        line.microphone.mute(packets=False)
        await asyncio.sleep(0.05)
        sender: Any = line.browser.getSenders()[0]
        began, before = time.monotonic(), len(line.owner.rtp)
        first, timestamp, ssrc, _ = line.owner.rtp[-1]
        for n in range(1, 5001):
            # half of it on the microphone's stream, half on invented ones
            stream = ssrc if n % 2 else n
            header = struct.pack("!BBHII", 0x80, 0x60, (first + n) & 0xFFFF, timestamp + n * 960, stream)
            await sender.transport._send_rtp(header + b"x" * 40)
            await asyncio.sleep(0)  # let it be read: the socket buffer holds a few hundred
        await asyncio.sleep(0.2)
        assert line.peer.line.gate is not None
        dropped = line.peer.line.gate.dropped
        assert dropped["rate"] > 1000
        assert dropped["ssrc"] > 1000
        allowed = BURST_PACKETS + PACKETS_PER_SECOND * (time.monotonic() - began) + 1
        assert len(line.owner.rtp) - before <= allowed
        started = time.monotonic()
        await line.peer.close()
        assert time.monotonic() - started < 1


async def test_a_dead_report_task_cannot_hang_the_close() -> None:
    """aiortc's close waits for its RTCP task's last word; a task that died never says it."""
    async with call("middle") as line:
        await line.connect()
        sound: Any = line.peer.line
        receiver = sound._receiver
        task = receiver._RTCRtpReceiver__rtcp_task
        receiver._RTCRtpReceiver__remote_streams[1] = None  # the next report raises and ends the task
        await asyncio.wait([task], timeout=3)
        assert task.done()
        started = time.monotonic()
        await line.peer.close()
        assert time.monotonic() - started < tame.CLOSE_SECONDS + tame.FORCED_CLOSE_SECONDS + 0.3


async def test_a_half_open_call_closes_at_once_and_again() -> None:
    async with call() as line:
        await line.browser.setLocalDescription(await line.browser.createOffer())
        await line.peer.answer(line.browser.localDescription.sdp)
        started = time.monotonic()
        await line.peer.close()
        await line.peer.close()
        assert time.monotonic() - started < 1


async def test_what_a_librarys_own_close_raises_is_named_in_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def close(self) -> None:
            raise ZeroDivisionError("inner words")

        def getTransceivers(self) -> list[Any]:
            return []

    broken: Any = Broken()
    with caplog.at_level("DEBUG", tame.__name__):
        await tame.close_connection(broken)
    assert "ZeroDivisionError" in caplog.text
    assert "inner words" not in caplog.text


async def test_what_aioice_begins_while_it_is_closed_ends_with_it() -> None:
    """A check that succeeds in the moment of the closing: else the browser would be asked for half a minute more."""
    pc = RTCPeerConnection()
    ice: Any = pc.addTransceiver("audio").receiver.transport.transport
    close = ice._connection.close

    async def late() -> None:
        await close()
        ice._connection._query_consent_task = asyncio.create_task(asyncio.sleep(3600), name="asking")

    ice._connection.close = late
    await pc.setLocalDescription(await pc.createOffer())
    await tame.close_connection(pc)
    asking = ice._connection._query_consent_task
    await asyncio.wait([asking], timeout=1)
    assert asking.cancelled()
