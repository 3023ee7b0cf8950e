"""RTVI, what the browser may say. Pure: no clock, no channel. `relay.reading` makes it of a frame."""

from dataclasses import dataclass, field
from typing import Any, Final

LABEL: Final = "rtvi-ai"
MAX_MESSAGE: Final = 16 * 1024  # bytes; a data channel carries this everywhere, and nobody types more


@dataclass(frozen=True, slots=True)
class ClientReady:
    """The client is there: answer with `rtvi.welcome`. `version` is empty when unreadable; `library` names the SDK.

    It `returns` if it means to come back even when it has closed its connection.
    """

    id: str
    version: str = ""
    library: str = ""
    returns: bool = False

    @property
    def major(self) -> int | None:
        """The client's protocol generation; 1 wants the old form of `rtvi.bot_output`."""
        return int(self.version.partition(".")[0]) if self.version else None


@dataclass(frozen=True, slots=True)
class DisconnectBot:
    """End the conversation, then `rtvi.peer_left`."""

    id: str


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """The app's own request: answer `rtvi.server_response` with the same `t`, or `rtvi.error_response`, within 10 s."""

    id: str
    t: str
    d: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SendText:
    """Typed words. `run_immediately`: interrupt and answer; `audio_response` off: answer in text alone.

    `again`: the message was sent on a connection that was lost before it was answered, and may have come.
    """

    id: str
    content: str = field(repr=False)
    run_immediately: bool = True
    audio_response: bool = True
    again: bool = False


@dataclass(frozen=True, slots=True)
class SendFile:
    """A picture, with words or without: in `picture`, or uploaded before to `url`. The rest is as in `SendText`."""

    id: str
    content: str = field(repr=False)
    picture: bytes = field(default=b"", repr=False)
    url: str = ""
    run_immediately: bool = True
    audio_response: bool = True


@dataclass(frozen=True, slots=True)
class AppendToContext:
    """The old `SendText`: answer `rtvi.append_to_context_result` or `rtvi.error_response`."""

    id: str
    role: str
    content: str = field(repr=False)
    run_immediately: bool = False


@dataclass(frozen=True, slots=True)
class Dtmf:
    """Keys of a telephone, in order."""

    id: str
    buttons: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FunctionCallResult:
    """What the app's own function returned."""

    id: str
    name: str
    call_id: str
    result: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TrackStatus:
    """A track was switched on or off: 0 microphone, 1 camera, 2 screen."""

    track: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """The client lives. Expects no answer; many clients never send it."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Well-formed, and nothing to us: another protocol's label, a signal or track we do not know, a page's snapshot."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not readable; answer `rtvi.complaint`. `oversize`: tell `FloodGate.refuse`. `reason` is not for the log.

    `call_id`: it would have been the result of that call, had it been smaller.
    """

    id: str
    reason: str = field(repr=False)
    oversize: bool = False
    call_id: str = ""


Said = (
    ClientReady
    | DisconnectBot
    | ClientMessage
    | SendText
    | SendFile
    | AppendToContext
    | Dtmf
    | FunctionCallResult
    | TrackStatus
    | Ping
    | Ignored
    | Malformed
)
