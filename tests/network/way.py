"""One direction of a bad network in real time: a `Link` and the running loop's clock."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tests.netem import Link, Trouble

CLEAN: Final = Trouble()
DARK: Final = Trouble(loss=1.0)


def _nothing(packet: bytes) -> bool:
    return False


def _as_it_is(packet: bytes) -> bytes:
    return packet


class Way:
    """Hands each packet on when its `Link` says so, clean at first. Owes one `close`.

    Setting `trouble` begins a new sequence of `seed`, the same each time; what is on its way still arrives.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.link = Link[None](CLEAN, seed)
        self._loop = asyncio.get_running_loop()
        self._open = True
        self.through: Callable[[bytes], bytes] = _as_it_is  # a router: what becomes of an IP packet, empty for nothing
        self.bars: Callable[[bytes], bool] = _nothing  # a firewall: these IP packets do not come through

    @property
    def trouble(self) -> Trouble:
        return self.link.trouble

    @trouble.setter
    def trouble(self, trouble: Trouble) -> None:
        self.link = Link[None](trouble, self.seed)

    def carry(self, size: int, give: Callable[..., None], *packet: Any) -> None:
        """One packet of `size` bytes goes in; `give(*packet)` is called once for each time it comes out."""
        now = self._loop.time()
        for at, _ in self.link.send(None, now, size):
            if at > now:
                self._loop.call_at(at, self._give, give, *packet)
            else:
                self._give(give, *packet)

    def close(self) -> None:
        """Nothing comes out any more; idempotent."""
        self._open = False

    def _give(self, give: Callable[..., None], *packet: Any) -> None:
        if self._open:
            give(*packet)
