"""How the official JavaScript SDK comes to the relay: its states, and the forms that `/start` may answer in."""

from typing import Any

import pytest

from relay import rtvi
from tests.clients.conftest import Streets
from tests.clients.way import Asked, said

STARTED = ["disconnected", "initializing", "initialized", "authenticating", "authenticated"]
CONNECTED = ["initializing", "initialized", "connecting", "connected", "ready"]


async def test_a_start_without_further_ado_leads_to_a_ready_bot_and_its_voice(streets: Streets) -> None:
    async with streets(greeting="Say hello.") as street:
        ready = await street.app.connect()
        assert ready["version"] == rtvi.VERSION
        assert ready["about"]["library"]
        states = await street.app.states()
        assert [state for state in states if state != "disconnected"] == STARTED[1:] + CONNECTED
        track, participant = await street.app.event("trackStarted", 2)
        assert track["kind"] == "audio"
        assert participant is None or not participant["local"]
        assert await street.app.events("botReady") == [ready]
        assert len(street.way.offers) == 1
        assert street.way.offers[0].body["pc_id"] is None
        assert street.way.offers[0].body["restart_pc"] is False


async def test_an_app_with_an_address_of_its_own_needs_no_start(streets: Streets) -> None:
    async with streets() as street:
        ready = await street.app.run(
            "client => client.connect({webrtcRequestParams: {endpoint: '/api/offer', requestData: {seat: 12}}})"
        )
        assert ready["version"] == rtvi.VERSION
        assert await street.app.state() == "ready"
        assert [asked.path for asked in street.way.offers] == ["/api/offer"]
        assert street.way.offers[0].body["requestData"] == {"seat": 12}


@pytest.mark.parametrize("form", ["snake", "params", "extra"])
async def test_other_forms_of_starts_answer_lead_to_a_ready_bot(streets: Streets, form: str) -> None:
    async with streets() as street:

        async def instead(asked: Asked) -> Any:
            if asked.is_start and asked.path == "/start" and "inner" not in (asked.body or {}):
                session = await street.app.page.request.post(f"{street.relay.base}/start", data={})
                id = (await session.json())["sessionId"]
                return said(200, {
                    "snake": {"session_id": id},
                    "params": {"webrtcRequestParams": {"endpoint": f"/sessions/{id}/api/offer"}},
                    "extra": {"sessionId": id, "seats": 4, "ticket_number": "x"},
                }[form])  # fmt: skip
            return None

        street.way.instead = instead
        assert (await street.app.connect())["version"] == rtvi.VERSION
        assert await street.app.state() == "ready"
