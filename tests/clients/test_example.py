"""The example app does what it shows."""

from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from relay.standin.script import parse
from tests.clients.bundle import bundle
from tests.clients.way import way
from tests.running import running

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "app"
MAX_LINES = 40

TALK = parse(
    {
        "replies": [
            {"heard": "What is the weather like today?", "say": "It is sunny. There is a light wind.", "seconds": 2},
            {"say": "Quite so.", "seconds": 1},
        ],
    }
)


def test_the_app_has_no_more_lines_than_it_says() -> None:
    assert len((EXAMPLE / "app.js").read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.fixture(scope="module")
async def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example, bundled as its README says."""
    folder = tmp_path_factory.mktemp("example")
    await bundle([EXAMPLE / "app.js"], folder, name="bundle")
    (folder / "index.html").write_bytes((EXAMPLE / "index.html").read_bytes())
    return folder


async def test_the_example_talks_shows_both_sides_takes_typed_words_and_hangs_up(
    context: BrowserContext, example: Path
) -> None:
    page = await context.new_page()
    async with way("", example) as site, running("--allow-origin", site.base, "--greeting", "", script=TALK) as relay:
        await page.goto(f"{site.base}/app/index.html?relay={relay.base}")
        await page.get_by_role("button", name="Talk").click()
        await expect(page.locator("#state")).to_have_text("ready")
        await expect(page.locator("#lines .you")).to_have_text("What is the weather like today?", timeout=20_000)
        await expect(page.locator("#lines .bot")).to_have_text("It is sunny. There is a light wind. ")
        assert not await page.evaluate("document.querySelector('audio').paused")
        await page.get_by_placeholder("Type instead").fill("so I need no umbrella")
        await page.keyboard.press("Enter")
        await expect(page.locator("#lines li").nth(2)).to_have_text("so I need no umbrella")
        await expect(page.locator("#lines li").nth(3)).to_have_text("Quite so. ")
        await page.get_by_role("button", name="Hang up").click()
        await expect(page.locator("#state")).to_have_text("disconnected")


async def test_the_example_shows_why_it_was_refused(context: BrowserContext, example: Path) -> None:
    page = await context.new_page()
    flags = ("--access-token", "correct-horse-battery-staple-0123")
    async with way("", example) as site, running("--allow-origin", site.base, *flags) as relay:
        await page.goto(f"{site.base}/app/index.html?relay={relay.base}")
        await page.get_by_role("button", name="Talk").click()
        await expect(page.locator("#lines .error")).to_contain_text("token")
