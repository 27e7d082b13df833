"""One granted execution in a worker: its processes, below a supervisor, and what they report.

The commands and `see_processes` are for the thread of the agent. The messages of the processes come on the threads of
the process runner, and go to the agent as inputs: each of these calls is short, and none blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from taskloom.core.endings import ErrorInfo, How, Reason, ReasonKind
from taskloom.core.run_reports import (
    RunEnded,
    RunPlaced,
    RunReachable,
    RunReleased,
    RunStarted,
    RunStartFailed,
    RunUnreachable,
)
from taskloom.runners.dask.child_log import ChildLog
from taskloom.runners.dask.place import Place
from taskloom.runners.dask.protocol.agent_io import ExecutionGone, ExecutionReported, Input
from taskloom.runners.dask.protocol.messages import Command, CommandKind
from taskloom.runners.dask.reports import ProcessSeen, RunReportElsewhere, encode
from taskloom.runners.dask.run_order import order_of
from taskloom.runners.error_info import describe
from taskloom.runners.wire_lines import ProtocolError
from taskloom.runners.wire_messages import Gauged, Polled, StackAnswer
from taskloom.sync.cancel_token import CancelToken

if TYPE_CHECKING:
    from taskloom.runners import Report
    from taskloom.runners.process import ProcessRunner
    from taskloom.runners.process.handle import ProcessHandle
    from taskloom.runners.process.log_thread import LogEntry
    from taskloom.runners.wire import Up

__all__ = ["SEEN_SECONDS", "ChildRun", "Children"]

SEEN_SECONDS = 5.0
"""The time between two reports of the processes of a run: each reads files for about a millisecond."""

# The time between two attempts until the main process is there.
_FIRST_SECONDS = 0.25
_NO_REASON = Reason(ReasonKind.SHUTDOWN, "the program has asked for it")


class ChildRun:
    """The processes of one execution. `send` takes inputs for the agent, on any thread."""

    def __init__(
        self, execution: str, spec: Mapping[str, Any], until: float, place: Place, send: Callable[[Input], object]
    ) -> None:
        self.run = str(spec.get("run", ""))
        self.until = until
        """When its supervisor kills it, whatever happens here, unless `renew` is called; in seconds of `boottime`."""
        self.see_at = inf
        """When `see_processes` is due, in seconds of `boottime`."""
        self.log = ChildLog(self._report)
        self.handle: ProcessHandle | None = None
        self._execution = execution
        self._spec = spec
        self._place = place
        self._send = send
        self._token = CancelToken(run=self.run)
        self._why_killed = ""

    # -- on the thread of the agent

    def start(self, runner: ProcessRunner, now: float) -> None:
        """Start the processes. A start that fails is reported."""
        try:
            self.handle = runner.start_leased(order_of(self._spec), self._token, self._emit, self.until)
        except ProtocolError as error:
            text = f"cannot execute the run: the program broke the protocol: {error}"
            self._emit(RunStartFailed(self.run, ErrorInfo("ProtocolError", text, f"{text}\n", is_explained=True)))
        except Exception as error:  # noqa: BLE001 - whatever the system refuses is the error of this run alone
            self._emit(RunStartFailed(self.run, describe(error)))
        else:
            self.see_at = now + _FIRST_SECONDS

    def command(self, command: Command) -> None:
        """Pass a command of the program on; not STACK."""
        handle = self.handle
        if handle is None:
            return
        if command.kind == CommandKind.CANCEL:
            self._token.request(command.reason or _NO_REASON)
            self._token.wake()
        elif command.kind == CommandKind.URGENT:
            self._token.urgent = True
            handle.set_urgent()
        elif command.kind == CommandKind.POLL_INTERVAL:
            handle.set_poll_interval(command.number)
        elif command.kind == CommandKind.TERMINATE:
            handle.terminate()
        elif command.kind == CommandKind.SIGNAL:
            handle.signal(int(command.number))
        elif command.kind == CommandKind.KILL:
            self.kill("")

    def kill(self, why: str) -> None:
        """Kill all processes. `why`: for the error of the run, or "" if the program knows."""
        self._why_killed = self._why_killed or why
        if self.handle is not None:
            self.handle.kill()

    def renew(self, until: float) -> None:
        """Let the processes live until then."""
        self.until = max(self.until, until)
        if self.handle is not None:
            self.handle.renew(until)

    def see_processes(self, now: float) -> None:
        """Report what the kernel says of the processes."""
        try:
            info = None if self.handle is None else self.handle.process
        except OSError:  # no more descriptors, for example
            info = None
        if info is None:
            self.see_at = now + _FIRST_SECONDS
        else:
            self.see_at = now + SEEN_SECONDS
            self._report(ProcessSeen(*info))

    def answer_stack(self, request: int, where: str, text: str) -> None:
        """Report where the run is. On any thread."""
        self._report(StackAnswer(request, where, text))

    # -- on the threads of the process runner

    def worker_said(self, message: Up) -> None:
        """Report the polls and the numbers of the run; all else is reported by the runner."""
        if isinstance(message, Polled | Gauged):
            self._report(message)

    def logged(self, entry: LogEntry) -> None:
        """Report a line."""
        self.log.add(entry)

    def _emit(self, report: Report) -> None:
        """Take a report of the runner; after the last one nothing of the run is left."""
        if isinstance(report, RunStarted):
            self.see_at = -inf  # the agent takes the report, and then sees that this is due
        if isinstance(report, RunEnded | RunStartFailed):
            self._end(report)
        elif not isinstance(report, RunPlaced | RunUnreachable | RunReachable | RunReleased):  # of runs elsewhere
            self._report(report)

    def _end(self, end: RunEnded | RunStartFailed) -> None:
        """Report the end.

        Even if an exception strikes here, the agent hears that nothing is left: else it would wait for ever.
        """
        self.see_at = inf
        try:
            self.log.tell_dropped()
        finally:
            try:
                self._report(self._explained(end))
            finally:
                self._send(ExecutionGone(self._execution))

    def _explained(self, end: RunEnded | RunStartFailed) -> RunEnded | RunStartFailed:
        """Return the end with what only this host knows about its error."""
        error = end.error
        if error is None:
            return end
        if isinstance(end, RunStartFailed) and (_is_refused(error) or _is_missing(error)):
            installed = f"; installed tasks there: {self._place.installed}" if _is_missing(error) else ""
            message = f"{error.message} (on {self._place.interpreter}{installed})"
            return end._replace(error=replace(error, message=message))
        if isinstance(end, RunEnded) and end.how is How.KILLED and self._why_killed:
            return end._replace(error=replace(error, message=f"{error.message}: {self._why_killed}"))
        return end

    def _report(self, report: RunReportElsewhere) -> None:
        self._send(ExecutionReported(self._execution, encode(report)))


def _is_refused(error: ErrorInfo) -> bool:
    """Return whether this host refuses the start. An exception of the constructor of a task has a traceback."""
    by_us = error.message.startswith("cannot execute the run: ") or not error.traceback.startswith("Traceback ")
    return error.is_explained and by_us


def _is_missing(error: ErrorInfo) -> bool:
    """Return whether the task cannot be found: then it helps to know what is installed."""
    return error.type in ("ModuleNotFoundError", "ImportError") or error.message.startswith("cannot find")


class Children(dict[str, ChildRun]):
    """The runs of an agent whose processes may be left, by execution. Listens to the runner for them."""

    def worker_said(self, run: str, message: Up) -> None:
        """Pass a message of a worker on. On the IO thread."""
        for child in self._of(run):
            child.worker_said(message)

    def logged(self, run: str, entry: LogEntry) -> None:
        """Pass a line on. On the log thread."""
        for child in self._of(run):
            child.logged(entry)

    def _of(self, run: str) -> list[ChildRun]:
        return [child for child in list(self.values()) if child.run == run]
