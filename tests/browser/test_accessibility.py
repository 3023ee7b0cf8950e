"""The page for everybody: judged by axe-core, and used without a mouse."""

from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.async_api import BrowserContext, Page, expect

from relay.standin.script import parse
from tests.browser.test_eyes import call, hear, switched
from tests.browser.test_page import dial, state
from tests.running import running

AXE: Final = (Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

PHONE: Final = {"width": 390, "height": 844}
DESKTOP: Final = {"width": 1280, "height": 800}

JUDGE: Final = """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${rule.help}: ${node.html}`)
)"""


async def objections(page: Page) -> list[str]:
    """What axe-core objects to, once everything that moves has come to rest."""
    await page.evaluate("Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => 0)))")
    await page.evaluate(AXE)
    found: list[str] = await page.evaluate(JUDGE)
    return found


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_to_object_to(page: Page, scheme: Literal["light", "dark"], size: Any) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.set_viewport_size(size)
    async with running() as relay:
        await page.goto(relay.base)
        assert await objections(page) == [], "before the call"
        await dial(page, relay)
        await state(page, "speaking")
        await expect(page.locator("#captions .model")).not_to_have_count(0)
        assert await objections(page) == [], "during the call"
        await page.get_by_role("button", name="End", exact=True).click()
        await state(page, "ended")
        assert await objections(page) == [], "after the call"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_to_object_to_while_the_model_sees_and_looks_things_up(
    eyes: Page, scheme: Literal["light", "dark"], size: Any
) -> None:
    await eyes.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await eyes.set_viewport_size(size)
    async with running("--greeting", "") as relay:
        await call(eyes, relay)
        await switched(eyes, "Camera", True)
        await switched(eyes, "Screen", True)
        await hear(eyes, "llm-function-call-in-progress", {"tool_call_id": "t"})
        origins = [{"site_uri": "https://trees.example/fir", "site_title": "Trees"}]
        await hear(eyes, "bot-llm-search-response", {"origins": origins})
        await hear(eyes, "server-message", {"event": "mic-dead"})
        await expect(eyes.locator("#captions .note")).to_be_visible()
        await eyes.get_by_role("button", name="Devices").click()
        assert await objections(eyes) == []


async def test_axe_finds_nothing_to_object_to_in_a_failure(page: Page) -> None:
    fault = {"kind": "refuse-setup", "code": 1008, "reason": "API key not valid."}
    await page.emulate_media(reduced_motion="reduce")
    async with running(script=parse({"faults": [fault]})) as relay:
        await dial(page, relay)
        await expect(page.locator("#problem-what")).not_to_be_empty(timeout=8_000)
        assert await objections(page) == []


async def press(page: Page, name: str) -> None:
    """Walk with the tab key to the button of this name, and press it."""
    button = page.get_by_role("button", name=name, exact=True)
    await expect(button).to_be_visible()
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await button.evaluate("button => button === document.activeElement"):
            await page.keyboard.press("Enter")
            return
    raise AssertionError(f"the tab key does not lead to {name!r}")


async def test_a_call_can_be_held_with_the_keyboard_alone(page: Page) -> None:
    async with running() as relay:
        await page.goto(relay.base)
        await press(page, "Start talking")
        await state(page, "speaking", "listening")
        await press(page, "End")
        await state(page, "ended")


async def test_nothing_moves_for_those_who_asked_for_stillness(context: BrowserContext, page: Page) -> None:
    await page.emulate_media(reduced_motion="reduce")
    async with running() as relay:
        await dial(page, relay)
        await state(page, "speaking")
        moving = await page.evaluate(
            "document.getAnimations().filter((a) => a.playState === 'running').map((a) => String(a.animationName))"
        )
        assert moving == []
