"""One call's side of ICE: it waits to be found, answers checks, and believes an address when that has answered, too.

Pure. It is a lite agent (RFC 8445 §2.5): the browser makes the checks and chooses. A lite agent would believe whatever
address a signed check seems to come from, and an admitted browser could aim a call's sound at a third party by writing
that one's address on it. So each way is asked one signed question of our own, as a full agent would (§7.3.1.4), and is
used when the answer came back on it: a round trip at the beginning, and one when the browser's address changes.

What moves the call to another proven way: the browser nominates it, or sends its sound there, or is silent elsewhere.

Until an address is proven it is sent no more bytes than came from it. A check is as long as our question, so the
question goes first, and what was checked is answered with the proof: we would not send anything else before that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from relay.webrtc.gate import Pace
from relay.webrtc.port import stun

# A browser on four networks, our four addresses; more are somebody who tries to fill the table.
MAX_WAYS: Final = 16
# Chromium makes 20 checks a second at most for all of its pairs, while it has no connection.
CHECKS_PER_SECOND: Final = 100.0
BURST_CHECKS: Final = 200.0
# A question that is lost is asked again when the browser is next heard, after this and twice as long each time.
ASK_AGAIN_SECONDS: Final = 0.1
MAX_ASKED: Final = 7  # RFC 8489 §6.2.1: Rc; then it begins again with the first wait, for a way may have been dark
# A check that is lost is sent again with the same transaction, so often at most (RFC 8489 §6.2.1: Rc).
MAX_SENT: Final = 7
# Checks that are known again: one that comes again from elsewhere was overheard, and is not the browser's. A browser
# that has a connection makes one every 2.5 s, or two.
MAX_SEEN: Final = 256
# Chromium repeats its nomination with every check; older agents nominate all that works, and mean the best of it.
NOMINATIONS_APART_SECONDS: Final = 1.0
# Browsers check the way they use every 2.5 to 6 s (RFC 7675 §5.1); after this another one that works is taken.
SILENT_SECONDS: Final = 3.0
# Packets of the old way may still be in flight when the first came on the new one.
STRAY_SECONDS: Final = 0.5
# RFC 7675 §5.1: a browser that has not been heard for so long no longer wants to be sent anything.
CONSENT_SECONDS: Final = 30.0
PRIORITY: Final = 110 << 24 | 65535 << 8 | 255  # §5.1.2.1, of a peer-reflexive candidate

Route = tuple[Any, tuple[Any, ...]]
"""our socket, and the address beyond it as that socket gives it"""

NEVER: Final = float("-inf")


@dataclass(slots=True)
class Way:
    """One way to the browser, as long as it is remembered. Times are monotonic seconds."""

    route: Route
    question: bytes  # the transaction that proves it
    heard: float  # when a checked packet last came
    priority: int = 0
    nominated: float = NEVER
    proven: bool = False
    asked: int = 0
    ask_at: float = NEVER  # not before
    credit: int = 0  # bytes that came from there, less those that went; counted until it is proven
    owed: bytes = b""  # the answer for which there was no credit


@dataclass(slots=True)
class LiteAgent:
    """`user` and `password` are ours; the browser's come with `meet`. `mark` is what our transactions begin with.

    `in_use` is the way to send on, None before there is one. `forgotten` are proven ways that are not kept any more:
    the owner takes them from there. `dropped` counts by cause: ``rate``, ``unsigned``, ``strange``, ``role``,
    ``again``.
    """

    user: str
    password: bytes
    mark: bytes
    random: Callable[[int], bytes]  # so many unguessable bytes
    in_use: Way | None = None
    ways: dict[Route, Way] = field(default_factory=dict)
    forgotten: list[Way] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    checks: int = 0  # that were signed with our password
    _their_user: str = ""
    _their_password: bytes = b""
    _moved: float = NEVER
    _seen: dict[bytes, dict[Route, int]] = field(default_factory=dict)  # each check: where it came from, how often
    _pace: Pace = field(default_factory=lambda: Pace(CHECKS_PER_SECOND, BURST_CHECKS))

    def meet(self, user: str, password: str) -> None:
        """Learn who the browser is; before this every check is answered with silence."""
        self._their_user, self._their_password = user, password.encode()

    def take(self, data: bytes, route: Route, now: float) -> list[bytes]:
        """One STUN datagram; gives what is to be sent back on its route, never more than a question and an answer.

        No answer is longer than what it answers, and without our password there is none, nor does such a check use
        up what the browser may ask.
        """
        message = stun.read(data)
        if message is None:
            return self._drop("strange")
        if message.kind == stun.REQUEST:
            return self._answer(message, route, now)
        return self._believe(message, route, now)

    def follow(self, route: Route, size: int, now: float) -> list[bytes]:
        """A packet of the call's own sound, opened with its key, came on a route that is not in use: `size` bytes.

        On a proven way the call moves there; another one is asked first.
        """
        way = self._way(route, now)
        way.heard = now
        if way.proven:
            if now - self._moved > STRAY_SECONDS or not self._stands():
                self._use(way, now)
            return []
        way.credit += size
        return self._ask(way, now)

    def doubt(self, route: Route, now: float) -> None:
        """Another call has proven that this address is its own: our browser has to answer another question there.

        If it was in use, the call is on another that is proven, as soon as there is one.
        """
        way = self.ways.get(route)
        if way is not None:
            way.proven, way.question, way.owed = False, self._question(), b""
            way.asked, way.ask_at, way.credit = 0, NEVER, 0
            if way is self.in_use and (other := self._heard_last()) is not None:
                self._use(other, now)

    def leave(self, socket: Any) -> None:
        """One of our sockets is no more: of the other ways that are proven the one last heard is used, if any."""
        for route in [route for route in self.ways if route[0] is socket]:
            del self.ways[route]
        if self.in_use is not None and self.in_use.route[0] is socket:
            self.in_use = self._heard_last()

    def consents(self, now: float) -> bool:
        """The browser has been heard on the way that is in use; see `CONSENT_SECONDS`."""
        return self.in_use is not None and now - self.in_use.heard < CONSENT_SECONDS

    def _answer(self, message: stun.Message, route: Route, now: float) -> list[bytes]:
        ours, _, theirs = message.user.partition(":")
        if not self._their_user or ours != self.user or theirs != self._their_user:
            return self._drop("strange")
        if not message.signed_with(self.password):
            return self._drop("unsigned")
        known = self.ways.get(route)
        seen = self._seen.get(message.transaction)
        if seen is None:
            if not self._pace.admit(now):
                return self._drop("rate")
            if len(self._seen) >= MAX_SEEN:
                del self._seen[next(iter(self._seen))]
            seen = self._seen[message.transaction] = {}
        elif seen.get(route, 0) >= MAX_SENT or not (route in seen or (known is not None and known.proven)):
            return self._drop("again")
        first = route not in seen
        seen[route] = seen.get(route, 0) + 1
        self.checks += 1
        if message.controlled:
            self._drop("role")
            answer = stun.refusal(message.transaction, stun.ROLE_CONFLICT, self.password)
            return [answer] if len(answer) <= message.size else []
        answer = stun.success(message.transaction, route[1][:2], self.password)
        if len(answer) > message.size:
            return self._drop("strange")
        way = known or self._way(route, now)
        if first:  # what is repeated may be overheard, and changes nothing
            way.heard, way.priority = now, message.priority
            if message.nominates:
                way.nominated = now
        if not way.proven:
            way.credit += message.size
            questions, way.owed = self._ask(way, now), answer
            return [*questions, *self._pay(way)]
        if first:
            self._consider(way, now)
        return [answer]

    def _believe(self, message: stun.Message, route: Route, now: float) -> list[bytes]:
        way = self.ways.get(route)
        if way is None or way.question != message.transaction:
            return self._drop("strange")
        if message.kind != stun.SUCCESS or not message.signed_with(self._their_password):
            return self._drop("unsigned")
        if way.proven:
            return []
        way.proven, way.heard = True, now
        self._consider(way, now)
        way.credit += message.size
        return self._pay(way)

    def _ask(self, way: Way, now: float) -> list[bytes]:
        if now < way.ask_at:
            return []
        user = f"{self._their_user}:{self.user}"
        question = stun.request(way.question, user, PRIORITY, way.question[4:], self._their_password)
        if len(question) > way.credit:
            return []
        way.credit -= len(question)
        way.ask_at = now + ASK_AGAIN_SECONDS * (1 << way.asked)
        way.asked = (way.asked + 1) % MAX_ASKED
        return [question]

    def _pay(self, way: Way) -> list[bytes]:
        """The answer that is owed, if there is credit for it."""
        answer = way.owed
        if not answer or len(answer) > way.credit:
            return []
        way.credit, way.owed = way.credit - len(answer), b""
        return [answer]

    def _consider(self, way: Way, now: float) -> None:
        """Move to this proven way, if it is better than the one in use."""
        used = self.in_use
        if used is None or not used.proven:
            self._use(way, now)
            return
        apart = way.nominated - used.nominated  # not a number if neither was
        chosen = apart > 0 and (way.priority > used.priority or apart > NOMINATIONS_APART_SECONDS)
        if chosen or now - used.heard > SILENT_SECONDS:
            self._use(way, now)

    def _heard_last(self) -> Way | None:
        proven = (way for way in self.ways.values() if way.proven)
        return max(proven, key=lambda way: way.heard, default=None)

    def _stands(self) -> bool:
        return self.in_use is not None and self.in_use.proven

    def _use(self, way: Way, now: float) -> None:
        if way is not self.in_use:
            self.in_use, self._moved = way, now

    def _way(self, route: Route, now: float) -> Way:
        way = self.ways.get(route)
        if way is None:
            if len(self.ways) >= MAX_WAYS:
                others = (known for known in self.ways.values() if known is not self.in_use)
                oldest = min(others, key=lambda known: (known.proven, known.heard))
                del self.ways[oldest.route]
                if oldest.proven:
                    self.forgotten.append(oldest)
            way = self.ways[route] = Way(route, self._question(), now)
        return way

    def _question(self) -> bytes:
        return self.mark + self.random(12 - len(self.mark))

    def _drop(self, cause: str) -> list[bytes]:
        self.dropped[cause] = self.dropped.get(cause, 0) + 1
        return []
