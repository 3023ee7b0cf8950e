"""One call: its browser, its model connection, its deadlines, and its one end.

A session owns both ends of the call: the browser's (`browser`), which may come back on another connection, and the
model's. What is said between them is `dialogue`'s. Its life is one task with one TaskGroup: `_live` reads from top to
bottom.

Deadlines: 15 s from the answer to `connected`; 2 s from `connected` to client-ready, then the call starts without;
10 s without any packet and the browser is lost, and `--keep` seconds later the call ends; 10 s for the model's setup;
1 s for the close.
"""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Final

from relay import rtvi
from relay.apart import take_apart
from relay.browser import Answer, Browser
from relay.call import CallSettings
from relay.dialogue import Dialogue
from relay.errors import BrowserFault, OurBug, RelayError
from relay.files import Files
from relay.gemini.upstream import Upstream
from relay.history import History
from relay.metrics import CallFigures, Quality
from relay.peers import FORGET_SECONDS
from relay.succession import CONNECT_SECONDS
from relay.ticker import Ticker
from relay.transcript import Transcript
from relay.webrtc.media import LINES, Media

# A client without a data channel, or one that never says client-ready, is served all the same.
READY_SECONDS: Final = 2.0
CLOSE_SECONDS: Final = 1.0
# A browser needs a tenth of a second to connect: a client that hangs up so late without a connection has given it up.
GAVE_UP_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Session:
    """One conversation. `answer` an offer to begin, `close` to end; `on_closed` is called once, when all is freed."""

    def __init__(
        self,
        id: str,
        call: CallSettings,
        *,
        media: Media,
        ticker: Ticker,
        on_closed: Callable[["Session"], None],
    ) -> None:
        self.id = id
        self.files = Files()
        self._call = call
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._loop.time()
        self._history = History(self._opened_at, epoch=time.time() - self._opened_at, prior=call.prior)
        self._browser = browser = Browser(id[:8], media, self.end, call.keep)
        self._client: Upstream | None = None
        self._dialogue = Dialogue(
            call,
            ticker,
            name=id[:8],
            say=browser.say,
            ready=self._begin,
            end=self.end,
            watch=browser.watch_track,
            files=self.files,
            sees=media.tier in LINES,
            history=self._history,
        )
        browser.serve(self._dialogue)
        self._ready = asyncio.Event()
        self._ending = asyncio.Event()
        self._fault: RelayError | None = None
        self._model_fault: RelayError | None = None  # not yet told, for the browser is not there
        self._life: asyncio.Task[None] | None = None

    # ---- signalling ----

    async def answer(self, sdp: str, *, pc_id: str | None, restart: bool) -> Answer:
        """Answer an offer: a first one, a renegotiation (known `pc_id`), or a new peer connection (`restart`).

        Raises `BrowserFault`: ``unknown-peer`` for a session that ended, and what `Browser.answer` raises.
        """
        if self._ending.is_set():
            raise BrowserFault("unknown-peer")
        answer = await self._browser.answer(sdp, pc_id=pc_id, restart=restart)
        if self._life is None:
            self._life = asyncio.create_task(self._live(), name=f"session {self.id[:8]}")
        return answer

    async def meet(self, candidates: Sequence[str]) -> None:
        """Where the browser is, as far as it knows: `candidate:…` each. It counts where the relay sends first."""
        await self._browser.meet(candidates)

    def trouble(self) -> RelayError | None:
        """Why the call is not connected, as far as it has come; None if it is, or was."""
        return self._browser.trouble()

    def expect_newcomer(self) -> str:
        """Another client of the same user may come: the pc_id that it is to offer with."""
        return self._browser.expect_newcomer()

    def warn(self, seconds: float) -> None:
        """The relay leaves in so many seconds, and the call with it."""
        if not self._ending.is_set():
            self._dialogue.warden.closing(seconds, self._loop.time())

    def end(self, fault: RelayError | None = None) -> None:
        """Begin to end the call; the first reason counts. Returns at once."""
        if not self._ending.is_set():
            if fault is None and self._loop.time() - self._opened_at > GAVE_UP_SECONDS:
                fault = self.trouble()
            self._fault = fault
            self._ending.set()

    async def close(self, fault: RelayError | None = None) -> None:
        """End the call and wait until everything is freed, at most a second; idempotent."""
        ended = self._ending.is_set()
        self.end(fault)
        if self._life is None:
            if not ended:
                self._dialogue.close()
                await self._browser.close()
                self._on_closed(self)
                self._loop.call_later(FORGET_SECONDS, self._forget)
        elif self._life is not asyncio.current_task():
            await asyncio.wait([self._life], timeout=CLOSE_SECONDS)

    # ---- what was said ----

    def transcript(self, *, over: bool = False) -> Transcript:
        """What was said and heard until now; nothing more will be heard when the call is `over`."""
        now = self._loop.time()
        self._history.played(self._dialogue.downlink.playout.position, now)
        if over:
            self._history.cut(now)
        return self._history.transcript(now, over=over, pending=self._dialogue.pending)

    # ---- figures ----

    @property
    def connections(self) -> int:
        """How many connections of its browser have stood."""
        return self._browser.connections

    @property
    def reason(self) -> str:
        """How the call ended or, while it lives, would be said to have: a code of `FAULTS`, or hung-up, unanswered."""
        if self._fault is not None:
            return self._fault.code
        return "hung-up" if self._life is not None else "unanswered"

    def figures(self) -> CallFigures:
        """What the call's rooms have counted so far; no figure ever falls."""
        figures = CallFigures()
        self._browser.count(figures)
        figures.add_sound(self._dialogue.uplink, self._dialogue.downlink, self._dialogue.promptness)
        if self._client is not None:
            figures.add_model(self._client.changes, self._client.traffic)
        figures.add_microphone(self._dialogue.microphone)
        figures.add_troubles(self._dialogue.warden)
        return figures

    async def quality(self) -> Quality:
        """How its path is now."""
        return await self._browser.quality()

    # ---- the call's life ----

    async def _live(self) -> None:
        log.info("call %s opened", self.id[:8])
        try:
            async with asyncio.TaskGroup() as group:
                self._dialogue.tasks = self._browser.tasks = group
                group.create_task(self._converse(), name="converse")
                group.create_task(self._watch(), name="watch")
                try:
                    await self._ending.wait()
                finally:  # a task that failed cancels the wait; an agent's function that will not stop holds up nothing
                    self.end(OurBug("a task of the call failed"))
                    await self._part()
                raise _Ended
        except* _Ended as ended:
            traceback.clear_frames(ended.__traceback__)  # they hold what they have raised, and that holds them
        except* Exception as errors:
            log.error("call %s failed", self.id[:8], exc_info=errors.exceptions[0])
        finally:
            self._loop.call_later(FORGET_SECONDS, self._forget)

    async def _converse(self) -> None:
        """Connect to the model while the browser connects, then let them talk."""
        call, dialogue = self._call, self._dialogue
        try:
            config = call.agent.live_config(
                call.target.model,
                voice=call.voice,
                language=call.language,
                instructions=call.instructions,
                marked=call.barge_in == "local",
            )
            self._client = Upstream(
                call.target,
                config,
                dialogue.on_model_event,
                self._model_lost,
                on_news=dialogue.on_news,
                memory=self._history,
                name=self.id[:8],
            )
            dialogue.connect(self._client)
            await self._client.connect()
        except RelayError as fault:
            self._model_fault = fault
        except Exception as error:
            log.exception("call %s cannot reach its model", self.id[:8])
            self._model_fault = OurBug(type(error).__name__)
        await self._ready.wait()
        if self._model_fault is not None:
            self.end(self._model_fault)
        else:
            dialogue.greet()

    def _model_lost(self, fault: RelayError) -> None:
        """The model cannot be brought back. The browser is told when it is there to be told."""
        if self._ready.is_set():
            self.end(fault)
        else:
            self._model_fault = fault

    async def _watch(self) -> None:
        """Keep the browser to its deadlines."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._browser.connected.wait()
        except TimeoutError:
            self.end(self.trouble() or BrowserFault("connect-timeout"))
            return
        self._dialogue.downlink.rouse()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            self._begin()
        await self._browser.watch()
        self.end(BrowserFault("peer-lost"))

    def _begin(self, welcome: Sequence[rtvi.Message] = (), returns: bool = False) -> None:
        """The client is ready, or will not say so."""
        recap = self._dialogue.recap(self.transcript()) if self._browser.anew else []
        self._dialogue.begin()
        self._ready.set()
        self._browser.welcome([*welcome, *recap], returns=returns)

    async def _part(self) -> None:
        """Take leave and free everything, whatever fails on the way."""
        try:
            await self._browser.farewell(self._fault)
        finally:
            self._dialogue.tasks = self._browser.tasks = None
            self._dialogue.close()
            parts = [part.close() for part in (self._client, self._browser) if part is not None]
            try:
                await asyncio.gather(*parts, return_exceptions=True)
            finally:
                self._log_summary()
                self._on_closed(self)

    def _forget(self) -> None:
        """Nobody asks for its rooms any more."""
        if self._client is not None:
            self._client.forget()
        self._browser.forget()
        take_apart(self._dialogue)

    def _log_summary(self) -> None:
        uplink, downlink, spent = self._dialogue.uplink, self._dialogue.downlink, self._dialogue.warden.spent
        summary = {
            "reason": self.reason,
            "seconds": round(self._loop.time() - self._opened_at, 1),
            "path": str(self._browser.path or ""),
            "packets_in": uplink.packets,
            "dropped": self._browser.dropped,
            "model_heard_seconds": round(uplink.seconds_sent, 1),
            "frames_out": downlink.frames,
            "underruns": downlink.playout.underruns,
            "tokens": spent.tokens,
            "tokens_in": dict(spent.input),
            "tokens_out": dict(spent.output),
        }
        if self._call.ledger.currency:
            summary[f"cost_{self._call.ledger.currency.lower()}"] = round(spent.money, 4)
        level = self._fault.fault.level if self._fault is not None else logging.INFO
        log.log(level, "call %s closed %s", self.id[:8], json.dumps(summary))
        if self._fault is not None and self._fault.detail:
            log.log(level, "call %s: %s", self.id[:8], self._fault)


class _Ended(Exception):
    """Ends the TaskGroup of a call that is over."""
