"""How the model's side of a conversation goes on from one connection to the next. Pure: no socket, no clock.

A `Life` is told what happens to its connections and what is being said; each time it answers with what to do. There is
one connection at a time: the next is opened when the owner has said that the one before is `gone`, because the service
refuses to resume a conversation whose socket is still open. Connections are numbered from 1, and what is told of
another than the newest, a timer included, is ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from relay.errors import OurBug
from relay.gemini.course import PASSING_CODES, TABLE, Cause, State, verdict

ROTATE_SECONDS: Final = 540.0  # a connection is left at nine minutes: the service ends it at about ten
DRAIN_SECONDS: Final = 45.0  # how long an old one may wait for a pause in the talk
GO_AWAY_MARGIN: Final = 5.0  # seconds kept of what `goAway` leaves, or half of that where it is less than ten
HANDLE_SECONDS: Final = 1.0  # from the end of a turn until the handle that holds it must have come
STEADY_SECONDS: Final = 5.0  # a connection that has lived for so long and is lost then begins a new outage
CALM_SECONDS: Final = 60.0  # one that has lived for so long and is refused then is refused for the first time
EARLY_SECONDS: Final = 5.0  # a first connection that fails sooner, and not for good, is tried once more
SHORTEST_SECONDS: Final = 1.0  # after a service that sends us away sooner we wait, as after a loss
BUDGET_SECONDS: Final = 30.0  # from the loss until the model listens again, or is given up
FIRST_WAIT: Final = 0.25  # seconds between two attempts, at first;
LONGEST_WAIT: Final = 4.0  # later a quarter of the outage so far, which never delays its end by more than that
SPREAD: Final = 0.2  # of a wait, added by chance, so that not all calls of a relay come back in the same moment
ATTEMPT_SECONDS: Final = 10.0  # for one attempt, until the setup is accepted
LATE_SECONDS: Final = 1.0  # a planned change that takes longer is told


class Busy(Enum):
    """What keeps a connection from being left."""

    ASKED = "asked"  # the user speaks, or waits for an answer
    GENERATING = "generating"
    PLAYING = "playing"
    CALLING = "calling"  # the model waits for a tool


@dataclass(frozen=True, slots=True)
class Open:
    """Open connection `generation`, within `seconds`: resume from `handle` or, without one, begin afresh."""

    generation: int
    handle: str | None = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close connection `generation`, and say when it is `gone`."""

    generation: int


