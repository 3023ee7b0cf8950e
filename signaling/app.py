"""The route table and what every request passes: errors in words, then host and origin, then the route."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay.config import Config, is_loopback
from relay.errors import BrowserFault, OurBug, RelayError
from signaling import pages
from signaling.admission import Admission, Policy
from signaling.connections import Connections, fault_of, head_arrived, told
from signaling.health import Health, Speaker
from signaling.https import Https, redirect, secure_url
from signaling.invitation import Invitations
from signaling.offers import CLIENT_ADDRESS, MAX_BODY_BYTES, Maker, Offers
from signaling.reentry import RESUME, Reentry
from signaling.registry import Registry
from signaling.uploads import UPLOAD, Uploads
from signaling.ways import Ways

CORS_METHODS: Final = "POST, PATCH, DELETE"
CORS_HEADERS: Final = ("content-type", "authorization")  # and what the app asks for
CORS_SECONDS: Final = 600  # how long a browser may remember the answer
MAX_CORS_HEADERS_CHARS: Final = 1000
CLOSE_SECONDS: Final = 1.0  # for each call, all at once
TLS_SECONDS: Final = 10.0  # for a handshake; a goodbye gets CLOSE_SECONDS
BACKLOG: Final = 128  # connections the kernel holds while the loop is busy

Refused = Callable[[str], None]
"""called with the code of each refused request for a call"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the application is made of."""

    config: Config
    maker: Maker
    registry: Registry
    speaker: Speaker
    refused: Refused = lambda code: None
    https: Https | None = None  # None: HTTP alone
    checks: Callable[[], Mapping[str, str]] = dict
    page: Path | None = None  # None: the page that ships with the relay


def build(house: House, admission: Admission) -> web.Application:
    """The whole application."""
    config = house.config
    app = guarded(admission, house.refused)
    name = config.gemini_model if config.model == "gemini" else "stand-in"
    offers = Offers(house.registry, admission, house.maker, config)
    secure = partial(secure_url, config, house.https)
    health = Health(config.speaker, name, house.registry, house.speaker, secure, house.checks)
    app.add_routes(
        [
            web.get("/healthz", health.healthz),
            web.get("/readyz", health.readyz),
            web.get("/status", health.status),
            *offers.routes(),
            *Ways(house.registry, admission, offers).routes(),
            *Reentry(house.registry, offers.admitted).routes(),
            *Uploads(house.registry).routes(),
            *Invitations(admission, config, house.https).routes(),
            *pages.Pages(house.page or pages.root()).routes(),
        ]
    )
    return app


