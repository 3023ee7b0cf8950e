"""What takes an official client long: the fixture `waits` runs all of it side by side, and each test reads its part.

Times are of the event loop's clock, in seconds.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from relay.agent import Agent
from tests.clients.conftest import Street, Streets
from tests.clients.way import Asked, said

NOTICED: Final = (9.0, 18.0)  # from the last packet to a new connection: 5 to 8 s of Chromium's, 5 of the SDK's
VAIN: Final = (17.0, 26.0)  # between attempts at a path that leads nowhere: 15 s of Chromium's, 5 of the SDK's

Told = dict[str, Any]


async def _offers(street: Street, count: int, within: float) -> None:
    async with asyncio.timeout(within):
        while len(street.way.offers) < count or not street.way.offers[count - 1].status:
            await asyncio.sleep(0.05)


async def _broken_relay(streets: Streets) -> Told:
    """An offer that is answered 500, always."""
    async with streets() as street:
        street.way.instead = lambda asked: said(500, {"info": "trouble"}) if asked.is_offer else None
        await street.app.begin()
        outcome = await street.app.outcome(30)
        return {"outcome": outcome, "offers": street.way.offers, "states": await street.app.states()}


async def _dead_path(streets: Streets, media: str) -> Told:
    """A live call whose path dies without a word; later the bot is asked something."""
    async with streets(piped=True, media=media) as street:
        await street.app.connect()
        await asyncio.sleep(1.0)  # connected for good: candidates have trickled
        cut = asyncio.get_running_loop().time()
        street.way.cut()
        await _offers(street, 2, 30)
        assert street.way.offers[1].status == 200, street.way.offers[1].answer
        await street.app.page.wait_for_function("peers.at(-1).connectionState === 'connected'")
        restarted = asyncio.get_running_loop().time()
        heard = len(street.relay.model.received_pcm())
        await street.app.run("client => client.sendText('still the same call')")
        await street.app.page.wait_for_function(
            "kit.log.some(([, name, [data]]) => name === 'botOutput' && data.text.includes('same call'))"
        )
        await asyncio.sleep(max(0.0, restarted + 6.0 - asyncio.get_running_loop().time()))
        return {
            "gap": street.way.offers[1].at - cut,
            "offers": street.way.offers,
            "ready": await street.app.said("client-ready"),
            "states": await street.app.states(),
            "state": await street.app.state(),
            "server": await street.app.events("serverMessage"),
            "calls": street.relay.calls,
            "models": len(street.relay.model.connections),
            "heard": len(street.relay.model.received_pcm()) - heard,
        }


async def _forgotten(streets: Streets) -> Told:
    """A live call whose path dies and whose session has ended when the client comes back."""
    async with streets(piped=True) as street:
        await street.app.connect()
        await asyncio.sleep(1.0)
        street.way.cut()
        session = street.way.offers[0].path.removesuffix("/api/offer")
        await street.app.page.request.delete(street.relay.base + session)
        await _offers(street, 2, 30)
        await street.app.event("disconnected")
        await asyncio.sleep(3.0)  # no further attempt
        return {
            "offers": street.way.offers,
            "states": await street.app.states(),
            "errors": await street.app.events("error"),
        }


async def _unreachable(streets: Streets) -> Told:
    """A relay whose addresses lead nowhere."""
    async with streets(piped=True) as street:
        street.way.dead = True
        await street.app.begin()
        outcome = await street.app.outcome(70)
        return {"outcome": outcome, "offers": street.way.offers, "calls": street.relay.calls}


async def _stubborn(streets: Streets) -> Told:
    """A server that leads nowhere and never says no."""
    async with streets(piped=True) as street:
        street.way.dead = True

        async def instead(asked: Asked) -> Any:
            if asked.is_offer and asked.body["restart_pc"]:
                answer = await street.app.page.request.post(
                    f"{street.relay.base}/api/offer", data={"sdp": asked.body["sdp"], "type": "offer"}
                )
                return said(200, await street.way.lead(await answer.json()))
            return None

        street.way.instead = instead
        await street.app.begin()
        await _offers(street, 3, 60)
        return {"offers": street.way.offers, "outcome": await street.app.page.evaluate("window.outcome")}


async def _unanswered(streets: Streets) -> Told:
    """An agent that does not come to an answer to the app's own request."""

    async def think(_: str, __: Any) -> None:
        await asyncio.sleep(3600)

    async with streets(agent=Agent(on_message=think)) as street:
        await street.app.connect()
        await asyncio.sleep(25.0)  # until the machine has come to rest: a second is all that the relay has to spare
        ask = "client.sendClientRequest('riddle', {}"
        short, whole = await asyncio.gather(
            street.app.attempt(f"client => {ask}, 1000)"), street.app.attempt(f"client => {ask})")
        )
        return {"short": short["error"], "whole": whole["error"]}


