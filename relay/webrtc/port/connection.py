"""A call's ICE on the one port, standing where aiortc has a connection of aioice's: with the parts that it uses.

Sound goes past it: what comes on the way in use is the raw line's at once, see `wire.RawLine`; the rest waits for
aiortc in a short queue.
"""

import asyncio
import contextlib
import functools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aioice import Candidate, ConnectionClosed

from relay.webrtc.port.lite import CONSENT_SECONDS, LiteAgent, Route, Way
from relay.webrtc.port.sockets import Known, Port, Socket
from relay.webrtc.port.switchboard import PASSWORD_LETTERS
from relay.webrtc.srtp import OPENED, Taken
from relay.webrtc.tame import MAX_DATAGRAM_BYTES, ignore

# Handshakes and messages until aiortc reads them; the sender repeats what is dropped (RFC 9147 §5.8.1, RFC 9260 §6.3).
QUEUE_DATAGRAMS: Final = 512
CONSENT_CHECK_SECONDS: Final = CONSENT_SECONDS / 10  # a browser that is gone is noticed within 33 s
_HOST: Final = 126 << 24  # RFC 8445 §5.1.2: a host candidate's type; those first in the list are preferred
_COMPONENT: Final = 255


class Taker(Protocol):
    """Who takes SRTP as it comes. `last_heard` is monotonic seconds."""

    last_heard: float

    def take(self, datagram: bytes, /) -> Taken: ...
    def take_reports(self, datagram: bytes, /) -> Taken: ...


@dataclass(frozen=True, slots=True)
class _Local:
    transport: Socket


@dataclass(frozen=True, slots=True)
class Pair:
    """The way in use, in aioice's words."""

    protocol: _Local
    remote_addr: tuple[Any, ...]
    local_candidate: Candidate
    remote_candidate: Candidate


