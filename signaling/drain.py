"""Leaving: nobody new comes in, the calls that there are get their time, and a second signal takes it from them."""

import asyncio
import logging
import signal
from typing import Final

from signaling.registry import Registry, State

LOOK_SECONDS: Final = 0.05  # between two looks whether the last call has ended

log = logging.getLogger(__name__)


class Leave:
    """What the owner's signals ask for: SIGINT or SIGTERM to leave, another one to leave at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """One signal came."""
        (self.at_once if self.asked.is_set() else self.asked).set()

    def on_signals(self) -> "Leave":
        """Listen for them on the running loop, from now on and to the end of the process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self.ask)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.ask))
        return self


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
