"""What the page does for phones, and on the way to them: the code, HTTPS, the lit screen, the sound after a touch."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from signaling import lan
from tests.browser.test_accessibility import DESKTOP, PHONE, objections
from tests.browser.test_page import dial, state
from tests.running import Running, running
from tests.scanner import of_screenshot, read

TOKEN: Final = "a-token-of-some-length"
HOME: Final = "192.168.1.5"

# Notes when the screen is kept lit, and whether a finger is on it when the sound begins.
WATCH: Final = """
window.asked = window.released = 0;
window.refuses = false;
WakeLock.prototype.request = async () => {
  window.asked += 1;
  if (window.refuses) throw new DOMException('The battery is low.', 'NotAllowedError');
  return { release: async () => { window.released += 1; } };
};
window.played = [];
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  window.played.push([window.event?.type ?? '', this.id, this.isConnected, this === window.first]);
  return play.call(this);
};
addEventListener('DOMContentLoaded', () => { window.first = document.querySelector('audio'); });
"""

INSECURE: Final = "Object.defineProperty(window, 'isSecureContext', { value: false });"


@pytest.fixture
async def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """One for the phones of a network in which this machine would have the address `HOME`."""
    monkeypatch.setattr(lan, "addresses", lambda host: (HOME,))
    flags = ("--lan", "--https-port", "0", "--state-dir", str(tmp_path), "--access-token", TOKEN)
    async with running(*flags) as made:
        yield made


@pytest.fixture
async def trusting(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A profile that takes the relay's word for its certificate."""
    profile = await browser.new_context(ignore_https_errors=True, viewport=DESKTOP)  # type: ignore[arg-type]
    profile.set_default_timeout(10_000)
    yield profile
    await profile.close()


def here(relay: Running, token: str = TOKEN) -> str:
    """The relay's address as this machine reaches it."""
    return relay.secure.replace(HOME, "127.0.0.1") + (f"/#token={token}" if token else "")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_camera_reads_the_code_on_the_screen_and_axe_objects_to_nothing(
    relay: Running, trusting: BrowserContext, scheme: Literal["light", "dark"], size: Any
) -> None:
    page = await trusting.new_page()
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.set_viewport_size(size)
    await page.goto(here(relay))
    await page.get_by_role("button", name="On a phone").click()
    await page.get_by_role("img", name="QR code").locator("path").wait_for(state="attached")
    assert read(of_screenshot(await page.screenshot())) == f"{relay.secure}/#token={TOKEN}"
    assert await objections(page) == []
    await expect(page.locator("#phone-panel")).to_contain_text("on the same network")
    panel = await page.locator("#phone-panel").bounding_box()
    assert panel is not None
    assert panel["x"] >= 0
    assert panel["x"] + panel["width"] <= size["width"]
    assert panel["y"] + panel["height"] <= size["height"]


async def test_without_the_token_there_is_no_code_but_a_sentence(relay: Running, trusting: BrowserContext) -> None:
    page = await trusting.new_page()
    await page.goto(here(relay, ""))
    await page.get_by_role("button", name="On a phone").click()
    await expect(page.locator("#phone-how")).to_contain_text("access token")
    await expect(page.locator("#phone-code")).to_be_hidden()


async def test_a_relay_that_no_phone_reaches_offers_no_code(page: Page) -> None:
    async with running() as relay:
        async with page.expect_response("**/healthz"):
            await page.goto(relay.base)
        await expect(page.get_by_role("button", name="On a phone")).to_be_hidden()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_a_page_over_http_says_why_there_is_no_microphone_and_leads_to_https(page: Page, size: Any) -> None:
    await page.set_viewport_size(size)
    await page.emulate_media(reduced_motion="reduce")
    await page.add_init_script(INSECURE)
    async with running("--public-url", "https://talk.example.org", "--access-token", TOKEN) as relay:
        await page.goto(f"{relay.base}/#token={TOKEN}")
        await expect(page.locator("#problem-what")).to_have_text(
            "Browsers give the microphone only to pages that come over HTTPS or from this very computer."
        )
        link = page.get_by_role("link", name="Open it over HTTPS")
        await expect(link).to_have_attribute("href", f"https://talk.example.org/#token={TOKEN}")
        await expect(page.get_by_role("button", name="Start talking")).to_be_hidden()
        assert await objections(page) == []


async def test_where_there_is_no_https_the_page_says_what_the_owner_can_do(page: Page) -> None:
    await page.add_init_script(INSECURE)
    async with running() as relay:
        await page.goto(relay.base)
        await expect(page.locator("#problem-next")).to_contain_text("--lan")
        await expect(page.locator("#secure-link")).to_be_hidden()


async def test_the_screen_stays_lit_during_a_call_and_no_longer(page: Page) -> None:
    await page.add_init_script(WATCH)
    async with running() as relay:
        await dial(page, relay)
        await state(page, "speaking", "listening")
        assert await page.evaluate("[window.asked, window.released]") == [1, 0]
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # it was hidden, and lost it
        assert await page.evaluate("window.asked") == 2
        await page.get_by_role("button", name="End", exact=True).click()
        await state(page, "ended")
        assert await page.evaluate("window.asked - window.released") == 0
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        assert await page.evaluate("window.asked") == 2


async def test_a_phone_that_keeps_no_screen_lit_has_its_call_all_the_same(page: Page) -> None:
    await page.add_init_script(WATCH + "window.refuses = true;")
    async with running() as relay:
        await dial(page, relay)
        await state(page, "speaking", "listening")
        assert await page.evaluate("window.asked") == 1


async def test_the_sound_is_made_while_the_button_is_pressed_and_speaks(page: Page) -> None:
    await page.add_init_script(WATCH)
    async with running() as relay:
        await dial(page, relay)
        await state(page, "speaking")
        played = await page.evaluate("window.played")
        assert played[0] == ["click", "sound", True, False]
        assert all(again[3] is False for again in played)
        assert await page.evaluate("document.querySelectorAll('audio').length") == 1
        await page.wait_for_function("() => document.querySelector('audio[playsinline]').currentTime > 0.2")
        assert await page.locator("#play-sound").is_hidden()
