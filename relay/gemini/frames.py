"""From the socket's frames to the model's whole messages; a message may come in fragments (RFC 6455 §5.4)."""

from typing import Final, Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from relay.gemini.reading import MAX_MESSAGE

# Bytes; a longer frame is not waited for: the connection ends. What is between this and a message is read and skipped.
MAX_FRAME: Final = 16 * 1024 * 1024
# The service sends each message in one frame; a server that cuts finer than this is playing with us.
MAX_FRAGMENTS: Final = 1024


class Hearer(Protocol):
    """Who the frames are for."""

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
        self._count = 0  # of its fragments
        self._skipping = False  # the rest of a message that is too long
        self._code = 1006  # why it ended; 0 when it was us
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
        if continued != (bool(self._pieces) or self._skipping):
            self._pieces, self._size, self._count, self._skipping = [], 0, 0, False
            self._hearer.broken("a fragment out of place")
            return
        self._size += frame.payload_size
        self._count += 1
        if self._size > MAX_FRAME or self._count > 2 * MAX_FRAGMENTS:
            self._code, self._reason = 0, "message too big"
            self._hang_up(transport, WSCloseCode.MESSAGE_TOO_BIG)
            return
        if not self._skipping and (self._size > MAX_MESSAGE or self._count > MAX_FRAGMENTS):
            self._pieces, self._skipping = [], True
            self._hearer.broken("too long")
        if self._skipping:
            if frame.fin:
                self._size, self._count, self._skipping = 0, 0, False
            return
        self._pieces.append(frame.get_payload_as_bytes())
        if frame.fin:
            message = b"".join(self._pieces) if continued else self._pieces[0]
            self._pieces, self._size, self._count = [], 0, 0
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
