"""What the page shows the model: camera and screen, switched on and off by a person, in Chromium with its devices."""

import asyncio
import base64
import io
import json
from typing import Any, Final

import av
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.test_page import dial, state
from tests.running import Running, running

# Chromium's own camera gives 20 pictures a second; the page sends this many (`PICTURES_PER_S` in static/sight.js).
PICTURES_PER_S: Final = 2
CAMERA: Final = "1"
SCREEN: Final = "2"

# By section: pictures, packets, and the size of what left.
SENT: Final = """async () => {
  const sent = {};
  for (const report of (await window.peers.at(-1).getStats()).values())
    if (report.type === 'outbound-rtp' && report.kind === 'video')
      sent[report.mid] = [report.framesSent, report.packetsSent, Math.max(report.frameWidth, report.frameHeight)];
  return sent;
}"""

SHOWS: Final = """id => {
  const video = document.getElementById(id);
  return !video.hidden && video.videoWidth > 0 && !video.paused;
}"""


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def call(page: Page, relay: Running) -> None:
    await dial(page, relay)
    await state(page, "listening", "hearing", "thinking", "speaking")


async def switched(page: Page, name: str, on: bool) -> None:
    """Press the button, and see that it, the picture beside the disc and the relay know."""
    kind = name.lower()
    await button(page, name).click()
    await expect(button(page, name)).to_have_attribute("aria-pressed", json.dumps(on))
    if on:
        await page.wait_for_function(SHOWS, arg=f"{kind}-view")
    else:
        await expect(page.locator(f"#{kind}-view")).to_be_hidden()
    told: list[list[Any]] = await page.evaluate("window.told")
    assert told[-1] == [int({"camera": CAMERA, "screen": SCREEN}[kind]), on]


async def hear(page: Page, type_: str, data: dict[str, Any]) -> None:
    """As if the relay had said it."""
    frame = json.dumps({"label": "rtvi-ai", "type": type_, "data": data})
    await page.evaluate("data => window.channel.dispatchEvent(new MessageEvent('message', { data }))", frame)


@pytest.mark.parametrize(("name", "section", "side"), [("Camera", CAMERA, 640), ("Screen", SCREEN, 1280)])
async def test_two_pictures_a_second_while_it_is_on_and_nothing_while_it_is_off(
    eyes: Page, name: str, section: str, side: int
) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        assert await eyes.evaluate("window.opened.length") == 0, "nothing is opened that nobody asked for"
        await switched(eyes, name, True)
        await asyncio.sleep(1.0)
        before = (await eyes.evaluate(SENT))[section]
        await asyncio.sleep(3.0)
        after = (await eyes.evaluate(SENT))[section]
        assert 1 <= after[0] - before[0] <= 3 * PICTURES_PER_S + 1
        assert 0 < after[2] <= side
        await switched(eyes, name, False)
        assert await eyes.evaluate("window.opened.map(track => track.readyState)") == ["ended"], "its light is out"
        await asyncio.sleep(0.3)
        before = (await eyes.evaluate(SENT))[section]
        await asyncio.sleep(1.0)
        assert (await eyes.evaluate(SENT))[section] == before
        await switched(eyes, name, True)


@pytest.mark.parametrize(("name", "longest"), [("Camera", 640), ("Screen", 768)])
async def test_the_model_sees_what_is_shown_and_nothing_once_it_is_off(eyes: Page, name: str, longest: int) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        model = await relay.model.connected()

        def seen() -> list[bytes]:
            bodies = [body["video"] for body in model.of("realtimeInput") if "video" in body]
            assert all(body["mimeType"] == "image/jpeg" for body in bodies)
            return [base64.b64decode(body["data"]) for body in bodies]

        assert seen() == []
        await switched(eyes, name, True)
        async with asyncio.timeout(10):
            while len(seen()) < 2:
                await asyncio.sleep(0.05)
        for jpeg in seen():
            with av.open(io.BytesIO(jpeg)) as container:
                size = container.streams.video[0]
                assert max(size.width, size.height) == longest
        await switched(eyes, name, False)
        await asyncio.sleep(0.3)
        count = len(seen())
        await asyncio.sleep(1.5)
        assert len(seen()) == count


async def test_both_at_once_and_the_end_of_the_call_gives_them_back(eyes: Page) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await switched(eyes, "Camera", True)
        await switched(eyes, "Screen", True)
        assert await eyes.evaluate("window.opened.map(track => track.readyState)") == ["live", "live"]
        await button(eyes, "End").click()
        assert await eyes.evaluate("window.opened.map(track => track.readyState)") == ["ended", "ended"]
        await state(eyes, "ended")
        await eyes.get_by_role("button", name="Start again").click()
        await state(eyes, "listening", "hearing")
        await expect(button(eyes, "Camera")).to_have_attribute("aria-pressed", "false")
        assert await eyes.evaluate("window.opened.length") == 2


