"""`gemini-relay doctor`: looks at all that a call needs, says what is amiss and what to do. `/healthz` has the summary.

It takes the flags and variables that the relay would take, and changes nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from relay.config import Config
from signaling import beyond, machine
from signaling.findings import Finding, report, told

CHECK_SECONDS: Final = 20.0  # for any one check; the model alone may take ten, and the stand-in ten to start
AGAIN_SECONDS: Final = 600.0  # between two looks while the relay runs
SOON_SECONDS: Final = 30.0  # the same while something is amiss

Check = Callable[[Config], Awaitable[list[Finding]]]

ALL: Final[tuple[Check, ...]] = (
    machine.opus,
    machine.media,
    machine.ports,
    machine.addresses,
    machine.certificate,
    machine.state,
    beyond.model,
    beyond.clock,
    beyond.servers,
    beyond.proxy,
)
WHILE_RUNNING: Final[tuple[Check, ...]] = (
    machine.opus,
    machine.addresses,
    machine.certificate,
    machine.state,
    beyond.key,
    beyond.clock,
    beyond.servers,
)
"""What can change under a relay that runs, and costs nobody anything."""

log = logging.getLogger(__name__)


async def examine(config: Config, checks: Sequence[Check] = ALL) -> list[Finding]:
    """What all `checks` find, in their order; they run at the same time."""
    return [found for many in await asyncio.gather(*(_one(check, config) for check in checks)) for found in many]


async def _one(check: Check, config: Config) -> list[Finding]:
    name = getattr(check, "__name__", "check")
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(config)
    except TimeoutError:
        return [Finding(name, f"It took longer than {CHECK_SECONDS:g} s.", "Try again later.", grave=True)]
    except Exception as exc:
        log.debug("the check %s failed", name, exc_info=True)
        return [Finding(name, f"It could not be looked at: {type(exc).__name__}.", "See --log-level debug.")]


async def doctor(config: Config) -> int:
    """Print what was found; the exit code is 1 if calls cannot work."""
    findings = await examine(config)
    print(report(findings))
    return 1 if any(finding.word == "bad" for finding in findings) else 0


class Checkup:
    """Looks after a relay that runs: `summary` is for everybody to read, and what becomes amiss is logged once."""

    def __init__(self, config: Config, tier: Callable[[], str], silent: set[str] | None = None) -> None:
        """`tier` says which path sound takes; empty while that is not known. `silent` is told which servers are."""
        self._config = config
        self._tier = tier
        self._silent = silent if silent is not None else set()
        self._found: list[Finding] = []
        self._amiss: set[str] = set()

    @property
    def summary(self) -> dict[str, str]:
        """Of each thing that it is well, or what to do; empty before the first look."""
        tier = self._tier()
        return told([*self._found, machine.of_tier(tier)] if tier and self._found else self._found)

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look now, and again and again while the block runs."""
        task = asyncio.create_task(self._look_again(), name="checkup")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        """Look once."""
        self._found = await examine(self._config, WHILE_RUNNING)
        amiss = {f"{found.what}: {found.says} {found.do}" for found in self._found if found.do}
        for words in sorted(amiss - self._amiss):
            log.warning("%s", words)
        self._amiss = amiss
        silent = {found.url for found in self._found if found.url and found.do}
        self._silent.intersection_update(silent)
        self._silent.update(silent)

    async def _look_again(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # the next look may go well, and a task's own end would be told by nobody
                log.exception("a checkup failed")
            await asyncio.sleep(SOON_SECONDS if self._amiss else AGAIN_SECONDS)
