"""Executes runs in threads: one new `threading.Thread` for each run, with the daemon flag of the job.

Never a ThreadPoolExecutor: its exit hook joins all its threads, even one that never ends. Every attempt has a new
Thread: after a failed start, Python 3.13 refuses a second `start` of the same object.

A daemon job with `{reuse: true}` has a thread for itself as well while it runs, but one that other runs use before and
after it.
"""

from __future__ import annotations

import os
import threading
from _thread import get_ident
from collections.abc import Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.core.endings import ErrorInfo, How
from taskloom.core.run_reports import RunEnded, RunStarted, RunStartFailed
from taskloom.errors import PermanentFailure
from taskloom.runners import TERMINATE_SECONDS, Emit, RunHandle, RunOrder, Stack
from taskloom.runners.binding import Body
from taskloom.runners.cancellations import is_cancellation
from taskloom.runners.context import RunContext, current_run
from taskloom.runners.error_info import describe
from taskloom.runners.forked_child import leave_child
from taskloom.runners.gauges import Gauges
from taskloom.runners.run_thread import PromptRunThread
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch
from taskloom.sync.waker import Waker

if TYPE_CHECKING:
    from taskloom.runners.thread_cache import ThreadCache

__all__ = ["ReusingRun", "ThreadRun", "ThreadRunner", "wait_for_terminate"]

_LAZY = (CoroutineType, GeneratorType, AsyncGeneratorType)


class ThreadRunner:
    """Starts runs in threads. Its one option is `reuse`."""

    # Created at the first use: most programs reuse no threads, and the cost of a start-up is measured.
    _cache: ThreadCache | None = None

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> ThreadRun | ReusingRun:
        """Start the run in a thread. Raises RuntimeError if no thread can be started."""
        if not order.options.get("reuse"):
            return ThreadRun(order, token, emit)
        if not order.daemon:
            raise ValueError(f"cannot reuse threads for {order.job!r}: only a daemon job may")
        run = ReusingRun(order, token, emit)
        (self._cache or self._make_cache()).start(run)
        return run

    def _make_cache(self) -> ThreadCache:
        from taskloom.runners.thread_cache import ThreadCache

        # `setdefault` is atomic: two threads that come at once get the same cache.
        self._cache = vars(self).setdefault("_cache", ThreadCache())
        return self._cache

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Return where the runs currently are; reads the frames of all threads once."""
        from taskloom.runners.stacks import capture_stacks

        runs = [handle for handle in handles if isinstance(handle, _Execution)]
        found = capture_stacks([run.ident for run in runs], texts)
        # If a run has ended since, another run may have its thread or thread id, and we have seen that run's stack.
        return [stack if run.ident is not None else Stack("", "") for run, stack in zip(runs, found, strict=True)]

    def close(self) -> None:
        """Let the idle threads end now, and the others when they are free. Never blocks."""
        if self._cache is not None:
            self._cache.close()

    def join(self, timeout: float) -> bool:
        """After `close`, wait until the free threads have ended; return False after `timeout` seconds."""
        return self._cache is None or self._cache.join(timeout)

    def leave_behind(self) -> None:
        """Called in a forked child, where at most one thread of ours exists: the one that called fork."""
        if self._cache is not None:
            self._cache.leave_behind()


class _Execution:
    """One run, as the thread that executes it sees it."""

    __slots__ = ("_done", "_emit", "_end", "_order", "_token", "_unreported", "gauges", "ident")

    def __init__(self, order: RunOrder, token: CancelToken, emit: Emit) -> None:
        self.gauges = Gauges()
        self.ident: int | None = None
        """The id of the thread that executes it, as in `sys._current_frames`; None before and after."""
        self._order = order
        self._token = token
        self._emit = emit
        self._end: RunEnded | RunStartFailed | None = None
        # What reports the end; empty once it is reported.
        self._unreported = [emit]
        # Not Thread.is_alive: before Python 3.13 a signal during Thread.join() marks a live thread as dead.
        self._done = Latch()

    def is_alive(self) -> bool:
        """Return whether the body may still be executing."""
        return not self._done.is_open

    def execute(self) -> None:
        """Create the body, run it, and report how it ended. Called once, on the thread of the run."""
        try:
            self.ident = get_ident()
            self._end = self._run()
        finally:
            try:
                self.report_end()
            finally:
                self.ident = None

    def report_end(self) -> None:
        """Close the token and report the end, after everything else; idempotent.

        Called on the thread of the run, once more in each outer `finally`: a MemoryError may strike any line, and a run
        whose end is not reported would live for ever.
        """
        if self._unreported:
            self._token.close()
            end = self._end or _missing_report(self._order.run, was_requested=self._token.end())
            # On one line: the end is reported once, whichever line is struck.
            self._unreported.pop()(end)

    def _run(self) -> RunEnded | RunStartFailed:
        order, token = self._order, self._token
        if order.terminate_returned is not None:
            wait_for_terminate(order.terminate_returned, token)
        try:
            body = order.binding.make()
        except BaseException as error:  # noqa: BLE001 - the plugin boundary
            return RunStartFailed(order.run, describe(error))
        if not token.may_enter:
            return RunEnded(order.run, How.NOT_ENTERED, None, True, False)
        self._emit(RunStarted(order.run, not order.binding.announces_ready))
        context = RunContext(order, token, self._emit, self.gauges)
        current_run.set(context)
        process = os.getpid()
        how, error_info, was_requested, callback_ran = _call(body, context, token)
        if os.getpid() != process:
            leave_child(how, error_info)
        return RunEnded(order.run, how, error_info, was_requested, callback_ran)


class ThreadRun(_Execution):
    """One run in a thread of its own."""

    __slots__ = ("_thread",)

    def __init__(self, order: RunOrder, token: CancelToken, emit: Emit) -> None:
        super().__init__(order, token, emit)
        self._thread = PromptRunThread(target=self._main, name=order.job, daemon=order.daemon)
        self._thread.start()

    def is_gone(self) -> bool:
        """Return whether the thread has ended."""
        return self._done.is_open and not self._thread.is_alive()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the body to return and then for the thread to end; return False after `timeout` seconds."""
        if timeout is None or timeout > threading.TIMEOUT_MAX:
            self._done.wait()
            self._thread.join()
            return True
        deadline = mono() + timeout
        if not self._done.wait(timeout):
            return False
        self._thread.join(max(0.0, deadline - mono()))
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            self.execute()
        finally:
            try:
                self.report_end()
            finally:
                self._done.open()