@pytest.mark.parametrize(("name", "words"), [("Camera", "unplugged"), ("Screen", "no longer shared")])
async def test_what_is_taken_away_is_told_and_can_be_switched_on_again(eyes: Page, name: str, words: str) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await switched(eyes, name, True)
        # what a browser does when a camera is unplugged, or its own button ends the sharing
        await eyes.evaluate(
            "() => { const track = opened.at(-1); track.stop(); track.dispatchEvent(new Event('ended')); }"
        )
        await expect(button(eyes, name)).to_have_attribute("aria-pressed", "false")
        await expect(eyes.locator("#notice-what")).to_contain_text(words)
        await expect(eyes.locator("#notice-next")).to_contain_text(name)
        assert not (await eyes.evaluate("window.told"))[-1][1]
        await switched(eyes, name, True)
        await expect(eyes.locator("#notice-what")).to_be_empty()


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("Camera", "NotAllowedError", "not allowed"),
        ("Camera", "NotFoundError", "No camera"),
        ("Camera", "NotReadableError", "in use"),
        ("Screen", "NotAllowedError", "not shared"),
    ],
)
async def test_a_refusal_is_told_with_a_next_step_and_the_call_goes_on(
    eyes: Page, name: str, error: str, words: str
) -> None:
    ask = {"Camera": "getUserMedia", "Screen": "getDisplayMedia"}[name]
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await eyes.evaluate(
            "([ask, name]) => { navigator.mediaDevices[ask] = () => Promise.reject(new DOMException('', name)); }",
            [ask, error],
        )
        await button(eyes, name).click()
        await expect(eyes.locator("#notice-what")).to_contain_text(words)
        await expect(eyes.locator("#notice-next")).to_contain_text(f"press {name} again", ignore_case=True)
        await expect(button(eyes, name)).to_have_attribute("aria-pressed", "false")
        await state(eyes, "listening", "hearing", "thinking", "speaking")
        assert relay.calls == 1


async def test_where_no_screen_can_be_shared_there_is_no_button_for_it(eyes: Page) -> None:
    await eyes.add_init_script("delete MediaDevices.prototype.getDisplayMedia")
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await expect(button(eyes, "Camera")).to_be_enabled()
        await expect(eyes.locator("#screen")).to_be_hidden()


async def test_a_relay_that_takes_no_pictures_is_not_offered_any(eyes: Page) -> None:
    await eyes.add_init_script("""
    const accept = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
      return accept.call(this, { type, sdp: sdp.replaceAll('a=recvonly', 'a=inactive') });
    };
    """)
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await expect(button(eyes, "End")).to_be_enabled()
        for eye in ("#camera", "#screen"):
            await expect(eyes.locator(eye)).to_be_hidden()


async def test_a_model_that_sees_nothing_is_not_offered_any_picture(eyes: Page) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await switched(eyes, "Camera", True)
        capabilities = {"video_in": False, "screen_in": False}
        await hear(eyes, "bot-ready", {"version": "2.2.0", "capabilities": capabilities})
        for eye in ("#camera", "#screen", "#camera-view"):
            await expect(eyes.locator(eye)).to_be_hidden()
        assert await eyes.evaluate("window.opened.map(track => track.readyState)") == ["ended"]
        await expect(eyes.locator("#notice-what")).to_contain_text("no longer sees the camera")


async def test_another_camera_can_be_chosen_while_one_is_on(eyes: Page) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await switched(eyes, "Camera", True)
        await eyes.get_by_role("button", name="Devices").click()
        cameras = eyes.locator("#cameras")
        chosen = await cameras.input_value()
        values: list[str] = await cameras.evaluate("select => [...select.options].map(option => option.value)")
        other = next(value for value in values if value != chosen)
        await cameras.select_option(other)
        await eyes.wait_for_function("() => opened.length === 2 && opened[0].readyState === 'ended'")
        assert await eyes.evaluate("opened[1].getSettings().deviceId") == other
        await expect(cameras).to_have_value(other)
        await expect(button(eyes, "Camera")).to_have_attribute("aria-pressed", "true")
        before = (await eyes.evaluate(SENT))[CAMERA][0]
        await eyes.wait_for_function(f"async () => (await ({SENT})())['{CAMERA}'][0] > {before} + 1")
        await eyes.keyboard.press("Escape")
        await switched(eyes, "Camera", False)
        await switched(eyes, "Camera", True)
        assert await eyes.evaluate("opened.at(-1).getSettings().deviceId") == other, "the choice is kept"


