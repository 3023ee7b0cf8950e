"""What a test may leave behind: nothing.

`Held` is a picture of what this process holds: asyncio tasks, threads, file descriptors, child processes.
`conftest.py` takes one before each test and waits after it, a bounded time, for everything newer to be gone.
A thing that only the garbage collector would free counts as left behind: its owner owed it a `close()`.
"""

import asyncio
import os
import socket
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from types import CoroutineType
from typing import Any, Final

SETTLE_SECONDS: Final = 2.0
"""How long closing sockets, ending threads and reaped children get after a test; a clean test waits for nothing."""

SETTLE_STEP_SECONDS: Final = 0.01

EXECUTOR_THREADS: Final = ("asyncio_", "uvloop_")
"""The event loop's own executor (name look-ups, `to_thread`): bounded, and as long-lived as the loop."""

BETWEEN_US: Final = "AF_UNIX SOCK_STREAM "
"""A pair without a name: uvloop hears of signals by one that it makes anew, and of children, who are counted here."""


@dataclass(frozen=True)
class Held:
    """What the process holds at one moment; each part maps an identity to words a person can act on."""

    tasks: dict[asyncio.Task[Any], str]
    threads: dict[threading.Thread, str]
    descriptors: dict[tuple[int, str], str]
    children: dict[int, str]

    def since(self, before: "Held") -> list[str]:
        """Name what is held now and was not held `before`."""
        return [
            *(f"task {words}" for task, words in self.tasks.items() if task not in before.tasks),
            *(f"thread {words}" for thread, words in self.threads.items() if thread not in before.threads),
            *(f"descriptor {words}" for key, words in self.descriptors.items() if key not in before.descriptors),
            *(f"child process {words}" for pid, words in self.children.items() if pid not in before.children),
        ]


def look() -> Held:
    """Take the picture. Called inside the running event loop; the calling task itself is left out."""
    return Held(_tasks(), _threads(), _descriptors(), _children())


async def left_behind(before: Held) -> list[str]:
    """Give the closing things their time, then name what is still there, and cancel the tasks among it."""
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while (now := look()).since(before) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(SETTLE_STEP_SECONDS)
    for task in now.tasks.keys() - before.tasks.keys():
        task.cancel()
    return now.since(before)


def _tasks() -> dict[asyncio.Task[Any], str]:
    return {task: _task_words(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def _task_words(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    if not isinstance(coroutine, CoroutineType):
        return f"{task.get_name()} ({coroutine!r})"
    code, frame = coroutine.cr_code, coroutine.cr_frame
    line = frame.f_lineno if frame else code.co_firstlineno
    return f"{task.get_name()} ({coroutine.__qualname__} at {code.co_filename}:{line})"


def _threads() -> dict[threading.Thread, str]:
    found = (t for t in threading.enumerate() if t.is_alive() and not t.name.startswith(EXECUTOR_THREADS))
    return {thread: f"{thread.name} ({'daemon' if thread.daemon else 'not a daemon'})" for thread in found}


def _descriptors() -> dict[tuple[int, str], str]:
    """Every open descriptor, by number and target, so that a number used again is still told apart (Linux only)."""
    found: dict[tuple[int, str], str] = {}
    folder = Path("/proc/self/fd")
    for name in os.listdir(folder) if folder.is_dir() else ():
        try:
            target = os.readlink(folder / name)
        except FileNotFoundError:  # the listing's own descriptor
            continue
        words = _socket_words(int(name)) or target
        if words != BETWEEN_US:
            found[int(name), target] = f"{name} ({words})"
    return found


def _socket_words(descriptor: int) -> str | None:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return None
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        return f"{copy.family.name} {copy.type.name} {copy.getsockname()}"


def _children() -> dict[int, str]:
    """Our child processes, by pid (Linux only); a zombie counts until somebody waits for it."""
    found: dict[int, str] = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            pids = [int(word) for word in listing.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):  # that thread has just ended
            continue
        for pid in pids:
            found[pid] = f"{pid} ({_command(pid)})"
    return found


def _command(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return line[:120] or "ended, not waited for"
