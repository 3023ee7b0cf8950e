"""From an address to an open WebSocket (RFC 6455 §4), with the key in its one place; what a refusal means.

The key goes into a header that the library forgets when it has served; no log, no other host and no fault gets it.
"""

import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from picows import WSError, WSHandshakeError, WSListener, WSTransport, ws_connect
from picows.url import WSParsedURL

from relay.errors import ModelFault
from relay.gemini import service
from relay.gemini.dial import dial, tls_context
from relay.gemini.frames import MAX_FRAME

if TYPE_CHECKING:
    from relay.values import Secret

KEY_HEADER: Final = "x-goog-api-key"  # the one place where the key goes; a URL would end up in logs

# The socket library writes request headers into its debug log, and the key is one of them: it logs nowhere.
_NOWHERE: Final = logging.Logger("nowhere", level=logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Target:
    """Which model, where, and who asks. `url` is a ws, wss, http or https base; without a `key` none is sent."""

    url: str
    model: str
    api_version: str = service.API_VERSIONS[0]
    key: "Secret | None" = None


class Handshake:
    """The handshake of one connection with `target`; owes a `cut` if it is given up before it is done."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket: socket.socket | None = None

    async def upgrade(self, version: str, listener: Callable[[], WSListener]) -> WSTransport:
        """Open the socket, under that API version; raises `ModelFault`. Has no deadline of its own."""
        url = service.live_url(self._target.url, version)
        context = await tls_context() if url.startswith("wss:") else None
        key = self._target.key
        try:
            transport, found = await ws_connect(
                listener,
                url,
                ssl_context=context,
                socket_factory=self._dial,
                extra_headers={KEY_HEADER: key.reveal()} if key is not None else None,
                max_redirects=0,  # a redirect would carry the key to another host
                max_frame_size=MAX_FRAME,
                websocket_handshake_timeout=None,
                logger_name=_NOWHERE,
            )
        except WSHandshakeError as error:
            fault = self._refusal(error)
        except (OSError, WSError) as error:
            fault = ModelFault("model-unreachable", self.clean(f"{type(error).__name__}: {error}"))
        else:
            if found is not None:
                return transport
            # this is how the library tells that the server hung up without a word
            fault = ModelFault("model-unreachable", "hung up during the upgrade")
        raise fault  # out here it has no context, and its frame nothing foreign

    @staticmethod
    def forget_key(transport: WSTransport) -> None:
        """The key has served, and the library's copy of it goes."""
        transport.request.headers.popall(KEY_HEADER, None)

    def clean(self, text: str) -> str:
        """Foreign text for the log, without the key should it be echoed."""
        key = self._target.key
        return service.clipped(text.replace(key.reveal(), "[key]") if key is not None else text)

    def cut(self) -> None:
        """End the socket: before the upgrade is done the library leaves a cancelled one to nobody."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # not connected any more
                self._socket.shutdown(socket.SHUT_RDWR)

    async def _dial(self, url: WSParsedURL) -> socket.socket:
        self._socket = await dial(url.host, url.port)
        return self._socket

    def _refusal(self, error: WSHandshakeError) -> ModelFault:
        status = int(error.response.status) if error.response is not None else 0
        body = (error.raw_body or b"").decode("utf-8", "replace")  # as much of it as came with the headers
        return ModelFault(service.refusal_fault(status, body), self.clean(f"HTTP {status} {body}"))
