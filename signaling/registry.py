"""The sessions of this machine by id: promised by `/start`, live, or ended. Everything in it is bounded.

`now` is monotonic seconds. A session id and a pc_id are 128 bits of chance and open the door by themselves.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from relay.errors import BrowserFault, RelayError
from relay.files import Files
from relay.transcript import Transcript, Turn
from signaling.shelf import Shelf
from signaling.tickets import Ticket

RESERVED_SECONDS: Final = 60.0  # from `/start` to the first offer; the official clients take under a second
MAX_RESERVED: Final = 64  # promised sessions cost 300 bytes each, but each may become a call
MAX_ENDED: Final = 256  # remembered, so that a late offer is told "ended" and not "unknown"
FULL_RETRY_SECONDS: Final = 5  # what a caller is told to wait when all lines are busy: somebody may hang up
BUSY_RETRY_SECONDS: Final = 30  # when the machine is: it needs seven seconds to recover, and calls that end first
CLOSING_RETRY_SECONDS: Final = 30  # when the relay leaves: another one takes its place once the calls have ended
ID_BYTES: Final = 16


class Answered(Protocol):
    """What a session answers an offer with."""

    @property
    def sdp(self) -> str: ...
    @property
    def pc_id(self) -> str: ...


class Call(Protocol):
    """What signalling asks of a conversation; `relay.session.Session` is one."""

    @property
    def files(self) -> Files: ...

    @property
    def connections(self) -> int:
        """How many connections of its browser have stood."""

    def transcript(self, *, over: bool = False) -> Transcript: ...

    def expect_newcomer(self) -> str:
        """Another client of the same user may come: the pc_id that it is to offer with."""

    async def answer(self, sdp: str, *, pc_id: str | None, restart: bool) -> Answered: ...

    async def meet(self, candidates: Sequence[str]) -> None:
        """Where its browser is, as far as that knows: `candidate:…` each."""

    def trouble(self) -> RelayError | None:
        """Why it is not connected, as far as it has come; None if it is, or was."""

    def warn(self, seconds: float) -> None:
        """The relay leaves in so many seconds, and the call with it."""

    def close(self, fault: RelayError | None = None) -> Coroutine[Any, Any, None]: ...


MakeCall = Callable[[str, Callable[[object], None]], Call]
"""(session id, what to call once when the session is closed) -> the session."""

Overloaded = Callable[[float, int], bool]
"""(now, live calls) -> would one call more be heard in all of them?"""


class State(Enum):
    """A session's life, one way."""

    RESERVED = "reserved"
    LIVE = "live"
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class Entry:
    """One session as signalling sees it; `call` is there while it is live."""

    id: str
    since: float
    state: State = State.RESERVED
    call: Call | None = None
    pc_id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)  # what `/start` brought for the call, until it is made,
    prior: tuple[Turn, ...] = ()  # and what was said before it
    ticket: Ticket = field(default_factory=Ticket)
    forgotten: bool = False  # nobody is to read what was said
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one offer at a time
    upload: asyncio.Lock = field(default_factory=asyncio.Lock)  # one file at a time


