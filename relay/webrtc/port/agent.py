"""One call's side of ICE: it waits to be found, answers checks, and believes an address when that has answered, too.

Pure. It is a lite agent (RFC 8445 §2.5): the browser makes the checks and chooses. A lite agent would believe whatever
address a signed check seems to come from, and an admitted browser could aim a call's sound at a third party by writing
that one's address on it. So each path is asked one signed question of our own, as a full agent would (§7.3.1.4), and is
used when the answer came back on it: a round trip at the beginning, and one when the browser's address changes.

What moves the call to another proven path: the browser nominates it, or sends its sound there, or is silent elsewhere.

Until an address is proven it is sent no more bytes than came from it. A check is as long as our question, so the
question goes first, and what was checked is answered with the proof: we would not send anything else before that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from relay.webrtc.gate import Pace
from relay.webrtc.port import stun

# A browser on four networks, our four addresses; more are somebody who tries to fill the table.
MAX_PATHS: Final = 16
# Chromium makes 20 checks a second at most for all of its pairs, while it has no connection.
CHECKS_PER_SECOND: Final = 100.0
BURST_CHECKS: Final = 200.0
# A question that is lost is asked again when the browser is next heard, after this and twice as long each time.
ASK_AGAIN_SECONDS: Final = 0.1
MAX_ASKED: Final = 7  # RFC 8489 §6.2.1: Rc; then it begins again with the first wait, for a path may have been dark
# A check that is lost is sent again with the same transaction, so often at most (RFC 8489 §6.2.1: Rc).
MAX_SENT: Final = 7
# Checks that are known again: whoever has overheard one of them and repeats it elsewhere is not the browser. A browser
# that has a connection makes one every 2.5 s, or two.
MAX_SEEN: Final = 256
# Chromium repeats its nomination with every check; older agents nominate all that works, and mean the best of it.
NOMINATIONS_APART_SECONDS: Final = 1.0
# Browsers check the path they use every 2.5 to 6 s (RFC 7675 §5.1); after this another one that works is taken.
SILENT_SECONDS: Final = 3.0
# Packets of the old path may still be on their way when the first came on the new one.
STRAY_SECONDS: Final = 0.5
# RFC 7675 §5.1: whoever has not been heard for so long no longer wants to be sent anything.
CONSENT_SECONDS: Final = 30.0
PRIORITY: Final = 110 << 24 | 65535 << 8 | 255  # §5.1.2.1, of a peer-reflexive candidate

Route = tuple[Any, tuple[Any, ...]]
"""our socket, and the address beyond it as that socket gives it"""

NEVER: Final = float("-inf")


@dataclass(slots=True)
class Path:
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
class Agent:
    """`user` and `password` are ours; the browser's come with `meet`. `mark` is what our transactions begin with.

    `in_use` is the path to send on, None before there is one. `forgotten` are proven paths that are not kept any more:
    the owner takes them from there. `dropped` counts by cause: ``rate``, ``unsigned``, ``strange``, ``role``,
    ``again``.
    """

    user: str
    password: bytes
    mark: bytes
    random: Callable[[int], bytes]  # so many unguessable bytes
    in_use: Path | None = None
    paths: dict[Route, Path] = field(default_factory=dict)
    forgotten: list[Path] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    checks: int = 0  # that were signed with our password
    _their_user: str = ""
    _their_password: bytes = b""
    _moved: float = NEVER
    _seen: dict[bytes, dict[Route, int]] = field(default_factory=dict)  # each check: where it came from, how often
    _pace: Pace = field(default_factory=lambda: Pace(CHECKS_PER_SECOND, BURST_CHECKS))

    def meet(self, user: str, password: str) -> None:
        """Learn whom we talk to; before this every check is answered with silence."""
        self._their_user, self._their_password = user, password.encode()

    def take(self, data: bytes, route: Route, now: float) -> list[bytes]:
        """One STUN datagram; gives what is to be sent back on its route, never more than a question and an answer.

        No answer is longer than what it answers, and whoever does not know our password gets none: nor does he use up
        what the browser may ask.
        """
        message = stun.read(data)
        if message is None:
            return self._drop("strange")
        if message.kind == stun.REQUEST:
            return self._answer(message, route, now)
        return self._believe(message, route, now)

    def follow(self, route: Route, size: int, now: float) -> list[bytes]:
        """A packet of the call's own sound, opened with its key, came on a route that is not in use: `size` bytes.

        On a proven path the call moves there; another one is asked first.
        """
        path = self._path(route, now)
        path.heard = now
        if path.proven:
            if now - self._moved > STRAY_SECONDS or not self._stands():
                self._use(path, now)
            return []
        path.credit += size
        return self._ask(path, now)

    def doubt(self, route: Route, now: float) -> None:
        """Somebody else has proven that this address is his: ours has to answer another question there.

        If it was in use, the call is on another that is proven, as soon as there is one.
        """
        path = self.paths.get(route)
        if path is not None:
            path.proven, path.question, path.owed = False, self._question(), b""
            path.asked, path.ask_at, path.credit = 0, NEVER, 0
            if path is self.in_use and (other := self._heard_last()) is not None:
                self._use(other, now)

    def leave(self, socket: Any) -> None:
        """One of our sockets is no more: of the other paths that are proven the one last heard is used, if any."""
        for route in [route for route in self.paths if route[0] is socket]:
            del self.paths[route]
        if self.in_use is not None and self.in_use.route[0] is socket:
            self.in_use = self._heard_last()

    def consents(self, now: float) -> bool:
        """The browser has been heard on the path that is in use; see `CONSENT_SECONDS`."""
        return self.in_use is not None and now - self.in_use.heard < CONSENT_SECONDS

    def _answer(self, message: stun.Message, route: Route, now: float) -> list[bytes]:
        ours, _, theirs = message.user.partition(":")
        if not self._their_user or ours != self.user or theirs != self._their_user:
            return self._drop("strange")
        if not message.signed_with(self.password):
            return self._drop("unsigned")
        known = self.paths.get(route)
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
        path = known or self._path(route, now)
        if first:  # what is repeated may be overheard, and changes nothing
            path.heard, path.priority = now, message.priority
            if message.nominates:
                path.nominated = now
        if not path.proven:
            path.credit += message.size
            questions, path.owed = self._ask(path, now), answer
            return [*questions, *self._pay(path)]
        if first:
            self._consider(path, now)
        return [answer]

    def _believe(self, message: stun.Message, route: Route, now: float) -> list[bytes]:
        path = self.paths.get(route)
        if path is None or path.question != message.transaction:
            return self._drop("strange")
        if message.kind != stun.SUCCESS or not message.signed_with(self._their_password):
            return self._drop("unsigned")
        if path.proven:
            return []
        path.proven, path.heard = True, now
        self._consider(path, now)
        path.credit += message.size
        return self._pay(path)

    def _ask(self, path: Path, now: float) -> list[bytes]:
        if now < path.ask_at:
            return []
        user = f"{self._their_user}:{self.user}"
        question = stun.request(path.question, user, PRIORITY, path.question[4:], self._their_password)
        if len(question) > path.credit:
            return []
        path.credit -= len(question)
        path.ask_at = now + ASK_AGAIN_SECONDS * (1 << path.asked)
        path.asked = (path.asked + 1) % MAX_ASKED
        return [question]

    def _pay(self, path: Path) -> list[bytes]:
        """The answer that is owed, if there is credit for it."""
        answer = path.owed
        if not answer or len(answer) > path.credit:
            return []
        path.credit, path.owed = path.credit - len(answer), b""
        return [answer]

    def _consider(self, path: Path, now: float) -> None:
        """Move to this proven path, if it is better than the one in use."""
        used = self.in_use
        if used is None or not used.proven:
            self._use(path, now)
            return
        apart = path.nominated - used.nominated  # not a number if neither was
        chosen = apart > 0 and (path.priority > used.priority or apart > NOMINATIONS_APART_SECONDS)
        if chosen or now - used.heard > SILENT_SECONDS:
            self._use(path, now)

    def _heard_last(self) -> Path | None:
        proven = (path for path in self.paths.values() if path.proven)
        return max(proven, key=lambda path: path.heard, default=None)

    def _stands(self) -> bool:
        return self.in_use is not None and self.in_use.proven

    def _use(self, path: Path, now: float) -> None:
        if path is not self.in_use:
            self.in_use, self._moved = path, now

    def _path(self, route: Route, now: float) -> Path:
        path = self.paths.get(route)
        if path is None:
            if len(self.paths) >= MAX_PATHS:
                others = (known for known in self.paths.values() if known is not self.in_use)
                oldest = min(others, key=lambda known: (known.proven, known.heard))
                del self.paths[oldest.route]
                if oldest.proven:
                    self.forgotten.append(oldest)
            path = self.paths[route] = Path(route, self._question(), now)
        return path

    def _question(self) -> bytes:
        return self.mark + self.random(12 - len(self.mark))

    def _drop(self, cause: str) -> list[bytes]:
        self.dropped[cause] = self.dropped.get(cause, 0) + 1
        return []
