"""All that goes in and out between one run and its processes: a member of the IO thread.

The run is in one phase after the other:
- QUEUED: too many others are starting. A cancel ends the run here.
- LAUNCHING: a helper thread starts the supervisor.
- OPEN: the descriptors are watched.
- CLOSING: no process of the run is left. The supervisor ends, and what is left in the pipes is read.
- REPORTING: the last log lines are on their way; the end of the run is reported after them.
- OVER.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono, wall
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners import TERMINATE_SECONDS
from taskloom.runners.error_info import describe
from taskloom.runners.proc import Process, read_process
from taskloom.runners.process.channel import Done, Exited, Grouped, ProcessStarted, StartFailed, parse_message
from taskloom.runners.process.deaths import describe_loss, explained
from taskloom.runners.process.driven_run import INFO, DrivenRun, Stream
from taskloom.runners.process.launch import CannotLaunch, Launched, launch
from taskloom.runners.process.log_thread import LogEntry, RunLog
from taskloom.runners.process.orphans import is_alive, kill_orphans, state_of
from taskloom.runners.process.outgoing import Outgoing
from taskloom.runners.process.output_lines import OutputLines
from taskloom.runners.wire import LineReader, ProtocolError, decode_up, encode
from taskloom.sync.cancel_token import CancelCallback
from taskloom.sync.own_descriptor import OwnDescriptor

if TYPE_CHECKING:
    from taskloom.runners import Emit, Report, RunOrder
    from taskloom.runners.process.handle import ProcessHandle
    from taskloom.runners.process.hub import Hub
    from taskloom.runners.wire import Down
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["Connection", "Phase"]

_READ_BYTES = 64 * 1024
"""Read at once: the next descriptor is not delayed by one that is always full."""
# So much may one run send through its control socket in such a time; the rest waits, and so does its sender.
_BURST_SECONDS = 0.1
_BURST_BYTES = 512 * 1024
# As much as a pipe or a socket holds at most, by the limits of the kernel for users, is read after the end.
_MOST_LEFT = 1024 * 1024
# From `done` to the exit of the supervisor.
_EXIT_SECONDS = 1.0
# A supervisor that was told to kill needs milliseconds, unless it was stopped or the machine hardly runs. So often, and
# at such intervals, it is looked at before it is killed itself.
_KILL_SECONDS = 0.3
_MOST_KILL_CHECKS = 3
# The end of the run waits this long for its log lines: a log handler may block for ever.
_LOG_SECONDS = 0.2
# After more strikes than these the run is given up.
_MOST_STRIKES = 3


@plain_members
class Phase(FastEnum):
    """The steps of a connection, in order."""

    QUEUED = "queued"
    LAUNCHING = "launching"
    OPEN = "open"
    CLOSING = "closing"
    REPORTING = "reporting"
    OVER = "over"


_BEFORE = (Phase.QUEUED, Phase.LAUNCHING)


class Connection:
    """One run. `Link` for its `DrivenRun`; `Member` of the IO thread. Called on the IO thread unless it says so."""

    def __init__(self, hub: Hub, handle: ProcessHandle, order: RunOrder, token: CancelToken, emit: Emit) -> None:
        self.due = inf
        self.phase = Phase.QUEUED
        self._hub = hub
        self._io = hub.io
        self._handle = handle
        self._order = order
        self._token = token
        self._emit = emit
        # The callable that reports the end; empty once it is reported.
        self._unreported = [emit]
        self._log = RunLog(hub.logs, order.job, order.run, self._log_has_space)
        self._launched: Launched | None = None
        self._channel: Outgoing | None = None
        self._control: Outgoing | None = None
        self._pipes: list[OwnDescriptor] = []
        self._channel_bytes = b""
        self._control_lines = LineReader()
        self._output: dict[Stream, OutputLines] = {}
        self._burst_bytes = 0
        self._burst_until = 0.0
        # When a control socket that was read too fast is read again; inf if it is read.
        self._unthrottle_at = inf
        self._is_done = False
        # When something that should have happened is enforced, and when the exit of the supervisor is looked for.
        self._enforce_at = inf
        self._reap_at = inf
        self._reap_seconds = 0.001
        self._start_failed: StartFailed | None = None
        self._cgroup = ""
        self._main: Process | None = None
        self._verdict: RunEnded | RunStartFailed | None = None
        self._kill_checks = 0
        self._strikes = 0
        self._is_struck = False
        self.run: DrivenRun = hub.make_run(order, token, self, handle.gauges)

    # -- the start

    def open(self) -> None:
        """Queue the run. From here on its end is reported, whatever happens."""
        self._hub.starts.add(self)
        # Last: a run that was cancelled before is queued by now, so that the observer ends it.
        self._token.add_observer(self.observe_cancel)

    def observe_cancel(self) -> None:
        """The token was woken; on any thread."""
        self._io.post(self, self.cancel, mono())

    def begin(self) -> None:
        """Have a helper thread start the processes: there is room for them."""
        if self.phase is Phase.QUEUED:
            self.phase = Phase.LAUNCHING
            self._hub.helpers.submit("", [CancelCallback(self._launch, "start of a process")])

    def _launch(self) -> None:
        """Start the supervisor. On a helper thread: it may call code of the task, and a fork takes time."""
        try:
            if self._order.terminate_returned is not None:
                self._order.terminate_returned.wait(TERMINATE_SECONDS)
            spec = self.run.make_spec()
            if not self._token.enter(None):
                self._io.post(self, self._conclude_unentered)
                return
            # Here, not on the IO thread: whatever strikes that, it is closed.
            self._launched = launch(spec)
            self._io.post(self, self._has_launched)
        except BaseException as error:  # noqa: BLE001 - the plugin boundary, and what the system refuses
            self._io.post(self, self._cannot_launch, _start_error(error))

    def _cannot_launch(self, error: ErrorInfo) -> None:
        if self.phase is not Phase.OPEN:
            self._drop_launched()
        if self.phase is Phase.LAUNCHING:
            self._conclude(RunStartFailed(self._order.run, error))

    def _conclude_unentered(self) -> None:
        if self.phase in _BEFORE:
            self._conclude(self.run.not_entered())

    def _has_launched(self) -> None:
        launched = self._launched
        if self.phase in (Phase.REPORTING, Phase.OVER):
            self._drop_launched()  # the run was given up meanwhile
            return
        if self.phase is not Phase.LAUNCHING or launched is None:
            return  # a strike came after the first call
        self.phase = Phase.OPEN
        self._handle.supervisor = launched.pid
        self._pipes = [OwnDescriptor(launched.stdout), OwnDescriptor(launched.stderr)]
        self._channel = Outgoing(launched.channel)
        self._watch_channel()
        if launched.control is not None:
            self._control = Outgoing(launched.control)
            self._watch_control()
        self._output = {"stdout": OutputLines(), "stderr": OutputLines()}
        self._watch_output()
        now = mono()
        self.run.on_launched(now)
        if self.run.ladder.killed is not None:
            self.kill()
        if self._token.urgent:
            self.run.on_urgent(now)

    # -- what the scheduler wants; posted by the handle

    def cancel(self, now: float) -> None:
        """Pass the request to stop on; idempotent."""
        if self.phase is Phase.QUEUED:
            self._conclude(self.run.not_entered())
        elif self.run.ladder.requested is None and self.phase in (Phase.LAUNCHING, Phase.OPEN):
            reason = self._token.reason
            if reason is not None:
                self.run.on_cancel(reason, now)

    def terminate(self, now: float) -> None:
        """Pass TERM on, at most once, and not after a kill."""
        if self.phase is Phase.OPEN and self.run.ladder.terminated is None and self.run.ladder.killed is None:
            self.run.on_terminate(now)

    def kill_run(self, now: float) -> None:
        """Kill the run, once; one whose processes were not started yet ends at once, or as soon as they are there."""
        if self.phase in _BEFORE or self.phase is Phase.OPEN:
            if self.run.ladder.killed is None:
                self.run.on_kill(now)
            if self.phase is Phase.QUEUED:
                self._conclude(self.run.end(lost=None))

    def send_signal(self, number: int) -> None:
        """Send a signal to the main process."""
        if self.phase is Phase.OPEN:
            self.run.on_signal(number)

    def reload(self) -> None:
        """Pass on that the job files were read again."""
        if self.phase is Phase.OPEN:
            self.run.on_reload()

    def set_urgent(self, now: float) -> None:
        """Pass on that little time is left."""
        if self.phase is Phase.OPEN:
            self.run.on_urgent(now)

    def set_poll_interval(self, seconds: float) -> None:
        """Pass the new poll interval on."""
        if self.phase in (Phase.LAUNCHING, Phase.OPEN):
            self.run.on_poll_interval(seconds)

    def query(self, question: Callable[[DrivenRun], object]) -> None:
        """Have the question asked on the IO thread, if the processes are there. On any thread."""
        self._io.post(self, self._ask, question)

    def _ask(self, function: Callable[[DrivenRun], object]) -> None:
        if self.phase is Phase.OPEN and not self._is_struck:
            function(self.run)

    # -- Link: what the run does

    def signal(self, number: int) -> None:
        """Send a signal to the main process."""
        self._order_supervisor(f"signal {number}\n")

    def signal_group(self, number: int) -> None:
        """Send a signal to the process group of the main process."""
        self._order_supervisor(f"group {number}\n")

    def be_patient(self) -> None:
        """Let the processes that the main process leaves have the time until `kill`, after a TERM."""
        self._order_supervisor("patient\n")

    def kill(self) -> None:
        """Kill every process of the run."""
        if self._launched is not None and self.phase is Phase.OPEN:
            self._order_supervisor("kill\n")
            # A process of the run may have stopped its supervisor. It is our child, and its number is its own.
            _continue(self._launched.pid)
            self._enforce_at = min(self._enforce_at, mono() + _KILL_SECONDS)

    def _order_supervisor(self, line: str) -> None:
        if self._channel is not None and self.phase is Phase.OPEN:
            self._channel.put(line.encode("ascii"))
            self._watch_channel()

    def send(self, message: Down) -> None:
        """Send a message to the worker."""
        if self._control is not None and self.phase is Phase.OPEN:
            self._control.put(encode(message))
            self._watch_control()

    def log(self, text: str, *, level: int = INFO, name: str = "", created: float | None = None) -> None:
        """Log a line of the run."""
        self._log.add(LogEntry(level, name, text, wall() if created is None else created))

    def log_record(self, entry: LogEntry) -> bool:
        """Log a record of the worker; return False if there are too many."""
        return self._log.add_or_drop(entry)

    def emit(self, report: Report) -> None:
        """Report to the scheduler, and let another run start if this one has begun."""
        if self._unreported:
            self._hub.starts.remove(self)
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
            self._io.post(self, self._call_returned, done, result, error)

        helpers = self._hub.slow_helpers if is_slow else self._hub.helpers
        helpers.submit("", [CancelCallback(call, "check of a process")])

    def _call_returned(
        self, done: Callable[[Any, BaseException | None], None], result: Any, error: BaseException | None
    ) -> None:
        if self.phase in (Phase.OPEN, Phase.REPORTING) and not self._is_struck:
            done(result, error)

    # -- what comes in

    def _watch_channel(self) -> None:
        launched, channel = self._launched, self._channel
        if launched is not None and channel is not None:
            wanted = select.EPOLLIN if channel.is_empty else select.EPOLLIN | select.EPOLLOUT
            self._io.watch(launched.channel.fileno(), wanted, self, self._channel_ready)

    def _channel_ready(self, events: int, now: float) -> None:
        launched, channel = self._launched, self._channel
        if launched is None or channel is None:
            return
        if events & select.EPOLLOUT:
            channel.flush()
            self._watch_channel()
        data = _received(launched.channel)
        if data is None:
            return
        self._take_channel(data, now)
        if not data or self._is_done:
            self._begin_closing(now)

    def _take_channel(self, data: bytes, now: float) -> None:
        *lines, self._channel_bytes = (self._channel_bytes + data).split(b"\n")
        for line in lines:
            message = parse_message(line.decode("utf-8", "backslashreplace"))
            if isinstance(message, Done):
                self._is_done = True
            if isinstance(message, ProcessStarted):
                self._handle.main = self._log.pid = message.pid
                self._main = read_process(message.pid)
            if isinstance(message, StartFailed):
                self._is_done = True
                self._start_failed = message
            if isinstance(message, Grouped):
                self._cgroup = message.folder
            if isinstance(message, Exited) and self.run.is_started:
                self._token.mark_ended()
            if not self._is_struck:
                self.run.on_channel(message, now)

    def _watch_control(self) -> None:
        launched, control = self._launched, self._control
        if launched is not None and launched.control is not None and control is not None:
            reading = select.EPOLLIN if self._unthrottle_at == inf else 0
            writing = 0 if control.is_empty else select.EPOLLOUT
            self._io.watch(launched.control.fileno(), reading | writing, self, self._control_ready)

    def _control_ready(self, events: int, now: float) -> None:
        launched, control = self._launched, self._control
        if launched is None or launched.control is None or control is None:
            return
        if events & select.EPOLLOUT:
            control.flush()
        data = _received(launched.control)
        if data is not None:
            self._take_control(data, now)
            self._throttle(len(data), now)
        if self._control is not None:
            self._watch_control()

    def _throttle(self, size: int, now: float) -> None:
        """Let a worker wait that sends much more than any task has to say."""
        if now >= self._burst_until:
            self._burst_until, self._burst_bytes = now + _BURST_SECONDS, 0
        self._burst_bytes += size
        if self._burst_bytes > _BURST_BYTES:
            self._unthrottle_at = self._burst_until

    def _take_control(self, data: bytes, now: float) -> None:
        try:
            if not data:
                self._close_control(now, half_line=self._half_line())
                return
            for line in self._control_lines.feed(data):
                message = decode_up(line)
                if not self._is_struck:
                    self.run.on_control(message, now)
        except ProtocolError as error:
            self._close_control(now, half_line="")
            self.run.fail(explained("ProtocolError", f"the process broke the protocol: {error}"))

    def _half_line(self) -> str:
        try:
            self._control_lines.end()
        except ProtocolError as error:
            return str(error)
        return ""

    def _close_control(self, now: float, half_line: str) -> None:
        """Read and send nothing more. The socket stays open until the end: its number must not change its meaning."""
        if self._control is not None and self._launched is not None and self._launched.control is not None:
            self._io.unwatch(self._launched.control.fileno())
            self._control = None
            if not self._is_struck:
                self.run.on_control_closed(half_line, now)

    def _watch_output(self) -> None:
        for stream in self._output:
            ready = self._stdout_ready if stream == "stdout" else self._stderr_ready
            self._io.watch(self._descriptor(stream), select.EPOLLIN, self, ready)

    def _unwatch_output(self) -> None:
        for stream in self._output:
            self._io.unwatch(self._descriptor(stream))

    def _descriptor(self, stream: Stream) -> int:
        launched = self._launched
        if launched is None:
            return -1
        return launched.stdout if stream == "stdout" else launched.stderr

    def _stdout_ready(self, _: int, now: float) -> None:
        self._read_output("stdout", now)

    def _stderr_ready(self, _: int, now: float) -> None:
        self._read_output("stderr", now)

    def _read_output(self, stream: Stream, now: float) -> int:
        """Read once and pass complete lines on; return how many bytes came."""
        try:
            data = os.read(self._descriptor(stream), _READ_BYTES)
        except BlockingIOError:
            return 0
        lines = self._output[stream]
        found = lines.feed(data) if data else lines.end()
        if not data:
            self._close_output(stream)
        if not self._is_struck:
            for line in found:
                self.run.on_line(stream, line, now)
        if self._log.is_full and self.phase is Phase.OPEN:
            self._pause_output()
        return len(data)

    def _close_output(self, stream: Stream) -> None:
        launched = self._launched
        if launched is not None:
            self._io.unwatch(self._descriptor(stream))
            del self._output[stream]
            if stream == "stdout":
                launched.close_stdout()
            else:
                launched.close_stderr()

    def _pause_output(self) -> None:
        self._unwatch_output()
        self._log.is_paused = True
        if self._log.is_half_empty:  # in between: then the log thread may not have seen the flag
            self._resume_output()

    def _log_has_space(self) -> None:
        """The log has space again; on the log thread."""
        self._io.post(self, self._resume_output)

    def _resume_output(self) -> None:
        self._log.is_paused = False
        if self.phase is Phase.OPEN:
            self._watch_output()

    # -- time

    def next_timer(self) -> float:
        """Return the next deadline of the run or of the connection itself."""
        own = min(self._enforce_at, self._reap_at, self._unthrottle_at)
        return min(own, self.run.next_timer()) if self.phase is Phase.OPEN and not self._is_struck else own

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        if self._unthrottle_at <= now:
            self._unthrottle_at = inf
            self._watch_control()
        if self._reap_at <= now:
            self._look_for_exit(now)
        if self._enforce_at <= now:
            self._enforce_at = inf
            self._enforce(now)
        if self.phase is Phase.OPEN and not self._is_struck and self.run.next_timer() <= now:
            self.run.on_timer(now)

    def _enforce(self, now: float) -> None:
        if self.phase is Phase.REPORTING:
            self.report()
        elif self._launched is not None and state_of(self._handle.main) == "D":
            # It waits for a device that does not answer: not even SIGKILL ends it then.
            self._enforce_at = now + _KILL_SECONDS
        elif self._launched is not None and self.phase is Phase.OPEN:
            self._enforce_kill(self._launched, now)
        elif self._launched is not None and self.phase is Phase.CLOSING:
            self._launched.kill_supervisor()
            self._hub.reap_later(self._launched)
            self._read_the_rest(now)

    def _enforce_kill(self, launched: Launched, now: float) -> None:
        """Have the supervisor go on if it was stopped; kill it if it does nothing: the main process ends with it.

        A supervisor that is at work is let alone, however long that takes: who forks faster than the machine can kill
        would be left.
        """
        self._kill_checks += 1
        _continue(launched.pid)
        is_at_work = self.run.exited is not None or state_of(launched.pid) == "R"
        if not is_at_work and self._kill_checks >= _MOST_KILL_CHECKS:
            launched.kill_supervisor()
        else:
            self._enforce_at = now + _KILL_SECONDS

    # -- the end

    def _begin_closing(self, now: float) -> None:
        """Nothing of the run is left, or its supervisor is gone: wait for the exit of the supervisor."""
        if self.phase is not Phase.OPEN or self._launched is None:
            return
        if not self._is_done:
            self._kill_orphans()
        self.phase = Phase.CLOSING
        self._io.unwatch(self._launched.channel.fileno())
        self._unwatch_output()
        self._unthrottle_at = inf
        self._enforce_at = now + _EXIT_SECONDS
        self._look_for_exit(now)

    def _kill_orphans(self) -> None:
        """Have a helper thread kill what a killed supervisor has left."""
        kill = partial(kill_orphans, self._main, self._order.job, self._order.run, self._cgroup)
        self._hub.helpers.submit("", [CancelCallback(kill, "kill of orphans")])

    def _look_for_exit(self, now: float) -> None:
        """Take the exit status of the supervisor; look again soon if it has not ended."""
        self._reap_at = inf
        if self.phase is not Phase.CLOSING or self._launched is None:
            return
        if self._launched.reap() and (self._is_done or not is_alive(self._main)):
            self._read_the_rest(now)
        else:
            self._reap_at = now + self._reap_seconds
            self._reap_seconds = min(2 * self._reap_seconds, 0.05)

    def _read_the_rest(self, now: float) -> None:
        """Read what is left in the pipes and the socket, close them, and ask for the verdict."""
        launched = self._launched
        if launched is None:
            return
        self._enforce_at = self._reap_at = inf
        self._read_left_control(now)
        for stream in list(self._output):
            left = _MOST_LEFT
            while stream in self._output and left > 0 and (size := self._read_output(stream, now)):
                left -= size
            if stream in self._output:  # a process that is not of this run has it, too
                for line in self._output[stream].end():
                    self.run.on_line(stream, line, now)
                self._close_output(stream)
        lost = None if self._is_done else describe_loss(launched.exit_status, self.run.pid)
        self._close_descriptors()
        verdict = self._broken_verdict() if self._is_struck else self.run.end(lost=lost)
        if self._start_failed is not None and isinstance(verdict, RunStartFailed):
            self._explain_start(launched, self._start_failed, verdict)
        else:
            self._conclude(verdict)

    def _explain_start(self, launched: Launched, failed: StartFailed, verdict: RunStartFailed) -> None:
        """Have a helper thread look for a program of a similar name, which reads folders; report without it if late."""
        self.phase = Phase.REPORTING
        self._verdict = verdict
        self._enforce_at = mono() + _LOG_SECONDS
        self.call(lambda: launched.why_failed(failed), self._start_explained)

    def _read_left_control(self, now: float) -> None:
        launched, left = self._launched, _MOST_LEFT
        while self._control is not None and launched is not None and launched.control is not None and left > 0:
            data = _received(launched.control)
            if data is None:
                break
            left -= len(data)
            self._take_control(data, now)

    def _forget_foreign(self) -> None:
        """Forget the descriptors that a task has closed: their numbers may be those of its own files by now."""
        launched = self._launched
        if launched is None:
            return
        if self._channel is not None and not self._channel.is_ours:
            launched.channel.detach()
        if self._control is not None and launched.control is not None and not self._control.is_ours:
            launched.control.detach()
        for pipe in self._pipes:
            if not pipe.is_ours() and launched.stdout == pipe.number:
                launched.stdout = -1
            if not pipe.is_ours() and launched.stderr == pipe.number:
                launched.stderr = -1

    def _drop_launched(self) -> None:
        """Close everything, without a verdict of the supervisor: it ends the run by itself then."""
        launched = self._launched
        if launched is not None:
            self._close_descriptors()
            self._hub.reap_later(launched)

    def _close_descriptors(self) -> None:
        launched = self._launched
        self._forget_foreign()
        self._channel = self._control = None
        self._output = {}
        if launched is not None:
            self._io.unwatch(launched.channel.fileno())
            if launched.control is not None:
                self._io.unwatch(launched.control.fileno())
            for descriptor in (launched.stdout, launched.stderr):
                if descriptor >= 0:
                    self._io.unwatch(descriptor)
            launched.close()
            self._launched = None  # last: what a strike has left open is closed by the next call

    def _start_explained(self, text: Any, _: BaseException | None) -> None:
        if isinstance(self._verdict, RunStartFailed) and text:
            self._verdict = self._verdict._replace(error=explained(self._verdict.error.type, str(text)))
        self.report()

    def _conclude(self, verdict: RunEnded | RunStartFailed) -> None:
        """Report the verdict as soon as the log lines before it were passed on."""
        if self.phase in (Phase.REPORTING, Phase.OVER):
            return
        self.phase = Phase.REPORTING
        self._verdict = verdict
        if self._log.is_empty:
            self.report()
        else:
            self._enforce_at = mono() + _LOG_SECONDS
            self._log.finish(lambda: self._io.post(self, self.report))

    def report(self) -> None:
        """Report the end, after everything else; idempotent."""
        self._hub.forget(self)  # first: whoever sees the end may wait for our threads
        if self._unreported and self._verdict is not None:
            self._token.close()
            # On one line: the end is reported once, whichever line is struck.
            self._unreported.pop()(self._verdict)
        self.phase = Phase.OVER
        self._enforce_at = inf
        self._handle.has_ended()
        self._hub.starts.remove(self)

    # -- strikes

    def struck(self, error: BaseException) -> None:
        """End the run that an exception of ours has struck: it is killed, and has failed."""
        self._strikes += 1
        if self._verdict is not None:
            self.report()
            return
        self._is_struck = True
        channel = self._channel
        if self.phase is Phase.OPEN and channel is not None and channel.is_ours and self._strikes <= _MOST_STRIKES:
            self.kill()
            self._watch_channel()
            return
        self._drop_launched()
        self._verdict = self._broken_verdict()
        self.report()

    def _broken_verdict(self) -> RunEnded | RunStartFailed:
        text = "internal error: an exception struck the thread that reads its pipes"
        error = ErrorInfo("InternalError", text, text + "\n")
        if not self.run.is_started:
            return RunStartFailed(self._order.run, error)
        return RunEnded(self._order.run, How.RAISED, error, self.run.ladder.requested is not None, callback_ran=False)

    def leave_behind(self) -> None:
        """Close our descriptors, without a word to the supervisor. Called in a forked child, on its only thread."""
        launched = self._launched
        if launched is not None:
            launched.close()


def _received(sock: Any) -> bytes | None:
    """Return what has come through the socket; b"" at its end, None if nothing has come."""
    try:
        data: bytes = sock.recv(_READ_BYTES)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""  # the other end was closed with something unread
    return data


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except OSError:
        pass  # it has ended


def _start_error(error: BaseException) -> ErrorInfo:
    """Return the error of a start that failed: in words alone if the system has refused it."""
    if isinstance(error, CannotLaunch):
        return explained("CannotLaunch", str(error))
    return describe(error)
