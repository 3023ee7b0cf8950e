"""A recording → words, by another model than the one that speaks: the service's generateContent, through google-genai.

It is used only where the owner asks for it (`--transcription flash`). Nobody waits for it: a few recordings at a time
are under way, a few more wait, what comes beyond that, or takes too long, or fails, is not written down.
"""

import asyncio
import io
import logging
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import av

from relay.gemini.events import Usage
from relay.gemini.handshake import Target

if TYPE_CHECKING:
    from google.genai import Client

MAX_SECONDS: Final = 60.0  # of one recording; half a minute of it holds up the event loop for some 5 ms, as FLAC
MIN_SECONDS: Final = 0.2  # nobody says anything in less
AT_ONCE: Final = 4  # recordings under way, of all calls
MAX_WAITING: Final = 32  # recordings that wait for one of these; 60 MB at most
DEADLINE: Final = 20.0  # seconds, the wait included: what comes later belongs to a conversation that has gone on
# A fast reader says 25 characters a second. More than this and the model repeats itself.
MAX_CHARACTERS_PER_SECOND: Final = 40
TOKENS_PER_SECOND: Final = 12  # of the answer: for the same reason
NOBODY: Final = "<none>"

INSTRUCTION: Final = (
    "Transcribe this recording verbatim, in the language that is spoken. Write the words alone: no speaker names, no"
    f" times, no comments. If nobody speaks, write {NOBODY}."
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was said; empty if nobody spoke. `usage` is what writing it down took."""

    text: str = field(repr=False)
    usage: Usage


class Transcriber:
    """Writes down recordings for all calls. `model` is its name; owes one `close`."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._under_way = asyncio.Semaphore(AT_ONCE)
        self._count = 0
        self._client: Client | None = None
        self._url = ""

    async def write(
        self, pcm: bytes, rate: int, target: Target, *, languages: Sequence[str] = (), vocabulary: Sequence[str] = ()
    ) -> Transcription | None:
        """The words of PCM16 mono at `rate`; None if that failed, or if it is too short or too long.

        `target` says where the service is and who asks; its model is not the one that is asked.
        """
        seconds = len(pcm) / 2 / rate
        if not MIN_SECONDS <= seconds <= MAX_SECONDS:
            return None
        if self._count >= AT_ONCE + MAX_WAITING:
            return None
        self._count += 1
        try:
            async with asyncio.timeout(DEADLINE), self._under_way:
                recording = await asyncio.to_thread(flac, pcm, rate)
                answer = await self._ask(recording, seconds, target, _told(languages, vocabulary))
            text = _words(answer, seconds)
        except Exception as error:  # of the network, the service, the library
            text = None
            log.warning("a recording was not written down: %s", type(error).__name__)
        finally:
            self._count -= 1
        return Transcription(text, _usage(answer)) if text is not None else None

    async def close(self) -> None:
        """Let go of the connections; idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aio.aclose()

    async def _ask(self, recording: bytes, seconds: float, target: Target, instruction: str) -> Any:
        from google.genai import types

        client = await self._connect(target)
        thinking = types.ThinkingConfig(thinking_budget=0) if "flash" in self.model else None
        return await client.aio.models.generate_content(
            model=self.model,
            contents=[types.Part.from_bytes(data=recording, mime_type="audio/flac"), instruction],
            config=types.GenerateContentConfig(
                temperature=0, thinking_config=thinking, max_output_tokens=64 + round(TOKENS_PER_SECOND * seconds)
            ),
        )

    async def _connect(self, target: Target) -> "Client":
        """The library's client for that address; the stand-in's may change."""
        from google.genai import Client, types

        url = re.sub("^ws", "http", target.url)
        if self._client is not None and url == self._url:
            return self._client
        options = types.HttpOptions(base_url=url, api_version=target.api_version, timeout=round(DEADLINE * 1000))
        key = target.key.reveal() if target.key is not None else "none"
        client, before = Client(vertexai=False, api_key=key, http_options=options), self._client
        self._client, self._url = client, url  # before anything is waited for: else another writer makes one, too
        if before is not None:
            await before.aio.aclose()
        return client


def _told(languages: Sequence[str], vocabulary: Sequence[str]) -> str:
    spoken = f" The language is one of {', '.join(languages)}." if languages else ""
    terms = f" These names and terms may occur: {', '.join(vocabulary)}." if vocabulary else ""
    return INSTRUCTION + spoken + terms


def _words(answer: Any, seconds: float) -> str | None:
    text = answer.text
    if text is None or len(text) > MAX_CHARACTERS_PER_SECOND * seconds + 40:
        return None
    text = " ".join(text.split())
    return "" if text == NOBODY else text


def _usage(answer: Any) -> Usage:
    told = answer.usage_metadata
    if told is None:
        return Usage()
    return Usage(
        prompt=told.prompt_token_count or 0,
        response=told.candidates_token_count or 0,
        thoughts=told.thoughts_token_count or 0,
        total=told.total_token_count or 0,
        prompt_by_modality=_kinds(told.prompt_tokens_details),
        response_by_modality=_kinds(told.candidates_tokens_details) or {"TEXT": told.candidates_token_count or 0},
    )


def _kinds(rows: Any) -> dict[str, int]:
    return {row.modality.value: row.token_count or 0 for row in rows or () if row.modality is not None}


def flac(pcm: bytes, rate: int) -> bytes:
    """PCM16 mono as a FLAC file: half the size, all of the sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate = rate
        frame.planes[0].update(array("h", pcm[: len(pcm) & ~1]).tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
