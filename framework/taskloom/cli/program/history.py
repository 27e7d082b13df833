"""The history of one `taskloom run`: opened before the first job, finished with the report of the stop.

The jobs do not depend on it. If its database cannot be used, one line says so, the jobs run, and the recorder goes on
trying. Its packages are imported when it is opened, before the first job: nothing is imported beside tasks.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from taskloom.cli.program.history_choice import INSTALL, MISSING, has_history, refuse_catching_up, require_history
from taskloom.cli.program.history_lines import lost_line, paused_lines
from taskloom.cli.program.signals import Signal
from taskloom.cli.resources import needed
from taskloom.clock import mono, wall
from taskloom.control.action_record import Action, HistoryStatus, RecordedRuns
from taskloom.control.exchange import Caller
from taskloom.control.program_info import CallerNames, ProgramInfo
from taskloom.control.run_ring import LONGEST_ERROR, PastRun
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec
from taskloom.core.remembered import RememberedJob
from taskloom.core.run_reports import Whereabouts
from taskloom.jobfile.fields.history import HistoryMode, HistorySetting
from taskloom.jobfile.url_passwords import url_passwords
from taskloom.observe.console import Console
from taskloom.observe.log_ring import LogRing
from taskloom.observe.masking import Masker
from taskloom.scheduler.facade import Scheduler
from taskloom.text import error_text, plural

if TYPE_CHECKING:
    from taskloom.history.location import Target
    from taskloom.history.model import LostRun, RunGauges
    from taskloom.history.read_rows import RunEntry
    from taskloom.history.recorder import Recorder

__all__ = ["DEGRADED_SECONDS", "FINISH_SECONDS", "LEAST_SECONDS", "OPEN_SECONDS", "ProgramHistory"]

# A slow disk or server must not hold up the start of the jobs.
OPEN_SECONDS = 5.0
# For the last rows, the report of the stop, and the checkpoint of the database.
FINISH_SECONDS = 2.0
# While the database cannot be used: enough for one more attempt. A stop must not take longer for it each time.
DEGRADED_SECONDS = 0.5
# If the deadline of the stop is over already: enough for a commit on a fast disk.
LEAST_SECONDS = 0.1
# The most characters that are kept of the command line of a caller.
_MOST_COMMAND = 4096


class ProgramHistory:
    """The history, or none: then every method does nothing.

    It is the record of actions of the control API, and the memory of the scheduler. Any thread may call `put`,
    `record`, `record_instant`, `note_signal` and `status`, which never block; all else is for the main thread.
    """

    def __init__(self) -> None:
        self._setting = HistorySetting(HistoryMode.OFF)
        self._is_on = False
        self._recorder: Recorder | None = None
        # Its status while there is no recorder.
        self._missing = HistoryStatus()
        self._mask: Callable[[str], str] = str
        self._names: CallerNames | None = None
        self._gauges_at_end: Callable[[Event], RunGauges | None] = lambda _: None
        self._lost: Sequence[LostRun] = ()
        self._remembered: dict[str, RememberedJob] = {}
        self._console: Console | None = None
        # Lines for the log, each with its level, until the columns of the log are known.
        self._lines: list[tuple[str, str]] = []
        self.changed: Callable[[], object] = lambda: None
        """Called when the recorder has logged that something has changed; on its thread, so it may not block."""

    # -- the start

    def choose(self, setting: HistorySetting, specs: Iterable[JobSpec], masker: Masker) -> None:
        """Decide whether there is a history, and keep its password secret.

        Raises click.UsageError and JobFileError for what cannot begin, as `require_history` does.
        """
        require_history(setting, specs)
        masker.learn(url_passwords(setting.place))
        self._setting, self._mask = setting, masker.mask
        self._is_on = has_history(setting)
        if not self._is_on and setting.mode is HistoryMode.DEFAULT:
            self._lines.append((MISSING, "DEBUG"))

    @property
    def memory(self) -> ProgramHistory | None:
        """The memory of the scheduler; None without a history."""
        return self if self._is_on else None

    def open(self, info: ProgramInfo, scheduler: Scheduler, ring: LogRing, *, is_fresh: bool) -> None:
        """Open the database, and take what earlier starts have left; after OPEN_SECONDS go on without it.

        `is_fresh`: forget what schedules remember. Raises click.UsageError if the place cannot be used at all, and
        OutOfResources if there is no thread for it.
        """
        if not self._is_on:
            return
        try:
            with needed("import the history"):
                recorder = self._make(info, scheduler, ring, is_fresh=is_fresh)
        except ImportError as error:  # the packages are there, and are broken
            why = f"its packages cannot be imported ({error_text(error)})"
            if self._setting.mode is HistoryMode.ON:
                raise click.UsageError(f"cannot record the history: {why}; {INSTALL}") from error
            self._do_without(why)
            return
        if recorder is None:
            return
        with needed("start the thread that writes the history"):
            opened = recorder.open(OPEN_SECONDS)
        self._names = CallerNames()
        self._recorder = recorder
        self._lost = opened.lost
        self._remembered = {} if is_fresh else dict(opened.remembered)

    def _do_without(self, why: str) -> None:
        """Say that this start has no history, although it should have one."""
        self._missing = HistoryStatus("degraded", why, wall())
        self._lines.append((f"no history of runs is recorded: {why}", "WARNING"))

    def _make(self, info: ProgramInfo, scheduler: Scheduler, ring: LogRing, *, is_fresh: bool) -> Recorder | None:
        """Return the recorder; None if this user has no folder for the database."""
        from taskloom.history.errors import BadTarget, HistoryError
        from taskloom.history.gauges import gauges_at_end, gauges_of
        from taskloom.history.log_tails import tail_of
        from taskloom.history.model import StartInfo
        from taskloom.history.recorder import Recorder

        try:
            target = self._target(info.name)
        except BadTarget as error:
            raise click.UsageError(self._mask(str(error))) from None
        except HistoryError as error:
            self._do_without(str(error))
            return None
        self._gauges_at_end = gauges_at_end
        command = tuple(self._mask(each) for each in info.command)
        return Recorder(
            target,
            name=info.name,
            start=StartInfo(info.start, info.since, info.pid, info.paths, command),
            keep=self._setting.keep,
            size=self._setting.size,
            mask=self._mask,
            log=self._log,
            tail_of=partial(tail_of, ring),
            polls=partial(gauges_of, scheduler),
            is_fresh=is_fresh,
        )

    def _target(self, name: str) -> Target:
        from taskloom.history.location import default_target, parse_target

        if not self._setting.place:
            return default_target(name)
        return parse_target(self._setting.place, is_password_allowed=True)

    def begin(self, console: Console, specs: Iterable[JobSpec]) -> None:
        """Log what earlier starts have left, and what was in the way; later lines are logged at once."""
        self._console = console
        while self._lines:
            line, level = self._lines.pop(0)
            console.log(line, level=level)
        now = wall()
        if self._lost:
            console.log(self._mask(lost_line(self._lost, now)))
        for line in paused_lines(self.remembered(specs), now):
            console.log(self._mask(line))

    def remembered(self, specs: Iterable[JobSpec]) -> Mapping[str, RememberedJob]:
        """Return what earlier starts have left of these jobs, for the scheduler.

        A job that was added is left out: this start has more of it, and one that is removed is forgotten.
        """
        names = [each.name for spec in specs for each in spec.replicated()]
        found = {name: self._remembered.get(name) for name in names}
        return {name: job for name, job in found.items() if job is not None}

    def check(self, specs: Iterable[JobSpec]) -> None:
        """Refuse jobs of a reload that need a history, if there is none. Raises JobFileError."""
        if not self._is_on:
            refuse_catching_up(self._setting, specs)

    def _log(self, level: str, line: str) -> None:
        """Log a line of the recorder. On its thread."""
        if self._console is None:
            self._lines.append((line, level.upper()))
        else:
            self._console.log(self._mask(line), level=level.upper())
        self.changed()

    # -- while the jobs run

    def put(self, event: Event) -> None:
        """Take an event of the scheduler. Only one thread calls it."""
        if self._recorder is None:
            return
        self._recorder.put(event, self._gauges_at_end(event))
        if event.event is EventName.JOB_ADDED and event.job is not None:
            self._remembered.pop(event.job, None)

    def record_instant(self, job: str, instant: float, done: Callable[[bool], None]) -> None:
        """Record that a run of the job starts for this instant, in seconds since the epoch; called by the scheduler."""
        if self._recorder is None:
            done(False)
        else:
            self._recorder.record_instant(job, instant, done)

    def status(self) -> HistoryStatus:
        """Return how the history is at the moment."""
        if self._recorder is None:
            return self._missing
        state = self._recorder.state
        return HistoryStatus(state.kind, state.reason, state.since, state.url, state.queued, state.dropped)

    def record(self, action: Action, done: Callable[[bool], object]) -> None:
        """Record an action of a client. `done` gets False at once while the history is degraded."""
        if self._recorder is None:
            done(False)
            return
        from taskloom.history.model import ActionRow

        caller = self._describe(action.caller)
        row = ActionRow(wall(), action.name, action.jobs, caller, action.reason, action.result)
        if self._recorder.state.kind == "on":
            self._recorder.put_action(row, done)
        else:
            self._recorder.put_action(row)
            done(False)

    def read_runs(self, since: float, most: int, found: Callable[[RecordedRuns | None], object]) -> None:
        """Read the last runs since an instant, also those of earlier starts; None while that is not possible."""
        if self._recorder is None or self._recorder.state.kind != "on":
            found(None)
            return
        self._recorder.read_runs(
            since,
            most,
            lambda page: found(page and RecordedRuns([_past_run(run) for run in page.rows], page.older == 0)),
        )

    def note_signal(self, arrived: Signal, action: str, result: str = "") -> None:
        """Record what a signal has done. Its sender is not known."""
        if self._recorder is None:
            return
        from taskloom.history.model import ActionRow

        caller = {"signal": signal.Signals(arrived.number).name}
        at = wall() - (mono() - arrived.at)
        self._recorder.put_action(ActionRow(at, action, (), caller, "", self._mask(result)))

    def _describe(self, caller: Caller) -> dict[str, str | int]:
        """Return the process that sent a request, with the name of its user and its command line if they are known."""
        found: dict[str, str | int] = {"pid": caller.pid, "uid": caller.uid}
        user = self._names.name_of(caller.uid) if self._names is not None else None
        if user is not None:
            found["user"] = user
        command = _command_of(caller.pid)
        if command:
            found["command"] = self._mask(command)
        return found

    # -- the end

    def finish(self, report: Callable[[], Mapping[str, Any]], code: int, deadline: float) -> None:
        """Write what is left and the report, before the monotonic second `deadline`, and end. Idempotent.

        If its time is over, one line says how many rows were not written.
        """
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        most = FINISH_SECONDS if recorder.state.kind == "on" else DEGRADED_SECONDS
        until = mono() + max(LEAST_SECONDS, min(most, deadline - mono()))
        is_written = recorder.finish(report(), code, until)
        state = recorder.state
        if is_written:
            recorder.close()  # otherwise its thread may be in a call that does not return, and ends with the process
        if not is_written and self._console is not None:
            rows = f": {plural(state.queued, 'row')} missing" if state.queued else ""
            why = f" ({state.reason})" if state.reason else ""
            self._console.log(f"the history could not be written to its end{rows}{why}", level="WARNING")

    def finish_at_once(self, code: int, seconds: float) -> None:
        """Write what can be written within `seconds`, before the process exits without cleanup."""
        recorder = self._recorder
        if recorder is not None:
            recorder.finish({}, code, mono() + seconds)

    def close(self, code: int) -> None:
        """Close it, because the program does not begin, and has this exit code. Idempotent."""
        self.finish(dict, code, mono() + FINISH_SECONDS)

    def leave_behind(self) -> None:
        """Forget it, in a forked child: the database is that of the parent process."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.leave_behind()


def _past_run(run: RunEntry) -> PastRun:
    error = ": ".join(part for part in (run.error_type, run.error_message) if part)
    reason = ": ".join(part for part in (run.reason_kind, run.reason_text) if part)
    return PastRun(
        run.job,
        run.run,
        run.attempt or 1,
        run.queued_at or 0.0,
        run.instant,
        run.started_at,
        run.ended_at,
        run.outcome or None,
        run.seconds,
        error[:LONGEST_ERROR] or None,
        reason or None,
        run.start,
        Whereabouts(run.host, run.worker, run.pid) if run.host else None,
    )


def _command_of(pid: int) -> str:
    """Return the command line of a process; "" if it is gone, or may not be read."""
    from shlex import join

    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            read = file.read(_MOST_COMMAND)
    except OSError:
        return ""
    return join(
        os.fsdecode(part).encode("utf-8", "replace").decode() for part in read.rstrip(b"\0").split(b"\0") if read
    )
