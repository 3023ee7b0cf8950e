"""What is counted of the calls: sums of the live ones and of those that ended, and no trace of who called. Pure.

Nothing is reported where sound passes: each room of a call counts in whole numbers of its own, and whoever wants to
know reads them. A live call is read when it is asked for; one that ends is read once more and its figures are kept, so
no sum ever falls and nothing is lost between two readings.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from relay.cost import Spent
from relay.histogram import Histogram
from relay.microphone import Death, Microphone

if TYPE_CHECKING:
    from relay.downlink import Downlink
    from relay.gemini.client import Traffic
    from relay.gemini.upstream import Changes
    from relay.uplink import Uplink
    from relay.warden import Warden
    from relay.webrtc.gate import Gate

_JITTERS: Final = ("in_order", "red", "fec", "concealed", "lost", "late", "duplicate", "refused")
FATES: Final = (*_JITTERS, "undecodable")
"""What became of the microphone's packets; `audio.jitter` says what the words mean."""
CAUSES: Final = ("type", "size", "ssrc", "rate", "red", "junk", "video", "srtp")
"""Why a packet was not let in: seven of `webrtc.gate`, and SRTP that is not this call's."""
CHANGES: Final = ("planned", "lost", "afresh")
"""Why a connection to the model was left for the next; and how many of these had to be told what was said."""
SKIPPED: Final = ("broken", "unknown")
"""What the model sent and nobody acted on: not the wire format, or nothing that we know."""
DEATHS: Final = tuple(death.value for death in Death)
"""How microphones were found dead that were said to be on; `microphone` says what the words mean."""
KINDS: Final = ("plain", "red1", "red2", "red3")
"""What was to go out: bare Opus, or with one, two or three earlier packets beside it (RFC 2198)."""

