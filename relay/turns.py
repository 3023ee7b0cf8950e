"""Who is speaking, and what of it has been heard: events of the model and the playout become messages in order.

Pure: no clock, no channel. Every method returns the RTVI messages to send now; `now` is monotonic seconds. After any
call look at `deadline`, and call `poll` then. Positions are samples on the playout's scale, which never goes back.

The rules, for all orders of events:
- started and stopped alternate, for the user's voice, the bot's voice, its generation and its speech;
- the user's words are never lost: each piece is in exactly one final, whose interims come before it;
- a sentence of the bot is shown when it begins to be heard, and not at all if an interruption came first.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from relay import rtvi
from relay.gemini import events
from relay.question import Question, portions
from relay.rtvi import Message
from relay.sentences import Sentence, Sentences

# A pause of the model's text this long ends a sentence that no mark has ended.
PAUSE_SECONDS: Final = 0.5
# An interrupted reply whose end is not told is over by now; what comes later is another.
STALE_SECONDS: Final = 2.0
# Text that no sound and no end of turn has followed for this long stands for itself.
SOUNDLESS_SECONDS: Final = 3.0
# Sound and text of one message reach us within this time; of two messages hardly ever.
TOGETHER_SECONDS: Final = 0.005


class Turns:
    """One conversation's turns. `epoch` is the Unix time at which `now` was 0; `model` is named in the metrics.

    Set `generation` to 1 for a client that speaks RTVI 1. Do not pass on sound of the model that nobody will hear.
    """

    def __init__(self, *, epoch: float, model: str = "") -> None:
        self.generation = 2
        self._model = model
        self._user = Question(epoch)
        # the model's reply
        self._replying = False  # it has begun and its turn is not complete
        self._generated = False  # its generation is complete, its turn not yet
        self._stale_until: float | None = None  # until then, text is of the interrupted reply
        self._llm, self._tts = False, False  # started, not stopped
        self._answered = False  # it has had sound
        self._chunk = (0, float("-inf"))  # where the newest message's sound begins, when the newest sound came
        self._sentences = Sentences()
        self._text_at = 0.0  # when its text last came
        self._event_at = 0.0  # when it last came with anything
        self._calls: set[str] = set()
        # what is heard of it
        self._held: deque[Sentence] = deque()  # whole, not yet heard
        self._segment = 0
        self._speaking = False
        self._sound_due = False  # there is sound to be played
        self._played = 0

    # ---- the user ----

    def user_started(self, now: float) -> list[Message]:
        """The user's voice begins."""
        out = self.poll(now)
        if self._replying:  # what was heard late belongs to the question that is being answered
            out += self._final(now)
        return out + self._user.started()

    def user_stopped(self, now: float) -> list[Message]:
        """The user's voice ends; an answer is awaited."""
        return self.poll(now) + self._user.stopped(now)

    def typed(self, text: str, now: float) -> list[Message]:
        """The user typed `text`, and an answer is awaited. To interrupt, call `interrupted` before."""
        out = self.poll(now)
        self._user.asked_at = now
        self._user.add(text)
        return out

    def greeting(self, now: float) -> list[Message]:
        """The model was asked to speak first."""
        out = self.poll(now)
        self._user.asked_at = now
        return out

    # ---- the model ----

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
                out += self._generation_complete()
            case events.TurnComplete():
                out += self._turn_complete(now)
            case events.Interrupted():
                out += self._interrupt(now)
            case events.Usage():
                out.append(_tokens(event))
            case events.ToolCall(calls=calls):
                out += self._final(now)
                for call in calls:
                    self._calls.add(call.id)
                    out += rtvi.function_call(call.id)
            case events.ToolCancelled(ids=ids):
                for id in ids:
                    out += self._tool_stopped(id, cancelled=True)
        return out

    def tool_done(self, call_id: str, now: float) -> list[Message]:
        """A function that the model called has returned, or failed."""
        return self.poll(now) + self._tool_stopped(call_id, cancelled=False)

    def interrupted(self, position: int, now: float) -> list[Message]:
        """The sound is cut with the listener at `position`, before the cut. Calling again is harmless."""
        return self.played(position, now) + self._interrupt(now)

    # ---- the playout ----

    def sound_started(self, now: float) -> list[Message]:
        """The first frame after silence left."""
        out = self.poll(now)
        if not self._speaking:
            self._speaking = True
            out.append(rtvi.BOT_STARTED_SPEAKING)
        return out + self._release()

    @property
    def waiting_for(self) -> int | None:
        """The position at which `played` is of interest again."""
        return self._held[0].position + 1 if self._held else None

    def played(self, position: int, now: float) -> list[Message]:
        """The listener is at `position`."""
        out = self.poll(now)
        self._played = max(self._played, position)
        return out + self._release()

    def sound_stopped(self, now: float) -> list[Message]:
        """The last frame of all there is left, and no more is due for now."""
        out = self.poll(now)
        self._sound_due = False
        return out + self._silence()

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
        for id in sorted(self._calls):
            out += self._tool_stopped(id, cancelled=True)
        out += self._stop_generation()
        self._held.clear()
        self._sentences = Sentences()
        return out + self._silence()

    def _timers(self) -> list[tuple[float, Callable[[float], list[Message]]]]:
        timers: list[tuple[float, Callable[[float], list[Message]]]] = []
        if (final_at := self._user.deadline) is not None:
            timers.append((final_at, self._final))
        if self._sentences:
            timers.append((self._text_at + PAUSE_SECONDS, lambda _: self._whole(self._sentences.flush())))
        if self._stale_until is not None:
            timers.append((self._stale_until, self._forget_stale))
        unheard = self._held and not self._speaking and not self._replying
        if unheard or (self._llm and not self._answered):
            timers.append((self._event_at + SOUNDLESS_SECONDS, lambda _: self._end_reply()))
        return timers

    def _forget_stale(self, _now: float) -> list[Message]:
        self._stale_until = None
        return []

    # ---- the model's reply ----

    def _final(self, now: float) -> list[Message]:
        return self._user.final(now, late=self._replying)

    def _begin(self, now: float) -> list[Message]:
        out = self._final(now)
        self._replying = True
        out += self._user.take()
        if not self._llm:
            self._llm = True
            out.append(rtvi.BOT_LLM_STARTED)
        return out

    def _sound(self, position: int, now: float) -> list[Message]:
        self._stale_until = None
        self._generated = False
        out = self._final(now)
        if not self._answered and self._user.asked_at is not None:
            out.append(rtvi.metrics_ttfb(now - self._user.asked_at, self._model))
            self._user.asked_at = None
        out += self._begin(now)
        self._answered = self._sound_due = True
        begun, came = self._chunk
        self._chunk = (begun if now - came < TOGETHER_SECONDS else position, now)
        if not self._tts:
            self._tts = True
            out.append(rtvi.BOT_TTS_STARTED)
        return out

    def _text(self, text: str, finished: bool, position: int, now: float) -> list[Message]:
        if self._stale_until is not None:
            return []
        if not text:
            return self._whole(self._sentences.flush()) if finished else []
        begun, came = self._chunk
        position = begun if now - came < TOGETHER_SECONDS else position
        # Text may straggle in after its sound; that is no new generation.
        out = [] if self._generated else self._begin(now)
        out += [rtvi.bot_llm_text(portion) for portion in portions(text)]
        self._text_at = now
        whole = self._sentences.add(text, position)
        return out + self._whole(whole + self._sentences.flush() if finished else whole)

    def _whole(self, sentences: list[Sentence]) -> list[Message]:
        self._held.extend(sentences)
        return [rtvi.bot_transcription(sentence.text) for sentence in sentences] + self._release()

    def _generation_complete(self) -> list[Message]:
        """All text and sound is here, as far as anybody knows."""
        out = self._whole(self._sentences.flush()) + self._stop_generation()
        self._generated = self._replying
        if not self._speaking and not (self._answered and self._sound_due):
            out += self._release(everything=True)
        return out

    def _stop_generation(self) -> list[Message]:
        stopped = [rtvi.BOT_LLM_STOPPED] * self._llm + [rtvi.BOT_TTS_STOPPED] * self._tts
        self._llm = self._tts = False
        return stopped

    def _turn_complete(self, now: float) -> list[Message]:
        if self._stale_until is not None:
            self._stale_until = None
            return []
        out = [] if self._user.speaking else self._final(now)
        if self._answered:
            self._user.asked_at = None  # asked while it was being answered, if at all
        return out + self._end_reply()

    def _end_reply(self) -> list[Message]:
        out = self._generation_complete()
        self._replying = self._generated = self._answered = False
        return out

    def _interrupt(self, now: float) -> list[Message]:
        if not (self._replying or self._speaking or self._held or self._sound_due):
            return []
        out: list[Message] = []
        if self._speaking:
            self._sentences.drop_after(self._played)
            out += self._whole(self._sentences.flush())
        self._sentences = Sentences()
        self._held.clear()
        out.append(rtvi.BOT_INTERRUPTED)
        out += self._silence() + self._stop_generation()
        if self._replying:
            self._stale_until = now + STALE_SECONDS
        self._replying = self._generated = self._answered = self._sound_due = False
        return out

    def _tool_stopped(self, call_id: str, *, cancelled: bool) -> list[Message]:
        if call_id not in self._calls:
            return []
        self._calls.remove(call_id)
        return [rtvi.function_call_stopped(call_id, cancelled=cancelled)]

    # ---- what is heard ----

    def _release(self, *, everything: bool = False) -> list[Message]:
        """Show the sentences that have begun to be heard; or `everything`, for no more sound belongs to it."""
        out: list[Message] = []
        spoken = self._speaking or self._answered
        while self._held and (everything or (self._speaking and self._held[0].position < self._played)):
            text = self._held.popleft().text
            self._segment += 1
            out.append(rtvi.bot_output(text, self._segment, spoken=spoken, generation=self.generation))
            out += [rtvi.bot_tts_text(text)] * spoken
        return out

    def _silence(self) -> list[Message]:
        """The sound is over. When the generation is too, the sentences not yet shown had no sound of their own."""
        if not self._speaking:
            return []
        out = self._release(everything=not self._llm)
        self._speaking = False
        return [*out, rtvi.BOT_STOPPED_SPEAKING]


def _tokens(usage: events.Usage) -> Message:
    return rtvi.metrics_tokens(
        usage.prompt,
        usage.response,
        usage.total or usage.prompt + usage.response,
        reasoning_tokens=usage.thoughts,
        input_audio_tokens=usage.prompt_by_modality.get("AUDIO", 0),
        output_audio_tokens=usage.response_by_modality.get("AUDIO", 0),
    )
