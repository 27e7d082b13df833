"""All that goes in and out between one run and its processes: a member of the IO thread.

`taskloom.runners.process.run_phase` has the phases that it goes through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners.error_info import describe
from taskloom.runners.process.channel import (
    Done,
    Exited,
    Grouped,
    ProcessStarted,
    StartFailed,
    SupervisorMessage,
)
from taskloom.runners.process.deaths import describe_loss, explained
from taskloom.runners.process.driven_run import DrivenRun, Stream
from taskloom.runners.process.io_thread import DescriptorsClosed
from taskloom.runners.process.launch import CannotLaunch, Launched, launch
from taskloom.runners.process.log_thread import RunLog
from taskloom.runners.process.orphans import kill_orphans
from taskloom.runners.process.run_commands import RunCommands
from taskloom.runners.process.run_descriptors import RunDescriptors
from taskloom.runners.process.run_link import RunLink
from taskloom.runners.process.run_phase import BEFORE, Phase
from taskloom.runners.process.supervisor_watch import SupervisorWatch
from taskloom.runners.thread import wait_for_terminate
from taskloom.runners.wire_messages import Logged
from taskloom.sync.cancel_callback import CancelCallback

if TYPE_CHECKING:
    from taskloom.runners import Emit, RunOrder
    from taskloom.runners.process.handle import ProcessHandle
    from taskloom.runners.process.hub import Hub
    from taskloom.runners.wire import ProtocolError, Up
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["Connection"]

# The end of the run waits this long for its log lines: a log handler may block for ever.
_LOG_SECONDS = 0.2
_STRUCK_TEXT = "internal error: an exception struck the thread that reads its pipes"
_STRUCK = ErrorInfo("InternalError", _STRUCK_TEXT, f"{_STRUCK_TEXT}\n")
# After more strikes than these the run is given up.
_MOST_STRIKES = 3


class Connection:
    """One run: a `Member` of the IO thread. Called on that thread unless it says so."""

    def __init__(self, hub: Hub, handle: ProcessHandle, order: RunOrder, token: CancelToken, emit: Emit) -> None:
        self.due = inf
        self.phase = Phase.QUEUED
        self.lease: float | None = None
        """When its processes are killed unless `renew` is called, in seconds of `boottime`. Set before `open`."""
        self._hub = hub
        self._io = hub.io
        self._handle = handle
        self._order = order
        self._token = token
        # The callable that reports the end; empty once it is reported.
        self._unreported = [emit]
        self._log = RunLog(hub.logs, order.job, order.run, self._log_has_space)
        self._ends = RunDescriptors(self._io, self, self._log)
        self._watch = SupervisorWatch()
        self._is_done = False
        # When the end is reported, whatever it waits for.
        self._report_at = inf
        self._start_failed: StartFailed | None = None
        self._cgroup = ""
        self._verdict: RunEnded | RunStartFailed | None = None
        self._strikes = 0
        self.is_struck = False
        """Whether an exception of ours has struck the run: it is killed, and its state does not count any more."""
        self._struck_by = _STRUCK
        self.link = RunLink(self, hub, log=self._log, ends=self._ends, watch=self._watch, emit=emit)
        self.commands = RunCommands(self, token)
        self.run: DrivenRun = hub.make_run(order, token, self.link, handle.gauges)

    # -- the start

    def open(self) -> None:
        """Queue the run. From here on its end is reported, whatever happens."""
        self._hub.starts.add(self)
        # Last: a run that was cancelled before is queued by now, so that the observer ends it.
        self._token.add_observer(self.observe_cancel)

    def observe_cancel(self) -> None:
        """Called when the token was woken; on any thread."""
        self._io.post(self, self.commands.cancel, mono())

    def begin(self) -> None:
        """Have a helper thread start the processes: there is room for them."""
        if self.phase is Phase.QUEUED:
            self.phase = Phase.LAUNCHING
            self._hub.helpers.submit("", [CancelCallback(self._launch, "start of a process")])

    def _launch(self) -> None:
        """Start the supervisor. On a helper thread: it may call code of the task, and a fork takes time."""
        try:
            if self._order.terminate_returned is not None:
                wait_for_terminate(self._order.terminate_returned, self._token)
            spec = self.run.make_spec()
            if not self._token.enter(None):
                self._io.post(self, self._conclude_unentered)
                return
            launched = launch(spec if self.lease is None else replace(spec, lease=self.lease))
            if self.phase in (Phase.REPORTING, Phase.OVER):  # given up meanwhile; the IO thread may have ended
                launched.close()
                self._hub.reap_later(launched)
                return
            # Here, not on the IO thread: whatever strikes that, it is closed.
            self._ends.launched = launched
            self._io.post(self, self._has_launched)
        except BaseException as error:  # noqa: BLE001 - the plugin boundary, and what the system refuses
            self._io.post(self, self._cannot_launch, _start_error(error))

    @property
    def has_reported(self) -> bool:
        """Whether the end of the run was reported."""
        return not self._unreported

    def _cannot_launch(self, error: ErrorInfo) -> None:
        if self.phase is not Phase.OPEN:
            self._drop_launched()
        if self.phase is Phase.LAUNCHING:
            self.conclude(RunStartFailed(self._order.run, error))

    def _conclude_unentered(self) -> None:
        if self.phase in BEFORE:
            self.conclude(self.run.not_entered())

    def _has_launched(self) -> None:
        launched = self._ends.launched
        if self.phase in (Phase.REPORTING, Phase.OVER):
            self._drop_launched()  # the run was given up meanwhile
            return
        if self.phase is not Phase.LAUNCHING or launched is None:
            return  # a strike came after the first call
        self.phase = Phase.OPEN
        self._handle.supervisor = launched.pid
        self._ends.open(launched)
        now = mono()
        self.run.on_launched(now)
        if self.lease != launched.spec.lease:
            self.link.send_order(f"lease {self.lease!r}")  # renewed meanwhile
        if self.run.ladder.killed is not None:
            self.link.kill()
        if self._token.urgent:
            self.run.on_urgent(now)

    def query(self, question: Callable[[DrivenRun], object]) -> None:
        """Have the question asked on the IO thread, if the processes are there. On any thread."""
        self._io.post(self, self._ask, question)

    def _ask(self, function: Callable[[DrivenRun], object]) -> None:
        if self.phase is Phase.OPEN and not self.is_struck:
            function(self.run)

    # -- what comes in

    def supervisor_said(self, message: SupervisorMessage, now: float) -> None:
        """Take one message of the supervisor."""
        if isinstance(message, Done):
            self._is_done = True
        if isinstance(message, ProcessStarted):
            self._handle.main = self._log.pid = message.pid
            self._watch.main_started(message.pid)
        if isinstance(message, StartFailed):
            self._is_done = True
            self._start_failed = message
        if isinstance(message, Grouped):
            self._cgroup = message.folder
        if isinstance(message, Exited) and self.run.is_started:
            self._token.mark_ended()
        if not self.is_struck:
            self.run.on_channel(message, now)

    def supervisor_was_read(self, now: float, *, is_end: bool) -> None:
        """Begin the end if no process of the run is left, or its supervisor is gone."""
        if is_end or self._is_done:
            self._begin_closing(now)

    def worker_said(self, message: Up, now: float) -> None:
        """Take one message of the worker."""
        if not self.is_struck:
            self.run.on_control(message, now)
            if self._hub.listener is not None and not isinstance(message, Logged):
                self._hub.listener.worker_said(self._order.run, message)

    def worker_closed(self, half_line: str, now: float) -> None:
        """Called when nothing more comes from the worker."""
        if not self.is_struck:
            self.run.on_control_closed(half_line, now)

    def worker_broke_protocol(self, error: ProtocolError) -> None:
        """End the run: what its worker means is unknown."""
        self.run.fail(explained("ProtocolError", f"the process broke the protocol: {error}"))

    def line_written(self, stream: Stream, line: str, now: float) -> None:
        """Take one line of the output."""
        if not self.is_struck:
            self.run.on_line(stream, line, now)

    def _log_has_space(self) -> None:
        """Called when the log has space again; on the log thread."""
        self._io.post(self, self._ends.resume_output)

    # -- time

    def next_timer(self) -> float:
        """Return the next deadline of the run or of the connection itself."""
        own = self._report_at
        if self.phase in (Phase.OPEN, Phase.CLOSING):
            own = min(self._watch.next_timer(), self._ends.unthrottle_at)
        return min(own, self.run.next_timer()) if self.phase is Phase.OPEN and not self.is_struck else own

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        launched = self._ends.launched
        if self._ends.unthrottle_at <= now:
            self._ends.unthrottle()
        if self._report_at <= now:
            self.report()
        elif self.phase is Phase.CLOSING:
            self._look_for_exit(now)
        elif self.phase is Phase.OPEN and launched is not None:
            was_killed = self._watch.check_kill(launched, now, has_main_exited=self.run.exited is not None)
            if was_killed and not self._ends.can_order():
                self._begin_closing(now)  # a task has closed the channel: its end will not be seen there
        if self.phase is Phase.OPEN and not self.is_struck and self.run.next_timer() <= now:
            self.run.on_timer(now)

    # -- the end

    def _begin_closing(self, now: float) -> None:
        """Wait for the exit of the supervisor: nothing of the run is left, or the supervisor is gone."""
        if self.phase is not Phase.OPEN:
            return
        if not self._is_done:
            self._kill_orphans()
        self.phase = Phase.CLOSING
        self._ends.stop()
        self._watch.expect_exit(now)
        self._look_for_exit(now)

    def _kill_orphans(self) -> None:
        """Have a helper thread kill what a killed supervisor has left."""
        kill = partial(kill_orphans, self._watch.main, self._order.job, self._order.run, self._cgroup)
        self._hub.helpers.submit("", [CancelCallback(kill, "kill of orphans")])

    def _look_for_exit(self, now: float) -> None:
        """Go on when the supervisor has exited."""
        launched = self._ends.launched
        if launched is not None and self._watch.has_exited(launched, now, is_done=self._is_done):
            if launched.exit_status is None:
                self._hub.reap_later(launched)
            self._read_the_rest(launched, now)

    def _read_the_rest(self, launched: Launched, now: float) -> None:
        """Read what is left in the pipes and the socket, close them, and ask for the verdict."""
        self._ends.read_rest(now)
        lost = None if self._is_done else describe_loss(launched.exit_status, self.run.pid)
        self._ends.close()
        verdict = self._broken_verdict() if self.is_struck else self.run.end(lost=lost)
        if self._start_failed is not None and isinstance(verdict, RunStartFailed):
            self._explain_start(launched, self._start_failed, verdict)
        else:
            self.conclude(verdict)

    def _explain_start(self, launched: Launched, failed: StartFailed, verdict: RunStartFailed) -> None:
        """Have a helper thread look for a program of a similar name, which reads folders; report without it if late."""
        self.phase = Phase.REPORTING
        self._verdict = verdict
        self._report_at = mono() + _LOG_SECONDS
        self.link.call(lambda: launched.why_failed(failed), self._start_explained)

    def _drop_launched(self) -> None:
        """Close everything, without a verdict of the supervisor: it ends the run by itself then."""
        launched = self._ends.launched
        if launched is not None:
            self._ends.close()
            self._hub.reap_later(launched)

    def _start_explained(self, text: Any, _: BaseException | None) -> None:
        if isinstance(self._verdict, RunStartFailed) and text:
            self._verdict = self._verdict._replace(error=explained(self._verdict.error.type, str(text)))
        self.report()

    def conclude(self, verdict: RunEnded | RunStartFailed) -> None:
        """Report the verdict as soon as the log lines before it were passed on."""
        if self.phase in (Phase.REPORTING, Phase.OVER):
            return
        self.phase = Phase.REPORTING
        self._verdict = verdict
        if self._log.is_empty:
            self.report()
        else:
            self._report_at = mono() + _LOG_SECONDS
            self._log.finish(lambda: self._io.post(self, self.report))

    def report(self) -> None:
        """Report the end, after everything else; idempotent."""
        self._hub.forget(self)  # first: a thread that sees the end may wait for our threads
        if self._unreported and self._verdict is not None:
            self._token.close()
            # On one line: the end is reported once, whichever line is struck.
            self._unreported.pop()(self._verdict)
        self.phase = Phase.OVER
        self._report_at = inf
        self._handle.has_ended()
        self._hub.starts.remove(self)

    # -- strikes

    def struck(self, error: BaseException) -> None:
        """End the run that an exception of ours has struck: it is killed, and has failed."""
        self._strikes += 1
        if isinstance(error, DescriptorsClosed):
            self._struck_by = explained("DescriptorsClosed", "a task has closed all descriptors of the program")
        if self._verdict is not None:
            self.report()
            return
        self.is_struck = True
        if self.phase is Phase.OPEN and self._ends.can_order() and self._strikes <= _MOST_STRIKES:
            self.link.kill()
            self._ends.listen()
            return
        self._drop_launched()
        self._verdict = self._broken_verdict()
        self.report()

    def _broken_verdict(self) -> RunEnded | RunStartFailed:
        if not self.run.is_started:
            return RunStartFailed(self._order.run, self._struck_by)
        return RunEnded(
            self._order.run, How.RAISED, self._struck_by, self.run.ladder.requested is not None, callback_ran=False
        )

    def leave_behind(self) -> None:
        """Close our descriptors, without a word to the supervisor. Called in a forked child, on its only thread."""
        self._ends.leave_behind()


def _start_error(error: BaseException) -> ErrorInfo:
    """Return the error of a start that failed: in words alone if the system has refused it."""
    if isinstance(error, CannotLaunch):
        return explained("CannotLaunch", str(error))
    return describe(error)
