"""Key frames become small JPEGs in one thread that is there while there is something to do."""

import asyncio
import struct
import threading
import time
from typing import Any

import pytest

from relay.video import LONGEST_SIDE, MAX_WAITING, Darkroom, jpeg
from relay.webrtc import h264, vp8
from tests.camera import BLUE, GREEN, RED, WHITE, Sender, alike, noise, opened, picture, seen

CODECS = {"VP8": vp8, "H264": h264}


def frame(codec: str, shows: Any) -> bytes:
    whole: bytes = CODECS[codec].join(Sender(codec).send(shows, key=True))
    return whole


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("size", "shrunk"),
    [
        ((640, 480), (640, 480)),
        ((1280, 720), (768, 432)),
        ((720, 1280), (432, 768)),
        ((1920, 1080), (768, 432)),
        ((4096, 2304), (768, 432)),
        ((64, 16), (64, 16)),
    ],
)
def test_colours_and_shape_stay_and_the_longer_side_is_bounded(
    codec: str, size: tuple[int, int], shrunk: tuple[int, int]
) -> None:
    small = jpeg(codec.lower(), frame(codec, picture([RED, GREEN, BLUE, WHITE], *size)))
    assert small is not None
    assert alike(seen(small, 4), [RED, GREEN, BLUE, WHITE])
    assert opened(small).shape == (shrunk[1], shrunk[0], 3)
    assert max(shrunk) <= LONGEST_SIDE


def test_even_a_picture_of_noise_is_no_heavy_message() -> None:
    worst = jpeg("vp8", frame("VP8", noise(768, 768)))
    assert worst is not None
    assert len(worst) < 300 * 1024


async def test_pictures_come_one_after_the_other_out_of_one_thread_that_ends() -> None:
    room, came = Darkroom(), list[bytes | None]()
    done = asyncio.Event()

    def developed(picture: bytes | None, seconds: float) -> None:
        assert threading.current_thread() is threading.main_thread()
        assert 0 < seconds < 5
        came.append(picture)
        if len(came) == 4:
            done.set()

    for shows in (RED, GREEN, BLUE):
        assert room.develop("vp8", frame("VP8", picture([shows])), developed)
    assert room.develop("vp8", b"nonsense", developed)
    assert sum(thread.name == "darkroom" for thread in threading.enumerate()) == 1
    await asyncio.wait_for(done.wait(), 5)
    *pictures, nothing = came
    assert nothing is None
    assert all(alike(seen(one or b"", 1), [shows]) for one, shows in zip(pictures, (RED, GREEN, BLUE), strict=True))
    async with asyncio.timeout(2):
        while any(thread.name == "darkroom" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)


async def test_more_than_a_seconds_work_is_refused_at_once() -> None:
    room, came = Darkroom(), list[bytes | None]()
    large = frame("VP8", picture([RED], 1920, 1080))
    taken = sum(
        room.develop("vp8", large, lambda picture, seconds: came.append(picture)) for _ in range(2 * MAX_WAITING)
    )
    assert MAX_WAITING <= taken <= MAX_WAITING + 2
    async with asyncio.timeout(20):
        while len(came) < taken:
            await asyncio.sleep(0.01)


async def test_the_event_loop_goes_on_while_a_picture_is_developed() -> None:
    large = frame("VP8", noise(4096, 2304))
    room, done, late = Darkroom(), asyncio.Event(), list[float]()
    room.develop("vp8", large, lambda picture, seconds: done.set())
    while not done.is_set():
        began = time.monotonic()
        await asyncio.sleep(0.001)
        late.append(time.monotonic() - began)
    assert len(late) > 10, "it took long"
    assert sorted(late)[len(late) // 2] < 0.01, "and held up nobody"


def test_a_frame_that_claims_another_size_than_was_checked_is_none() -> None:
    honest = frame("VP8", picture([RED]))
    with pytest.raises(Exception, match=r"Invalid|memory|Error"):
        jpeg("vp8", honest[:6] + struct.pack("<HH", 0x3FFF, 0x3FFF) + honest[10:])
