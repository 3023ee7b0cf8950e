"""The official JavaScript SDK with answers that are odd but right, and with messages that are not quite RTVI."""

import asyncio
import json
import re
from typing import Any

import pytest

from relay import rtvi
from tests.clients.app import START
from tests.clients.conftest import Streets
from tests.clients.way import said

SIGNAL = {"type": "signalling", "message": {"type": "renegotiate"}}


async def test_an_answer_without_a_pc_id_leads_to_a_ready_bot(streets: Streets) -> None:
    async with streets() as street:
        street.way.bend = lambda answer: {name: answer[name] for name in ("sdp", "type")}
        await street.app.connect()
        assert await street.app.state() == "ready"
        for patch in street.way.patches:
            assert "pc_id" not in patch.body


@pytest.mark.parametrize("fate", ["refused", "left alone"])
async def test_a_relay_that_is_reachable_needs_no_trickled_candidates(streets: Streets, fate: str) -> None:
    async def instead(asked: Any) -> Any:
        if asked.method != "PATCH":
            return None
        if fate == "left alone":
            await asyncio.sleep(1.5)
        return said(404, {"detail": "Peer connection not found"})

    async with streets() as street:
        street.way.instead = instead
        await street.app.connect()
        assert await street.app.state() == "ready"
        async with asyncio.timeout(3):
            while not street.way.patches:
                await asyncio.sleep(0.05)


async def test_candidates_that_trickle_are_taken(streets: Streets) -> None:
    async with streets() as street:
        await street.app.connect()
        async with asyncio.timeout(3):
            while not any(patch.status for patch in street.way.patches):
                await asyncio.sleep(0.05)
        first = street.way.patches[0]
        assert first.status == 200
        assert first.body["pc_id"] == street.way.offers[0].answer["pc_id"]
        assert {"candidate", "sdp_mid", "sdp_mline_index"} <= set(first.body["candidates"][0])


@pytest.mark.parametrize("fate", ["rejected", "inactive"])
async def test_a_server_without_video_is_fine_with_the_client(streets: Streets, fate: str) -> None:
    async with streets(media="screen") as street:
        street.way.bend = lambda answer: {**answer, "sdp": _no_video(answer["sdp"], fate)}
        await street.app.connect()
        assert await street.app.state() == "ready"
        await street.app.run("client => client.sendText('hello')")
        await street.app.event("botOutput")


