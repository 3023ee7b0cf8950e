"""libopus: decode straight to what the model hears, encode straight from what it says.

The model hears 16 kHz and speaks 24 kHz, and libopus works at both rates, so nothing is resampled. opuslib-next brings
the constants and the words for errors; the calls of every packet go to the same library by cffi, which costs half of
what ctypes does. The codec's state lies in memory that Python owns, so there is nothing to close. Calls cost 15–40 µs
and run in the event loop, one at a time: so all codecs share one buffer for what comes out, which stays in the
processor's cache.

Durations are in ticks of Opus's RTP clock (see `packet.py`).
"""

import ctypes.util
import functools
import importlib.util
import os
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
        lib, names = _lib(), _opuslib()
        self._opus_encode = lib.opus_encode
        self._state = _C.new("char[]", lib.opus_encoder_get_size(1))
        _check(lib.opus_encoder_init(self._state, ENCODED_RATE, 1, names.APPLICATION_AUDIO))
        for request, value in ((names.SET_BITRATE_REQUEST, bitrate), (names.SET_COMPLEXITY_REQUEST, complexity)):
            _check(lib.opus_encoder_ctl(self._state, request, _C.cast("int32_t", value)))
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


def version() -> str:
    """What libopus calls itself, for the log."""
    text: bytes = _opuslib().api.info.get_version_string()
    return text.decode("ascii", "replace")


def _check(code: int) -> None:
    if code < 0:
        raise OpusError(_reason(code))


def _reason(code: int) -> str:
    text: bytes = _opuslib().api.info.strerror(code)
    return text.decode("ascii", "replace")


def _lib() -> Any:
    """Our own handle on the library, for the calls of every packet."""
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
            lib = _C.dlopen(place)
            lib.opus_decode, lib.opus_encode  # noqa: B018 - looked up, so that another library of this name fails here
        except (OSError, AttributeError) as error:
            tried.append(f"{place}: {error}")
        else:
            return lib, _bind(place)
    raise OpusError("no libopus: " + ("; ".join(tried) or "PyAV has no wheel here and the system has none"))


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
