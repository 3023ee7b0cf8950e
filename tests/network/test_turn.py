"""Calls over a TURN server: a Chromium whose firewall passes no UDP, and a relay that lends an address for itself."""

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.network.measure import SCRIPT
from tests.network.namespace import Namespace
from tests.network.street import ROOT, Street, street
from tests.network.turn import PORT, SECRET, TLS_PORT, Coturn, coturn
from tests.network.visitor import Visitor
from tests.sound import read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
UDP, TCP = 17, 6  # protocol numbers of IP
# The wire passes nothing else to that server; pages come by TCP on another port.
PASSES: Final = {"udp": (UDP, PORT), "tcp": (TCP, PORT), "tls": (TCP, TLS_PORT)}
PATIENCE: Final = 5.0  # seconds for a line in the log
TOLD_SECONDS: Final = 15.0
MOST_ADDED_MS: Final = 2.0  # one way
# A relay that sends first sends to no private address.
NEAR, FAR = "5.9.0.1", "5.9.0.2"

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


def nothing_of_a_call(packet: bytes) -> bool:
    """A firewall that passes pages alone."""
    start = 4 * (packet[0] & 15)
    ports = {int.from_bytes(packet[at : at + 2]) for at in (start, start + 2)}
    return packet[9] == UDP or not ports.isdisjoint((PORT, TLS_PORT))


def let_pass(here: Street, *bars: Callable[[bytes], bool]) -> None:
    """Put a firewall on the wire, up and down; one for both, or one for each, or none."""
    up, down = bars * 2 if len(bars) == 1 else bars or (lambda packet: False,) * 2
    here.line.up.bars, here.line.down.bars = up, down


@pytest.fixture(scope="module")
async def built() -> AsyncIterator[Street]:
    async with street(1, "--ignore-certificate-errors") as made, coturn(made.line.far, made.folder) as server:
        urls = [word for transport in PASSES for word in ("--turn", server.url(transport))]
        async with made.relay("--greeting", "", *urls, "--turn-secret", SECRET, script=SCRIPT):
            yield made


@pytest.fixture
def here(built: Street) -> Iterator[Street]:
    """A street with a relay and a TURN server, and no firewall when a test begins."""
    yield built
    let_pass(built)


async def selected(visitor: Visitor) -> dict[str, Any]:
    return dict(await visitor.page.evaluate(PAIR))


async def talk(visitor: Visitor) -> None:
    """Say a sentence and be answered."""
    await visitor.say(SPOKEN)
    await visitor.shown("user", "s of speech")
    await visitor.shown("model", "own words")


async def summary(here: Street) -> dict[str, Any]:
    """What the log says of the call that has ended last."""
    ended = re.compile(r"call \w+ closed (\{.*\})")
    async with asyncio.timeout(PATIENCE):
        while not (found := ended.findall(here.log)):
            await asyncio.sleep(0.1)
    return dict(json.loads(found[-1]))


@pytest.mark.parametrize("transport", PASSES)
async def test_a_chromium_whose_firewall_passes_no_udp_calls_over_a_turn_server(
    here: Street, transport: str, measured: Callable[[str], None]
) -> None:
    let_pass(here, passes_only(transport))
    async with here.call() as visitor:
        await visitor.state("listening")
        pair = await selected(visitor)
        assert (pair["type"], pair["by"]) == ("relay", transport)
        await talk(visitor)
        pair = await selected(visitor)
        measured(f"a check over TURN by {transport} takes {1000 * pair['seconds'] / pair['answers']:.1f} ms")


async def test_a_call_of_which_no_packet_arrives_is_told_so_within_fifteen_seconds_on_the_page_and_in_the_log(
    here: Street,
) -> None:
    let_pass(here, nothing_of_a_call)
    async with here.call() as visitor:
        began = time.monotonic()
        await visitor.page.get_by_text("No packet of the call reached the relay.").wait_for()
        assert time.monotonic() - began < TOLD_SECONDS
        assert (await summary(here))["reason"] == "no-packet"
        (line,) = re.findall(r"^WARNING.*: no-packet: .*", here.log, re.MULTILINE)
        assert f"host {here.line.far.address}:" in line


async def test_a_call_whose_answers_do_not_come_back_is_told_so_within_fifteen_seconds(here: Street) -> None:
    let_pass(here, lambda packet: False, nothing_of_a_call)
    async with here.call() as visitor:
        began = time.monotonic()
        await visitor.page.get_by_text("its answers did not come back").wait_for()
        assert time.monotonic() - began < TOLD_SECONDS
        assert (await summary(here))["reason"] == "checks-failed"


@pytest.fixture(scope="module")
async def apart() -> AsyncIterator[tuple[Street, Coturn]]:
    """A relay and a TURN server far from it, beside the browser, all at addresses that might be anybody's."""
    async with street(2, near=NEAR, far=FAR) as made, coturn(made.line.near, made.folder) as server:
        yield made, server


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_a_relay_that_nobody_can_reach_is_called_at_an_address_that_a_turn_server_lends_it(
    apart: tuple[Street, Coturn], transport: str
) -> None:
    here, server = apart
    let_pass(here, passes_only(transport))
    flags = ("--greeting", "", "--ice", "active", "--turn", server.url(transport), "--turn-secret", SECRET)
    async with here.relay(*flags, script=SCRIPT, SSL_CERT_FILE=str(server.certificate)), here.call() as visitor:
        await visitor.state("listening")
        await talk(visitor)
        await visitor.page.get_by_role("button", name="End", exact=True).click()
        assert (await summary(here))["path"].startswith(f"relay {server.address}:")


async def test_a_turn_server_adds_two_milliseconds_at_most(tmp_path: Path, measured: Callable[[str], None]) -> None:
    with contextlib.closing(Namespace("10.99.0.9")) as home:
        async with coturn(home, tmp_path) as server:
            process = await asyncio.create_subprocess_exec(
                *home.command(sys.executable, "-m", "tests.network.echo", home.address),
                stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={**os.environ, "SSL_CERT_FILE": str(server.certificate)},
            )  # fmt: skip
            told, _ = await process.communicate()
    took = json.loads(told)
    added = {transport: (took[transport] - took["direct"]) / 2 for transport in PASSES}
    measured("a TURN server adds " + ", ".join(f"{ms:.2f} ms by {transport}" for transport, ms in added.items()))
    assert max(added.values()) < MOST_ADDED_MS
