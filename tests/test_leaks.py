"""The leak check itself: what is left behind is found and named, what is closed is not (Linux only)."""

import asyncio
import os
import socket
import threading

import pytest

from tests import leaks


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "SETTLE_SECONDS", 0.05)


async def test_a_task_is_named_with_its_place_and_cancelled() -> None:
    before = leaks.look()
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    (words,) = await leaks.left_behind(before)
    assert words.startswith("task forgotten (sleep at ")
    await asyncio.sleep(0)
    assert task.cancelled()


async def test_a_thread_is_named() -> None:
    before = leaks.look()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="stray", daemon=True)
    thread.start()
    assert await leaks.left_behind(before) == ["thread stray (daemon)"]
    stop.set()
    thread.join()


async def test_a_socket_is_named_with_its_address() -> None:
    before = leaks.look()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        (words,) = await leaks.left_behind(before)
        assert words == f"descriptor {udp.fileno()} (AF_INET SOCK_DGRAM {udp.getsockname()})"


async def test_a_descriptor_used_again_for_something_else_is_found() -> None:
    first = os.open(os.devnull, os.O_RDONLY)
    before = leaks.look()
    os.close(first)
    again = os.open("/dev/zero", os.O_RDONLY)
    assert again == first
    assert await leaks.left_behind(before) == [f"descriptor {again} (/dev/zero)"]
    os.close(again)


async def test_a_child_process_is_named_by_its_command() -> None:
    before = leaks.look()
    child = await asyncio.create_subprocess_exec("sleep", "60")
    left = await leaks.left_behind(before)
    assert f"child process {child.pid} (sleep 60)" in left
    child.kill()
    await child.wait()


async def test_what_closes_in_time_is_not_left_behind() -> None:
    before = leaks.look()
    task = asyncio.create_task(asyncio.sleep(0.02))
    assert await leaks.left_behind(before) == []
    assert task.done()
