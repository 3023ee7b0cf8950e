"""What the official JavaScript SDK makes of a no, of trouble, and of a goodbye."""

from typing import Any

from aiohttp import web

from relay import rtvi
from relay.standin.script import parse
from tests.clients.conftest import Streets
from tests.clients.way import said


async def test_a_busy_relay_is_an_error_with_its_status_and_the_client_may_try_again(streets: Streets) -> None:
    async with streets() as street:
        street.way.instead = lambda asked: said(429, {"info": "busy"}) if asked.is_start else None
        outcome = await street.app.attempt("client => client.startBotAndConnect({endpoint: '/start'})")
        assert outcome["error"]["name"] == "StartBotError"
        assert (outcome["error"]["message"], outcome["error"]["status"]) == ("busy", 429)
        error = await street.app.event("error")
        assert error["data"] == {"message": "busy", "fatal": True}
        await street.app.page.wait_for_function("kit.client.state === 'disconnected'")
        street.way.instead = lambda asked: None
        assert (await street.app.connect())["version"] == rtvi.VERSION


async def test_a_full_relay_says_so_in_words_that_the_client_shows(streets: Streets) -> None:
    async with streets("--max-calls", "1") as street:
        assert (await street.app.page.request.post(f"{street.relay.base}/start", data={})).status == 200
        outcome = await street.app.attempt("client => client.startBotAndConnect({endpoint: '/start', requestData: {}})")
        assert outcome["error"]["status"] == street.way.asked[-1].status >= 400
        assert outcome["error"]["message"] == street.way.asked[-1].answer["info"]


async def test_an_error_that_is_no_json_would_leave_the_client_stuck(streets: Streets) -> None:
    async with streets() as street:
        street.way.instead = lambda asked: web.Response(status=500, text="Internal Server Error")
        outcome = await street.app.attempt("client => client.startBotAndConnect({endpoint: '/start'})")
        assert outcome["error"]["name"] == "SyntaxError"
        assert outcome["error"]["status"] is None
        assert await street.app.state() == "authenticating"


async def test_a_refused_offer_is_not_repeated(streets: Streets) -> None:
    async with streets() as street:
        street.way.instead = lambda asked: said(403, {"info": "no"}) if asked.is_offer else None
        outcome = await street.app.attempt("client => client.startBotAndConnect({endpoint: '/start', requestData: {}})")
        assert outcome["error"]["name"] == "TransportStartError"
        assert outcome["error"]["status"] == 403
        assert len(street.way.offers) == 1
        await street.app.page.wait_for_function("kit.client.state === 'disconnected'")
        assert (await street.app.states())[-4:] == ["connecting", "error", "disconnecting", "disconnected"]


async def test_an_error_that_is_not_fatal_is_told_and_the_call_goes_on(streets: Streets) -> None:
    async with streets() as street:
        await street.app.connect()
        await street.app.run("() => kit.transport.sendMessage({label: 'rtvi-ai', type: 'nonsense'})")
        error = await street.app.event("error")
        assert error["data"]["fatal"] is False
        assert error["data"]["error"] == error["data"]["message"]
        assert await street.app.state() == "ready"
        await street.app.run("client => client.sendText('are you still there')")
        await street.app.event("botOutput")


async def test_a_request_that_cannot_be_served_is_refused_by_its_id(streets: Streets) -> None:
    async with streets() as street:
        await street.app.connect()
        await street.app.run("() => kit.transport.sendMessage({label: 'rtvi-ai', type: 'nonsense', id: 'n1'})")
        error = await street.app.event("messageError")
        assert error["id"] == "n1"
        assert "nonsense" in error["data"]["error"]
        assert await street.app.state() == "ready"


async def test_a_fatal_error_ends_the_call_in_the_client(streets: Streets) -> None:
    fault = {"kind": "close", "after_s": 2, "code": 1008, "reason": "API key expired."}
    async with streets(script=parse({"faults": [fault]})) as street:
        await street.app.connect()
        error = await street.app.event("error")
        assert error["data"]["fatal"] is True
        await street.app.event("disconnected")
        assert await street.app.state() == "disconnected"


async def test_a_bot_that_leaves_is_told_and_the_client_hangs_up(streets: Streets) -> None:
    async with streets() as street:
        await street.app.connect()
        await street.app.run("client => client.disconnectBot()")
        await street.app.event("botDisconnected")
        await street.app.event("disconnected")
        assert await street.app.state() == "disconnected"
        assert len(await street.app.heard("peerLeft")) == 1


async def test_a_client_that_hangs_up_frees_its_line_and_may_call_again(streets: Streets) -> None:
    async with streets() as street:
        for call in (1, 2):
            await street.app.connect()
            assert street.relay.calls == 1
            await street.app.run("client => client.disconnect()")
            await street.app.event("disconnected", call)
            await street.freed()


async def test_words_that_would_not_fit_are_refused_by_the_client_itself(streets: Streets) -> None:
    """What the answer says of message sizes is what the SDK goes by."""

    def bend(limit: str) -> Any:
        return lambda answer: {**answer, "sdp": _without_size(answer["sdp"]).replace("a=sctp-port:5000", limit)}

    for line, limit in (
        ("a=sctp-port:5000", 65_536),
        ("a=sctp-port:5000\r\na=max-message-size:16384", 16_384),
        ("a=sctp-port:5000\r\na=max-message-size:262144", 262_144),
    ):
        async with streets() as street:
            street.way.bend = bend(line)
            await street.app.connect()
            assert await street.app.run("() => kit.transport.maxMessageSize") == limit
            outcome = await street.app.attempt(
                "(client, size) => client.sendClientMessage('big', 'x'.repeat(size))", limit
            )
            assert outcome["error"]["name"] == "MessageTooLargeError"
            assert (await street.app.event("error"))["data"]["fatal"] is False
            assert await street.app.state() == "ready"


async def test_the_relays_own_answer_names_the_size_that_it_takes(streets: Streets) -> None:
    async with streets() as street:
        await street.app.connect()
        assert await street.app.run("() => kit.transport.maxMessageSize") >= 16_384


def _without_size(sdp: str) -> str:
    return "".join(line for line in sdp.splitlines(keepends=True) if "max-message-size" not in line)
