"""What a resume secret opens: the way back into a living session, and the transcript of one that lives or is over.

Without the right secret a session looks as if it had never been there, whatever has become of it.
"""

import asyncio
import time
from typing import Final

from aiohttp import web

from relay.errors import BrowserFault
from relay.transcript import Transcript
from signaling.offers import Admitted
from signaling.registry import Entry, Registry
from signaling.shelf import Kept
from signaling.tickets import NOBODYS, bearer

RESUME: Final = "resume"  # the route's name
KINDS: Final = {"json": "application/json", "text": "text/plain", "vtt": "text/vtt"}


class Reentry:
    """The two routes. `admitted` tells whoever comes in what a client needs to know."""

    def __init__(self, registry: Registry, admitted: Admitted) -> None:
        self._registry = registry
        self._admitted = admitted

    def routes(self) -> list[web.RouteDef]:
        """Both need the secret as `Authorization: Bearer …`."""
        return [
            web.post("/sessions/{id}/resume", self.resume, name=RESUME),
            web.get("/sessions/{id}/transcript", self.transcript),
        ]

    async def resume(self, request: web.Request) -> web.Response:
        """Another secret, and what an offer with `restart_pc` needs; `pc_id` is null while there is no connection yet.

        The connection that there is serves until the new one stands; its own `pc_id` is good no more.

        ``unknown-peer`` for whoever has the right secret of a session that is over.
        """
        found = self._open(request)
        if isinstance(found, Kept):
            raise BrowserFault("unknown-peer")
        if found.call is not None and found.pc_id:
            self._registry.name(found, found.call.expect_newcomer())
        return web.json_response({**self._admitted(found), "pc_id": found.pc_id or None})

    async def transcript(self, request: web.Request) -> web.Response:
        """What was said until now, in the `format` that is asked for, else in what `Accept` names first, else JSON."""
        found = self._open(request)
        kind = _kind(request)
        told = found.transcript if isinstance(found, Kept) else _so_far(found)
        text = {"json": told.json, "text": told.text, "vtt": told.vtt}[kind]()
        return web.Response(body=text.encode("utf-8", "replace"), content_type=KINDS[kind], charset="utf-8")

    def _open(self, request: web.Request) -> Entry | Kept:
        """The session that the secret opens, living or over; ``unknown-session`` after the same work for all others."""
        id, secret = request.match_info["id"], bearer(request.headers.get("Authorization"))
        entry, kept = self._registry.known(id, asyncio.get_running_loop().time()), self._registry.shelf.find(id)
        peers = entry.call.connections if entry is not None and entry.call is not None else 0
        found = entry or kept
        ticket = found.ticket if found is not None else NOBODYS
        if not ticket.admits(secret, peers) or found is None:
            raise BrowserFault("unknown-session")
        return found


def _kind(request: web.Request) -> str:
    asked = request.query.get("format")
    if asked is None:
        accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")]
        return next((kind for one in accepted for kind, mime in KINDS.items() if one == mime), "json")
    if asked not in KINDS:
        raise BrowserFault("bad-request", "format", hint=f"The format is one of {', '.join(KINDS)}.")
    return asked


def _so_far(entry: Entry) -> Transcript:
    if entry.call is None:  # promised
        return Transcript(time.time(), 0.0, False, 0, entry.prior)
    return entry.call.transcript()
