"""What a connection to the model leaves unfinished, should it end now. Pure.

The question that has no answer, the answer that is being made, the functions that run, what was to be remembered since
the handle: told here as it happens, and put back into the next connection when there is one.
"""

from collections.abc import Sequence
from typing import Final

from relay.gemini import events, recall
from relay.gemini.events import Event
from relay.gemini.life import Busy
from relay.gemini.protocol import Kind, kind, nudge_message
from relay.gemini.unheard import Item, Notes, Question, Words

# What has no answer after so long will have none. The watchdog asks for one after 15 s, which begins this anew, and for
# another connection 15 s later, where it is asked again.
PATIENCE_SECONDS: Final = 20.0


class Unfinished:
    """One conversation's. After each call look at `busy` and `deadline`, and call `poll` then."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._nudge = nudge_message(model)
        self.question = Question()
        self._speaking = False
        self._waiting_since: float | None = None  # for an answer
        self._pictures = Notes()  # since the handle
        self._notes = Notes()  # since the model's last turn: those are of the turns that follow it
        self._calls: dict[str, events.FunctionCall] = {}  # that this connection waits for
        self._results: list[Words] = []  # answers to them that nothing has followed
        self._generating = False
        self._turn = False  # the model's turn has begun and is not over
        self._cut = False  # an answer was being made when the last connection was left

    @property
    def generating(self) -> bool:
        """An answer is being made: more of its sound begins and ends nothing."""
        return self._generating

    @property
    def busy(self) -> frozenset[Busy]:
        """What keeps the connection from being left by plan."""
        found = {Busy.ASKED: self.question.open, Busy.CALLING: bool(self._calls), Busy.GENERATING: self._turn}
        return frozenset(what for what, on in found.items() if on)

    @property
    def deadline(self) -> float | None:
        """When `poll` is due."""
        if self._waiting_since is None or self._speaking or self.question.answering or not self.question.open:
            return None
        return self._waiting_since + PATIENCE_SECONDS

    def poll(self, now: float) -> None:
        """What was asked long ago will have no answer."""
        if self.deadline is not None and now >= self.deadline:
            self.question.forget()

    # ---- what we say ----

    def utterance(self, begins: bool, at: float, now: float, waiting: int) -> None:
        """The user begins to speak, or has stopped; `waiting` pieces of sound have not been sent."""
        self._speaking, self._waiting_since = begins, now
        if begins:
            self.question.begin(now - at, waiting)
        else:
            self.question.pause()

    def answer(self, message: bytes) -> Words:
        """What a function returned: for this connection if it has asked for it, and else in words."""
        key, words = recall.answered(self._model, message)
        return words if self._calls.pop(key, None) is not None else words.elsewhere

    def sent(self, words: Words, now: float) -> None:
        """They are with the model, which may yet be lost."""
        if words.instead:
            self._results.append(words.elsewhere)
        elif words.kind is Kind.SHOWN:
            self._pictures.add(words.message)
        elif words.kind is Kind.NOTED:
            self._notes.add(words.message)
        else:
            if words.message != self._nudge:  # which asks for an answer to what was asked
                self.question.ask(words)
            if words.kind is Kind.ASKED:
                self._waiting_since = now

    # ---- what the model says ----

    def begins(self, event: Event) -> None:
        """What this event begins; told before anybody acts on it."""
        match event:
            case events.Audio() | events.ModelText():
                self._generate()
            case events.OutputTranscript() if not self._turn:  # it may straggle in after its sound
                self._generate()
            case events.ToolCall(calls=calls):
                self._generate()
                self._generating = False  # it waits for us
                self.question.settle()
                self._calls |= {call.id or call.name: call for call in calls}
            case _:
                pass

    def ends(self, event: Event) -> None:
        """What this event ends; told after everybody has acted on it."""
        match event:
            case events.GenerationComplete():
                self._generating = False
                self.question.complete()
            case events.TurnComplete() | events.Interrupted():
                self._generating = self._turn = False
                self.question.complete()
                self._notes.clear()
            case events.ToolCancelled(ids=ids):
                for id in ids:
                    self._calls.pop(id, None)
            case events.ResumptionUpdate(handle=handle, resumable=True) if handle:
                self._notes.clear()
                self._pictures.clear()
            case _:
                pass

    def _generate(self) -> None:
        if not self._generating:
            self._generating = self._turn = True
            self._results.clear()
            self.question.answer()

    # ---- from one connection to the next ----

    def leave(self) -> list[Event]:
        """The connection is left: what it would have ended is ended by these."""
        ended: list[Event] = []
        if self._generating:
            ended.append(events.Interrupted())
        if self._turn:
            ended.append(events.TurnComplete())
        self._cut = self._generating
        self._generating = self._turn = False
        return ended

    def put_back(self, turns: Sequence[tuple[str, str]], now: float) -> list[Item]:
        """What the next connection, which does not know these `turns`, is told first.

        A question is asked again in the user's own voice unless something of its answer has been heard; the rest of an
        answer that was cut is asked for.
        """
        calls, self._calls = self._calls, {}
        results, self._results = self._results, []
        cut, self._cut = self._cut, False
        question, heard = self.question, bool(turns) and turns[-1][0] == "model"
        again = question.again if question.open and not (question.answering and heard) else []
        if again:
            turns = recall.without_last_question(turns)
            question.answering = False
            self._waiting_since = now
        messages = [*recall.tell(self._model, turns), *recall.called(self._model, calls.values()), *self._pictures]
        if again:
            messages += self._notes
        if cut and not again and not calls and not results:
            words = Words(recall.go_on(self._model, turns, heard=heard), Kind.ASKED)
            question.forget()
            self.sent(words, now)
            again = [words]
        return [*(Words(message, kind(message)) for message in messages), *results, *again]
