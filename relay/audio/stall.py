"""When no packets come: what the model hears instead, and what of them counts when they come again. Pure.

While its stream is open the model gets as many samples as time goes by: on the sender's clock while packets come, on
ours while they do not. Feed `hear` all that was decoded, or set `heard_at` while `even`; `poll` at `deadline`.

The rules, each with a test:

1. After `STALL_SECONDS` without sound the model gets silence, all that is missing at once, then `STEP_SECONDS` at a
   time, so that it hears the user's turn end. Silence keeps one packet behind time, as sound does.
2. After `LIMIT_SECONDS` of silence the stream has `ended`, and nothing more is due.
3. What silence stood in for is not said again: sound for that time is skipped, to the sample.
4. Sound from a new beginning (`reset`) stands where our clock says, for nothing else tells.
5. Sound that is late without ever catching up comes from a clock that stood still (Chromium's does while its sender
   has no track), or over a path that has become longer: after `DOUBT_SECONDS` it is heard, with what was skipped
   meanwhile, and stands where our clock says.
6. What comes faster than time after all, within `WARY_SECONDS`, was late: no more than `LEAD_SECONDS` of it is heard.
7. After the end the stream begins anew (`begin`) and nothing is owed, but what is older than `FRESH_SECONDS` by the
   sender's clock is skipped; rule 5 holds.
8. A look that comes long after it was due says that we slept, not the sender: the next one counts.

Silence is counted in samples at `DECODED_RATE`, sound is PCM16 mono at that rate.
"""

from typing import Final

from relay.audio.packet import DECODED_RATE, TICKS_PER_SECOND

# Wi-Fi that sleeps or changes its access point is back within 160 ms, and then everything comes late in a burst.
STALL_SECONDS: Final = 0.200
# One message to the model.
STEP_SECONDS: Final = 0.020
# A packet's sound is as old as it is long when it comes; silence up to the present would take its place.
PACKET_SECONDS: Final = 0.020
# A model takes half a second to two of silence for the end of a turn; beyond that silence only costs.
LIMIT_SECONDS: Final = 2.0
# What a user said longer ago, in a call that was as good as gone, is no answer to anything.
FRESH_SECONDS: Final = 0.300
# Five packets: fewer say too little about the pace at which they come.
DOUBT_SECONDS: Final = 0.100
# Times real time: a queue empties faster than this, and no microphone is so fast.
FAST: Final = 1.3
# A queue that has not emptied by then does not.
WARY_SECONDS: Final = 10.0
# What jitter may bring ahead of its time.
LEAD_SECONDS: Final = 0.060
# Ticks by which a clock may run back and still be the same; a new one begins anywhere.
MAX_BACK_TICKS: Final = TICKS_PER_SECOND
# When the event loop was busy for as long, packets wait in the socket and are read first.
LATE_LOOK_SECONDS: Final = 0.020
LOOK_AGAIN_SECONDS: Final = 0.005

_STEP: Final = round(STEP_SECONDS * DECODED_RATE)  # samples
_LIMIT: Final = round(LIMIT_SECONDS * DECODED_RATE)
_FRESH_BYTES: Final = 2 * round(FRESH_SECONDS * DECODED_RATE)
_ROUNDING: Final = 1e-6  # seconds: what adding up times may lose


