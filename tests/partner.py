"""Somebody who talks through Google's own SDK: ten questions, each in another voice, and an interruption."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final

from google import genai
from google.genai import types

from relay.standin import voice
from tests import hearing
from tests.test_standin_sdk import MODEL, config
from tests.timbres import QUESTIONS, RATE, VOICES, speak

PATIENCE_S: Final = 60.0  # for one turn, on a machine that has much to do
PAUSE_S: Final = 0.7  # after which a turn is over
MESSAGE: Final = RATE // 10 * 2  # bytes of 100 ms
VOICE_OF: Final = (1, 2, 0, 1, 0, 2, 1, 2, 0, 1)  # who of the voices asks which question: one whom the ears understand
WRITTEN: Final = {
    "1": "one",
    "5": "five",
    "6": "six",
    "17": "seventeen",
    "56": "fifty six",
    "205": "two hundred and five",
}
LONG: Final = (
    "I was wondering, um, whether you could perhaps be so kind and tell me, as I have been asked by a friend who is a "
    "little older than I am and has never been there, about a country that we both like very much, I mean, what is the "
    "capital of Italy?"
)
CUT: Final = "What is the capital of Italy?"


@contextmanager
def client(address: str) -> Iterator[Any]:
    """The SDK's, for whoever serves at `address`."""
    made = genai.Client(api_key="K", http_options=types.HttpOptions(base_url=address))
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def connected(url: str, **setup: Any) -> AsyncIterator[tuple["Partner", Any]]:
    """A session with whoever serves at `url`."""
    with client(url.replace("wss://", "https://")) as sdk:
        try:
            async with sdk.aio.live.connect(model=MODEL, config=config(**setup)) as session:
                yield Partner(session), sdk
        finally:
            await sdk.aio.aclose()


class Partner:
    """Speaks to the model in somebody else's voice, and hears it out."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.interims: list[str] = []
        self.heard = self.words = ""
        self.pcm = b""
        self.interrupted = 0
        self.calls: list[types.FunctionCall] = []
        self.usage: types.UsageMetadata | None = None

    async def say(self, text: str, voice: str = VOICES[0], *, in_real_time: bool = False) -> None:
        """At once, unless `in_real_time`: then it is written down meanwhile."""
        said = await asyncio.to_thread(speak, text, voice)
        pcm = bytes(RATE // 5) + said + bytes(2 * round(RATE * PAUSE_S))
        began = asyncio.get_running_loop().time()
        for at in range(0, len(pcm), MESSAGE):
            blob = types.Blob(data=pcm[at : at + MESSAGE], mime_type=f"audio/pcm;rate={RATE}")
            await self.session.send_realtime_input(audio=blob)
            if in_real_time:
                await asyncio.sleep(began + at / 2 / RATE - asyncio.get_running_loop().time())

    async def answer(self, *, whole: bool = False) -> str:
        """What it says next: until all of it was made, or else until it would have been heard."""

        def over(content: types.LiveServerContent) -> bool:
            return bool(self.words and (content.turn_complete if whole else content.generation_complete))

        self._forget()
        await self._until(over)
        return self.words

    async def begin(self) -> None:
        """Hears the first of what it says next, and not more."""
        self._forget()
        await self._until(lambda _: len(self.pcm) > 0)

    def _forget(self) -> None:
        self.heard = self.words = ""
        self.pcm, self.interims, self.interrupted = b"", [], 0

    async def _until(self, done: Callable[[types.LiveServerContent], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async for message in self.session.receive():
                    self.usage = message.usage_metadata or self.usage
                    if message.tool_call:
                        self.calls += message.tool_call.function_calls or []
                        return
                    if (content := message.server_content) is not None and self._take(content, message, done):
                        return

    def _take(
        self,
        content: types.LiveServerContent,
        message: types.LiveServerMessage,
        done: Callable[[types.LiveServerContent], bool],
    ) -> bool:
        if content.interrupted:
            self.interrupted += 1
            self.words, self.pcm = "", b""
        if content.interim_input_transcription:
            self.interims.append(content.interim_input_transcription.text or "")
        self.heard += (content.input_transcription.text or "") if content.input_transcription else ""
        self.words += (content.output_transcription.text or "") if content.output_transcription else ""
        self.pcm += message.data or b""
        return done(content)


async def ten_questions(partner: Partner) -> None:
    """Each in another voice than the one before, heard as it was said and answered rightly."""
    day = datetime.now().astimezone().strftime("%A").lower()
    for (question, answer), who in zip(QUESTIONS, VOICE_OF, strict=True):
        await partner.say(question, VOICES[who])
        said = await partner.answer()
        assert (day if answer == "sunday" else answer) in said.lower(), partner.heard
        assert as_said(partner.heard) == as_said(question)
        assert len(partner.pcm) > 0.3 * voice.RATE * 2


async def an_interruption(partner: Partner) -> None:
    """Somebody speaks into an answer: it stops, and the new question is answered."""
    await partner.say("What can you do?")
    await partner.begin()
    await partner.say(CUT, VOICES[1])
    said = await partner.answer()
    assert partner.interrupted == 1
    assert as_said(partner.heard) == as_said(CUT)
    assert "Rome" in said


async def a_long_question(partner: Partner) -> None:
    """One that is not over after ten seconds: the first of its words are heard as well as the last."""
    assert len(speak(LONG)) > 12 * 2 * RATE
    await partner.say(LONG)
    said = await partner.answer()
    heard, long = as_said(partner.heard), as_said(LONG)
    assert hearing.errors(long, heard) <= len(long) // 8, heard
    assert heard[:3] == long[:3]
    assert "Rome" in said


def as_said(text: str) -> list[str]:
    """The words alone, numbers spelled; marks are a matter of taste."""
    text = text.replace("to-day", "today").replace("-", " minus ")
    return hearing.words(re.sub(r"\d+", lambda figure: WRITTEN.get(figure[0], ""), text))
