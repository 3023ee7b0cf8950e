"""One connection to the model: open it, speak, hear, close it. What is said on it is `protocol`'s affair.

The owner makes a `LiveClient`, awaits `connect()`, sends, and owes one `close()`, also when `connect()` failed.
Events arrive through `on_event`, in the event loop, as soon as their bytes do. No task and no queue is kept here.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from picows import WSCloseCode, WSError, WSMsgType, WSTransport

from relay.errors import ModelFault, OurBug, RelayError
from relay.gemini import protocol, reading, service
from relay.gemini.events import Event, GoAway, SetupComplete, Unknown
from relay.gemini.frames import Frames
from relay.gemini.handshake import Handshake, Target
from relay.gemini.reading import BadFrame
from relay.gemini.service import State

if TYPE_CHECKING:
    from google.genai.types import LiveConnectConfig

CONNECT_DEADLINE: Final = 10.0  # seconds from `connect()` to the model's setupComplete, both API versions included
CLOSE_DEADLINE: Final = 1.0  # seconds the model gets to answer our close frame before the socket is cut
MAX_UNSENT_AUDIO: Final = 64 * 1024  # bytes unsent, 1.4 s of speech; beyond it sound is dropped and counted
MAX_UNSENT: Final = 2 * 1024 * 1024  # bytes unsent, anything else included; beyond it the connection is lost
MAX_BROKEN: Final = 3  # broken frames skipped within BROKEN_WINDOW; one more and the connection is lost
BROKEN_WINDOW: Final = 10.0  # seconds

_LIVE: Final = (State.LIVE, State.GOING_AWAY)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Traffic:
    """What one connection carried, or several one after the other."""

    frames_in: int = 0
    frames_broken: int = 0
    frames_unknown: int = 0  # messages, and pieces of answers, that we do not know
    audio_out: int = 0
    audio_dropped: int = 0
    pictures_out: int = 0
    pictures_dropped: int = 0


class LiveClient:
    """A connection to the model, from `connect()` to `close()`; it is not used twice.

    `on_upgraded` is called when the socket is open and the setup about to be sent, once for each API version tried.
    `on_closed` is called once if the connection ends after `connect()` returned and before `close()` was called.
    `close_code` is how the model closed it (RFC 6455 §7.4.1), 0 where it did not. `traffic` goes on counting an earlier
    one's.
    """

    def __init__(
        self,
        target: Target,
        config: "LiveConnectConfig",
        on_event: Callable[[Event], None],
        on_closed: Callable[[RelayError], None],
        *,
        on_upgraded: Callable[[], object] = lambda: None,
        connect_deadline: float = CONNECT_DEADLINE,
        traffic: Traffic | None = None,
    ) -> None:
        self._target = target
        self._setup = protocol.setup_message(target.model, config)
        self._on_event = on_event
        self._on_closed = on_closed
        self._on_upgraded = on_upgraded
        self._connect_deadline = connect_deadline
        self._state = State.CONNECTING
        self._timeout: asyncio.Timeout | None = None
        self._handshake = Handshake(target)
        self._transport: WSTransport | None = None
        self._most_unsent = MAX_UNSENT_AUDIO  # and the picture that the sound waits behind
        self._buffered: Callable[[], int] = int  # asked of the socket's transport once there is one
        self._ready: asyncio.Future[ModelFault | None] | None = None
        self._connected = False
        self._broken: deque[float] = deque(maxlen=MAX_BROKEN + 1)
        self.fault: RelayError | None = None
        self.close_code = 0
        self.traffic = traffic or Traffic()

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._state

    @property
    def live(self) -> bool:
        """Whether the model can be spoken to."""
        return self._state in _LIVE

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process for the network."""
        return self._buffered()

    # -- opening and closing

    async def connect(self) -> None:
        """Open the connection and wait until the model accepts the setup; raises `ModelFault`.

        A model unknown under one API version is asked for under the other, once.
        """
        if self._timeout is not None or self._state is not State.CONNECTING:
            raise OurBug("connect() is called once, before close()")
        try:
            async with asyncio.timeout(self._connect_deadline) as self._timeout:
                await self._try_versions()
        except TimeoutError:
            self._end(ModelFault("model-timeout", f"{self._state.value} after {self._connect_deadline:g} s"))
        except RelayError as fault:
            self._end(fault)
        except BaseException:
            self._end(None)
            raise
        if self.state is State.CLOSED:
            raise self.fault or ModelFault("model-lost", "closed while connecting")
        self._connected = True

    async def _try_versions(self) -> None:
        first = self._target.api_version
        second = next(version for version in service.API_VERSIONS if version != first)
        try:
            return await self._attempt(first)
        except ModelFault as fault:
            if not service.wrong_version(fault.detail):
                raise
        if self._state is State.SETUP:
            self._move(State.CONNECTING)
        return await self._attempt(second)

    async def _attempt(self, version: str) -> None:
        self._ready = asyncio.get_running_loop().create_future()
        transport = await self._handshake.upgrade(version, lambda: Frames(self))
        transport.send(WSMsgType.TEXT, self._setup)
        refusal = await self._ready
        if refusal is not None:
            raise refusal

    async def close(self, deadline: float = CLOSE_DEADLINE) -> None:
        """Say goodbye and let go of the socket, within `deadline`; safe at any time, any number of times."""
        transport = self._transport
        if self.live and transport is not None:
            self._move(State.CLOSED)
            transport.send_close(WSCloseCode.OK)
        elif self._state is not State.CLOSED:
            if self._timeout is not None and not self._timeout.expired():
                self._timeout.reschedule(asyncio.get_running_loop().time())  # `connect()` ends now
            self._end(None)
        if transport is None:
            return
        try:
            async with asyncio.timeout(deadline):
                await _gone(transport)
        except TimeoutError:
            transport.underlying_transport.abort()
            await _gone(transport)

    # -- speaking

    def send_audio(self, pcm: bytes | bytearray | memoryview) -> bool:
        """Send PCM16 mono at 16 kHz. Never waits: with too much unsent, or no model, it is dropped and counted."""
        transport = self._transport
        if transport is None or self._state not in _LIVE or self._buffered() > self._most_unsent:
            self.traffic.audio_dropped += 1
            return False
        transport.send(WSMsgType.TEXT, protocol.audio_message(pcm))
        self.traffic.audio_out += 1
        return True

    def send_picture(self, jpeg: bytes) -> bool:
        """Send a JPEG, unless something is unsent: on a slow line sound goes first, and the next picture is newer."""
        transport = self._transport
        if transport is None or self._state not in _LIVE or self._buffered():
            self.traffic.pictures_dropped += 1
            return False
        message = protocol.image_message(jpeg).data
        self._most_unsent = MAX_UNSENT_AUDIO + len(message)
        transport.send(WSMsgType.TEXT, message)
        self.traffic.pictures_out += 1
        return True

    def send(self, message: bytes) -> bool:
        """Send a text frame of `protocol`'s; False means that the model did not get it, and the caller must say so.

        Never waits and never drops: a model that takes nothing for so long is a lost one.
        """
        transport = self._transport
        if transport is None or not self.live:
            return False
        if self.unsent + len(message) > MAX_UNSENT:
            self._end(ModelFault("model-lost", f"{self.unsent} bytes unsent"))
            return False
        transport.send(WSMsgType.TEXT, message)
        return True

    # -- hearing

    def heard(self, message: bytes) -> None:
        """Take one whole message from the model."""
        self.traffic.frames_in += 1
        try:
            events = reading.read(message)
        except BadFrame as error:
            self.broken(str(error))
            return
        for event in events:
            if self._state is State.CLOSED:
                return
            if type(event) is Unknown:
                self.traffic.frames_unknown += 1
                continue
            self._note(event)
            try:
                self._on_event(event)
            except Exception:
                log.exception("on_event failed; the connection to the model ends")
                self._end(OurBug("on_event failed"))

    def _note(self, event: Event) -> None:
        match event:
            case SetupComplete() if self._state is State.SETUP:
                self._move(State.LIVE)
                self._settle(None)
            case GoAway() if self.live:
                self._move(State.GOING_AWAY)

    def broken(self, why: str) -> None:
        """Count and skip a broken frame; too many of them and the connection is lost. Unknown ones may be many."""
        self.traffic.frames_broken += 1
        log.debug("skipped a broken frame: %s", why)
        now = asyncio.get_running_loop().time()
        self._broken.append(now)
        if len(self._broken) > MAX_BROKEN and now - self._broken[0] <= BROKEN_WINDOW:
            self._end(ModelFault("model-lost", "too many broken frames"))

    def opened(self, transport: WSTransport) -> None:
        """The upgrade is done."""
        self._handshake.forget_key(transport)
        self._transport = transport
        self._buffered = transport.underlying_transport.get_write_buffer_size
        if self._state is State.CONNECTING:
            self._move(State.SETUP)
            self._on_upgraded()

    def closed(self, transport: WSTransport, code: int, reason: str) -> None:
        """The socket is gone, after a close frame with `code` or, at 1006, without one; 0 when it was us."""
        if self._state is not State.CLOSED:
            self.close_code = code
        fault = ModelFault(
            service.close_fault(code, reason, self.live), self._handshake.clean(f"closed {code} {reason}")
        )
        if self.live:
            self._end(fault)
        elif transport is self._transport:
            self._settle(fault)

    def _settle(self, refusal: ModelFault | None) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(refusal)

    # -- the one place where the state changes

    def _move(self, state: State) -> None:
        if state not in service.MOVES[self._state]:
            raise OurBug(f"{self._state.value} to {state.value}")
        self._state = state

    def _end(self, fault: RelayError | None) -> None:
        """Nothing more comes from here on. Only the first call counts."""
        if self._state is State.CLOSED:
            return
        self._move(State.CLOSED)
        self.fault = fault
        if self._transport is not None:
            self._transport.disconnect(graceful=False)
        else:
            self._handshake.cut()
        self._settle(None)
        if self._connected and fault is not None:
            self._on_closed(fault)


async def _gone(transport: WSTransport) -> None:
    """Wait until `transport` has let go of its socket; the error it ended with has been told already."""
    try:
        await transport.wait_disconnected()
    except WSError as error:
        log.debug("the socket ended with %s", type(error).__name__)
