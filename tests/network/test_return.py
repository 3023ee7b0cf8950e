"""A Chromium that loses its network, changes its address or loads the page again: the call goes on, and how soon."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import pytest

from tests.network.comeback import Back, address_change, darkness, reload
from tests.network.measure import SCRIPT
from tests.network.street import Street, street
from tests.network.way import CLEAN
from tests.network.wire import NEAR
from tests.sound import read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
DARK_SECONDS: Final = 20.0
RETURN_SECONDS: Final = 3.0  # sound both ways, and a reloaded page ready with the history
CLOSED_SECONDS: Final = 1.0
ELSEWHERE: Final = "10.99.0.77"

Measured = Callable[[str], None]


@pytest.fixture(scope="module")
async def built() -> AsyncIterator[Street]:
    async with street() as made, made.relay("--greeting", "", script=SCRIPT):
        yield made


@pytest.fixture
def here(built: Street) -> Iterator[Street]:
    """A street with a relay, whose wire is clean and whose browser is at home when a test begins."""
    yield built
    built.line.up.trouble = built.line.down.trouble = CLEAN
    built.line.near.move(NEAR)


def judge(what: str, back: Back, measured: Measured) -> None:
    measured(f"after {what} Chromium has sound after {1000 * back.down:.0f} ms, the relay after {1000 * back.up:.0f}")
    assert max(back.down, back.up) < RETURN_SECONDS + back.stalled


async def test_a_changed_address_costs_three_seconds_at_most_and_the_old_connection_is_closed(
    here: Street, measured: Measured
) -> None:
    async with here.call() as visitor:
        await visitor.have_it_speak()
        back = await address_change(here, visitor, ELSEWHERE)
        judge("a change of address", back, measured)
        assert back.gone < CLOSED_SECONDS + back.stalled


async def test_twenty_seconds_of_darkness_cost_three_seconds_of_light_at_most(here: Street, measured: Measured) -> None:
    async with here.call() as visitor:
        await visitor.have_it_speak()
        judge(f"{DARK_SECONDS:g} s of darkness", await darkness(here, visitor, DARK_SECONDS), measured)
        await visitor.type("Stop.")
        await visitor.shown("model", "You typed: Stop.")
        await visitor.state("listening")
        await visitor.say(SPOKEN)
        await visitor.shown("user", "s of speech")


async def test_a_reloaded_page_is_in_its_call_again_with_what_was_said_within_three_seconds(
    here: Street, measured: Measured
) -> None:
    async with here.call() as visitor:
        await visitor.state("listening")
        await visitor.say(SPOKEN)
        await visitor.shown("model", "own words")
        await visitor.state("listening")
        back = await reload(here, visitor, "model", "own words")
        measured(
            f"a page that is loaded again is ready with the history after {1000 * back.ready:.0f} ms, and its old "
            f"connection is closed after {1000 * back.gone:.0f}"
        )
        assert back.ready < RETURN_SECONDS + back.stalled
        assert back.gone < CLOSED_SECONDS + back.stalled
        await visitor.say(SPOKEN)
        await visitor.page.wait_for_function("() => document.querySelectorAll('#captions .model').length > 1")
