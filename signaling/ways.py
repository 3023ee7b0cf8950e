"""What a browser asks on its way to a call: which servers may help it, here is where I am, and why do we not connect?

A known session id in the path, or a known pc_id in the body, lets in by itself; everything else shows the token.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

from relay.errors import BrowserFault, RelayError
from relay.webrtc.candidates import MAX_CANDIDATES
from signaling.admission import Admission
from signaling.offers import Json, Offers, check_pc_id, malformed, read_json, success
from signaling.registry import Entry, Registry

CONNECTED: Final = {"code": "connected"}


class Ways:
    """The handlers of these routes."""

    def __init__(self, registry: Registry, admission: Admission, offers: Offers) -> None:
        self._registry = registry
        self._admission = admission
        self._offers = offers

    def routes(self) -> list[web.RouteDef]:
        """The routes; the two for candidates differ in what lets the caller in."""
        return [
            web.get("/sessions/{id}/ice", self.ice),
            web.get("/sessions/{id}/trouble", self.trouble),
            web.patch("/api/offer", self.plain_candidates),
            web.patch("/sessions/{id}/api/offer", self.session_candidates),
        ]

    async def ice(self, request: web.Request) -> web.Response:
        """`iceConfig` as `/start` tells it, with a credential that is good anew; an empty object without servers."""
        return web.json_response(self._offers.ice_config(self._entry(request)))

    async def trouble(self, request: web.Request) -> web.Response:
        """Why there is no connection, as an error is told, or `connected`."""
        call = self._entry(request).call
        trouble = call.trouble() if call is not None else None
        return web.json_response(trouble.told() if trouble is not None else CONNECTED)

    async def session_candidates(self, request: web.Request) -> web.Response:
        """Trickled candidates. Unless we send first they are acknowledged and ignored: the browser finds us."""
        entry = self._entry(request)
        body = await read_json(request)
        pc_id = check_pc_id(body)
        if pc_id is not None and pc_id != entry.pc_id:
            raise BrowserFault("unknown-peer")
        return await _take(entry, body)

    async def plain_candidates(self, request: web.Request) -> web.Response:
        """The same without a session id: the pc_id is what lets in."""
        refusal = self._admission.token_refusal(request.headers.get("Authorization"))
        try:
            body = await read_json(request)
            pc_id = check_pc_id(body)
            if pc_id is None:
                raise malformed("pc_id")
        except RelayError as fault:
            raise refusal or fault from None
        return await _take(self._registry.find_pc(pc_id), body)

    def _entry(self, request: web.Request) -> Entry:
        return self._registry.find(request.match_info["id"], asyncio.get_running_loop().time())


async def _take(entry: Entry, body: Json) -> web.Response:
    if entry.call is not None:
        await entry.call.meet(check_candidates(body))
    return success()


def check_candidates(body: Json) -> list[str]:
    """What is a text in the list of candidates; an end of them is no candidate, and the rest is nobody's business."""
    candidates: Any = body.get("candidates")
    listed = candidates[:MAX_CANDIDATES] if isinstance(candidates, list) else []
    texts = [one.get("candidate") for one in listed if isinstance(one, dict)]
    return [text for text in texts if isinstance(text, str) and text]
