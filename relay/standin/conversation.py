"""The conversation of one connection: frames and time in, messages and a next due time out. Pure.

The caller owes: `receive` for every frame, `collect` whenever `due` has come (and after each `receive`),
`hang_up` once at the end. Nothing here waits; `now` is any clock that only goes forward, in seconds.
"""

from collections.abc import Callable
from typing import Final

from relay.standin import ears, voice, wire
from relay.standin.faults import Trouble
from relay.standin.memory import LETTERS_PER_TOKEN, Memory, Shelf
from relay.standin.mind import Mind
from relay.standin.script import Script
from relay.standin.speech import Speech
from relay.standin.timeline import Out, Timeline

MAX_UTTERANCES: Final = 1000  # lengths remembered


class Conversation:
    """One connection's state. `number` counts connections from 1, for the faults; `dice(n)` gives n random bits."""

    def __init__(self, script: Script, shelf: Shelf, number: int, dice: Callable[[int], int]) -> None:
        self.setup: wire.Setup | None = None
        self.notes: list[str] = []  # what a stricter server would have refused
        self.utterances: list[float] = []  # seconds of each thing heard
        self._script = script
        self._times = script.timings
        self._shelf = shelf
        self._timeline = Timeline()
        self._say = self._timeline.say
        self._mind = Mind(script, Memory())
        self._trouble = Trouble(script.faults, number, self._timeline, self._close, self._fall_silent)
        self._speech = Speech(self._timeline, self._times, shelf, self._mind, dice, self._trouble.count_chunk)
        self._ears = ears.Ears(int(self._times.silence_ms))
        self._audio_in = 0.0  # seconds
        self._manual: bytearray | None = None  # between activityStart and activityEnd
        self._style = "3.8"
        self._live = False  # setupComplete has been said
        self._seeded = False
        self._deaf = False  # half-open by a fault
        self._spoken_to = 0  # counts onsets and ends, so that interim transcripts know theirs

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
        return self._timeline.due()

    def collect(self, now: float) -> list[Out]:
        """Everything that is due, in order."""
        return self._timeline.collect(now)

    def hang_up(self) -> None:
        """The connection has ended; the session may be resumed now."""
        self._timeline.end()
        self._mind.memory.connected = False

    @property
    def closed(self) -> bool:
        return self._timeline.closed

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
            self._speech.take_answers(wire.entries(body, "functionResponses", "toolResponse.functionResponses"), now)

    def _set_up(self, raw: wire.Json, now: float) -> None:
        if fault := self._trouble.of("refuse-setup"):
            raise wire.Refusal(fault.code, fault.reason)
        setup = wire.read_setup(raw, self._script.strict)
        if setup.handle:
            memory = self._shelf.find(setup.handle, now)
            if memory is None:
                raise wire.Refusal(1007, wire.INVALID)
            if memory.connected:
                raise wire.Refusal(1011, "Internal error encountered.")
            self._mind.memory = memory
        self.setup = setup
        self._mind.memory.connected = True
        self.notes += setup.notes
        self._mind.functions = setup.functions
        self._style = self._script.style if self._script.style != "auto" else setup.style
        self._speech.style, self._speech.resumption = self._style, setup.resumption
        self._speech.transcript = setup.output_transcript
        if "systemInstruction" in raw:
            told = wire.text_of(wire.entry(raw, "systemInstruction", "setup.systemInstruction"))
            self._mind.memory.text_tokens += len(told) // LETTERS_PER_TOKEN
        self._ears = ears.Ears(
            int(self._times.silence_ms) if setup.silence_ms is None else setup.silence_ms,
            setup.prefix_ms,
            ears.DEAF_GATE_DB if setup.hard_of_hearing else ears.GATE_DB,
        )
        if self._trouble.of("silent-setup"):
            return
        slow = self._trouble.of("slow-setup")
        self._timeline.at(now + self._times.setup_ms / 1000 + (slow.seconds if slow else 0.0), self._complete_setup)

    def _complete_setup(self, now: float) -> None:
        self._live = True
        self._say({"setupComplete": {}})
        if self._style != "2.5":
            self._speech.offer_handle(now)
        life = self._times.lifetime_s
        if life:
            self._trouble.go_away_at(now + max(0.0, life - self._times.time_left_s), min(life, self._times.time_left_s))
        self._trouble.begin(now)
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
            else:
                self._pause(now)
        if "activityEnd" in body and self._manual is not None:
            said, self._manual = bytes(self._manual), None
            self._heard(ears.End(self._audio_in, said), now)

    def _sound(self, pcm: bytes, rate: int, now: float) -> None:
        self._audio_in += voice.seconds(pcm, rate)
        pcm = voice.resample(pcm, rate, ears.RATE)  # message by message: their edges are good enough for ears
        if self._known.manual:
            if self._manual is not None:
                self._keep(self._manual, pcm)
            return
        self._listen(pcm, now)

    def _keep(self, said: bytearray, pcm: bytes) -> None:
        """More of a turn whose end the user will mark."""
        said += pcm[: ears.MAX_UTTERANCE_S * ears.RATE * 2 - len(said)]

    def _content(self, body: wire.Json, now: float) -> None:
        turns = wire.entries(body, "turns", "clientContent.turns")
        legacy = "3.1" in self._known.model and self._seeded
        if legacy or (self._style != "2.5" and any(t.get("role") not in ("user", "model", "system") for t in turns)):
            raise wire.Refusal(1007, wire.INVALID)
        text = ""
        for turn in turns:
            said = wire.text_of(turn)
            if said:
                self._mind.memory.add(said)
            text = said if turn.get("role", "user") == "user" else text
        seeding, self._seeded = self._known.seeding and not self._seeded, True
        if seeding:
            return
        self._speech.interrupt(now)
        if body.get("turnComplete") is True:
            audio = b"".join(
                voice.resample(*wire.audio_bytes(part["inlineData"], "clientContent.turns.parts.inlineData"), ears.RATE)
                for part in wire.entries(turns[-1] if turns else {}, "parts", "clientContent.turns.parts")
                if str(wire.entry(part, "inlineData", "inlineData").get("mimeType", "")).startswith("audio/")
            )[: ears.MAX_UTTERANCE_S * ears.RATE * 2]
            if audio and not text.strip():
                self._recording(audio, now)
            elif text.strip():
                self._speech.begin(self._mind.read(text), now)
            else:
                self._speech.begin(self._mind.greet(), now)

    def _typed(self, text: str, now: float) -> None:
        if not text.strip():
            self._nudge(now)
            return
        self._mind.memory.add(text)
        if self._known.interrupts:
            self._speech.interrupt(now)
        self._speech.answer(lambda at: self._speech.begin(self._mind.read(text), at), now)

    def _nudge(self, now: float) -> None:
        if self._speech.turn is None:
            self._speech.begin(self._mind.greet(), now)

    # --- hearing -----------------------------------------------------------------------------------------------

    def _listen(self, pcm: bytes, now: float) -> None:
        for event in self._ears.hear(pcm, self._speech.mouth.level(now)):
            if isinstance(event, ears.Onset):
                self._tell_activity("START", event.at)
                self._onset(now)
            else:
                self._heard(event, now)

    def _pause(self, now: float) -> None:
        """The client's sound stops for a while."""
        if end := self._ears.finish():
            self._heard(end, now)

    def _recording(self, pcm: bytes, now: float) -> None:
        self._speech.begin(self._mind.hear(pcm)[2], now)

    def _tell_activity(self, what: str, at: float) -> None:
        if self._style != "2.5" and not self._known.manual:
            self._say({"voiceActivity": {"type": f"ACTIVITY_{what}", "audioOffset": wire.duration(at)}})

    def _onset(self, now: float) -> None:
        self._spoken_to += 1
        if self._known.interrupts:
            self._speech.interrupt(now)
        for n, text in enumerate(self._mind.interim()):
            self._timeline.at(
                now + (n + 1) * self._times.interim_ms / 1000,
                lambda at, t=text, s=self._spoken_to: self._interim(t, s),  # type: ignore[misc]
            )

    def _interim(self, text: str, speech: int) -> None:
        if speech == self._spoken_to:
            self._say(wire.content(interimInputTranscription={"text": text}))

    def _heard(self, end: ears.End, now: float) -> None:
        self._spoken_to += 1
        text, length, reply = self._mind.hear(end.pcm)
        self.utterances.append(length)
        del self.utterances[:-MAX_UTTERANCES]
        self._tell_words(text)
        self._tell_activity("END", end.at)
        self._speech.answer(lambda at: self._speech.begin(reply, at), now)

    def _tell_words(self, text: str) -> None:
        if self._known.input_transcript and text:
            pieces = [f" {word}" for word in text.split()] if self._style == "2.5" else [text]
            for piece in pieces:
                self._say(wire.content(inputTranscription={"text": piece}))

    # --- the line ----------------------------------------------------------------------------------------------

    @property
    def _known(self) -> wire.Setup:
        assert self.setup is not None
        return self.setup

    def _close(self, code: int | None, reason: str = "") -> None:
        self._timeline.close(code, reason)
        self.hang_up()

    def _fall_silent(self, now: float) -> None:
        """Answers nothing any more; what closes the line still does."""
        self._deaf = True
        self._speech.fall_silent()
