"""Targets of video: packets that may be a key frame, and frames that may be a picture; any bytes, no harm."""

from typing import Final

import av

from relay.video import LONGEST_SIDE, jpeg
from relay.webrtc import h264, vp8
from relay.webrtc.keyframe import MAX_FRAME_PACKETS, Codec, KeyFrame, Look, fits
from tests.camera import opened
from tests.fuzz.reader import Reader

CODECS: Final[tuple[tuple[Codec, str], ...]] = ((vp8, "vp8"), (h264, "h264"))
# A decoder has no more of a frame to work on than a browser sends; the fuzzer's bytes are fewer still.
JPEG_START: Final = b"\xff\xd8"


def gathered(data: bytes) -> None:
    """A stream of packets: what comes out was sent, is of a size that may be decoded, and nothing is kept for ever."""
    reader = Reader(data)
    codec, _ = CODECS[reader.number() & 1]
    refused: list[None] = []
    key_frame = KeyFrame(codec, lambda: refused.append(None))
    sequence, timestamp, packets, now = reader.number(2), reader.number(4), 0, 0.0
    sent: set[bytes] = set()
    while reader and packets < 2 * MAX_FRAME_PACKETS:
        how, packets = reader.number(), packets + 1
        sequence = sequence + (how & 3) - 1 & 0xFFFF if how & 4 else sequence + 1 & 0xFFFF
        timestamp = timestamp + (3000 if how & 8 else 0) - (9000 if how & 16 and how & 32 else 0) & 0xFFFFFFFF
        now += 0.2 if how & 64 else 0.001
        payload = reader.take(reader.number() * (8 if how & 16 else 1))
        sent.add(payload)
        if codec.look(payload) is Look.KEY:
            size = codec.size(payload)
            assert size is None or min(size) >= 0
        frame = key_frame.add(sequence, timestamp, how & 128 > 0, payload, now)
        if frame is not None:
            assert not key_frame.gathering
            assert any(codec.look(one) is Look.KEY and fits(codec.size(one)) for one in sent)
            assert len(frame) <= 4 * sum(map(len, sent)) * packets
    assert len(refused) <= packets


def developed(data: bytes) -> None:
    """One frame: a small JPEG, or an error of the decoder's, in bounded time and memory."""
    reader = Reader(data)
    _, name = CODECS[reader.number() & 1]
    try:
        picture = jpeg(name, reader.take(len(data)))
    except (av.FFmpegError, ValueError):
        return
    if picture is not None:
        assert picture.startswith(JPEG_START)
        assert max(opened(picture).shape) <= LONGEST_SIDE
