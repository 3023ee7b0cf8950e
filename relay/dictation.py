"""One call's turns written down by another model: the sound of each is kept until its words are final, then sent off.

What comes back replaces the live words in the history, and the app is told of it. What does not come back leaves them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from relay import rtvi
from relay.audio.packet import DECODED_RATE, ENCODED_RATE
from relay.call import CallSettings
from relay.gemini.events import Usage
from relay.history import History
from relay.transcribe import MAX_SECONDS, Transcriber
from relay.transcript import How, Role, Turn

# A word begins before it is noticed, and goes on a little after its end is.
LEAD_SECONDS: Final = 0.4
TAIL_SECONDS: Final = 0.3
MAX_WAS: Final = 2000  # characters of the live words that are told beside the better ones
_MESSAGE_SECONDS: Final = 0.020
_MOST: Final = int(MAX_SECONDS * 2)  # bytes, times the rate

Heard = Callable[[bytes], object]


class Recording:
    """Sound of one turn, PCM16 mono at `rate`. One that has become too long is not kept, and says so. Pure."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._pcm = bytearray()
        self._long = False

    def add(self, pcm: bytes) -> None:
        """More of it."""
        self._long = self._long or len(self._pcm) + len(pcm) > _MOST * self.rate
        if self._long:
            self._pcm.clear()
        else:
            self._pcm += pcm

    def take(self, samples: int | None = None) -> bytes:
        """The sound, the first `samples` of it; empty if it was too long. Then another begins."""
        pcm = bytes(self._pcm if samples is None else self._pcm[: 2 * max(0, samples)])
        self._pcm.clear()
        self._long = False
        return pcm


class Dictation:
    """The dictation of one call. `tasks` gives its TaskGroup; `paid` is told what it took."""

    def __init__(
        self,
        transcriber: Transcriber,
        call: CallSettings,
        history: History,
        tasks: Callable[[], asyncio.TaskGroup | None],
        say: Callable[[Sequence[rtvi.Message]], None],
        paid: Callable[[Usage, str], None],
    ) -> None:
        self._transcriber = transcriber
        self._call = call
        self._history = history
        self._tasks = tasks
        self._say = say
        self._paid = paid
        self._loop = asyncio.get_running_loop()
        self._user = Recording(DECODED_RATE)
        self._lead: deque[bytes] = deque(maxlen=round(LEAD_SECONDS / _MESSAGE_SECONDS))
        self._until: float | None = None  # the user is being recorded until then; None while they are not
        self._model = Recording(ENCODED_RATE)
        self._begins: int | None = None  # where the model's sound does, on the playout's scale
        self._mark = 0  # of the history, when it began

    # ---- the user ----

    def beside(self, send_audio: Heard) -> Heard:
        """The way to the model, which is listened to here."""

        def send(pcm: bytes) -> object:
            self._listen(pcm)
            return send_audio(pcm)

        return send

    def _listen(self, pcm: bytes) -> None:
        if self._until is not None and self._loop.time() <= self._until:
            self._user.add(pcm)
        else:
            self._lead.append(pcm)

    def user(self, speaking: bool) -> None:
        """The user begins to speak, or has ceased."""
        if not speaking:
            self._until = self._loop.time() + TAIL_SECONDS
            return
        self._until = float("inf")
        for pcm in self._lead:
            self._user.add(pcm)
        self._lead.clear()

    def said(self, messages: Sequence[rtvi.Message]) -> None:
        """What the client is told: with the user's final words the recording is whole."""
        for message in messages:
            if message["type"] == "user-transcription" and message["data"]["final"]:
                turns = [turn for turn in self._turns(Role.USER, 0) if turn.how is How.SPOKEN]
                self._send_off(self._user.take(), DECODED_RATE, turns[-1:])

    # ---- the model ----

    def model_sound(self, position: int, pcm: bytes) -> None:
        """The model's sound, and where it begins."""
        if self._begins is None:
            self._begins, self._mark = position, self._history.mark
        self._model.add(pcm)

    def model_heard(self, position: int) -> None:
        """No more of the turn is to be heard; the listener came to `position`."""
        if self._begins is None:
            return
        samples, self._begins = position - self._begins, None
        # the history has begun it before the first sound came here
        self._send_off(self._model.take(samples), ENCODED_RATE, self._turns(Role.MODEL, self._mark - 1)[-1:])

    # ---- both ----

    def _turns(self, role: Role, mark: int) -> list[Turn]:
        turns = self._history.transcript(self._loop.time()).turns
        return [turn for turn in turns if turn.role is role and turn.number >= mark]

    def _send_off(self, pcm: bytes, rate: int, turns: Sequence[Turn]) -> None:
        group = self._tasks()
        if pcm and turns and group is not None:
            group.create_task(self._correct(pcm, rate, turns[0]), name="transcript")

    async def _correct(self, pcm: bytes, rate: int, turn: Turn) -> None:
        agent = self._call.agent
        written = await self._transcriber.write(
            pcm, rate, self._call.target, languages=agent.languages, vocabulary=agent.vocabulary
        )
        if written is None:
            return
        self._paid(written.usage, self._transcriber.model)
        was = "".join(now.text for now in self._turns(turn.role, turn.number) if now.number == turn.number)
        if written.text and written.text != was and self._history.correct(turn.number, written.text):
            told = {"role": turn.role.value, "turn": turn.number, "was": was[:MAX_WAS], "text": written.text}
            self._say([rtvi.relay_event("transcript-corrected", **told)])
