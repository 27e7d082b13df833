"""Executes the run on the main thread, by the same code as a run in a thread, with a token of its own."""

from __future__ import annotations

import errno
import os
import sys
from _thread import get_ident
from functools import cached_property
from io import TextIOWrapper
from threading import Thread, current_thread
from typing import TYPE_CHECKING, NoReturn

from taskloom import __version__
from taskloom.clock import mono
from taskloom.core.endings import ErrorInfo, How, Reason, ReasonKind
from taskloom.core.run_reports import CallbackFailed as CallbackReport
from taskloom.core.run_reports import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.runners import TERMINATE_SECONDS, Report
from taskloom.runners.context import FORKED
from taskloom.runners.error_info import describe
from taskloom.runners.thread import _Execution
from taskloom.runners.wire import (
    CallbackFailed,
    Ended,
    Hello,
    ProtocolError,
    Ready,
    Spec,
    StackAnswer,
    Started,
    StartFailed,
    decode_down,
)
from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.own_descriptor import OwnDescriptor
from taskloom.worker.ending import leave
from taskloom.worker.forked_children import reset_children
from taskloom.worker.heartbeat import Heartbeat, WatchedGauges
from taskloom.worker.listener import Listener
from taskloom.worker.logging_hook import send_logs
from taskloom.worker.order import order_of
from taskloom.worker.sender import Sender
from taskloom.worker.stack_dumps import forget_dumps, prepare_dumps
from taskloom.worker.termination import Termination, restore_signals

if TYPE_CHECKING:
    from taskloom.runners.callback_pool import CallbackPool

__all__ = ["Worker", "execute"]

_SUCCESS = 0
_FAILED = 1
_CLOSED = Reason(ReasonKind.SHUTDOWN, "the task has closed the socket through which its process is controlled")


def execute(control: int, line: bytes, rest: bytes) -> NoReturn:
    """Execute the run that the first line describes, and exit. `rest`: what has come after the line."""
    try:
        spec = decode_down(line)
    except ProtocolError as error:
        sys.exit(f"the program broke the protocol: {error}")
    if not isinstance(spec, Spec):
        sys.exit("the program broke the protocol: its first message is not a spec")
    Worker(OwnDescriptor(control), spec).work(rest)


