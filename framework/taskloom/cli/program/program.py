"""The program behind `taskloom run`, from the first signal handler to the exit code.

A signal handler only notes its number in the queue of the main thread (`main_loop`). The handlers are installed, and
the watcher process is forked, before anything that may take long and before the first thread is started. Everything
that a stop needs is made before the first job: if the system refuses one of these threads, nothing starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from taskloom.cli.program.children import LeftChild, LeftChildren
from taskloom.cli.program.control import ProgramControl, program_info
from taskloom.cli.program.detached import reserve_descriptors
from taskloom.cli.program.end_helper import EndHelper
from taskloom.cli.program.event_feed import EventFeed
from taskloom.cli.program.event_output import EventOutput
from taskloom.cli.program.final_report import FinalReport
from taskloom.cli.program.history import ProgramHistory
from taskloom.cli.program.imports import ImportWatch, import_for_runs, prepare_for_processes
from taskloom.cli.program.log_output import open_output
from taskloom.cli.program.main_loop import MainLoop
from taskloom.cli.program.messages import Message
from taskloom.cli.program.notifications import ProgramNotifications
from taskloom.cli.program.reload import Reloader
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.cli.program.service_manager import service_manager
from taskloom.cli.program.settings import RunSettings
from taskloom.cli.program.shared_process import SharedProcess
from taskloom.cli.program.shutdown import Ending
from taskloom.cli.program.signal_guard import SignalGuard
from taskloom.cli.program.signal_reactions import SignalReactions
from taskloom.cli.program.signals import SignalPolicy
from taskloom.cli.program.start_log import StartLog
from taskloom.cli.program.status_text import status_text
from taskloom.cli.program.stopping import Stopping
from taskloom.cli.program.watcher import Watcher
from taskloom.cli.program.web import ProgramWeb, require_web
from taskloom.cli.resources import OutOfResources, needed, room_for_start
from taskloom.cli.settings import Sources
from taskloom.core.report import ExitCode, StopReport
from taskloom.observe.masking import Masker
from taskloom.observe.terminal import is_terminal, width
from taskloom.scheduler.facade import Scheduler
from taskloom.text import to_json

__all__ = ["Program"]

_NOT_WATCHED = (
    "the watcher process was ended from outside; jobs run on and are stopped as usual, but the program cannot be ended "
    "on time while C code holds the GIL"
)


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
        is_fresh: bool = False,
        has_new_token: bool = False,
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
        self._is_fresh = is_fresh
        self._has_new_token = has_new_token
        reserve_descriptors()  # first: otherwise a descriptor of ours gets the number of a closed standard stream
        self._policy = SignalPolicy(has_terminal=sys.stdin is not None and sys.stdin.isatty())
        self._loop = MainLoop(self._policy)
        self._queue, self._errors = self._loop.queue, self._loop.errors
        self._guard = SignalGuard(self._loop.note_signal)
        self._start_log = StartLog(() if sources is None else sources.warnings)
        self._warn = self._start_log.warn
        self._service = service_manager(os.environ, self._warn)
        self._imports = ImportWatch(self._guard, self._queue.put, self._warn)
        self._process = SharedProcess()
        self._control = ProgramControl()
        self._history = ProgramHistory()
        self._web = ProgramWeb()
        self._notifications = ProgramNotifications()

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
        return self._finish(self._loop.wait_for_end())

    # -- setting up

    def _set_up(self, files: JobFiles, undo: ExitStack) -> None:
        """Make everything that the jobs and a stop need; `undo` takes how to remove it if that fails."""
        room_for_start()
        self._take_signals(undo)
        selection = files.read()
        self._learn_settings(selection)
        self._learn_jobs(selection)
        self._history.choose(self._settings.history, selection.specs, self._masker)
        require_web(self._settings.http)
        self._make_scheduler(undo)
        self._start_threads(selection, undo)
        self._make_reactions(files, selection)
        self._open_control_and_history(files, undo)
        # Nothing is logged before all threads are there.
        self._start_log.begin(self._console, selection, files.paths, is_default=self._is_default)
        self._log_places(selection)
        self._add_jobs(selection)

    def _take_signals(self, undo: ExitStack) -> None:
        """Install the handlers of signals and start the watcher process."""
        self._guard.install()
        undo.callback(self._guard.uninstall)
        try:
            self._watcher = Watcher(self._stop_within, has_terminal=self._policy.has_terminal)
        except OSError as error:  # whatever the reason: without it a stop might not end on time
            raise OutOfResources("start the watcher process", error) from error
        undo.callback(self._dismiss_watcher)
        self._queue.listen_to(self._watcher.echo, partial(self._warn, _NOT_WATCHED))
        self._guard.keep_wakeup_fd()
        self._process.watch_forks(self._watcher.forget, self._history.leave_behind, self._web.leave_behind)
        undo.callback(self._process.close)

    def _make_scheduler(self, undo: ExitStack) -> None:
        """Make the scheduler, and what shows its events: both without jobs."""
        self._scheduler = Scheduler(
            stop_within=self._stop_within, on_stopping=self._on_stopping, log=False, memory=self._history.memory
        )
        self._is_verbose = self._is_verbose or self._settings.log_level == "debug"
        self._imports.take_back("code that ran while the job files were read")
        self._process.take_back()
        self._shown = open_output(
            self._settings, self._events, self._masker, is_verbose=self._is_verbose, warn=self._warn, undo=undo
        )
        self._output, self._console = self._shown.output, self._shown.console
        self._line_width = width() if is_terminal(sys.__stderr__) else None
        self._process.use(self._shown.detach, self._console, self._shown.streams)

    def _start_threads(self, selection: Selection, undo: ExitStack) -> None:
        """Start every thread that the jobs or a stop need, and import what their runs need."""
        with needed("start the thread that writes log files"):
            self._shown.apply(selection.specs)
        undo.callback(self._scheduler.stop, 0)
        with needed("start the threads of the scheduler"):
            self._scheduler.prepare()
        with needed("start the threads that pass on events"):
            self._feed = EventFeed(
                self._scheduler,
                self._shown,
                control=self._control,
                history=self._history,
                notifications=self._notifications,
                service=self._service,
                sink=self._events.sink,
                is_verbose=self._is_verbose,
            )
        with needed("import its modules"):
            import_for_runs(selection.specs)
        with needed("start the thread that waits for the jobs"):
            self._helper = EndHelper()
            self._helper.do(partial(self._loop.wait_for_scheduler, self._scheduler))

    def _make_reactions(self, files: JobFiles, selection: Selection) -> None:
        """Make what the main thread does about signals, the end of the jobs, and requests to reload."""
        console = self._console
        by_tasks = partial(self._shown.check_logging, "a task")
        self._stopping = Stopping(self._scheduler, self._watcher, console, self._stop_within, by_tasks)
        self._final = FinalReport(
            self._scheduler, self._stopping, console, asked=self._feed.asked, line_width=self._line_width
        )
        self._scheduler.call_after_samples(partial(self._queue.put, Message.SAMPLED))
        self._reloader = Reloader(
            files,
            self._scheduler,
            console,
            console.show,
            after_import=partial(self._shown.check_logging, "a package that was imported"),
            after_read=self._use_selection,
            is_verbose=self._is_verbose,
            settings=selection.settings,
            history=self._history,
            service=self._service,
        )
        reactions = SignalReactions(
            self._stopping, self._reloader, self._final, console, self._history, self._show_status, self._output.close
        )
        self._loop.attach(self._scheduler, self._stopping, self._imports, reactions)

    def _add_jobs(self, selection: Selection) -> None:
        self._scheduler.add_all(selection.specs, remembered=self._history.remembered(selection.specs))
        with needed("start the thread that notifies the service manager"):
            self._service.start(self._scheduler)

    def _log_places(self, selection: Selection) -> None:
        self._control.log_place(self._console)
        self._web.log_place(self._console)
        self._history.begin(self._console, selection.specs)

    def _open_control_and_history(self, files: JobFiles, undo: ExitStack) -> None:
        """Claim the name of the program, open its history, and let clients in: in this order."""
        info = program_info(self._settings.name, files.paths)
        self._control.open(
            self._scheduler,
            info=info,
            settings=self._settings,
            paths=files.paths,
            console=self._console,
            logs=self._shown.logs.ring,
            mask=self._shown.masker.mask,
            reload=self._reloader.request,
            shutdown=lambda within, reason: self._queue.put(partial(self._stopping.begin_by_request, within, reason)),
            history=self._history,
            notifications=self._notifications.as_json,
        )
        undo.callback(self._control.close)
        self._web.open(self._settings.http, info, self._control, has_new_token=self._has_new_token)
        undo.callback(self._web.close)
        undo.callback(self._history.close, ExitCode.UNUSABLE)
        self._history.open(info, self._scheduler, self._shown.logs.ring, is_fresh=self._is_fresh)
        undo.callback(self._notifications.close)
        self._notifications.open(self._settings.notify, info, self._masker, self._console, self._history)
        self._control.start()
        self._web.start(self._console)

    def _learn_settings(self, selection: Selection) -> None:
        """Take over the settings of the job files, which were not known before.

        A stop that was requested while the files were read keeps its deadline: no job runs, so it takes no time.
        """
        if not selection.settings:
            return
        self._settings = self._settings.with_given(selection.settings)
        if not self._loop.is_stop_requested and self._settings.stop_within != self._stop_within:
            self._stop_within = self._settings.stop_within
            self._watcher.allow(self._stop_within)

    def _learn_jobs(self, selection: Selection) -> None:
        """Prepare the watcher, the masking and the notifications for jobs that are added soon."""
        self._masker.learn(selection.secrets)
        self._watcher.watch_jobs(selection.specs)
        self._notifications.learn(selection.specs)

    def _dismiss_watcher(self) -> None:
        self._guard.release_wakeup_fd()
        self._watcher.dismiss()

    def _use_selection(self, selection: Selection) -> Callable[[], object]:
        """Mask its secrets, and log as its jobs say; return what undoes the latter.

        Called before its jobs are applied: the new ones write at once. On the thread of the reload.
        """
        self._learn_jobs(selection)
        prepare_for_processes(selection.specs)
        return self._shown.apply(selection.specs)

    # -- while the jobs run

    def _show_status(self) -> None:
        self._console.show(status_text(self._scheduler, self._line_width, self._console.names.mark))

    def _on_stopping(self) -> None:
        """Start the deadline of a stop that no signal began. Called before the first run is cancelled.

        Not later: a task may hold the GIL from the moment it is cancelled, and then no Python code runs.
        """
        self._policy.stop_began()
        self._watcher.stop_began()
        self._service.stop_began()
        self._queue.put(Message.STOPPING)

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
            self._service.close()
            self._guard.release_wakeup_fd()
            ending = Ending(
                code,
                console=self._console,
                output=self._output,
                children=left_children,
                forks=self._process.forks,
                watcher=self._watcher,
                deadline=self._stopping.deadline,
            )
            return ending.leave(children, self._helper)
        except BaseException as error:  # noqa: BLE001 - the same
            self._errors.record(error)
            os._exit(code or self._errors.code)

    def _exit_code(self, report: StopReport) -> ExitCode:
        return report.exit_code or self._errors.code or (ExitCode.BUG if self._scheduler.bug else ExitCode.FINE)

    def _write_end(self, report: StopReport, left_children: LeftChildren) -> list[LeftChild]:
        """Write the report and the summary; return the child processes that are left."""
        self._feed.close(self._console, self._stopping.deadline)
        self._notifications.finish(self._console, self._stopping.deadline)
        if self._scheduler.bug is not None:
            self._console.log(f"{self._scheduler.bug}; please report it", level="CRITICAL")
        threads = self._final.await_threads(report, self._wait_for_threads)
        children = left_children.find()
        data = partial(self._final.data, report, self._exit_code(report), threads, children)
        self._control.finish(data, self._stopping.deadline)
        self._web.close()
        self._history.finish(data, int(self._exit_code(report)), self._stopping.deadline)
        if self._wants_json:
            self._output.final_data((to_json(self._masker.mask_data(data()), is_ascii=True) + "\n").encode())
        else:
            self._final.show(report)
        return children

    def _wait_for_threads(self, wait: Callable[[], object]) -> None:
        def wait_and_tell() -> None:
            wait()
            self._queue.put(Message.THREADS_OVER)

        self._helper.do(wait_and_tell)
        self._loop.handle_until(Message.THREADS_OVER)
