"""How many earlier packets each packet carries along (RFC 2198), by the loss that the browser reports. Pure.

A clean path gets plain Opus. One block restores every packet whose follower arrives, two restore two lost in a row: of
random loss p there remain p² and p³, with a third p⁴. Each block costs the bits of the sound once more and no CPU, and
the browser waits longer for what may still come, so it is not for nothing.

- Up at once. The share that counts is the lower of two: what this report says, and what it makes of the ones before
  (`MEMORY_PACKETS`). So a report about seconds is believed nearly as it stands, and one about a few packets hardly.
- Down after `CLEAN_PACKETS`, ten seconds of sound, in which no report asked for as much: to the most that any of them
  asked for, so from three to none if all were clean. A pause of the sound counts for nothing, because nothing is known
  about it.
- An outage is no loss rate: when more than half of the packets are gone, no blocks can bridge what is missing, and
  it is over or the call is. It asks for one block, and is forgotten.
"""

from typing import Final

MAX_BLOCKS: Final = 3
# Shares of packets lost, 0–1: above the first one block, above the second two, above the third three.
ONE_BLOCK_LOSS: Final = 0.02
TWO_BLOCKS_LOSS: Final = 0.08
THREE_BLOCKS_LOSS: Final = 0.15  # of 0.20 two would leave 0.8 %, and what is heard as faultless is 1 % at most
OUTAGE_LOSS: Final = 0.5
# One second of sound: a report about as much weighs as much as all before it. Before the first, nothing was lost.
MEMORY_PACKETS: Final = 50
# Ten seconds of sound. Browsers report every 1 to 7 seconds, so these are two reports or more.
CLEAN_PACKETS: Final = 500


class Protection:
    """One stream's protection; look at `blocks` after each report that was `heard`."""

    def __init__(self) -> None:
        self.blocks = 0  # 0 to MAX_BLOCKS
        self._loss = 0.0  # as far as it is remembered
        self._calm = 0  # packets since a report asked for this many blocks
        self._most = 0  # blocks that were asked for in these

    def heard(self, fraction_lost: float, packets: int) -> None:
        """The browser says that of the last `packets` this share (0–1) was lost. A report about none says nothing."""
        if packets <= 0:
            return
        wanted = self._wanted(fraction_lost, packets)
        if wanted >= self.blocks:
            self.blocks, self._calm, self._most = wanted, 0, 0
            return
        self._calm += packets
        self._most = max(self._most, wanted)
        if self._calm >= CLEAN_PACKETS:
            self.blocks, self._calm, self._most = self._most, 0, 0

    def _wanted(self, fraction_lost: float, packets: int) -> int:
        if fraction_lost > OUTAGE_LOSS:
            return 1
        self._loss += (fraction_lost - self._loss) * packets / (packets + MEMORY_PACKETS)
        loss = min(fraction_lost, self._loss)
        return (loss > ONE_BLOCK_LOSS) + (loss > TWO_BLOCKS_LOSS) + (loss > THREE_BLOCKS_LOSS)
