"""Calls over a TURN server: a Chromium whose firewall passes no UDP, and a relay that lends an address for itself."""

import statistics
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import pytest

from tests.network.measure import SCRIPT
from tests.network.street import Street, street
from tests.network.turn import PORT, SECRET, TLS_PORT, Coturn, coturn
from tests.network.visitor import Visitor
from tests.sound import read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
UDP, TCP = 17, 6  # protocol numbers of IP
# The wire passes nothing else to that server; pages come by TCP on another port.
PASSES: Final = {"udp": (UDP, PORT), "tcp": (TCP, PORT), "tls": (TCP, TLS_PORT)}
MOST_ADDED_MS: Final = 2.0

PAIR: Final = """async () => {
  const stats = await window.peers.at(-1).getStats();
  const transport = [...stats.values()].find((one) => one.type === 'transport');
  const pair = stats.get(transport.selectedCandidatePairId);
  const local = stats.get(pair.localCandidateId);
  return {type: local.candidateType, by: local.relayProtocol ?? '', seconds: pair.totalRoundTripTime,
    answers: pair.responsesReceived};
}"""


def passes_only(transport: str) -> Callable[[bytes], bool]:
    """A firewall that bars UDP, and of a TURN server all but one way to it."""
    protocol, port = PASSES[transport]

    def bars(packet: bytes) -> bool:
        start = 4 * (packet[0] & 15)
        ports = {int.from_bytes(packet[at : at + 2]) for at in (start, start + 2)}
        if packet[9] == protocol and port in ports:
            return False
        return packet[9] == UDP or not ports.isdisjoint((PORT, TLS_PORT))

    return bars


@pytest.fixture(scope="module")
async def built() -> AsyncIterator[tuple[Street, Coturn]]:
    async with street(1, "--ignore-certificate-errors") as made, coturn(made.line.far, made.folder) as server:
        urls = [word for transport in PASSES for word in ("--turn", server.url(transport))]
        async with made.relay("--greeting", "", *urls, "--turn-secret", SECRET, script=SCRIPT):
            yield made, server


@pytest.fixture
def here(built: tuple[Street, Coturn]) -> Iterator[Street]:
    """A street with a relay and a TURN server, and no firewall when a test begins."""
    yield built[0]
    for way in (built[0].line.up, built[0].line.down):
        way.bars = lambda packet: False


async def selected(visitor: Visitor) -> dict[str, Any]:
    return dict(await visitor.page.evaluate(PAIR))


@pytest.mark.parametrize("transport", PASSES)
async def test_a_chromium_whose_firewall_passes_no_udp_calls_over_a_turn_server(
    here: Street, transport: str, measured: Callable[[str], None]
) -> None:
    for way in (here.line.up, here.line.down):
        way.bars = passes_only(transport)
    async with here.call() as visitor:
        await visitor.state("listening")
        pair = await selected(visitor)
        assert (pair["type"], pair["by"]) == ("relay", transport)
        await visitor.say(SPOKEN)
        await visitor.shown("user", "s of speech")
        await visitor.shown("model", "own words")
        pair = await selected(visitor)
        measured(f"a check over TURN by {transport} takes {1000 * pair['seconds'] / pair['answers']:.1f} ms")
