"""A camera for tests: plain colours that change when they are told to, and what came of them at the other end."""

import asyncio
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

VIDEO_RATE: Final = 90_000
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

Colour = tuple[int, int, int]


def picture(colours: Sequence[Colour], width: int = 640, height: int = 480) -> "av.VideoFrame":
    """Vertical stripes of equal width."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for n, colour in enumerate(colours):
        pixels[:, n * width // len(colours) : (n + 1) * width // len(colours)] = colour
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


def noise(width: int = 640, height: int = 480, seed: int = 1) -> "av.VideoFrame":
    """As many bits as a picture can need."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


class Camera(MediaStreamTrack):
    """A video track at real time; `shows` may be set to another picture at any time."""

    kind = "video"

    def __init__(self, shows: "av.VideoFrame", rate: float = 15.0) -> None:
        super().__init__()
        self.shows = shows
        self._rate = rate
        self._began: float | None = None
        self._frames = 0

    async def recv(self) -> Any:
        now = time.monotonic()
        if self._began is None:
            self._began = now
        await asyncio.sleep(self._began + self._frames / self._rate - now)
        self._frames += 1
        frame = self.shows
        frame.pts, frame.time_base = round(self._frames * VIDEO_RATE / self._rate), Fraction(1, VIDEO_RATE)
        return frame


class Sender:
    """Encodes pictures as a browser does, to the payloads of RTP packets."""

    def __init__(self, codec: str) -> None:
        parameters: dict[str, Any] = {"packetization-mode": "1", "profile-level-id": "42001f"}
        self._encoder = get_encoder(
            RTCRtpCodecParameters(f"video/{codec}", VIDEO_RATE, payloadType=97, parameters=parameters)
        )
        self._frames = 0

    def send(self, shows: "av.VideoFrame", key: bool = False) -> list[bytes]:
        """The payloads of the next frame."""
        self._frames += 1
        shows.pts, shows.time_base = self._frames * VIDEO_RATE // 30, Fraction(1, VIDEO_RATE)
        payloads, _ = self._encoder.encode(shows, force_keyframe=key)
        return payloads


def seen(jpeg: bytes, stripes: int) -> list[Colour]:
    """The colour in the middle of each stripe."""
    pixels = opened(jpeg)
    width = pixels.shape[1]
    middles = ((2 * n + 1) * width // (2 * stripes) for n in range(stripes))
    return [(int(red), int(green), int(blue)) for red, green, blue in (pixels[len(pixels) // 2, x] for x in middles)]


def opened(jpeg: bytes) -> Any:
    """A JPEG's pixels: rows of columns of red, green and blue."""
    decoder: Any = av.CodecContext.create("mjpeg", "r")
    frames = decoder.decode(av.Packet(jpeg)) or decoder.decode(None)
    return frames[0].to_ndarray(format="rgb24")


def alike(one: Sequence[Colour], other: Sequence[Colour], by: int = 24) -> bool:
    """Whether colours are the same to the eye."""
    return all(abs(a - b) <= by for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))
