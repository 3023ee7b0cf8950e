"""The transcript that a user of the official React SDK would read, and with it every UI that is built on it."""

import asyncio
from typing import Any

from relay.standin.script import parse
from tests.clients.conftest import Streets

LONG = "I will tell you everything about it. " * 8 + "That was all."
SPOKEN = parse(
    {
        "replies": [
            {"heard": "What is the weather like today?", "say": "It is sunny. There is a light wind.", "seconds": 2},
            {"heard": "And tomorrow?", "say": LONG, "seconds": 20},
            {"heard": "Stop, that is enough.", "say": "All right.", "seconds": 1},
        ],
        "after": "silence",
    }
)

Shown = list[dict[str, Any]]


async def test_two_spoken_turns_and_an_interruption_read_as_they_were_heard(streets: Streets) -> None:
    async with streets(script=SPOKEN, name="react") as street:
        await street.app.page.get_by_role("button", name="Talk").click()
        await street.app.page.wait_for_function(
            "transcript.at(-1)?.role === 'assistant' && transcript.at(-1).said === 'All right.' "
            "&& transcript.at(-1).final",
            timeout=90_000,
        )
        shown: Shown = await street.app.page.evaluate("transcript")
        assert [message["role"] for message in shown] == ["user", "assistant"] * 3
        questions = [message["text"] for message in shown if message["role"] == "user"]
        assert questions == ["What is the weather like today?", "And tomorrow?", "Stop, that is enough."]
        first, long, last = [message for message in shown if message["role"] == "assistant"]
        assert first["text"] == first["said"] == "It is sunny. There is a light wind."
        assert last["text"] == "All right.", "nothing of the interrupted answer is glued to it"
        assert long["said"], "what was heard of the interrupted answer stays"
        assert LONG.startswith(long["text"])
        assert len(long["text"]) < len(LONG) / 2, "what was never heard is not shown"
        assert long["text"].endswith("."), "no half sentence"
        assert all(message["final"] for message in [*shown[:4], shown[5]]), (
            "the SDK closes a question with the next one"
        )


async def test_typed_turns_read_in_order_and_are_not_glued(streets: Streets) -> None:
    script = parse({"replies": [{"say": "One answer."}, {"say": "Another answer."}], "after": "silence"})
    async with streets("--greeting", "", script=script, name="react") as street:
        page = street.app.page
        await page.evaluate("navigator.mediaDevices.getUserMedia = async () => silence()")
        await page.get_by_role("button", name="Talk").click()
        await page.wait_for_selector("main[data-state=ready]")
        for question, answer in (("first", "One answer."), ("second", "Another answer.")):
            await page.locator("input").fill(question)
            await page.keyboard.press("Enter")
            await page.wait_for_function("answer => transcript.at(-1)?.said === answer", arg=answer)
            await page.wait_for_function("transcript.at(-1).final", timeout=30_000)
        shown: Shown = await page.evaluate("transcript")
        assert [(message["role"], message["text"]) for message in shown] == [
            ("user", "first"), ("assistant", "One answer."), ("user", "second"), ("assistant", "Another answer."),
        ]  # fmt: skip


async def test_a_typed_question_that_interrupts_begins_a_message_of_its_own(streets: Streets) -> None:
    script = parse({"replies": [{"say": LONG, "seconds": 20}, {"say": "All right.", "seconds": 1}], "after": "silence"})
    async with streets(script=script, name="react") as street:
        page = street.app.page
        await page.evaluate("navigator.mediaDevices.getUserMedia = async () => silence()")
        await page.get_by_role("button", name="Talk").click()
        await page.wait_for_selector("main[data-state=ready]")
        await page.locator("input").fill("tell me everything")
        await page.keyboard.press("Enter")
        await page.wait_for_function("transcript.at(-1)?.role === 'assistant' && transcript.at(-1).said")
        await asyncio.sleep(1.0)
        await page.locator("input").fill("stop")
        await page.keyboard.press("Enter")
        await page.wait_for_function("transcript.at(-1)?.said.endsWith('All right.')")
        shown: Shown = await page.evaluate("transcript")
        assert [message["role"] for message in shown] == ["user", "assistant", "user", "assistant"]
        assert len(shown[1]["text"]) < len(LONG) / 2
