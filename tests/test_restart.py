"""A browser that comes back on a new connection, as after a change of network: the call is the same."""

import asyncio
import base64

import pytest

import relay.browser
import relay.presence
from relay.standin.witness import Heard
from tests.caller import Caller
from tests.camera import BLUE, RED, Camera, Colour, alike, picture, seen
from tests.running import running
from tests.sound import read_wav

SENTENCE = read_wav("tests/sounds/weather.wav")


async def test_a_caller_that_comes_back_on_a_new_connection_goes_on_where_it_was() -> None:
    async with running() as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-started-speaking")
        async with Caller(house.base) as again:
            again.session_id, again.pc_id = caller.session_id, caller.pc_id
            await again.offer(restart=True)
            async with asyncio.timeout(10):
                await again.connected.wait()
                await caller.ended.wait()
            await again.message("bot-stopped-speaking", timeout=15)
            assert again.packets, "what was being said goes on"
            again.say(SENTENCE)
            await again.message("user-stopped-speaking", timeout=10)
            await again.message("bot-started-speaking", timeout=10)
            assert len(house.model.connections) == 1
            assert house.calls == 1
            await again.goodbye()
            assert house.calls == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that takes a browser for lost after a second."""
    monkeypatch.setattr(relay.presence, "LOST_SECONDS", 1.0)
    monkeypatch.setattr(relay.browser, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(relay.browser, "MICROPHONE_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
async def test_a_caller_whose_network_was_pulled_comes_back_into_its_call_and_reads_what_was_said() -> None:
    async with running("--greeting", "") as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        caller.send("send-text", {"content": "one two three four five six seven eight nine ten", "options": {}})
        await caller.message("bot-started-speaking", timeout=10)
        await caller.vanish()
        await asyncio.sleep(3)
        assert house.calls == 1
        async with Caller(house.base) as again:
            again.session_id, again.pc_id = caller.session_id, caller.pc_id
            await again.offer(restart=True)
            told = await again.message(
                "bot-output", timeout=15, where=lambda data: data["spoken_status"] == "completed"
            )
            assert "one two three" in told.data["text"]
            assert "bot-ready" not in again.types()
            assert len(house.model.connections) == 1
            assert not again.of("server-message"), "its microphone came along"
            await again.goodbye()


@pytest.mark.usefixtures("impatient")
async def test_a_caller_whose_microphone_stayed_behind_is_told() -> None:
    async with running("--greeting", "") as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        async with Caller(house.base) as again:
            again.session_id, again.pc_id = caller.session_id, caller.pc_id
            again.microphone.mute(packets=False)
            await again.offer(restart=True)
            told = await again.message("server-message", timeout=5)
            assert told.data == {"event": "mic-dead", "seconds": 1.0}
            await again.goodbye()


async def test_a_caller_who_hangs_up_right_after_the_dark_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.presence, "LOST_SECONDS", 0.5)
    monkeypatch.setattr(relay.browser, "WATCH_SECONDS", 60.0)  # nobody looks: as far as is known it has been dark
    async with running("--greeting", "") as house, Caller(house.base) as caller:
        await caller.dial()
        await caller.message("bot-ready")
        await asyncio.sleep(0.7)
        await caller.hang_up()
        async with asyncio.timeout(2):
            while house.calls:
                await asyncio.sleep(0.02)


async def test_a_camera_that_was_on_is_seen_on_the_new_connection_too() -> None:
    """An official client says nothing of its tracks after a restart."""
    async with running("--greeting", "") as house, Caller(house.base) as caller:
        camera = Camera(picture([RED]))
        caller.prepare()
        caller.peer.addTransceiver(camera, "sendonly")
        await caller.dial()
        model = await house.model.connected()
        caller.track_status(True, 1)
        await pictures(model, RED)
        async with Caller(house.base) as again:
            other = Camera(picture([BLUE]))
            again.session_id, again.pc_id = caller.session_id, caller.pc_id
            again.prepare()
            again.peer.addTransceiver(other, "sendonly")
            await again.offer(restart=True)
            await pictures(model, BLUE)
            again.track_status(False, 1)
            await asyncio.sleep(0.2)
            count = await pictures(model, BLUE)
            await asyncio.sleep(1.5)
            assert await pictures(model, BLUE) == count, "and off is off"
            other.stop()
            await again.goodbye()
        camera.stop()


async def pictures(model: Heard, colour: Colour) -> int:
    """Wait for a picture of that colour; how many there are of any."""
    async with asyncio.timeout(10):
        while True:
            jpegs = [base64.b64decode(body["video"]["data"]) for body in model.of("realtimeInput") if "video" in body]
            if any(alike(seen(jpeg, 1), [colour]) for jpeg in jpegs):
                return len(jpegs)
            await asyncio.sleep(0.05)
