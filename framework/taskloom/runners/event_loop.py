"""Runs a coroutine in an event loop of its own, on the calling thread. The only module that creates event loops.

Guarantees:
- A cancellation reaches the loop within a millisecond, whatever it awaits and however busy helper threads are: `wake`
  of the token wakes the loop itself.
- Each turn of the loop is a poll. While the loop waits for I/O or a timer the run counts as waiting, since a
  cancellation wakes it. Code that blocks the thread does neither, so poll age and watchdog see it.
- The run has ended when all of its tasks, asynchronous generators and executor threads have ended: as in
  `asyncio.run`, but without its limit of five minutes for threads.
- No signal handler and no event loop policy is used or changed.
"""

from __future__ import annotations

import asyncio
import selectors
from _thread import get_ident
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, cast

from taskloom.errors import Cancelled
from taskloom.runners.async_context import AsyncRunContext, CancelNotice
from taskloom.runners.cancellations import is_cancellation
from taskloom.runners.error_info import frames_of, set_frames
from taskloom.runners.loop_executor import LoopExecutor
from taskloom.runners.loop_stacks import Line, coroutine_lines, loop_runs
from taskloom.sync.waker import Waker

if TYPE_CHECKING:
    from taskloom.runners.context_view import LoopContext
    from taskloom.task import Context

__all__ = ["run_in_event_loop"]

CoroutineFunction = Callable[[Any], Coroutine[Any, Any, object]]


def run_in_event_loop(function: CoroutineFunction, ctx: Context) -> object:
    """Call the coroutine function with an AsyncContext, and run its coroutine and all that it started to the end.

    Returns what it returned. Raises what it raised, with a traceback that begins with its own code; Cancelled if its
    main task was cancelled after the stop was requested.
    """
    run = _LoopRun(ctx)
    try:
        return run.execute(function)
    except BaseException as error:
        set_frames(error, run.own_traceback or frames_of(error))
        raise


