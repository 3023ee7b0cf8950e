"""The page finds back into its call: after a reload, after another tab had it, and when there is nothing to find."""

import asyncio
import json
import re
import time
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect

from relay.standin.script import parse
from relay.webrtc.port.sockets import Socket
from signaling.registry import State
from tests.browser.test_page import WATCH, dial, freed, state
from tests.running import Running, running

READY_SECONDS = 3.0
MICROPHONE = "(track => [track.readyState, track.enabled])(window.peers.at(-1).getSenders()[0].track)"
ANY = ("listening", "hearing", "thinking", "speaking")


async def type_in(page: Page, words: str) -> None:
    await page.get_by_placeholder("Type instead").fill(words)
    await page.keyboard.press("Enter")
    await expect(page.locator("#captions .model", has_text=words)).not_to_have_count(0, timeout=15_000)


async def kept(page: Page) -> dict[str, Any]:
    """What the tab keeps for its next page."""
    found: dict[str, Any] = json.loads(await page.evaluate("sessionStorage.getItem('call')") or "{}")
    return found


async def test_a_reloaded_page_is_back_in_its_call_within_three_seconds_and_shows_what_was_said(page: Page) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        await type_in(page, "before the reload")
        before = await kept(page)
        began = time.monotonic()
        await page.reload()
        await state(page, *ANY, timeout=10)
        took = time.monotonic() - began
        await expect(page.locator("#captions .user", has_text="before the reload")).to_have_count(1)
        await expect(page.locator("#captions .model", has_text="before the reload").first).to_be_visible()
        await expect(page.locator("#notice-what")).to_contain_text("back in the call")
        assert took < READY_SECONDS
        assert (relay.calls, len(relay.model.connections)) == (1, 1), "the model was never left"
        await type_in(page, "and after it")
        after = await kept(page)
        assert after["session"] == before["session"]
        assert after["secret"] != before["secret"]
        assert after["secret"] not in page.url
        assert sorted(after) == ["muted", "post", "secret", "session", "typing"], "nothing else is kept"
        assert after["post"] == [], "the relay has it all"


async def test_an_answer_in_whose_middle_the_page_is_loaded_again_is_heard_on_and_shown_once(page: Page) -> None:
    text = "One is the first of all. Two comes after one. Three follows. Four is even. Five is the last of them all."
    script = parse({"greet": "setup", "greeting": {"say": text, "seconds": 14}})
    async with running("--greeting", "", script=script) as relay:
        await dial(page, relay)
        await page.keyboard.press("m")  # nobody interrupts
        await state(page, "speaking")
        await expect(page.locator("#captions .model .final")).to_contain_text("Two", timeout=10_000)
        await page.reload()
        await state(page, "speaking", timeout=6)
        await state(page, "listening", timeout=20)
        assert (await page.locator("#captions .model .final").all_text_contents()) == [text]


async def test_who_was_muted_is_muted_after_a_reload(page: Page) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        await page.keyboard.press("m")
        await page.reload()
        await state(page, "listening")
        await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
        heard = len(relay.model.received_pcm())
        await asyncio.sleep(2.0)
        assert len(relay.model.received_pcm()) == heard


