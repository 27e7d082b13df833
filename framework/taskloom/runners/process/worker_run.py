"""The state of a run whose task is Python code: a worker executes it and reports through its control socket."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from taskloom import __version__
from taskloom.clock import wall
from taskloom.core import inputs
from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import ErrorInfo, How, Reason
from taskloom.runners import Stack
from taskloom.runners.gauges import Gauges
from taskloom.runners.process.accounts import find_account
from taskloom.runners.process.channel import Exited, SupervisorMessage
from taskloom.runners.process.compiled import worker_code
from taskloom.runners.process.deaths import explained
from taskloom.runners.process.driven_run import DrivenRun, Link, Stream
from taskloom.runners.process.environment import child_environment
from taskloom.runners.process.file_limit import limit_of_children
from taskloom.runners.process.launch import CONTROL_DESCRIPTOR, CannotLaunch, LaunchSpec
from taskloom.runners.process.log_thread import LogEntry
from taskloom.runners.process.worker_command import spec_of, worker_command
from taskloom.runners.wire import ProtocolError
from taskloom.runners.wire_messages import (
    CallbackFailed,
    Cancel,
    Ended,
    Gauged,
    Hello,
    Logged,
    Polled,
    PollInterval,
    Ready,
    Spec,
    StackAnswer,
    StackRequest,
    Started,
    StartFailed,
    Up,
    Urgent,
)
from taskloom.text import plural

if TYPE_CHECKING:
    from taskloom.runners import RunOrder
    from taskloom.runners.process.stack_requests import StackSlot
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["WorkerRun"]

# A worker that has closed its control socket is dying; one that lives on after this has broken the protocol.
_CLOSED_SECONDS = 1.0
# After its last message a worker lets `terminate` and callbacks that have begun return, for a second at most.
_EXIT_SECONDS = 2.5
# If a worker dies before its task was begun, the end of its standard error says why.
_LAST_LINES = 20
# More counters, and more failed callbacks, than any task has: a worker must not fill our memory.
_MOST_COUNTERS = 10_000
_MOST_FAILED_CALLBACKS = 100
# The time of a record is that of the worker; one that is this far from ours, in seconds, is no time.
_FAR = 86400.0
_LONGEST_STDERR = 16 * 1024
_LONGEST_REASON = 500


class WorkerRun(DrivenRun):
    """One run in a worker."""

    def __init__(self, order: RunOrder, token: CancelToken, link: Link, gauges: Gauges) -> None:
        super().__init__(order, token, link)
        self._gauges = gauges
        self._spec: Spec | None = None
        self._hello: Hello | None = None
        self._is_unentered = False
        self._poll_interval: float | None = None
        self._polls = 0
        self._failed_callbacks = 0
        self._start_failed: StartFailed | None = None
        self._ended: Ended | None = None
        # When the process must have ended, and why it is killed otherwise; None if it has said how the run ended.
        self._gone_by = inf
        self._why_gone: ErrorInfo | None = None
        self._stacks: dict[int, StackSlot] = {}
        self._next_stack = 0
        self._last_lines: list[str] = []

    # -- the start

    def make_spec(self) -> LaunchSpec:
        """Return the worker to start. Raises ValueError in words if the task or its params cannot cross."""
        order = self.order
        reference = order.binding.reference
        if reference is None:
            raise ValueError(order.binding.cannot_cross)
        self._spec = spec_of(order, reference)
        options = order.options
        account = None if options.get("user") is None else _account_of(options["user"], order.job)
        return LaunchSpec(
            argv=worker_command(CONTROL_DESCRIPTOR, order.job),
            env=child_environment(os.environ, order.job, order.run, options.get("env", {}), account=account),
            job=order.job,
            cwd=options.get("cwd"),
            nice=options.get("nice"),
            user=options.get("user"),
            memory_limit=options.get("memory_limit"),
            control=True,
            stdin=worker_code(),
            no_file_limit=limit_of_children(),
        )

    def on_launched(self, now: float) -> None:
        """Send the run, unless it was cancelled while its supervisor was started."""
        super().on_launched(now)
        if self.token.is_requested or self._spec is None:
            self._is_unentered = True
            self.link.kill()
            return
        self.link.send(self._spec)
        if self._poll_interval is not None:
            self.link.send(PollInterval(self._poll_interval))

    # -- what the worker says

    def on_control(self, message: Up, now: float) -> None:
        """Take one message. Raises ProtocolError if it cannot come at this point."""
        kind = type(message)
        if kind in _STEPS and (self._ended is not None or self._start_failed is not None):
            raise ProtocolError(f"it sent {kind.__name__} after its end")
        _TAKE[kind](self, message, now)

    def _take_stack(self, answer: StackAnswer) -> None:
        slot = self._stacks.pop(answer.id, None)
        if slot is not None:
            slot.answer(Stack(answer.where, answer.text))

    def _take_hello(self, hello: Hello) -> None:
        if self._hello is not None:
            raise ProtocolError("it said hello for a second time")
        if hello.version != __version__:
            raise ProtocolError(
                f"it has version {hello.version} of Taskloom, and this program has {__version__}: restart the program "
                "after an upgrade"
            )
        self._hello = hello

    def _take_start(self, started: Started) -> None:
        self._gauges.begun = started.at
        self.report_started(is_ready=started.is_ready)

    def _take_polls(self, polled: Polled) -> None:
        has_polled, self._polls = polled.n != self._polls, polled.n
        # After the request no wait lasts. A task that then holds the GIL cannot say that it has woken.
        is_waiting = polled.waiting and self._ended is None and not self.token.is_requested
        self.token.update_remote(has_polled=has_polled, is_waiting=is_waiting, is_wakeable=polled.wakeable)

    def _take_gauges(self, gauged: Gauged) -> None:
        if gauged.progress is not None:
            self._gauges.progress = gauged.progress
        self._gauges.set_counts(gauged.counts)
        if len(self._gauges.counts) > _MOST_COUNTERS:
            raise ProtocolError(f"it counts under more than {plural(_MOST_COUNTERS, 'name')}")

    def _take_failed_callback(self, failed: CallbackFailed) -> None:
        self._failed_callbacks += 1
        if self._failed_callbacks <= _MOST_FAILED_CALLBACKS:
            self.link.emit(inputs.CallbackFailed(self.order.run, failed.name, failed.error))

    def _take_failed_start(self, failed: StartFailed, now: float) -> None:
        self._start_failed = failed
        self._gone_by = now + _EXIT_SECONDS

    def _take_end(self, ended: Ended, now: float) -> None:
        if not self.is_started and ended.how is not How.NOT_ENTERED:
            raise ProtocolError("it ended a run that it had not begun")
        if self.is_started:
            self.token.mark_ended()
        self._ended = ended
        self._gone_by = now + _EXIT_SECONDS

    def on_control_closed(self, half_line: str, now: float) -> None:
        """Expect the end of the process; if it does not end, it is killed soon."""
        if self._ended is None and self._start_failed is None:
            why = half_line or "it closed its control socket"
            self._why_gone = explained("ProtocolError", f"the process broke the protocol: {why}")
            self._gone_by = now + _CLOSED_SECONDS

    def on_line(self, stream: Stream, text: str, now: float) -> None:
        """Log one line of its output, and keep the last ones of standard error until the task has begun."""
        super().on_line(stream, text, now)
        if stream == "stderr" and not self.is_started:
            self._last_lines = [*self._last_lines[1 - _LAST_LINES :], text]

    def on_channel(self, message: SupervisorMessage, now: float) -> None:
        """Take one message of the supervisor."""
        super().on_channel(message, now)
        if isinstance(message, Exited):
            self._gone_by = inf

    # -- what the scheduler wants

    def on_cancel(self, reason: Reason, now: float) -> None:
        """Pass the request on."""
        super().on_cancel(reason, now)
        self.token.remote_wait = False
        if self._spec is not None and not self._is_unentered:
            self.link.send(Cancel(reason))

    def on_urgent(self, now: float) -> None:
        """Pass it on."""
        self.link.send(Urgent())

    def on_poll_interval(self, seconds: float) -> None:
        """Pass it on, at the latest when the worker is there."""
        self._poll_interval = seconds
        self.link.send(PollInterval(seconds))

    def ask_stack(self, slot: StackSlot) -> None:
        """Ask where the run is. An earlier question without an answer is given up."""
        self._stacks.clear()
        self._next_stack += 1
        self._stacks[self._next_stack] = slot
        slot.hello = self._hello
        self.link.send(StackRequest(self._next_stack))

    # -- time

    def next_timer(self) -> float:
        """Return when a process is killed that should have ended."""
        return self._gone_by

    def on_timer(self, now: float) -> None:
        """Kill the process that should have ended."""
        self._gone_by = inf
        if self._why_gone is not None:
            self.fail(self._why_gone)
        else:
            self.link.kill()

    # -- the end

    def own_end(self) -> RunEnded | RunStartFailed | None:
        """Return what the worker said about the end."""
        run = self.order.run
        if self._is_unentered:
            return self.not_entered()
        if self._start_failed is not None:
            return RunStartFailed(run, self._start_failed.error)
        ended = self._ended
        if ended is None:
            return None
        was_requested = ended.was_requested and self.ladder.requested is not None
        if ended.how is How.NOT_ENTERED and not was_requested:
            return RunStartFailed(run, explained("ProtocolError", "the process did not begin the run"))
        return RunEnded(run, ended.how, ended.error, was_requested, ended.callback_ran and was_requested)

    def _died(self, error: ErrorInfo) -> RunEnded | RunStartFailed:
        if self.is_started or not self._last_lines:
            return super()._died(error)
        lines = "\n".join(self._last_lines)[-_LONGEST_STDERR:]
        message = f"{error.message}: {self._last_lines[-1][:_LONGEST_REASON]}"
        return RunStartFailed(self.order.run, ErrorInfo(error.type, message, f"{lines}\n", is_explained=True))


# The messages of which one may follow another only in this order.
_STEPS = frozenset({Started, Ready, StartFailed, Ended})
_TAKE: Mapping[type, Callable[[WorkerRun, Any, float], object]] = {
    Hello: lambda run, hello, _: run._take_hello(hello),
    Started: lambda run, started, _: run._take_start(started),
    Ready: lambda run, *_: run.report_ready(),
    StartFailed: lambda run, failed, now: run._take_failed_start(failed, now),
    Ended: lambda run, ended, now: run._take_end(ended, now),
    Polled: lambda run, polled, _: run._take_polls(polled),
    Gauged: lambda run, gauged, _: run._take_gauges(gauged),
    Logged: lambda run, logged, _: run.link.log_record(_entry_of(logged)),
    CallbackFailed: lambda run, failed, _: run._take_failed_callback(failed),
    StackAnswer: lambda run, answer, _: run._take_stack(answer),
}


def _account_of(user: str, job: str) -> Mapping[str, str]:
    """Return the variables of a user's account. Raises CannotLaunch in words: the check may have been elsewhere."""
    try:
        return find_account(user).env
    except OSError as error:
        raise CannotLaunch(error.errno, f"a process for job '{job}'", error.strerror or str(error)) from None


def _entry_of(logged: Logged) -> LogEntry:
    now = wall()
    created = logged.created if abs(logged.created - now) < _FAR else now
    return LogEntry(
        logged.level, logged.name, logged.message, created, logged.exc, logged.stack, logged.thread, logged.path,
        logged.line, logged.function, logged.extra,
    )  # fmt: skip