# Seconds from the model's first byte of an answer to its first packet on the wire: the relay's own share.
FIRST_PACKET_EDGES: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.010, 0.020, 0.050, 0.100)
# Seconds from the end of the user's speech to the first packet of the answer: what a caller feels, mostly the model.
ANSWER_EDGES: Final = (0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
# Seconds that a garbage collection holds up the loop.
PAUSE_EDGES: Final = (0.0005, 0.001, 0.002, 0.005, 0.010, 0.020, 0.050, 0.100, 0.250)

log = logging.getLogger(__name__)


class Promptness:
    """How long one caller waits for sound; told of edges and of first sounds, it counts the times between.

    `clock` times what takes a part of a millisecond: an event loop's own may stand still while a callback runs, as
    uvloop's does, and tell whole milliseconds only.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.first_packet = Histogram(FIRST_PACKET_EDGES)
        self.answer = Histogram(ANSWER_EDGES)
        self._stopped: float | None = None  # when the user did, and has not been answered
        self._spoke: float | None = None  # when the model did, by `clock`, and has not been heard
        self._sounding: float | None = None  # since when we are

    def user_started(self) -> None:
        """The user speaks: the question is not over."""
        self._stopped = None

    def user_stopped(self, at: float) -> None:
        """The user stopped at `at`, which is known half a second later; the answer may have begun meanwhile."""
        if self._sounding is not None and self._sounding >= at:
            self.answer.add(self._sounding - at)
        else:
            self._stopped = at

    def model_spoke(self) -> None:
        """Sound came from the model, now."""
        if self._sounding is None and self._spoke is None:
            self._spoke = self._clock()

    def sound_started(self, now: float) -> None:
        """The first packet of it has left at `now`."""
        if self._spoke is not None:
            self.first_packet.add(self._clock() - self._spoke)
        if self._stopped is not None:
            self.answer.add(now - self._stopped)
        self._stopped = self._spoke = None
        self._sounding = now

    def sound_stopped(self) -> None:
        """The last packet of it left, or it was interrupted."""
        self._sounding = self._spoke = None


@dataclass(slots=True)
class CallFigures:
    """Sums of one call or of many; each only grows."""

    packets_in: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FATES, 0))
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    packets_out: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    changes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHANGES, 0))
    deaths: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DEATHS, 0))
    skipped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SKIPPED, 0))
    troubles: dict[str, int] = field(default_factory=dict)  # of the model: "trouble remedy", see `watchdog`
    unsent: int = 0
    underruns: int = 0
    first_packet: Histogram = field(default_factory=lambda: Histogram(FIRST_PACKET_EDGES))
    answer: Histogram = field(default_factory=lambda: Histogram(ANSWER_EDGES))

    def include(self, other: "CallFigures") -> None:
        """Add `other` to these."""
        _add(self.packets_in, other.packets_in)
        _add(self.dropped, other.dropped)
        _add(self.packets_out, other.packets_out)
        _add(self.troubles, other.troubles)
        _add(self.changes, other.changes)
        _add(self.skipped, other.skipped)
        _add(self.deaths, other.deaths)
        self.unsent += other.unsent
        self.underruns += other.underruns
        self.first_packet.include(other.first_packet)
        self.answer.include(other.answer)

    def add_sound(self, uplink: "Uplink", downlink: "Downlink", promptness: Promptness) -> None:
        """Add what a call's two lines of sound have counted."""
        jitter = uplink.jitter
        for fate in _JITTERS:
            self.packets_in[fate] += getattr(jitter, fate)
        self.packets_in["undecodable"] += uplink.undecodable
        self.dropped["rate"] += uplink.hurried
        tried = downlink.packets + downlink.unsent
        for kind, count in zip(KINDS, (tried - sum(downlink.protected), *downlink.protected), strict=True):
            self.packets_out[kind] += count
        self.unsent += downlink.unsent
        self.underruns += downlink.playout.underruns
        self.first_packet.include(promptness.first_packet)
        self.answer.include(promptness.answer)

    def add_model(self, changes: "Changes", traffic: "Traffic") -> None:
        """Add what became of a call's connections to the model, and of what came on them."""
        counts = {"planned": changes.left - changes.lost, "lost": changes.lost, "afresh": changes.afresh}
        _add(self.changes, counts)
        _add(self.skipped, {"broken": traffic.frames_broken, "unknown": traffic.frames_unknown})

    def add_microphone(self, microphone: Microphone) -> None:
        """Add how often its microphone was found dead."""
        _add(self.deaths, {death.value: count for death, count in microphone.deaths.items()})

    def add_troubles(self, warden: "Warden") -> None:
        """Add what the model was met with for not answering."""
        _add(self.troubles, {f"{t.value} {remedy.value}": n for (t, remedy), n in warden.troubles.items()})

    def add_line(self, gate: "Gate | None", rejected: int) -> None:
        """Add what a connection has not let in."""
        if gate is not None:
            _add(self.dropped, gate.dropped)
            self.packets_in["duplicate"] += gate.repeated
        self.dropped["srtp"] += rejected


def _add(sums: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        if count:
            sums[name] = sums.get(name, 0) + count


@dataclass(frozen=True, slots=True)
class Quality:
    """How one call's path is now; None for what is not known (yet)."""

    jitter: float | None = None  # seconds, of what comes (RFC 3550 §6.4.1)
    loss_up: float | None = None  # share of the packets expected so far that did not come
    loss_down: float | None = None  # share that the browser missed by its last report
    round_trip: float | None = None  # seconds, by the same


class Live(Protocol):
    """A call as it is counted."""

    @property
    def reason(self) -> str:
        """How it ended, in a word."""
        ...

    def figures(self) -> CallFigures: ...

    async def quality(self) -> Quality: ...


class Metrics:
    """All calls of this process. `cpu` is the process's CPU time in seconds, `now` monotonic seconds.

    `spent` is what all of them have cost so far, in money of that `currency`, empty if no prices are known.
    """

    def __init__(self, cpu: Callable[[], float], spent: Spent | None = None, currency: str = "") -> None:
        self.spent = spent or Spent()
        self.currency = currency
        self.ended: Counter[str] = Counter()  # by reason
        self.refused: Counter[str] = Counter()  # by code
        self.opened = 0
        self.pauses = Histogram(PAUSE_EDGES)  # of the garbage collector
        self._calls: dict[Live, None] = {}
        self._past = CallFigures()
        self._cpu = cpu
        self._cpu_before = self._cpu_spent = 0.0
        self._changed = self._call_seconds = 0.0

    @property
    def calls(self) -> list[Live]:
        """Who is live."""
        return list(self._calls)

    def enter(self, call: Live, now: float) -> None:
        """A call begins. It owes one `leave`."""
        self._pass(now)
        self._calls[call] = None
        self.opened += 1

    def leave(self, call: Live, now: float) -> None:
        """It is over, and everything in it closed: its figures are kept; a second time does nothing."""
        if call not in self._calls:
            return
        self._pass(now)
        del self._calls[call]
        self._past.include(figures_of(call))
        self.ended[call.reason] += 1

    def refuse(self, code: str) -> None:
        """Somebody was refused, with that code of `errors.FAULTS`."""
        self.refused[code] += 1

    def past(self) -> CallFigures:
        """The sums of the calls that have ended; yours to add to."""
        sums = CallFigures()
        sums.include(self._past)
        return sums

    def call_seconds(self, now: float) -> float:
        """How long all calls together have lasted."""
        self._pass(now)
        return self._call_seconds

    def cpu_seconds(self, now: float) -> float:
        """CPU time of this process while at least one call was live."""
        self._pass(now)
        return self._cpu_spent

    def _pass(self, now: float) -> None:
        """Account for the time since this was called last."""
        cpu = self._cpu()
        if self._calls:
            self._call_seconds += len(self._calls) * (now - self._changed)
            self._cpu_spent += cpu - self._cpu_before
        self._changed, self._cpu_before = now, cpu


def figures_of(call: Live) -> CallFigures:
    """A call's figures; one that cannot be read counts for nothing, and keeps nobody from the others'."""
    try:
        return call.figures()
    except Exception:
        log.exception("a call's figures cannot be read")
        return CallFigures()


def middle_and_worst(values: Iterable[float | None]) -> tuple[float, float] | None:
    """The median and the largest of what is known; None if nothing is."""
    known = sorted(value for value in values if value is not None)
    return (known[len(known) // 2], known[-1]) if known else None