class ReusingRun(_Execution):
    """One run in a thread that other runs use before and after it."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The job's name, which the thread has during the run."""
        return self._order.job

    def thread_freed(self) -> None:
        """Record that the thread is free for another run."""
        try:
            self.report_end()
        finally:
            self._done.open()

    def is_gone(self) -> bool:
        """Return whether the thread is free for another run, or has ended."""
        return self._done.is_open

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the body to return and the thread to be free; return False after `timeout` seconds."""
        return self._done.wait(timeout)


def _call(body: Body, context: RunContext, token: CancelToken) -> tuple[How, ErrorInfo | None, bool, bool]:
    """Call the body; never raises, and keeps no frame and no exception.

    Whether the stop was requested, and whether the wake-up may raise, is read at once, on the run's own thread:
    describing an error or logging may take long, and a request that comes meanwhile was not the cause of the end.
    """
    if not token.enter(body.terminate):
        return How.NOT_ENTERED, None, True, False
    try:
        result = body.run(context)
        token.mark_ended()
        was_requested = token.end()
        callback_ran = was_requested and token.wakeup_may_raise
        # Inside `try` as well: closing a started generator executes code of the plugin.
        how, error_info = (How.RETURNED, None) if result is None else _check_result(result, context)
    except BaseException as error:  # noqa: BLE001 - the plugin boundary: even SystemExit
        token.mark_ended()
        was_requested = token.end()
        callback_ran = was_requested and token.wakeup_may_raise
        how, error_info = _how(error), describe(error)
    return how, error_info, was_requested, callback_ran


def wait_for_terminate(terminate_returned: Latch, token: CancelToken) -> None:
    """Wait until `terminate` of the previous run has returned, at most TERMINATE_SECONDS, or until cancelled."""
    waker = Waker()
    handle = token.add_waker(waker)
    terminate_returned.add_waker(waker)
    try:
        waker.wait(TERMINATE_SECONDS)
    finally:
        terminate_returned.remove_waker(waker)
        handle.close()


def _how(error: BaseException) -> How:
    if is_cancellation(error):
        return How.CANCELLED
    # Not isinstance, which asks the object for its `__class__`.
    return How.PERMANENT if issubclass(type(error), PermanentFailure) else How.RAISED


def _check_result(result: object, context: RunContext) -> tuple[How, ErrorInfo | None]:
    """Return an error for a coroutine or generator, whose code was never executed; warn about any other value."""
    kind = type(result).__name__
    if isinstance(result, _LAZY):
        if isinstance(result, CoroutineType | GeneratorType):
            result.close()
        text = f"run returned a {kind}, whose code was never executed; write a plain function"
        return How.RAISED, ErrorInfo("TypeError", text, f"TypeError: {text}\n")
    context.log.warning("run returned a value of type %s; it is ignored: a task returns None", kind)
    return How.RETURNED, None


def _missing_report(run: str, *, was_requested: bool) -> RunEnded:
    text = "internal error: the run's thread ended without a report"
    return RunEnded(run, How.RAISED, ErrorInfo("InternalError", text, text + "\n"), was_requested, callback_ran=False)
