"""What the local voice answers, as replies for the wire: the script's lines first, then its own wits. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from relay.standin import aloud, ears, voice
from relay.standin.memory import Memory
from relay.standin.mind import Mind, Reply, in_words
from relay.standin.script import Call, Line, Script
from relay.standin.wits.answer import Answer, Notes, Wanted
from relay.standin.wits.wits import Wits


class Brain(Mind):
    """`Mind` that understands words. `tools` are the function declarations of the setup."""

    def __init__(self, script: Script, memory: Memory, clock: Callable[[], datetime]) -> None:
        super().__init__(script, memory)
        self.tools: Sequence[Mapping[str, Any]] = ()
        self._wits = Wits(clock, script.seed or 0)
        self._wanted: dict[str, Wanted] = {}  # the last call of each function

    def greet(self) -> Reply | None:
        if self._script.greet == "never":
            return None
        again, self.memory.greeted = self.memory.greeted, True
        self.memory.text_tokens += 1
        if self._script.greeting is not None and not again:
            return self._aloud(self._script.greeting, b"", "")
        return self._reply(lambda: self._wits.greeting(again))

    def understand(self, text: str, sound: bytes = b"") -> Reply | None:
        """The answer to what was said, and how it sounded at 16 kHz; None for none."""
        line = self._take()
        if line is not None:
            said = voice.trim(sound, ears.RATE) if line.echo else b""
            return self._aloud(line, said, f"(your own words, {voice.seconds(said, ears.RATE):.1f} s)" if said else "")
        return None if self._mute() or not text else self._reply(lambda: self._wits.answer(text, self.tools))

    def foresee(self, text: str) -> str:
        """The first sentence of what would be answered to `text`; empty where that is not known."""
        if self.line() is not None or self._mute():
            return ""
        self._wits.notes = self.memory.notes or Notes()
        said = self._wits.guess(text, self.tools).sentences
        return next(aloud.sentences(said[0]), "") if said else ""

    def read(self, text: str) -> Reply | None:
        """The same for what was typed; being told to say hello is asking for the greeting, as in `Mind`."""
        if self.asks_for_greeting(text):
            return self.greet()
        return self._called(text) or self.understand(text)

    def told(self, then: Line | None, results: list[dict[str, Any]]) -> Reply:
        if then is not None:
            result = in_words(results)
            return self._aloud(then, b"", f"The tool answered: {result}", result)
        replies = [self._reply(lambda r=result: self._explain(r)) for result in results]  # type: ignore[misc]
        sentences = tuple(sentence for reply in replies if reply is not None for sentence in reply.sentences)
        return Reply(b"", " ".join(sentences), sentences=sentences, latency_ms=0)

    def _explain(self, result: dict[str, Any]) -> Answer:
        name, response = str(result.get("name", "")), result.get("response")
        called = self._wanted.get(name, Wanted(name))
        return self._wits.told(called, response if isinstance(response, dict) else {"result": response})

    def _reply(self, think: Callable[[], Answer]) -> Reply | None:
        """An answer with the notes of this session, which may have come from another connection."""
        self._wits.notes = self.memory.notes or Notes()
        answer = think()
        self.memory.notes = answer.notes
        calls: tuple[Call, ...] = ()
        if answer.call is not None:
            self._wanted[answer.call.name] = answer.call
            calls = (Call(answer.call.name, dict(answer.call.args)),)
        sentences = tuple(said for part in answer.sentences for said in aloud.sentences(part))
        if not sentences and not calls:
            return None
        blocking = not calls or self.functions.get(calls[0].name) != "NON_BLOCKING"
        return Reply(b"", " ".join(sentences), sentences=sentences, calls=calls, blocking=blocking, latency_ms=0)

    def _aloud(self, line: Line, said: bytes, fallback: str, result: str = "") -> Reply:
        """A line of the script, spoken where it would be hummed."""
        reply = self._render(line, said, fallback, result)
        if line.seconds is not None or line.wav or line.tone_hz is not None or said:
            return reply
        return replace(reply, pcm=b"", sentences=tuple(aloud.sentences(reply.text)))
