"""The network between the relay and its model goes away without a word: TCP waits, and nobody is told.

The model's service is in one namespace, the relay's sockets are made in the other, and the wire between them goes dark.
"""

import asyncio
import contextlib
import socket
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

import relay.gemini.dial
from tests.network.namespace import Namespace
from tests.network.stalls import Stalls
from tests.network.way import CLEAN, DARK
from tests.network.wire import Line, wire
from tests.service import Service, service
from tests.test_upstream import PIECE, Owner, counted, listen

WITHIN: Final = 30.0  # everything, or it is lost
BEFORE_SECONDS: Final = 0.5  # of the question, when it gets dark
LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Noticed:
    """Seconds of darkness until the loss was told, and of light until the model had the whole question; `stalled` is
    how long this process stood still at worst, which is nobody's fault."""

    after: float
    back: float
    stalled: float


async def half_open(times: int = 1, unacknowledged_ms: int = relay.gemini.dial.UNACKNOWLEDGED_MS) -> list[Noticed]:
    """So many conversations on one wire lose it in the middle of a question, at once."""
    async with wire() as line, contextlib.AsyncExitStack() as stack:
        stack.enter_context(_dialled_in(line.far, unacknowledged_ms))
        theres = [
            await stack.enter_async_context(service(listen, bind=lambda: _bound(line.near))) for _ in range(times)
        ]
        async with contextlib.AsyncExitStack() as talking, Stalls() as stalls:
            owners = [await talking.enter_async_context(Owner(there.url)) for there in theres]
            return await _interrupted(line, theres, owners, stalls)


async def _interrupted(line: Line, theres: list[Service], owners: list[Owner], stalls: Stalls) -> list[Noticed]:
    for there in theres:
        there.strict = False  # nobody tells it either that the old connection is dead
    for owner in owners:
        owner.upstream.utterance(True, owner.loop.time())
        owner.talk()
    await asyncio.sleep(BEFORE_SECONDS)
    clock = asyncio.get_running_loop().time
    line.up.trouble = line.down.trouble = DARK
    dark = clock()
    after = await asyncio.gather(*(_told(owner) for owner in owners))
    line.up.trouble = line.down.trouble = CLEAN
    light = clock()
    back = await asyncio.gather(*(_asked(*pair) for pair in zip(theres, owners, strict=True)))
    return [Noticed(told - dark, asked - light, stalls.longest) for told, asked in zip(after, back, strict=True)]


async def _told(owner: Owner) -> float:
    """When it noticed. In the dark the conversation goes on."""
    async with asyncio.timeout(WITHIN):
        while owner.news != ["reconnecting"]:
            await asyncio.sleep(LOOK_SECONDS)
    return owner.loop.time()


async def _asked(there: Service, owner: Owner) -> float:
    """When the next connection had the question, whole and in order, from its beginning until now."""
    async with asyncio.timeout(WITHIN):
        while len(there.visits) < 2 or not owner.upstream.live:
            await asyncio.sleep(LOOK_SECONDS)
        now = owner.samples
        while len(there.visits[-1].pcm) < 2 * now:
            await asyncio.sleep(LOOK_SECONDS)
    asked = owner.loop.time()
    await owner.hush()
    heard = counted(there.visits[-1].pcm)
    assert heard == [number % 65536 for number in range(len(heard))], "the whole question, once"
    assert len(heard) <= owner.samples < len(heard) + 50 * PIECE
    assert owner.faults == []
    return asked


def _bound(namespace: Namespace) -> socket.socket:
    """A socket to listen on, there."""

    def bind() -> socket.socket:
        made = socket.socket()
        made.bind((namespace.address, 0))
        return made

    return namespace.within(bind)


@contextlib.contextmanager
def _dialled_in(namespace: Namespace, unacknowledged_ms: int) -> Iterator[None]:
    """The relay's connections begin there."""

    def made(*how: Any) -> socket.socket:
        return namespace.within(lambda: socket.socket(*how))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay.gemini.dial, "socket", types.SimpleNamespace(**{**vars(socket), "socket": made}))
        patch.setattr(relay.gemini.dial, "UNACKNOWLEDGED_MS", unacknowledged_ms)
        yield
