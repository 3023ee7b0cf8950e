"""libopus: decode straight to what the model hears, encode straight from what it says.

The model hears 16 kHz and speaks 24 kHz, and libopus works at both rates, so nothing is resampled. opuslib-next brings
the constants and the words for errors; the calls of every packet go to the same library past it, with raw addresses
and buffers made once, for a third of the time. The codec's state lies in memory that Python owns, so there is
nothing to close. Calls cost 20–40 µs and run in the event loop.

Durations are in ticks of Opus's RTP clock (see `packet.py`).
"""

import ctypes
import ctypes.util
import functools
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from relay.audio.packet import (
    CONCEAL_STEP_TICKS,
    DECODED_RATE,
    ENCODED_RATE,
    FRAME_BYTES,
    MAX_PACKET_TICKS,
    MAX_PAYLOAD_BYTES,
    TICKS_PER_SECOND,
)

# 64 kb/s CELT at complexity 0 sounds as good as VOIP 32 kb/s at complexity 9 (PESQ 4.3) for a sixth of the CPU.
BITRATE: Final = 64_000  # bit/s
COMPLEXITY: Final = 0

# One 20 ms packet that says "digital silence" (24 kHz, CELT). Encoding zeros costs 150–430 µs; sending this, nothing.
SILENCE: Final = b"\xd8\xff\xfe"

_QUIET: Final = bytes(FRAME_BYTES)


class OpusError(Exception):
    """libopus is not there, or refuses these bytes; after a refusal the codec goes on working."""


class Decoder:
    """One stream's packets → PCM16 mono at `DECODED_RATE`. Each method returns the sound of the duration it stands for.

    `decode` raises `OpusError` for bytes that are no Opus; the next packet decodes all the same.
    """

    def __init__(self) -> None:
        self._lib = lib = _lib()
        self._state = ctypes.create_string_buffer(lib.opus_decoder_get_size(1))
        self._address = ctypes.addressof(self._state)
        _check(lib, lib.opus_decoder_init(self._address, DECODED_RATE, 1))
        self._pcm = ctypes.create_string_buffer(2 * _samples(MAX_PACKET_TICKS))
        self._pcm_address = ctypes.addressof(self._pcm)

    def decode(self, payload: bytes) -> bytes:
        """The sound of one packet, up to 120 ms."""
        return self._run(payload, MAX_PACKET_TICKS, fec=0)

    def recover(self, following: bytes, ticks: int) -> bytes:
        """The last `ticks` before the packet `following`, from its in-band FEC; concealed if it has none or is broken.

        Decode `following` itself next.
        """
        try:
            return self._run(following, ticks, fec=1)
        except OpusError:
            return self.conceal(ticks)

    def conceal(self, ticks: int) -> bytes:
        """`ticks` that nothing is known about, continued from what was heard; a multiple of 2.5 ms up to 120 ms."""
        return self._run(None, ticks, fec=0)

    def reset(self) -> None:
        """Forget the stream: the next packet belongs to another one."""
        _check(self._lib, self._lib.opus_decoder_ctl(self._address, _opuslib().RESET_STATE))

    def _run(self, payload: bytes | None, ticks: int, fec: int) -> bytes:
        size = 0 if payload is None else len(payload)
        # No bytes would mean "conceal" to libopus, whoever sent them; its output must fit in our buffer.
        if payload is not None and not 0 < size <= MAX_PAYLOAD_BYTES:
            raise OpusError(f"a packet of {size} bytes")
        if not 0 < ticks <= MAX_PACKET_TICKS or ticks % CONCEAL_STEP_TICKS:
            raise OpusError(f"a packet of {ticks} ticks")
        count = self._lib.opus_decode(self._address, payload, size, self._pcm_address, _samples(ticks), fec)
        if count < 0:
            raise OpusError(_reason(count))
        return ctypes.string_at(self._pcm_address, 2 * count)


class Encoder:
    """PCM16 mono at `ENCODED_RATE` → packets of 20 ms.

    Zeros never reach libopus but for the first frame after a sound, which pushes out what the encoder still holds
    of it (6.5 ms); every further one is `SILENCE`.
    """

    def __init__(self, bitrate: int = BITRATE) -> None:
        self._lib = lib = _lib()
        self._state = ctypes.create_string_buffer(lib.opus_encoder_get_size(1))
        self._address = ctypes.addressof(self._state)
        names = _opuslib()
        _check(lib, lib.opus_encoder_init(self._address, ENCODED_RATE, 1, names.APPLICATION_AUDIO))
        for request, value in ((names.SET_BITRATE_REQUEST, bitrate), (names.SET_COMPLEXITY_REQUEST, COMPLEXITY)):
            _check(lib, lib.opus_encoder_ctl(self._address, request, ctypes.c_int32(value)))
        self._packet = ctypes.create_string_buffer(MAX_PAYLOAD_BYTES)
        self._packet_address = ctypes.addressof(self._packet)
        self._quiet = True

    def encode(self, pcm: bytes) -> bytes:
        """One frame of exactly `FRAME_BYTES`."""
        if len(pcm) != FRAME_BYTES:
            raise ValueError(f"a frame is {FRAME_BYTES} bytes, not {len(pcm)}")
        was_quiet, self._quiet = self._quiet, pcm == _QUIET
        if was_quiet and self._quiet:
            return SILENCE
        size = self._lib.opus_encode(self._address, pcm, FRAME_BYTES // 2, self._packet_address, MAX_PAYLOAD_BYTES)
        if size < 0:
            raise OpusError(_reason(size))
        return ctypes.string_at(self._packet_address, size)


def version() -> str:
    """What libopus calls itself, for the log."""
    text: bytes = _opuslib().api.info.get_version_string()
    return text.decode("ascii", "replace")


def _samples(ticks: int) -> int:
    return ticks * DECODED_RATE // TICKS_PER_SECOND


def _check(lib: ctypes.CDLL, code: int) -> None:
    if code < 0:
        raise OpusError(_reason(code))


def _reason(code: int) -> str:
    text: bytes = _opuslib().api.info.strerror(code)
    return text.decode("ascii", "replace")


def _lib() -> ctypes.CDLL:
    """Our own handle on the library, for the calls of every packet."""
    return _load()[0]


def _opuslib() -> Any:
    """opuslib-next, bound to the same library."""
    return _load()[1]


@functools.cache
def _load() -> tuple[ctypes.CDLL, Any]:
    """The first libopus that works; raises `OpusError` with every place tried."""
    tried: list[str] = []
    for place in _places():
        try:
            lib = ctypes.CDLL(place)
            _declare(lib)
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


def _declare(lib: ctypes.CDLL) -> None:
    """Say what each function takes. Addresses are plain integers; the ctl functions are variadic, so their
    third argument stays undeclared and is passed as a `c_int32`."""
    address, data, integer, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int32
    for name, arguments in {
        "opus_decoder_get_size": [integer],
        "opus_decoder_init": [address, size, integer],
        "opus_decoder_ctl": [address, integer],
        "opus_decode": [address, data, size, address, integer, integer],
        "opus_encoder_get_size": [integer],
        "opus_encoder_init": [address, size, integer, integer],
        "opus_encoder_ctl": [address, integer],
        "opus_encode": [address, data, integer, address, size],
    }.items():
        getattr(lib, name).argtypes = arguments
