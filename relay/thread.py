"""Functions of the owner's: an async one is awaited here, any other in a thread, for it may block."""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

MAX_THREADS: Final = 128  # of the whole process; one that never ends keeps its place, for a thread cannot be stopped

Places = threading.BoundedSemaphore
"""how many may run at a time"""

_places: Final = Places(MAX_THREADS)


class Crowded(Exception):
    """There is no place left."""


async def called(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What `function` gives, be it async or not. Raises what it raises, and `Crowded`."""
    return await called_within((), function, *args, **kwargs)


async def called_within(places: Sequence[Places], function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The same; until the function has ended, or its thread has, it takes one of each of these `places`, too.

    Whoever stops waiting for a thread does not make room for another.
    """
    if inspect.iscoroutinefunction(function):
        return await _within(places, function(*args, **kwargs))
    result = await in_thread(functools.partial(function, *args, **kwargs), *places)
    return await _within(places, result) if inspect.isawaitable(result) else result


async def _within(places: Sequence[Places], result: Awaitable[Any]) -> Any:
    try:
        leave = _take(*places)
    except Crowded:
        if inspect.iscoroutine(result):
            result.close()  # never begun
        raise
    try:
        return await result
    finally:
        leave()


def _take(*places: Places) -> Callable[[], None]:
    """One of each; gives what leaves them all again. Raises `Crowded`."""
    with contextlib.ExitStack() as taken:
        for place in places:
            if not place.acquire(blocking=False):
                raise Crowded
            taken.callback(place.release)
        return taken.pop_all().close


async def in_thread(work: Callable[[], Any], *places: Places) -> Any:
    """What `work` returns, or raises; what is no `Exception` is raised as the cause of a RuntimeError.

    The thread is a daemon: one that never returns holds up neither the loop's executor nor the exit. Raises `Crowded`.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((result, error))

    def run() -> None:
        result, error = None, None
        try:
            result = context.run(work)
        except BaseException as raised:
            error = raised
        leave()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    leave = _take(*places, _places)
    context = contextvars.copy_context()
    try:
        threading.Thread(target=run, name="owner's function", daemon=True).start()
    except BaseException:  # the system has none left
        leave()
        raise
    result, error = await done
    if error is None:
        return result
    if isinstance(error, Exception):
        raise error
    raise RuntimeError(type(error).__name__) from error  # a KeyboardInterrupt of its own making stops nobody else
