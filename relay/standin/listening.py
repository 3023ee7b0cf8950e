"""When is somebody speaking, and what of it is written down when: sound in, turns of a conversation out. Pure.

A voice is what the model of voices takes for one and what is loud enough for one. How loud that is follows the noise of
the room and, while we speak ourselves, what comes back of it: the model of voices would take our own echo for a voice.
Time is counted in sound, as in `ears.py`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay.standin.ears import ECHO_FALL_DB, ECHO_LEAST_DB, ECHO_LESSON_DB, ECHO_MOST_DB, QUIET_DB, level

RATE: Final = 16_000  # Hz
WINDOW: Final = 512  # samples that the model of voices judges at once
WINDOW_BYTES: Final = 2 * WINDOW
WINDOW_MS: Final = 32

VOICE: Final = 0.5  # probability from which a window begins a voice
STILL_VOICE: Final = 0.35  # from which it goes on
ASLEEP_DB: Final = -60.0  # nothing softer is even judged
GATE_DB: Final = -52.0  # nothing softer is a voice
LOUD_DB: Final = -30.0  # a room may not be so noisy that this is no voice
ABOVE_FLOOR_DB: Final = 8.0
HYSTERESIS_DB: Final = 6.0
FLOOR_BLOCKS: Final = 6  # blocks of about a second whose softest window is the noise floor
BLOCK: Final = 1000 // WINDOW_MS
ONSET: Final = 2  # windows of voice that make an onset
PREROLL: Final = 16  # windows kept from before an onset, which a playing voice delays: no first word is to be lost
LEAD: Final = 6  # of them before the first that may be voice: longer noise before a short word costs the ears the word

PLAYING_GATE_DB: Final = -42.0  # nothing softer interrupts us
PLAYING_ONSET: Final = 5  # windows of voice that interrupt us: a cough does not
PLAYING_MOST_DB: Final = -28.0  # a voice of this level always does
BARGE_IN_DB: Final = 4.0  # so far above our residual echo must a voice be
HEARD_DB: Final = -57.0  # what we play more softly than this leaves no echo
ECHO_PRIOR_DB: Final = -24.0  # residual against what we play, before we have listened to it

PARTIAL_MS: Final = 500  # between two partials of an utterance
PARTIAL_SHARE: Final = 0.12  # a long one is written down less often: so much of its length apart
DRAFT_MS: Final = 200  # of silence after which the final is written in advance
SILENCE_MS: Final = 500  # after which it counts
PIECE_S: Final = 6.0  # a part this long ends at the next little pause
MAX_PIECE_S: Final = 10.0  # and this long wherever it is: what is written down at once is bounded
BREATH: Final = 3  # windows without a voice that are a little pause
MAX_TURN_S: Final = 600.0  # then it is our turn, whoever goes on


@dataclass(frozen=True, slots=True)
class Onset:
    """Somebody began to speak, `at` seconds into the input."""

    at: float


@dataclass(frozen=True, slots=True)
class Partial:
    """Time to write down what was said since the turn's onset, or since its last `Piece`."""

    at: float
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a long turn is complete: its words are final, and the turn goes on."""

    at: float
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """Perhaps the end: write it down in advance."""

    at: float
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Resumed:
    """It was not the end: the draft is void."""

    at: float


@dataclass(frozen=True, slots=True)
class End:
    """The turn is over, `at` seconds into the input. `drafted`: these words were asked for with the last `Draft`."""

    at: float
    pcm: bytes
    drafted: bool


Event = Onset | Partial | Piece | Draft | Resumed | End


class Gate:
    """How loud a voice must be: above the room's noise, and above what comes back of our own."""

    def __init__(self, least_db: float = GATE_DB) -> None:
        self._least = least_db
        self._windows = 0
        self._floors: deque[float] = deque([-65.0], maxlen=FLOOR_BLOCKS)
        self._coupling = ECHO_PRIOR_DB  # residual against what we play

    def db(self, echo_db: float) -> float:
        """`echo_db` is the level of what we play, or have just played."""
        usual = min(max(self._least, min(self._floors) + ABOVE_FLOOR_DB), LOUD_DB)
        if echo_db <= HEARD_DB:
            return usual
        residual = echo_db + self._coupling
        return max(usual, min(max(PLAYING_GATE_DB, residual + BARGE_IN_DB), PLAYING_MOST_DB))

    def hear(self, loud: float) -> None:
        """Learns the room's noise from a window."""
        if self._windows % BLOCK == 0:
            self._floors.append(0.0)
        self._windows += 1
        self._floors[-1] = min(self._floors[-1], max(loud, -70.0))

    def learn(self, loud: float, echo_db: float) -> None:
        """Learns our echo from a window in which nobody else seems to speak."""
        off = loud - echo_db - self._coupling
        step = 0.3 * off if off > 0 else -ECHO_FALL_DB * WINDOW_MS / 20
        self._coupling = min(max(self._coupling + step, ECHO_LEAST_DB), ECHO_MOST_DB)

    def mistaken(self) -> None:
        """What interrupted us may have been our echo."""
        self._coupling = min(self._coupling + ECHO_LESSON_DB, ECHO_MOST_DB)


