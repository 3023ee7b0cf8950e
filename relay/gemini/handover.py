"""What is said to the model: straight to the connection that listens, and while none does it waits for the next.

That one is given first what it has to know, then what waited, in order; no faster than the network takes it: a
conversation's pictures and fifteen seconds of sound at once would make the connection drop what is said meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from relay.gemini import protocol, recall
from relay.gemini.checkpoint import Memory
from relay.gemini.client import LiveClient
from relay.gemini.protocol import Answer, Message
from relay.gemini.unfinished import Unfinished
from relay.gemini.unheard import Item, Waiting, Words

AT_ONCE_BYTES: Final = 48 * 1024  # unsent, while what waited is handed over: less than what makes sound be dropped
PUMP_SECONDS: Final = 0.02


class Handover:
    """What is said to the model. One that listens is given what was `put_back`, then served, from `to` until `stop`.

    `settle` is called when what is unfinished may have changed.
    """

    def __init__(self, unfinished: Unfinished, memory: Memory, settle: Callable[[], None]) -> None:
        self._unfinished = unfinished
        self._memory = memory
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting()
        self._back: deque[Item] = deque()  # put back, and not yet sent
        self._direct: LiveClient | None = None  # it listens, and nothing waits
        self._pump: asyncio.TimerHandle | None = None
        self._prior: int | None = memory.mark  # what was said before the conversation ends there, until that begins
        self._over = False
        self.listening = False  # there is a connection
        self.dropped = 0  # pieces of sound that waited for too long

    # ---- speaking ----

    def begin(self, messages: Iterable[Message]) -> None:
        """The conversation begins with these messages, of which the history knows already."""
        mark, self._prior = self._prior or 0, None
        for message in messages:
            self._say(Words(message, mark=mark))

    def send_audio(self, pcm: bytes) -> bool:
        """Send PCM16 mono at 16 kHz, or keep it until somebody listens. Never waits itself."""
        if (client := self._direct) is not None:
            self._unfinished.question.heard.append(pcm)
            return client.send_audio(pcm)
        if self._over:
            return False
        self._waiting.add_sound(pcm)
        return True

    def send_picture(self, jpeg: bytes) -> bool:
        """Send a JPEG, or drop it: the next picture is newer."""
        return self._direct is not None and self._direct.send_picture(jpeg)

    def send(self, message: Message, *, owed: bool = False) -> bool:
        """Send one of `protocol`'s messages, or keep it; False if it gets nowhere, and the caller must say so.

        Add it to the history after this call, not before. What the model is `owed` is kept however much waits.
        """
        return self._say(Words(message, mark=self._memory.mark, owed=owed))

    def answer(self, answer: Answer, connection: int) -> bool:
        """The same with what a function returned, which was called on that `connection`."""
        return self._say(self._unfinished.answer(answer, connection))

    def utterance(self, begins: bool, at: float) -> None:
        """The user begins to speak, or has stopped; `at` is when it was so."""
        self._unfinished.utterance(begins, at, self._loop.time(), self._waiting.pieces)
        self._settle()

    def _say(self, words: Words) -> bool:
        if self._over or not recall.takes(self._unfinished.model, words.message):
            return False
        sent = self._direct is not None and self._direct.send(words.message.data)
        if sent:
            self._unfinished.sent(words, self._loop.time())
        elif not self._over:
            sent = self._waiting.add(words if self.listening else words.elsewhere)
        self._settle()
        return sent

    # ---- from one connection to the next ----

    def put_back(self, mark: int, *, seeds: bool) -> bool:
        """The next connection listens. It knows what was said before that `mark`, and not what was left unfinished.

        True if it is told of anything that was said; what `seeds` means, `Unfinished` says.
        """
        self.listening = True
        until = self._waiting.mark if self._prior is None else self._prior
        asks, now = self._waiting.asks, self._loop.time()
        self._back = deque(self._unfinished.put_back(mark, until, now, seeds=seeds, asks=asks))
        self._settle()
        return bool(self._memory.since(mark, until))

    def to(self, client: LiveClient) -> None:
        """Give it what was put back and what waits; what is said from then on goes straight to it."""
        self._pump = None
        while self._back or self._waiting:
            if client.unsent > AT_ONCE_BYTES:
                self._pump = self._loop.call_later(PUMP_SECONDS, self.to, client)
                return
            item = self._back[0] if self._back else self._waiting.next
            if not client.send(item.message.data if isinstance(item, Words) else protocol.audio_message(item)):
                return  # it has ended; the next one is given it
            if self._back:
                self._back.popleft()  # it is known to have been said
                continue
            self._waiting.take()
            if isinstance(item, Words):
                self._unfinished.sent(item, self._loop.time())
            else:
                self._unfinished.question.heard.append(item)
        self._direct, self.dropped = client, self._waiting.dropped
        self._settle()

    def stop(self) -> None:
        """The connection is left: what was put back is put back again into the next one. Idempotent."""
        self.listening, self._direct = False, None
        self._back.clear()
        self._waiting.turn_elsewhere()
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    def close(self) -> None:
        """Nothing is said any more."""
        self.stop()
        self._over = True
