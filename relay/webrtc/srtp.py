"""SRTP without copies: one direction of a call's encryption, done by libsrtp in a buffer of ours.

pylibsrtp's documented way copies a packet three times. Its private parts are touched here: `_binding.lib` and `ffi`,
and `Session._srtp`; `works` looks at them once at start, and sends a packet both ways.
"""

import enum
from typing import Any, Final, cast

import pylibsrtp

HEADER_BYTES: Final = 12  # of RTP, without its options (RFC 3550 §5.1)
# The largest datagram a browser sends is under 1500 bytes: what is longer is cut, and dropped. asyncio would allocate
# 256 KiB for each.
DATAGRAM_BYTES: Final = 2048
# libsrtp appends at most this much to a packet (srtp.h: SRTP_MAX_TRAILER_LEN).
SRTP_TRAILER_BYTES: Final = 144
# libsrtp's word for a packet that came before, and for one so old that it cannot tell: 1024 behind the newest (srtp.h:
# srtp_err_status_replay_fail, srtp_err_status_replay_old).
REPEATED: Final = frozenset((9, 10))


class Taken(enum.IntEnum):
    """What became of a datagram that was to be opened."""

    KEYLESS = 0  # DTLS is not done
    REFUSED = 1  # a stranger's, broken, or one that came before
    OPENED = 2


KEYLESS, REFUSED, OPENED = Taken  # asked for with each packet, and twice as quick as through the class


class Srtp:
    """One direction of a call's SRTP (RFC 3711), in place: one copy in, one copy out, nothing else.

    All sessions share one buffer, because a packet is done with before the next is touched.
    """

    _ffi: Any = getattr(getattr(pylibsrtp, "_binding", None), "ffi", None)
    _lib: Any = getattr(getattr(pylibsrtp, "_binding", None), "lib", None)
    if _ffi is not None:
        _bytes = _ffi.new("char[]", DATAGRAM_BYTES + SRTP_TRAILER_BYTES)
        _view = _ffi.buffer(_bytes)
        _length = _ffi.new("int *")

    def __init__(self, session: pylibsrtp.Session) -> None:
        self.session = session  # owns the context
        self._context = cast(Any, session)._srtp[0]
        self._protect, self._unprotect = self._lib.srtp_protect, self._lib.srtp_unprotect
        self.repeated = False  # the datagram that was refused last came before

    def unprotect(self, datagram: bytes) -> bytes | None:
        """The RTP packet; None for one that is not this call's, or came before: `repeated` says which."""
        size = len(datagram)
        if size > DATAGRAM_BYTES:
            self.repeated = False
            return None
        self._length[0] = size
        self._view[0:size] = datagram
        if status := self._unprotect(self._context, self._bytes, self._length):
            self.repeated = status in REPEATED
            return None
        packet: bytes = self._view[0 : self._length[0]]
        return packet

    def protect(self, header: bytes, payload: bytes) -> bytes | None:
        """The datagram for a packet of a 12-byte header and its payload; None if libsrtp refuses."""
        size = HEADER_BYTES + len(payload)
        if size > DATAGRAM_BYTES:
            return None
        self._length[0] = size
        self._view[0:HEADER_BYTES] = header
        self._view[HEADER_BYTES:size] = payload
        if self._protect(self._context, self._bytes, self._length):
            return None
        datagram: bytes = self._view[0 : self._length[0]]
        return datagram


def works() -> bool:
    """A packet that we protect is one that the library's documented way opens, and the other way round."""
    try:
        key, packet = bytes(range(30)), bytes([0x80, 111, 0, 1, *bytes(8), *b"payload"])
        ways = (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        ours, theirs = ([pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=way)) for way in ways] for _ in "ab")
        sealed = Srtp(ours[0]).protect(packet[:HEADER_BYTES], packet[HEADER_BYTES:])
        opened = Srtp(ours[1]).unprotect(theirs[0].protect(packet))
        return sealed is not None and theirs[1].unprotect(sealed) == packet and opened == packet
    except Exception:  # whatever a changed library raises
        return False