async def test_a_camera_that_is_on_stays_on_when_the_connection_is_replaced(eyes: Page) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await switched(eyes, "Camera", True)
        await eyes.evaluate("""() => {
          Object.defineProperty(peers[0], 'connectionState', { get: () => 'failed' });
          peers[0].dispatchEvent(new Event('connectionstatechange'));
        }""")
        await eyes.wait_for_function("() => peers.length === 2 && peers[1].connectionState === 'connected'")
        await eyes.wait_for_function(f"async () => (await ({SENT})())['{CAMERA}']?.[0] > 1")
        assert await eyes.evaluate("window.told.slice(-3)") == [[0, True], [1, True], [2, False]]
        assert relay.calls == 1
        assert await eyes.evaluate("window.opened.length") == 1, "nobody is asked again"


async def test_the_camera_needs_no_mouse(eyes: Page) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        camera = button(eyes, "Camera")
        await camera.focus()
        for on in ("true", "false"):
            await eyes.keyboard.press("Space")
            await expect(camera).to_have_attribute("aria-pressed", on)
            await expect(camera).to_be_focused()


async def test_four_buttons_have_room_on_the_narrowest_phone(eyes: Page) -> None:
    await eyes.set_viewport_size({"width": 360, "height": 640})
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await switched(eyes, "Camera", True)
        assert await eyes.evaluate("document.documentElement.scrollWidth") <= 360
        right = 0.0
        for name in ("Mute", "Camera", "Screen", "End"):
            box = await button(eyes, name).bounding_box()
            assert box is not None
            assert box["x"] >= right
            assert box["width"] >= 44 <= box["height"]
            assert box["y"] + box["height"] <= 640
            right = box["x"] + box["width"]
        assert right <= 360


@pytest.mark.parametrize(
    ("event", "words", "step"),
    [
        ("reconnecting", "calling it again", "Wait"),
        ("resumed", "is back", "Go on"),
        ("memory-shortened", "forgotten", "again"),
        ("idle-warning", "in 30 seconds", "Say or type"),
        ("limit-warning", "in 30 seconds", "close"),
        ("mic-dead", "No sound comes from your microphone", "Devices"),
    ],
)
async def test_what_the_relay_tells_is_shown_as_a_sentence_with_a_next_step(
    eyes: Page, event: str, words: str, step: str
) -> None:
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await hear(eyes, "server-message", {"event": event, "seconds": 30})
        await expect(eyes.locator("#notice-what")).to_contain_text(words)
        await expect(eyes.locator("#notice-next")).to_contain_text(step)
        assert relay.calls == 1


async def test_a_call_that_was_taken_up_elsewhere_ends_here_and_is_not_hung_up(eyes: Page) -> None:
    forgotten: list[str] = []
    eyes.on("request", lambda request: forgotten.append(request.url) if request.method == "DELETE" else None)
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await hear(eyes, "server-message", {"event": "replaced"})
        await state(eyes, "ended")
        await expect(eyes.locator("#problem-what")).to_contain_text("elsewhere")
        await expect(eyes.locator("#problem-next")).to_contain_text("take it back")
        assert forgotten == []


async def test_tools_and_sources_are_a_small_line_of_text_and_safe_links(eyes: Page) -> None:
    payload = "<img src=x onerror=alert(1)>"
    origins = [
        {"site_uri": "https://trees.example/fir", "site_title": payload},
        {"site_uri": "javascript:alert(1)", "site_title": "no"},
    ]
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await hear(eyes, "llm-function-call-in-progress", {"tool_call_id": "t"})
        note = eyes.locator("#captions .model .note").last
        await expect(note).to_have_text("Using a tool…")
        await hear(eyes, "llm-function-call-stopped", {"tool_call_id": "t", "cancelled": False})
        await expect(note).to_have_text("Used a tool.")
        await hear(eyes, "bot-llm-search-response", {"rendered_content": payload, "origins": origins})
        await expect(note).to_have_text(f"Used a tool. Read in {payload}")
        links = note.get_by_role("link")
        await expect(links).to_have_count(1)
        await expect(links).to_have_attribute("rel", "noopener noreferrer")
        await expect(links).to_have_attribute("href", "https://trees.example/fir")
        assert await eyes.locator("#captions img").count() == 0
