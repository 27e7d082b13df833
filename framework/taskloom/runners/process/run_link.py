"""The means of one run to act on its processes and to report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono, wall
from taskloom.runners.process.driven_run import INFO
from taskloom.runners.process.log_thread import LogEntry, RunLog
from taskloom.runners.process.run_phase import Phase
from taskloom.sync.cancel_callback import CancelCallback

if TYPE_CHECKING:
    from taskloom.runners import Emit, Report
    from taskloom.runners.process.connection import Connection
    from taskloom.runners.process.hub import Hub
    from taskloom.runners.process.run_descriptors import RunDescriptors
    from taskloom.runners.process.supervisor_watch import SupervisorWatch
    from taskloom.runners.wire import Down

__all__ = ["RunLink"]


class RunLink:
    """The `Link` of a `DrivenRun`, in the phase of its connection. Called on the IO thread unless it says so."""

    def __init__(
        self, connection: Connection, hub: Hub, *, log: RunLog, ends: RunDescriptors, watch: SupervisorWatch, emit: Emit
    ) -> None:
        self._connection = connection
        self._hub = hub
        self._log = log
        self._ends = ends
        self._watch = watch
        self._emit = emit

    def signal(self, number: int) -> None:
        """Send a signal to the main process."""
        self.send_order(f"signal {number}")

    def signal_group(self, number: int) -> None:
        """Send a signal to the process group of the main process."""
        self.send_order(f"group {number}")

    def be_patient(self) -> None:
        """Let the processes that the main process leaves have the time until `kill`, after a TERM."""
        self.send_order("patient")

    def kill(self) -> None:
        """Kill every process of the run."""
        launched = self._ends.launched
        if launched is not None and self._connection.phase is Phase.OPEN:
            self._ends.send_order("kill")
            self._watch.kill_ordered(launched, mono())

    def send_order(self, line: str) -> None:
        """Send an order to the supervisor."""
        if self._connection.phase is Phase.OPEN:
            self._ends.send_order(line)

    def send(self, message: Down) -> None:
        """Send a message to the worker."""
        if self._connection.phase is Phase.OPEN:
            self._ends.send(message)

    def log(self, text: str, *, level: int = INFO, name: str = "", created: float | None = None) -> None:
        """Log a line of the run."""
        self._log.add(LogEntry(level, name, text, wall() if created is None else created))

    def log_record(self, entry: LogEntry) -> bool:
        """Log a record of the worker; return False if there are too many."""
        return self._log.add_or_drop(entry)

    def emit(self, report: Report) -> None:
        """Report to the scheduler, and let another run start if this one has begun."""
        if not self._connection.has_reported:
            self._hub.starts.remove(self._connection)
            self._emit(report)

    def call(
        self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None], *, is_slow: bool = False
    ) -> None:
        """Call `work` on a helper thread, and then `done` on the IO thread if the run has not ended."""

        def call() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001 - whatever it is, the run has to know
                error = raised
            self._hub.io.post(self._connection, self._call_returned, done, result, error)

        helpers = self._hub.slow_helpers if is_slow else self._hub.helpers
        helpers.submit("", [CancelCallback(call, "check of a process")])

    def _call_returned(
        self, done: Callable[[Any, BaseException | None], None], result: Any, error: BaseException | None
    ) -> None:
        if self._connection.phase in (Phase.OPEN, Phase.REPORTING) and not self._connection.is_struck:
            done(result, error)
