"""The way that a call's packets take: which pair of addresses was chosen, and how far a call came that has none."""

from dataclasses import dataclass
from typing import Any

from relay.errors import BrowserFault
from relay.webrtc import tame


@dataclass(frozen=True, slots=True)
class End:
    """One end of a path. `type` is ICE's: host, srflx, prflx (known from its packets), relay (a TURN server's)."""

    type: str
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.type} {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Path:
    """The chosen candidate pair: our end, and the browser's as we see it."""

    ours: End
    browsers: End

    def __str__(self) -> str:
        return f"{self.ours} - {self.browsers}"


def chosen(connection: Any) -> Path | None:
    """The path of an ICE connection, aioice's or one like it; None while there is none."""
    pair = tame.nominated(connection)
    if pair is None:
        return None
    ours, browsers = pair.local_candidate, pair.remote_candidate
    return Path(End(ours.type, ours.host, ours.port), End(browsers.type, *pair.remote_addr[:2]))


def trouble(connection: Any, dtls: str) -> BrowserFault:
    """Why an ICE connection with this state of DTLS above carries no call, as far as it has come until now."""
    path, heard = chosen(connection), tame.datagrams(connection)
    told = ", ".join(str(End(one.type, one.host, one.port)) for one in connection.local_candidates) or "no address"
    if path is not None:
        return BrowserFault("dtls-failed", f"the path is {path}, DTLS is {dtls}")
    if heard is None:
        return BrowserFault("connect-timeout", f"the browser was told {told}")
    if heard == 0:
        return BrowserFault("no-packet", f"the browser was told {told}")
    return BrowserFault("checks-failed", f"{heard} packets came, the browser was told {told}")