class Listening:
    """Hears one call. `probability` tells of each window how likely it is a voice; it is asked in order."""

    def __init__(
        self, probability: Callable[[bytes], float], silence_ms: int = SILENCE_MS, least_db: float = GATE_DB
    ) -> None:
        self.speaking = False
        self._probability = probability
        self._silence = max(1, silence_ms // WINDOW_MS)
        self._gate = Gate(least_db)
        self._rest = b""
        self._windows = 0
        self._preroll: deque[tuple[bytes, bool]] = deque(maxlen=PREROLL)  # and whether it may be voice
        self._voiced = 0
        self._doubtful = False  # this turn began while we played, and no voice has outlived our sound yet
        self._begin()

    @property
    def at(self) -> float:
        """Seconds of input heard."""
        return self._windows * WINDOW_MS / 1000

    def hear(self, pcm: bytes, echo_db: float = QUIET_DB) -> list[Event]:
        """Takes 16 kHz samples; `echo_db` is the level of what we play meanwhile."""
        events: list[Event] = []
        data = self._rest + pcm
        whole = len(data) - len(data) % WINDOW_BYTES
        self._rest = data[whole:]
        for i in range(0, whole, WINDOW_BYTES):
            self._window(data[i : i + WINDOW_BYTES], echo_db, events)
        return events

    def finish(self) -> list[Event]:
        """The stream paused: whoever was speaking has stopped."""
        self._rest = b""
        self._voiced = 0
        self._preroll.clear()
        return [self._end()] if self.speaking else []

    def _window(self, window: bytes, echo_db: float, events: list[Event]) -> None:
        self._windows += 1
        loud = level(window)
        probable = self._probability(window) if loud > ASLEEP_DB else 0.0
        gate = self._gate.db(echo_db)
        playing = echo_db > HEARD_DB
        if self.speaking:
            voice = probable >= STILL_VOICE and loud >= gate - HYSTERESIS_DB
            self._doubtful = self._doubtful and (playing or not voice)
            self._speak(window, voice, events)
        else:
            voice = probable >= VOICE and loud >= gate
            if playing and not voice:
                self._gate.learn(loud, echo_db)
            self._preroll.append((window, probable >= STILL_VOICE))
            self._wait(voice, playing, events)
        self._gate.hear(loud)

    def _wait(self, voice: bool, playing: bool, events: list[Event]) -> None:
        self._voiced = self._voiced + 1 if voice else max(0, self._voiced - 1)
        if self._voiced >= (PLAYING_ONSET if playing else ONSET):
            events.append(Onset(max(0.0, self.at - self._voiced * WINDOW_MS / 1000)))
            self.speaking = True
            self._begin()
            self._doubtful = playing
            self._said += self._before()
            self._preroll.clear()

    def _before(self) -> bytes:
        """The beginning of what is said: back to the first window of voice, and a little more."""
        start = quiet = 0
        for back, (_, voice) in enumerate(reversed(self._preroll), 1):
            start, quiet = (back, 0) if voice else (start, quiet + 1)
            if quiet > LEAD:
                break
        return b"".join(window for window, _ in list(self._preroll)[-(start + LEAD) :])

    def _begin(self) -> None:
        self._said = bytearray()  # since the onset, or the last piece
        self._turn = 0  # windows since the onset
        self._unvoiced = 0
        self._told = 0  # windows of the turn at the last partial
        self._drafted = False
        self._doubtful = False

    def _speak(self, window: bytes, voice: bool, events: list[Event]) -> None:
        self._said += window
        self._turn += 1
        if voice:
            if self._drafted:
                self._drafted = False
                events.append(Resumed(self.at))
            self._unvoiced = 0
        else:
            self._unvoiced += 1
        if self._unvoiced >= self._silence or self._turn * WINDOW_MS >= MAX_TURN_S * 1000:
            events.append(self._end())
        elif self._unvoiced * WINDOW_MS >= DRAFT_MS:
            if not self._drafted:
                self._drafted = True
                events.append(Draft(self.at, bytes(self._said)))
        else:
            self._part(events)

    def _part(self, events: list[Event]) -> None:
        seconds = len(self._said) / 2 / RATE
        if seconds >= MAX_PIECE_S or (seconds >= PIECE_S and self._unvoiced >= BREATH):
            events.append(Piece(self.at, bytes(self._said)))
            self._said.clear()
            self._told = self._turn
        elif self._unvoiced:  # a draft may be next, and should not wait
            return
        elif (self._turn - self._told) * WINDOW_MS >= max(PARTIAL_MS, 1000 * PARTIAL_SHARE * seconds):
            self._told = self._turn
            events.append(Partial(self.at, bytes(self._said)))

    def _end(self) -> End:
        self.speaking = False
        if self._doubtful:
            self._gate.mistaken()
        end = End(self.at, bytes(self._said), self._drafted)
        self._voiced = 0
        self._begin()
        return end