class Worker:
    """One run in this process. Implements `taskloom.worker.listener.Listening`."""

    def __init__(self, control: OwnDescriptor, spec: Spec) -> None:
        self._spec = spec
        self._control = control
        self._sender = Sender(control, self._control_closed)
        self._token = CancelToken(self._sender, run=spec.run)
        self._order = order_of(spec)
        self._run = _Execution(self._order, self._token, self._emit)
        self._run.gauges = WatchedGauges(self._sender)
        # The callbacks that are being submitted.
        self._taken: list[list[CancelCallback]] = []
        self._termination = Termination(self._token, self._leave_unentered)
        self._thread = get_ident()
        self._dump = -1
        self._is_reported = False

    @cached_property
    def _pool(self) -> CallbackPool:
        """The helper threads; made when a callback may be called, since many tasks have none."""
        from taskloom.runners.callback_pool import CallbackPool

        return CallbackPool(self._report_callback)

    def work(self, rest: bytes) -> NoReturn:
        """Execute the run, and exit. Called on the main thread."""
        try:
            self._prepare(rest)
        except BaseException as error:  # noqa: BLE001 - no threads, no memory
            self._fail(_no_resources(error) or describe(error))
        if not self._is_reported:
            current_thread().name = self._spec.job
            self._run.execute()
        self._finish()

    def _prepare(self, rest: bytes) -> None:
        self._termination.install()
        _prepare_streams()
        self._dump = prepare_dumps()
        self._sender.start(Heartbeat(self._token, self._run.gauges))
        self._sender.send(Hello(__version__, os.getpid(), self._dump, self._thread))
        if self._spec.version != __version__:
            self._fail(_other_version(self._spec.version))
            return
        reset_children(self._sender.disconnect, restore_signals, self._forget_dumps, self._detach)
        send_logs(self._sender.log, self._spec.log_levels)
        Listener(self._control, rest, self).start()

    def _fail(self, error: ErrorInfo) -> None:
        self._emit(RunStartFailed(self._spec.run, error))

    def _finish(self) -> NoReturn:
        """Let the program know the end, let `terminate` and callbacks that have begun return, and exit."""
        self._sender.flush()
        if "_pool" in vars(self):
            self._pool.join_begun(TERMINATE_SECONDS)
        self._sender.flush()
        leave(_FAILED if self._sender.is_closed_by_task else _SUCCESS)

    # -- reports

    def _emit(self, report: Report) -> None:
        if isinstance(report, RunStarted):
            if self._order.binding.has_terminate:
                self._pool.prepare()
            self._sender.send(Started(report.is_ready, mono()))
            self._sender.begin_sampling()
            # Before the body is entered: it may hold the interpreter lock, or end the process, as its first act.
            self._sender.flush()
        elif isinstance(report, RunReady):
            self._sender.send(Ready())
        elif isinstance(report, RunEnded):
            self._is_reported = True
            self._sender.end(Ended(report.how, report.error, report.was_requested, report.callback_ran))
        elif isinstance(report, RunStartFailed):
            self._is_reported = True
            self._sender.end(StartFailed(report.error))

    def _report_callback(self, report: CallbackReport) -> None:
        self._sender.send(CallbackFailed(report.callback, report.error))

    def _leave_unentered(self) -> None:
        """Report that the stop came before the body, and exit. Called by a signal, wherever the main thread is."""
        if not self._is_reported:
            self._emit(RunEnded(self._spec.run, How.NOT_ENTERED, None, True, False))
            self._finish()

    # -- on the listener's thread

    def cancel(self, reason: Reason) -> None:
        """Request the run to stop, in the order of the scheduler; idempotent."""
        self._termination.stop_requested()
        self._token.request(reason)
        self._termination.request_made()
        self._taken.append(self._token.take_callbacks())
        while self._taken:
            if self._taken[0]:
                self._pool.submit(self._spec.run, self._taken[0])
            del self._taken[0]
        self._token.wake()

    def set_urgent(self) -> None:
        """Mark the stop as urgent."""
        self._token.urgent = True

    def set_poll_interval(self, seconds: float) -> None:
        """Change the poll interval."""
        self._run.gauges.poll_interval = seconds

    def answer_stack(self, request: int) -> None:
        """Have another thread send where the main thread is: a request to stop must not wait for that."""
        try:
            Thread(target=self._send_stack, args=(request,), name="taskloom-stack", daemon=True).start()
        except RuntimeError:
            pass  # no more threads: the program asks by a signal before long

    def _send_stack(self, request: int) -> None:
        from taskloom.runners.stacks import capture_stacks

        (stack,) = capture_stacks([self._run.ident], 1)
        self._sender.send(StackAnswer(request, stack.where, stack.text))

    def tend(self) -> float | None:
        """Add a helper if callbacks are stuck; return after how many seconds to call it again, None if none waits."""
        return self._pool.grow_if_stuck() if "_pool" in vars(self) else None

    # -- trouble

    def _control_closed(self) -> None:
        """Called when the task has closed our socket: the run cannot be controlled any more, so it is to end."""
        try:
            os.write(2, f"{_CLOSED.text}\n".encode())
        except OSError:
            pass  # closed as well
        self.cancel(_CLOSED)

    def _forget_dumps(self) -> None:
        if self._dump >= 0:
            forget_dumps(self._dump)

    def _detach(self) -> None:
        self._token.detach(FORKED)


def _other_version(version: str) -> ErrorInfo:
    text = (
        f"cannot execute the run: the program has taskloom {version}, and the package is now {__version__}; "
        "restart the program"
    )
    return ErrorInfo("OtherVersion", text, text + "\n", is_explained=True)


def _no_resources(error: BaseException) -> ErrorInfo | None:
    """Return in words that the system has no thread or no memory for the run; None for another error."""
    from taskloom.worker.supervision.system import text_of

    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        text = f"cannot start a thread in the process: {text_of(errno.EAGAIN)}"
    elif isinstance(error, MemoryError):
        text = f"cannot begin in the process: {text_of(errno.ENOMEM)}"
    else:
        return None
    return ErrorInfo("CannotLaunch", text, text + "\n", is_explained=True)


def _prepare_streams() -> None:
    """Write each line of a print as soon as it is complete, although it goes to a pipe."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
