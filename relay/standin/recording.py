"""A recording, in whatever file it came → 16 kHz sound, in pieces that are short enough to be recognised."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from relay.standin import ears, voice, wire
from relay.standin.listening import LEAD, STILL_VOICE, WINDOW_BYTES, WINDOW_MS

RATE: Final = ears.RATE  # Hz, of the sound that we give
MAX_S: Final = 600.0  # of one recording; the rest is not listened to
PIECE_S: Final = 10.0  # what the recogniser hears at once: twice as much takes four times the memory
LEAST_PIECE_S: Final = 5.0
PAUSE: Final = 600 // WINDOW_MS  # windows without a voice that part what is written down by itself
_RAW: Final = re.compile(r"audio/(?:pcm|l16)(?:\s*;\s*rate=(\d{4,6}))?(?:\s*;.*)?")


class Unreadable(Exception):
    """There is no sound in it, or in a way that we do not know."""


def sound(mime: str, data: bytes) -> bytes:
    """PCM16 at 16 kHz, mono. Computes; call it in a thread. Raises `Unreadable`."""
    if raw := _RAW.fullmatch(mime.lower()):
        rate = int(raw[1] or RATE)
        if rate not in wire.INPUT_RATES:
            raise Unreadable(f"a rate of {rate}")
        return voice.resample(data[: int(MAX_S * rate) * 2 & ~1], rate, RATE)
    import av

    most = int(MAX_S * RATE) * 2
    out = bytearray()
    try:
        with av.open(io.BytesIO(data), "r") as file:
            fitted = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in file.decode(audio=0):
                for part in fitted.resample(frame):
                    out += bytes(part.planes[0])[: 2 * part.samples]
                if len(out) >= most:
                    break
            else:
                for part in fitted.resample(None):
                    out += bytes(part.planes[0])[: 2 * part.samples]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Unreadable(type(error).__name__) from None
    return bytes(out[:most])


class Watch:
    """Where somebody speaks in sound that comes bit by bit: `voiced` says it of each window."""

    def __init__(self, probability: Callable[[bytes], float]) -> None:
        self.voiced: list[bool] = []
        self._probability = probability
        self._rest = b""

    def hear(self, pcm: bytes) -> None:
        """Takes 16 kHz samples, at the cost of half a millisecond for each window of them at most."""
        data = self._rest + pcm
        whole = len(data) - len(data) % WINDOW_BYTES
        self._rest = data[whole:]
        for at in range(0, whole, WINDOW_BYTES):
            self.voiced.append(self._probability(data[at : at + WINDOW_BYTES]) >= STILL_VOICE)


def pieces(pcm: bytes, voiced: Sequence[bool] = ()) -> Iterator[bytes]:
    """The same sound in pieces of at most `PIECE_S`, without the long pauses if it is known where somebody speaks.

    The recogniser loses a word that stands alone in a long silence, and what was said before one.
    """
    for stretch in _stretches(pcm, voiced) if any(voiced) else (pcm,):
        yield from _cut(stretch)


def _stretches(pcm: bytes, voiced: Sequence[bool]) -> Iterator[bytes]:
    """Somebody speaks, with a little silence around it."""
    spoken = [n for n, somebody in enumerate(voiced) if somebody]
    begins = last = spoken[0]
    for n in [*spoken[1:], None]:
        if n is not None and n - last <= PAUSE:
            last = n
            continue
        yield pcm[max(0, begins - LEAD) * WINDOW_BYTES : (last + 1 + LEAD) * WINDOW_BYTES]
        if n is not None:
            begins = last = n


def _cut(pcm: bytes) -> Iterator[bytes]:
    """The same sound in pieces, cut where it is quietest."""
    frame = ears.FRAME_BYTES
    while len(pcm) > PIECE_S * RATE * 2:
        least, most = (int(s * 1000 / ears.FRAME_MS) for s in (LEAST_PIECE_S, PIECE_S))
        loud = ears.levels(pcm[least * frame : most * frame], RATE)
        # the middle of the quietest 100 ms
        calm = min(range(len(loud) - 4), key=lambda at: max(loud[at : at + 5]))
        cut = (least + calm + 2) * frame
        yield pcm[:cut]
        pcm = pcm[cut:]
    yield pcm
