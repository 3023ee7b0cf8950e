"""RTP packets → what to do for the decoder: play, recover, conceal, or wait. Pure; there is no playout clock.

The model is not an ear: sound may reach it in bursts, so a packet in order goes on at once and only a hole waits.
For each packet ask `follows`: if it does, play it at once, and that is all. If not, `push` it and do what `poll` says;
while there is a hole, `deadline` is when to poll next at the latest.
The steps of one stream last exactly as long as its timestamps say, but for jumps, which begin with `Reset`.

The rules, each with a test:

1. A packet in order is played at once; its duration is what it says of itself, never a guess.
2. A packet that was played or is already held is dropped as a duplicate, one that was given up as late; a payload that
   is no Opus is refused.
3. A hole waits `HOLD_SECONDS` from the arrival of the first packet after it; only `FEC_HOLD_SECONDS` if a single
   packet is missing and the next can restore it. What is missing may still come, and everything drains.
4. A hole given up is filled: concealed for up to `MAX_CONCEAL_TICKS`, then silent, its last frame from FEC.
5. Timestamps that step forward between neighbours (the sender paused) are silence.
6. Timestamps that step back or more than `MAX_GAP_TICKS` are a new beginning: nothing is filled.
7. Sequence numbers more than `MAX_AHEAD` away are a new beginning once two neighbours agree (RFC 3550, A.1).
8. Another SSRC is a new beginning.
9. After packets that rule 3 would not have waited for, every hole waits `HOLD_SECONDS` at least, and as long as the
   latest of them needed (see `patience`). What comes twice, and what never comes, changes nothing.
10. A copy (RFC 2198) of a packet that is missing is held as if the packet had come, for it is the same bit by bit: a
    hole that copies cover waits for nothing, and of a longer one the FEC in the oldest copy restores one more frame. If
    the packet still comes, it takes its copy's place, or is a duplicate. A copy of any other packet is nothing.

`MAX_AHEAD` bounds what is held: there is one place for each sequence number within it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from relay.audio.packet import (
    CONCEAL_STEP_TICKS,
    FRAME_TICKS,
    ONE_FRAME_TICKS,
    TICKS_PER_SECOND,
    duration,
    fec_ticks,
)
from relay.audio.patience import Patience
from relay.audio.red import Block
from relay.audio.step import Conceal, Play, Recover, Reset, Silence, Step

# A packet later than this is as good as lost: longer waits are heard as slowness, shorter ones lose Wi-Fi's stragglers.
HOLD_SECONDS: Final = 0.040
# With the lost frame's FEC at hand little is won by waiting for the frame itself.
FEC_HOLD_SECONDS: Final = 0.020
# 100 ms: what libopus invents beyond that is a hum.
MAX_CONCEAL_TICKS: Final = TICKS_PER_SECOND // 10
# 3 s: after a longer hole nobody waits for the rest of the sentence.
MAX_GAP_TICKS: Final = 3 * TICKS_PER_SECOND
MAX_AHEAD: Final = 150  # packets: 3 s of 20 ms
NOWHERE: Final = -1  # the sequence number of no packet


@dataclass(frozen=True, slots=True)
class _Packet:
    sequence: int
    timestamp: int
    payload: bytes
    ticks: int
    arrived: float
    copied: bool = False  # from a later packet


class JitterBuffer:
    """One microphone's packets, put in order; its counters only rise.

    Every packet that came is `in_order` once it has been played, or `late` (its place had been given up), or a
    `duplicate`, or `refused` (no Opus, or from elsewhere). Every place that was passed is `in_order`, or `red` (a copy
    was played), or `lost`; of the lost ones `fec` restored some, and `concealed` counts the frames of 20 ms that the
    decoder was left to invent.
    """

    def __init__(self) -> None:
        self._held: dict[int, _Packet] = {}
        self._ssrc: int | None = None
        # The next to play: its sequence number, and its timestamp if the sender did not pause. `follows` lets both run
        # past their wrap; the packet beyond it does not follow then, and its player winds them back.
        self._sequence = NOWHERE
        self._timestamp = 0
        self._before = -NOWHERE  # how many places were passed before the one with sequence number 0
        self._began = 0  # how many before the stream's first
        self._stray: _Packet | None = None  # far from all others; if its neighbour comes, they are right,
        self._stray_before = NOWHERE  # unless the stream has gone on from here meanwhile
        self._reset = False
        # places whose packets may still come, too late, and since when one knew that they were missing
        self._given_up: dict[int, float] = {}
        self._patience = Patience()
        self.red = self.fec = self.concealed = self.lost = self.late = self.duplicate = self.refused = 0

    def follows(self, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> bool:
        """Whether this packet is exactly the next and nobody waits. True: it is taken, decode it at once.

        False: nothing has changed, and it is to be pushed. This is what a clean path asks all day, and so it does as
        little as it can: how long the payload may be is the gate's business, and libopus's.
        """
        if sequence != self._sequence or timestamp != self._timestamp or ssrc != self._ssrc or self._held:
            return False
        try:
            ticks = ONE_FRAME_TICKS[payload[0]]
        except IndexError:
            return False
        if not ticks:
            return False
        self._sequence = sequence + 1
        self._timestamp = timestamp + ticks
        return True

    def push(
        self, sequence: int, timestamp: int, payload: bytes, ssrc: int, now: float, redundant: Sequence[Block] = ()
    ) -> None:
        """Take one packet that arrived at `now`, with copies of earlier ones; `poll` next."""
        ticks = duration(payload)
        if not ticks:
            self.refused += 1
            return
        packet = _Packet(sequence, timestamp, payload, ticks, now)
        if ssrc != self._ssrc:
            self._ssrc = ssrc
            self._begin(packet)
        elif abs(ahead := self._ahead(packet)) > MAX_AHEAD:
            self._suspect(packet)
        elif ahead < 0:
            self._came_after(self._passed + ahead, now)
        else:
            self._hold(packet)
            self._hold_copies(packet, redundant)

    def poll(self, now: float) -> list[Step]:
        """What to do at `now`, in order; empty means wait."""
        steps: list[Step] = []
        if self._reset:
            self._reset = False
            steps.append(Reset())
        while self._held:
            packet = self._held.pop(self._sequence & 0xFFFF, None)
            if packet is not None:
                self._play(packet, steps)
                continue
            following = self._first()
            if now < self._give_up_at(following):
                break
            self._fill(following, steps)
        return steps

    def gap(self, timestamp: int, ssrc: int) -> int | None:
        """Ticks from the end of what was given out to `timestamp`, below 0 if that is before it.

        None: that is another stream's, and there is no telling.
        """
        return None if ssrc != self._ssrc else _signed(timestamp - self._timestamp, 32)

    def restart(self) -> None:
        """The sender was not listened to for a while: what is held is forgotten, the next packet a new beginning."""
        self._forget()
        self._ssrc = None
        self._go_to(NOWHERE)

    @property
    def deadline(self) -> float | None:
        """When `poll` has something to say even if no packet comes; None while nothing is held."""
        if not self._held:
            return None
        following = self._first()
        return following.arrived if self._ahead(following) == 0 else self._give_up_at(following)

    @property
    def in_order(self) -> int:
        """How many packets have been played."""
        return self._passed - self.red - self.lost

    @property
    def _passed(self) -> int:
        """How many places come before the next to play, since the first of all."""
        return self._before + self._sequence

    def _go_to(self, sequence: int) -> None:
        """The next to play has this number; that passes no place."""
        self._before += self._sequence - sequence
        self._sequence = sequence

    def _forget(self) -> None:
        self._before += len(self._held)
        self.lost += len(self._held)
        self._held = {}
        self._given_up.clear()
        self.refused += self._stray is not None
        self._stray = None

    def _begin(self, *packets: _Packet) -> None:
        """Rules 6–8: what was before does not count any more."""
        self._forget()
        self._reset = self._sequence != NOWHERE
        self._held = {packet.sequence: packet for packet in packets}
        self._go_to(packets[0].sequence)
        self._timestamp = packets[0].timestamp
        self._began = self._passed

    def _suspect(self, packet: _Packet) -> None:
        """Rule 7: one packet from elsewhere may be a stranger's; two in a row are the sender's."""
        stray, before = self._stray, self._stray_before
        if stray is not None and before == self._sequence and packet.sequence == (stray.sequence + 1) & 0xFFFF:
            self._stray = None
            self._begin(stray, packet)
            return
        self.refused += stray is not None
        self._stray, self._stray_before = packet, self._sequence

    def _hold(self, packet: _Packet) -> None:
        copy = self._held.get(packet.sequence)
        if copy is None:
            self._learn_from(packet)
            self._held[packet.sequence] = packet
        elif copy.copied:
            self._held[packet.sequence] = replace(packet, arrived=copy.arrived)
        else:
            self.duplicate += 1

    def _hold_copies(self, packet: _Packet, redundant: Sequence[Block]) -> None:
        """Rule 10. A copy's distance tells whose it is; if the sender paused it is nearer, but not before the hole."""
        for ticks_before, payload in redundant:
            ticks = duration(payload)
            timestamp = packet.timestamp - ticks_before & 0xFFFFFFFF
            if not ticks or _signed(timestamp - self._timestamp, 32) < 0:
                continue
            back = min(ticks_before // ticks, self._ahead(packet))
            sequence = packet.sequence - back & 0xFFFF
            if back > 0 and sequence not in self._held:
                self._held[sequence] = _Packet(sequence, timestamp, payload, ticks, packet.arrived, copied=True)

    def _came_after(self, place: int, now: float) -> None:
        """Rules 2 and 9: a packet whose place has been passed."""
        since = self._given_up.pop(place, None)  # a second copy says nothing new
        if since is not None:
            self._patience.was_needed(now - since, now)
            self.late += 1
        elif place < self._began:
            self.late += 1
        else:
            self.duplicate += 1

    def _play(self, packet: _Packet, steps: list[Step]) -> None:
        """Rules 1, 5 and 6."""
        gap = _signed(packet.timestamp - self._timestamp, 32)
        if not 0 <= gap <= MAX_GAP_TICKS:
            steps.append(Reset())
        elif gap:
            steps.append(Silence(gap))
        steps.append(Play(packet.payload, packet.ticks))
        self.red += packet.copied
        self._sequence += 1
        self._go_to(self._sequence & 0xFFFF)
        self._timestamp = (packet.timestamp + packet.ticks) & 0xFFFFFFFF

    def _fill(self, following: _Packet, steps: list[Step]) -> None:
        """Rule 4: everything before `following` is given up."""
        missing = self._ahead(following)
        since = self._held_since()
        self._given_up |= dict.fromkeys(range(self._passed, self._passed + missing), since)
        for place in list(self._given_up)[:-MAX_AHEAD]:
            del self._given_up[place]
        self.lost += missing
        self._sequence += missing
        gap = _signed(following.timestamp - self._timestamp, 32)
        if not 0 < gap <= MAX_GAP_TICKS:
            return  # `_play` decides
        restored = fec_ticks(following.payload)
        if restored > gap:
            restored = 0
        concealed = min(gap - restored, MAX_CONCEAL_TICKS) // CONCEAL_STEP_TICKS * CONCEAL_STEP_TICKS
        silent = gap - restored - concealed
        if concealed:
            steps.append(Conceal(concealed))
            self.concealed += -(-concealed // FRAME_TICKS)
        if silent:
            steps.append(Silence(silent))
        if restored:
            steps.append(Recover(following.payload, restored))
            self.fec += 1
        self._timestamp = following.timestamp

    def _give_up_at(self, following: _Packet) -> float:
        """Rules 3 and 9: how long the hole before `following` waits."""
        since = self._held_since()
        hold = self._patience.hold(since)
        return since + (max(hold, HOLD_SECONDS) if hold else self._usual_hold(following))

    def _usual_hold(self, following: _Packet) -> float:
        """Rule 3."""
        single = self._ahead(following) == 1 and fec_ticks(following.payload)
        return FEC_HOLD_SECONDS if single else HOLD_SECONDS

    def _learn_from(self, packet: _Packet) -> None:
        """Rule 9: would the place of this packet have been given up by now, by rule 3 alone?"""
        if self._held and self._ahead(packet) < self._ahead(following := self._first()):
            since = self._held_since()
            if packet.arrived > since + self._usual_hold(following):
                self._patience.was_needed(packet.arrived - since, packet.arrived)

    def _held_since(self) -> float:
        return min(packet.arrived for packet in self._held.values())

    def _first(self) -> _Packet:
        return min(self._held.values(), key=self._ahead)

    def _ahead(self, packet: _Packet) -> int:
        """How many packets come before this one; negative if its time is over."""
        return _signed(packet.sequence - self._sequence, 16)


def _signed(difference: int, bits: int) -> int:
    """The shorter way round between two counters that wrap."""
    half = 1 << (bits - 1)
    return (difference + half) % (2 * half) - half
