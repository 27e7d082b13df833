"""The common parts of all runs in processes: the IO thread, the log thread, helper threads, and the queue of starts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.core.inputs import CallbackFailed
from taskloom.runners.callback_pool import CallbackPool
from taskloom.runners.process.connection import Connection
from taskloom.runners.process.driven_run import DrivenRun, Link
from taskloom.runners.process.handle import ProcessHandle
from taskloom.runners.process.io_thread import IoThread
from taskloom.runners.process.launch import Launched
from taskloom.runners.process.log_thread import LogThread
from taskloom.runners.process.starts import StartQueue, most_starts
from taskloom.runners.process.worker_run import WorkerRun
from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.cancel_token import CancelToken

if TYPE_CHECKING:
    from taskloom.runners import Emit, RunOrder
    from taskloom.runners.gauges import Gauges
    from taskloom.runners.process.run_listener import RunListener

__all__ = ["Hub"]

# A supervisor that was killed and does not end is in the hands of the kernel.
_REAP_SECONDS = 10.0


class Hub:
    """The threads of one ProcessRunner, made for its first run. They end after `close`, with the last run.

    `start`, `close`, `join` and `leave_behind` are for any thread, all else for the IO thread.
    """

    def __init__(self, record_bug: Callable[[BaseException], object], listener: RunListener | None = None) -> None:
        self.runs: dict[Connection, None] = {}
        """The runs that have not ended."""
        self.io = IoThread(self._is_over, record_bug)
        self.listener = listener
        self.logs = LogThread(None if listener is None else lambda log, entry: listener.logged(log.run, entry))
        self.helpers = CallbackPool(self._helper_failed)
        self.slow_helpers = CallbackPool(self._helper_failed)
        """For the checks of programs, which wait for an answer. Its threads are made for the first one."""
        self.starts = StartQueue(most_starts(), mono, lambda run: self.io.post(run, run.begin))
        self._record_bug = record_bug
        self.logs.start()
        try:
            self.io.start()
            if not self.helpers.prepare():
                raise RuntimeError("can't start new thread")
        except BaseException:
            self.close()
            raise

    def start(self, order: RunOrder, token: CancelToken, emit: Emit, lease: float | None = None) -> ProcessHandle:
        """Begin the run; never blocks. `lease`: when it ends, as `ProcessRunner.start` says."""
        handle = ProcessHandle(self.io)
        connection = Connection(self, handle, order, token, emit)
        connection.lease = lease
        handle.connect(connection)
        self.runs[connection] = None
        try:
            self.io.post(connection, connection.open)
        except BaseException:
            self.runs.pop(connection, None)
            raise
        return handle

    def make_run(self, order: RunOrder, token: CancelToken, link: Link, gauges: Gauges) -> DrivenRun:
        """Return the state of a run: of a task in Python, or of a program."""
        if order.binding.program is None:
            return WorkerRun(order, token, link, gauges)
        from taskloom.runners.process.program_run import ProgramRun

        return ProgramRun(order, token, link)

    def forget(self, connection: Connection) -> None:
        """Forget a run that has ended. Idempotent."""
        self.runs.pop(connection, None)

    def reap_later(self, launched: Launched) -> None:
        """Have a helper thread take the exit status of a supervisor that is about to end."""
        self.helpers.submit("", [CancelCallback(lambda: launched.reap(_REAP_SECONDS), "exit of a supervisor")])

    def close(self) -> None:
        """Let the threads end with the last run; never blocks."""
        self.io.close()
        if not self.io.is_started:
            self.logs.close()
            self.helpers.close()
            self.slow_helpers.close()

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the threads have ended. Returns at once if a run is left: they stay."""
        if self.runs:
            return False
        until = mono() + timeout
        return self.io.join(timeout) and self.logs.join(max(0.0, until - mono()))

    def leave_behind(self) -> None:
        """Close every descriptor of ours. Called in a forked child, where no thread of ours exists."""
        for connection in list(self.runs):
            with suppress(OSError):
                connection.leave_behind()
        self.runs.clear()
        self.io.leave_behind()

    def _is_over(self) -> bool:
        """Return whether no run is left; then let the other threads end, too."""
        if self.runs:
            return False
        self.logs.close()
        self.helpers.close()
        self.slow_helpers.close()
        return True

    def _helper_failed(self, failed: CallbackFailed) -> None:
        self._record_bug(RuntimeError(f"{failed.callback}: {failed.error}"))
