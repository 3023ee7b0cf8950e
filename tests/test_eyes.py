"""Camera and screen: what the browser shows is seen in its colours, a picture a second, while it says that it is on."""

import asyncio
import re
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aiortc import RTCRtpTransceiver

from relay.video import darkroom
from relay.webrtc.eyes import CAMERA, PERIOD_SECONDS, SCREEN
from tests.camera import BLUE, GREEN, RED, WHITE, Camera, Sender, alike, noise, opened, picture, seen
from tests.test_peer import Call, call

NOBODY = 0xDEAD_BEEF
VP8, H264 = 97, 99  # as aiortc numbers them
CLOCK_SECONDS = 0.005  # how early a timer may come


class Show:
    """A call whose browser has a camera and a screen to show."""

    def __init__(self, line: Call) -> None:
        self.line = line
        self.cameras: list[Camera] = []
        self.sections: list[RTCRtpTransceiver] = []
        self.sequence = self.at = 1

    def add(self, camera: Camera, codec: str = "") -> None:
        """Offer one video section more."""
        section = self.line.browser.addTransceiver(camera, "sendonly")
        if codec:
            capabilities = type(section.receiver).getCapabilities("video")
            assert capabilities is not None
            section.setCodecPreferences([c for c in capabilities.codecs if c.mimeType == f"video/{codec}"])
        self.cameras.append(camera)
        self.sections.append(section)

    async def picture(self, track: int = CAMERA, *, after: int = 0, timeout: float = 8.0) -> bytes:
        """The newest picture of a track, once there are more than `after`."""
        async with asyncio.timeout(timeout):
            while len(jpegs := self.of(track)) <= after:
                await asyncio.sleep(0.02)
        return jpegs[-1][1]

    def of(self, track: int) -> list[tuple[float, bytes]]:
        return [(at, jpeg) for at, of, jpeg in self.line.owner.pictures if of == track]

    @property
    def dropped(self) -> dict[str, int]:
        gate = self.line.peer.line.gate
        return gate.dropped if gate is not None else {}

    async def send(self, payloads: list[bytes], *, ssrc: int = 0, type_: int = VP8) -> None:
        """Send the packets of one more frame by hand, on the first section's stream unless said otherwise."""
        sender: Any = self.sections[0].sender
        self.at += 3000
        for n, payload in enumerate(payloads):
            last = n == len(payloads) - 1
            head = struct.pack("!BBHII", 0x80, last << 7 | type_, self.sequence, self.at, ssrc or sender._ssrc)
            self.sequence = self.sequence + 1 & 0xFFFF
            await sender.transport._send_rtp(head + payload)
            await asyncio.sleep(0)  # or the socket is full


@asynccontextmanager
async def show(tier: str = "raw") -> AsyncIterator[Show]:
    async with call(tier) as line:
        shown = Show(line)
        try:
            yield shown
        finally:
            for camera in shown.cameras:
                camera.stop()


class Still(Camera):
    """A camera that has nothing to show; what is sent on its stream is sent by hand."""

    async def recv(self) -> Any:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
@pytest.mark.parametrize("tier", ["raw", "middle"])
async def test_what_the_camera_shows_is_seen_in_its_colours(tier: str, codec: str) -> None:
    async with show(tier) as shown:
        shown.add(Camera(picture([RED, BLUE])), codec)
        await shown.line.connect()
        shown.line.peer.watch(CAMERA, True)
        assert alike(seen(await shown.picture(), 2), [RED, BLUE])
        shown.cameras[0].shows = picture([GREEN, WHITE])
        before = len(shown.of(CAMERA))
        assert alike(seen(await shown.picture(after=before), 2), [GREEN, WHITE]), "the newest, not the next in a queue"


