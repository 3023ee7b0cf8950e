"""Somebody talks with the local voice on the relay's own page, in a real Chromium, where there is no network at all."""

import asyncio
import base64
import re
import shlex
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, async_playwright

from relay.standin import models
from relay.standin.wits.wits import Wits
from tests import chromium
from tests.network.namespace import Namespace, obstacle
from tests.process import owners_relay
from tests.sound import Sound
from tests.timbres import QUESTIONS, RATE, VOICES, speak

START_S: Final = 30.0
BEFORE_S: Final = 10.0  # the microphone is silent so long: the call comes up, and it says hello
AFTER_S: Final = 2.8  # and so long after each answer
INTO_S: Final = 2.0  # of the last answer we let pass, and then interrupt it
VOICE_OF: Final = (0, 1, 2, 0, 1, 2, 1, 1, 2, 0)  # who of the voices asks which question
SPOKEN: Final = {"two tired": "too tired", "one two three four five": "1 2 3 4 5", "149": "one hundred forty nine"}
WRITTEN: Final = {QUESTIONS[4][0], QUESTIONS[8][0]}  # "to-day", "205"
CUT: Final = ("What is the capital of Italy?", "rome")

# Writes down what the page plays, at 16 kHz.
STEP_S, PAUSE_S, LOUD = 0.1, 0.7, 180.0  # the last of 32768: -45 dBFS
LISTEN: Final = """() => {
  const context = new AudioContext({sampleRate: 16000});
  const ear = context.createScriptProcessor(4096, 1, 1);
  window.heard = [];
  ear.onaudioprocess = ({inputBuffer}) => window.heard.push(
    Int16Array.from(inputBuffer.getChannelData(0), (sample) => 32767 * sample));
  context.createMediaStreamSource(document.querySelector('audio').srcObject).connect(ear).connect(context.destination);
}"""
TAKE: Final = """async () => {
  const bytes = new Blob(window.heard);
  window.heard = [];
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(bytes);
  });
  return url.slice(url.indexOf(',') + 1);
}"""


def _silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def write_questions(path: Path, voice: models.Models) -> float:
    """All that the user says, with room for the answers in between, and how long that takes."""
    wits = Wits(lambda: datetime.now().astimezone())
    said = _silence(BEFORE_S)
    for n, (question, _) in enumerate(QUESTIONS):
        answer = sum(len(voice.voice.say(part)) / 48_000 for part in wits.answer(question).sentences)
        last = n == len(QUESTIONS) - 1
        said += speak(question, VOICES[VOICE_OF[n]]) + _silence(INTO_S + 0.6 if last else answer + AFTER_S)
    said += speak(CUT[0], VOICES[1])
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(said + _silence(60))
    return len(said) / 2 / RATE


@asynccontextmanager
async def relay(within: Callable[..., tuple[str, ...]], folder: Path) -> AsyncIterator[str]:
    """The relay as its owner starts it, without a key: a process, and the voice's process."""
    async with owners_relay(folder, "--drain", "0", patience=START_S, within=within) as base:
        yield base


@asynccontextmanager
async def offline(folder: Path, microphone: Path) -> AsyncIterator[tuple[str, Page]]:
    """The relay's address and a page, in a namespace with one interface and no route where that can be made."""
    async with AsyncExitStack() as stack:
        within: Callable[..., tuple[str, ...]] = lambda *words: words  # noqa: E731
        program = Path(chromium.executable())
        if not obstacle():
            namespace = Namespace("10.99.7.1")
            stack.callback(namespace.close)
            within = namespace.command
            program = folder / "chromium"
            program.write_text(f'#!/bin/sh\nexec {shlex.join(within(chromium.executable()))} "$@"\n')
            program.chmod(0o700)
        base = await stack.enter_async_context(relay(within, folder))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=program, args=chromium.flags(microphone), ignore_default_args=list(chromium.UNWANTED)
        )
        stack.push_async_callback(browser.close)
        page = await (await browser.new_context(permissions=["microphone"])).new_page()
        page.set_default_timeout(20_000)
        yield base, page


@pytest.mark.alone
async def test_ten_spoken_questions_get_spoken_answers_without_a_network(tmp_path: Path) -> None:
    ours = await asyncio.to_thread(models.load)
    seconds = await asyncio.to_thread(write_questions, tmp_path / "questions.wav", ours)
    async with offline(tmp_path, tmp_path / "questions.wav") as (base, page):
        await page.goto(base)
        await page.get_by_text("The local voice answers").wait_for()
        await page.get_by_role("button", name="Start talking").click()
        await page.locator("#captions .model", has_text="local voice").wait_for()
        await page.evaluate(LISTEN)
        await page.locator("#captions .user", has_text="Italy").last.wait_for(timeout=1000 * (seconds + 30))
        await asyncio.sleep(5)
        pcm = base64.b64decode(await page.evaluate(TAKE))
        shown = await page.evaluate(
            "() => [...document.querySelectorAll('#captions > *')].map((turn) => [turn.className, turn.textContent])"
        )
        struck = await page.locator("#captions .struck").all_text_contents()
    heard = " ".join([await asyncio.to_thread(ours.recognizer.text, said) for said in _utterances(pcm)])
    await asyncio.to_thread(ours.voice.close)
    print(f"heard: {heard}\nshown: {shown}")
    asked = _plain(" ".join(text for kind, text in shown if "user" in kind))
    answered = _plain(" ".join(text for kind, text in shown if "model" in kind))
    heard = _plain(heard)
    day = datetime.now().astimezone().strftime("%A").lower()
    for question, answer in (*QUESTIONS, CUT):
        expected = _plain(day if answer == "sunday" else answer)
        assert expected in answered, "the captions of the voice"
        assert expected in heard or SPOKEN.get(expected, expected) in heard, "what was heard of it"
        assert _plain(question.rpartition(",")[2]) in asked or question in WRITTEN, "the captions of the user"
    assert [text for text in struck if "remember your name" in text], "what was cut off is struck out"
    assert "remember your name" not in heard


def _utterances(pcm: bytes) -> Iterator[bytes]:
    """What is said between pauses of `PAUSE_S`, as a listener takes it in: the ears hear little in much silence."""
    loud = [n for n, level in enumerate(Sound(pcm, 16_000).levels(STEP_S)) if level > LOUD]
    first = 0
    for n in range(1, len(loud) + 1):
        if n == len(loud) or (loud[n] - loud[n - 1]) * STEP_S > PAUSE_S:
            begin, end = max(0.0, loud[first] * STEP_S - 0.2), loud[n - 1] * STEP_S + 0.3
            yield pcm[int(begin * 16_000) * 2 : int(end * 16_000) * 2]
            first = n


def _plain(text: str) -> str:
    """Words alone, for letters and marks are a matter of taste."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))
