"""The relay under measurement: start it, wait for it, read what the kernel knows about it. Linux only."""

import asyncio
import binascii
import os
import signal
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Final, Self

from aiohttp import ClientError, ClientSession

from bench.part import pin

TICKS: Final = os.sysconf("SC_CLK_TCK")  # of /proc/<pid>/stat, per second
READY: Final = 20.0  # seconds we wait for a start
KINDS: Final = {"relay": ("signaling", "--model", "gemini", "--max-calls", "500"), "stock": ("bench.stock",)}


class Relay:
    """A relay process of ours, or the stock one; `base` is its address."""

    def __init__(self, process: asyncio.subprocess.Process, base: str, took: float) -> None:
        self.process = process
        self.base = base
        self.took = took  # seconds from start to the first good answer of /healthz

    @classmethod
    async def start(cls, kind: str, model_port: int, processor: int | None, extra: list[str]) -> Self:
        port = free_port()
        module, *arguments = KINDS[kind]
        arguments += ["--port", str(port), "--gemini-url", f"ws://127.0.0.1:{model_port}"]
        arguments += ["--ice-address", "127.0.0.1", "--log-level", "warning", *extra]
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            env=os.environ | {"GEMINI_API_KEY": "the-bench-has-none"},
            stdout=asyncio.subprocess.DEVNULL,
        )
        pin(process.pid, processor)
        base = f"http://127.0.0.1:{port}"
        async with ClientSession() as http:
            while True:
                try:
                    async with http.get(base + "/healthz") as response:
                        if response.status == 200:
                            return cls(process, base, time.monotonic() - began)
                except ClientError:
                    await asyncio.sleep(0.01)
                if process.returncode is not None or time.monotonic() - began > READY:
                    await stop(process)
                    raise RuntimeError(f"the relay ({kind}) did not start")

    @property
    def _proc(self) -> Path:
        return Path(f"/proc/{self.process.pid}")

    def freeze(self) -> None:
        """Stop it where it is, so that it costs nothing while another is measured."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; one that was not frozen is none the worse."""
        self.process.send_signal(signal.SIGCONT)

    def cpu(self) -> float:
        """Processor seconds so far, user and system."""
        return cpu(self.process.pid)

    def threads(self) -> dict[int, float]:
        """Processor seconds of every thread."""
        return {int(task.name): sum(_ticks(task / "stat")) for task in (self._proc / "task").iterdir()}

    def memory(self) -> int:
        """Resident bytes."""
        return int((self._proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def stop(self) -> None:
        await stop(self.process)


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # a frozen one hears nothing else
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


def cpu(pid: int) -> float:
    """Processor seconds of a process so far, user and system, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | 2)  # Linux: CPUCLOCK_SCHED of another process, as clock_getcpuclockid(3)


def _ticks(stat: Path) -> tuple[float, float]:
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def pace(seconds: float = 0.5) -> float:
    """Microseconds of processor that 9,600 bytes of base64 take here and now.

    What else runs on the machine slows every figure by the same factor: shared caches, shared cores.
    """
    text = binascii.b2a_base64(os.urandom(9600))
    spent = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.thread_time()
        for _ in range(20):
            binascii.a2b_base64(text)
        spent.append((time.thread_time() - began) / 20 * 1e6)
    return statistics.median(spent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
