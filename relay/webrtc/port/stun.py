"""The messages of connectivity checks: read what came, write what is asked and answered (RFC 8489, RFC 8445 §16).

Pure. Only what ICE uses is read; whatever is no binding message of RFC 8489 is None. Everything is signed with a
short-term credential (§9.1) and ends in a fingerprint (§14.7); what is not is not read.
"""

import hmac
import ipaddress
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HEADER_BYTES: Final = 20  # §5
COOKIE: Final = 0x2112A442
REQUEST, SUCCESS, ERROR = 0x0001, 0x0101, 0x0111  # of the method Binding
ROLE_CONFLICT: Final = 487  # RFC 8445 §7.3.1.1
# A user name is two fragments of 4 to 256 characters (RFC 8839 §5.4) and a colon; beside it there is little more.
MAX_MESSAGE_BYTES: Final = 1024

_HEADER: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
_USERNAME, _INTEGRITY, _ERROR_CODE, _MAPPED = 0x0006, 0x0008, 0x0009, 0x0020
_PRIORITY, _USE_CANDIDATE, _FINGERPRINT, _CONTROLLED, _CONTROLLING = 0x0024, 0x0025, 0x8028, 0x8029, 0x802A
_INTEGRITY_BYTES, _FINGERPRINT_BYTES = 24, 8  # with their headers
_FINGERPRINT_XOR: Final = 0x5354554E


@dataclass(frozen=True, slots=True)
class Message:
    """One binding message, not yet trusted: see `signed_with`."""

    kind: int  # REQUEST, SUCCESS or ERROR
    transaction: bytes  # 12 of them
    size: int  # bytes on the wire
    user: str = ""  # the receiver's fragment, a colon, the sender's
    priority: int = 0
    nominates: bool = False  # USE-CANDIDATE
    controlled: bool = False  # the sender believes that it obeys
    _covered: bytes = b""
    _signature: bytes = b""

    def signed_with(self, password: bytes) -> bool:
        """Its author knows the password; compared in constant time."""
        ours = hmac.digest(password, _sized(self._covered, _INTEGRITY_BYTES), "sha1")
        return hmac.compare_digest(ours, self._signature)


def user_of(data: bytes) -> str:
    """The user name of a request, of which nothing else is checked; empty if there is none: cheap, for everybody sends.

    >>> user_of(bytes(28))
    ''
    """
    if HEADER_BYTES <= len(data) <= MAX_MESSAGE_BYTES and data[:2] == b"\0\1":
        for kind, value, _ in _attributes(data):
            if kind == _USERNAME:
                return _text(value)
    return ""


def read(data: bytes) -> Message | None:
    """A signed binding message with a right fingerprint, or None."""
    size = len(data)
    if not HEADER_BYTES <= size <= MAX_MESSAGE_BYTES:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind not in (REQUEST, SUCCESS, ERROR) or length + HEADER_BYTES != size or length % 4 or cookie != COOKIE:
        return None
    if data[-_FINGERPRINT_BYTES:] != _fingerprint(data[:-_FINGERPRINT_BYTES], 0):
        return None
    found: dict[int, bytes] = {}
    covered = b""
    for which, value, start in _attributes(data):
        if which == _INTEGRITY and len(value) == _INTEGRITY_BYTES - 4:
            covered = data[:start]
            found[which] = value
            break  # §14.5: what follows is not covered by it
        found.setdefault(which, value)  # §14: of two the first counts
    priority = found.get(_PRIORITY, b"")
    if not covered:
        return None
    return Message(
        kind, transaction, size,
        user=_text(found.get(_USERNAME, b"")),
        priority=int.from_bytes(priority) if len(priority) == 4 else 0,
        nominates=_USE_CANDIDATE in found,
        controlled=_CONTROLLED in found,
        _covered=covered, _signature=found[_INTEGRITY],
    )  # fmt: skip


def request(transaction: bytes, user: str, priority: int, tie_breaker: bytes, password: bytes) -> bytes:
    """A check of ours, from the controlled side; `tie_breaker` is 8 bytes."""
    body = _attribute(_USERNAME, user.encode()) + _attribute(_PRIORITY, priority.to_bytes(4))
    return _signed(REQUEST, transaction, body + _attribute(_CONTROLLED, tie_breaker), password)


def success(transaction: bytes, address: tuple[str, int], password: bytes) -> bytes:
    """The answer to a request that came from `address`."""
    host = ipaddress.ip_address(address[0].partition("%")[0])
    key = struct.pack("!I", COOKIE) + transaction
    port = address[1] ^ COOKIE >> 16
    hidden = bytes(a ^ b for a, b in zip(host.packed, key, strict=False))
    value = struct.pack("!BBH", 0, 1 if host.version == 4 else 2, port) + hidden
    return _signed(SUCCESS, transaction, _attribute(_MAPPED, value), password)


def refusal(transaction: bytes, code: int, password: bytes) -> bytes:
    """The answer to a request that cannot be granted (§14.8); its phrase is left empty, for nobody reads it."""
    return _signed(
        ERROR, transaction, _attribute(_ERROR_CODE, struct.pack("!HBB", 0, code // 100, code % 100)), password
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Type, value, and where it begins, of each attribute that is whole (§14)."""
    at = HEADER_BYTES
    while at + 4 <= len(data):
        kind, length = _ATTRIBUTE.unpack_from(data, at)
        if at + 4 + length > len(data):
            return
        yield kind, data[at + 4 : at + 4 + length], at
        at += 4 + length + -length % 4


def _text(value: bytes) -> str:
    return value.decode("ascii") if value.isascii() else ""


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _sized(data: bytes, more: int) -> bytes:
    """As if `more` bytes followed: both checks are made over such a header (§14.5, §14.7)."""
    return data[:2] + struct.pack("!H", len(data) - HEADER_BYTES + more) + data[4:]


def _signed(kind: int, transaction: bytes, body: bytes, password: bytes) -> bytes:
    data = _sized(_HEADER.pack(kind, 0, COOKIE, transaction) + body, _INTEGRITY_BYTES)
    data += _attribute(_INTEGRITY, hmac.digest(password, data, "sha1"))
    return _sized(data, _FINGERPRINT_BYTES) + _fingerprint(data, _FINGERPRINT_BYTES)


def _fingerprint(data: bytes, more: int) -> bytes:
    """The attribute, over what comes before it; `more` is what its header does not count yet."""
    if more:
        data = _sized(data, more)
    return _attribute(_FINGERPRINT, struct.pack("!I", zlib.crc32(data) ^ _FINGERPRINT_XOR))
