"""Leaving: nobody new comes in, the calls that there are get their time, and a second signal takes it from them."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from signaling.registry import Registry, State

LOOK_SECONDS: Final = 0.05  # between two looks whether the last call has ended
CUT_SECONDS: Final = 0.8  # from a second signal; calls and connections end in a third of it where nothing hangs

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


class Leave:
    """What the owner's signals ask for: SIGINT or SIGTERM to leave, another one to leave at once."""

    def __init__(self, cut: Callable[[], None] = lambda: None) -> None:
        """`cut` is called when it is to be at once, and sees to it that it is."""
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self._cut = cut

    def ask(self) -> None:
        """One signal came."""
        if not self.asked.is_set():
            self.asked.set()
        elif not self.at_once.is_set():
            self.at_once.set()
            self._cut()

    async def unless_asked(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for `work`, and raise what it raises; False if the owner would rather leave, and it was cancelled."""
        working, asked = asyncio.create_task(work), asyncio.create_task(self.asked.wait())
        try:
            await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            return working.done()
        finally:
            working.cancel()
            asked.cancel()
            await asyncio.gather(working, asked, return_exceptions=True)

    def on_signals(self) -> "Leave":
        """Listen for them on the running loop, from now on and to the end of the process."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            try:
                loop.add_signal_handler(number, self.ask)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.ask))
        return self


def cut_off() -> None:
    """What hangs `CUT_SECONDS` from now hangs no longer: the process ends without another word, and was wanted to."""

    def end() -> None:
        log.warning("cut off, because something did not end")
        os._exit(0)

    timer = threading.Timer(CUT_SECONDS, end)  # a loop that hangs would not keep the time
    timer.daemon = True
    timer.start()


def cut_off_by_signals() -> None:
    """The loop has ended, and listens to them no more: from now on any of them ends the process."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


async def drain(registry: Registry, seconds: float, leave: Leave) -> None:
    """Take in nobody any more, tell the calls how long they have, and wait for their ends; what is left is live.

    Who has a call may still come back into it on another connection.
    """
    calls = registry.drain()
    if not calls or not seconds or leave.at_once.is_set():
        return
    log.info("stopping when the calls have ended (%d), after %g s at the latest", len(calls), seconds)
    for call in calls:
        call.warn(seconds)
    deadline = asyncio.get_running_loop().time() + seconds
    while registry.count(State.LIVE) and (left := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.wait_for(leave.at_once.wait(), min(left, LOOK_SECONDS))
        except TimeoutError:
            continue
        return
