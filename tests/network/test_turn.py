"""Calls over a TURN server: a Chromium whose firewall passes no UDP, and a relay that lends an address for itself."""

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from tests.network.firewall import PASSES, let_pass, nothing_of_a_call, passes_only
from tests.network.measure import SCRIPT
from tests.network.namespace import Namespace
from tests.network.stalls import Stalls
from tests.network.street import ROOT, Street, street
from tests.network.turn import SECRET, coturn
from tests.network.visitor import Visitor
from tests.network.wire import NEAR as HOME
from tests.sound import read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
PATIENCE: Final = 5.0  # seconds for a line in the log
TOLD_SECONDS: Final = 15.0
MOST_ADDED_MS: Final = 2.0  # one way
# More than without, of the second best of so many seconds of two calls that go on at the same time.
LOOKS, MOST_MADE_UP, MOST_WAITED_MS = 5, 0.005, 20.0

PAIR: Final = """async () => {
  const stats = await window.peers.at(-1).getStats();
  const transport = [...stats.values()].find((one) => one.type === 'transport');
  const pair = stats.get(transport.selectedCandidatePairId);
  const local = stats.get(pair.localCandidateId);
  return {type: local.candidateType, by: local.relayProtocol ?? '', seconds: pair.totalRoundTripTime,
    answers: pair.responsesReceived};
}"""

RELAYED: Final = """
const Plain = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Plain {
  constructor(settings) { super({...settings, iceTransportPolicy: 'relay'}); }
};
"""
USERS: Final = "() => window.peers.map((peer) => peer.getConfiguration().iceServers[0].username)"
# Six minutes have passed: half of a credential's life, and of an allocation that nobody refreshed.
LATER: Final = "() => { const now = performance.now.bind(performance); performance.now = () => now() + 360_000; }"
ELSEWHERE: Final = "10.99.0.77"


@pytest.fixture(scope="module")
async def built() -> AsyncIterator[Street]:
    async with street(1, "--ignore-certificate-errors") as made, coturn(made.line.far, made.folder) as server:
        urls = [word for transport in PASSES for word in ("--turn", server.url(transport))]
        async with made.relay("--greeting", "", *urls, "--turn-secret", SECRET, script=SCRIPT):
            yield made


@pytest.fixture
def here(built: Street) -> Iterator[Street]:
    """A street with a relay and a TURN server, and no firewall and the browser at home when a test begins."""
    yield built
    let_pass(built)
    built.line.near.move(HOME)


async def selected(visitor: Visitor) -> dict[str, Any]:
    return dict(await visitor.page.evaluate(PAIR))


async def talk(visitor: Visitor) -> None:
    """Say a sentence and be answered."""
    await visitor.say(SPOKEN)
    await visitor.shown("user", "s of speech")
    await visitor.shown("model", "own words")


async def summary(here: Street, before: int = 0) -> dict[str, Any]:
    """What the log says of the call that has ended last; so many have `before` it."""
    async with asyncio.timeout(PATIENCE):
        while len(found := ended(here)) <= before:
            await asyncio.sleep(0.1)
    return dict(json.loads(found[-1]))


def ended(here: Street) -> list[str]:
    """The summaries of all calls that have."""
    return re.findall(r"call \w+ closed (\{.*\})", here.log)


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
    before = len(ended(here))
    async with here.call() as visitor:
        began = time.monotonic()
        await visitor.page.get_by_text("No packet of the call reached the relay.").wait_for()
        assert time.monotonic() - began < TOLD_SECONDS
        assert (await summary(here, before))["reason"] == "no-packet"
        (line,) = re.findall(r"^WARNING.*: no-packet: .*", here.log, re.MULTILINE)
        assert f"host {here.line.far.address}:" in line


async def test_a_call_whose_answers_do_not_come_back_is_told_so_within_fifteen_seconds(here: Street) -> None:
    let_pass(here, lambda packet: False, nothing_of_a_call)
    before = len(ended(here))
    async with here.call() as visitor:
        began = time.monotonic()
        await visitor.page.get_by_text("its answers did not come back").wait_for()
        assert time.monotonic() - began < TOLD_SECONDS
        assert (await summary(here, before))["reason"] == "checks-failed"


async def test_a_page_whose_credentials_may_have_ended_gets_new_ones_before_it_connects_again(here: Street) -> None:
    let_pass(here, passes_only("tcp"))
    async with here.call() as visitor:
        await visitor.state("listening")
        (first,) = await visitor.page.evaluate(USERS)
        await visitor.page.evaluate(LATER)
        here.line.near.move(ELSEWHERE)
        await visitor.page.wait_for_function("() => window.peers.length > 1")
        await visitor.state("listening")
        pair = await selected(visitor)
        assert (pair["type"], pair["by"]) == ("relay", "tcp")
        users = await visitor.page.evaluate(USERS)
        assert users[0] == first
        assert int(users[-1].partition(":")[0]) > int(first.partition(":")[0])
        await talk(visitor)


@pytest.mark.alone
async def test_what_chromium_hears_over_a_turn_server_is_what_it_hears_without(
    here: Street, measured: Callable[[str], None]
) -> None:
    here.line.near.move(ELSEWHERE)  # from where nobody has called in the last minute
    async with here.call() as direct, here.call(RELAYED) as relayed, Stalls() as stalls:
        await asyncio.gather(direct.have_it_speak(), relayed.have_it_speak())
        assert (await selected(relayed))["type"] == "relay"
        assert (await selected(direct))["type"] != "relay"
        looks = []
        for _ in range(LOOKS + 1):
            looks.append([await visitor.stats() for visitor in (direct, relayed)])
            await asyncio.sleep(1.0)
    seconds = [[now.since(before) for now, before in zip(*two, strict=True)] for two in pairwise(looks)]
    made_up, waits = (
        [max(0.0, sorted(second[name] for second in whose)[1]) for whose in zip(*seconds, strict=True)]
        for name in ("concealed", "delay_ms")
    )
    measured(f"directly and over TURN Chromium makes up {made_up[0]:.2%} and {made_up[1]:.2%} of the sound, "
             f"and holds it {waits[0]:.0f} and {waits[1]:.0f} ms")  # fmt: skip
    assert made_up[1] < made_up[0] + MOST_MADE_UP
    assert waits[1] < waits[0] + MOST_WAITED_MS + 1000 * stalls.longest


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
