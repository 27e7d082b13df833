"""The program behind `taskloom run`, from the first signal handler to the exit code.

The main thread waits on one queue, for signals and for messages about the scheduler. A signal handler only
notes its number there. The handlers are installed, and the watcher process is forked, before anything that may take
long and before the first thread is started. Everything that a stop needs is made before the first job: if the system
refuses one of these threads, nothing starts.

Whatever is raised on the main thread while jobs run stops them; the main thread goes on waiting for signals meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import Enum
from functools import partial
from typing import Any

from taskloom.cli.program.children import LeftChild, LeftChildren
from taskloom.cli.program.control import ProgramControl
from taskloom.cli.program.detached import reserve_descriptors
from taskloom.cli.program.end_helper import EndHelper
from taskloom.cli.program.event_output import EventOutput
from taskloom.cli.program.exit_handlers import close_pools
from taskloom.cli.program.hard_exit import exit_at_once, left_line
from taskloom.cli.program.imports import ImportWatch, import_for_runs
from taskloom.cli.program.left_threads import LeftThread, LeftThreads
from taskloom.cli.program.log_folder import open_log_folder
from taskloom.cli.program.main_thread_errors import MOST_ERRORS, MOST_WHILE_LISTENING, MainThreadErrors
from taskloom.cli.program.reload import DEPENDENCIES_TOO, Reloader
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.cli.program.settings import RunSettings
from taskloom.cli.program.shared_process import SharedProcess
from taskloom.cli.program.shutdown import FLUSH_SECONDS, Ending, close_listeners
from taskloom.cli.program.signal_guard import SignalGuard
from taskloom.cli.program.signal_queue import SignalQueue
from taskloom.cli.program.signals import HURRY_SECONDS, Signal, SignalAction, SignalPolicy
from taskloom.cli.program.watcher import Watcher
from taskloom.cli.resources import OutOfResources, needed, room_for_start
from taskloom.cli.settings import Sources
from taskloom.clock import mono
from taskloom.core.events import Event, EventName
from taskloom.core.model import Reason, ReasonKind
from taskloom.core.report import ExitCode, StopReport
from taskloom.observe.console import Console
from taskloom.observe.event_text import reason_text
from taskloom.observe.masking import Masker
from taskloom.observe.name_column import longest_name
from taskloom.observe.program_output import ProgramOutput
from taskloom.observe.summary import job_table, summary
from taskloom.observe.terminal import is_terminal, width
from taskloom.observe.wait_log import WaitLog
from taskloom.scheduler.facade import Scheduler
from taskloom.sync.latch import Latch
from taskloom.text import first_of, measured, plural, to_json

__all__ = ["Program"]

_HURRY = plural(round(HURRY_SECONDS), "more second")
_NOT_WATCHED = (
    "the watcher process was ended from outside; jobs run on and are stopped as usual, but the program cannot be ended "
    "on time while C code holds the GIL"
)
# More names than these make a log line too long to read.
_MOST_LOADED, _MOST_AWAITED = 8, 5
# While a stop is under way the main thread also polls for its end, so that no lost message can hold the program.
STOP_POLL_SECONDS = 1.0


class _Message(Enum):
    """A message from another thread to the main thread."""

    SAMPLED = "sampled"
    """The polls of all runs were counted: about once a second, while any run is outside a wait."""
    STOPPING = "stopping"
    """A stop of all jobs has begun."""
    WORK_FINISHED = "work finished"
    """All non-daemon jobs have ended."""
    STOPPED = "stopped"
    """The stop of all jobs is over."""
    THREADS_OVER = "threads over"
    """The time of the threads that the jobs left is over."""


class Program:
    """One `taskloom run`.

    `settings` holds until the job files are read; then `sources` decides, if it is given, with what they have.
    """

    def __init__(
        self,
        settings: RunSettings,
        *,
        events: str | None,
        labels: Sequence[str],
        wants_json: bool,
        is_verbose: bool,
        sources: Sources | None = None,
        env_files: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._env_files = env_files
        self._stop_within = settings.stop_within
        # Given to everything that writes or sends.
        self._masker = Masker()
        self._events = EventOutput(events, self._masker)
        self._labels = labels
        self._wants_json = wants_json
        self._is_verbose = is_verbose
        reserve_descriptors()  # first: otherwise a descriptor of ours gets the number of a closed standard stream
        self._queue: SignalQueue[_Message | Callable[[], object]] = SignalQueue()
        self._policy = SignalPolicy(has_terminal=sys.stdin is not None and sys.stdin.isatty())
        self._guard = SignalGuard(self._on_signal)
        self._imports = ImportWatch(self._guard, self._queue.put, self._warn)
        self._errors = MainThreadErrors()
        self._jobs_started = Latch()
        # Kept until there is a console; then None.
        self._early_warnings: list[str] | None = [] if sources is None else list(sources.warnings)
        self._is_stop_requested = False
        self._is_stopping = False
        self._hard_deadline = float("inf")
        self._process = SharedProcess()
        self._control = ProgramControl()
        self._wait_log: WaitLog | None = None
        # The threads that tasks or libraries have left, once they are looked for.
        self._threads: LeftThreads | None = None
        # Job -> the monotonic second at which its last run was asked to stop.
        self._asked: dict[str, float] = {}

    def run(self, paths: Sequence[str], *, is_default: bool = False) -> int:
        """Run the jobs and return the exit code; exits the process here if threads are left behind.

        `is_default`: the user has given no path, so the log says which ones are used.
        If it raises, nothing was started. Raises OutOfResources if the system refuses what a stop needs.
        """
        files = JobFiles(
            paths,
            labels=self._labels,
            stop_within=self._stop_within if self._sources is None else None,
            env_files=self._env_files,
            sources=self._sources,
            after_load=self._imports,
        )
        self._is_default = is_default
        files.read_streams()  # before the guard is installed: until then Ctrl-C ends the wait for a pipe
        try:
            with ExitStack() as undo:
                self._set_up(files, undo)
                undo.pop_all()
        except SystemExit as error:  # otherwise it would end the program in silence, with a code of its own
            raise RuntimeError("code of a plugin called sys.exit on the main thread") from error
        return self._finish(self._wait_for_end())

    def _on_signal(self, number: int, _: object) -> None:
        """Note the number of a signal. The handler may interrupt the main thread at any point."""
        if self._policy.is_stop(number):
            self._is_stop_requested = True
        self._queue.note(number)

    def _on_watcher_lost(self) -> None:
        self._warn(_NOT_WATCHED)

    # -- setting up

    def _set_up(self, files: JobFiles, undo: ExitStack) -> None:
        """Make everything that the jobs and a stop need; `undo` takes how to remove it if that fails."""
        room_for_start()
        self._guard.install()
        undo.callback(self._guard.uninstall)
        try:
            self._watcher = Watcher(self._stop_within, has_terminal=self._policy.has_terminal)
        except OSError as error:  # whatever the reason: without it a stop might not end on time
            raise OutOfResources("start the watcher process", error) from error
        undo.callback(self._dismiss_watcher)
        self._queue.listen_to(self._watcher.echo, self._on_watcher_lost)
        self._guard.keep_wakeup_fd()
        self._process.watch_forks(self._watcher.forget)
        undo.callback(self._process.close)
        selection = files.read()
        self._learn_settings(selection)
        self._scheduler = Scheduler(stop_within=self._stop_within, on_stopping=self._on_stopping, log=False)
        self._masker.learn(selection.secrets)
        self._is_verbose = self._is_verbose or self._settings.log_level == "debug"
        self._imports.take_back("code that ran while the job files were read")
        self._process.take_back()
        self._events.open()
        self._log_folder = open_log_folder(self._settings.log_dir)
        with needed("start the output thread"):
            console = self._set_up_output(undo)
        with needed("start the thread that writes log files"):
            self._shown.apply(selection.specs)
        undo.callback(self._scheduler.stop, 0)
        with needed("start the threads of the scheduler"):
            self._scheduler.prepare()
        with needed("start the threads that pass on events"):
            self._wait_log = WaitLog(console) if self._is_verbose else None
            on_wait = self._wait_log.on_wait if self._wait_log is not None else None
            self._listeners = [self._scheduler.listen(self._on_event, on_wait=on_wait)]
            if self._events.sink is not None:
                self._listeners.append(self._scheduler.listen(self._events.sink))
        with needed("import its modules"):
            import_for_runs(selection.specs)
        with needed("start the thread that waits for the jobs"):
            self._helper = EndHelper()
            self._helper.do(self._wait_for_scheduler)
        self._scheduler.call_after_samples(partial(self._queue.put, _Message.SAMPLED))
        checked = partial(self._shown.check_logging, "a package that was imported")
        self._reloader = Reloader(
            files,
            self._scheduler,
            console,
            console.show,
            after_import=checked,
            after_read=self._use_selection,
            is_verbose=self._is_verbose,
            settings=selection.settings,
        )
        self._open_control(files, undo)
        self._log_loaded(selection, files.paths)  # nothing is logged before all threads are there
        self._control.log_place(console)
        self._scheduler.add_all(selection.specs)

    def _open_control(self, files: JobFiles, undo: ExitStack) -> None:
        self._control.open(
            self._scheduler,
            settings=self._settings,
            paths=files.paths,
            console=self._console,
            logs=self._shown.logs.ring,
            mask=self._shown.masker.mask,
            reload=self._reloader.request,
            shutdown=lambda within, reason: self._queue.put(partial(self._stop_by_request, within, reason)),
        )
        undo.callback(self._control.close)

    def _learn_settings(self, selection: Selection) -> None:
        """Take over the settings of the job files, which were not known before.

        A stop that was requested while the files were read keeps its deadline: no job runs, so it takes no time.
        """
        if not selection.settings:
            return
        self._settings = self._settings.with_given(selection.settings)
        if not self._is_stop_requested and self._settings.stop_within != self._stop_within:
            self._stop_within = self._settings.stop_within
            self._watcher.allow(self._stop_within)

    def _dismiss_watcher(self) -> None:
        self._guard.release_wakeup_fd()
        self._watcher.dismiss()

    def _set_up_output(self, undo: ExitStack) -> Console:
        self._shown = ProgramOutput(
            log_format=self._settings.log_format,
            level="debug" if self._is_verbose else self._settings.log_level,
            is_quiet=self._settings.is_quiet,
            color=self._settings.color,
            folder=self._log_folder,
            masker=self._masker,
            data_to_log=self._events.is_on_stdout,
            data=self._events.data_descriptor(),
        )
        self._output, self._console = self._shown.output, self._shown.console
        self._events.connect(self._output, self._warn)
        undo.callback(self._output.close, FLUSH_SECONDS)
        self._shown.install()
        undo.callback(self._shown.remove)
        self._line_width = width() if is_terminal(sys.__stderr__) else None
        self._process.use(self._shown.detach, self._console, self._shown.streams)
        return self._console

    def _use_selection(self, selection: Selection) -> Callable[[], object]:
        """Mask its secrets, and log as its jobs say; return what undoes the latter.

        Called before its jobs are applied: the new ones write at once. On the thread of the reload.
        """
        self._masker.learn(selection.secrets)
        return self._shown.apply(selection.specs)

    def _log_loaded(self, selection: Selection, paths: Sequence[str]) -> None:
        self._console.names.fit(longest_name(selection.specs))
        early, self._early_warnings = self._early_warnings or [], None
        for sentence in early:
            self._warn(sentence)
        if selection.warnings:
            from taskloom.jobfile.render import render_all

            self._console.show(f"{render_all(selection.warnings)}\n")
        jobs = plural(len(selection.specs), "job")
        names = first_of([spec.name for spec in selection.specs], _MOST_LOADED)
        default = " (no PATH was given)" if self._is_default else ""
        self._console.log(f"loaded {jobs} from {', '.join(paths)}{default}: {names}")
        if selection.dependencies:
            self._console.log(DEPENDENCIES_TOO + ", ".join(selection.dependencies))

    def _warn(self, sentence: str) -> None:
        if self._early_warnings is not None:
            self._early_warnings.append(sentence)
        else:
            self._console.log(sentence, level="WARNING")

    # -- while the jobs run

    def _wait_for_end(self) -> StopReport:
        """Start the jobs and wait until they are stopped. An exception stops them, and the waiting goes on."""
        error: BaseException | None = None
        for count in range(MOST_ERRORS):
            try:
                if error is not None:
                    self._stop_after(error)
                if count > MOST_WHILE_LISTENING:
                    self._scheduler.wait_stopped(max(0.0, self._hard_deadline - mono()))
                self._start_jobs()
                self._handle_until(_Message.STOPPED)
                return self._scheduler.stop()
            except BaseException as raised:  # noqa: BLE001 - also what a signal handler of a plugin raises
                error = raised
        os._exit(self._errors.code)

    def _start_jobs(self) -> None:
        if not self._jobs_started.is_open:
            # After a stop signal while the files were read, no job starts.
            if not (self._is_stop_requested or any(map(self._policy.is_stop, self._queue.arrived()))):
                self._scheduler.start()
            self._jobs_started.open()

    def _handle_until(self, last: _Message) -> None:
        """Handle signals and messages until this message comes, or until the stop is over if its message is lost."""
        while True:
            message = self._queue.get(STOP_POLL_SECONDS if self._is_stopping else float("inf"))
            if message is last:
                return
            if message is None and last is _Message.STOPPED and self._scheduler.wait_stopped(0):
                return
            if message is _Message.WORK_FINISHED:
                finished = Reason(ReasonKind.FINISHED, "all non-daemon jobs have ended")
                self._stop(self._scheduler.stop_reason or finished)
            elif isinstance(message, _Message):
                self._imports.take_back_unseen()
            elif isinstance(message, Signal):
                self._handle_signal(message)
            elif message is not None:
                message()

    def _stop_after(self, error: BaseException) -> None:
        """Stop all jobs because of an exception on the main thread; it may be called again."""
        self._errors.record(error)
        self._jobs_started.open()
        self._imports.take_back_unseen()
        if isinstance(error, KeyboardInterrupt):  # SIGINT, while its handler was that of Python
            self._on_signal(signal.SIGINT, None)
        else:
            self._stop(Reason(ReasonKind.SHUTDOWN, f"{type(error).__name__} on the main thread"))

    def _wait_for_scheduler(self) -> None:
        try:
            self._jobs_started.wait()
            self._scheduler.wait()
            self._queue.put(_Message.WORK_FINISHED)
            self._scheduler.wait_stopped()
            self._queue.put(_Message.STOPPED)
        except BaseException as error:  # noqa: BLE001 - without this thread the program would not end by itself
            self._queue.put(partial(self._stop_after, error))

    # -- the signals

    def _on_event(self, event: Event) -> None:
        if event.event is EventName.CANCEL_REQUESTED and event.job:
            self._asked[event.job] = event.mono
        self._control.put(event)
        self._shown(event)
        if self._wait_log is not None:
            self._wait_log.on_event(event)

    def _handle_signal(self, arrived: Signal) -> None:
        number = arrived.number
        action = self._policy.action_for(number, arrived.at)
        if action is SignalAction.STOP:
            self._stop_by_signal(arrived)
        elif action is SignalAction.HURRY:
            self._hurry(arrived)
        elif action is SignalAction.EXIT:
            exit_at_once(128 + number, partial(self._say_left, number), self._output.close)
        elif action is SignalAction.STATUS:
            self._show_status()
        elif action is SignalAction.RELOAD and self._is_stopping:
            self._console.log("SIGHUP: the program is stopping; nothing is reloaded", level="WARNING")
        elif action is SignalAction.RELOAD:
            self._imports.take_back_unseen()
            self._reloader.request()

    def _stop_by_signal(self, arrived: Signal) -> None:
        number = arrived.number
        name, again = _name_of(number)
        self._console.log(f"{name}: stopping all jobs; {again} to allow only {_HURRY}", level="WARNING")
        self._stop(Reason(ReasonKind.SIGNAL, signal.Signals(number).name, number), since=arrived.at)

    def _hurry(self, arrived: Signal) -> None:
        name, again = _name_of(arrived.number)
        self._console.log(f"{name}: at most {_HURRY}; {again} to exit at once", level="WARNING")
        deadline = arrived.at + HURRY_SECONDS
        self._scheduler.hurry(max(0.0, deadline - mono()))
        self._hard_deadline = min(self._hard_deadline, deadline)

    def _stop_by_request(self, within: float | None, reason: Reason) -> None:
        """Stop all jobs for a client of the control socket, or hurry the stop that is under way."""
        if not self._is_stopping:
            self._stop(reason, within=within)
        elif within is not None and mono() + within < self._hard_deadline:
            self._scheduler.hurry(within)
            self._hard_deadline = mono() + within
            self._watcher.limit(within)

    def _say_left(self, number: int) -> None:
        """Log who is left at the third signal. May not wait for anything."""
        places = [(run.job, place) for run, place in self._scheduler.places()]
        threads = [] if places or self._threads is None else [left.thread.name for left in self._threads.find()]
        name, _ = _name_of(number)
        self._console.log(f"{name}: exiting at once; {left_line(places, threads)}", level="ERROR")

    def _stop(self, reason: Reason, *, since: float | None = None, within: float | None = None) -> None:
        """Stop all jobs within the time that is left, counted from the monotonic second `since`, or from now.

        `within`: the seconds for it, if it is not the program's own time.
        """
        if self._is_stopping:
            return
        now = mono()
        if within is not None and within != self._stop_within:
            self._stop_within = within
            self._watcher.allow(within)
        self._hard_deadline = (now if since is None else since) + self._stop_within
        self._scheduler.request_stop(max(0.0, self._hard_deadline - now), reason=reason)
        self._is_stopping = True  # only now: an exception in the lines above leads here again
        self._shown.check_logging("a task")
        self._log_awaited(reason)

    def _on_stopping(self) -> None:
        """Start the deadline of a stop that no signal began. Called before the first run is cancelled.

        Not later: a task may hold the GIL from the moment it is cancelled, and then no Python code runs.
        """
        self._policy.stop_began()
        self._watcher.stop_began()
        self._queue.put(_Message.STOPPING)

    def _log_awaited(self, reason: Reason) -> None:
        awaited = [status.report.job for status in self._scheduler.status() if status.state == "stopping"]
        waiting = f"waiting for {first_of(awaited, _MOST_AWAITED)}" if awaited else ""
        stopping = f"stopping all jobs: {reason_text(reason)}"
        if reason.kind is ReasonKind.ESSENTIAL:
            self._console.log(f"{stopping}; {waiting}" if awaited else stopping, level="ERROR")
        elif awaited:
            is_logged = reason.kind is ReasonKind.SIGNAL  # the line about the signal has announced the stop
            self._console.log(waiting if is_logged else f"{stopping}; {waiting}")

    def _show_status(self) -> None:
        statuses = self._scheduler.status()
        ages = {status.report.run: status.poll_age for status in statuses}
        lines = [job_table(statuses, self._line_width, self._console.names.mark)]
        for run, stack in self._scheduler.stacks():
            age = ages.get(run.id)
            polled = "" if age is None else f", no poll for {measured(age)}"
            lines.append(f"\n{run.id} is at {stack.where or 'an unknown place'}{polled}\n{stack.text.rstrip()}")
        self._console.show("\n".join(lines) + "\n")

    # -- the end

    def _finish(self, report: StopReport) -> int:
        """Write what is left to write, and end; exits the process here if an exception prevents that."""
        left_children = self._process.left_children()
        children: list[LeftChild] = []
        try:
            children = self._write_end(report, left_children)
        except BaseException as error:  # noqa: BLE001 - the program still ends in time
            self._errors.record(error)
        code = self._exit_code(report)
        try:
            self._guard.release_wakeup_fd()
            ending = Ending(
                code,
                console=self._console,
                output=self._output,
                children=left_children,
                forks=self._process.forks,
                watcher=self._watcher,
                deadline=self._hard_deadline,
            )
            return ending.leave(children, self._helper)
        except BaseException as error:  # noqa: BLE001 - the same
            self._errors.record(error)
            os._exit(code or self._errors.code)

    def _exit_code(self, report: StopReport) -> ExitCode:
        return report.exit_code or self._errors.code or (ExitCode.BUG if self._scheduler.bug else ExitCode.FINE)

    def _write_end(self, report: StopReport, left_children: LeftChildren) -> list[LeftChild]:
        """Write the report and the summary; return the child processes that are left."""
        close_listeners(self._listeners, self._console, self._hard_deadline, self._events.sink)
        if self._scheduler.bug is not None:
            self._console.log(f"{self._scheduler.bug}; please report it", level="CRITICAL")
        threads = self._await_threads(report, is_hard_exit=report.exit_code is ExitCode.SURVIVOR)
        children = left_children.find()
        data = partial(self._report_data, report, threads, children)
        self._control.finish(data, self._hard_deadline)
        if self._wants_json:
            self._output.final_data((to_json(self._masker.mask_data(data()), is_ascii=True) + "\n").encode())
        else:
            jobs, mark = self._scheduler.status(), self._console.names.mark
            self._console.show(summary(report, jobs, self._line_width, mark), is_last=True)
        return children

    def _report_data(
        self, report: StopReport, threads: Sequence[LeftThread], children: Sequence[LeftChild]
    ) -> dict[str, Any]:
        # The report was made when the stop ended. A run that ended later is only in the status.
        return report.as_dict() | {
            "exit_code": int(self._exit_code(report)),
            "jobs": [status.as_dict() for status in self._scheduler.status()],
            "threads_left": [left.as_dict() for left in threads],
            "processes_left": [child.as_dict() for child in children],
        }

    def _await_threads(self, report: StopReport, *, is_hard_exit: bool) -> list[LeftThread]:
        """Name the threads that jobs or libraries have left, wait for them, and return those that are still there."""
        threads = self._threads = LeftThreads(
            begun=mono() - report.seconds,
            withins={job.job: job.within for job in report.jobs},
            asked=self._asked,
            deadline=lambda: self._hard_deadline,
            is_hard_exit=is_hard_exit,
        )
        if not threads.find():
            return []
        close_pools()
        awaited = threads.awaited()
        if awaited:
            names = threads.names_of(awaited, with_limits=True)
            waiting = "waiting for non-daemon threads that tasks or libraries started"
            self._console.log(f"{waiting}: {names}", level="WARNING")
            self._helper.do(lambda: self._wait_for_threads(threads))
            self._handle_until(_Message.THREADS_OVER)
        left = threads.find()
        if left:
            self._console.log(f"not waiting for threads that are left: {threads.names_of(left)}", level="WARNING")
        return left

    def _wait_for_threads(self, threads: LeftThreads) -> None:
        threads.wait()
        self._queue.put(_Message.THREADS_OVER)


def _name_of(number: int) -> tuple[str, str]:
    """Return how a log line calls a signal, and how its reader sends it again."""
    if number == signal.SIGINT:
        return "Ctrl-C", "press again"
    return signal.Signals(number).name, "send it again"
