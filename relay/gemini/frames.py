"""From the socket's frames to the model's whole messages; a message may come in fragments (RFC 6455 §5.4)."""

from typing import Final, Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from relay.gemini.protocol import MAX_MESSAGE

# The service sends each message in one frame; a server that cuts finer than this is playing with us.
MAX_FRAGMENTS: Final = 1024


class Hearer(Protocol):
    """Whom the frames are for."""

    def opened(self, transport: WSTransport) -> None: ...
    def heard(self, message: bytes) -> None: ...
    def broken(self, why: str) -> None: ...
    def closed(self, transport: WSTransport, code: int, reason: str) -> None: ...


class Frames(WSListener):
    """Puts fragments together and tells the hearer."""

    def __init__(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self._pieces: list[bytes] = []
        self._size = 0
        self._code = 1006
        self._reason = ""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._hearer.opened(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self._code, self._reason = frame.get_close_code().value, frame.get_close_reason() or ""
            self._hang_up(transport, WSCloseCode.OK)
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._gather(transport, frame, kind == WSMsgType.CONTINUATION)

    def _gather(self, transport: WSTransport, frame: WSFrame, continued: bool) -> None:
        if continued != bool(self._pieces):
            self._pieces, self._size = [], 0
            self._hearer.broken("a fragment out of place")
            return
        self._size += frame.payload_size
        if self._size > MAX_MESSAGE or len(self._pieces) >= MAX_FRAGMENTS:
            self._code, self._reason = 1009, "message too big"
            self._hang_up(transport, WSCloseCode.MESSAGE_TOO_BIG)
            return
        self._pieces.append(frame.get_payload_as_bytes())
        if frame.fin:
            message = b"".join(self._pieces) if continued else self._pieces[0]
            self._pieces, self._size = [], 0
            self._hearer.heard(message)

    @staticmethod
    def _hang_up(transport: WSTransport, code: WSCloseCode) -> None:
        transport.send_close(code)
        transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._hearer.closed(transport, self._code, self._reason)

    def pause_writing(self) -> None:
        """What is unsent is looked at before each send."""

    def resume_writing(self) -> None:
        """What is unsent is looked at before each send."""
