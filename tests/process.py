"""A relay in a process of its own, and what the system and its own figures say of it."""

import asyncio
import os
import re
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench.process import free_port

ROOT: Final = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """This process's, without what its owner may have set for a relay."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("RELAY_", "GEMINI_", "GOOGLE_"))}


@asynccontextmanager
async def owners_relay(
    folder: Path,
    *flags: str,
    patience: float,
    within: Callable[..., Sequence[str]] = lambda *command: command,
    modules: Sequence[Path] = (),
) -> AsyncIterator[str]:
    """A relay as its owner starts it in `folder`, without a key: its address.

    `patience` is how many seconds its start may take, and its end; `modules` come before what is installed.
    """
    process = await asyncio.create_subprocess_exec(
        *within(sys.executable, "-m", "signaling", "--port", "0", *flags),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**environment(), "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *modules)))},
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), patience)).decode()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield found.group()
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), patience)


class Process:
    """A relay process, and what the system says of it."""

    def __init__(self, pid: int, base: str, metrics: str) -> None:
        self.pid = pid
        self.base = base
        self._metrics = metrics

    @property
    def rss(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))

    async def figure(self, name: str) -> float:
        """One of its own figures, by its name and labels in `/metrics`."""

        def read() -> str:
            with urllib.request.urlopen(self._metrics) as answer:
                return str(answer.read().decode())

        [value] = re.findall(rf"^{re.escape(name)} (\S+)$", await asyncio.to_thread(read), re.MULTILINE)
        return float(value)

    async def look(self) -> tuple[float, int, int, int]:
        """RSS in MiB, descriptors, threads, tasks; of the descriptors without our question's."""
        tasks = int(await self.figure("relay_tasks"))
        await asyncio.sleep(1)
        return self.rss, self.descriptors, self.threads, tasks


@asynccontextmanager
async def relay_process(model: str, *flags: str) -> AsyncIterator[Process]:
    """A relay in a process of its own, whose model is at this address."""
    environment = {**os.environ, "GEMINI_API_KEY": "AIzaTESTKEY"}
    port = free_port()
    flags = ("--gemini-url", model, "--ice-address", "127.0.0.1", "--log-level", "error", *flags)
    flags = ("--port", "0", "--metrics-port", str(port), *flags)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signaling", *flags, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield Process(process.pid, line.decode().split()[-1], f"http://127.0.0.1:{port}/metrics")
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)