@pytest.mark.parametrize("form", ["unlabelled", "binary"])
async def test_a_ready_bot_that_says_so_wrongly_is_not_heard(
    streets: Streets, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    encode = rtvi.encode

    def wrong(message: Any) -> Any:
        right = encode(message)
        if message.get("type") != "bot-ready":
            return right
        return right.encode() if form == "binary" else json.dumps({**json.loads(right), "label": None})

    monkeypatch.setattr(rtvi, "encode", wrong)
    async with streets() as street:
        await street.app.begin()
        await street.app.page.wait_for_function("wire.heard.length > 0")
        await street.app.page.wait_for_function("kit.client.state === 'ready'")
        await asyncio.sleep(1.0)
        assert await street.app.events("botReady") == []
        assert await street.app.page.evaluate("window.outcome") is None


async def test_a_client_waits_for_ever_for_a_bot_that_does_not_say_that_it_is_ready(
    streets: Streets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtvi, "welcome", lambda *_, **__: [])
    async with streets() as street:
        await street.app.begin()
        await street.app.page.wait_for_function("kit.client.state === 'ready'")
        await asyncio.sleep(2.0)
        assert await street.app.page.evaluate("window.outcome") is None
        assert await street.app.state() == "ready"


async def test_asked_to_renegotiate_the_client_offers_again_in_the_same_call(
    streets: Streets, monkeypatch: pytest.MonkeyPatch
) -> None:
    welcome = rtvi.welcome
    monkeypatch.setattr(rtvi, "welcome", lambda *given, **more: [*welcome(*given, **more), SIGNAL])
    async with streets() as street:
        await street.app.connect()
        async with asyncio.timeout(5):
            while len(street.way.offers) < 2 or not street.way.offers[1].status:
                await asyncio.sleep(0.05)
        first, second = street.way.offers
        assert second.body["pc_id"] == first.answer["pc_id"] == second.answer["pc_id"]
        assert second.body["restart_pc"] is False
        assert second.status == 200
        await street.app.run("client => client.sendText('the same call')")
        await street.app.event("botOutput")
        assert await street.app.state() == "ready"
        assert "error" not in await street.app.states()
        assert len(street.relay.model.connections) == 1


async def test_an_offer_may_bring_its_candidates_along(streets: Streets) -> None:
    async with streets(transport={"waitForICEGathering": True}) as street:
        await street.app.connect()
        assert "a=candidate:" in street.way.offers[0].body["sdp"]
        async with asyncio.timeout(3):
            while not street.way.patches:
                await asyncio.sleep(0.05)
        assert street.way.patches[0].body["candidates"], "they come again"
        assert await street.app.state() == "ready"


async def test_the_client_tells_its_tracks_and_that_it_is_ready_once_and_in_order(streets: Streets) -> None:
    async with streets(media="screen") as street:
        await street.app.connect()
        sent = [json.loads(frame) for frame in await street.app.page.evaluate("wire.sent") if frame.startswith("{")]
        tracks = [body["message"] for body in sent if body["type"] == "signalling"]
        assert [(track["receiver_index"], track["enabled"]) for track in tracks] == [(0, True), (1, False), (2, False)]
        ready = await street.app.said("client-ready")
        assert len(ready) == 1
        assert ready[0]["data"]["about"]["library"] == "@pipecat-ai/client-js"
        heard = await street.app.heard("bot-ready")
        assert heard[0]["id"] == ready[0]["id"]


async def test_a_page_of_another_site_may_call_if_it_is_named_with_the_headers_that_it_adds(streets: Streets) -> None:
    token = "correct-horse-battery-staple-0123"
    call = """(client, base) => client.startBotAndConnect({endpoint: base + '/start', requestData: {},
        headers: new Headers({Authorization: 'Bearer %s', 'X-Team': 'blue'})})"""
    async with streets() as elsewhere:
        origin = elsewhere.way.base
        async with streets("--allow-origin", origin, "--access-token", token) as street:
            assert (await elsewhere.app.run(call % token, street.relay.base))["version"] == rtvi.VERSION
            assert street.relay.calls == 1
            await elsewhere.app.run("client => client.disconnect()")
        async with streets("--access-token", token) as street:
            outcome = await elsewhere.app.attempt(call % token, street.relay.base)
            assert outcome["error"]["message"] == "Failed to fetch", "this page was not named"
            assert street.relay.calls == 0


async def test_the_app_hears_when_the_bot_is_promised_with_whatever_start_said(streets: Streets) -> None:
    async with streets() as street:
        await street.app.run(START)
        started = await street.app.event("botStarted")
        assert started["sessionId"] in street.way.offers[0].path
        assert "iceConfig" not in started, "there are no servers to name, and null would crash some clients"


def _no_video(sdp: str, fate: str) -> str:
    sections = re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)
    head, mids = sections[0], []
    for index, section in enumerate(sections):
        if section.startswith("m=video"):
            if fate == "inactive":
                section = re.sub(r"^a=(sendrecv|recvonly|sendonly|inactive)", "a=inactive", section, flags=re.M)
            else:
                mids += re.findall(r"^a=mid:(\S+)", section, flags=re.MULTILINE)
                section = re.sub(r"^m=video \d+", "m=video 0", section)
            sections[index] = section
    for mid in mids:
        head = re.sub(rf"^(a=group:BUNDLE.*?) {mid}\b", r"\1", head, flags=re.MULTILINE)
    return "".join([head, *sections[1:]])
