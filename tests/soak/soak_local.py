"""The local voice's process: four callers who never pause, ten minutes each, and what it holds in memory meanwhile.

They speak as fast as it listens, so it takes some minutes. `make soak ARGS="-k local -s"` prints what was measured.
"""

import asyncio
import base64
import itertools
import json
from typing import Final

from websockets.asyncio.client import ClientConnection, connect

from bench.asker import PATH, RATE, SETUP
from bench.local import peak_megabytes, voice
from tests import hearing

CALLS: Final = 4
SPOKEN_S: Final = 600.0
AHEAD_S: Final = 25.0  # so much may be said since the last words came: two pieces, at least, that owe words
PATIENCE_S: Final = 120.0
WORDS_PER_S: Final = 1.5
MAX_MB: Final = 500.0


class Talker:
    """One who speaks without a pause, and counts the words that were written down."""

    def __init__(self, socket: ClientConnection) -> None:
        self.words = 0
        self.closed = False
        self._socket = socket
        self._news = asyncio.Event()

    async def listen(self) -> None:
        async for message in self._socket:
            content = json.loads(message).get("serverContent", {})
            self.words += len(content.get("inputTranscription", {}).get("text", "").split())
            self._news.set()
        self.closed = True

    async def talk(self, first: int) -> None:
        sentences = [hearing.trimmed(pcm) for _, pcm in hearing.librivox()]
        spoken = heard = 0.0
        words = 0
        for pcm in itertools.islice(itertools.cycle(sentences), first, None):
            if spoken >= SPOKEN_S:
                break
            for at in range(0, len(pcm), RATE // 5):
                blob = {
                    "data": base64.b64encode(pcm[at : at + RATE // 5]).decode(),
                    "mimeType": f"audio/pcm;rate={RATE}",
                }
                await self._socket.send(json.dumps({"realtimeInput": {"audio": blob}}))
            spoken += len(pcm) / 2 / RATE
            while True:
                self._news.clear()
                if self.words > words:
                    words, heard = self.words, spoken
                if spoken - heard <= AHEAD_S:
                    break
                await asyncio.wait_for(self._news.wait(), PATIENCE_S)


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
