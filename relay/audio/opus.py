"""libopus: decode straight to what the model hears, encode straight from what it says.

The model hears 16 kHz and speaks 24 kHz, and libopus works at both rates, so nothing is resampled. opuslib-next brings
the constants and the words for errors; the calls of every packet go to the library by cffi, which costs half of what
ctypes does. The first copy of libopus that is found decodes; where there are several, the quickest encodes. A codec's
state lies in memory that Python owns, so there is nothing to close. Calls cost 15–40 µs and run in the event loop, one
at a time: so all codecs share one buffer for what comes out, which stays in the processor's cache.

Durations are in ticks of Opus's RTP clock (see `packet.py`).
"""

import contextlib
import ctypes.util
import functools
import importlib.util
import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cffi

from relay.audio.packet import (
    CONCEAL_STEP_TICKS,
    DECODED_RATE,
    ENCODED_RATE,
    FRAME_BYTES,
    MAX_PACKET_TICKS,
    MAX_PAYLOAD_BYTES,
    TICKS_PER_SECOND,
)

# 64 kb/s CELT at complexity 0 sounds as good as VOIP 32 kb/s at complexity 10 (PESQ 4.2) for a seventh of the CPU.
BITRATE: Final = 64_000  # bit/s
COMPLEXITY: Final = 0

# One 20 ms packet that says "digital silence" (24 kHz, CELT). Encoding zeros costs 150–430 µs; sending this, nothing.
SILENCE: Final = b"\xd8\xff\xfe"

# libopus 1.6, as PyAV brings it, takes a fifth longer to encode the same sound than the 1.3 to 1.5 of most systems. So
# each copy encodes as many frames, as many times, and the quicker one is kept: 10 ms once.
TRIAL_FRAMES: Final = 20
TRIAL_PASSES: Final = 3

_QUIET: Final = bytes(FRAME_BYTES)


class OpusError(Exception):
    """libopus is not there, or refuses these bytes; after a refusal the codec goes on working."""


_C: Final = cffi.FFI()
_C.cdef("""
    int opus_decoder_get_size(int channels);
    int opus_decoder_init(void *state, int32_t rate, int channels);
    int opus_decoder_ctl(void *state, int request, ...);
    int opus_decode(void *state, const char *packet, int32_t bytes, void *pcm, int samples, int fec);
    int opus_encoder_get_size(int channels);
    int opus_encoder_init(void *state, int32_t rate, int channels, int application);
    int opus_encoder_ctl(void *state, int request, ...);
    int opus_encode(void *state, const char *pcm, int samples, void *packet, int32_t bytes);
    const char *opus_get_version_string(void);
""")
_MAX_SAMPLES: Final = MAX_PACKET_TICKS * DECODED_RATE // TICKS_PER_SECOND
_PCM: Final = _C.new("char[]", 2 * _MAX_SAMPLES)
_pcm: Final = _C.buffer(_PCM)
_PACKET: Final = _C.new("char[]", MAX_PAYLOAD_BYTES)
_packet: Final = _C.buffer(_PACKET)


