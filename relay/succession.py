"""Which of a browser's connections serves, which is to, and whether to wait where none does. Pure: no peer, no clock.

A `Succession` is told what becomes of the connections of one call; each time it answers with what to do. The first one
serves. One that is offered later takes its place when it stands, and is given up if another is offered first, or if it
does not stand in time; until then the old one serves. It may be another client's, after a reload or in another tab.
What is told of a connection that was left or given up is ignored: it may end as it likes.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from relay.presence import Presence

# aiortc never gives up on a half-open connection; a browser on a working path needs a tenth of a second.
CONNECT_SECONDS: Final = 15.0


class State(Enum):
    """How the connection that serves stands."""

    AWAITED = "awaited"  # nobody has offered yet
    CONNECTING = "connecting"  # the first one's offer is answered
    STANDING = "standing"
    OVER = "over"  # and another is waited for


class Client(Enum):
    """Who is at its other end."""

    NEW = "new"  # has not said that it is ready; nothing has been said yet
    NEWCOMER = "newcomer"  # the same, in a conversation that it does not know
    READY = "ready"
    RETURNING = "returning"  # ready, and comes back even if it closes its connection


class Ending(Enum):
    """How a connection ends."""

    CLOSED = "closed"  # by a goodbye, or because nothing was heard for long: aiortc says the same of both
    DEAD = "dead"  # its path is
    UNBEARABLE = "unbearable"  # the browser misbehaves, or reads nothing


C = TypeVar("C", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Serve(Generic[C]):
    """The first connection is offered: it is the one, as soon as it stands."""

    connection: C


@dataclass(frozen=True, slots=True)
class Replace(Generic[C]):
    """`connection` serves from now on; leave `old`, which is another client's if a `newcomer` has come."""

    old: C
    connection: C
    newcomer: bool


@dataclass(frozen=True, slots=True)
class Stand(Generic[C]):
    """`connection` stands; `again` if it is not the first that does."""

    connection: C
    again: bool


@dataclass(frozen=True, slots=True)
class GiveUp(Generic[C]):
    """`connection` was to be the next, and will not be: close it."""

    connection: C


@dataclass(frozen=True, slots=True)
class Wait(Generic[C]):
    """`connection` is over, and whoever had it comes back: close it, and keep what is to be said."""

    connection: C


@dataclass(frozen=True, slots=True)
class Ask(Generic[C]):
    """Find out when the last packet came on `connection`, and say again that it has `ended`."""

    connection: C


@dataclass(frozen=True, slots=True)
class End:
    """The call is over: the user has `hung_up`, or is lost."""

    hung_up: bool


Action = Serve[C] | Replace[C] | Stand[C] | GiveUp[C] | Wait[C] | Ask[C] | End


class Succession(Generic[C]):
    """The connections of one call. After each method do what it returns; a connection is whatever names it."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self.state = State.AWAITED
        self.client = Client.NEW
        self.serving: C | None = None  # or has served last
        self.next: C | None = None  # its offer is answered, and when it stands it will
        self._offered_at = 0.0  # that was
        self._newcomer = False  # it is another client's, or will be

    @property
    def newest(self) -> C | None:
        """The connection of whoever may offer now; None if that client has none yet."""
        return self.next if self.next is not None or self._newcomer else self.serving

    @property
    def listening(self) -> C | None:
        """The connection whose client may be spoken to; None if there is none."""
        ready = self.client in (Client.READY, Client.RETURNING)
        return self.serving if ready and self.state is not State.OVER else None

    # ---- of the clients ----

    def expect_newcomer(self) -> list[Action[C]]:
        """Another client may come: the next offer is its. The one that is there may stay until then."""
        self._newcomer = True
        return self._give_up()

    def welcomed(self, *, returns: bool) -> None:
        """The client is ready, or will not say so; it `returns` if it means to come back after a goodbye."""
        self.client = Client.RETURNING if returns else Client.READY

    # ---- of the connections ----

    def offered(self, connection: C, now: float) -> list[Action[C]]:
        """An offer is answered."""
        if self.state is State.AWAITED:
            self.state, self.serving = State.CONNECTING, connection
            return [Serve(connection)]
        actions = self._give_up()
        self.next, self._offered_at = connection, now
        return actions

    def stands(self, connection: C, now: float) -> list[Action[C]]:
        """A connection is up."""
        actions: list[Action[C]] = []
        if self.next == connection and self.serving is not None:
            actions.append(Replace(self.serving, connection, self._newcomer))
            if self._newcomer:
                self.client = Client.NEWCOMER
            self.serving, self.next, self._newcomer = connection, None, False
        elif self.serving != connection or self.state is State.OVER:
            return []
        actions.append(Stand(connection, again=self.state is not State.CONNECTING))
        self.state = State.STANDING
        self._presence.heard(now)
        return actions

    def ended(self, connection: C, ending: Ending, now: float, heard: float | None = None) -> list[Action[C]]:
        """A connection ended, or had better; its last packet was `heard` then, if that was asked."""
        if self.next == connection:
            return self._give_up()
        if self.serving != connection or self.state is State.OVER:
            return []
        if self.state is State.CONNECTING:
            return [End(hung_up=False)]
        if ending is Ending.CLOSED and self._presence.lost(now):
            if heard is None:
                return [Ask(connection)]
            self._presence.heard(heard)
            if self._presence.lost(now):
                ending = Ending.DEAD  # nobody was there to say goodbye
        if not self._comes_back(ending):
            return [End(hung_up=ending is Ending.CLOSED)]
        if ending is Ending.CLOSED:
            self._presence.left(now)
        self.state = State.OVER
        return [Wait(connection)]

    def _comes_back(self, ending: Ending) -> bool:
        match ending:
            case Ending.DEAD:
                return True
            case Ending.CLOSED:
                return self.next is not None or self.client is Client.RETURNING
            case Ending.UNBEARABLE:
                return self.next is not None

    def tick(self, now: float) -> list[Action[C]]:
        """Do what is due by `now`."""
        return self._give_up() if now - self._offered_at > CONNECT_SECONDS else []

    def _give_up(self) -> list[Action[C]]:
        given_up, self.next = self.next, None
        return [GiveUp(given_up)] if given_up is not None else []
