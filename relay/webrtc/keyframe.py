"""One whole key frame out of a stream's packets; everything else is dropped at its first packet. Pure.

A key frame needs no other to be decoded. So for a picture now and then one asks for it, waits for this frame
alone, and leaves the rest undecoded: at 30 frames a second that is 29 of 30.

Packets may overtake each other and come twice. A frame of which one is lost is given up; the next one is asked for.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Final, Protocol

# A screen of 4096 by 2304 is the largest that is decoded: 14 MB, and 31 ms for VP8. A camera's picture has a tenth.
MAX_PIXELS: Final = 4096 * 2304
# RFC 6386 counts a VP8 picture's sides in fourteen bits.
MAX_SIDE: Final = 0x3FFF
# Ten seconds' worth at the rate that we ask for; an honest key frame of a camera has 10 to 40 KB.
MAX_FRAME_BYTES: Final = 512 * 1024
# As many as 512 KiB need when each carries half of what it could.
MAX_FRAME_PACKETS: Final = 1024
# How long a frame waits for a packet that later frames have overtaken; on an honest path it is there within 100 ms.
OVERTAKEN_SECONDS: Final = 0.1

_HALF: Final = 0x80000000  # of the circle of RTP timestamps


class Look(enum.Enum):
    """What one packet is a part of, as far as its payload tells."""

    KEY = "the first packet of a key frame"
    MORE = "not the first of its frame, or nothing that tells"
    OTHER = "a frame that needs others"
    JUNK = "nothing that was negotiated"


class Codec(Protocol):
    """What `vp8` and `h264` know of their payloads."""

    def look(self, payload: bytes) -> Look: ...
    def size(self, payload: bytes) -> tuple[int, int] | None: ...
    def join(self, payloads: Sequence[bytes]) -> bytes: ...


def fits(size: tuple[int, int] | None) -> bool:
    """Whether a picture of that width and height may be decoded."""
    return size is not None and min(size) > 0 and max(size) <= MAX_SIDE and size[0] * size[1] <= MAX_PIXELS


class KeyFrame:
    """Gathers the next whole key frame of one stream, at most `MAX_FRAME_BYTES` of it at a time.

    `refuse` is called for each packet and frame that lied: junk, too large, or no frame when they were joined.
    """

    def __init__(self, codec: Codec, refuse: Callable[[], object]) -> None:
        self.codec = codec
        self._refuse = refuse
        self._passed: int | None = None  # the timestamp of the last frame that is done with
        self._forget()

    def _forget(self) -> None:
        self._timestamp: int | None = None  # of the frame that is gathered
        self._parts: dict[int, bytes] = {}  # payloads by sequence number
        self._bytes = 0
        self._first: int | None = None  # sequence number of the packet that says that it is a key frame
        self._last: int | None = None  # of the one with the marker, the end of a frame
        self._overtaken: float | None = None  # since when packets of later frames have been coming

    @property
    def gathering(self) -> bool:
        """A key frame has begun and is not whole."""
        return self._first is not None

    def add(self, sequence: int, timestamp: int, marker: bool, payload: bytes, now: float) -> bytes | None:
        """Take a packet at `now` (monotonic seconds); the frame, with the packet that makes it whole."""
        if timestamp == self._passed:
            return None
        look = self.codec.look(payload)
        if look is Look.JUNK:
            self._refuse()
            return None
        if timestamp != self._timestamp and not self._turns_to(timestamp, look, now):
            return None
        if look is Look.OTHER:
            self._pass(timestamp)
            return None
        if look is Look.KEY and (self._first is None or (self._first - sequence) & 0xFFFF < MAX_FRAME_PACKETS):
            self._first = sequence
        if sequence not in self._parts:
            self._parts[sequence] = payload
            self._bytes += len(payload)
        if marker:
            self._last = sequence
        too_much = self._bytes > MAX_FRAME_BYTES or len(self._parts) > MAX_FRAME_PACKETS
        if too_much or (look is Look.KEY and not fits(self.codec.size(payload))):
            self._refuse()
            self._pass(timestamp)
            return None
        return self._whole(timestamp)

    def _turns_to(self, timestamp: int, look: Look, now: float) -> bool:
        """Whether a packet of another frame than the one that is gathered is looked at further."""
        if self._timestamp is not None:
            if (timestamp - self._timestamp) & 0xFFFFFFFF >= _HALF:
                return False  # older
            if self._first is not None and look is not Look.KEY:
                if self._overtaken is None:
                    self._overtaken = now
                if now - self._overtaken < OVERTAKEN_SECONDS:
                    return False  # what is missing of the key frame may still come
        self._forget()
        self._timestamp = timestamp
        return True

    def _whole(self, timestamp: int) -> bytes | None:
        if self._first is None or self._last is None:
            return None
        count = (self._last - self._first & 0xFFFF) + 1
        if count > len(self._parts):
            return None
        try:
            payloads = [self._parts[self._first + n & 0xFFFF] for n in range(count)]
        except KeyError:
            return None
        self._pass(timestamp)
        try:
            return self.codec.join(payloads)
        except ValueError:
            self._refuse()
            return None

    def _pass(self, timestamp: int) -> None:
        """That frame is done with: its other packets go unread."""
        self._forget()
        self._passed = timestamp
