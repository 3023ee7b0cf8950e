"""What the stand-in answers: it says your own words back, and never claims to have understood them. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from relay.standin import ears, voice, wire
from relay.standin.memory import Memory
from relay.standin.script import Call, Line, Script

GREETING: Final = "Hello! I am the stand-in voice of this relay. Say something, and I will say it back."
STILL_HERE: Final = "I am still here. Say something, and I will say it back."
NOTHING_HEARD: Final = "(nothing)"
_ASKS_TO_CALL: Final = re.compile(r"call ([A-Za-z_][A-Za-z0-9_.-]*)\s*(\{.*\})?", re.IGNORECASE | re.DOTALL)
_ASKS_TO_GREET: Final = re.compile(r"\b(say hello|say hi|greet)\b", re.IGNORECASE)
MAX_ECHO_S: Final = 20  # of the user's own words; more is cut
MAX_QUOTE: Final = 200  # characters of the user's own text, or of a tool's answer


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: samples, the words shown with them, and the calls made after them."""

    pcm: bytes
    text: str
    rate: int = voice.RATE
    thought: str = ""
    code: str = ""
    grounding: dict[str, Any] = field(default_factory=dict)
    latency_ms: float | None = None
    calls: tuple[Call, ...] = ()
    blocking: bool = True
    then: Line | None = None
    sentences: tuple[str, ...] = ()  # to be spoken by the local voice, one by one; then there are no samples yet
    repeated: bool = False  # the calls, which were cancelled before


class Mind:
    """Chooses the reply to each thing that reaches the stand-in; the script's lines come first."""

    def __init__(self, script: Script, memory: Memory) -> None:
        self._script = script
        self.memory = memory
        self.functions: Mapping[str, str] = {}  # those it may call, and whether they block

    def greet(self) -> Reply | None:
        """The answer to a nudge."""
        again, self.memory.greeted = self.memory.greeted, True
        self.memory.text_tokens += 1
        if self._script.greet == "never":
            return None
        if self._script.greeting is not None and not again:
            return self._render(self._script.greeting, b"", GREETING)
        return _hummed(STILL_HERE if again else GREETING)

    def interim(self) -> tuple[str, ...]:
        """The interim transcripts of the words being spoken now."""
        line = self.line()
        return line.interim if line else ()

    def hear(self, pcm: bytes) -> tuple[str, float, Reply | None]:
        """What the transcript says of 16 kHz speech, how long it was, and the answer."""
        said = voice.trim(pcm, ears.RATE)
        length = voice.seconds(said, ears.RATE)
        line = self._take()
        heard = f"({length:.1f} s of speech)" if said else NOTHING_HEARD
        if line is not None and line.heard is not None:
            heard = line.heard
        self.memory.add(heard, length)
        if line is not None:
            return heard, length, self._render(line, said, f"(your own words, {length:.1f} s)")
        if self._mute() or not said:
            return heard, length, None
        return heard, length, _echo(said)

    def read(self, text: str) -> Reply | None:
        """The answer to typed text. Being told to say hello, before anything else was said, is asking for the greeting.

        That much of an instruction it can follow honestly; it is how a client opens a call with the real service.
        """
        if self.asks_for_greeting(text):
            return self.greet()
        fallback = f"You typed: {_quote(text)}"
        line = self._take()
        if line is not None:
            return self._render(line, b"", fallback)
        return None if self._mute() else self._called(text) or _hummed(fallback)

    def asks_for_greeting(self, text: str) -> bool:
        """Nothing was said before, and this is to make us speak first."""
        return not self.memory.greeted and self.memory.next_line == 0 and _ASKS_TO_GREET.search(text) is not None

    def _called(self, text: str) -> Reply | None:
        """``call roll_dice {"count": 2}``: the other thing it can follow, where there is such a function."""
        match = _ASKS_TO_CALL.fullmatch(text.strip())
        if match is None or match[1] not in self.functions:
            return None
        try:
            arguments = json.loads(match[2] or "{}")
        except (ValueError, RecursionError):
            return None
        if wire.too_deep(arguments):
            return None
        return Reply(b"", "", calls=(Call(match[1], arguments),), blocking=self.functions[match[1]] != "NON_BLOCKING")

    def told(self, then: Line | None, results: list[dict[str, Any]]) -> Reply:
        """The answer to what the tools answered."""
        result = in_words(results)
        return self._render(then or Line(), b"", f"The tool answered: {result}", result)

    def _mute(self) -> bool:
        return self._script.after == "silence" and bool(self._script.replies)

    def line(self) -> Line | None:
        """The script's next line."""
        lines, n = self._script.replies, self.memory.next_line
        if not lines or (n >= len(lines) and self._script.after in ("echo", "silence")):
            return None
        return lines[n % len(lines)] if self._script.after == "loop" else lines[min(n, len(lines) - 1)]

    def _take(self) -> Line | None:
        line = self.line()
        self.memory.next_line += 1
        return line

    def _render(self, line: Line, said: bytes, fallback: str, result: str = "") -> Reply:
        text = fallback if line.say is None else line.say.replace("{result}", result)
        rate = voice.RATE
        if line.seconds == 0:
            pcm = b""
        elif line.sound:
            pcm = line.sound
        elif line.tone_hz is not None:
            pcm = voice.tone(line.tone_hz, line.seconds or 1.0)
        elif line.echo and said:
            pcm, rate = said[: MAX_ECHO_S * ears.RATE * 2], ears.RATE
        else:
            pcm = voice.hum(text, line.seconds)
        if line.seconds:
            pcm = pcm[: int(line.seconds * rate) * 2]
        return Reply(
            pcm, text, rate, line.thought, line.code, line.grounding, line.latency_ms, line.calls, line.blocking,
            line.then,
        )  # fmt: skip


def in_words(results: list[dict[str, Any]]) -> str:
    """What the tools answered."""
    answers = [result.get("response", {}) for result in results]
    return _quote(json.dumps(answers[0] if len(answers) == 1 else answers, ensure_ascii=False))


def _hummed(text: str) -> Reply:
    return Reply(voice.hum(text), text)


def _echo(said: bytes) -> Reply:
    said = said[: MAX_ECHO_S * ears.RATE * 2]
    return Reply(said, f"(your own words, {voice.seconds(said, ears.RATE):.1f} s)", ears.RATE)


def _quote(text: str) -> str:
    return text if len(text) <= MAX_QUOTE else text[: MAX_QUOTE - 1] + "…"