@dataclass(frozen=True, slots=True)
class Tell:
    """The user is to know."""

    name: Literal["reconnecting", "resumed"]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The conversation cannot go on; `fault` is a code of `relay.errors.FAULTS`."""

    fault: str


Action = Open | Close | Tell | GiveUp


@dataclass(frozen=True, slots=True)
class Timer:
    """Call `tick` with this `generation` when it is `at`."""

    generation: int
    at: float


class Life:
    """A conversation's connections. Begin with `open`; after every call do what it says, and set a timer for `timer`.

    `chance` gives numbers from 0 to 1. What is told with another `generation` than the newest one's does nothing.
    """

    def __init__(self, chance: Callable[[], float] = lambda: 0.0) -> None:
        self._chance = chance
        self.state = State.CONNECTING
        self.generation = 0
        self.handle: str | None = None
        self.resumed = False  # the newest connection stands on a handle
        self._held = False  # there is a socket, or there may be
        self._been_live = False
        self._opened_at = 0.0
        self._refusals = 0  # in a row, of connections that were live
        self._busy: set[Busy] = set()
        self._stale = False  # something was said since the handle
        self._quiet_at = 0.0
        self._live_at = 0.0
        self._until = float("inf")  # the draining one's end
        self._left_at = 0.0
        self._down_at: float | None = None  # when the outage began
        self._due_at = 0.0  # when the next attempt may be made
        self._told = False

    # ---- of the connections ----

    def open(self, now: float) -> list[Action]:
        """Begin."""
        self._opened_at = now
        return self._open(now)

    def upgraded(self, generation: int) -> list[Action]:
        """The socket is open, and the setup is on its way; again when it is tried under another API version."""
        if generation == self.generation and self.state is State.CONNECTING:
            self._move(Cause.UPGRADED)
        return []

    def accepted(self, generation: int, now: float) -> list[Action]:
        """The model listens."""
        if generation != self.generation or self.state is not State.SETUP:
            return []
        self._move(Cause.ACCEPTED)
        self._been_live, self._live_at = True, now
        self._busy -= {Busy.GENERATING, Busy.CALLING}
        self._stale, self._quiet_at = False, now
        told, self._told = self._told, False
        return [Tell("resumed")] if told else []

    def offered(self, generation: int, handle: str, now: float) -> list[Action]:
        """A resumable handle came."""
        if generation != self.generation or self.state not in (State.LIVE, State.DRAINING):
            return []
        self.handle, self._stale = handle, False
        return self._consider(now)

    def sent_away(self, generation: int, time_left: float, now: float) -> list[Action]:
        """The model said that it closes in `time_left` seconds."""
        if generation != self.generation or self.state not in (State.LIVE, State.DRAINING):
            return []
        self._move(Cause.GO_AWAY)
        left = max(0.0, time_left)
        self._until = min(self._until, now + left - min(GO_AWAY_MARGIN, left / 2))
        return self._consider(now)

    def ended(self, generation: int, fault: str, code: int, now: float) -> list[Action]:
        """The connection ended, or could not be made: `fault` and `code` as `verdict` takes them."""
        if generation != self.generation or self.state in (State.RESUMING, State.CLOSED):
            return []
        live = self.state in (State.LIVE, State.DRAINING)
        if live:
            self._count_refusal(code, now - self._live_at)
        cause = verdict(fault, code, live=live, resumed=self.resumed, refusals=self._refusals)
        hopeless = not self._been_live and (self.generation > 1 or now - self._opened_at > EARLY_SECONDS)
        if hopeless or cause is Cause.FATAL:
            self._move(Cause.FATAL)
            return [*self._close(), GiveUp(fault)]
        if cause is Cause.REFUSED:
            self.handle = None
        return self._leave(cause, now)

    def renew(self, now: float) -> list[Action]:
        """The connection is of no use any more, though it has not ended: go on with another."""
        if self.state not in (State.LIVE, State.DRAINING):
            return []
        return self._leave(Cause.LOST, now)

    def gone(self, generation: int, now: float) -> list[Action]:
        """The socket of a connection that was to be closed is closed."""
        if generation != self.generation:
            return []
        self._held = False
        return self._consider(now)

    def close(self) -> list[Action]:
        """The call ends; idempotent."""
        if self.state is State.CLOSED:
            return []
        self._move(Cause.HUNG_UP)
        return self._close()

    # ---- of what is said ----

    def busy(self, what: Busy, on: bool, now: float) -> list[Action]:
        """Something begins that is not to be cut, or ends."""
        if on is (what in self._busy):
            return []
        if on:
            self._busy.add(what)
            self._stale = self._stale or what is not Busy.PLAYING
            return []
        self._busy.discard(what)
        self._quiet_at = now
        return self._consider(now)

    # ---- time ----

    @property
    def timer(self) -> Timer | None:
        """When `tick` is due next."""
        at = min(self._deadlines(), default=None)
        return Timer(self.generation, at) if at is not None else None

    def tick(self, generation: int, now: float) -> list[Action]:
        """Do what is due by `now`, if the timer was set for the newest connection."""
        return self._consider(now) if generation == self.generation else []

    def _deadlines(self) -> list[float]:
        match self.state:
            case State.LIVE:
                return [self._live_at + ROTATE_SECONDS]
            case State.DRAINING if not self._busy:
                return [self._until, self._quiet_at + HANDLE_SECONDS]
            case State.DRAINING:
                return [self._until]
            case State.CLOSED:
                return []
        if self._down_at is None:
            return []
        deadlines = [self._down_at + BUDGET_SECONDS]
        if not self._told and self._been_live:
            deadlines.append(self._left_at + LATE_SECONDS)
        if self.state is State.RESUMING and not self._held:
            deadlines.append(self._due_at)
        return deadlines

    def _consider(self, now: float) -> list[Action]:
        """What time, or quiet, now allows."""
        if self.state is State.LIVE and now >= self._live_at + ROTATE_SECONDS:
            self._move(Cause.AGED)
            self._until = now + DRAIN_SECONDS
        if self.state is State.DRAINING:
            if not self._busy and (not self._stale or now >= self._quiet_at + HANDLE_SECONDS):
                return self._leave(Cause.QUIET, now)
            return self._leave(Cause.OVERDUE, now) if now >= self._until else []
        if self._down_at is None or self.state in (State.LIVE, State.CLOSED):
            return []
        if now >= self._down_at + BUDGET_SECONDS:
            self._move(Cause.SPENT)
            return [*self._close(), GiveUp("model-lost")]
        actions = self._tell() if now >= self._left_at + LATE_SECONDS else []
        if self.state is State.RESUMING and not self._held and now >= self._due_at:
            self._move(Cause.DUE)
            actions += self._open(now)
        return actions

    # ---- the moves ----

    def _count_refusal(self, code: int, lived: float) -> None:
        """A live connection ended with `code`; soon after it was resumed that is the handle's fault."""
        if lived >= CALM_SECONDS:
            self._refusals = 0
        if code not in PASSING_CODES:
            bad_handle = self.resumed and lived < STEADY_SECONDS
            self._refusals = max(self._refusals + 1, 2 if bad_handle else 1)

    def _leave(self, cause: Cause, now: float) -> list[Action]:
        live = self.state in (State.LIVE, State.DRAINING)
        lived = now - self._live_at if live else 0.0
        planned = cause in (Cause.QUIET, Cause.OVERDUE)
        first = False  # in this outage
        if self._down_at is None or lived >= (SHORTEST_SECONDS if planned else STEADY_SECONDS):
            first, self._down_at = True, now
        self._move(cause)
        at_once = cause is Cause.REFUSED or (first and self._been_live)
        wait = 0.0 if at_once else pause(now - self._down_at, self._chance())
        self._due_at = now + wait
        self._until = float("inf")
        if live:
            self._left_at = now
        return [*self._close(), *([] if planned else self._tell())]

    def _open(self, now: float) -> list[Action]:
        self.generation += 1
        self._held = True
        self.resumed = self.handle is not None
        end = self._opened_at + ATTEMPT_SECONDS
        if self._been_live and self._down_at is not None:
            end = self._down_at + BUDGET_SECONDS
        return [Open(self.generation, self.handle, min(ATTEMPT_SECONDS, end - now))]

    def _close(self) -> list[Action]:
        return [Close(self.generation)] if self._held else []

    def _tell(self) -> list[Action]:
        if self._told or not self._been_live:
            return []
        self._told = True
        return [Tell("reconnecting")]

    def _move(self, cause: Cause) -> None:
        """The one place where the state changes."""
        state = TABLE[self.state].get(cause)
        if state is None:
            raise OurBug(f"{cause.value!r} while {self.state.value}")
        self.state = state


def pause(outage: float, chance: float) -> float:
    """Seconds to wait before another attempt, `outage` seconds after the loss."""
    return min(LONGEST_WAIT, max(FIRST_WAIT, outage / 4) * (1 + SPREAD * chance))