async def test_camera_and_screen_are_told_apart_and_each_is_seen_a_second_apart_at_least() -> None:
    async with show() as shown:
        shown.add(Camera(picture([RED])))
        shown.add(Camera(picture([BLUE], 1280, 720)))
        await shown.line.connect()
        shown.line.peer.watch(SCREEN, True)
        shown.line.peer.watch(CAMERA, True)
        camera, screen = await asyncio.gather(shown.picture(CAMERA, after=1), shown.picture(SCREEN, after=1))
        assert alike(seen(camera, 1), [RED])
        assert alike(seen(screen, 1), [BLUE])
        assert opened(screen).shape == (432, 768, 3)
        for track in (CAMERA, SCREEN):
            (first, _), (second, _), *_ = shown.of(track)
            assert PERIOD_SECONDS - CLOCK_SECONDS <= second - first < PERIOD_SECONDS + 0.5


async def test_what_is_off_is_not_looked_at() -> None:
    async with show() as shown:
        shown.add(Camera(picture([RED])))
        await shown.line.connect()
        await asyncio.sleep(0.5)
        assert not shown.line.owner.pictures, "nobody said that it is on"
        shown.line.peer.watch(CAMERA, True)
        await shown.picture()
        shown.line.peer.watch(CAMERA, False)
        seen_so_far = len(shown.line.owner.pictures)
        await asyncio.sleep(PERIOD_SECONDS + 0.4)
        assert len(shown.line.owner.pictures) == seen_so_far
        shown.line.peer.watch(CAMERA, True)
        await shown.picture(after=seen_so_far)


async def test_switching_on_and_off_makes_no_more_pictures_than_one_a_second() -> None:
    async with show() as shown:
        shown.add(Camera(picture([RED])))
        await shown.line.connect()
        for n in range(100):
            shown.line.peer.watch(CAMERA, n % 2 == 0)
            await asyncio.sleep(0.02)
        shown.line.peer.watch(CAMERA, True)
        await shown.picture(after=1)
        times = [at for at, _ in shown.of(CAMERA)]
        assert all(later - earlier >= PERIOD_SECONDS - CLOCK_SECONDS for earlier, later in pairwise(times))


async def test_the_answer_takes_the_offers_order_and_asks_for_little() -> None:
    async with show() as shown:
        shown.add(Camera(picture([RED])), "H264")
        shown.add(Camera(picture([RED])))
        await shown.line.negotiate()
        _, camera, screen = shown.line.answer.split("m=video")
        assert re.findall(r"a=rtpmap:\d+ (\w+)", camera) == ["H264", "H264"]
        assert re.findall(r"a=rtpmap:\d+ (\w+)", screen) == ["VP8", "H264", "H264"], "and no retransmission"
        for section in (camera, screen):
            assert "\r\nb=AS:500\r\nb=TIAS:500000\r\na=" in section
            assert set(re.findall(r"a=rtcp-fb:\d+ (.+)\r\n", section)) == {"nack pli"}


async def test_a_camera_that_comes_later_is_answered_in_a_renegotiation() -> None:
    async with show() as shown:
        await shown.line.connect()
        shown.add(Camera(picture([BLUE])))
        await shown.line.negotiate()
        shown.line.peer.watch(CAMERA, True)
        assert alike(seen(await shown.picture(), 1), [BLUE])


async def test_the_browser_hears_how_its_video_arrives() -> None:
    async with show() as shown:
        shown.add(Camera(picture([RED, BLUE])))
        await shown.line.connect()
        sender = shown.sections[0].sender
        async with asyncio.timeout(8):
            while True:
                reports = (await sender.getStats()).values()
                [sent] = [r.packetsSent for r in reports if r.type == "outbound-rtp"]
                told = [r.packetsReceived for r in reports if r.type == "remote-inbound-rtp"]
                if told and told[0] > 20:
                    break
                await asyncio.sleep(0.05)
        assert told[0] <= sent


async def test_streams_that_nobody_offered_are_dropped_and_counted() -> None:
    async with show() as shown:
        shown.add(Still(picture([RED])), "VP8")
        await shown.line.connect()
        shown.line.peer.watch(CAMERA, True)
        for n in range(300):
            await shown.send(Sender("VP8").send(picture([RED]), key=True)[:1] if n == 0 else [b"\x10"], ssrc=NOBODY + n)
        await until(lambda: shown.dropped.get("ssrc", 0) >= 300)
        assert not shown.line.owner.pictures