SCENES: Final[dict[str, Callable[[Streets], Awaitable[Told]]]] = {
    "broken": _broken_relay,
    "dead path": lambda streets: _dead_path(streets, "wav"),
    "dead path, own media": lambda streets: _dead_path(streets, "own"),
    "forgotten": _forgotten,
    "unreachable": _unreachable,
    "stubborn": _stubborn,
    "unanswered": _unanswered,
}

Waits = Callable[[str], Told]


@pytest.fixture(scope="module")
async def waits(streets: Streets) -> Waits:
    """What came of each of `SCENES`; a scene that failed fails the test that asks for it."""
    outcomes = await asyncio.gather(*(scene(streets) for scene in SCENES.values()), return_exceptions=True)
    told = dict(zip(SCENES, outcomes, strict=True))

    def read(name: str) -> Told:
        outcome = told[name]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return read


async def test_an_offer_that_fails_is_repeated_three_times_and_then_given_up(waits: Waits) -> None:
    told = waits("broken")
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(told["offers"])]
    assert [offer.body["restart_pc"] for offer in told["offers"]] == [False, True, True, True]
    assert all(1.8 < gap < 4 for gap in gaps), gaps
    assert told["outcome"]["error"]["name"] == "TransportStartError"
    assert "error" in told["states"]


@pytest.mark.parametrize("scene", ["dead path", "dead path, own media"])
async def test_a_path_that_dies_is_replaced_in_the_same_conversation(waits: Waits, scene: str) -> None:
    told = waits(scene)
    first, second = told["offers"]
    assert NOTICED[0] < told["gap"] < NOTICED[1]
    assert second.body["restart_pc"] is True
    assert second.body["pc_id"] == first.answer["pc_id"] == second.answer["pc_id"]
    assert len(told["ready"]) == 1, "the client does not introduce itself again"
    assert told["state"] == "ready"
    assert told["states"][-1] == "ready"
    assert (told["calls"], told["models"]) == (1, 1)


async def test_a_microphone_that_died_with_its_connection_is_told_to_the_app(waits: Waits) -> None:
    told = waits("dead path")
    assert "mic-dead" in [message.get("event") for message in told["server"]], told["server"]


async def test_a_microphone_that_lives_on_is_heard_over_the_new_connection(waits: Waits) -> None:
    told = waits("dead path, own media")
    assert told["heard"] > 16_000 * 2 * 3, "seconds of sound"
    assert "mic-dead" not in [message.get("event") for message in told["server"]]


async def test_a_client_that_comes_back_to_an_ended_call_is_told_so_and_stops(waits: Waits) -> None:
    told = waits("forgotten")
    assert [offer.status for offer in told["offers"]] == [200, 410]
    assert "error" in told["states"]


async def test_an_attempt_at_an_unreachable_relay_ends_with_words(waits: Waits) -> None:
    told = waits("unreachable")
    assert told["offers"][-1].status == 410
    assert told["outcome"]["error"]["status"] == 410
    assert told["calls"] == 0


async def test_without_a_no_the_client_would_try_for_ever(waits: Waits) -> None:
    told = waits("stubborn")
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(told["offers"])]
    assert all(VAIN[0] < gap < VAIN[1] for gap in gaps), gaps
    assert told["outcome"] is None


async def test_a_request_that_nobody_answers_is_refused_in_time(waits: Waits) -> None:
    told = waits("unanswered")
    assert told["short"]["data"]["error"] == "Timed out waiting for response"
    assert told["whole"]["type"] == "error-response"
    assert told["whole"]["data"]["error"] == "The agent could not answer.", "the relay says so before the SDK gives up"
