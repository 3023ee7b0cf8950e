"""The local voice's process: four callers who never pause, ten minutes each, and what it holds in memory meanwhile.

It takes eleven minutes; `RELAY_SOAK_SECONDS` says of how many (default 590). `make soak ARGS="-k local -s"` prints what
was measured.
"""

import asyncio
import base64
import itertools
import json
import os
import time
from typing import Final

from websockets.asyncio.client import ClientConnection, connect

from bench.asker import PATH, RATE
from bench.local import peak_megabytes, voice
from tests import hearing

CALLS: Final = 4
SPOKEN_S: Final = float(os.environ.get("RELAY_SOAK_SECONDS", "590"))
PAUSE_MS: Final = 2000  # a reader's own pauses are shorter: it is all one turn
SETUP: Final = {
    "setup": {
        "model": "models/gemini-3.8-live",
        "inputAudioTranscription": {},
        "realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": PAUSE_MS}},
    }
}
WORDS_PER_S: Final = 1.5
MAX_MB: Final = 500.0


class Talker:
    """One who speaks without a pause, and counts the words that were written down."""

    def __init__(self, socket: ClientConnection) -> None:
        self.words = 0
        self.closed = False
        self._socket = socket

    async def listen(self) -> None:
        async for message in self._socket:
            content = json.loads(message).get("serverContent", {})
            self.words += len(content.get("inputTranscription", {}).get("text", "").split())
        self.closed = True

    async def talk(self, first: int) -> None:
        sentences = [hearing.trimmed(pcm) for _, pcm in hearing.librivox()]
        began, spoken = time.monotonic(), 0.0
        for pcm in itertools.islice(itertools.cycle(sentences), first, None):
            for at in range(0, len(pcm), RATE // 5):
                data = base64.b64encode(pcm[at : at + RATE // 5]).decode()
                blob = {"data": data, "mimeType": f"audio/pcm;rate={RATE}"}
                await self._socket.send(json.dumps({"realtimeInput": {"audio": blob}}))
                spoken += len(pcm[at : at + RATE // 5]) / 2 / RATE
                await asyncio.sleep(max(0.0, began + spoken - time.monotonic()))
            if spoken >= SPOKEN_S:
                return


async def _call(url: str, first: int) -> int:
    async with connect(url + PATH, max_size=None, compression=None) as socket:
        await socket.send(json.dumps(SETUP))
        talker = Talker(socket)
        listening = asyncio.create_task(talker.listen())
        await talker.talk(first)
        await socket.send(json.dumps({"realtimeInput": {"audioStreamEnd": True}}))
        await asyncio.sleep(5)
        assert not talker.closed
    await asyncio.wait([listening])
    return talker.words


async def test_four_who_never_pause_are_written_down_in_bounded_memory() -> None:
    async with voice() as (url, pid, _):
        words = await asyncio.gather(*(_call(url, n) for n in range(CALLS)))
        most = peak_megabytes(pid)
    print(f"\n{CALLS} callers, {SPOKEN_S:.0f} s each, {words} words, {most:.0f} MB at most")
    assert min(words) > SPOKEN_S * WORDS_PER_S
    assert most <= MAX_MB