async def test_frames_that_lie_make_no_picture_are_counted_and_the_next_honest_one_is_seen() -> None:
    async with show() as shown:
        shown.add(Still(picture([RED])), "VP8")
        await shown.line.connect()
        shown.line.peer.watch(CAMERA, True)
        honest = Sender("VP8").send(picture([RED, BLUE]), key=True)
        start = honest[0].index(b"\x9d\x01\x2a")
        vast = honest[0][: start + 3] + struct.pack("<HH", 0x3FFF, 0x3FFF) + honest[0][start + 7 :]
        await shown.send([vast, *honest[1:]])  # 268 million pixels
        await shown.send([b"\x90"] * 10)  # descriptors that are cut short
        await until(lambda: shown.dropped.get("video", 0) >= 1 + 10)
        more = [honest[0], *[b"\x00" + bytes(1190)] * 600]
        await shown.send(more)  # more than a frame may be
        await until(lambda: shown.dropped.get("video", 0) >= 1 + 10 + 1)
        await shown.send([honest[0][: start + 7] + b"\xff" * 20])  # a head without a picture
        await until(lambda: shown.dropped.get("video", 0) >= 1 + 10 + 1 + 1 or len(shown.of(CAMERA)) > 0)
        seen_so_far = len(shown.of(CAMERA))
        await asyncio.sleep(PERIOD_SECONDS + 0.1)
        await shown.send(honest)
        assert alike(seen(await shown.picture(after=seen_so_far), 2), [RED, BLUE])
        assert shown.line.peer.connected


async def test_a_flood_of_key_frames_makes_one_picture_a_second() -> None:
    async with show() as shown:
        shown.add(Still(picture([RED])), "VP8")
        await shown.line.connect()
        shown.line.peer.watch(CAMERA, True)
        frame = Sender("VP8").send(noise(320, 240), key=True)
        began = time.monotonic()
        for _ in range(60):
            await shown.send(frame)
            await asyncio.sleep(0.02)
        await shown.picture()
        assert len(shown.of(CAMERA)) <= 1 + (time.monotonic() - began)


async def test_closing_while_a_picture_is_developed_leaves_nothing_and_tells_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with show() as shown:
        shown.add(Still(picture([RED])), "VP8")
        await shown.line.connect()
        shown.line.peer.watch(CAMERA, True)
        developed: list[int] = []
        develop = darkroom.develop

        def develop_and_shut(codec: str, frame: bytes, done: Any) -> bool:
            developed.append(len(frame))
            shown.line.peer.watch(CAMERA, False)
            return develop(codec, frame, done)

        monkeypatch.setattr(darkroom, "develop", develop_and_shut)
        await shown.send(Sender("VP8").send(noise(320, 240), key=True))
        await until(lambda: bool(developed))
        await shown.line.peer.close()
        assert not shown.line.owner.pictures


async def test_a_relay_with_too_much_to_do_asks_again_a_second_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with show() as shown:
        shown.add(Camera(picture([RED])))
        await shown.line.connect()
        develop, refused = darkroom.develop, list[float]()

        def refuse_twice(codec: str, frame: bytes, done: Any) -> bool:
            if len(refused) < 2:
                refused.append(asyncio.get_running_loop().time())
                return False
            return develop(codec, frame, done)

        monkeypatch.setattr(darkroom, "develop", refuse_twice)
        shown.line.peer.watch(CAMERA, True)
        await shown.picture()
        first, second = refused
        assert second - first >= PERIOD_SECONDS - 0.5, "not with the next key frame"


async def test_a_sender_that_changes_its_codec_is_seen_on() -> None:
    async with show() as shown:
        shown.add(Still(picture([RED])))
        await shown.line.connect()
        shown.line.peer.watch(CAMERA, True)
        await shown.send(Sender("VP8").send(picture([RED]), key=True))
        assert alike(seen(await shown.picture(), 1), [RED])
        await asyncio.sleep(PERIOD_SECONDS)
        await shown.send(Sender("H264").send(picture([BLUE]), key=True), type_=H264)
        assert alike(seen(await shown.picture(after=1), 1), [BLUE])


async def until(true: Any, timeout: float = 5.0) -> None:
    async with asyncio.timeout(timeout):
        while not true():
            await asyncio.sleep(0.02)
