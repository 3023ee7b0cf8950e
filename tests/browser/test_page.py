"""A person opens the page, presses the button and talks: Chromium, the real relay, and a model that writes down."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Request, Route, expect

from relay.standin.script import parse
from relay.webrtc.port.sockets import Socket
from tests.running import Running, running
from tests.sound import Sound, compare, read_wav

PRICES = """
currency = "EUR"
[models."gemini-3.8-live".input]
text = 1000
audio = 1000
[models."gemini-3.8-live".output]
text = 1000
audio = 1000
"""

SPOKEN = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)

WATCH = """
window.peers = [];
const Original = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Original {
  constructor(...args) { super(...args); window.peers.push(this); }
};
"""

ENERGY = """async () => {
  for (const report of (await window.peers.at(-1).getStats()).values())
    if (report.type === 'inbound-rtp' && report.kind === 'audio') return report.totalAudioEnergy;
  return 0;
}"""

SENT = """async () => {
  for (const report of (await window.peers.at(-1).getStats()).values())
    if (report.type === 'outbound-rtp' && report.kind === 'audio') return report.packetsSent;
  return 0;
}"""

# Follows the loudness of what the element plays, in steps of a few milliseconds, with the machine's clock.
LISTEN = """() => {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 512 });
  context.createMediaStreamSource(document.querySelector('audio').srcObject).connect(analyser);
  const samples = new Float32Array(512);
  window.loudness = [];
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    window.loudness.push([Date.now(), Math.hypot(...samples) / Math.sqrt(512)]);
  }, 5);
}"""


async def dial(page: Page, relay: Running) -> None:
    """Open the page and press the button."""
    await page.add_init_script(WATCH)
    await page.goto(relay.base)
    await page.get_by_role("button", name="Start talking").click()


async def state(page: Page, *names: str, timeout: float = 15) -> None:
    """Wait until the page shows one of these states."""
    await page.wait_for_function(
        "names => names.includes(document.documentElement.dataset.state)", arg=list(names), timeout=timeout * 1000
    )


async def freed(relay: Running, *, within: float = 3.0) -> None:
    async with asyncio.timeout(within):
        while relay.calls or relay.model.open:
            await asyncio.sleep(0.02)


async def test_one_button_and_a_spoken_sentence_is_answered(talker: Page) -> None:
    foreign: list[str] = []

    def look(request: Request) -> None:
        if not request.url.startswith((relay.base, "blob:", "data:")):
            foreign.append(request.url)

    async with running("--greeting", "") as relay:
        talker.on("request", look)
        await dial(talker, relay)
        await state(talker, "listening")
        user = talker.locator("#captions .user")
        await expect(user.first).to_contain_text("s of speech", timeout=20_000)
        await expect(talker.locator("#captions .model").last).to_contain_text("own words", timeout=10_000)
        before = await talker.evaluate(ENERGY)
        await asyncio.sleep(1.0)
        assert await talker.evaluate(ENERGY) > before, "the element plays the answer"
        assert not await talker.evaluate("document.querySelector('audio').paused")
        heard = Sound(relay.model.received_pcm(), 16_000).part(0, 4)
        assert compare(SPOKEN, heard).same, "the model hears the sentence"
        await talker.get_by_role("button", name="End", exact=True).click()
        await state(talker, "ended")
        await freed(relay)
    assert foreign == []


async def test_sound_stops_within_300_ms_of_the_models_interruption(page: Page) -> None:
    line = {"say": "A long story. " * 20, "seconds": 12, "tone_hz": 440}
    script = parse({"greeting": line, "greet": "setup"})
    async with running("--greeting", "", script=script) as relay:
        await dial(page, relay)
        await state(page, "speaking")
        await page.evaluate(LISTEN)
        connection = await relay.model.connected()
        async with asyncio.timeout(10):  # all of it has been sent, and most of it not been played
            while not any("generationComplete" in message.get("serverContent", {}) for message in connection.sent):
                await asyncio.sleep(0.05)
        await page.wait_for_function("() => window.loudness.some(([, level]) => level > 0.02)")
        await asyncio.sleep(0.3)
        at = time.time()
        await relay.model.send({"serverContent": {"interrupted": True}})
        await asyncio.sleep(1.0)
        loudness: list[list[float]] = await page.evaluate("window.loudness")
        before = [level for when, level in loudness if at - 0.5 < when / 1000 < at]
        after = [level for when, level in loudness if at + 0.3 < when / 1000 < at + 0.8]
        assert max(before) > 0.02
        assert max(after) < 0.002
        await expect(page.locator("#captions .struck").first).to_be_visible()


async def test_captions_follow_the_voice_word_by_word_and_say_nothing_twice(page: Page) -> None:
    text = "The bus leaves at nine, from the old harbour. It takes an hour to get there. Bring a coat: it is windy."
    script = parse({"greet": "setup", "greeting": {"say": text, "seconds": 6}})
    async with running("--greeting", "", script=script) as relay:
        await dial(page, relay)
        await page.keyboard.press("m")  # nobody interrupts
        await state(page, "speaking")
        lengths = set[int]()
        async with asyncio.timeout(15):
            while await page.evaluate("document.documentElement.dataset.state") == "speaking":
                shown = await page.locator("#captions .model :is(.final, .final ~ *)").all_text_contents()
                assert text.startswith("".join(shown)), shown
                lengths.add(len("".join(shown[:1])))
        assert len(lengths) > 2 * text.count(".")
        assert await page.locator("#captions .model").count() == 1
        assert await page.locator("#captions .model .final").text_content() == text
        await expect(page.locator("#captions .model :is(.unspoken, .struck)")).to_have_count(0)


async def test_hanging_up_frees_everything_and_a_second_call_works(page: Page) -> None:
    async with running() as relay:
        await dial(page, relay)
        await state(page, "speaking", "listening")
        await page.get_by_role("button", name="End", exact=True).click()
        await state(page, "ended")
        await freed(relay)
        await page.get_by_role("button", name="Start again").click()
        await state(page, "speaking", "listening")
        assert relay.calls == 1


async def test_a_tab_that_is_closed_and_not_loaded_again_frees_its_call_after_keep(page: Page) -> None:
    async with running("--keep", "2") as relay:
        await dial(page, relay)
        await state(page, "speaking", "listening")
        await page.close(run_before_unload=False)
        await freed(relay, within=6)


async def test_typed_words_are_answered_and_what_the_call_has_cost_stands_below(page: Page, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    async with running("--greeting", "", "--prices", str(prices)) as relay:
        await dial(page, relay)
        await state(page, "listening")
        await page.get_by_placeholder("Type instead").fill("hello from the keyboard")
        await page.keyboard.press("Enter")
        await expect(page.locator("#captions .model").last).to_contain_text("hello from the keyboard", timeout=10_000)
        await expect(page.locator("#cost")).to_have_text(re.compile(r"^about €\d[\d.,]* so far$"), timeout=10_000)


async def test_a_muted_microphone_sends_nothing_to_the_model(page: Page) -> None:
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        await page.keyboard.press("m")
        await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
        await asyncio.sleep(0.3)
        heard, sent = len(relay.model.received_pcm()), await page.evaluate(SENT)
        await asyncio.sleep(1.0)
        assert len(relay.model.received_pcm()) == heard
        assert await page.evaluate(SENT) == sent, "nor does it cost packets"
        await page.keyboard.press("m")
        async with asyncio.timeout(3):
            while len(relay.model.received_pcm()) == heard:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "refuse-setup", "code": 1008, "reason": "API key not valid."}, "key"),
        ({"kind": "refuse-setup", "code": 1008, "reason": "models/x is not found for API version v1"}, "model"),
    ],
)
async def test_trouble_with_the_model_is_told_in_words_with_a_next_step(
    page: Page, fault: dict[str, Any], words: str
) -> None:
    async with running(script=parse({"faults": [fault]})) as relay:
        await dial(page, relay)
        await expect(page.locator("#problem-what")).to_contain_text(words, timeout=8_000)
        await expect(page.get_by_role("button", name="Start again")).to_be_visible()
        await freed(relay)


async def test_a_relay_that_is_gone_is_told_in_words(page: Page) -> None:
    async with running() as relay:
        await page.add_init_script(WATCH)
        await page.goto(relay.base)
    await page.get_by_role("button", name="Start talking").click()
    await expect(page.locator("#problem-what")).not_to_be_empty(timeout=8_000)
    await expect(page.locator("#problem-next")).not_to_be_empty()


async def test_an_access_token_in_the_address_opens_the_door_and_its_absence_is_told(page: Page) -> None:
    token = "correct-horse-battery-staple-0123"
    async with running("--access-token", token) as relay:
        await page.goto(relay.base)
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.locator("#problem-what")).to_contain_text("token", timeout=8_000)
        await page.goto(f"{relay.base}/#token={token}")
        await page.reload()
        await page.get_by_role("button", name="Start talking").click()
        await state(page, "speaking", "listening")


async def test_words_that_look_like_markup_are_shown_as_words(page: Page) -> None:
    payload = "<img src=x onerror=alert(1)> & <b>bold</b>"
    script = parse({"greet": "setup", "greeting": {"say": payload, "seconds": 1}})
    async with running("--greeting", "", script=script) as relay:
        await dial(page, relay)
        await expect(page.locator("#captions .model").first).to_contain_text("<b>bold</b>", timeout=10_000)
        assert await page.locator("#captions img, #captions b").count() == 0


@pytest.mark.parametrize("broken_off", [False, True])
async def test_a_path_that_goes_dead_is_shown_and_replaced_in_the_same_conversation(
    page: Page, monkeypatch: pytest.MonkeyPatch, *, broken_off: bool
) -> None:
    """Also if the request for the new one is broken off, as all are when Chromium notices a change of address."""
    alive, cut, asked = set[Any](), set[Any](), list[str]()
    begin, receive = Socket.connection_made, Socket.datagram_received

    def open_(self: Socket, transport: asyncio.BaseTransport) -> None:
        begin(self, transport)
        send = self.sendto
        self.sendto = lambda data, address: None if address in cut else send(data, address)

    def hear(self: Socket, data: bytes, address: tuple[Any, ...]) -> None:
        if address not in cut:
            alive.add(address)
            receive(self, data, address)

    monkeypatch.setattr(Socket, "connection_made", open_)
    monkeypatch.setattr(Socket, "datagram_received", hear)
    async with running("--greeting", "") as relay:
        await dial(page, relay)
        await state(page, "listening")
        cut |= alive

        async def hear_of(route: Route) -> None:
            asked.append(route.request.url.rpartition("/")[2])
            first = broken_off and asked.count("offer") == 1 and asked[-1] == "offer"
            await (route.abort("connectionreset") if first else route.continue_())

        await page.route("**/*", hear_of)
        await page.get_by_placeholder("Type instead").fill("into the dark")
        await page.keyboard.press("Enter")
        await state(page, "reconnecting", timeout=4)
        await state(page, "listening", "hearing", "thinking", "speaking", timeout=15)
        answer = page.locator("#captions .model", has_text="into the dark")
        await expect(answer).not_to_have_count(0, timeout=10_000)
        assert relay.calls == 1
        assert len(relay.model.connections) == 1, "the model was never left"
        offers = asked[asked.index("offer") :]
        assert offers[: 1 + broken_off] == ["offer"] * (1 + broken_off), "it is asked again before anything else is"
        await page.get_by_placeholder("Type instead").fill("still the same call")
        await page.keyboard.press("Enter")
        await expect(page.locator("#captions .model", has_text="still the same call")).not_to_have_count(
            0, timeout=10_000
        )
