"""The calls' HTTP: `/start`, offers, goodbye, as official SmallWebRTC clients use them.

A known session id in the path, or a known pc_id in the body, lets in by itself; everything else shows the token.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from aiohttp import web

from relay.config import Config
from relay.errors import BrowserFault, RelayError
from relay.prior import MAX_PRIOR_CHARACTERS, prior_turns
from relay.request import CallRequest, settings
from relay.turn_server import TurnServer
from signaling.admission import Admission
from signaling.registry import Entry, MakeCall, Registry
from signaling.tickets import bearer
from signaling.uploads import upload_url

MAX_BODY_BYTES: Final = 64 * 1024  # Chromium's gathered offer of four sections has 16 KiB
CHARACTER_BYTES: Final = 12  # of one in JSON at most: two escapes, as of an emoji where all is written in ASCII
MAX_START_BYTES: Final = MAX_BODY_BYTES + CHARACTER_BYTES * MAX_PRIOR_CHARACTERS  # whatever `prior` takes, and the rest
BODY_SECONDS: Final = 10.0  # for the whole body to arrive
CLOSE_SECONDS: Final = 1.0  # what a session's close may take
MAX_PC_ID_CHARS: Final = 128
TRANSPORTS: Final = ("webrtc", "smallwebrtc")

CLIENT_ADDRESS: Final = web.RequestKey("client_address", str)

Json = Mapping[str, Any]
Admitted = Callable[[Entry], dict[str, Any]]
"""what a client needs to know of the session that it was let into, a new resume secret among it"""
Maker = Callable[[CallRequest], Awaitable[MakeCall]]
"""what makes the call that is asked for; waits while the process is still warming up"""


@dataclass(frozen=True, slots=True)
class Offer:
    """The checked body of an offer."""

    sdp: str
    pc_id: str | None
    restart: bool
    request_data: Json = field(default_factory=dict)


class Offers:
    """The handlers of every route that begins, keeps or ends a call."""

    def __init__(self, registry: Registry, admission: Admission, maker: Maker, config: Config) -> None:
        self._registry = registry
        self._admission = admission
        self._maker = maker
        self._allow_body = config.allow_body
        self._ice_servers = config.ice_servers
        self._turn = TurnServer(config.turn, config.turn_secret) if config.turn_secret is not None else None

    def routes(self) -> list[web.RouteDef]:
        """The routes; the two kinds of offer differ in what lets the caller in."""
        return [
            web.post("/start", self.start),
            web.post("/api/offer", self.plain_offer),
            web.post("/sessions/{id}/api/offer", self.session_offer),
            web.delete("/sessions/{id}", self.goodbye),
        ]

    async def start(self, request: web.Request) -> web.Response:
        """Promise a session. Its id is a bearer: whoever has it may make the call."""
        self._admission.token(request.headers.get("Authorization"))
        told = await read_json(request, empty=True, most=MAX_START_BYTES)
        body, prior = check_start(told, self._allow_body), prior_turns(told)
        entry = self._promise(request)
        entry.body, entry.prior = body, prior
        return web.json_response(self.admitted(entry))

    def admitted(self, entry: Entry) -> dict[str, Any]:
        """What a client needs to know of its session, with a new resume secret."""
        peers = entry.call.connections if entry.call is not None else 0
        answer: dict[str, Any] = {
            "sessionId": entry.id,
            "fileUploadUrl": upload_url(entry.id),
            "resumeSecret": entry.ticket.issue(peers),
        }
        return answer | self.ice_config(entry)

    def ice_config(self, entry: Entry) -> dict[str, Any]:
        """The servers that a client may use, with a credential for the session's next ten minutes.

        Without servers nothing: clients stumble over a null, and an empty list would replace their own.
        """
        servers = [*self._ice_servers]
        if self._turn is not None:
            servers.append(self._turn.server(entry.id[:8], time.time()))
        return {"iceConfig": {"iceServers": [server.told() for server in servers]}} if servers else {}

    async def session_offer(self, request: web.Request) -> web.Response:
        """An offer for a promised or live session."""
        entry = self._registry.find(request.match_info["id"], _now())
        offer = check_offer(await read_json(request), self._allow_body)
        return await self._answer(entry, offer)

    async def plain_offer(self, request: web.Request) -> web.Response:
        """An offer without `/start`: a new session, or the one whose pc_id it names."""
        refusal = self._admission.token_refusal(request.headers.get("Authorization"))
        try:
            offer = check_offer(await read_json(request), self._allow_body)
        except RelayError as fault:
            raise refusal or fault from None
        if offer.pc_id is not None:
            return await self._answer(self._registry.find_pc(offer.pc_id), offer)
        if refusal is not None:
            raise refusal
        entry = self._promise(request)
        try:
            return await self._answer(entry, offer)
        except BaseException:
            self._registry.end(entry)  # nobody was told its id
            raise

    async def goodbye(self, request: web.Request) -> web.Response:
        """The client leaves: end its session now. What was said is forgotten if it shows the resume secret.

        The official clients know no secret, and end their calls by the id alone. An ended one is fine, the browser may
        have been seen to go.
        """
        id, secret = request.match_info["id"], bearer(request.headers.get("Authorization"))
        if (kept := self._registry.shelf.find(id)) is not None:
            if kept.ticket.admits(secret):
                self._registry.shelf.drop(id)
            return success()
        try:
            entry = self._registry.find(id, _now())
        except BrowserFault as fault:
            if fault.code != "unknown-peer":
                raise
        else:
            entry.forgotten |= entry.ticket.admits(secret, entry.call.connections if entry.call is not None else 0)
            await self._end(entry)
        return success()

    def _promise(self, request: web.Request) -> Entry:
        if refusal := self._registry.refusal(_now()):
            raise refusal  # for our sake: it uses up none of the caller's starts
        self._admission.start(request[CLIENT_ADDRESS], _now())
        return self._registry.reserve(_now())

    async def _answer(self, entry: Entry, offer: Offer) -> web.Response:
        async with entry.turn:
            if offer.pc_id is not None and offer.pc_id != entry.pc_id:
                raise BrowserFault("unknown-peer")
            call = entry.call
            if call is None:
                make = await self._maker(CallRequest(entry.body, offer.request_data, entry.prior))
                call = self._registry.open(entry, make, _now())
            try:
                answer = await call.answer(offer.sdp, pc_id=offer.pc_id, restart=offer.restart)
            except BaseException:
                if not entry.pc_id:  # a first offer that failed leaves nothing; a live call outlives a bad one
                    await self._end(entry)
                raise
            self._registry.name(entry, answer.pc_id)
        return web.json_response({"sdp": answer.sdp, "type": "answer", "pc_id": answer.pc_id})

    async def _end(self, entry: Entry) -> None:
        if entry.call is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(entry.call.close(), CLOSE_SECONDS)
        self._registry.end(entry)


async def read_json(request: web.Request, *, empty: bool = False, most: int = MAX_BODY_BYTES) -> Json:
    """The body as a JSON object: typed, bounded by its declared and its real length, and in time."""
    if empty and not request.body_exists:
        return {}
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise BrowserFault("bad-content-type")
    if (request.content_length or 0) > most:
        raise BrowserFault("body-too-large")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await request.clone(client_max_size=most).read()  # so much, whatever really comes
    except TimeoutError:
        raise BrowserFault("request-timeout") from None
    except web.RequestPayloadError:
        raise BrowserFault("bad-http") from None
    if empty and not raw.strip():
        return {}
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BrowserFault("bad-json") from None
    if not isinstance(body, dict):
        raise BrowserFault("bad-json", f"a {type(body).__name__}")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def check_start(body: Json, allow_body: Collection[str] = ()) -> Json:
    """The app's own data, which `/start` carries as `body`.

    No transport that is not ours is let in, and no setting of the owner's; one that is allowed belongs into `body`.
    """
    if body.get("transport", "webrtc") not in TRANSPORTS:
        raise malformed("transport")
    settings(body, ())
    data = _app_data(body, "body", allow_body)
    try:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise BrowserFault("bad-json") from None
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BODY_BYTES:  # the rest of the room is for what was said before
        raise BrowserFault("body-too-large")
    return data


def check_offer(body: Json, allow_body: Collection[str] = ()) -> Offer:
    """Only the form is checked here; the description itself is screened by the session."""
    sdp, restart = body.get("sdp"), body.get("restart_pc")
    if not isinstance(sdp, str) or not sdp:
        raise malformed("sdp")
    if not sdp.isascii():  # names in SDP may be UTF-8, but no browser's are, and half a surrogate is no text at all
        raise BrowserFault("bad-sdp", "not ASCII")
    if body.get("type") != "offer":
        raise malformed("type")
    if restart is not None and not isinstance(restart, bool):
        raise malformed("restart_pc")
    snake, camel = (_app_data(body, name, allow_body) for name in ("request_data", "requestData"))
    return Offer(sdp, check_pc_id(body), bool(restart), {**snake, **camel})


def _app_data(body: Json, name: str, allow_body: Collection[str]) -> Json:
    data = body.get(name)
    if data is not None and not isinstance(data, dict):
        raise malformed(name)
    settings(data or {}, allow_body)
    return data or {}


def check_pc_id(body: Json) -> str | None:
    """The peer connection's id, or None where the client has none yet."""
    pc_id = body.get("pc_id")
    if pc_id is not None and (not isinstance(pc_id, str) or len(pc_id) > MAX_PC_ID_CHARS):
        raise malformed("pc_id")
    return pc_id or None


def malformed(name: str) -> BrowserFault:
    return BrowserFault("bad-request", name, hint=f"The field {name} is missing or malformed.")


def success() -> web.Response:
    return web.json_response({"status": "success"})


def _now() -> float:
    return asyncio.get_running_loop().time()