class Registry:
    """Finds sessions by their id or pc_id; raises `BrowserFault` in the words the caller is told.

    At most `max_calls` are promised and live together, and none is added while `overloaded` says so, nor for as many
    seconds as `unaffordable` says.
    """

    def __init__(
        self,
        max_calls: int,
        overloaded: Overloaded,
        unaffordable: Callable[[], int],
    ) -> None:
        self._max_calls = max_calls
        self._overloaded = overloaded
        self._unaffordable = unaffordable
        self._entries: dict[State, dict[str, Entry]] = {state: {} for state in State}
        self._by_pc_id: dict[str, Entry] = {}
        self._closing = False
        self.shelf = Shelf()

    def refusal(self, now: float) -> BrowserFault | None:
        """Why nobody can be promised a session now; None while somebody can."""
        self._sweep(now)
        reserved = self.count(State.RESERVED)
        return self._refusal(now, reserved, full=reserved >= MAX_RESERVED)

    def reserve(self, now: float) -> Entry:
        """Promise a session; it is kept `RESERVED_SECONDS` for its first offer."""
        if refusal := self.refusal(now):
            raise refusal
        entry = Entry(secrets.token_hex(ID_BYTES), now)
        self._entries[State.RESERVED][entry.id] = entry
        return entry

    def find(self, id: str, now: float) -> Entry:
        """The reserved or live session; ``unknown-session``, or ``unknown-peer`` for one that has ended."""
        if entry := self.known(id, now):
            return entry
        raise BrowserFault("unknown-peer" if id in self._entries[State.ENDED] else "unknown-session")

    def known(self, id: str, now: float) -> Entry | None:
        """The reserved or live session, if it is one."""
        self._sweep(now)
        return self._entries[State.LIVE].get(id) or self._entries[State.RESERVED].get(id)

    def find_pc(self, pc_id: str) -> Entry:
        """The live session whose peer connection this is, or ``unknown-peer``."""
        if entry := self._by_pc_id.get(pc_id):
            return entry
        raise BrowserFault("unknown-peer")

    def open(self, entry: Entry, make: MakeCall, now: float) -> Call:
        """The session's call, made on its first offer. The caller owes it an offer, or `end`.

        A promise is one of the calls already, but it is not kept on a machine that has become too busy meanwhile.
        """
        if entry.call is not None:
            return entry.call
        if entry.state is State.ENDED:
            raise BrowserFault("unknown-peer")
        if refusal := self._refusal(now, promised=0):
            raise refusal
        entry.call = make(entry.id, lambda _: self.end(entry))
        entry.body, entry.prior = {}, ()
        self._move(entry, State.LIVE)
        return entry.call

    def name(self, entry: Entry, pc_id: str) -> None:
        """Remember the peer connection's id; it lives as long as its session."""
        if entry.state is State.LIVE and pc_id != entry.pc_id:
            self._by_pc_id.pop(entry.pc_id, None)
            entry.pc_id = pc_id
            self._by_pc_id[pc_id] = entry

    def end(self, entry: Entry) -> None:
        """The session is over and its call closed; idempotent."""
        if entry.state is State.ENDED:
            return
        self._by_pc_id.pop(entry.pc_id, None)
        call, entry.call = entry.call, None
        if call is not None and entry.ticket.issued and not entry.forgotten:
            self.shelf.put(entry.id, call.transcript(over=True), entry.ticket)
        self._move(entry, State.ENDED)
        ended = self._entries[State.ENDED]
        if len(ended) > MAX_ENDED:
            del ended[next(iter(ended))]

    def drain(self) -> list[Call]:
        """Take in nobody any more; what is live goes on, and is given back."""
        self._closing = True
        return [entry.call for entry in self._entries[State.LIVE].values() if entry.call is not None]

    def close(self) -> list[Call]:
        """Take in nobody any more; what is live is given back to be closed."""
        self._entries[State.RESERVED].clear()
        return self.drain()

    @property
    def closing(self) -> bool:
        """Nobody is taken in any more."""
        return self._closing

    def count(self, state: State) -> int:
        """How many sessions are in that state."""
        return len(self._entries[state])

    def _refusal(self, now: float, promised: int, *, full: bool = False) -> BrowserFault | None:
        live = self.count(State.LIVE)
        if self._closing:
            return BrowserFault("closing", retry_after=CLOSING_RETRY_SECONDS)
        if full or promised + live >= self._max_calls:
            return BrowserFault("too-many-calls", retry_after=FULL_RETRY_SECONDS)
        if seconds := self._unaffordable():
            return BrowserFault("budget-day", retry_after=seconds)
        if self._overloaded(now, live):
            return BrowserFault("busy", retry_after=BUSY_RETRY_SECONDS)
        return None

    def _move(self, entry: Entry, state: State) -> None:
        self._entries[entry.state].pop(entry.id, None)
        entry.state = state
        self._entries[state][entry.id] = entry

    def _sweep(self, now: float) -> None:
        reserved = self._entries[State.RESERVED]
        for entry in [e for e in reserved.values() if now - e.since > RESERVED_SECONDS]:
            del reserved[entry.id]
