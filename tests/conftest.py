"""What every test can count on: nothing is left behind, and there is one Chromium with a voice.

All tests and fixtures share one event loop (see `pyproject.toml`): Playwright's objects live in the loop that made
them, so a session's browser needs a session's loop, and what a test leaves in the loop is there to be counted.
"""

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest
from hypothesis import settings
from playwright.async_api import Browser, BrowserContext, Page
from xdist.scheduler import LoadScopeScheduling

from signaling.__main__ import quickest_loop
from tests import chromium, leaks
from tests.between import play as play


@pytest.fixture(scope="session", autouse=True)
async def a_loop_that_has_all_it_keeps() -> None:
    """uvloop opens what it needs for streams and child processes with the first of them, and keeps it."""
    nobody = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    nobody.close()
    await (await asyncio.create_subprocess_exec(sys.executable, "-c", "")).wait()


@pytest.fixture(autouse=True)
async def nothing_left_behind(a_loop_that_has_all_it_keeps: None) -> AsyncIterator[None]:
    """After every test, tasks, threads, descriptors and children are back to where they were before it.

    It is set up before the test's own fixtures and torn down after them, so that their cleaning up is judged too;
    fixtures of a wider scope, such as `browser`, are there before it looks first.
    """
    before = leaks.look()
    yield
    left = await leaks.left_behind(before)
    if left:
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that Chromium hears: the recorded sentence, then a pause, over and over.

    Chromium takes one file per process and starts it anew for each stream, so the page hears the sentence one second
    after it got the microphone, and again every `chromium.PAUSE_SECONDS` + 3.8 seconds; a test that needs another sound
    replaces `getUserMedia` by a stream of its own.
    """
    path = tmp_path_factory.mktemp("microphone") / "sentence.wav"
    chromium.record_microphone(path)
    return path


@pytest.fixture(scope="session")
async def browser(microphone: Path) -> AsyncIterator[Browser]:
    """The one Chromium of this run, driven by Playwright's async API; a test takes `context` or `page` from it.

    A test must name one of the three as an argument (no `getfixturevalue`): then the browser is up before the leak
    check looks first, and is never taken for something that the test left behind.
    """
    async with chromium.started(microphone) as started:
        yield started


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh browser profile of this test's own, allowed to use the microphone."""
    async with chromium.profile(browser) as fresh:
        yield fresh


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """An empty page; an exception that its scripts let escape fails the test."""
    async with chromium.empty_page(context) as empty:
        yield empty


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line for the end of the run, also from one of several workers."""
    return functools.partial(record_property, "told")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = (report for kind in terminalreporter.stats.values() for report in kind)
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [str(line) for report in calls for name, line in report.user_properties if name == "told"]
    if lines:
        terminalreporter.section("what the tests have seen")
        for line in lines:
            terminalreporter.write_line(line)


class Loops(asyncio.DefaultEventLoopPolicy):
    """The loop that the relay runs on, so that what uvloop does otherwise than asyncio's own is met here."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return (quickest_loop() or asyncio.SelectorEventLoop)()


def pytest_configure() -> None:
    asyncio.set_event_loop_policy(Loops())
    settings.register_profile("beside others", deadline=None)  # how long an example takes depends on them
    settings.load_profile("beside others")


APART: Final = frozenset({"browser", "clients", "network"})  # folders whose tests run in real time
EARS: Final = frozenset({"test_recognizer", "test_recording"})  # one worker loads the models, for all
PATIENT: Final = frozenset({"test_patience", "test_local_voice"})  # whose tests hardly do anything but wait


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser that does not come to its turn for a second fails its test: each has a second chance.

    The last line of the run tells of it ("rerun").
    """
    for item in items:
        if APART.intersection(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=1))


class Apart(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed
    """Tests of one folder run one after another, by one worker, but for the patient ones, which run side by side.

    Two cores bear three browsers with calls, not more. (xdist's own groups are written into a test's name, where pytest
    9.2 reads them no more.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.partition("::")[0])
        if path.stem in EARS:
            return "ears"
        folders = APART.intersection(path.parts) if path.stem not in PATIENT else ()
        return next(iter(folders), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Apart:
    """The tests' own way to be shared out among the workers."""
    return Apart(config, log)
