"""What a browser shows us: of its camera and of its screen a picture a second at most, while it says that they are on.

Each of the two asks for a key frame once a second, waits until one is whole, has it developed and gives the picture
away. While one is developed no other is asked for: nothing queues, and a relay with much to do sees less often. What
the browser sends besides is dropped where it arrives.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from aiortc import RTCRtpTransceiver

from relay.video import Darkroom, darkroom
from relay.webrtc import h264, sdp, vp8
from relay.webrtc.keyframe import Codec, KeyFrame
from relay.webrtc.tap import MiddleLine

# The tracks as `trackStatus` counts them, which is the order of the sections in every official client's offer.
CAMERA: Final = 1
SCREEN: Final = 2

# Between two pictures of a track: the model takes one a second. And between two requests, if no key frame comes.
PERIOD_SECONDS: Final = 1.0
# The share of a core that one track may take: a screen of 4096 by 2304 is then seen every second, or every other.
CORE_SHARE: Final = 0.05

# By aiortc's names: what reads their packets, and what FFmpeg calls them.
_CODECS: Final[Mapping[str, tuple[Codec, str]]] = {"VP8": (vp8, "vp8"), "H264": (h264, "h264")}

OnPicture = Callable[[int, bytes], None]
"""track (1 camera, 2 screen), JPEG"""


class Eyes:
    """Both tracks of one connection; `choose` and `open` around each answer, `watch` at any time, `close` once."""

    def __init__(self, line: MiddleLine, on_picture: OnPicture) -> None:
        self._line = line
        self._eyes = {track: Eye(track, line, on_picture, darkroom) for track in (CAMERA, SCREEN)}
        self._sections: list[tuple[RTCRtpTransceiver, Sequence[int]]] = []
        self._codecs: dict[int, str] = {}
        self._by_ssrc: dict[int, Eye] = {}
        line.on_video = self._take

    def choose(self, offer: str, transceivers: Iterable[RTCRtpTransceiver]) -> None:
        """Let the first two video sections of an offer be answered; call it before the answer is made."""
        by_mid = {transceiver.mid: transceiver for transceiver in transceivers if transceiver.kind == "video"}
        streams = list(sdp.video_streams(offer).items())[: len(self._eyes)]
        self._sections = [(by_mid[mid], ssrcs) for mid, ssrcs in streams if mid in by_mid]
        self._codecs = {}
        for section, _ in self._sections:
            section.direction = "recvonly"
            # aiortc gave the second the transport of the first, which the bundle has replaced and closed since
            section.receiver.setTransport(self._sections[0][0].receiver.transport)
            section.sender.setTransport(self._sections[0][0].sender.transport)
            self._codecs |= self._line.adopt(section)

    def open(self, taken: Collection[int | None]) -> None:
        """It was answered: take what comes, but for the payload types that are `taken` by sound."""
        self._by_ssrc = {}
        for eye, (_, ssrcs) in zip(self._eyes.values(), self._sections, strict=False):
            eye.codecs, eye.ssrcs = self._codecs, ssrcs
            self._by_ssrc |= dict.fromkeys(ssrcs, eye)
        self._line.expect({ssrc: section for section, ssrcs in self._sections for ssrc in ssrcs})
        self._line.video_types = frozenset(self._codecs).difference(taken)

    def watch(self, track: int, enabled: bool) -> None:
        """The browser says that it shows something, or nothing, on that track."""
        if track in self._eyes:
            self._eyes[track].watch(enabled)

    def close(self) -> None:
        """See nothing more; idempotent."""
        self._line.on_video = None
        for eye in self._eyes.values():
            eye.watch(False)

    def _take(self, payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool, payload: bytes) -> None:
        eye = self._by_ssrc.get(ssrc)
        if eye is not None and eye.waiting:
            eye.take(payload_type, sequence, timestamp, marker, payload)


class Eye:
    """One track. At any time it is shut, waiting for a key frame, having one developed, or resting."""

    def __init__(self, track: int, line: MiddleLine, on_picture: OnPicture, room: Darkroom) -> None:
        self.codecs: Mapping[int, str] = {}
        self.ssrcs: Sequence[int] = ()
        self.waiting = False  # for a key frame
        self._track = track
        self._line = line
        self._on_picture = on_picture
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._developing = False
        self._codec = ""
        self._key_frame: KeyFrame | None = None
        self._came = False  # something of a key frame, since it was asked for last
        self._ask_at = self._given_at = float("-inf")  # when to ask again, when the last picture was given away
        self._asking: asyncio.TimerHandle | None = None
        self._giving: asyncio.TimerHandle | None = None

    def watch(self, enabled: bool) -> None:
        """Begin or end to look."""
        if enabled == self._open:
            return
        self._open = enabled
        if not enabled:
            self._pause()
            if self._giving is not None:
                self._giving.cancel()
        elif not self._developing:
            self._ask_again()

    def take(self, payload_type: int, sequence: int, timestamp: int, marker: bool, payload: bytes) -> None:
        """A packet of this track, while a key frame is awaited."""
        codec = self.codecs.get(payload_type, "")
        if self._key_frame is None or codec != self._codec:
            if codec not in _CODECS:
                return
            self._codec, self._key_frame = codec, KeyFrame(_CODECS[codec][0], self._refuse)
        frame = self._key_frame.add(sequence, timestamp, marker, payload, self._loop.time())
        self._came = self._key_frame.gathering
        if frame is not None:
            self._pause()
            self._developing = self._room.develop(_CODECS[codec][1], frame, self._developed)
            if not self._developing:
                self._ask_again()

    def _developed(self, jpeg: bytes | None, seconds: float) -> None:
        self._developing = False
        now = self._loop.time()
        self._ask_at = max(self._ask_at, now + seconds / CORE_SHARE)
        if jpeg is None:
            self._refuse()
        if not self._open:
            return
        self._ask_again()
        if jpeg is not None:
            if self._giving is not None:
                self._giving.cancel()
            self._giving = self._loop.call_at(max(now, self._given_at + PERIOD_SECONDS), self._give, jpeg)

    def _give(self, jpeg: bytes) -> None:
        self._given_at = self._loop.time()
        self._on_picture(self._track, jpeg)

    def _ask_again(self) -> None:
        """Ask when it is time to."""
        if self._ask_at <= self._loop.time():
            self._ask()
        else:
            self._asking = self._loop.call_at(self._ask_at, self._ask)

    def _ask(self) -> None:
        """Ask, and once more in a second, unless one has been coming since."""
        self.waiting = True
        if not self._came:
            for ssrc in self.ssrcs:
                self._line.ask_key_frame(ssrc)
        self._came = False
        self._ask_at = self._loop.time() + PERIOD_SECONDS
        self._asking = self._loop.call_at(self._ask_at, self._ask)

    def _pause(self) -> None:
        self.waiting = self._came = False
        self._key_frame = None
        if self._asking is not None:
            self._asking.cancel()

    def _refuse(self) -> None:
        if self._line.gate is not None:
            self._line.gate.drop("video")
