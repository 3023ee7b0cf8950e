"""Tests that wait for long, run side by side.

    @side_by_side(seconds=20)
    async def test_a_patient_thing(streets: Streets) -> None: ...

All such tests that were selected run when the first of them is asked for, `ABREAST` at a time and the longest first;
each then tells what came of it. They take `streets` and what `pytest.mark.parametrize` gives them, and share nothing
that another could change.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

ABREAST: Final = 5  # two cores bear so many calls with their browsers, and sound is still in time
APART: Final = 1.0  # seconds between two beginnings: a browser's page is busiest when it loads

Outcomes = dict[str, BaseException | None]
"""What each test came to, by its node id: nothing, or what it raised."""

Test = Callable[..., Awaitable[None]]


def side_by_side(*, seconds: float) -> Callable[[Test], Test]:
    """Make it one of them; it takes about so long."""

    def made(test: Test) -> Test:
        async def tell(request: pytest.FixtureRequest, together: Outcomes, **_: Any) -> None:
            if (error := together[request.node.nodeid]) is not None:
                raise error

        given = [one for name, one in inspect.signature(test).parameters.items() if name != "streets"]
        own = [one for name, one in inspect.signature(tell).parameters.items() if name in ("request", "together")]
        tell.__signature__ = inspect.Signature([*own, *given])  # type: ignore[attr-defined]
        tell.__name__, tell.__doc__, tell.__module__ = test.__name__, test.__doc__, test.__module__
        tell.waits = (seconds, test)  # type: ignore[attr-defined]
        return tell

    return made


async def run_together(session: pytest.Session, streets: Any) -> Outcomes:
    """Run those that were selected."""
    slots, start = asyncio.Semaphore(ABREAST), asyncio.Lock()

    async def run(test: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            async with start:
                await asyncio.sleep(APART)
            await test()

    chosen = sorted(_chosen(session, streets), key=lambda one: -one[1])
    outcomes = await asyncio.gather(*(run(test) for _, _, test in chosen), return_exceptions=True)
    return {id: outcome for (id, _, _), outcome in zip(chosen, outcomes, strict=True)}


def _chosen(session: pytest.Session, streets: Any) -> list[tuple[str, float, Callable[[], Awaitable[None]]]]:
    """Node id, about how many seconds, and the test with all that it takes."""
    found: list[tuple[str, float, Callable[[], Awaitable[None]]]] = []
    for item in session.items:
        if waits := getattr(getattr(item, "function", None), "waits", None):
            seconds, test = waits
            given = dict(item.callspec.params) if hasattr(item, "callspec") else {}
            if "streets" in inspect.signature(test).parameters:
                given["streets"] = streets
            found.append((item.nodeid, seconds, functools.partial(test, **given)))
    return found
