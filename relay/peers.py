"""The peer connections of one call, each until it is closed and taken apart, once."""

import asyncio
from typing import Final

from relay import rtvi
from relay.webrtc.peer import Peer

# What is closed is taken apart so much later: a request that was under way when it closed has been answered by then.
FORGET_SECONDS: Final = 10.0
# After `peerLeft` a client needs a moment to read it before the connection goes.
FAREWELL_SECONDS: Final = 0.2
FAREWELL_LOOKS: Final = 10


class Peers:
    """`keep` each that has answered an offer, `leave` those that do not serve; `close` all, and `forget` them last."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._peers: set[Peer] = set()

    def keep(self, peer: Peer) -> None:
        """It may serve."""
        self._peers.add(peer)

    async def leave(self, peer: Peer, *, told: bool = False) -> None:
        """Close one that does not serve, once; it may be `told` that another client has the call."""
        if told and peer.channel_open:
            for message in (rtvi.relay_event("replaced"), rtvi.peer_left()):
                peer.send_message(rtvi.encode(message))
            await let_read(peer)
        await peer.close()
        self._peers.discard(peer)
        self._loop.call_later(FORGET_SECONDS, peer.forget)

    async def close(self) -> None:
        """Free all; idempotent."""
        await asyncio.gather(*(peer.close() for peer in self._peers))

    def forget(self) -> None:
        """Closed and asked for by nobody any more: take them apart, once."""
        for peer in self._peers:
            peer.forget()


async def let_read(peer: Peer) -> None:
    """Give the browser a moment to take what it was sent last."""
    for _ in range(FAREWELL_LOOKS):
        if not peer.backlog:
            return
        await asyncio.sleep(FAREWELL_SECONDS / FAREWELL_LOOKS)