class Decoder:
    """One stream's packets → PCM16 mono at `DECODED_RATE`. Each method returns the sound of the duration it stands for.

    `decode` raises `OpusError` for bytes that are no Opus; the next packet decodes all the same.
    """

    def __init__(self) -> None:
        lib = _lib()
        self._opus_decode = lib.opus_decode
        self._state = _C.new("char[]", lib.opus_decoder_get_size(1))
        _check(lib.opus_decoder_init(self._state, DECODED_RATE, 1))

    def decode(self, payload: bytes) -> bytes:
        """The sound of one packet, up to 120 ms."""
        size = len(payload)
        # No bytes would mean "conceal" to libopus, whoever sent them.
        if not 0 < size <= MAX_PAYLOAD_BYTES:
            raise OpusError(f"a packet of {size} bytes")
        count: int = self._opus_decode(self._state, payload, size, _PCM, _MAX_SAMPLES, 0)
        if count < 0:
            raise OpusError(_reason(count))
        pcm: bytes = _pcm[0 : 2 * count]
        return pcm

    def recover(self, following: bytes, ticks: int) -> bytes:
        """The last `ticks` before the packet `following`, from its in-band FEC; concealed if it has none or is broken.

        Decode `following` itself next.
        """
        if not 0 < len(following) <= MAX_PAYLOAD_BYTES:
            return self.conceal(ticks)
        try:
            return self._fill(following, len(following), ticks, fec=1)
        except OpusError:
            return self.conceal(ticks)

    def conceal(self, ticks: int) -> bytes:
        """`ticks` that nothing is known about, continued from what was heard; a multiple of 2.5 ms up to 120 ms."""
        return self._fill(_C.NULL, 0, ticks, fec=0)

    def reset(self) -> None:
        """Forget the stream: the next packet belongs to another one."""
        _check(_lib().opus_decoder_ctl(self._state, _opuslib().RESET_STATE))

    def _fill(self, payload: Any, size: int, ticks: int, fec: int) -> bytes:
        if not 0 < ticks <= MAX_PACKET_TICKS or ticks % CONCEAL_STEP_TICKS:
            raise OpusError(f"a hole of {ticks} ticks")
        count: int = self._opus_decode(self._state, payload, size, _PCM, ticks * DECODED_RATE // TICKS_PER_SECOND, fec)
        if count < 0:
            raise OpusError(_reason(count))
        pcm: bytes = _pcm[0 : 2 * count]
        return pcm


class Encoder:
    """PCM16 mono at `ENCODED_RATE` → packets of 20 ms.

    Zeros never reach libopus but for the first frame after a sound, which pushes out what the encoder still holds
    of it (6.5 ms); every further one is `SILENCE`.
    """

    def __init__(self, bitrate: int = BITRATE, complexity: int = COMPLEXITY) -> None:
        lib = _quickest()
        self._opus_encode = lib.opus_encode
        self._state = _encoder_state(lib, bitrate, complexity)
        self._quiet = True

    def encode(self, pcm: bytes) -> bytes:
        """One frame of exactly `FRAME_BYTES`."""
        if len(pcm) != FRAME_BYTES:
            raise ValueError(f"a frame is {FRAME_BYTES} bytes, not {len(pcm)}")
        was_quiet, self._quiet = self._quiet, pcm == _QUIET
        if was_quiet and self._quiet:
            return SILENCE
        size: int = self._opus_encode(self._state, pcm, FRAME_BYTES // 2, _PACKET, MAX_PAYLOAD_BYTES)
        if size < 0:
            raise OpusError(_reason(size))
        packet: bytes = _packet[0:size]
        return packet


def _encoder_state(lib: Any, bitrate: int, complexity: int) -> Any:
    state, names = _C.new("char[]", lib.opus_encoder_get_size(1)), _opuslib()
    _check(lib.opus_encoder_init(state, ENCODED_RATE, 1, names.APPLICATION_AUDIO))
    for request, value in ((names.SET_BITRATE_REQUEST, bitrate), (names.SET_COMPLEXITY_REQUEST, complexity)):
        _check(lib.opus_encoder_ctl(state, request, _C.cast("int32_t", value)))
    return state


def version() -> str:
    """What libopus calls itself, for the log: the one that decodes, and the one that encodes if it is another."""
    return " and ".join(
        dict.fromkeys(_C.string(lib.opus_get_version_string()).decode() for lib in (_lib(), _quickest()))
    )


def _check(code: int) -> None:
    if code < 0:
        raise OpusError(_reason(code))


def _reason(code: int) -> str:
    text: bytes = _opuslib().api.info.strerror(code)
    return text.decode("ascii", "replace")


def _lib() -> Any:
    """Our own handle on the library that decodes, for the calls of every packet."""
    return _load()[0]


def _opuslib() -> Any:
    """opuslib-next, bound to the same library."""
    return _load()[1]


@functools.cache
def _load() -> tuple[Any, Any]:
    """The first libopus that works; raises `OpusError` with every place tried."""
    tried: list[str] = []
    for place in _places():
        try:
            return _open(place), _bind(place)
        except (OSError, AttributeError) as error:
            tried.append(f"{place}: {error}")
    raise OpusError("no libopus: " + ("; ".join(tried) or "PyAV has no wheel here and the system has none"))


def _open(place: str) -> Any:
    """A libopus; raises `OSError` or `AttributeError` where there is none, or another library of this name."""
    lib = _C.dlopen(place)
    lib.opus_decode, lib.opus_encode, lib.opus_get_version_string  # noqa: B018 - looked up, so that they are there
    return lib


@functools.cache
def _quickest() -> Any:
    """The library that encodes: the operator's, or the quickest of all that are found."""
    if "OPUS_LIB" in os.environ:
        return _lib()
    found = []
    for place in _places():
        with contextlib.suppress(OSError, AttributeError):
            found.append(_open(place))
    return min(found, key=_trial) if len(found) > 1 else _lib()


def _trial(lib: Any) -> float:
    """Seconds that the library takes for a few frames of noise, at its best."""
    noise = random.Random(0).randbytes(FRAME_BYTES * TRIAL_FRAMES)
    frames = [noise[at : at + FRAME_BYTES] for at in range(0, len(noise), FRAME_BYTES)]
    state = _encoder_state(lib, BITRATE, COMPLEXITY)
    best = math.inf
    for _ in range(TRIAL_PASSES):
        began = time.perf_counter()
        for frame in frames:
            lib.opus_encode(state, frame, FRAME_BYTES // 2, _PACKET, MAX_PAYLOAD_BYTES)
        best = min(best, time.perf_counter() - began)
    return best


def _bind(place: str) -> Any:
    """opuslib-next asks ctypes for libopus once, when it is imported; for that moment ctypes knows only ours."""
    find = ctypes.util.find_library
    ctypes.util.find_library = lambda name: place if name == "opus" else find(name)
    try:
        import opuslib_next.api.info
    finally:
        ctypes.util.find_library = find
    return opuslib_next


def _places() -> Iterator[str]:
    """Where libopus may lie: $OPUS_LIB, PyAV's wheel (a dependency of aiortc, so nearly always), the system."""
    if chosen := os.environ.get("OPUS_LIB"):
        yield chosen
    found = importlib.util.find_spec("av")
    if found is not None and found.origin is not None:
        av = Path(found.origin).parent
        for folder, pattern in ((av.with_name("av.libs"), "libopus*"), (av / ".dylibs", "libopus*.dylib")):
            yield from map(str, sorted(folder.glob(pattern)))
    if system := ctypes.util.find_library("opus"):
        yield system