def guarded(admission: Admission, refused: Refused = lambda code: None) -> web.Application:
    """An application without routes, whose every request is checked and whose every error is told in words."""
    tell = _telling(refused)
    app = web.Application(middlewares=[tell, _gate(admission, tell)], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(pages.add_headers)
    return app


def doorkeeper(config: Config, https: Https | None = None) -> Admission:
    """Admission by the owner's configuration."""
    return Admission(
        Policy(
            host=config.host,
            public_url=config.public_url,
            allow_origins=frozenset(config.allow_origins),
            access_token=config.access_token,
            trusted_proxies=config.trusted_proxies,
            names=(lambda: https.names) if https is not None else frozenset,
            secure=https is not None,
        )
    )


@contextlib.asynccontextmanager
async def serving(
    house: House, sockets: Sequence[socket.socket], secure: Sequence[socket.socket] = ()
) -> AsyncIterator[None]:
    """Serve on listening `sockets` while the block runs; afterwards every call is closed and every connection.

    With HTTPS the `secure` ones are served, and `sockets` lead there.
    """
    admission = doorkeeper(house.config, house.https)
    async with contextlib.AsyncExitStack() as stack:
        app = build(house, admission)
        if house.https is None:
            servers = await stack.enter_async_context(site(app, admission, sockets))
        else:
            servers = await stack.enter_async_context(site(leading(admission, house.https), admission, sockets))
            servers += await stack.enter_async_context(site(app, admission, secure, house.https.identity.context))
        try:
            yield
        finally:
            for server in servers:
                server.close()
            await close_calls(house.registry)


def leading(admission: Admission, https: Https) -> web.Application:
    """What the plain port serves: nothing but the way to HTTPS."""
    app = guarded(admission)
    app.add_routes([web.get("/{path:.*}", redirect(https))])
    return app


@contextlib.asynccontextmanager
async def site(
    app: web.Application, admission: Admission, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[asyncio.Server]]:
    """Serve `app` on listening `sockets` while the block runs; afterwards every connection is closed."""
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    doors = Connections(runner.server, lambda address: is_loopback(address) or admission.trusts(address))
    loop = asyncio.get_running_loop()
    handshake, goodbye = (TLS_SECONDS, CLOSE_SECONDS) if tls is not None else (None, None)
    servers = [
        await loop.create_server(
            doors, sock=sock, backlog=BACKLOG, ssl=tls, ssl_handshake_timeout=handshake, ssl_shutdown_timeout=goodbye
        )
        for sock in sockets
    ]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()
        await runner.server.shutdown(CLOSE_SECONDS)
        await runner.cleanup()


async def close_calls(registry: Registry) -> None:
    """Close every live call, all at once, each within `CLOSE_SECONDS`; nobody comes in any more."""
    why = BrowserFault("closing")
    closing = [asyncio.create_task(call.close(why), name="closing a call") for call in registry.close()]
    registry.shelf.close()
    if not closing:
        return
    _, late = await asyncio.wait(closing, timeout=CLOSE_SECONDS)
    for task in late:
        task.cancel()
    for outcome in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.error("a call did not close", exc_info=outcome)


def _telling(refused: Refused) -> Middleware:
    """Every error, the framework's own too, is JSON with a code and a sentence."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        head_arrived(request.protocol)
        allowed = ""
        try:
            return await handler(request)
        except RelayError as error:
            fault = error
            log.log(fault.fault.level, "refused %s: %s %r", request.method, fault.code, fault.detail[:200])
        except web.HTTPException as error:
            fault = fault_of(error)
            allowed = error.headers.get("Allow", "")
        except Exception:
            log.exception("%s failed", request.match_info.route.method)
            fault = OurBug()
        route = request.match_info.route
        if (
            request.method == "POST"
            and request.match_info.http_exception is None
            and route.name not in (UPLOAD, RESUME)
        ):
            refused(fault.code)  # whatever else can be posted is a call's
        response = told(fault)
        if allowed:
            response.headers["Allow"] = allowed
        return response

    return tell


def _gate(admission: Admission, tell: Middleware) -> Middleware:
    """Host and origin are checked before anything else, static files and errors included."""

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host")
        # two Hosts or Origins are somebody's trick: which one counts would be a matter of taste
        one = all(len(request.headers.getall(name, ())) <= 1 for name in ("Host", "Origin"))
        admission.host(host if one else None, _local_address(request))
        origin = request.headers.get("Origin")
        foreign = admission.origin(origin, host or "")
        request[CLIENT_ADDRESS] = admission.client_address(
            _peer_address(request),
            request.headers.getall("X-Forwarded-For", ()),
            request.headers.getall("Forwarded", ()),
        )
        if not foreign or origin is None:
            return await handler(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response: web.StreamResponse = _preflight(request)
        else:
            response = await tell(request, handler)
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"
        return response

    return gate


def _preflight(request: web.Request) -> web.Response:
    asked = request.headers.get("Access-Control-Request-Headers", "")[:MAX_CORS_HEADERS_CHARS].lower()
    names = dict.fromkeys([*CORS_HEADERS, *filter(_is_header_name, (name.strip() for name in asked.split(",")))])
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": CORS_METHODS,
            "Access-Control-Allow-Headers": ", ".join(names),
            "Access-Control-Max-Age": str(CORS_SECONDS),
        },
    )


def _is_header_name(name: str) -> bool:
    return bool(name) and name.isascii() and all(c.isalnum() or c in "-_" for c in name)


def _local_address(request: web.Request) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return str(name[0]) if name else ""


def _peer_address(request: web.Request) -> str:
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(name[0]) if name else ""
