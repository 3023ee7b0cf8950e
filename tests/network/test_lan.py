"""The phone on the sofa: it scans the code that the relay prints, and talks over HTTPS. Nobody else spends the key."""

import asyncio
import contextlib
import hashlib
import re
import shlex
import ssl
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright, expect

from tests import chromium
from tests.network.namespace import Namespace
from tests.network.visitor import Visitor
from tests.network.wire import FAR, Line, wire
from tests.process import environment
from tests.scanner import of_path, of_terminal, read
from tests.sound import read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 8.0
PHONE: Final = ViewportSize(width=390, height=844)
ROOT: Final = Path(__file__).parent.parent.parent

# Phones grant it to a page that is seen; Chromium without a screen does so, too, but tells nobody.
WAKE: Final = """
window.lit = 0;
WakeLock.prototype.request = async () => { window.lit += 1; return { release: async () => { window.lit -= 1; } }; };
"""


@dataclass(frozen=True, slots=True)
class Room:
    """The wire between phone and relay, what the relay printed, and where it keeps what it keeps."""

    line: Line
    said: list[str]
    state: Path
    log: Path

    @property
    def address(self) -> str:
        return read(of_terminal("".join(self.said)))


@contextlib.asynccontextmanager
async def relay(far: Namespace, *words: str, log: Path) -> AsyncIterator[list[str]]:
    """A process in the relay's namespace, with what it prints until nothing more comes of its start."""
    ours = environment()
    with log.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *far.command(sys.executable, "-m", *words), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=err, cwd=ROOT, env=ours,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        said: list[str] = []
        async with asyncio.timeout(START_SECONDS):
            while not said or (said[0].startswith("Ready") and not re.match(r"[0-9A-F]{2}:", said[-1])):
                said.append((await process.stdout.readline()).decode())
        yield said
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.communicate()


@pytest.fixture(scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    folder = tmp_path_factory.mktemp("lan")
    script = folder / "script.json"
    script.write_text("{}")
    async with wire() as line:
        words = ("relay.standin", "--script", str(script))
        async with relay(line.far, *words, log=folder / "model.log") as said:
            model = re.search(r"ws://\S+", said[0])
            assert model, said
            flags = ("--lan", "--state-dir", str(folder / "state"), "--gemini-url", model.group(), "--greeting", "")
            async with relay(line.far, "signaling", *flags, log=folder / "relay.log") as told:
                yield Room(line, told, folder / "state", folder / "relay.log")


@pytest.fixture(scope="module")
async def phone(room: Room, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A browser that has been told once to trust this certificate, by its key, and no other."""
    folder = tmp_path_factory.mktemp("phone")
    chromium.record_microphone(folder / "microphone.wav")
    program = folder / "chromium"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(room.line.near.command(chromium.executable(whole=True)))} "$@"\n')
    program.chmod(0o700)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=[*chromium.flags(folder / "microphone.wav"), f"--ignore-certificate-errors-spki-list={pin(room)}"],
            ignore_default_args=list(chromium.UNWANTED),
        )
        yield browser
        await browser.close()


def pin(room: Room) -> str:
    """The key of the certificate that the relay keeps, as Chromium names it."""
    certificate = x509.load_pem_x509_certificate((room.state / "lan.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(hashlib.sha256(key).digest()).decode()


@pytest.fixture
async def profile(phone: Browser) -> AsyncIterator[BrowserContext]:
    fresh = await phone.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    fresh.set_default_timeout(20_000)
    yield fresh
    await fresh.close()


@pytest.fixture
async def page(profile: BrowserContext) -> Page:
    return await profile.new_page()


async def test_a_phone_scans_the_code_talks_and_is_answered(room: Room, page: Page) -> None:
    visitor = Visitor(page)
    await page.add_init_script(WAKE)
    foreign: list[str] = []
    ours = f"https://{FAR}:8443/"
    page.on("request", lambda asked: None if asked.url.startswith(ours) else foreign.append(asked.url))
    await visitor.dial(room.address)
    await visitor.state("listening")
    assert await page.evaluate("window.isSecureContext")
    assert await page.evaluate("window.lit") == 1
    await visitor.say(SPOKEN)
    await visitor.shown("user", "s of speech")
    await visitor.shown("model", "own words")
    assert await page.evaluate("document.querySelector('audio[playsinline]').paused") is False
    await page.get_by_role("button", name="End", exact=True).tap()
    await visitor.state("ended")
    assert await page.evaluate("window.lit") == 0
    assert not foreign


async def test_the_plain_address_leads_to_the_same_page_and_keeps_the_token(room: Room, page: Page) -> None:
    _, _, token = room.address.partition("#token=")
    await page.goto(f"http://{FAR}:7860/#token={token}")
    assert page.url == f"https://{FAR}:8443/#token={token}"
    await expect(page.get_by_role("button", name="Start talking")).to_be_visible()


async def test_the_page_shows_the_code_for_the_next_phone(room: Room, page: Page) -> None:
    await page.goto(room.address)
    await page.get_by_role("button", name="On a phone").tap()
    code = page.locator("#phone-code path")
    await code.wait_for(state="attached")
    size = int((await page.locator("#phone-code").get_attribute("viewBox") or "").split()[-1])
    assert read(of_path(await code.get_attribute("d") or "", size)) == room.address
    shown = (await page.locator("#phone-fingerprint").inner_text()).replace(" ", ":")
    assert shown == room.said[-1].strip()


async def test_the_printed_fingerprint_is_that_of_the_certificate_on_the_wire(room: Room) -> None:
    def look() -> str:
        return ssl.get_server_certificate((FAR, 8443))

    certificate = ssl.PEM_cert_to_DER_cert(await asyncio.to_thread(room.line.far.within, look))
    assert hashlib.sha256(certificate).digest().hex(":").upper() == room.said[-1].strip()


async def test_a_stranger_on_the_same_network_gets_the_page_and_no_call(room: Room, page: Page) -> None:
    visitor = Visitor(page)
    await visitor.dial(f"https://{FAR}:8443/")
    await visitor.state("error")
    await expect(page.locator("#problem-what")).to_contain_text("access token")


async def test_the_fourth_call_within_a_minute_waits(room: Room, profile: BrowserContext) -> None:
    token = room.address.partition("#token=")[2]
    page = await profile.new_page()
    await page.goto(f"https://{FAR}:8443/icon.svg")
    ask = """async (token) => (await fetch('/start', {method: 'POST', body: '{}',
      headers: {'Content-Type': 'application/json', Authorization: `Bearer ${token}`}})).status"""
    codes = [int(await page.evaluate(ask, token)) for _ in range(8)]
    await page.close()
    assert 429 in codes
    assert set(codes[codes.index(429) :]) == {429}
    assert codes.index(429) <= 3


async def test_the_token_is_in_no_log(room: Room, page: Page) -> None:
    await page.goto(room.address)
    assert room.address.partition("#token=")[2] not in room.log.read_text()
