"""A bench process on the far side of two pipes: one JSON question a line, one JSON answer a line."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

BIGGEST_ANSWER = 256 << 20  # bytes; a minute of time stamps for twenty calls is a hundredth of it


class Part:
    """Starts `python -m <module>` pinned to one processor, if there are several, and asks it things."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, *arguments: str, processor: int | None = None) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdin=-1, stdout=-1, limit=BIGGEST_ANSWER
        )
        pin(process.pid, processor)
        return cls(process)

    async def ask(self, what: str, /, **how: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, how]).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the part died while asked to {what!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{what}: {answer['error']}")
        return answer["answer"]

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        await self._process.wait()


async def serve(commands: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    """The part's own side: answer questions until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        what, how = json.loads(line)
        try:
            answer = {"answer": await commands[what](**how)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def pin(pid: int, processor: int | None) -> None:
    """Keep a process on one processor, where the system can do that."""
    if processor is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {processor})


def available() -> list[int]:
    """The processors this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
