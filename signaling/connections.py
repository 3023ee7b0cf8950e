"""One HTTP connection: how long it may dawdle, how many one address may hold, and JSON where aiohttp says text.

aiohttp closes a connection that is idle or in mid-headers for `KEEPALIVE_SECONDS`; the first request's headers get
less time here. The class builds on `web.RequestHandler`'s public methods only.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from relay.errors import BrowserFault, OurBug, RelayError
from signaling.pages import HEADERS

KEEPALIVE_SECONDS: Final = 15.0
HEADERS_SECONDS: Final = 10.0  # from connecting to a whole first request head
LINGER_SECONDS: Final = 1.0  # for a refused body to drain, so that the client reads why
MAX_PER_ADDRESS: Final = 100  # open connections; not counted for loopback and trusted proxies, which are many people

log = logging.getLogger(__name__)
NO_ACCESS_LOG: Final = logging.Logger("nowhere", level=logging.CRITICAL + 1)  # two lines per call are enough

# aiohttp's own refusals, in our words; any other becomes the nearest of these by its class of status
CODES: Final = {
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    413: "body-too-large",
    415: "bad-content-type",
}


def fault_of(refusal: web.HTTPException) -> RelayError:
    """aiohttp's exception as one of ours."""
    if refusal.status in CODES:
        return BrowserFault(CODES[refusal.status])
    return OurBug(refusal.reason) if refusal.status >= 500 else BrowserFault("bad-http", refusal.reason)


def told(fault: RelayError, *, close: bool = False) -> web.Response:
    """The JSON that tells `fault`, with `Retry-After` where there is one."""
    response = web.json_response(fault.told(), status=fault.fault.status, headers=HEADERS)
    if fault.retry_after:
        response.headers["Retry-After"] = str(fault.retry_after)
    if fault.fault.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if close:
        response.force_close()
    return response


class Connection(web.RequestHandler):
    """aiohttp's connection with our limits."""

    def __init__(self, server: web.Server, house: "Connections", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
            access_log=NO_ACCESS_LOG,
        )
        self._house = house
        self._clock = loop
        self._address = ""
        self._head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        super().connection_made(transport)
        if not self._house.enter(self._address):
            self.force_close()
            return
        self._head_due = self._clock.call_later(HEADERS_SECONDS, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.head_arrived()
        self._house.leave(self._address)
        super().connection_lost(exc)

    def head_arrived(self) -> None:
        """The first request's head is whole."""
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or slipped past every middleware, is told in JSON too, and the connection closed."""
        self.head_arrived()
        if request.writer.output_size > 0:  # half an answer is out: only closing tells the truth
            raise ConnectionError("the response is sent already")
        if status < 500:
            log.debug("refused a request that is no HTTP: %s", type(exc).__name__)
            return told(BrowserFault("bad-http"), close=True)
        log.error("a request failed", exc_info=exc)
        return told(OurBug(), close=True)


class Connections:
    """Makes the connections of one server and counts them by address; pass it to `loop.create_server`."""

    def __init__(self, server: web.Server, uncounted: Callable[[str], bool]) -> None:
        self._server = server
        self._answer = server.request_handler
        server.request_handler = self._expecting  # every connection made from now on asks us first
        self._uncounted = uncounted
        self._open: Counter[str] = Counter()

    def __call__(self) -> Connection:
        return Connection(self._server, self, asyncio.get_running_loop())

    async def _expecting(self, request: web.BaseRequest) -> web.StreamResponse:
        """An `Expect` that nobody knows is refused here, because aiohttp looks at it before any middleware does."""
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return told(BrowserFault("bad-http"), close=True)
        return await self._answer(request)

    def enter(self, address: str) -> bool:
        """Count one connection; False when this address has too many."""
        self._open[address] += 1
        return self._open[address] <= MAX_PER_ADDRESS or self._uncounted(address)

    def leave(self, address: str) -> None:
        """That connection is gone; what `enter` counted is forgotten."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]


def head_arrived(protocol: Any) -> None:
    """Tell the connection of a request that its head is whole; another server's connections have no such deadline."""
    if isinstance(protocol, Connection):
        protocol.head_arrived()
