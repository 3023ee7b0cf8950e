"""One answer at a time: laid out in chunks, with its calls, its end, and its interruption. Pure."""

import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from relay.standin import ears, voice, wire
from relay.standin.memory import Shelf
from relay.standin.mind import Mind, Reply
from relay.standin.script import Call, Line, Timings
from relay.standin.timeline import Timeline

MAX_WAITING: Final = 4  # things to answer while we may not be interrupted; the oldest go first
MAX_TOOL_CALLS: Final = 100  # unanswered at once


@dataclass(slots=True, eq=False)
class Turn:
    """One answer under way, from the decision to speak until `turnComplete`."""

    ends: float = 0.0  # when its sound will have been played
    spoken: float = 0.0  # seconds of sound sent
    words: str = ""
    waits: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # blocking calls and their answers
    then: Line | None = None


class Speech:
    """The stand-in's side of the turns. `dice(n)` gives n random bits; `on_chunk` is told of each chunk sent."""

    def __init__(
        self,
        timeline: Timeline,
        timings: Timings,
        shelf: Shelf,
        mind: Mind,
        dice: Callable[[int], int],
        on_chunk: Callable[[int, float], None],
    ) -> None:
        self.turn: Turn | None = None
        self.mouth = ears.Mouth()
        self.mind = mind
        self.style = "3.8"
        self.resumption = False
        self.transcript = False
        self._timeline = timeline
        self._times = timings
        self._shelf = shelf
        self._dice = dice
        self._on_chunk = on_chunk
        self._waiting: deque[Callable[[float], None]] = deque(maxlen=MAX_WAITING)
        self._calls: dict[str, Line | None] = {}  # NON_BLOCKING calls without an answer
        self._chunks = 0

    def fall_silent(self) -> None:
        """Breaks off without a word."""
        if self.turn is not None:
            self._timeline.drop(self.turn)
            self.turn = None

    def answer(self, begin: Callable[[float], None], now: float) -> None:
        """Answers now, or after the turn that may not be interrupted."""
        if self.turn is None:
            begin(now)
        else:
            self._waiting.append(begin)

    def begin(self, reply: Reply | None, now: float) -> None:
        if reply is None:
            if self._waiting and self.turn is None:
                self._waiting.popleft()(now)
            return
        self.turn = self._new_turn()
        if self.resumption:
            self._timeline.say({"sessionResumptionUpdate": {}})  # not resumable while speaking
        self._speak(self.turn, reply, now)

    def _new_turn(self) -> Turn:
        return Turn()

    def take_answers(self, responses: list[wire.Json], now: float) -> None:
        """What the tools answered; an unknown or repeated id is ignored, as clients after a resume rely on."""
        for response in responses:
            name = str(response.get("id", ""))
            turn = self.turn
            if turn is not None and turn.waits.get(name, response) is None:
                if response.get("willContinue") is not True:
                    turn.waits[name] = response
                    if None not in turn.waits.values():
                        results = [r for r in turn.waits.values() if r is not None]
                        turn.waits = {}
                        self._speak(turn, self.mind.told(turn.then, results), max(now, turn.ends))
            elif name in self._calls and response.get("willContinue") is not True:
                reply = self.mind.told(self._calls.pop(name), [response])
                scheduling = response.get("scheduling", "WHEN_IDLE")
                if scheduling == "SILENT":
                    continue
                if scheduling == "INTERRUPT" and self.turn is not None:
                    self.interrupt(now)
                self.answer(lambda at, r=reply: self.begin(r, at), now)  # type: ignore[misc]

    def interrupt(self, now: float) -> None:
        """Stops the turn at once: nothing of it is sent any more."""
        turn, self.turn = self.turn, None
        if turn is None:
            return
        self._timeline.drop(turn)
        self.mouth.stop(now)
        pending = [name for name, answer in turn.waits.items() if answer is None]
        if pending:
            self._timeline.say({"toolCallCancellation": {"ids": pending}})
        self._timeline.say(wire.content(interrupted=True))
        self._end_turn(turn, now)

    def _speak(self, turn: Turn, reply: Reply, now: float) -> None:
        """Lays a reply out in time: thought, chunks, calls, the end of the turn."""
        latency = self._times.latency_ms if reply.latency_ms is None else reply.latency_ms
        start = now + latency / 1000
        unit = voice.step(reply.rate)
        size = max(1, round(voice.RATE * self._times.chunk_ms / 1000 / unit)) * unit
        step = size / voice.RATE / self._times.speed
        chunks = range(0, len(reply.pcm) // 2 * voice.RATE // reply.rate, size)
        words = spread(reply.text, max(1, len(chunks)), self.style)
        for part in silent_parts(reply):

            def show(at: float, part: wire.Json = part) -> None:
                self._timeline.say(wire.content(modelTurn={"parts": [part]}))

            self._timeline.at(start, show, turn)
        for n in range(max(1, len(chunks))):

            def send(at: float, n: int = n) -> None:
                self._chunk(turn, voice.piece(reply.pcm, reply.rate, n * size, size), words[n], at)

            self._timeline.at(start + n * step, send, turn)
        last = start + max(0, len(chunks) - 1) * step
        turn.ends = start + voice.seconds(reply.pcm, reply.rate)
        self._timeline.at(last, lambda at: self._spoken(turn, reply, at), turn)
        if reply.pcm:
            self._timeline.at(start, lambda at: self.mouth.play(at, ears.levels(reply.pcm, reply.rate)), turn)

    def _chunk(self, turn: Turn, pcm: bytes, words: str, now: float) -> None:
        turn.words += words
        turn.spoken += voice.seconds(pcm)
        transcript = words if self.transcript else ""
        if self.style == "2.5" or not pcm:
            if transcript:
                self._timeline.say(wire.content(outputTranscription={"text": transcript}))
            transcript = ""
        elif self._chunks:
            self._timeline.say({})
        if pcm:
            self._timeline.say(wire.audio_part(pcm, self.style, transcript))
            self._chunks += 1
            self._on_chunk(self._chunks, now)

    def _spoken(self, turn: Turn, reply: Reply, now: float) -> None:
        """Everything has been sent: make the calls, or end the turn when its sound would have been played."""
        if reply.grounding:
            self._timeline.say(wire.content(groundingMetadata=reply.grounding))
        if reply.calls:
            named = [(call.id or self._call_id(), call) for call in reply.calls]
            if reply.blocking:
                turn.waits, turn.then = {name: None for name, _ in named}, reply.then
            else:
                while len(self._calls) + len(named) > MAX_TOOL_CALLS:
                    del self._calls[next(iter(self._calls))]
                self._calls.update({name: reply.then for name, _ in named})
            self._timeline.say({"toolCall": {"functionCalls": [_call(name, call) for name, call in named]}})
            if reply.blocking:
                return
        self._timeline.say(wire.content(generationComplete=True))
        self._timeline.at(
            max(now, turn.ends) + self._times.turn_complete_ms / 1000, lambda at: self._complete(turn, at), turn
        )

    def _complete(self, turn: Turn, now: float) -> None:
        self.turn = None
        self._end_turn(turn, now)
        if self._waiting:
            self._waiting.popleft()(now)

    def _end_turn(self, turn: Turn, now: float) -> None:
        memory = self.mind.memory
        prompt = {"TEXT": memory.text_tokens, "AUDIO": memory.audio_tokens}
        memory.add(turn.words, turn.spoken)
        spoken = memory.audio_tokens - prompt["AUDIO"]
        usage: wire.Json = {"promptTokenCount": sum(prompt.values())}
        if spoken:
            usage["responseTokenCount"] = spoken
        usage["totalTokenCount"] = sum(prompt.values()) + spoken
        details = [{"modality": name, "tokenCount": count} for name, count in prompt.items() if count]
        if details:
            usage["promptTokensDetails"] = details
        if spoken:
            usage["responseTokensDetails"] = [{"modality": "AUDIO", "tokenCount": spoken}]
        self._timeline.say({"serverContent": {"turnComplete": True}, "usageMetadata": usage})
        if self.resumption:
            self.offer_handle(now)

    def offer_handle(self, now: float) -> None:
        handle = str(uuid.UUID(int=self._dice(128), version=4))
        self._shelf.keep(handle, self.mind.memory, now)
        self._timeline.say({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    def _call_id(self) -> str:
        if self.style == "2.5":
            return f"function-call-{10**19 + self._dice(63)}"
        return f"fc_{10**18 + self._dice(62)}"


def silent_parts(reply: Reply) -> list[wire.Json]:
    """What comes before the sound and is not heard."""
    parts: list[wire.Json] = [{"text": reply.thought, "thought": True}] if reply.thought else []
    if reply.code:
        parts.append({"executableCode": {"language": "PYTHON", "code": reply.code}})
        parts.append({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "(not run)"}})
    return parts


def _call(name: str, call: Call) -> wire.Json:
    return {"name": call.name, "args": call.args, "id": name}


def spread(text: str, pieces: int, style: str) -> list[str]:
    """The words of `text` over so many chunks; the newer style's pieces end in a space, the older's begin with one."""
    words = text.split()
    out = []
    said = 0
    for n in range(pieces):
        until = -(-len(words) * (n + 1) // pieces)  # rounded up: words come with their sound, or a little before
        part, said = " ".join(words[said:until]), until
        out.append(part if not part else f" {part}" if style == "2.5" else part if until >= len(words) else f"{part} ")
    return out
