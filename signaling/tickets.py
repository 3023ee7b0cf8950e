"""Resume secrets: what lets a page back into its session after a reload, and lets it read what was said.

A secret is 256 bits of chance and is kept as its SHA-256 alone, so whoever reads our memory can open nothing. It
changes at every return. The one before stays good until the new one is used, or a connection made with it stands: an
answer that never arrived locks nobody out, and a secret that was stolen earlier opens nothing later.
"""

import hashlib
import hmac
import secrets
from typing import Final

SECRET_BYTES: Final = 32


class Ticket:
    """One session's. `peers` is how many connections of the browser have stood so far; it never falls."""

    def __init__(self) -> None:
        # What no secret has as its digest: there are always two to compare with, so that a comparison takes as long.
        self._current = self._next = secrets.token_bytes(SECRET_BYTES)
        self._peers: int | None = None  # as the next one was issued; None while there is no next one
        self.issued = False  # somebody has one

    def issue(self, peers: int = 0) -> str:
        """A new secret; an earlier new one that nobody has used is void."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._settle(peers)
        self._next, self._peers, self.issued = _digest(secret), peers, True
        return secret

    def admits(self, secret: str, peers: int = 0) -> bool:
        """Does it open this session? In the same time for any secret."""
        self._settle(peers)
        digest = _digest(secret)
        is_current = hmac.compare_digest(digest, self._current)
        is_next = hmac.compare_digest(digest, self._next)
        if is_next:
            self._promote()
        return is_current or is_next

    def _settle(self, peers: int) -> None:
        """A client that has connected since has the new one."""
        if self._peers is not None and peers > self._peers:
            self._promote()

    def _promote(self) -> None:
        self._current, self._peers = self._next, None


def bearer(authorization: str | None) -> str:
    """The secret in an `Authorization` header, empty if there is none."""
    scheme, _, secret = (authorization or "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


NOBODYS: Final = Ticket()
"""Opens nothing, in the time that any other takes."""
