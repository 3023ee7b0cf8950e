"""Who is speaking, and what is told of it: events of the model and the playout become messages in order.

Pure: no clock, no channel. Every method returns the RTVI messages to send now; `now` is monotonic seconds. After any
call look at `deadline`, and call `poll` then. Positions are samples on the playout's scale, which never goes back.

The rules, for all orders of events:
- started and stopped alternate, for the user's voice, the bot's voice, its generation and its speech;
- the user's words are never lost: each piece is in exactly one final, whose interims come before it;
- a sentence of the bot is shown when it begins to be heard, and not at all if an interruption came first;
- what was said and heard is what `history` says, which is told of everything first;
- a reply that was asked for in text alone is shown as it is written, and the one after it is heard again.
"""

from collections.abc import Callable
from typing import Final

from relay import besides, rtvi
from relay.gemini import events
from relay.history import History
from relay.place import Place
from relay.question import Question, portions
from relay.rtvi import Message
from relay.spoken import Spoken
from relay.transcript import How

# A pause of the model's text this long ends a sentence that no mark has ended.
PAUSE_SECONDS: Final = 0.5
# Text that no sound and no end of turn has followed for this long stands for itself.
SOUNDLESS_SECONDS: Final = 3.0


class Turns:
    """One conversation's turns. `epoch` is the Unix time at which `now` was 0; `model` is named in the metrics.

    Do not pass on sound of the model that an interruption cut off, nor play any while `silent`.
    """

    def __init__(self, *, epoch: float, model: str = "", history: History | None = None) -> None:
        self._model = model
        self._history = history or History(0.0, epoch=epoch)
        self._user = Question(epoch, self._history)
        # the model's reply
        self._replying = False  # it has begun and its turn is not complete
        self._generated = False  # its generation is complete, its turn not yet
        self._place = Place()
        self._llm, self._tts = False, False  # started, not stopped
        self._answered = False  # it has had sound
        self._asked_at: float | None = None  # when the question was asked that is being answered
        self._text_at = 0.0  # when its text last came
        self._event_at = 0.0  # when it last came with anything
        # what is heard of it
        self._spoken = Spoken(self._history.pace)
        self._sound_due = False  # there is sound to be played

    def speak(self, generation: int) -> None:
        """The client speaks RTVI 1, or 2."""
        self._user.generation = self._spoken.generation = generation

    @property
    def saying(self) -> str:
        """The sentence of the bot that is being heard, if any."""
        return self._spoken.saying

    def standing(self) -> list[Message]:
        """What has begun, and is not over: for a client that comes in the middle."""
        out = [rtvi.USER_STARTED_SPEAKING] if self._user.speaking else []
        return out + self._spoken.standing(more=self._llm) + [rtvi.BOT_TTS_STARTED] * self._tts

    # ---- the user ----

    def user_started(self, now: float) -> list[Message]:
        """The user's voice begins."""
        out = self.poll(now)
        if self._replying:  # what was heard late belongs to the question that is being answered
            out += self._final(now)
        return out + self._user.started(now)

    def user_stopped(self, now: float) -> list[Message]:
        """The user's voice ends; an answer is awaited."""
        return self.poll(now) + self._user.stopped(now)

    def chat(self, text: str, id_: str, now: float) -> list[Message]:
        """The user typed `text` in the message `id_`."""
        return self.poll(now) + self._user.chat(text, id_, now)

    def takes_turn(self, now: float) -> list[Message]:
        """The user takes the turn in writing: a turn that ends at once. Clients end the bot's message there."""
        speaking = self._user.speaking
        return self.poll(now) + ([] if speaking else [rtvi.USER_STARTED_SPEAKING, rtvi.USER_STOPPED_SPEAKING])

    def asked(self, text: str, now: float, *, silent: bool = False) -> list[Message]:
        """An answer to `text` is awaited, in text alone if `silent`. To interrupt, call `interrupted` before."""
        out = self.poll(now)
        self._history.asked(text, now, how=How.TYPED)
        self._user.ask(now, silent=silent)
        self._user.add(text)
        self._spoken.silent = False
        return out

    def greeting(self, now: float) -> list[Message]:
        """The model was asked to speak first."""
        return self.asked("", now)

    # ---- the model ----

    @property
    def replying(self) -> bool:
        """The model's reply has begun, and its turn is not complete."""
        return self._replying

    @property
    def generating(self) -> bool:
        """More of the reply is to come."""
        return self._replying and not self._generated

    def silent(self, now: float) -> bool:
        """Whether sound that comes now is not to be heard."""
        return self._spoken.silent or (not self._replying and self._user.wants_silence(now))

    def model_event(self, event: events.Event, position: int, now: float) -> list[Message]:
        """What the model sent; `position` is how much sound there was before it."""
        out = self.poll(now)
        self._event_at = now
        match event:
            case events.Audio() if event.pcm:
                out += self._sound(position, now)
            case events.OutputTranscript(text=text, finished=finished):
                out += self._text(text, finished, position, now)
            case events.ModelText(text=text, thought=False):
                out += self._text(text, False, position, now)
            case events.InputTranscript():
                out += self._user.heard(event, now, late=self._replying)
            case events.GenerationComplete() if self._replying:
                self._history.end(position, now)
                out += self._generation_complete(now)
            case events.TurnComplete():
                self._history.end(position, now)
                out += self._turn_complete(now)
            case events.Interrupted():
                out += self._interrupt(now)
            case events.Usage():
                out.append(besides.tokens(event))
            case events.ToolCall():
                out += self._final(now)
            case events.Grounding():
                out.append(besides.found(event))
        return out

    def interrupted(self, position: int, now: float) -> list[Message]:
        """The sound is cut with the listener at `position`, before the cut. Calling again is harmless."""
        return self.played(position, now) + self._interrupt(now)

    # ---- the playout ----

    def sound_started(self, now: float) -> list[Message]:
        """The first frame of a turn left."""
        out = self.poll(now)
        self._history.started(now)
        return out + self._spoken.started()

    @property
    def waiting_for(self) -> int | None:
        """The position at which `played` is of interest again."""
        return self._spoken.waiting_for

    def played(self, position: int, now: float) -> list[Message]:
        """The listener is at `position`."""
        out = self.poll(now)
        self._history.played(position, now)
        return out + self._spoken.played()

    def sound_stopped(self, position: int, now: float) -> list[Message]:
        """The last frame of all there is left, at `position`, and no more is due for now."""
        out = self.played(position, now)
        self._sound_due = False
        if self._spoken.speaking and not self._llm:
            self._history.stand(now)
        return out + self._spoken.stopped(more=self._llm)

    # ---- time ----

    @property
    def deadline(self) -> float | None:
        """When `poll` is due."""
        return min((when for when, _ in self._timers()), default=None)

    def poll(self, now: float) -> list[Message]:
        """Do what was due by `now`, each thing at its own time."""
        out: list[Message] = []
        while due := [timer for timer in self._timers() if timer[0] <= now]:
            when, act = min(due, key=lambda timer: timer[0])
            out += act(when)
        return out

    def close(self, now: float) -> list[Message]:
        """The conversation ends: what was said is told, what has begun is stopped."""
        out = self.poll(now) + self._final(now)
        out += self._stop_generation()
        self._spoken.forget()
        return out + self._spoken.stopped(more=True)

    def _timers(self) -> list[tuple[float, Callable[[float], list[Message]]]]:
        timers: list[tuple[float, Callable[[float], list[Message]]]] = []
        if (final_at := self._user.deadline) is not None:
            timers.append((final_at, self._final))
        if self._spoken.unfinished:
            timers.append((self._text_at + PAUSE_SECONDS, lambda _: self._spoken.flush()))
        if self._place.stale_until is not None:
            timers.append((self._place.stale_until, self._forget_stale))
        unheard = self._spoken.unheard and not self._spoken.speaking and not self._replying
        if unheard or (self._llm and not self._answered):
            timers.append((self._event_at + SOUNDLESS_SECONDS, self._end_reply))
        return timers

    def _forget_stale(self, _now: float) -> list[Message]:
        self._place.over()
        return []

    # ---- the model's reply ----

    def _final(self, now: float) -> list[Message]:
        return self._user.final(now, late=self._replying)

    def _begin(self, now: float) -> list[Message]:
        out = self._final(now)
        if not self._replying:
            self._replying = True
            self._spoken.silent = self._user.take_silence(now) or self._spoken.silent
            if self._asked_at is None:
                self._asked_at = self._user.asked_at
        out += self._user.take()
        if not self._llm:
            self._llm = True
            out.append(rtvi.BOT_LLM_STARTED)
        return out

    def _sound(self, position: int, now: float) -> list[Message]:
        self._place.over()
        self._generated = False
        out = self._final(now)
        if not self._answered and self._user.asked_at is not None:
            out.append(rtvi.metrics_ttfb(now - self._user.asked_at, self._model))
            self._asked_at, self._user.asked_at = self._user.asked_at, None
        out += self._begin(now)
        if self._spoken.silent:
            return out
        self._answered = self._sound_due = True
        self._history.sound(position, now)
        self._place.sound(position, now)
        if not self._tts:
            self._tts = True
            out.append(rtvi.BOT_TTS_STARTED)
        return out

    @property
    def stale(self) -> bool:
        """Text that comes now is of an answer that was cut, whose end is not told yet."""
        return self._place.stale_until is not None

    def _text(self, text: str, finished: bool, position: int, now: float) -> list[Message]:
        if self.stale:
            return []
        if not text:
            return self._spoken.flush() if finished else []
        # Text may straggle in after its sound; that is no new generation.
        out = [] if self._generated else self._begin(now)
        out += [rtvi.bot_llm_text(portion) for portion in portions(text)]
        self._text_at = now
        before = self._history.said(text, self._place.text(position, now), now, silent=self._spoken.silent)
        return out + self._spoken.add(text, before, finished=finished)

    def _generation_complete(self, now: float) -> list[Message]:
        """All text and sound is here, as far as anybody knows."""
        out = self._spoken.flush() + self._stop_generation()
        if self._replying and self._asked_at is not None:
            out.append(rtvi.metrics_processing(now - self._asked_at, self._model))
            self._asked_at = None
        self._generated = self._replying
        if not self._spoken.speaking and not (self._answered and self._sound_due):
            self._history.stand(now)
            out += self._spoken.release(spoken=self._answered)
        return out

    def _stop_generation(self) -> list[Message]:
        stopped = [rtvi.BOT_LLM_STOPPED] * self._llm + [rtvi.BOT_TTS_STOPPED] * self._tts
        self._llm = self._tts = False
        return stopped

    def _turn_complete(self, now: float) -> list[Message]:
        if self._place.over():
            return []
        out = [] if self._user.speaking else self._final(now)
        if self._answered or self._spoken.silent:
            self._user.asked_at = None  # asked while it was being answered, if at all
        out += self._end_reply(now)
        self._spoken.silent = False
        return out

    def _end_reply(self, now: float) -> list[Message]:
        out = self._generation_complete(now)
        self._history.complete(now)
        self._replying = self._generated = self._answered = False
        return out

    def _interrupt(self, now: float) -> list[Message]:
        spoken = self._spoken
        if not (self._replying or spoken.speaking or spoken.unheard or self._sound_due):
            spoken.silent = False
            return []
        if spoken.silent:
            self._user.interrupted(now)
        heard = spoken.interrupted()
        self._history.cut(now)
        out = [*heard, rtvi.BOT_INTERRUPTED, *spoken.stopped(more=True), *self._stop_generation()]
        self._place.cut(now, open=self._replying)
        self._replying = self._generated = self._answered = self._sound_due = False
        self._asked_at = None
        return out
