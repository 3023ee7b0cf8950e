"""Functions of the owner's: an async one is awaited here, any other in a thread, for it may block."""

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Final

MAX_THREADS: Final = 128  # of the whole process; one that never ends keeps its place, for a thread cannot be stopped

_places: Final = threading.BoundedSemaphore(MAX_THREADS)


class Crowded(Exception):
    """There are `MAX_THREADS` already."""


async def called(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What `function` gives, be it async or not. Raises what it raises, and `Crowded`."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    result = await in_thread(functools.partial(function, *args, **kwargs))
    return await result if inspect.isawaitable(result) else result


async def in_thread(work: Callable[[], Any]) -> Any:
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
        _places.release()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    if not _places.acquire(blocking=False):
        raise Crowded
    context = contextvars.copy_context()
    threading.Thread(target=run, name="owner's function", daemon=True).start()
    result, error = await done
    if error is None:
        return result
    if isinstance(error, Exception):
        raise error
    raise RuntimeError(type(error).__name__) from error  # a KeyboardInterrupt of its own making stops nobody else
