"""Credentials of a TURN server that are good for ten minutes, made from a secret that it shares with us.

The scheme is that of draft-uberti-behave-turn-rest-00 §2.2, which coturn calls `use-auth-secret`: the user's name is
the time at which it ends, the password the name's HMAC. The server keeps no list of users, and what a browser was given
soon opens nothing any more; an allocation that stands is refreshed beyond that time.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from relay.ice import IceServer, by_each_transport
from relay.values import Secret

CREDENTIAL_SECONDS: Final = 600  # from a credential's making to its end; a browser uses it within seconds


@dataclass(frozen=True, slots=True)
class TurnServer:
    """TURN servers, by the URLs that `--turn` gives, that know `secret`."""

    given: tuple[str, ...]
    secret: Secret

    @property
    def urls(self) -> tuple[str, ...]:
        """Each server by each way to it."""
        return tuple(way for url in self.given for way in by_each_transport(url))

    def server(self, name: str, now: float) -> IceServer:
        """The servers with a new credential. `now` is Unix time in seconds; the server's log may show `name`."""
        username = f"{int(now) + CREDENTIAL_SECONDS}:{name}"
        digest = hmac.new(self.secret.reveal().encode(), username.encode(), hashlib.sha1).digest()
        return IceServer(self.urls, username, Secret(base64.b64encode(digest).decode()))
