"""One run of a program: ready, checked, asked to stop, and the verdict of its exit code.

Without any I/O, as the class that it extends: the IO thread calls it, and what may block is called on a helper thread
through the link. At most one probe of a run is under way.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded, RunResponsive, RunStartFailed, RunUnresponsive
from taskloom.core.model import ErrorInfo, How, Reason
from taskloom.program import Program, parse_target
from taskloom.runners.process.accounts import find_account
from taskloom.runners.process.channel import Continued, Exited, Left, ProcessStarted, Stopped, SupervisorMessage
from taskloom.runners.process.deaths import explained, killed_by_ladder
from taskloom.runners.process.driven_run import DrivenRun, Link, Stream
from taskloom.runners.process.env_files import EnvFileError, read_env
from taskloom.runners.process.environment import PID_VARIABLE, child_environment
from taskloom.runners.process.file_limit import limit_of_children
from taskloom.runners.process.helper_command import HelperCommand, HelperFailed
from taskloom.runners.process.launch import CannotLaunch, LaunchSpec
from taskloom.runners.process.probes import ProbeFailed, probe
from taskloom.signal_names import signal_name
from taskloom.text import error_text, plural

if TYPE_CHECKING:
    from taskloom.runners import RunOrder
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["ProgramRun"]

WARNING = 30
"""`logging.WARNING`."""

# Until an address answers, it is tried again after this many seconds, at first and at most.
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 1.0
_READY_TIMEOUT_SECONDS = 5.0
# Only the beginning of a longer line is searched: a regular expression may take time in proportion to its square.
_LONGEST_READY_LINE = 4096
# The codes of a shell for a command that is not executable, or not found.
_SHELL_CODES = {126: "the shell could not execute a command", 127: "the shell found no such command"}
_SIGNAL_CODES = 128
_CONTINUE = int(signal.SIGCONT)
# A program that was asked to stop has done so if one of these has ended it.
_ASKING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM})
# These are the program's own fault, or the kernel's work, with or without a request to stop.
_FAULTS = frozenset(
    {
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGTRAP,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    }
)


class ProgramRun(DrivenRun):
    """One run of the program that its task describes; times are monotonic seconds."""

    def __init__(self, order: RunOrder, token: CancelToken, link: Link) -> None:
        super().__init__(order, token, link)
        self._program: Program | None = None
        self._spec: LaunchSpec | None = None
        # Searched in each line until it is found.
        self._pattern: re.Pattern[str] | None = None
        self._has_said_ready = False
        self._left: Left | None = None
        self._timer = inf
        self._on_due: Callable[[], object] = _nothing
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._failures = 0
        self._is_unresponsive = False
        self._good_at = 0.0
        # The stop command and the check that are under way.
        self._commands: set[HelperCommand] = set()

    # -- the start

    def make_spec(self) -> LaunchSpec:
        """Return what is to be executed; called on a helper thread. Raises OSError, and what the task raises."""
        order, options = self.order, self.order.options
        make = order.binding.program
        if make is None:
            raise TypeError(f"cannot start {order.task!r} as a program: it describes none")
        self._program = program = make()
        if program.ready_line is not None:
            self._pattern = re.compile(program.ready_line)
        account = None if options.get("user") is None else find_account(options["user"]).env
        try:
            files = read_env(program.env_files)
        except EnvFileError as error:
            raise CannotLaunch(error.errno, repr(program.argv[0]), str(error)) from None
        added = files, options.get("env", {}), program.env
        self._spec = LaunchSpec(
            argv=program.argv,
            env=child_environment(os.environ, order.job, order.run, *added, account=account),
            job=order.job,
            cwd=program.cwd if program.cwd is not None else options.get("cwd"),
            nice=options.get("nice"),
            user=options.get("user"),
            memory_limit=options.get("memory_limit"),
            stdin=program.stdin,
            no_file_limit=limit_of_children(),
        )
        return self._spec

    def on_channel(self, message: SupervisorMessage, now: float) -> None:
        """Take one message of the supervisor."""
        super().on_channel(message, now)
        if isinstance(message, ProcessStarted):
            self._started()
        elif isinstance(message, Left):
            self._left = message
            if self.ladder.requested is not None:
                self.link.log(f"it left {_processes(message)}: ending what is left")
        elif isinstance(message, Stopped):
            self.link.log(f"the process was stopped by {signal_name(message.number)}", level=WARNING)
        elif isinstance(message, Continued):
            self.link.log("the process continues")
        elif isinstance(message, Exited):
            self._set_timer(inf)
            self._end_commands()

    def _started(self) -> None:
        program = self._known()
        # It polls nothing. A stop wakes it by a signal, and only its checks show that it works.
        self.token.update_remote(has_polled=False, is_waiting=True, is_wakeable=True)
        self.report_started(is_ready=not program.announces_ready)
        if self.ladder.requested is not None:
            self._stop(program)  # requested while it was being started
        elif program.ready_address is not None:
            self._probe_ready()
        elif self.is_ready:
            self._begin_checks()
        elif self._has_said_ready:
            self._be_ready()

    # -- ready

    def on_line(self, stream: Stream, text: str, now: float) -> None:
        """Log one line of its output, and look whether it makes the run ready."""
        super().on_line(stream, text, now)
        if self._pattern is not None and self._pattern.search(text[:_LONGEST_READY_LINE]):
            self._pattern = None
            self._be_ready()

    def _be_ready(self) -> None:
        # Its first lines may be read before the supervisor's message that it has started.
        self._has_said_ready = True
        if self.is_started and not self.is_ready:
            self.report_ready()
            self._begin_checks()

    def _probe_ready(self) -> None:
        address = self._known().ready_address
        if address is not None and self._goes_on():
            self.link.call(
                partial(probe, parse_target(address), _READY_TIMEOUT_SECONDS), self._ready_probed, is_slow=True
            )

    def _ready_probed(self, _: object, error: BaseException | None) -> None:
        if error is None:
            self._be_ready()
            return
        self._set_timer(mono() + self._retry_seconds, self._probe_ready)
        self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)

    # -- checks

    def _begin_checks(self) -> None:
        check = self._known().check
        if check is not None and self._goes_on():
            now = self._good_at = mono()
            self.token.update_remote(has_polled=True, is_waiting=False, is_wakeable=True)
            self._set_timer(now + check.every, self._check)

    def _check(self) -> None:
        check = self._known().check
        if check is None or not self._goes_on():
            return
        target = check.target
        if target is not None:
            self.link.call(partial(probe, target, check.timeout), self._checked, is_slow=True)
            return
        command = self._helper(check.command, check.timeout)
        self.link.call(command.run, partial(self._command_checked, command), is_slow=True)

    def _command_checked(self, command: HelperCommand, result: object, error: BaseException | None) -> None:
        self._commands.discard(command)
        self._checked(result, error)

    def _checked(self, _: object, error: BaseException | None) -> None:
        check = self._known().check
        if check is None or not self._goes_on():
            return
        now = mono()
        self._set_timer(now + check.every, self._check)
        if error is None:
            self._passed(now)
            return
        self._failures += 1
        of_all = f"of {check.failures}" if self._failures <= check.failures else "in a row"
        why = _why(error)
        self.link.log(f"check failed ({self._failures} {of_all}): {check}: {why}", level=WARNING)
        if self._failures >= check.failures and not self._is_unresponsive:
            self._is_unresponsive = True
            because = f"{plural(self._failures, 'failed check')} in a row: {why}"
            self.link.emit(RunUnresponsive(self.order.run, now - self._good_at, because))

    def _passed(self, now: float) -> None:
        self.token.update_remote(has_polled=True, is_waiting=False, is_wakeable=True)
        self._good_at = now
        if self._failures:
            self.link.log(f"check succeeded after {plural(self._failures, 'failure')}")
        self._failures = 0
        if self._is_unresponsive:
            self._is_unresponsive = False
            self.link.emit(RunResponsive(self.order.run))

    # -- the stop

    def on_cancel(self, reason: Reason, now: float) -> None:
        """Send the stop signal, or run the stop command; called once.

        A program that has ended before the request was not stopped, even if what it left still lives.
        """
        if self.exited is not None:
            return
        super().on_cancel(reason, now)
        self._set_timer(inf)
        self._end_commands()
        if self._program is not None and self.is_started:
            self._stop(self._program)

    def _stop(self, program: Program) -> None:
        self.link.be_patient()
        if not program.stop_command:
            self._send_stop_signal(program)
            return
        command = self._helper(program.stop_command, None)
        self.link.call(command.run, partial(self._stop_command_ended, command))

    def _send_stop_signal(self, program: Program) -> None:
        # A shell would end at once, and what it waits for would get another signal.
        send = self.link.signal_group if program.shell else self.link.signal
        send(program.stop_signal)
        # A stopped process gets no other signal than this one and SIGKILL.
        send(_CONTINUE)

    def _stop_command_ended(self, command: HelperCommand, _: object, error: BaseException | None) -> None:
        self._commands.discard(command)
        program = self._known()
        if error is not None and self.exited is None:
            self.link.log(
                f"stop_command failed: {_why(error)}; sending {signal_name(program.stop_signal)}", level=WARNING
            )
            self._send_stop_signal(program)

    def on_reload(self) -> None:
        """Send the reload signal: the job files were read again, and the run goes on."""
        program = self._program
        if program is not None and program.reload_signal is not None and self.is_started and self._goes_on():
            self.link.log(f"reload: sending {signal_name(program.reload_signal)}")
            self.link.signal(program.reload_signal)

    def on_terminate(self, now: float) -> None:
        """Send TERM to the group, and before that the stop signal, if a stop command was to do its work."""
        program = self._program
        if program is not None and program.stop_command:
            self._end_commands()
            self._send_stop_signal(program)
        super().on_terminate(now)

    def on_kill(self, now: float) -> None:
        """Kill the stop command, too, if it still runs."""
        self._end_commands()
        super().on_kill(now)

    # -- the end

    def end(self, *, lost: ErrorInfo | None) -> RunEnded | RunStartFailed:
        """Return the verdict. Called once, at the very end."""
        self._set_timer(inf)
        self._end_commands()
        return super().end(lost=lost)

    def own_end(self) -> RunEnded | None:
        """Return what the exit code says; None if a signal, or the supervisor, has ended the program."""
        program, exited = self._program, self.exited
        if (
            program is None
            or exited is None
            or self.broken is not None
            or not self.is_started
            or self._over is not None
        ):
            return None
        was_requested = self.ladder.requested is not None
        if os.WIFSIGNALED(exited.status):
            return self._end_by_signal(program, exited.status) if was_requested else None
        code = os.WEXITSTATUS(exited.status)
        if was_requested:
            if code in program.success_codes or code == _SIGNAL_CODES + program.stop_signal:
                return self.ended(How.CANCELLED, None)
            # The stop is why it failed, so it is cancelled all the same, and the code is kept.
            return self.ended(How.RAISED, _failed(_code(program, code)))._replace(callback_ran=True)
        if code not in program.success_codes:
            return self.ended(How.RAISED, _failed(_code(program, code)))
        if self._left is not None:
            return self.ended(How.RAISED, _failed(_in_background(self._left)))
        return self.ended(How.RETURNED, None)

    def _end_by_signal(self, program: Program, status: int) -> RunEnded | None:
        """Return the end of a program that was asked to stop and died of a signal that asks; None for other signals."""
        number = os.WTERMSIG(status)
        is_out_of_memory = self._is_out_of_memory and number == signal.SIGKILL
        if killed_by_ladder(status, self.ladder) is not None or is_out_of_memory:
            return None
        # A stop command may send any signal.
        has_asked = number not in _FAULTS if program.stop_command else number in _ASKING
        return self.ended(How.CANCELLED, None) if has_asked or number == program.stop_signal else None

    # -- helpers

    def _known(self) -> Program:
        """Return the program; it is known from the start on."""
        assert self._program is not None
        return self._program

    def _goes_on(self) -> bool:
        """Return whether the program runs and is not asked to stop."""
        return self.exited is None and self.ladder.requested is None

    def _helper(self, argv: tuple[str, ...], timeout: float | None) -> HelperCommand:
        """Return a command that runs beside the program, in its environment."""
        assert self._spec is not None
        added: Mapping[str, str] = {} if self.pid is None else {PID_VARIABLE: str(self.pid)}
        command = HelperCommand(self._spec, argv, added, timeout)
        self._commands.add(command)
        return command

    def _end_commands(self) -> None:
        """Kill what runs beside the program. Never blocks."""
        while self._commands:
            self._commands.pop().kill()

    # -- time

    def next_timer(self) -> float:
        """Return when `on_timer` is to be called; inf for never."""
        return self._timer

    def on_timer(self, now: float) -> None:
        """Begin the next probe."""
        due, self._timer = self._on_due, inf
        due()

    def _set_timer(self, when: float, on_due: Callable[[], object] | None = None) -> None:
        self._timer = when
        self._on_due = on_due or _nothing


def _nothing() -> None:
    """Do nothing: no timer is set."""


def _why(error: BaseException) -> str:
    """Return the message of a failed probe or command; of any other error its kind, too."""
    return str(error) if isinstance(error, ProbeFailed | HelperFailed) else error_text(error)


def _failed(text: str) -> ErrorInfo:
    return explained("ProgramFailed", text)


def _code(program: Program, code: int) -> str:
    why = _SHELL_CODES.get(code) if program.shell else None
    return f"exit code {code}" if why is None else f"exit code {code}: {why}"


def _processes(left: Left) -> str:
    return f"{left.count} {'process' if left.count == 1 else 'processes'} ({left.names.replace(',', ', ')})"


def _in_background(left: Left) -> str:
    return (
        f"the program put itself into the background: its first process ended and left {_processes(left)}; "
        "start it in the foreground"
    )
