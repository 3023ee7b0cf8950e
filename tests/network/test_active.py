"""A relay that sends first, for nobody can send to it, in the same street as a Chromium and a TURN server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.network.firewall import answers_alone, let_pass, passes_only
from tests.network.measure import SCRIPT
from tests.network.street import Street, street
from tests.network.test_turn import TOLD_SECONDS, summary, talk
from tests.network.turn import SECRET, Coturn, coturn
from tests.network.visitor import Visitor

# A relay that sends first sends to no private address.
NEAR, FAR = "5.9.0.1", "5.9.0.2"
NOBODY: Final = "5.9.0.77"


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
    async with active(here, server, server.url(transport)), here.call() as visitor:
        await lent(here, server, visitor)


async def test_where_a_firewall_eats_its_udp_it_takes_the_other_way_to_the_same_server(
    apart: tuple[Street, Coturn],
) -> None:
    here, server = apart
    let_pass(here, passes_only("tcp"))
    async with active(here, server, f"turn:{server.address}:{server.port}"):
        await written(here, "transport=udp does not answer")
        async with here.call() as visitor:
            await lent(here, server, visitor)


async def test_behind_a_router_that_lets_in_answers_alone_a_relay_that_sends_first_needs_no_turn_server(
    apart: tuple[Street, Coturn],
) -> None:
    here, server = apart
    let_pass(here, *answers_alone())
    flags = ("--greeting", "", "--ice", "active", "--ice-servers", f"stun:{server.address}:{server.port}")
    async with here.relay(*flags, script=SCRIPT), here.call() as visitor:
        await visitor.state("listening")
        await talk(visitor)
        await end(visitor)
        assert (await summary(here))["path"].startswith(f"host {here.line.far.address}:")


@pytest.mark.parametrize("role", ["passive", "active"])
async def test_a_turn_server_that_is_dead_costs_no_call_and_the_owner_is_told(
    apart: tuple[Street, Coturn], role: str
) -> None:
    here, _ = apart
    let_pass(here)
    flags = ("--greeting", "", "--ice", role, "--turn", f"turn:{NOBODY}", "--turn-secret", SECRET)
    async with here.relay(*flags, script=SCRIPT), here.call() as visitor:
        await visitor.state("listening")
        await talk(visitor)
        await written(here, f"TURN: turn:{NOBODY}?transport=udp does not answer")


@contextlib.asynccontextmanager
async def active(here: Street, server: Coturn, url: str) -> AsyncIterator[None]:
    """A relay that sends first, and trusts that server."""
    flags = ("--greeting", "", "--ice", "active", "--turn", url, "--turn-secret", SECRET)
    async with here.relay(*flags, script=SCRIPT, SSL_CERT_FILE=str(server.certificate)):
        yield


async def lent(here: Street, server: Coturn, visitor: Visitor) -> None:
    """The call goes, by an address that the server has lent the relay."""
    await visitor.state("listening")
    await talk(visitor)
    await end(visitor)
    assert (await summary(here))["path"].startswith(f"relay {server.address}:")


async def end(visitor: Visitor) -> None:
    await visitor.page.get_by_role("button", name="End", exact=True).click()


async def written(here: Street, words: str) -> None:
    """Wait until that stands in the relay's log."""
    async with asyncio.timeout(TOLD_SECONDS):
        while words not in here.log:
            await asyncio.sleep(0.1)
