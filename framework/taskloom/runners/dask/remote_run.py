"""One run elsewhere, as this program knows it: turns what comes from there into reports, gauges and log lines.

The report of the end is held back until the session says that nothing of the run is left, and until the log lines
before it were passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono, wall
from taskloom.core.endings import ErrorInfo, How
from taskloom.core.run_reports import (
    CallbackFailed,
    RunEnded,
    RunPlaced,
    RunReachable,
    RunReady,
    RunReleased,
    RunResponsive,
    RunStarted,
    RunStartFailed,
    RunUnreachable,
    RunUnresponsive,
    Whereabouts,
)
from taskloom.runners import ProcessInfo, Stack
from taskloom.runners.dask.handle import DaskHandle
from taskloom.runners.dask.reports import ProcessSeen, decode
from taskloom.runners.process.log_thread import LogEntry, LogThread, RunLog
from taskloom.runners.wire_lines import ProtocolError
from taskloom.runners.wire_messages import Gauged, Logged, Polled, StackAnswer
from taskloom.text import duration

if TYPE_CHECKING:
    from taskloom.core.endings import Reason
    from taskloom.runners import Emit, RunOrder
    from taskloom.runners.dask.cluster_thread import ClusterThread
    from taskloom.runners.dask.options import DaskOptions
    from taskloom.runners.dask.protocol.placement_io import Worker
    from taskloom.runners.process.stack_requests import StackSlot
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["RemoteRun", "explained"]

LOG_SECONDS = 0.2
"""The end of a run waits this long for its log lines: a log handler may block for ever."""

_WARNING = 30
_STRUCK_TEXT = "internal error: an exception struck the thread of its cluster"
# More counters, and more failed callbacks, than any task has: a worker must not fill our memory.
_MOST_COUNTERS = 10_000
_MOST_FAILED_CALLBACKS = 100
# The time of a record is that of the worker's host; one that is this far from ours, in seconds, is no time.
_FAR = 86400.0

Ending = RunEnded | RunStartFailed


def explained(kind: str, message: str) -> ErrorInfo:
    """Return an error in words, without a traceback."""
    return ErrorInfo(kind, message, f"{message}\n", is_explained=True)


class RemoteRun:
    """One run. All methods are for the thread of its cluster.

    `ended` is called with the run once its end is about to be reported.
    """

    def __init__(
        self,
        order: RunOrder,
        options: DaskOptions,
        token: CancelToken,
        emit: Emit,
        handle: DaskHandle,
        *,
        logs: LogThread,
        thread: ClusterThread,
        ended: Callable[[RemoteRun], object],
    ) -> None:
        self.order = order
        self.options = options
        self.token = token
        self.handle = handle
        self.spec: Mapping[str, Any] = {}
        """The data that an execution needs; made on the thread."""
        self.is_placed = False
        """Whether a session knows the run."""
        self.cancelled: Reason | None = None
        """Why the run was requested to stop, once the session was informed."""
        self.stacks: dict[int, StackSlot] = {}
        """The questions that are not answered, by their number."""
        self.verdict: Ending | None = None
        """How the run says it has ended, or how it was concluded."""
        self._emit = emit
        self._has_ended = ended
        self._thread = thread
        self._log = RunLog(logs, order.job, order.run, _no_space_needed)
        self._is_concluded = False
        # The callable that reports the end; empty once it is reported.
        self._unreported = [emit]
        self._is_lost = self._is_released = False
        self._is_started = self._is_ready = False
        self._polls = 0
        self._failed_callbacks = 0
        # Until a worker begins it, the run is waiting: its poll age counts from the start, and not from the queue.
        token.update_remote(has_polled=False, is_waiting=True, is_wakeable=True)

    # -- where it is

    def placing(self) -> None:
        """Called when the session knows the run. A wait for a slot is no silence of the task."""
        self.is_placed = True
        self.token.update_remote(has_polled=False, is_waiting=True, is_wakeable=False)

    def placed(self, worker: Worker, pid: int = 0) -> None:
        """Called when the run is on this worker; `pid` is that of its main process, 0 if it is not known yet."""
        known = self.handle.whereabouts
        if known is not None and not pid and known[:2] == (worker.host, worker.name):
            return
        self._see(Whereabouts(worker.host, worker.name, pid))

    def _see(self, whereabouts: Whereabouts) -> None:
        if self._unreported and whereabouts != self.handle.whereabouts:
            self.handle.whereabouts = whereabouts
            self._log.pid = whereabouts.pid
            self._report(RunPlaced(self.order.run, whereabouts))

    def unreachable(self, since: float) -> None:
        """Called when nothing is heard of the run's worker."""
        self._report(RunUnreachable(self.order.run, since))

    def reachable(self) -> None:
        """Called when the worker was heard of again."""
        self._report(RunReachable(self.order.run))

    # -- what its processes say

    def reported(self, data: Mapping[str, Any]) -> None:
        """Take one message. One that is not a report is logged and ignored: the run ends without it."""
        if self._is_concluded:
            return
        try:
            report = decode(self.order.run, data)
            _TAKE[type(report)](self, report)
        except (ProtocolError, TypeError) as error:
            self.log(f"the worker broke the protocol: {error}", level=_WARNING)

    def lines_dropped(self, text: str) -> None:
        """Log that lines of this run, or of another one on its worker, are missing."""
        self.log(text, level=_WARNING)

    def log(self, text: str, *, level: int) -> None:
        """Log a line of the run that is our own."""
        self._log.add_or_drop(LogEntry(level, "taskloom.runners", text, wall()))

    def _take_start(self, started: RunStarted) -> None:
        if self._is_started:
            return
        self._is_started, self._is_ready = True, started.is_ready
        self.handle.gauges.begun = mono()
        self.token.update_remote(has_polled=False, is_waiting=False, is_wakeable=False)
        self._report(started)

    def _take_ready(self, ready: RunReady) -> None:
        if self._is_started and not self._is_ready:
            self._is_ready = True
            self._report(ready)

    def _take_callback(self, failed: CallbackFailed) -> None:
        self._failed_callbacks += 1
        if self._failed_callbacks <= _MOST_FAILED_CALLBACKS:
            self._report(failed)

    def _take_polls(self, polled: Polled) -> None:
        has_polled, self._polls = polled.n != self._polls, polled.n
        is_waiting = polled.waiting and self.verdict is None and not self.token.is_requested
        self.token.update_remote(has_polled=has_polled, is_waiting=is_waiting, is_wakeable=polled.wakeable)

    def _take_gauges(self, gauged: Gauged) -> None:
        if gauged.progress is not None:
            self.handle.gauges.progress = gauged.progress
        if len(self.handle.gauges.counts) <= _MOST_COUNTERS:
            self.handle.gauges.set_counts(gauged.counts)

    def _take_log(self, logged: Logged) -> None:
        now = wall()
        created = logged.created if abs(logged.created - now) < _FAR else now
        self._log.add_or_drop(
            LogEntry(
                logged.level, logged.name, logged.message, created, logged.exc, logged.stack, logged.thread,
                logged.path, logged.line, logged.function, logged.extra,
            )
        )  # fmt: skip

    def _take_stack(self, answer: StackAnswer) -> None:
        slot = self.stacks.pop(answer.id, None)
        if slot is not None:
            slot.answer(Stack(answer.where, answer.text))

    def _take_process(self, seen: ProcessSeen) -> None:
        self.handle.process = ProcessInfo(*seen)
        place = self.handle.whereabouts
        if place is not None and seen.pid:
            self._see(place._replace(pid=seen.pid))

    def _take_end(self, ended: Ending) -> None:
        if self.verdict is None:
            if self._is_started:
                self.token.mark_ended()
            self.token.remote_wait = False
            self.verdict = ended

    # -- the end

    def start_failed(self, error: ErrorInfo) -> None:
        """Called when the run cannot begin, and no worker has begun it."""
        self.conclude(RunStartFailed(self.order.run, error))

    def end(self, *, entered: bool) -> None:
        """Called when nothing of the run is left. `entered` is False if it was never granted to a worker."""
        if not entered:
            self.conclude(self.not_entered())
            return
        self.conclude(self._checked(self.verdict))

    def _checked(self, verdict: Ending | None) -> Ending:
        """Return what counts of what the run says about its end."""
        run, was_requested = self.order.run, self.token.is_requested
        if isinstance(verdict, RunStartFailed):
            return verdict
        if verdict is None:
            error = explained("ProcessLost", "its worker says that it has ended, and not how")
            return RunEnded(run, How.LOST, error, was_requested, callback_ran=False, stopped_by=mono())
        if not was_requested and (verdict.was_requested or verdict.how is How.KILLED):
            return self._stopped_by_worker(verdict)
        if verdict.how is How.NOT_ENTERED and not verdict.was_requested:
            return RunStartFailed(run, explained("ProtocolError", "its worker did not begin the run"))
        if not self._is_started and verdict.how not in (How.NOT_ENTERED, How.KILLED, How.LOST):
            return RunStartFailed(run, verdict.error or explained("ProtocolError", "it ended before it had begun"))
        stopped_by = mono() if verdict.how is How.LOST else 0.0
        return verdict._replace(stopped_by=stopped_by)

    def _stopped_by_worker(self, verdict: RunEnded) -> Ending:
        """Return the failure of a run that its worker has stopped by itself: this program has not asked for it."""
        message = (
            f"its worker {self.place()} has stopped it: the worker is closing, or has heard nothing of this program "
            f"for longer than the lease of {duration(self.options.cluster.lease.ttl)}"
        )
        if verdict.error is not None:
            message = f"{message} ({verdict.error})"
        error = explained("StoppedByWorker", message)
        if not self._is_started:
            return RunStartFailed(self.order.run, error)
        return RunEnded(self.order.run, How.RAISED, error, was_requested=False, callback_ran=False)

    def place(self) -> str:
        """Return where the run is, for messages."""
        place = self.handle.whereabouts
        return "on the cluster" if place is None else f"{place.worker} on {place.host}"

    def not_entered(self) -> Ending:
        """Return the end of a run that no worker has begun."""
        if self.token.is_requested:
            return RunEnded(self.order.run, How.NOT_ENTERED, None, True, callback_ran=False)
        return RunStartFailed(self.order.run, explained("SessionClosed", "this program has left the cluster before"))

    def lost(self, why: str, stopped_by: float) -> None:
        """Called when the end cannot be confirmed. All that is left stops by `stopped_by`, in monotonic seconds."""
        self._is_lost = True
        error = explained("RunLost", why)
        requested = self.token.is_requested
        self.conclude(RunEnded(self.order.run, How.LOST, error, requested, callback_ran=False, stopped_by=stopped_by))

    def released(self) -> None:
        """Called when it is certain that nothing is left of a lost run."""
        self._is_released = True
        self._report_release()

    def conclude(self, verdict: Ending) -> None:
        """Report the verdict as soon as the log lines before it were passed on; the first one counts."""
        if self._is_concluded:
            return
        self._is_concluded = True
        self.verdict = verdict
        for slot in self.stacks.values():
            slot.answered.open()
        self.stacks.clear()
        if self._log.is_empty:
            self.report_end()
        else:
            self._thread.call_at(mono() + LOG_SECONDS, self.report_end)
            self._log.finish(lambda: self._thread.post(self.report_end))

    def report_end(self) -> None:
        """Report the end, after everything else; idempotent."""
        if not self._unreported or self.verdict is None:
            return
        self.token.close()
        self._has_ended(self)  # first: a thread that sees the end may wait for our thread
        # On one line: the end is reported once, whichever line is struck.
        self._unreported.pop()(self.verdict)
        self.handle.has_ended()
        self._report_release()

    def struck(self, stopped_by: float) -> None:
        """Called when an exception has struck what this program does for the run: no more will be known of it."""
        error = ErrorInfo("InternalError", _STRUCK_TEXT, f"{_STRUCK_TEXT}\n")
        if not self.is_placed and not self._is_concluded:
            self.verdict = RunStartFailed(self.order.run, error)
        elif self.verdict is None or not self._is_concluded:
            lost = RunEnded(self.order.run, How.LOST, error, self.token.is_requested, callback_ran=False)
            self.verdict = lost._replace(stopped_by=stopped_by)
        self._is_concluded = True
        self.report_end()

    @property
    def is_concluded(self) -> bool:
        """Whether it is certain how the run ends."""
        return self._is_concluded

    def _report_release(self) -> None:
        if self._is_lost and self._is_released and not self._unreported:
            self._is_lost = False
            self._emit(RunReleased(self.order.run))

    def _report(self, report: Any) -> None:
        if self._unreported and not self._is_concluded:
            self._emit(report)


def _no_space_needed() -> None:
    """Do nothing: nothing is paused while the log is full; records are dropped, and counted."""


_TAKE: Mapping[type, Callable[[RemoteRun, Any], object]] = {
    RunStarted: RemoteRun._take_start,
    RunReady: RemoteRun._take_ready,
    RunUnresponsive: RemoteRun._report,
    RunResponsive: RemoteRun._report,
    CallbackFailed: RemoteRun._take_callback,
    RunEnded: RemoteRun._take_end,
    RunStartFailed: RemoteRun._take_end,
    Polled: RemoteRun._take_polls,
    Gauged: RemoteRun._take_gauges,
    Logged: RemoteRun._take_log,
    StackAnswer: RemoteRun._take_stack,
    ProcessSeen: RemoteRun._take_process,
}