class Stall:
    """One microphone's stream as the model gets it.

    `even`: the sender and the model are at the same place; then `hear` would return what it is given, and it is enough
    to set `heard_at` instead. `ended`: the model was told that nothing more comes, and nothing has come since.
    """

    def __init__(self) -> None:
        self.stalls = 0  # how often silence had to stand in
        self._doubted = bytearray()  # skipped, and perhaps wrongly
        self._back_at: float | None = None  # since sound came again, but late,
        self._since_back = 0  # so many samples have come after the first
        self._wary_until = float("-inf")  # to which it may turn out
        self._believed = 0  # that so many samples were too many
        self.restart()

    def restart(self) -> None:
        """The microphone was off: nothing is owed or expected until the next sound."""
        self.even = self.ended = self._open = self._anew = False
        self.heard_at = self._looked_for = self._look_at = float("-inf")
        self._level_at = 0.0  # the model has sound up to here on our clock; `heard_at` while `even`
        self._ahead = 0  # samples of silence for which the sender may still have sound
        self._stood_in = 0  # samples of silence in a row
        self._left_at = 0.0  # when `ended`: the time on our clock up to which the sender was heard
        self._trust()

    @property
    def deadline(self) -> float | None:
        """When to `poll` next; it moves with each sound, and None means that nothing will be due."""
        return max(self._due, self._look_at) if self._open else None

    @property
    def _due(self) -> float:
        due = self.heard_at + STALL_SECONDS + PACKET_SECONDS
        return due if self.even else max(due, self._level_at + PACKET_SECONDS + STEP_SECONDS)

    def poll(self, now: float) -> int:
        """Rules 1 and 2: how many samples of silence the model is to get; then look whether the stream has `ended`."""
        if not self._open or now + _ROUNDING < max(self._due, self._look_at) or self._slept(now):
            return 0
        if self.even:
            self.even, self._level_at = False, self.heard_at
        if not self._ahead:
            self.stalls += 1
        steps = int((now - self._level_at - PACKET_SECONDS + _ROUNDING) / STEP_SECONDS)
        silence = min(steps * _STEP, _LIMIT - self._stood_in)
        self._ahead += silence
        self._stood_in += silence
        self._level_at += silence / DECODED_RATE
        self._forget_doubt()
        if self._stood_in == _LIMIT:
            self._open, self.ended = False, True
            self._left_at = self._level_at - (self._ahead + self._believed) / DECODED_RATE
            self._ahead = self._stood_in = 0
        return silence

    def hear(self, pcm: bytes, now: float) -> bytes:
        """Rules 3 to 7: what the model is to get of `pcm`, in its place, perhaps after silence, perhaps nothing."""
        self.heard_at = now
        if self.ended:
            self._left_at += len(pcm) // 2 / DECODED_RATE
        if self._anew:
            pcm = self._place(pcm, now)
        if self._ahead:
            pcm = self._pass_over(pcm, now)
        if self._believed:
            pcm = self._keep_pace(pcm, now)
        if pcm:
            self._open, self.ended = True, False
        if self._open and not self._ahead:
            self.even, self._stood_in = not self._believed, 0
        return pcm

    def reset(self) -> None:
        """What is heard next does not continue what came before."""
        if self.even:
            self.even, self._level_at = False, self.heard_at
        self._anew = self._open
        if not self._open:
            self._ahead = 0

    def absent(self, now: float) -> bool:
        """Whether a packet that comes now is the first after the end: call `begin`, then `hear` it."""
        return self.ended and now - self.heard_at > STALL_SECONDS

    def begin(self, gap: int | None, now: float) -> None:
        """Rule 7. `gap`: ticks by the sender's clock from the end of what was heard to the packet that comes now."""
        if gap is None or gap < -MAX_BACK_TICKS:
            self._left_at = now
        else:
            self._left_at += gap / TICKS_PER_SECOND
        self._ahead = max(0, round((now - self._left_at - FRESH_SECONDS) * DECODED_RATE))
        self._level_at, self._anew = now - PACKET_SECONDS, False
        self._trust()

    def _slept(self, now: float) -> bool:
        """Rule 8."""
        if now <= self._due + LATE_LOOK_SECONDS or self._looked_for == self._due:
            return False
        self._looked_for, self._look_at = self._due, now + LOOK_AGAIN_SECONDS
        return True

    def _place(self, pcm: bytes, now: float) -> bytes:
        """Rule 4."""
        self._anew = False
        self._trust()
        missing = round((now - self._level_at) * DECODED_RATE) - len(pcm) // 2
        self._ahead = min(self._ahead, max(0, -missing))
        self._level_at += max(0, missing) / DECODED_RATE
        return bytes(2 * min(max(0, missing), _LIMIT)) + pcm

    def _pass_over(self, pcm: bytes, now: float) -> bytes:
        """Rules 3 and 5."""
        samples = len(pcm) // 2
        if samples >= self._ahead:
            rest = pcm[2 * self._ahead :]
            self._ahead = 0
            self._forget_doubt()
            return rest
        self._ahead -= samples
        self._doubted += pcm
        del self._doubted[:-_FRESH_BYTES]
        if self._back_at is None:
            self._back_at = now
        elif now > self._back_at:
            self._since_back += samples
            if now - self._back_at + _ROUNDING >= DOUBT_SECONDS:
                return self._decide(now, now - self._back_at)
        return b""

    def _decide(self, now: float, waited: float) -> bytes:
        """Rule 5: do they catch up?"""
        if self._since_back > FAST * waited * DECODED_RATE:
            self._back_at, self._since_back = now, 0
            return b""
        size = 2 * min(max(0, round((now - self._level_at) * DECODED_RATE)), _LIMIT)
        believed = bytes(self._doubted[max(0, len(self._doubted) - size) :]).rjust(size, b"\0")
        self._believed += self._ahead + size // 2
        self._ahead = 0
        self._wary_until = now + WARY_SECONDS
        self._forget_doubt()
        return believed

    def _keep_pace(self, pcm: bytes, now: float) -> bytes:
        """Rule 6."""
        if now >= self._wary_until:
            self._trust()
            return pcm
        room = round((now + LEAD_SECONDS - self._level_at) * DECODED_RATE)
        surplus = max(0, min(self._believed, len(pcm) // 2 - max(0, room)))
        self._believed -= surplus
        if not self._believed:
            self._trust()
        self._level_at += (len(pcm) // 2 - surplus) / DECODED_RATE
        return pcm[2 * surplus :]

    def _trust(self) -> None:
        """Neither what was skipped nor what was believed matters any more."""
        self._wary_until, self._believed = float("-inf"), 0
        self._forget_doubt()

    def _forget_doubt(self) -> None:
        self._doubted.clear()
        self._back_at, self._since_back = None, 0
