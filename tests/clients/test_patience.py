"""What takes an official client long: networks that die, relays that lead nowhere, answers that do not come."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any, Final

from relay.agent import Agent
from relay.written import REPLY_SECONDS
from tests.clients.conftest import Street, Streets
from tests.clients.way import Asked, said

# At least, in seconds; a machine that has much else to do adds to them.
NOTICED: Final = 9.0  # from the last packet to a new connection: 5 to 8 s of Chromium's, 5 of the SDK's
VAIN: Final = 17.0  # between attempts at a path that leads nowhere: 15 s of Chromium's, 5 of the SDK's
REPEATED: Final = 1.8  # between offers that fail: 2 s of the SDK's
KEPT: Final = 30.0  # so long, at least, the relay waits for a client to come back
JUDGED: Final = 6.0  # after a new connection, whether the microphone is heard
GIVEN_UP: Final = 10.0  # after which the SDK takes a request for lost, unless the app says otherwise


async def offered(street: Street, count: int, *, within: float) -> None:
    """So many offers have been answered."""
    async with asyncio.timeout(within):
        while len(street.way.offers) < count or not street.way.offers[count - 1].status:
            await asyncio.sleep(0.05)


def gaps(offers: list[Asked]) -> list[float]:
    return [later.at - earlier.at for earlier, later in itertools.pairwise(offers)]


async def test_an_offer_that_fails_is_repeated_three_times_and_then_given_up(streets: Streets) -> None:
    async with streets() as street:
        street.way.instead = lambda asked: said(500, {"info": "trouble"}) if asked.is_offer else None
        await street.app.begin()
        outcome = await street.app.outcome(50)
        assert [offer.body["restart_pc"] for offer in street.way.offers] == [False, True, True, True]
        assert all(gap > REPEATED for gap in gaps(street.way.offers)), gaps(street.way.offers)
        assert outcome["error"]["name"] == "TransportStartError"
        assert "error" in await street.app.states()


@dataclass
class Survived:
    """A call whose path died and was replaced."""

    offers: list[Asked]
    events: list[str]  # of the relay's own
    heard: int  # bytes of the microphone after it


async def survive(streets: Streets, media: str) -> Survived:
    """Let a live call's path die without a word, and ask the bot something when there is a new one."""
    loop = asyncio.get_running_loop()
    async with streets(piped=True, media=media) as street:
        await street.app.connect()
        await asyncio.sleep(1.0)  # until candidates have trickled
        cut = loop.time()
        street.way.cut()
        await offered(street, 2, within=KEPT)
        first, second = street.way.offers
        assert second.at - cut > NOTICED
        assert second.status == 200, second.answer
        await street.app.page.wait_for_function("channels.at(-1).readyState === 'open'")
        restarted, heard = loop.time(), len(street.relay.model.received_pcm())
        await street.app.run("client => client.sendText('still the same call')")
        await street.app.page.wait_for_function(
            "kit.log.some(([, name, [data]]) => name === 'botOutput' && data.text.includes('same call'))"
        )
        await asyncio.sleep(restarted + JUDGED - loop.time())
        assert len(await street.app.said("client-ready")) == 1, "the client does not introduce itself again"
        assert await street.app.state() == (await street.app.states())[-1] == "ready"
        assert street.relay.calls == len(street.relay.model.connections) == 1
        events = [message.get("event") for message in await street.app.events("serverMessage")]
        return Survived([first, second], events, len(street.relay.model.received_pcm()) - heard)


async def test_a_path_that_dies_is_replaced_in_the_same_conversation(streets: Streets) -> None:
    first, second = (await survive(streets, "own")).offers
    assert second.body["restart_pc"] is True
    assert second.body["pc_id"] == first.answer["pc_id"] == second.answer["pc_id"]


async def test_a_microphone_that_died_with_its_connection_is_told_to_the_app(streets: Streets) -> None:
    """The SDK's transport stops it, which its own `WavMediaManager` does not notice."""
    assert "mic-dead" in (await survive(streets, "wav")).events


async def test_a_microphone_that_lives_on_is_heard_over_the_new_connection(streets: Streets) -> None:
    survived = await survive(streets, "own")
    assert survived.heard > 16_000 * 2 * JUDGED / 2, "seconds of sound"
    assert "mic-dead" not in survived.events


async def test_a_client_that_comes_back_to_an_ended_call_is_told_so_and_stops(streets: Streets) -> None:
    async with streets(piped=True) as street:
        await street.app.connect()
        await asyncio.sleep(1.0)
        street.way.cut()
        session = street.way.offers[0].path.removesuffix("/api/offer")
        await street.app.page.request.delete(street.relay.base + session)
        await offered(street, 2, within=KEPT)
        await street.app.event("disconnected")
        await asyncio.sleep(3.0)  # no further attempt
        assert [offer.status for offer in street.way.offers] == [200, 410]
        assert "error" in await street.app.states()


async def test_an_attempt_at_an_unreachable_relay_ends_with_words(streets: Streets) -> None:
    async with streets(piped=True) as street:
        street.way.dead = True
        await street.app.begin()
        outcome = await street.app.outcome(90)
        assert outcome["error"]["status"] == street.way.offers[-1].status == 410
        await street.freed()


async def test_without_a_no_the_client_would_try_for_ever(streets: Streets) -> None:
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
        await offered(street, 3, within=120)
        assert all(gap > VAIN for gap in gaps(street.way.offers)), gaps(street.way.offers)
        assert await street.app.page.evaluate("window.outcome") is None


async def test_a_request_that_nobody_answers_is_refused_in_time(streets: Streets) -> None:
    async def think(_: str, __: Any) -> None:
        await asyncio.sleep(3600)

    async with streets(agent=Agent(on_message=think)) as street:
        await street.app.connect()
        ask = "client => client.sendClientRequest('riddle', {}"
        short, whole = await asyncio.gather(street.app.attempt(f"{ask}, 1000)"), street.app.attempt(f"{ask}, 30000)"))
        assert short["error"]["data"]["error"] == "Timed out waiting for response"
        assert whole["error"]["type"] == "error-response"
        assert whole["error"]["data"]["error"] == "The agent could not answer."
        assert REPLY_SECONDS < GIVEN_UP, "the relay says so before the SDK would"
