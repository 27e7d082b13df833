"""A context for unit tests of a task whose `run` is a coroutine function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom.core.model import Reason
from taskloom.errors import Cancelled
from taskloom.runners.async_context import AwaitedCall, BlockingContext, CancelNotice, call_on_thread
from taskloom.task import Task
from taskloom.testing.context import FakeContext

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["FakeAsyncContext"]

Result = TypeVar("Result")


class FakeAsyncContext(FakeContext):
    """The context of an async run, for tests: `FakeAsyncContext().run(Poller(...))`.

    Its arguments and the members for the test are those of FakeContext. `run` makes an event loop and waits for the
    task. In a test that has an event loop, `await Poller(...).run(ctx)` works as well; there `cancel()` cancels the
    asyncio task that has first called `wait`, `sleep` or `to_thread`.

    In virtual time each `wait` and `sleep` advances the clock and returns, so it is for tasks with one coroutine.
    """

    _notice: CancelNotice | None = None

    def run(self, task: Task | Callable[[Any], Coroutine[Any, Any, object]]) -> object:
        """Run the task to its end, in an event loop of its own, and return what it returned.

        Raises what it raised, and Cancelled if its coroutine was cancelled by `cancel()`.
        """
        function: Any = task.run if isinstance(task, Task) else task
        try:
            return asyncio.run(self._run_main(function))
        except asyncio.CancelledError:
            if self.token.is_requested:
                raise Cancelled from None
            raise

    async def _run_main(self, function: Callable[[Any], Coroutine[Any, Any, object]]) -> object:
        notice = self._bind()
        if self.token.is_requested:
            notice.notice_cancel()
        return await function(self)

    def cancel(self, reason: str | Reason = "") -> None:
        """Cancel the run, as a real one is cancelled. Any thread may call it; only the first call has an effect."""
        super().cancel(reason)
        notice = self._notice
        if notice is not None and not notice.loop.is_closed():
            notice.loop.call_soon_threadsafe(notice.notice_cancel)

    # -- for the task

    # The members of AsyncContext are awaited, unlike those of Context.
    def wait(self, seconds: float | None = None) -> Coroutine[Any, Any, bool]:  # type: ignore[override]
        """Wait until cancelled or, in virtual time, advance the clock. Return whether the run was cancelled."""
        return AwaitedCall("wait", self._bind().wait(self._sync, seconds))

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:  # type: ignore[override]
        """Wait, and raise asyncio.CancelledError if the run was cancelled."""
        return AwaitedCall("sleep", self._bind().sleep(self._sync, seconds))

    def to_thread(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Result]:
        """Call the function on another thread and return its result."""
        return AwaitedCall("to_thread", call_on_thread(self._bind().loop, partial(function, *args, **kwargs)))

    @property
    def blocking(self) -> Context:
        """The context for functions that run on another thread."""
        return BlockingContext(self._sync, self._bind().thread)

    @property
    def loop_thread(self) -> int:
        """The id of the thread of the event loop."""
        return self._bind().thread

    @property
    def _sync(self) -> _SyncContext:
        return _SyncContext(self)

    def _bind(self) -> CancelNotice:
        """Return the notice of the current event loop; the first call makes the current asyncio task the main one."""
        if self._notice is None:
            main = asyncio.current_task()
            if main is None:
                raise RuntimeError("cannot use the context outside of an asyncio task; call its run(task)")
            self._notice = _FakeNotice(asyncio.get_running_loop(), main)
        return self._notice


class _FakeNotice(CancelNotice):
    """Waits in virtual time where the context has a clock."""

    async def until_cancelled(self, ctx: Any, seconds: float | None) -> bool:
        fake: FakeAsyncContext = ctx.fake
        if not fake._is_virtual(seconds):
            return await super().until_cancelled(ctx, seconds)
        fake._cancel_when_due()
        is_cancelled = fake._advance(seconds)
        if not is_cancelled:
            await asyncio.sleep(0)  # other tasks of the loop go on, as in a real wait
        return is_cancelled


class _SyncContext:
    """The same fake context with the blocking `wait` and `sleep`."""

    def __init__(self, fake: FakeAsyncContext) -> None:
        self.fake = fake

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fake, name)

    def wait(self, seconds: float | None = None) -> bool:
        return FakeContext.wait(self.fake, seconds)

    def sleep(self, seconds: float) -> None:
        FakeContext.sleep(self.fake, seconds)
