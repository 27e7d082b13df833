"""The state of one run in a process, without any I/O: what the IO thread drives.

The IO thread calls the `on_…` methods, one at a time, with what it has read. A method changes the state, and uses the
link for what follows from it: signals, messages, log lines and reports. None of them blocks. The verdict is asked for
once, when no process of the run is left and all that it has written was read.

`WorkerRun` and `ProgramRun` extend this class: for a task in Python, and for a program.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Literal, Protocol

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import ErrorInfo, How, Reason
from taskloom.runners.process.channel import (
    Exited,
    LeaseEnded,
    OutOfMemory,
    OverLimit,
    ProcessStarted,
    StartFailed,
    SupervisorMessage,
)
from taskloom.runners.process.deaths import Ladder, describe_death, explained, killed_by_ladder

if TYPE_CHECKING:
    from taskloom.runners import Report, RunOrder
    from taskloom.runners.process.launch import LaunchSpec
    from taskloom.runners.process.log_thread import LogEntry
    from taskloom.runners.wire import Down, Up
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["DrivenRun", "Link", "Stream"]

Stream = Literal["stdout", "stderr"]

INFO = 20
"""`logging.INFO`; a program whose jobs are all threads does not import logging for it."""


class Link(Protocol):
    """The means of a run: to act on its processes, and to report. For the IO thread; no method blocks or raises."""

    def signal(self, number: int) -> None:
        """Send a signal to the main process."""

    def signal_group(self, number: int) -> None:
        """Send a signal to the process group of the main process."""

    def kill(self) -> None:
        """Kill every process of the run."""

    def be_patient(self) -> None:
        """Let the processes that the main process leaves have the time until `kill`, after a TERM."""

    def send(self, message: Down) -> None:
        """Send a message to the worker. Dropped if there is no worker or it does not read."""

    def log(self, text: str, *, level: int = INFO, name: str = "", created: float | None = None) -> None:
        """Log a line of the run: by the logger of tasks, or by the one called `name`."""

    def log_record(self, entry: LogEntry) -> bool:
        """Log a record of the worker; return False if it was dropped, since there are too many."""

    def emit(self, report: Report) -> None:
        """Report to the scheduler. The end of the run is not reported here, but returned by `end`."""

    def call(
        self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None], *, is_slow: bool = False
    ) -> None:
        """Call `work` on a helper thread, where it may block, and then `done` on the IO thread.

        `is_slow`: it may take seconds, and the starts of other runs must not wait for it. `done` gets the result, or
        None and the error. It is not called after the run has ended.
        """


class DrivenRun(ABC):
    """One run; times are monotonic seconds."""

    def __init__(self, order: RunOrder, token: CancelToken, link: Link) -> None:
        self.order = order
        self.token = token
        self.link = link
        self.pid: int | None = None
        """The main process, from its start on."""
        self.exited: Exited | None = None
        self.is_started = False
        """Whether RunStarted was reported."""
        self.is_ready = False
        self.ladder = Ladder()
        self.broken: ErrorInfo | None = None
        """Why the run was ended by the runner itself, such as a broken protocol; it has failed then."""
        self._start_error: ErrorInfo | None = None
        self._over: tuple[int, int] | None = None
        self._is_out_of_memory = False
        self._has_lease_ended = False

    # -- the start

    @abstractmethod
    def make_spec(self) -> LaunchSpec:
        """Return what is to be executed. Called on a helper thread: it may block, and raise why it cannot."""

    def on_launched(self, now: float) -> None:
        """Called when the supervisor runs. Messages sent from here on are kept until the worker reads them."""

    def report_started(self, *, is_ready: bool) -> None:
        """Report once that the body is entered, and whether it is ready."""
        if not self.is_started:
            self.is_started = True
            self.is_ready = is_ready
            self.link.emit(RunStarted(self.order.run, is_ready))

    def report_ready(self) -> None:
        """Report once that the run is ready."""
        if self.is_started and not self.is_ready:
            self.is_ready = True
            self.link.emit(RunReady(self.order.run))

    # -- what the run's processes write

    def on_line(self, stream: Stream, text: str, now: float) -> None:
        """Log one line of its output, without the newline."""
        self.link.log(text)

    def on_control(self, message: Up, now: float) -> None:
        """Take one message of the worker. Raises ProtocolError if it has no place here."""

    def on_control_closed(self, half_line: str, now: float) -> None:
        """Called when the worker has closed the control socket; `half_line` says so if that is within a line."""

    def on_channel(self, message: SupervisorMessage, now: float) -> None:
        """Take one message of the supervisor."""
        if isinstance(message, ProcessStarted):
            self.pid = message.pid
        elif isinstance(message, StartFailed):
            self._start_error = explained("StartFailed", message.text)
        elif isinstance(message, Exited):
            self.exited = message
        elif isinstance(message, OverLimit):
            self._over = message.limit, message.was
        elif isinstance(message, OutOfMemory):
            self._is_out_of_memory = True
        elif isinstance(message, LeaseEnded):
            self._has_lease_ended = True

    # -- what the scheduler wants

    def on_cancel(self, reason: Reason, now: float) -> None:
        """Called once, when the stop was requested. `now`: the moment of the request."""
        self.ladder = self.ladder._replace(requested=now)

    def on_urgent(self, now: float) -> None:
        """Called when little time is left to stop."""

    def on_poll_interval(self, seconds: float) -> None:
        """Called when a reload has changed the poll interval."""

    def on_terminate(self, now: float) -> None:
        """Called when the stop sends TERM; at most once, and not after `on_kill`."""
        self.ladder = self.ladder._replace(terminated=now)
        self.link.signal_group(signal.SIGTERM)

    def on_kill(self, now: float) -> None:
        """Called when the stop kills; at most once."""
        self.ladder = self.ladder._replace(killed=now)
        self.link.kill()

    def on_signal(self, number: int) -> None:
        """Called when a user sends a signal to the main process."""
        self.link.signal(number)

    def on_reload(self) -> None:
        """Called when the job files were read again and the run goes on."""

    # -- time

    def next_timer(self) -> float:
        """Return when `on_timer` is to be called; inf for never."""
        return inf

    def on_timer(self, now: float) -> None:
        """Called when the moment of `next_timer` has come."""

    # -- the end

    def fail(self, error: ErrorInfo) -> None:
        """End the run, which has failed because of `error`; the first one counts."""
        if self.broken is None:
            self.broken = error
            self.link.kill()

    def not_entered(self) -> RunEnded:
        """Return the end of a run that was cancelled before it began."""
        return RunEnded(self.order.run, How.NOT_ENTERED, None, True, False)

    def own_end(self) -> RunEnded | RunStartFailed | None:
        """Return how the run says it has ended; None if it died before it could."""
        return None

    def end(self, *, lost: ErrorInfo | None) -> RunEnded | RunStartFailed:
        """Return the verdict. Called once, at the very end. `lost`: why nothing is known of its processes any more."""
        own = self.own_end()
        if own is not None:
            return own
        if self.broken is not None:
            return self._died(self.broken)
        if self._start_error is not None:
            return RunStartFailed(self.order.run, self._start_error)
        if self._has_lease_ended:
            return self.ended(How.KILLED, explained("LeaseEnded", "SIGKILL: the lease of the run has ended"))
        if self.exited is None and self.ladder.killed is not None:
            return self.ended(How.KILLED, killed_by_ladder(signal.SIGKILL, self.ladder))
        if self.exited is None:
            return self.ended(How.LOST, lost or explained("ProcessLost", "nothing is known about its end"))
        killed = None if self._over else killed_by_ladder(self.exited.status, self.ladder)
        if killed is not None:
            return self.ended(How.KILLED, killed)
        return self._died(
            describe_death(self.exited.status, out_of_memory=self._is_out_of_memory, over=self._over),
        )

    def ended(self, how: How, error: ErrorInfo | None) -> RunEnded:
        """Return the report of an end that the run itself has not reported."""
        return RunEnded(self.order.run, how, error, self.ladder.requested is not None, callback_ran=False)

    def _died(self, error: ErrorInfo) -> RunEnded | RunStartFailed:
        """Return the failure of a run, which may not have begun yet."""
        return self.ended(How.RAISED, error) if self.is_started else RunStartFailed(self.order.run, error)
