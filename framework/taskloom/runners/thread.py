"""Runs in threads of their own: one fresh `threading.Thread` per run, with the job's real daemon flag.

Never a ThreadPoolExecutor: its exit hook joins what cannot be joined. A new Thread for every attempt: after a
failed start 3.13 refuses a second `start` of the same object.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded, RunStarted, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.errors import Cancelled, PermanentFailure
from taskloom.latch import Latch
from taskloom.runners import Emit, RunHandle, RunOrder, Stack
from taskloom.runners.body import Body
from taskloom.runners.context import RunContext, current_run
from taskloom.runners.failure import describe
from taskloom.runners.gauges import Gauges
from taskloom.token import CancelToken

__all__ = ["ThreadRun", "ThreadRunner"]

_LAZY = (CoroutineType, GeneratorType, AsyncGeneratorType)


class ThreadRunner:
    """Starts runs in threads."""

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> ThreadRun:
        """Start the thread. Raises RuntimeError when there is none to be had."""
        return ThreadRun(order, token, emit)

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Say where the runs stand, in one look at all threads."""
        from taskloom.runners.stacks import look

        idents = [handle.ident for handle in handles if isinstance(handle, ThreadRun)]
        return look(idents, texts)


class ThreadRun:
    """One run in its thread."""

    __slots__ = ("_done", "_emit", "_order", "_thread", "_token", "gauges")

    def __init__(self, order: RunOrder, token: CancelToken, emit: Emit) -> None:
        self.gauges = Gauges()
        self._order = order
        self._token = token
        self._emit = emit
        # Our own mark of the end: before 3.13 a signal during Thread.join() marks a live thread as dead.
        self._done = Latch()
        self._thread = threading.Thread(target=self._main, name=order.job, daemon=order.daemon)
        self._thread.start()

    @property
    def ident(self) -> int | None:
        """The thread's identifier, as `sys._current_frames` knows it."""
        return self._thread.ident

    def is_alive(self) -> bool:
        """Tell whether the body may still be executing."""
        return not self._done.is_open

    def is_gone(self) -> bool:
        """Tell whether the thread has ended."""
        return self._done.is_open and not self._thread.is_alive()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the body to come back and then for the thread to be gone."""
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
        report: RunEnded | RunStartFailed | None = None
        try:
            report = self._run()
        finally:
            # Whatever happened above, the end is told: exactly once, and last of all.
            self._emit(report or _never_reported(self._order.run))
            self._done.open()

    def _run(self) -> RunEnded | RunStartFailed:
        order, token = self._order, self._token
        try:
            body = order.binding.make()
        except BaseException as error:  # noqa: BLE001 - the plugin boundary
            token.close()
            return RunStartFailed(order.run, describe(error))
        if not token.enter(body.terminate):
            token.close()
            return RunEnded(order.run, How.NOT_ENTERED, None, True, False)
        self._emit(RunStarted(order.run, not order.binding.announces_ready))
        context = RunContext(order, token, self._emit, self.gauges)
        current_run.set(context)
        how, error_info, was_asked, was_woken = _call(body, context, token)
        token.close()
        return RunEnded(order.run, how, error_info, was_asked, was_woken)


def _call(body: Body, context: RunContext, token: CancelToken) -> tuple[How, ErrorInfo | None, bool, bool]:
    """Call the body; nothing escapes, and no frame or exception is kept.

    Whether it had been asked, and woken, is read at once, on the run's own thread: to describe an error or to log
    may take long, and an ask that comes meanwhile was not the cause.
    """
    try:
        result = body.run(context)
        was_asked, was_woken = token.is_asked, token.was_woken
        # Inside as well: to close a generator that was begun is to run the plugin's code again.
        how, error_info = (How.RETURNED, None) if result is None else _judge(result, context)
    except BaseException as error:  # noqa: BLE001 - the plugin boundary: SystemExit and all
        was_asked, was_woken = token.is_asked, token.was_woken
        how, error_info = _how(error), describe(error)
    return how, error_info, was_asked, was_woken


def _how(error: BaseException) -> How:
    if isinstance(error, Cancelled):
        return How.CANCELLED
    return How.PERMANENT if isinstance(error, PermanentFailure) else How.RAISED


def _judge(result: object, context: RunContext) -> tuple[How, ErrorInfo | None]:
    """Refuse what was never executed; warn of any other value, and drop it."""
    kind = type(result).__name__
    if isinstance(result, _LAZY):
        if isinstance(result, CoroutineType | GeneratorType):
            result.close()
        text = f"run returned a {kind}, whose code was never executed; write a plain function"
        return How.RAISED, ErrorInfo("TypeError", text, f"TypeError: {text}\n")
    context.log.warning("run returned a value of type %s; it is ignored: a task returns None", kind)
    return How.RETURNED, None


def _never_reported(run: str) -> RunEnded:
    text = "internal error: the run's thread ended without a report"
    return RunEnded(run, How.RAISED, ErrorInfo("InternalError", text, text + "\n"), False, False)
