"""What a connection to the model leaves unfinished, should it end now. Pure.

The question that has no answer, the answer that is being made, the functions that run, what was to be remembered since
the handle: told here as it happens, and put back into the next connection when there is one.
"""

from collections.abc import Iterable
from typing import Final

from relay.gemini import events, recall
from relay.gemini.checkpoint import Checkpoint, Memory, Nothing
from relay.gemini.events import Event
from relay.gemini.life import Busy
from relay.gemini.protocol import Answer, Kind
from relay.gemini.unheard import Item, Notes, Question, Words

# What has no answer after so long will have none; time without a connection does not count. The watchdog asks for one
# after 15 s, which begins this anew, and for another connection 15 s later, where it is asked again.
PATIENCE_SECONDS: Final = 20.0


class Unfinished:
    """What is unfinished in one conversation. After each call look at `busy` and `deadline`, and call `poll` then.

    Connections are numbered; the functions' ids are their own affair, and another's may be the same.
    """

    def __init__(self, model: str, memory: Memory | None = None) -> None:
        self.model = model
        self._memory: Memory = memory or Nothing()
        self.checkpoint = Checkpoint(self._memory)
        self.question = Question()
        self._speaking = False
        self._waiting_since: float | None = None  # for an answer
        self._away = False  # nobody is there to give it
        self._unheld = Notes()  # pictures, and results nobody is to speak of, that the handle does not hold
        self._notes = Notes()  # since the model's last turn
        self._calls: list[tuple[int, events.FunctionCall]] = []  # that this connection waits for, and its number
        self._promised: list[tuple[int, events.FunctionCall]] = []  # that others waited for, told as running
        self._results: list[Words] = []  # answers that nothing has followed
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
        question = self.question
        if self._waiting_since is None or self._away or self._speaking or question.answering or not question.open:
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
            self.question.begin(now - at, waiting, self._memory.mark)
        else:
            self.question.pause()

    def answer(self, answer: Answer, connection: int) -> Words:
        """What a function returned that this `connection` asked for: for it alone, and for any other in words."""
        words = Words(answer, recall.returned(self.model, answer), self._memory.mark, owed=True)
        found = [
            (number, call)
            for number, call in self._calls + self._promised
            if number == connection and answer.key == (call.id or call.name)
        ][:1]
        waits = any(call in self._calls for call in found)
        self.forget(found)
        return words if waits else words.elsewhere

    def forget(self, calls: Iterable[tuple[int, events.FunctionCall]]) -> list[events.FunctionCall]:
        """These will have no answer, and the model waits for none. Returns those that it was told of as running."""
        promised = []
        for call in calls:
            if call in self._calls:
                self._calls.remove(call)
            elif call in self._promised:
                self._promised.remove(call)
                promised.append(call[1])
        return promised

    def sent(self, words: Words, now: float) -> None:
        """They are with the model, which may yet be lost."""
        if words.kind.asks or words.kind is Kind.NOTED:
            self.checkpoint.tell(words.mark, now)
        if words.instead is not None and words.instead.kind.asks:
            self._results.append(words.elsewhere)
        elif words.instead is not None or words.kind is Kind.SHOWN:
            self._unheld.add(words.elsewhere, now)
        elif words.kind is Kind.NOTED:
            self._notes.add(words, now)
        else:
            if words.kind is not Kind.NUDGED:
                self.question.ask(words)
            if words.kind.asks:
                self._waiting_since = now

    # ---- what the model says ----

    def begins(self, event: Event, now: float, connection: int) -> None:
        """What this event begins, on that connection; told before anybody acts on it."""
        match event:
            case events.Audio() | events.ModelText():
                self._generate()
            case events.OutputTranscript() if not self._turn:  # it may straggle in after its sound
                self._generate()
            case events.ToolCall(calls=calls):
                self._generate()
                self._generating = False  # it waits for us
                self.question.settle()
                for call in calls:
                    if not call.id or (connection, call.id) not in ((at, open.id) for at, open in self._calls):
                        self._calls.append((connection, call))
            case events.TurnComplete() | events.Interrupted():  # what is said from here on is not of this turn
                self.checkpoint.rest(now)
                self._notes.forget(self.checkpoint.rested_at)
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
            case events.ToolCancelled(ids=ids):
                self.forget([(connection, call) for connection, call in self._calls if call.id in ids])
            case _:
                pass

    def offered(self) -> bool:
        """A handle came. False if it is of no use: it does not hold all, and the model could not be told the rest."""
        if recall.is_strict(self.model) and not self.checkpoint.whole:
            return False
        self.checkpoint.offer()
        self._unheld.forget(self.checkpoint.rested_at)
        return True

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
        self._cut, self._away = self._generating, True
        self._generating = self._turn = False
        return ended

    def put_back(
        self, mark: int, until: int | None, now: float, *, seeds: bool = False, asks: bool = False
    ) -> list[Item]:
        """What the next connection is told first: it knows what came before `mark`, and what is from `until` on waits.

        A question is asked again in the user's own voice unless something of its answer has been heard; the rest of an
        answer that was cut is asked for, unless what waits `asks` for another. `seeds` says that the connection was set
        up to take a history.
        """
        self._promised += self._calls
        self._calls = []
        cut, self._cut = self._cut, False
        self._away, self._waiting_since = False, now
        self.checkpoint.accept(mark, now)
        question, notes = self.question, list[Words]()
        answer = self._memory.since(question.mark, until) if question.open else self._memory.since(mark, until)[-1:]
        heard = any(role == "model" for role, _ in answer)
        again = question.again if question.open and not (question.answering and heard) else []
        if again:
            until = question.mark if until is None else min(until, question.mark)
            notes = [note for note in self._notes if note.mark >= question.mark]
            question.answering = False
        turns = self._memory.since(mark, until)
        messages = recall.tell(self.model, turns, (call for _, call in self._promised), seeds=seeds)
        if cut and not again and not self._results and not asks:
            words = Words(recall.go_on(self.model, [] if seeds else turns, heard=heard), mark=self._memory.mark)
            question.forget()
            self.sent(words, now)
            again = [words]
        told = [Words(message) for message in messages]
        return [*told, *self._unheld, *notes, *self._results, *again]
