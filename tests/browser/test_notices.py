"""What the page says of a call that goes on, and why one ended: in a sentence with a next step, and calmly."""

import asyncio
from typing import Final

import pytest
from playwright.async_api import Page, expect

from relay.standin.script import parse
from tests.browser.test_accessibility import objections
from tests.browser.test_eyes import hear
from tests.browser.test_page import dial, freed, state
from tests.running import running

SMALL: Final = {"width": 360, "height": 640}  # the smallest phone that is in use

# Remembers what the page sends, and the channel for words from outside.
WATCH: Final = """
window.written = [];
const send = RTCDataChannel.prototype.send;
RTCDataChannel.prototype.send = function (text) {
  window.channel = this;
  if (text.includes('send-text')) window.written.push(JSON.parse(text).data);
  send.call(this, text);
};
"""

# As on a computer without a network: only addresses that a server lends are asked for, and there is no such server.
ALONE: Final = """
const Whole = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Whole {
  constructor(settings) { super({...settings, iceServers: [], iceTransportPolicy: 'relay'}); }
};
"""


@pytest.fixture
async def quiet(page: Page) -> Page:
    """A page in which nobody speaks, and which is watched."""
    await page.add_init_script(WATCH)
    return page


async def call(page: Page, base: str) -> None:
    await page.goto(base)
    await page.get_by_role("button", name="Start talking").click()
    await page.keyboard.press("m")
    await state(page, "listening")


async def test_a_call_in_which_nobody_speaks_is_warned_kept_by_a_button_and_ended_politely(quiet: Page) -> None:
    async with running("--greeting", "", "--idle", "10") as relay:
        await call(quiet, relay.base)
        what = quiet.locator("#notice-what")
        await expect(what).to_contain_text("Nobody has said anything", timeout=12_000)
        assert await quiet.locator("#notice-time").text_content() in ("0:01", "0:02")
        await quiet.get_by_role("button", name="I’m still here").click()
        await expect(what).to_be_empty()
        [written] = await quiet.evaluate("window.written")
        assert written["options"]["run_immediately"] is False, "nobody is interrupted, and nothing answered"
        await expect(what).to_contain_text("Nobody has said anything", timeout=12_000)
        await state(quiet, "ended", timeout=6)
        await expect(quiet.locator("#problem-what")).to_contain_text("ended the call")
        await expect(quiet.get_by_role("button", name="Start again")).to_be_visible()
        await freed(relay)


async def test_the_longest_call_is_announced_counted_down_and_ended_politely(quiet: Page) -> None:
    async with running("--greeting", "", "--max-call", "10") as relay:
        await call(quiet, relay.base)
        await expect(quiet.locator("#notice-what")).to_contain_text("nearly reached its longest time", timeout=12_000)
        await expect(quiet.get_by_role("button", name="I’m still here")).to_be_hidden()
        await expect(quiet.locator("#notice-time")).to_have_text("0:01", timeout=3_000)
        await state(quiet, "ended", timeout=6)
        await expect(quiet.locator("#problem-what")).to_contain_text("lasted as long as one may")
        await expect(quiet.locator("#problem-next")).to_contain_text("start again")


async def test_a_page_that_is_loaded_again_is_warned_again_with_what_is_left(quiet: Page) -> None:
    async with running("--greeting", "") as relay:
        await call(quiet, relay.base)
        for live in relay.registry.drain():
            live.warn(50.0)
        what, left = quiet.locator("#notice-what"), quiet.locator("#notice-time")
        await expect(what).to_contain_text("will end in 50 seconds")
        await expect(left).to_have_text("0:49")
        await quiet.reload()
        await expect(what).to_contain_text("The relay is being stopped")
        assert await left.text_content() in [f"0:{seconds}" for seconds in range(35, 50)]


async def test_a_model_that_breaks_off_is_told_and_comes_back(page: Page) -> None:
    fault = {"kind": "close", "after_s": 2, "code": 1011, "reason": "Internal error encountered.", "on": [1]}
    slow = {"kind": "slow-setup", "seconds": 2, "on": [2]}
    async with running("--greeting", "", script=parse({"faults": [fault, slow]})) as relay:
        await dial(page, relay)
        await state(page, "listening", "hearing", "thinking", "speaking")
        what = page.locator("#notice-what")
        await expect(what).to_contain_text("line to the model broke", timeout=10_000)
        await expect(what).to_contain_text("The model is back", timeout=10_000)
        await expect(what).to_be_empty(timeout=10_000)
        assert await page.locator("html").get_attribute("data-state") != "ended"


async def test_a_computer_without_a_network_is_told_so(quiet: Page) -> None:
    await quiet.add_init_script(ALONE)
    async with running("--greeting", "") as relay:
        await quiet.goto(relay.base)
        await quiet.get_by_role("button", name="Start talking").click()
        await expect(quiet.locator("#problem-what")).to_contain_text("no network connection", timeout=5_000)
        await expect(quiet.locator("#problem-next")).to_contain_text("Connect to a network")
        await freed(relay)


@pytest.mark.parametrize("code", ["budget-call", "budget-day"])
async def test_a_used_up_budget_is_no_fault_and_has_a_next_step(quiet: Page, code: str) -> None:
    async with running("--greeting", "") as relay:
        await call(quiet, relay.base)
        await hear(quiet, "error", {"error": "It is spent.", "fatal": True, "code": code})
        await state(quiet, "ended")
        await expect(quiet.locator("#problem-what")).to_contain_text("cost" if code == "budget-call" else "spent")
        await expect(quiet.locator("#problem-next")).not_to_be_empty()


async def test_what_is_broken_stays_on_the_page_until_it_is_mended(quiet: Page) -> None:
    async with running("--greeting", "") as relay:
        await call(quiet, relay.base)
        await hear(quiet, "server-message", {"event": "reconnecting"})
        await asyncio.sleep(13)
        await expect(quiet.locator("#notice-what")).to_contain_text("line to the model broke")
        await hear(quiet, "server-message", {"event": "memory-shortened"})
        await expect(quiet.locator("#notice-what")).to_contain_text("forgotten a part of the conversation")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("event", ["reconnecting", "memory-shortened", "idle-warning", "limit-warning"])
async def test_axe_finds_nothing_to_object_to_in_a_notice(quiet: Page, scheme: str, event: str) -> None:
    await quiet.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    await quiet.set_viewport_size(SMALL)  # type: ignore[arg-type]
    async with running("--greeting", "") as relay:
        await call(quiet, relay.base)
        await hear(quiet, "server-message", {"event": event, "seconds": 60})
        await expect(quiet.locator("#notice-what")).not_to_be_empty()
        assert await quiet.locator("[role=status]", has=quiet.locator("#notice-what")).count() == 1, "told politely"
        assert await objections(quiet) == []
        root = "(({scrollWidth, scrollHeight}) => [scrollWidth, scrollHeight])(document.documentElement)"
        assert await quiet.evaluate(root) == [360, 640], "all buttons are in sight"
