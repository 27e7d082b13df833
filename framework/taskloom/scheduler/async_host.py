"""The waiting methods of a scheduler for asyncio programs. The event loop is never blocked.

Each call blocks on a daemon thread of its own: the loop's default executor may be full of calls that only end when the
scheduler stops. asyncio is imported by the first call, and so by a program that has it already.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from taskloom.clock import mono

if TYPE_CHECKING:
    import asyncio

    from taskloom.core.model import Reason
    from taskloom.core.report import StopReport
    from taskloom.scheduler.facade import Scheduler

__all__ = ["leave", "stop", "wait"]

Result = TypeVar("Result")

# How often a thread checks that its caller still waits, and how often the loop checks if there is no thread to be had.
CHECK_SECONDS = 0.25
CHECK_WITHOUT_THREAD_SECONDS = 0.02


async def stop(scheduler: Scheduler, within: float, reason: Reason | None) -> StopReport:
    """Implement `Scheduler.astop`."""
    # First and without any await: whatever happens to the caller from here on, the stop goes on.
    scheduler.request_stop(within, reason=reason)
    return await _Call(lambda _: scheduler.stop(within, reason=reason)).result_or(lambda: _stop_here(scheduler, reason))


async def leave(scheduler: Scheduler, within: float) -> None:
    """Implement `Scheduler.__aexit__`: stop, and wait for the end in spite of any cancellation of the caller."""
    import asyncio

    scheduler.request_stop(within)
    # A future and no task: the end of `asyncio.run` cancels all tasks.
    stopping = _Call(lambda _: scheduler.stop(within)).start()
    struck: asyncio.CancelledError | None = None
    while not scheduler.wait_stopped(0) if stopping is None else not stopping.done():
        try:
            await (_stop_here(scheduler, None) if stopping is None else asyncio.shield(stopping))
        except asyncio.CancelledError as error:
            struck = error
    if struck is not None:
        raise struck
    if stopping is not None:
        stopping.result()


async def wait(wait_once: Callable[[float | None], bool], timeout: float | None) -> bool:
    """Call a waiting method of the scheduler until it returns True; return False after `timeout` seconds.

    A cancellation of the caller ends the wait.
    """
    deadline = None if timeout is None else mono() + timeout

    def wait_on_thread(call: _Call[bool]) -> bool:
        while not call.is_abandoned:
            left = CHECK_SECONDS if deadline is None else min(CHECK_SECONDS, deadline - mono())
            if wait_once(max(0.0, left)):
                return True
            if left <= 0:
                break
        return False

    return await _Call(wait_on_thread).result_or(lambda: _wait_here(wait_once, deadline))


class _Call(Generic[Result]):
    """Calls a blocking function on a thread of its own, for a coroutine that awaits the result."""

    def __init__(self, function: Callable[[_Call[Result]], Result]) -> None:
        self.is_abandoned = False
        """Whether the coroutine awaits the result no more."""
        self._function = function

    def start(self) -> asyncio.Future[Result] | None:
        """Call the function on its thread and return the future result, or None if no thread can be started."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        # With the contextvars of the caller: a run that stops its own scheduler must not wait for itself.
        target = partial(contextvars.copy_context().run, self._execute, loop, future)
        try:
            threading.Thread(target=target, name="taskloom-await", daemon=True).start()
        except RuntimeError:
            return None
        return future

    async def result_or(self, without_thread: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what the function returns, or await the other one if no thread can be started."""
        future = self.start()
        if future is None:
            return await without_thread()
        try:
            return await future
        finally:
            self.is_abandoned = True

    def _execute(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Result]) -> None:
        try:
            deliver = partial(_set, future, future.set_result, self._function(self))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the coroutine
            deliver = partial(_set, future, future.set_exception, error)
        try:
            loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            pass  # the loop was closed, so nothing awaits the result


def _set(future: asyncio.Future[Any], setter: Callable[[Any], None], value: object) -> None:
    if not future.done():  # else the coroutine was cancelled meanwhile
        setter(value)


async def _stop_here(scheduler: Scheduler, reason: Reason | None) -> StopReport:
    """Wait for a requested stop without a thread."""
    await _wait_here(scheduler.wait_stopped, None)
    return scheduler.stop(0, reason=reason)  # it is over, so this only returns the report


async def _wait_here(wait_once: Callable[[float | None], bool], deadline: float | None) -> bool:
    """Wait without a thread, by checking again and again."""
    import asyncio

    while not wait_once(0):
        if deadline is not None and mono() >= deadline:
            return False
        await asyncio.sleep(CHECK_WITHOUT_THREAD_SECONDS)
    return True