class _LoopRun:
    """One run in an event loop. Implements `taskloom.runners.loop_stacks.LoopRun`."""

    def __init__(self, ctx: Context) -> None:
        self.own_traceback: TracebackType | None = None
        """Where the main task raised the exception that ended it."""
        # An exception of the main task that asyncio cannot carry.
        self._withheld: list[BaseException] = []
        self._ctx = ctx
        self._selector = _LoopSelector(cast("LoopContext", ctx), self)
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._executor = LoopExecutor(ctx.job)
        self._loop.set_default_executor(self._executor)
        # None before the main task begins and after it has ended.
        self._notice: CancelNotice | None = None

    def execute(self, function: CoroutineFunction) -> object:
        """Run the coroutine and all that it started to the end. Called once."""
        ident = get_ident()
        loop_runs[ident] = self
        # For libraries that call `asyncio.get_event_loop` outside of a coroutine.
        asyncio.set_event_loop(self._loop)
        try:
            try:
                return self._run_main(function)
            finally:
                self._end_all()
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()
            self._selector.forget_run()
            del loop_runs[ident]

    def _run_main(self, function: CoroutineFunction) -> object:
        loop = self._loop
        main = loop.create_task(self._call(function), name=self._ctx.job)
        self._notice = CancelNotice(loop, main)
        try:
            loop.run_until_complete(main)
        except BaseException as error:
            if main.done() and not main.cancelled() and main.exception() is error:
                self.own_traceback = _without_own_frames(frames_of(error))
            if is_cancellation(error) and self._ctx.cancelled:
                raise Cancelled from error
            raise
        finally:
            self._notice = None
        if self._withheld:
            withheld = self._withheld.pop()
            self.own_traceback = _without_own_frames(frames_of(withheld))
            raise withheld
        return main.result()

    async def _call(self, function: CoroutineFunction) -> object:
        assert self._notice is not None
        try:
            return await function(AsyncRunContext(self._ctx, self._notice))
        except BaseException as error:
            if not _has_class(error):
                # asyncio asks for it, and would leave the task without an end.
                self._withheld.append(error)
                return None
            raise

    def notice_cancel(self) -> bool:
        """Tell the main task, unless it has ended; return whether a task can go on because of it.

        Called on the loop's thread, in every turn after the request.
        """
        return self._notice is not None and self._notice.notice_cancel()

    def wake(self) -> None:
        """Make the loop leave its wait for events. Any thread may call it; never blocks, never raises.

        Not `call_soon_threadsafe`, which needs memory and raises once the loop is closed.
        """
        self._loop._write_to_self()  # type: ignore[attr-defined]  # since Python 3.4

    # -- the end

    def _end_all(self) -> None:
        """Wait for tasks, asynchronous generators and executor threads, in this order; whatever the former raise."""
        loop = self._loop
        with ExitStack() as last:
            last.callback(self._end_threads)
            last.callback(lambda: loop.run_until_complete(loop.shutdown_asyncgens()))
            while left := asyncio.all_tasks(loop):  # a task may start others while it ends
                self._end_tasks(left)

    def _end_tasks(self, left: set[asyncio.Task[Any]]) -> None:
        """Cancel the tasks and wait for them. Their exceptions are logged, as those of any task that is not awaited."""
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        for task in left:
            if not task.cancelled() and task.exception() is not None:
                context = {"message": "unhandled exception at the end of the run", "exception": task.exception()}
                self._loop.call_exception_handler({**context, "task": task})

    def _end_threads(self) -> None:
        """Wait for the executor threads, while the loop goes on: they may call it."""
        loop = self._loop
        # A future and no task: the tasks of the loop are all of the run's own.
        ended = loop.create_future()
        self._executor.close(lambda: loop.call_soon_threadsafe(_end_wait, ended))
        loop.run_until_complete(ended)
        self._executor.join()

    # -- where it is

    def stacks(self, frames: dict[int, FrameType]) -> Iterator[tuple[str, list[Line]]]:
        """Yield the stack of the main task, those of the other tasks, and those of the busy executor threads."""
        notice = self._notice
        main = notice.main if notice is not None else None
        if main is not None:
            yield "", self._task_lines(main)
        for task in _tasks_of(self._loop):
            if task is not main:
                yield f"Task {task.get_name()}:", self._task_lines(task)
        for lines in self._executor.stacks(frames):
            yield "Thread of the executor:", lines

    def _task_lines(self, task: asyncio.Task[Any]) -> list[Line]:
        """Return the lines of the task and of the tasks that it awaits, as far as asyncio shows them."""
        lines: list[Line] = []
        seen: set[object] = set()
        awaited: object = task
        while isinstance(awaited, asyncio.Task) and awaited not in seen:
            seen.add(awaited)
            lines += coroutine_lines(awaited.get_coro())
            # What the task awaits. It is not a public attribute, so it may be missing in another implementation.
            awaited = getattr(awaited, "_fut_waiter", None)
        return lines


class _LoopWaker(Waker):
    """Ends the wait of a loop for events."""

    __slots__ = ("run",)

    def __init__(self, run: _LoopRun) -> None:
        super().__init__()
        self.run: _LoopRun | None = run

    def release(self) -> None:
        """Wake the loop. Called on another thread by the token; never blocks."""
        run = self.run
        if run is not None:
            run.wake()


class _LoopSelector(selectors.DefaultSelector):
    """Waits for events as part of the run: counts polls, counts the run as waiting, and is woken by a cancellation."""

    def __init__(self, ctx: LoopContext, run: _LoopRun) -> None:
        super().__init__()
        self._ctx = ctx
        self._run: _LoopRun | None = run
        self._waker = _LoopWaker(run)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events; the run counts as waiting meanwhile."""
        ctx, run = self._ctx, self._run
        try:
            # The token's protocol: first the waker is added, then the flag is read. So no cancellation is missed.
            if ctx.begin_wait(self._waker) and run is not None and run.notice_cancel():
                timeout = 0
            return super().select(timeout)
        finally:
            if ctx.end_wait(self._waker) and run is not None:
                run.notice_cancel()

    def forget_run(self) -> None:
        """Drop the references to the run, which refers to this selector: a cycle would keep both alive."""
        self._run = self._waker.run = None


def _has_class(error: BaseException) -> bool:
    """Return whether the exception can be asked for its class: it may have a property of that name, which raises."""
    try:
        _ = error.__class__
    except BaseException:  # noqa: BLE001 - code of the exception's class
        return False
    return True


def _end_wait(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _tasks_of(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """Return the tasks that have not ended. The loop may go on meanwhile: then none may be found."""
    try:
        return sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name)
    except RuntimeError:
        return []


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame on that belongs neither to this module nor to asyncio."""
    own = (__file__, asyncio.__path__[0])
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(own):
        traceback = traceback.tb_next
    return traceback
