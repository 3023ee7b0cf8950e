"""The way in for a phone: the relay's address, its token in the fragment, as a QR code for the terminal and the page.

The code holds the token, so only those who have shown it are given the code.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import segno
from aiohttp import web

from relay.config import Config, is_loopback
from relay.errors import BrowserFault
from signaling.admission import Admission, authority, bracketed
from signaling.https import Https, secure_url

QUIET: Final = 4  # light modules around it (ISO/IEC 18004 §6.3.8): without them cameras overlook it
LEVEL: Final = "m"  # repairs 15 % of it: glare on a screen
_HALVES: Final = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
_WHITE_ON_BLACK, _PLAIN = "\x1b[97;40m", "\x1b[0m"

Modules = tuple[tuple[bool, ...], ...]
"""rows of a QR code with the light ones around it; True is dark"""


@dataclass(frozen=True, slots=True)
class Invitation:
    """One address to be passed on."""

    url: str = field(repr=False)  # with the token
    local: bool  # does it lead nowhere but in the same network?
    fingerprint: str = ""  # of a certificate that browsers warn of

    def told(self) -> dict[str, Any]:
        """For the page. The code is the `d` of an SVG path in a square of `size`, each dark module one by one."""
        rows = modules(self.url)
        code = {"size": len(rows), "path": path(rows)}
        return {"url": self.url, "local": self.local, "fingerprint": self.fingerprint, "code": code}


def fragment(config: Config) -> str:
    """What follows an address: the token where there is one, in the fragment, which browsers send to nobody."""
    return f"/#token={config.access_token.reveal()}" if config.access_token is not None else ""


def modules(text: str) -> Modules:
    """The QR code of a text."""
    matrix = segno.make_qr(text, error=LEVEL).matrix_iter(border=QUIET)
    return tuple(tuple(bool(module) for module in row) for row in matrix)


def path(rows: Modules) -> str:
    """Each run of dark modules as a rectangle."""
    drawn: list[str] = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            width = next((more for more, dark in enumerate(row[x:]) if not dark), len(row) - x)
            if width:
                drawn.append(f"M{x} {y}h{width}v1h-{width}z")
            x += width + 1
    return "".join(drawn)


def in_terminal(rows: Modules, *, colours: bool) -> str:
    """Two rows in each line, in half blocks: the light modules are drawn, because most terminals are dark.

    With `colours` light is white and dark is black, whatever the terminal's own are.
    """
    lines = []
    for y in range(0, len(rows), 2):
        below = rows[y + 1] if y + 1 < len(rows) else (True,) * len(rows[y])
        line = "".join(_HALVES[not upper, not lower] for upper, lower in zip(rows[y], below, strict=True))
        lines.append(f"{_WHITE_ON_BLACK}{line}{_PLAIN}" if colours else line)
    return "\n".join(lines)


def in_words(https: Https, link: str, *, colours: bool) -> str:
    """What the terminal shows below the address: its code, the fingerprint, the other addresses."""
    said = []
    if not https.addresses:
        said.append("This machine is in no network, so no phone reaches it; once it is in one, its address is printed.")
    elif not is_loopback(https.name):
        said.append(in_terminal(modules(link), colours=colours))
    if https.identity.self_signed:
        said.append(
            "Nobody but this relay vouches for its certificate, so a browser warns of it once. SHA-256 fingerprint:\n"
            + https.identity.fingerprint
        )
    if others := https.others:
        said.append("Other networks reach it at " + ", ".join(others))
    return "\n".join(said)


class Invitations:
    """The one route: the invitation, for those who have the token."""

    def __init__(self, admission: Admission, config: Config, https: Https | None) -> None:
        self._admission = admission
        self._config = config
        self._https = https

    def routes(self) -> list[web.RouteDef]:
        """Beside the page."""
        return [web.get("/invitation", self.invitation)]

    async def invitation(self, request: web.Request) -> web.Response:
        """``not-found`` where phones find no secure way in."""
        self._admission.token(request.headers.get("Authorization"))
        url, fingerprint = secure_url(self._config, self._https), ""
        local = url != self._config.public_url
        if not url:
            raise BrowserFault("not-found")
        if local and self._https is not None:
            name, _ = authority(request.headers.get("Host", ""))
            url = url if is_loopback(name) else self._https.at(bracketed(name))  # by this name it is known to work
            fingerprint = self._https.identity.fingerprint if self._https.identity.self_signed else ""
        return web.json_response(Invitation(f"{url}{fragment(self._config)}", local, fingerprint).told())
