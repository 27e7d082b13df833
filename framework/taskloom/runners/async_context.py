"""The context of an `async def run`, and how its event loop learns that the run was cancelled.

Rules:
- `notice_cancel` is called on the thread of the loop, any number of times after the stop is requested. The main task is
  told exactly once: `await ctx.wait()` returns True in it, or else it is cancelled.
- Other tasks of the loop are not cancelled; their `ctx.wait` returns True and their `ctx.sleep` raises CancelledError.
- Everything here belongs to the loop's thread, except that any thread may use the members of `AnyContext`.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom.runners.context_view import ContextView
from taskloom.sync.cancel_token import lock_timeout

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["AsyncRunContext", "AwaitedCall", "BlockingContext", "CancelNotice", "call_on_thread"]

Result = TypeVar("Result")
Yielded_co = TypeVar("Yielded_co", covariant=True)

# asyncio refuses timers beyond the range of its selector; a longer wait is a wait without end.
_LONGEST_TIMER_SECONDS = 10 * 366 * 86400.0


class CancelNotice:
    """Tells the main task of a loop, once, that the run was cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, main: asyncio.Task[Any]) -> None:
        self.loop = loop
        self.thread = get_ident()
        self.main = main
        self.is_told = False
        """Whether the main task has got True from `ctx.wait`, or was cancelled."""
        self._is_main_waiting = False
        # One for each task inside `ctx.wait` or `ctx.sleep`.
        self._waiters: set[asyncio.Future[None]] = set()

    def notice_cancel(self) -> bool:
        """End all waits, and cancel the main task unless it is told otherwise. Call it on the loop's thread.

        Return whether a task can go on because of it.
        """
        ended = [_end_wait(waiter) for waiter in self._waiters]
        return (not self._is_main_waiting and self._cancel_main()) or any(ended)

    def _cancel_main(self) -> bool:
        """Cancel the main task, unless it was told before; return whether it was cancelled."""
        if self.is_told:
            return False
        self.is_told = True
        return self.main.cancel()

    async def wait(self, ctx: Context, seconds: float | None) -> bool:
        """Implement `ctx.wait`."""
        is_main = asyncio.current_task() is self.main
        self._is_main_waiting = self._is_main_waiting or is_main
        try:
            is_cancelled = await self.until_cancelled(ctx, seconds)
        except asyncio.CancelledError:
            # Cancelled by other code, such as `asyncio.timeout`, perhaps just before the run was cancelled.
            if is_main and ctx.cancelled:
                self.loop.call_soon(self._cancel_main)
            raise
        finally:
            self._is_main_waiting = self._is_main_waiting and not is_main
        self.is_told = self.is_told or (is_main and is_cancelled)
        return is_cancelled

    async def sleep(self, ctx: Context, seconds: float) -> None:
        """Implement `ctx.sleep`."""
        if await self.until_cancelled(ctx, seconds):
            if asyncio.current_task() is self.main and not self.is_told:
                self._cancel_main()
                await asyncio.sleep(0)  # raises it: so `Task.cancelling` is right for `asyncio.timeout`
            raise asyncio.CancelledError

    async def until_cancelled(self, ctx: Context, seconds: float | None) -> bool:
        """Wait in any task of the loop; return whether the run was cancelled."""
        timeout = lock_timeout(seconds)
        if ctx.cancelled:
            return True
        waiter = self.loop.create_future()
        self._waiters.add(waiter)
        is_limited = 0 <= timeout <= _LONGEST_TIMER_SECONDS
        timer = self.loop.call_later(timeout, _end_wait, waiter) if is_limited else None
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()
        return ctx.cancelled


def _end_wait(waiter: asyncio.Future[None]) -> bool:
    """End one wait; return False if it has ended before."""
    if waiter.done():
        return False
    waiter.set_result(None)
    return True


class AsyncRunContext(ContextView):
    """Implements `taskloom.task.AsyncContext` with the run's own context."""

    __slots__ = ("_notice",)

    def __init__(self, ctx: Context, notice: CancelNotice) -> None:
        super().__init__(ctx)
        self._notice = notice

    @property
    def loop_thread(self) -> int:
        """The id of the thread on which nothing may block."""
        return self._notice.thread

    def wait(self, seconds: float | None = None) -> Coroutine[Any, Any, bool]:
        self._require_loop("wait")
        return AwaitedCall("wait", self._notice.wait(self._ctx, seconds))

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        self._require_loop("sleep")
        return AwaitedCall("sleep", self._notice.sleep(self._ctx, seconds))

    def to_thread(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Result]:
        self._require_loop("to_thread")
        return AwaitedCall("to_thread", call_on_thread(self._notice.loop, partial(function, *args, **kwargs)))

    @property
    def blocking(self) -> BlockingContext:
        return BlockingContext(self._ctx, self._notice.thread)

    def _require_loop(self, name: str) -> None:
        if get_ident() != self._notice.thread:
            raise RuntimeError(
                f"cannot await ctx.{name} on this thread: the run's event loop is on another; "
                "give functions that run on other threads ctx.blocking"
            )


class BlockingContext(ContextView):
    """Implements `taskloom.task.Context` for the other threads of an async run."""

    __slots__ = ("loop_thread",)

    def __init__(self, ctx: Context, loop_thread: int) -> None:
        super().__init__(ctx)
        self.loop_thread = loop_thread
        """The id of the thread on which nothing may block."""

    def wait(self, seconds: float | None = None) -> bool:
        self._refuse_loop("wait(...)")
        return self._ctx.wait(seconds)

    def sleep(self, seconds: float) -> None:
        self._refuse_loop("sleep(...)")
        self._ctx.sleep(seconds)

    def _refuse_loop(self, call: str) -> None:
        if get_ident() == self.loop_thread:
            raise RuntimeError(
                f"cannot block the thread of the event loop: write `await ctx.{call}` with the run's own context"
            )


async def call_on_thread(loop: asyncio.AbstractEventLoop, function: Callable[[], Result]) -> Result:
    """Call the function on a thread of the loop's executor, with the contextvars of the caller."""
    return await loop.run_in_executor(None, partial(copy_context().run, function))


class AwaitedCall(Coroutine[Any, Any, Yielded_co]):
    """A call that has to be awaited. Its truth value is refused: `while not ctx.wait(1)` would end at once."""

    __slots__ = ("__weakref__", "_coroutine", "_name")

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, Yielded_co]) -> None:
        self._name = name
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Yielded_co]:
        return self._coroutine.__await__()

    def __bool__(self) -> bool:
        self._coroutine.close()
        raise RuntimeError(f"cannot use ctx.{self._name}(...) without await here: write `await ctx.{self._name}(...)`")

    # Read by `loop_stacks` to find where a task is that was made of this call.
    @property
    def cr_frame(self) -> Any:
        return getattr(self._coroutine, "cr_frame", None)

    @property
    def cr_await(self) -> Any:
        return getattr(self._coroutine, "cr_await", None)

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()
