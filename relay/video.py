"""From a key frame to a small JPEG: one thread for the whole process, that is there while there is something to do.

A picture takes 6 ms of a core at 640 by 480, as long as 60 packets of sound: too long for the event loop. Decoding,
scaling and encoding run in C without Python's lock, so the loop goes on meanwhile.

Nothing is kept from one picture to the next, and a decoder gets only frames whose size is known and bounded.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import av

from relay.webrtc.keyframe import MAX_PIXELS

# The longer side of what the model gets: it looks at pictures in tiles of this size.
LONGEST_SIDE: Final = 768
# The quantiser of FFmpeg's mjpeg, 2 to 31: text on a screen is still clean, 24 KB at 640 by 480.
JPEG_QUANTISER: Final = 5
# Frames that wait for the thread, of all calls; each track has one at most. A second's work.
MAX_WAITING: Final = 64

Done = Callable[[bytes | None, float], None]
"""the JPEG, or None if the frame was none, and how many seconds of a core it took; called in the event loop"""

log = logging.getLogger(__name__)


class Darkroom:
    """Develops one frame after the other; its thread ends with the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, str, bytes, int, Done]] = deque()
        self._working = False

    def develop(self, codec: str, frame: bytes, done: Done, max_pixels: int = MAX_PIXELS) -> bool:
        """Take a key frame of a `codec` that FFmpeg knows by that name; False, and no `done`, if too many wait."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append((asyncio.get_running_loop(), codec, frame, max_pixels, done))
            if self._working:
                return True
            self._working = True
        threading.Thread(target=self._work, name="darkroom", daemon=True).start()
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working = False
                    return
                loop, codec, frame, max_pixels, done = self._waiting.popleft()
            began = time.thread_time()
            try:
                picture = jpeg(codec, frame, max_pixels)
            except Exception as error:  # whatever a decoder makes of foreign bytes
                log.debug("a frame was no picture: %s", type(error).__name__)
                picture = None
            with contextlib.suppress(RuntimeError):  # that loop has ended meanwhile
                loop.call_soon_threadsafe(done, picture, time.thread_time() - began)


def jpeg(codec: str, frame: bytes, max_pixels: int = MAX_PIXELS) -> bytes | None:
    """A key frame as JPEG, at most `LONGEST_SIDE` wide and high; None if it shows nothing. Raises what PyAV raises."""
    decoder: Any = av.CodecContext.create(codec, "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(max_pixels)}
    pictures = decoder.decode(av.Packet(frame)) or decoder.decode(None)
    if not pictures:
        return None
    picture = pictures[0]
    shrunk = min(1.0, LONGEST_SIDE / max(picture.width, picture.height))
    # colour has half the resolution: even sides
    width, height = (max(2, round(side * shrunk) & ~1) for side in (picture.width, picture.height))
    scaled = picture.reformat(
        width=width, height=height, format="yuvj420p", dst_colorspace="ITU601", interpolation="AREA", threads=1
    )
    scaled.pts = 0
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1)
    encoder.thread_count = 1
    encoder.qmin = encoder.qmax = JPEG_QUANTISER
    return b"".join(bytes(packet) for packet in encoder.encode(scaled))


darkroom: Final = Darkroom()
