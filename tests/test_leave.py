"""A relay with calls is told to stop: the process as its callers and its owner see it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.caller import Caller, time_now
from tests.sound import compare, read_wav
from tests.test_main import ROOT, address, process

SENTENCE = read_wav("tests/sounds/weather.wav")
SPOKEN = SENTENCE.part(1.0, 2.9)  # without the silence around it
FEW = 4  # `make soak` has twenty of them: they keep a core busy
ABREAST = 4  # calls that are dialled at a time
AT_ONCE_SECONDS = 1.0  # the calls would have thirty
OUR_SECONDS = 0.5  # more, for this process to see that the other has ended, while other tests run beside it
SOON_SECONDS = 1.0  # a tenth of it where the machine has nothing else to do
DRAIN_SECONDS = 12  # for a sentence, the pause that ends it, and the same sentence back


@contextlib.asynccontextmanager
async def calling(base: str, count: int) -> AsyncIterator[list[Caller]]:
    """So many callers, all connected and welcomed."""
    abreast = asyncio.Semaphore(ABREAST)

    async def dial(caller: Caller) -> None:
        async with abreast:
            await caller.dial(timeout=30)
            await caller.message("bot-ready")

    async with contextlib.AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(Caller(base)) for _ in range(count)]
        await asyncio.gather(*map(dial, callers))
        yield callers


async def status(http: aiohttp.ClientSession, address: str) -> int:
    async with http.get(address) as answer:
        return answer.status


async def test_calls_lose_no_word_before_the_limit_and_the_process_leaves_in_peace(tmp_path: Path) -> None:
    await leave_with(FEW, tmp_path)


async def leave_with(calls: int, folder: Path) -> None:
    """What each caller says once the relay was told to stop comes back whole; then the relay is gone."""
    flags = ("--port", "0", "--ice-address", "127.0.0.1", "--greeting", "", "--drain", str(DRAIN_SECONDS))
    async with process(folder, *flags) as child, aiohttp.ClientSession() as http:
        base = await address(child)
        async with calling(base, calls) as callers:
            assert await status(http, f"{base}/readyz") == 200
            child.send_signal(signal.SIGTERM)
            asked = time_now()
            while await status(http, f"{base}/readyz") != 503:
                assert time_now() - asked < SOON_SECONDS
            for caller in callers:
                told = await caller.message("server-message")
                assert told.data == {"event": "closing", "seconds": DRAIN_SECONDS}
                assert told.at - asked < SOON_SECONDS
                caller.say(SENTENCE)
            for caller in callers:
                await caller.message("bot-stopped-speaking", timeout=DRAIN_SECONDS)
            assert time_now() - asked < DRAIN_SECONDS, "the machine is too slow for this test"
            for caller in callers:
                error = await caller.message("error", timeout=DRAIN_SECONDS)
                assert (error.data["code"], error.data["fatal"]) == ("closing", True)
                assert error.at - asked >= DRAIN_SECONDS - 0.05
                await caller.message("peerLeft")
            async with asyncio.timeout(5):
                _, err = await child.communicate()
            assert child.returncode == 0
            assert b"Traceback" not in err
            assert b"never" not in err  # a task destroyed, a coroutine not awaited
            alike = [compare(SPOKEN, caller.recording(asked)) for caller in callers]
            assert all(one.same for one in alike), f"what was said during the drain came back whole: {alike}"


async def test_a_second_signal_ends_running_calls_at_once(tmp_path: Path) -> None:
    flags = ("--port", "0", "--ice-address", "127.0.0.1", "--greeting", "")
    async with process(tmp_path, *flags) as child, calling(await address(child), 2) as callers:
        child.send_signal(signal.SIGTERM)
        for caller in callers:
            assert (await caller.message("server-message")).data == {"event": "closing", "seconds": 30}
        child.send_signal(signal.SIGINT)
        asked = time_now()
        async with asyncio.timeout(5):
            _, err = await child.communicate()
        took = time_now() - asked
        assert (child.returncode, b"Traceback" in err) == (0, False)
        assert took < AT_ONCE_SECONDS + OUR_SECONDS
        for caller in callers:
            assert (await caller.message("error")).data["code"] == "closing"


# An owner's file of which something does not end, as a driver's thread may not: before the loop's end, and after it.
HANG_BEFORE = """
import asyncio, time
from relay.agent import Agent
asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
agent = Agent()
"""
HANG_AFTER = """
import threading, time
from relay.agent import Agent
threading.Thread(target=time.sleep, args=(60,)).start()
agent = Agent()
"""


@pytest.mark.parametrize("words", [HANG_BEFORE, HANG_AFTER], ids=["loop", "process"])
async def test_a_second_signal_ends_what_does_not_end_by_itself(words: str, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(words)
    async with process(tmp_path, "--port", "0", "--agent", "hangs.py") as child:
        await address(child)
        child.send_signal(signal.SIGTERM)
        await asyncio.sleep(AT_ONCE_SECONDS)
        child.send_signal(0)  # it is still there
        child.send_signal(signal.SIGTERM)
        asked = time_now()
        async with asyncio.timeout(5):
            _, err = await child.communicate()
        assert time_now() - asked < AT_ONCE_SECONDS + OUR_SECONDS
        assert (child.returncode, b"Traceback" in err) == (0, False)


# A stand-in that is slow to come: Python runs this before everything else.
SLOW = """
import sys, time
if "relay.standin" in sys.orig_argv:
    time.sleep(30)
"""


async def test_while_the_stand_in_is_slow_to_come_a_signal_ends_the_wait(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    flags = ("--port", "0", "--model", "local", "--metrics-port", "0")
    async with process(tmp_path, *flags, PYTHONPATH=f"{ROOT}:{tmp_path}") as child:
        assert child.stderr is not None
        async with asyncio.timeout(30):
            while b"metrics at" not in await child.stderr.readline():  # the last word before the wait
                pass
        child.send_signal(signal.SIGTERM)
        asked = time_now()
        async with asyncio.timeout(20):
            out, err = await child.communicate()
        assert time_now() - asked < 3.0  # it would have ten
        assert (child.returncode, out, b"Traceback" in err) == (0, b"", False)


async def test_the_last_goodbye_ends_the_wait(tmp_path: Path) -> None:
    flags = ("--port", "0", "--ice-address", "127.0.0.1", "--greeting", "")
    async with process(tmp_path, *flags) as child, calling(await address(child), 1) as (caller,):
        child.send_signal(signal.SIGTERM)
        await caller.message("server-message")
        await caller.hang_up()
        async with asyncio.timeout(5):
            await child.communicate()
        assert child.returncode == 0
