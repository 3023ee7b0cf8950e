"""The conversation of one connection: frames and time in, messages and a next due time out. Pure.

The caller owes: `receive` for every frame, `collect` whenever `due` has come (and after each `receive`),
`hang_up` once at the end. Nothing here waits; `now` is any clock that only goes forward, in seconds.
"""

import heapq
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from relay.standin import ears, voice, wire
from relay.standin.mind import LETTERS_PER_TOKEN, Memory, Mind, Reply
from relay.standin.script import DEADLINE, Call, Fault, Line, Script, garbage

MAX_HANDLES: Final = 10_000  # resumption handles kept; the oldest go first
HANDLE_LIFE_S: Final = 7200.0
MAX_WAITING: Final = 4  # things said while we may not be interrupted; the oldest go first
MAX_TOOL_CALLS: Final = 100  # unanswered at once


@dataclass(frozen=True, slots=True)
class Say:
    """A message for the client."""

    message: wire.Json


@dataclass(frozen=True, slots=True)
class Raw:
    """A frame that is no message, for the faults."""

    data: bytes | str


@dataclass(frozen=True, slots=True)
class Close:
    """Close with this code and reason, or, without a code, cut the line."""

    code: int | None
    reason: str = ""


Out = Say | Raw | Close


class Shelf:
    """The sessions that can be resumed, by handle. A handle stays good after newer ones were given."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Memory]] = OrderedDict()

    def keep(self, handle: str, memory: Memory, now: float) -> None:
        self._kept[handle] = (now + HANDLE_LIFE_S, memory)
        while len(self._kept) > MAX_HANDLES:
            self._kept.popitem(last=False)

    def find(self, handle: str, now: float) -> Memory | None:
        expires, memory = self._kept.get(handle, (now - 1, None))
        return memory if now <= expires else None


@dataclass(slots=True, eq=False)
class Turn:
    """One answer under way, from the decision to speak until `turnComplete`."""

    first: float | None = None  # when its sound began
    ends: float = 0.0  # when its sound will have been played
    spoken: float = 0.0  # seconds of sound sent
    words: str = ""
    waits: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # blocking calls and their answers
    then: Line | None = None


class Conversation:
    """One connection's state. `number` counts connections from 1, for the faults; `dice(n)` gives n random bits."""

    def __init__(self, script: Script, shelf: Shelf, number: int, dice: Callable[[int], int]) -> None:
        self.setup: wire.Setup | None = None
        self.closed = False
        self.notes: list[str] = []  # what a stricter server would have refused
        self.utterances: list[float] = []  # seconds of each thing heard
        self._script = script
        self._times = script.timings
        self._shelf = shelf
        self._number = number
        self._dice = dice
        self._memory = Memory()
        self._mind = Mind(script, self._memory)
        self._mouth = ears.Mouth()
        self._ears = ears.Ears(int(script.timings.silence_ms))
        self._heap: list[tuple[float, int, Turn | None, Callable[[float], None]]] = []
        self._seq = 0
        self._out: list[Out] = []
        self._turn: Turn | None = None
        self._waiting: deque[Callable[[float], None]] = deque(maxlen=MAX_WAITING)
        self._calls: dict[str, tuple[Line | None, bool]] = {}  # NON_BLOCKING calls without an answer
        self._manual: bytearray | None = None  # between activityStart and activityEnd
        self._style = "3.8"
        self._live = False  # setupComplete has been said
        self._seeded = False
        self._deaf = False  # half-open by a fault
        self._speech = 0  # counts onsets, so that interim transcripts know theirs
        self._chunks = 0
        self._audio_in = 0.0

    # --- the caller's side -------------------------------------------------------------------------------------

    def receive(self, frame: str | bytes, now: float) -> str:
        """Takes one client frame; returns its kind, or "" when it was refused."""
        if self.closed or self._deaf:
            return ""
        try:
            kind, body = wire.read(frame)
            self._take(kind, body, now)
        except wire.Refusal as refusal:
            self._close(refusal.code, refusal.reason)
            return ""
        return kind

    def due(self) -> float | None:
        """When `collect` has something to give; None for not before the next frame."""
        if self._out:
            return 0.0
        return self._heap[0][0] if self._heap else None

    def collect(self, now: float) -> list[Out]:
        """Everything that is due, in order."""
        while self._heap and self._heap[0][0] <= now and not self.closed:
            due, _, turn, act = heapq.heappop(self._heap)
            if turn is None or turn is self._turn:
                act(due)
        out, self._out = self._out, []
        return out

    def hang_up(self) -> None:
        """The connection has ended; the session may be resumed now."""
        self.closed = True
        self._memory.connected = False
        self._heap.clear()

    # --- frames ------------------------------------------------------------------------------------------------

    def _take(self, kind: str, body: wire.Json, now: float) -> None:
        if self.setup is None:
            if kind != "setup":
                raise wire.Refusal(1007, wire.INVALID)
            self._set_up(body, now)
        elif kind == "setup" or not self._live:
            raise wire.Refusal(1007, wire.INVALID)
        elif kind == "realtimeInput":
            self._realtime(body, now)
        elif kind == "clientContent":
            self._content(body, now)
        elif kind == "toolResponse":
            self._answers(wire.entries(body, "functionResponses", "toolResponse.functionResponses"), now)

    def _set_up(self, raw: wire.Json, now: float) -> None:
        if fault := self._fault("refuse-setup"):
            raise wire.Refusal(fault.code, fault.reason)
        setup = wire.read_setup(raw, self._script.strict)
        if setup.handle:
            memory = self._shelf.find(setup.handle, now)
            if memory is None:
                raise wire.Refusal(1007, wire.INVALID)
            if memory.connected:
                raise wire.Refusal(1011, "Internal error encountered.")
            self._memory = memory
            self._mind = Mind(self._script, memory)
        self.setup = setup
        self._memory.connected = True
        self.notes += setup.notes
        self._style = self._script.style if self._script.style != "auto" else setup.style
        if "systemInstruction" in raw:
            told = wire.text_of(wire.entry(raw, "systemInstruction", "setup.systemInstruction"))
            self._memory.text_tokens += len(told) // LETTERS_PER_TOKEN
        self._ears = ears.Ears(
            int(self._times.silence_ms) if setup.silence_ms is None else setup.silence_ms,
            setup.prefix_ms,
            ears.DEAF_GATE_DB if setup.hard_of_hearing else ears.GATE_DB,
        )
        if self._fault("silent-setup"):
            return
        slow = self._fault("slow-setup")
        self._at(now + self._times.setup_ms / 1000 + (slow.seconds if slow else 0.0), self._complete_setup)

    def _complete_setup(self, now: float) -> None:
        self._live = True
        self._say({"setupComplete": {}})
        if self._style != "2.5":
            self._offer_handle(now)
        life = self._times.lifetime_s
        if life:
            self._go_away_at(now + max(0.0, life - self._times.time_left_s), min(life, self._times.time_left_s))
        for fault in self._script.faults:
            if fault.hits(self._number) and fault.after_s is not None:
                self._at(now + fault.after_s, lambda at, f=fault: self._go_wrong(f, at))  # type: ignore[misc]
        if self._script.greet == "setup":
            self._nudge(now)

    def _realtime(self, body: wire.Json, now: float) -> None:
        setup = self._known
        unknown = [key for key in body if key not in wire.REALTIME]
        if unknown:
            raise wire.Refusal(1007, wire.unknown(unknown[0], "realtime_input"))
        if "mediaChunks" in body:
            if self._style != "2.5":
                raise wire.Refusal(1007, wire.NO_MEDIA_CHUNKS)
            chunks = wire.entries(body, "mediaChunks", "realtimeInput.mediaChunks")
            if chunks and str(chunks[0].get("mimeType", "")).startswith("audio/"):
                body = {**body, "audio": chunks[0]}
        if ("activityStart" in body or "activityEnd" in body) and not setup.manual:
            raise wire.Refusal(1007, wire.INVALID)
        if "activityStart" in body and self._manual is None:
            self._manual = bytearray()
            self._onset(now)
        if "audio" in body:
            self._sound(*wire.audio_bytes(wire.entry(body, "audio", "realtimeInput.audio"), "realtimeInput.audio"), now)
        if "video" in body:
            wire.base64_bytes(
                wire.entry(body, "video", "realtimeInput.video").get("data", ""), "realtimeInput.video.data"
            )
        if "text" in body:
            self._typed(str(body["text"]), now)
        if body.get("audioStreamEnd") is True:
            if setup.manual:
                self.notes.append("audioStreamEnd while activity detection is off")
            elif end := self._ears.finish():
                self._heard(end, now)
        if "activityEnd" in body and self._manual is not None:
            said, self._manual = bytes(self._manual), None
            self._heard(ears.End(self._audio_in, said), now)

    def _sound(self, pcm: bytes, rate: int, now: float) -> None:
        self._audio_in += voice.seconds(pcm, rate)
        pcm = voice.resample(pcm, rate, ears.RATE)
        if self._known.manual:
            if self._manual is not None:
                room = ears.MAX_UTTERANCE_S * ears.RATE * 2 - len(self._manual)
                self._manual += pcm[:room]
            return
        for event in self._ears.hear(pcm, self._mouth.level(now)):
            if isinstance(event, ears.Onset):
                if self._style != "2.5":
                    self._say({"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": wire.duration(event.at)}})
                self._onset(now)
            else:
                self._heard(event, now)

    def _content(self, body: wire.Json, now: float) -> None:
        turns = wire.entries(body, "turns", "clientContent.turns")
        legacy = "3.1" in self._known.model and self._seeded
        if legacy or (self._style != "2.5" and any(t.get("role") not in ("user", "model", "system") for t in turns)):
            raise wire.Refusal(1007, wire.INVALID)
        text = ""
        for turn in turns:
            said = wire.text_of(turn)
            self._memory.add(str(turn.get("role", "user")), said)
            text = said if turn.get("role", "user") == "user" else text
        seeding, self._seeded = self._known.seeding and not self._seeded, True
        if seeding:
            return
        if self._turn is not None:
            self._interrupt(now)
        if body.get("turnComplete") is True:
            audio = b"".join(
                voice.resample(*wire.audio_bytes(part["inlineData"], "clientContent.turns.parts.inlineData"), ears.RATE)
                for part in wire.entries(turns[-1] if turns else {}, "parts", "clientContent.turns.parts")
                if str(wire.entry(part, "inlineData", "inlineData").get("mimeType", "")).startswith("audio/")
            )[: ears.MAX_UTTERANCE_S * ears.RATE * 2]
            if audio and not text.strip():
                self._begin(self._mind.hear(audio)[2], now)
            elif text.strip():
                self._begin(self._mind.read(text), now)
            else:
                self._begin(self._mind.greet(), now)

    def _typed(self, text: str, now: float) -> None:
        if not text.strip():
            self._nudge(now)
            return
        if self._turn is not None and self._known.interrupts:
            self._interrupt(now)
        self._answer(lambda at: self._begin(self._mind.read(text), at), now)

    def _nudge(self, now: float) -> None:
        if self._turn is None:
            self._begin(self._mind.greet(), now)

    def _answers(self, responses: list[wire.Json], now: float) -> None:
        for response in responses:
            name = str(response.get("id", ""))
            turn = self._turn
            if turn is not None and turn.waits.get(name, response) is None:
                if response.get("willContinue") is not True:
                    turn.waits[name] = response
                    if None not in turn.waits.values():
                        results = [r for r in turn.waits.values() if r is not None]
                        turn.waits = {}
                        self._speak(turn, self._mind.told(turn.then, results), max(now, turn.ends))
            elif name in self._calls and response.get("willContinue") is not True:
                then, _ = self._calls.pop(name)
                reply = self._mind.told(then, [response])
                scheduling = response.get("scheduling", "WHEN_IDLE")
                if scheduling == "SILENT":
                    continue
                if scheduling == "INTERRUPT" and self._turn is not None:
                    self._interrupt(now)
                self._answer(lambda at, r=reply: self._begin(r, at), now)  # type: ignore[misc]
            # An unknown or repeated id is ignored, as the real service's clients rely on.

    # --- hearing -----------------------------------------------------------------------------------------------

    def _onset(self, now: float) -> None:
        self._speech += 1
        if self._turn is not None and self._known.interrupts:
            self._interrupt(now)
        for n, text in enumerate(self._mind.interim()):
            self._at(
                now + (n + 1) * self._times.interim_ms / 1000,
                lambda at, t=text, s=self._speech: self._interim(t, s),  # type: ignore[misc]
            )

    def _interim(self, text: str, speech: int) -> None:
        if speech == self._speech:
            self._say(wire.content(interimInputTranscription={"text": text}))

    def _heard(self, end: ears.End, now: float) -> None:
        self._speech += 1
        text, length, reply = self._mind.hear(end.pcm)
        self.utterances.append(length)
        del self.utterances[:-1000]
        if self._known.input_transcript and text:
            pieces = [f" {word}" for word in text.split()] if self._style == "2.5" else [text]
            for piece in pieces:
                self._say(wire.content(inputTranscription={"text": piece}))
        if self._style != "2.5" and not self._known.manual:
            self._say({"voiceActivity": {"type": "ACTIVITY_END", "audioOffset": wire.duration(end.at)}})
        self._answer(lambda at: self._begin(reply, at), now)

    # --- speaking ----------------------------------------------------------------------------------------------

    def _answer(self, begin: Callable[[float], None], now: float) -> None:
        """Answers now, or after the turn that may not be interrupted."""
        if self._turn is None:
            begin(now)
        else:
            self._waiting.append(begin)

    def _begin(self, reply: Reply | None, now: float) -> None:
        if reply is None:
            if self._waiting and self._turn is None:
                self._waiting.popleft()(now)
            return
        self._turn = Turn()
        if self._known.resumption:
            self._say({"sessionResumptionUpdate": {}})  # not resumable while speaking
        self._speak(self._turn, reply, now)

    def _speak(self, turn: Turn, reply: Reply, now: float) -> None:
        """Lays a reply out in time: thought, chunks, calls, the end of the turn."""
        latency = self._times.latency_ms if reply.latency_ms is None else reply.latency_ms
        start = now + latency / 1000
        unit = voice.step(reply.rate)
        size = max(1, round(voice.RATE * self._times.chunk_ms / 1000 / unit)) * unit
        step = size / voice.RATE / self._times.speed
        chunks = range(0, len(reply.pcm) // 2 * voice.RATE // reply.rate, size)
        words = _spread(reply.text, max(1, len(chunks)), self._style)
        if reply.thought:
            part = {"text": reply.thought, "thought": True}
            self._at(start, lambda at: self._say(wire.content(modelTurn={"parts": [part]})), turn)
        for n in range(max(1, len(chunks))):

            def send(at: float, n: int = n) -> None:
                self._chunk(turn, voice.piece(reply.pcm, reply.rate, n * size, size), words[n], at)

            self._at(start + n * step, send, turn)
        last = start + max(0, len(chunks) - 1) * step
        turn.ends = start + voice.seconds(reply.pcm, reply.rate)
        self._at(last, lambda at: self._spoken(turn, reply, at), turn)
        if reply.pcm:
            self._at(start, lambda at: self._mouth.play(at, ears.levels(reply.pcm, reply.rate)), turn)

    def _chunk(self, turn: Turn, pcm: bytes, words: str, now: float) -> None:
        if turn.first is None:
            turn.first = now
        turn.words += words
        turn.spoken += voice.seconds(pcm)
        transcript = words if self._known.output_transcript else ""
        if self._style == "2.5" or not pcm:
            if transcript:
                self._say(wire.content(outputTranscription={"text": transcript}))
            transcript = ""
        elif self._chunks:
            self._say({})
        if pcm:
            self._say(wire.audio_part(pcm, self._style, transcript))
            self._chunks += 1
            for fault in self._script.faults:
                if fault.hits(self._number) and fault.after_chunks == self._chunks:
                    self._go_wrong(fault, now)

    def _spoken(self, turn: Turn, reply: Reply, now: float) -> None:
        """Everything has been sent: make the calls, or end the turn when its sound would have been played."""
        if reply.calls:
            named = [(call.id or self._call_id(), call) for call in reply.calls]
            if reply.blocking:
                turn.waits, turn.then = {name: None for name, _ in named}, reply.then
            else:
                while len(self._calls) + len(named) > MAX_TOOL_CALLS:
                    del self._calls[next(iter(self._calls))]
                self._calls.update({name: (reply.then, False) for name, _ in named})
            self._say({"toolCall": {"functionCalls": [_call(name, call) for name, call in named]}})
            if reply.blocking:
                return
        self._say(wire.content(generationComplete=True))
        self._at(max(now, turn.ends) + self._times.turn_complete_ms / 1000, lambda at: self._complete(turn, at), turn)

    def _complete(self, turn: Turn, now: float) -> None:
        self._turn = None
        self._end_turn(turn, now)
        if self._waiting:
            self._waiting.popleft()(now)

    def _interrupt(self, now: float) -> None:
        """Stops the turn at once: nothing of it is sent any more."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        self._heap = [item for item in self._heap if item[2] is not turn]
        heapq.heapify(self._heap)
        self._mouth.stop(now)
        pending = [name for name, answer in turn.waits.items() if answer is None]
        if pending:
            self._say({"toolCallCancellation": {"ids": pending}})
        self._say(wire.content(interrupted=True))
        self._end_turn(turn, now)

    def _end_turn(self, turn: Turn, now: float) -> None:
        memory = self._memory
        prompt = {"TEXT": memory.text_tokens, "AUDIO": memory.audio_tokens}
        memory.add("model", turn.words, turn.spoken)
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
        self._say({"serverContent": {"turnComplete": True}, "usageMetadata": usage})
        if self._known.resumption:
            self._offer_handle(now)

    # --- the line ----------------------------------------------------------------------------------------------

    @property
    def _known(self) -> wire.Setup:
        assert self.setup is not None
        return self.setup

    def _offer_handle(self, now: float) -> None:
        handle = str(uuid.UUID(int=self._dice(128), version=4))
        self._shelf.keep(handle, self._memory, now)
        self._say({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    def _call_id(self) -> str:
        if self._style == "2.5":
            return f"function-call-{10**19 + self._dice(63)}"
        return f"fc_{10**18 + self._dice(62)}"

    def _fault(self, kind: str) -> Fault | None:
        return self._script.fault(kind, self._number)

    def _go_away_at(self, when: float, left: float, code: int = 1011, reason: str = DEADLINE) -> None:
        self._at(when, lambda at: self._say({"goAway": {"timeLeft": wire.duration(left)}}))
        self._at(when + left, lambda at: self._close(code, reason))

    def _go_wrong(self, fault: Fault, now: float) -> None:
        if fault.kind == "close":
            self._close(fault.code, fault.reason)
        elif fault.kind == "drop":
            self._close(None)
        elif fault.kind == "silence":
            self._fall_silent(now)
        elif fault.kind == "garbage":
            self._out.append(Raw(garbage(fault.what)))
        elif fault.kind == "go-away":
            self._go_away_at(now, fault.time_left_s, fault.code, fault.reason)
            if fault.silent:
                self._at(now, self._fall_silent)

    def _fall_silent(self, now: float) -> None:
        """Answers nothing any more; what closes the line still does."""
        self._deaf = True
        self._turn = None

    def _at(self, due: float, act: Callable[[float], None], turn: Turn | None = None) -> None:
        self._seq += 1
        heapq.heappush(self._heap, (due, self._seq, turn, act))

    def _say(self, message: wire.Json) -> None:
        if not self.closed:
            self._out.append(Say(message))

    def _close(self, code: int | None, reason: str = "") -> None:
        if not self.closed:
            self._out.append(Close(code, wire.cut(reason)))
        self.hang_up()


def _call(name: str, call: Call) -> wire.Json:
    return {"name": call.name, "args": call.args, "id": name}


def _spread(text: str, pieces: int, style: str) -> list[str]:
    """The words of `text` over so many chunks; the newer style's pieces end in a space, the older's begin with one."""
    words = text.split()
    out = []
    said = 0
    for n in range(pieces):
        until = -(-len(words) * (n + 1) // pieces)  # rounded up: words come with their sound, or a little before
        part, said = " ".join(words[said:until]), until
        out.append(part if not part else f" {part}" if style == "2.5" else part if until >= len(words) else f"{part} ")
    return out