async def test_what_is_typed_on_a_dead_path_is_asked_and_shown_once_after_a_reload(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, deaf, mute = (
        set[Any](),
        set[Any](),
        set[Any](),
    )  # addresses of browsers; that hear, that say nothing
    begin, receive = Socket.connection_made, Socket.datagram_received

    def open_(self: Socket, transport: asyncio.BaseTransport) -> None:
        begin(self, transport)
        send = self.sendto
        self.sendto = lambda data, address: None if address in deaf else send(data, address)

    def hear(self: Socket, data: bytes, address: tuple[Any, ...]) -> None:
        if address not in mute:
            alive.add(address)
            receive(self, data, address)

    monkeypatch.setattr(Socket, "connection_made", open_)
    monkeypatch.setattr(Socket, "datagram_received", hear)
    type_ = "words => { document.getElementById('text').value = words; document.forms.typing.requestSubmit(); }"
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")

        def asked(words: str) -> int:
            return sum(words in str(message) for message in relay.model.connections[0].of("realtimeInput"))

        deaf |= alive
        await page.evaluate(type_, "heard in vain")
        async with asyncio.timeout(5):
            while not asked("heard in vain"):
                await asyncio.sleep(0.02)
        mute |= alive
        await page.evaluate(type_, "into the dark")
        assert [letter["text"] for letter in (await kept(page))["post"]] == ["heard in vain", "into the dark"]
        await page.reload()
        for words in ("heard in vain", "into the dark"):
            await expect(page.locator("#captions .model", has_text=words)).not_to_have_count(0, timeout=15_000)
            await expect(page.locator("#captions .user", has_text=words)).to_have_count(1)
            assert asked(words) == 1
        assert (await kept(page))["post"] == []
        assert (relay.calls, len(relay.model.connections)) == (1, 1)


async def test_after_the_end_a_reload_leads_nowhere_and_the_relay_forgets_what_was_said(page: Page) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        await page.get_by_role("button", name="End", exact=True).click()
        await state(page, "ended")
        await freed(relay)
        assert await kept(page) == {}
        assert len(relay.registry.shelf) == 1
        await page.reload()
        await expect(page.get_by_role("button", name="Start talking")).to_be_visible()
        await asyncio.sleep(0.5)
        assert len(relay.registry.shelf) == 0
        assert relay.calls == 0


async def test_a_call_that_is_not_there_any_more_is_told_in_a_sentence_with_a_way_to_a_new_one(page: Page) -> None:
    async with running("--greeting", "", "--keep", "60") as relay:
        await dial(page, relay)
        await state(page, "listening")
        session = (await kept(page))["session"]
        await page.context.request.delete(f"{relay.base}/sessions/{session}")
        late = json.dumps({"session": session, "secret": "of-long-ago"})
        await page.evaluate("late => addEventListener('unload', () => sessionStorage.setItem('call', late))", late)
        await page.reload()
        await expect(page.locator("#problem-what")).to_contain_text("call is over", timeout=8_000)
        await expect(page.locator("#problem-next")).to_have_text("Start a new one.")
        assert await kept(page) == {}
        await page.get_by_role("button", name="Start again").click()
        await state(page, *ANY)


async def duplicate(context: BrowserContext, page: Page, relay: Running) -> Page:
    """Another tab with what this one keeps, as a browser makes it of a tab."""
    mine = json.dumps(await kept(page))
    other = await context.new_page()
    await other.add_init_script(WATCH)
    await other.add_init_script(
        f"if (!sessionStorage.getItem('there')) {{ sessionStorage.setItem('there', 1);"
        f" sessionStorage.setItem('call', {mine!r}); }}"
    )
    await other.goto(relay.base)
    return other


async def test_of_two_tabs_the_newest_has_the_call_and_the_other_says_so_and_can_take_it_back(
    context: BrowserContext, page: Page
) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        await type_in(page, "in the first tab")
        other = await duplicate(context, page, relay)
        await state(other, *ANY)
        await expect(other.locator("#captions .user", has_text="in the first tab")).to_have_count(1)
        await state(page, "ended")
        await expect(page.locator("#problem-what")).to_contain_text("another tab")
        assert await kept(page) == {}, "it is not this tab's call any more"
        await page.get_by_role("button", name="Take the call back").click()
        await state(page, *ANY)
        await state(other, "ended")
        await type_in(page, "back in the first tab")
        assert (relay.calls, len(relay.model.connections)) == (1, 1)
        await other.get_by_role("button", name="Start a new call").click()
        await state(other, *ANY)
        async with asyncio.timeout(5):
            while relay.calls != 2:
                await asyncio.sleep(0.05)
        await state(page, *ANY)


async def test_a_call_is_taken_back_from_a_tab_that_is_closed(context: BrowserContext, page: Page) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        other = await duplicate(context, page, relay)
        await state(other, *ANY)
        await state(page, "ended")
        await other.close(run_before_unload=False)
        await page.get_by_role("button", name="Take the call back").click()
        await state(page, *ANY)
        assert relay.registry.count(State.LIVE) == 1


@pytest.mark.parametrize(("button", "suffix"), [("Text", "txt"), ("WebVTT, with times", "vtt")])
@pytest.mark.parametrize("over", [False, True], ids=["during", "after"])
async def test_what_was_said_can_be_saved(page: Page, button: str, suffix: str, over: bool) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        await type_in(page, "worth keeping")
        await state(page, "listening")
        if over:
            await page.get_by_role("button", name="End", exact=True).click()
            await state(page, "ended")
        await page.get_by_role("button", name="Transcript").click()
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name=button, exact=True).click()
        download = await downloading.value
        assert re.fullmatch(rf"conversation-[\d-]{{16}}\.{suffix}", download.suggested_filename)
        saved = (await download.path()).read_text()
        assert "worth keeping" in saved
        assert saved.startswith("WEBVTT") == (suffix == "vtt")


async def test_what_the_relay_has_deleted_is_saved_as_the_page_shows_it(page: Page) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        await type_in(page, "worth keeping")
        await page.get_by_role("button", name="End", exact=True).click()
        await state(page, "ended")
        await freed(relay)
        relay.registry.shelf.close()
        await page.get_by_role("button", name="Transcript").click()
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name="Text", exact=True).click()
        saved = (await (await downloading.value).path()).read_text()
        assert saved.startswith("User: worth keeping\nAssistant: ")
        await page.get_by_role("button", name="Transcript").click()
        await page.get_by_role("button", name="WebVTT", exact=False).click()
        await expect(page.locator("#notice-what")).to_contain_text("has deleted what was said")
