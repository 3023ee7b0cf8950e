"""RTP packets → what to do for the decoder: play, recover, conceal, or wait. Pure; there is no playout clock.

The model is not an ear: sound may reach it in bursts, so a packet in order goes on at once and only a hole waits.
`push` each packet, then do what `poll` says; while there is a hole, `deadline` is when to poll next at the latest.
The steps of one stream last exactly as long as its timestamps say, but for jumps, which begin with `Reset`.

The rules, each with a test:

1. A packet in order is played at once; its duration is what it says of itself, never a guess.
2. A packet that was played or given up, or is already held, is dropped; so is a payload that is no Opus.
3. A hole waits `HOLD_SECONDS` from the arrival of the first packet after it; only `FEC_HOLD_SECONDS` if a single
   packet is missing and the next can restore it. What is missing may still come, and everything drains.
4. A hole given up is filled: concealed for up to `MAX_CONCEAL_TICKS`, then silent, its last frame from FEC.
5. Timestamps that step forward between neighbours (the sender paused) are silence.
6. Timestamps that step back or more than `MAX_GAP_TICKS` are a new beginning: nothing is filled.
7. Sequence numbers more than `MAX_AHEAD` away are a new beginning once two neighbours agree (RFC 3550, A.1).
8. Another SSRC is a new beginning.
9. After a packet that rule 3 would not have waited for, every hole waits `LATE_HOLD_SECONDS`, until there has been
   no such packet for `LATE_MEMORY_SECONDS`. What comes twice, and what never comes, changes nothing.

`MAX_AHEAD` bounds what is held: there is one place for each sequence number within it.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from relay.audio.packet import CONCEAL_STEP_TICKS, TICKS_PER_SECOND, Shape, shape

# A packet later than this is as good as lost: longer waits are heard as slowness, shorter ones lose Wi-Fi's stragglers.
HOLD_SECONDS: Final = 0.040
# With the lost frame's FEC at hand little is won by waiting for the frame itself.
FEC_HOLD_SECONDS: Final = 0.020
# On a path that reorders, waiting longer drops less: with exponential jitter of mean 20 ms 1 % instead of 7 %.
LATE_HOLD_SECONDS: Final = 0.060
# Such a path has a late packet every second or so; after 5 s without one it has become another path.
LATE_MEMORY_SECONDS: Final = 5.0
# 100 ms: what libopus invents beyond that is a hum.
MAX_CONCEAL_TICKS: Final = TICKS_PER_SECOND // 10
# 3 s: after a longer hole nobody waits for the rest of the sentence.
MAX_GAP_TICKS: Final = 3 * TICKS_PER_SECOND
MAX_AHEAD: Final = 150  # packets: 3 s of 20 ms


@dataclass(frozen=True, slots=True)
class Play:
    """Decode `payload`."""

    payload: bytes
    ticks: int


@dataclass(frozen=True, slots=True)
class Recover:
    """Decode the FEC in `following`, which stands for the `ticks` before it; its own `Play` comes next."""

    following: bytes
    ticks: int


@dataclass(frozen=True, slots=True)
class Conceal:
    """Let the decoder invent `ticks`: a multiple of 2.5 ms, at most `MAX_CONCEAL_TICKS`."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was said for `ticks`, as far as anybody knows."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the decoder: what follows does not continue what came before."""

    ticks: int = 0


Step = Play | Recover | Conceal | Silence | Reset


@dataclass(frozen=True, slots=True)
class _Packet:
    sequence: int
    timestamp: int
    payload: bytes
    shape: Shape
    arrived: float


class JitterBuffer:
    """One microphone's packets, put in order. Counters: packets `late` (or twice), `refused`, `lost`, `restored`."""

    def __init__(self) -> None:
        self._ready: list[Step] = []  # in order, to be given out by the next poll
        self._ready_at = 0.0
        self._held: dict[int, _Packet] = {}
        self._ssrc: int | None = None
        self._sequence: int | None = None  # the next to play; None before the first packet
        self._timestamp = 0  # what the next to play should carry if the sender did not pause
        self._stray: _Packet | None = None  # far from all others; if its neighbour comes, they are right
        self._reset = False
        self._given_up: deque[int] = deque(maxlen=MAX_AHEAD)  # sequence numbers that may still come, too late
        self._patient_until = float("-inf")
        self.late = self.refused = self.lost = self.restored = 0

    def push(self, sequence: int, timestamp: int, payload: bytes, ssrc: int, now: float) -> None:
        """Take one packet that arrived at `now`; `poll` next."""
        found = shape(payload)
        if found is None:
            self.refused += 1
            return
        if sequence == self._sequence and timestamp == self._timestamp and ssrc == self._ssrc and not self._held:
            # in order and nobody waits: what a clean path brings all day, and so the short way
            self._ready.append(Play(payload, found.ticks))
            self._ready_at = now
            self._stray = None
            self._follow(sequence, timestamp, found.ticks)
            return
        packet = _Packet(sequence, timestamp, payload, found, now)
        if ssrc != self._ssrc:
            self._ssrc = ssrc
            self._begin(packet)
        elif abs(ahead := self._ahead(packet)) > MAX_AHEAD:
            self._suspect(packet)
        elif ahead < 0 or sequence in self._held:
            self.late += 1
            if sequence in self._given_up:
                self._given_up.remove(sequence)  # a second copy says nothing new
                self._patient_until = now + LATE_MEMORY_SECONDS
        else:
            if self._needed_patience(packet):
                self._patient_until = now + LATE_MEMORY_SECONDS
            self._held[sequence] = packet
            self._stray = None

    def poll(self, now: float) -> list[Step]:
        """What to do at `now`, in order; empty means wait."""
        steps, self._ready = self._ready, []
        if self._reset:
            self._reset = False
            steps.append(Reset())
        while self._held and self._sequence is not None:
            packet = self._held.pop(self._sequence, None)
            if packet is not None:
                self._play(packet, steps)
                continue
            following = self._first()
            if now < self._give_up_at(following):
                break
            self._fill(following, steps)
        return steps

    def restart(self) -> None:
        """The sender was not listened to for a while: what is held is forgotten, the next packet a new beginning."""
        self._ready, self._held = [], {}
        self._given_up.clear()
        self._ssrc = self._sequence = self._stray = None

    @property
    def deadline(self) -> float | None:
        """When `poll` has something to say even if no packet comes; None while nothing is held."""
        if self._ready:
            return self._ready_at
        if not self._held:
            return None
        following = self._first()
        return following.arrived if self._ahead(following) == 0 else self._give_up_at(following)

    def _begin(self, *packets: _Packet) -> None:
        """Rules 6–8: what was before does not count any more."""
        self._reset = self._sequence is not None
        self._held = {packet.sequence: packet for packet in packets}
        self._given_up.clear()
        self._sequence, self._timestamp = packets[0].sequence, packets[0].timestamp
        self._stray = None

    def _suspect(self, packet: _Packet) -> None:
        """Rule 7: one packet from elsewhere may be a stranger's; two in a row are the sender's."""
        stray, self._stray = self._stray, packet
        if stray is not None and packet.sequence == (stray.sequence + 1) & 0xFFFF:
            self._begin(stray, packet)

    def _play(self, packet: _Packet, steps: list[Step]) -> None:
        """Rules 1, 5 and 6."""
        gap = _signed(packet.timestamp - self._timestamp, 32)
        if not 0 <= gap <= MAX_GAP_TICKS:
            steps.append(Reset())
        elif gap:
            steps.append(Silence(gap))
        steps.append(Play(packet.payload, packet.shape.ticks))
        self._follow(packet.sequence, packet.timestamp, packet.shape.ticks)

    def _follow(self, sequence: int, timestamp: int, ticks: int) -> None:
        self._sequence = (sequence + 1) & 0xFFFF
        self._timestamp = (timestamp + ticks) & 0xFFFFFFFF

    def _fill(self, following: _Packet, steps: list[Step]) -> None:
        """Rule 4: everything before `following` is given up."""
        missing = self._ahead(following)
        self.lost += missing
        self._given_up.extend((following.sequence - n) & 0xFFFF for n in range(missing, 0, -1))
        self._sequence = following.sequence
        gap = _signed(following.timestamp - self._timestamp, 32)
        if not 0 < gap <= MAX_GAP_TICKS:
            return  # `_play` decides
        restored = following.shape.frame_ticks if following.shape.fec and following.shape.frame_ticks <= gap else 0
        concealed = min(gap - restored, MAX_CONCEAL_TICKS) // CONCEAL_STEP_TICKS * CONCEAL_STEP_TICKS
        silent = gap - restored - concealed
        if concealed:
            steps.append(Conceal(concealed))
        if silent:
            steps.append(Silence(silent))
        if restored:
            steps.append(Recover(following.payload, restored))
            self.restored += 1
        self._timestamp = following.timestamp

    def _give_up_at(self, following: _Packet) -> float:
        """Rules 3 and 9: how long the hole before `following` waits."""
        since = self._held_since()
        return since + LATE_HOLD_SECONDS if since < self._patient_until else since + self._usual_hold(following)

    def _usual_hold(self, following: _Packet) -> float:
        """Rule 3."""
        single = self._ahead(following) == 1 and following.shape.fec
        return FEC_HOLD_SECONDS if single else HOLD_SECONDS

    def _needed_patience(self, packet: _Packet) -> bool:
        """Rule 9: by rule 3 alone the place of this packet would have been given up by now."""
        if not self._held:
            return False
        following = self._first()
        filled = self._ahead(packet) < self._ahead(following)
        return filled and packet.arrived > self._held_since() + self._usual_hold(following)

    def _held_since(self) -> float:
        return min(packet.arrived for packet in self._held.values())

    def _first(self) -> _Packet:
        return min(self._held.values(), key=self._ahead)

    def _ahead(self, packet: _Packet) -> int:
        """How many packets come before this one; negative if its time is over."""
        return _signed(packet.sequence - (self._sequence or 0), 16)


def _signed(difference: int, bits: int) -> int:
    """The shorter way round between two counters that wrap."""
    half = 1 << (bits - 1)
    return (difference + half) % (2 * half) - half