class Connection:
    """The connection of one call. It is in the switchboard from the beginning; owes one `close`."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        name, mark = port.board.enter(self)
        password, dropped = port.board.word(PASSWORD_LETTERS).encode(), port.board.dropped
        self.agent = LiteAgent(name, password, mark, secrets.token_bytes, dropped=dropped)
        self.line: Taker | None = None
        self.on_junk: Callable[[], object] = ignore
        self.lost = False  # it ended because there is no way to the browser any more, not because somebody closed it
        self.datagrams = 0  # that came for this call and were no sound of it, good and bad
        # what aiortc reads and sets of aioice's
        self.ice_controlling = False  # the browser always is: a lite agent obeys (RFC 8445 §6.1.1)
        self.remote_is_lite = False
        self.remote_username: str | None = None
        self.remote_password: str | None = None
        self.local_candidates: list[Candidate] = []
        self.remote_candidates: list[Candidate] = []
        self._nominated: dict[int, Pair] = {}  # as the raw line reads it: where to send, in a moment
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_DATAGRAMS + 1)  # and the end of it
        self._used: Way | None = None
        self._sounded = False  # sound of the browser's came on that way, since consent was last looked at
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[ConnectionClosed] = self._loop.create_future()
        self._watching: asyncio.TimerHandle | None = None

    @property
    def local_username(self) -> str:
        return self.agent.user

    @property
    def local_password(self) -> str:
        return self.agent.password.decode()

    def expect(self, streams: Iterable[int]) -> None:
        """The SSRCs that the browser announced: by them it is known again when its address has changed."""
        if not self._closed.done():
            self._port.board.expect(self, streams)

    async def gather_candidates(self) -> None:
        """Learn our own addresses."""
        told = await self._port.candidates()
        self.local_candidates = [
            _candidate("host", host, self._port.number, number) for number, host in enumerate(told, 1)
        ]

    async def add_remote_candidate(self, candidate: Candidate | None) -> None:
        """Ignored: we send only to addresses that have proven themselves."""

    async def connect(self) -> None:
        """Wait until the browser has found us; raises `ConnectionError` when it is closed before that."""
        if self.remote_username is None or self.remote_password is None:
            raise ConnectionError("the browser's name or password is missing")
        self.agent.meet(self.remote_username, self.remote_password)
        await asyncio.shield(self._connected)
        if self._closed.done():
            raise ConnectionError("closed before the browser came")

    async def get_event(self) -> ConnectionClosed:
        """Its end."""
        return await asyncio.shield(self._closed)

    async def recv(self) -> bytes:
        """The next datagram that is not the line's; raises `ConnectionError` at the end."""
        data = await self._queue.get() if self._nominated or not self._queue.empty() else None
        if data is None:
            raise ConnectionError("not connected")
        return data

    async def send(self, data: bytes) -> None:
        """Send a datagram on the way in use; raises `ConnectionError` if there is none."""
        pair = self._nominated.get(1)
        if pair is None:
            raise ConnectionError("not connected")
        self._send(pair.protocol.transport, data, pair.remote_addr)

    async def close(self) -> None:
        """Leave the switchboard: what still comes is ignored; idempotent."""
        self._end()

    def stray(self, data: bytes, route: Route) -> None:
        """STUN, or sound from an address that is not known to be the browser's."""
        if self._closed.done():
            return
        self.datagrams += 1
        now = self._loop.time()
        if data[0] < 4:
            replies = self.agent.take(data, route, now)
        elif self._opened(data):
            replies = self.agent.follow(route, len(data), now)
        else:
            return
        for reply in replies:
            self._send(route[0], reply, route[1])
        self._follow_agent(now)

    def vanished(self, local: Socket) -> None:
        """One of our sockets is closed: the call goes on at another way that it has, or ends."""
        if self._closed.done():
            return
        self.agent.leave(local)
        if self._used is not None and self._used.route[0] is local:
            if self.agent.in_use is None:
                self.lost = True
                self._end()
            else:
                self._follow_agent(self._loop.time())

    def displaced(self, route: Route) -> None:
        """Another call has proven that an address of this one's is its own."""
        if not self._closed.done():
            now = self._loop.time()
            self.agent.doubt(route, now)
            self._follow_agent(now)

    def _take(self, data: bytes) -> None:
        """From the way in use."""
        if self.line is not None and 127 < data[0] < 192 and len(data) > 12:
            if self._opened(data):
                self._sounded = True
            elif self._used is not None:
                self._pass_on(data, self._used)
            return
        self._enqueue(data)

    def _take_aside(self, way: Way, data: bytes) -> None:
        """From another way that is proven: where the browser sends its sound it wants to be sent ours."""
        if self.line is None or not 127 < data[0] < 192:
            self._enqueue(data)
        elif len(data) > 12 and self._opened(data):
            now = self._loop.time()
            self.agent.follow(way.route, len(data), now)
            self._follow_agent(now)
        else:
            self._pass_on(data, way)

    def _pass_on(self, data: bytes, way: Way) -> None:
        """Sound that our key does not open: since a router has forgotten, that address may be another call's."""
        owner = self._port.board.speaker(data)
        if owner is not None and owner is not self:
            owner.stray(data, way.route)

    def _opened(self, data: bytes) -> bool:
        """Give it to the line, which has the key; was it the browser's?"""
        line = self.line
        if line is None:
            return False
        return (line.take_reports if 191 < data[1] < 224 else line.take)(data) is OPENED

    def _enqueue(self, data: bytes) -> None:
        # RFC 7983 §7: 20 to 63 is DTLS; SRTP is aiortc's where no line takes it
        wanted = 19 < data[0] < 64 or (self.line is None and 127 < data[0] < 192)
        if not wanted or len(data) > MAX_DATAGRAM_BYTES or self._queue.qsize() >= QUEUE_DATAGRAMS:
            self.on_junk()
            return
        if self.line is not None:
            self.line.last_heard = self._loop.time()
        self._queue.put_nowait(data)

    def _follow_agent(self, now: float) -> None:
        """Carry out what the agent decided: known addresses, the pair in use."""
        agent, used = self.agent, self.agent.in_use
        for way in agent.forgotten:
            self._unknow(way)
        agent.forgotten.clear()
        if used is None:
            return
        if self.line is not None and used.heard == now:
            self.line.last_heard = now
        if used is not self._used:
            before, self._used = self._used, used
            local, address = used.route
            self._nominated[1] = Pair(
                _Local(local), address,
                _candidate("host", local.address, self._port.number), _candidate("prflx", *address[:2]),
            )  # fmt: skip
            self._unknow(used)  # both are taken otherwise from now on
            if before is not None:
                self._unknow(before)
        for way in agent.ways.values():
            if way.proven and not self._knows(way):
                self._know(way)
        if not self._connected.done():
            self._connected.set_result(None)
            self._watch()

    def _watch(self) -> None:
        """End as aioice does when the browser is gone: nothing more is sent to where it was."""
        self._watching = self._loop.call_later(CONSENT_CHECK_SECONDS, self._watch)
        if self._sounded and self._used is not None:  # a browser that has our key consents as well
            self._used.heard = self._loop.time()
        self._sounded = False
        if not self.agent.consents(self._loop.time()):
            self.lost = True
            self._end()

    def _end(self) -> None:
        if self._closed.done():
            return
        if self._watching is not None:
            self._watching.cancel()
        self._port.board.leave(self.agent.user, self.agent.mark)
        for way in self.agent.ways.values():
            self._unknow(way)
        self._nominated.clear()
        self.local_candidates.clear()
        self._queue.put_nowait(None)
        self._closed.set_result(ConnectionClosed())
        if not self._connected.done():
            self._connected.set_result(None)

    def _know(self, way: Way) -> None:
        """It has just been proven: another call that had that address has it no more, unless it proves it again."""
        local, address = way.route
        before = local.known.get(address)
        take = self._take if way is self._used else functools.partial(self._take_aside, way)
        local.known[address] = Known(self, take)
        if before is not None and before.owner is not self:
            before.owner.displaced(way.route)

    def _knows(self, way: Way) -> bool:
        local, address = way.route
        known = local.known.get(address)
        return known is not None and known.owner is self

    def _unknow(self, way: Way) -> None:
        if self._knows(way):  # another call may have proven that address to be its own since
            del way.route[0].known[way.route[1]]

    @staticmethod
    def _send(local: Socket, data: bytes, address: tuple[Any, ...]) -> None:
        with contextlib.suppress(OSError):  # lost, as it may be on the way
            local.sendto(data, address)


def _candidate(kind: str, host: str, port: int, number: int = 1) -> Candidate:
    priority = _HOST | 65535 - number << 8 | _COMPONENT
    return Candidate(str(number), 1, "udp", priority, host, port, kind)
