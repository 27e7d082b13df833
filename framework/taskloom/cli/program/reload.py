"""The reload of `taskloom run`: the job files are read again and applied, all of them or none.

SIGHUP requests it, and so does the control API, which gets the outcome; there, it may also be a preview, which changes
nothing and logs nothing.

The files are read on a thread of their own: reading ten thousand jobs takes seconds, and so may the first import of a
package, while the main thread has to wait for signals. If a stop begins meanwhile, the reload fails, since a scheduler
that stops takes no jobs.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from taskloom.cli.program.history import ProgramHistory
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.cli.program.service_manager import ServiceManager
from taskloom.cli.resources import OutOfResources, advice_for
from taskloom.clock import MonotonicClock
from taskloom.control.program_info import ReloadOutcome
from taskloom.core.model import Moment
from taskloom.core.reload import Change, ReloadAction
from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError, SchedulerStopped, TaskloomError
from taskloom.jobfile.render import render_all
from taskloom.observe.console import Console
from taskloom.observe.name_column import longest_name
from taskloom.scheduler.facade import Scheduler
from taskloom.sync.kept_thread import KeptThread
from taskloom.text import first_of, plural

if TYPE_CHECKING:
    from taskloom.cli.settings import Given

__all__ = ["DEPENDENCIES_TOO", "Reloader", "sum_of"]

# If there are more changes than these, the log of details has only their number.
MOST_CHANGES = 100
# More names than these make the line about a reload too long to read.
MOST_NAMES = 5
_DONE = {
    ReloadAction.ADD: "added",
    ReloadAction.REMOVE: "removed",
    ReloadAction.RESTART: "restarted",
    ReloadAction.APPLY: "changed in place",
}
DEPENDENCIES_TOO = "also running, since other jobs start after them: "
_UNCHANGED = "nothing has changed"


def sum_of(changes: Sequence[Change]) -> str:
    """Return what a reload does in one line: `1 added (web), 2 restarted (a, b), 12 untouched`."""
    names: dict[ReloadAction, list[str]] = {action: [] for action in ReloadAction}
    for change in changes:
        names[change.action].append(change.job)
    parts = [f"{len(names[action]):,} {done} ({first_of(names[action], MOST_NAMES)})"
             for action, done in _DONE.items() if names[action]]  # fmt: skip
    if not parts:
        parts.append(_UNCHANGED)
    if names[ReloadAction.KEEP]:
        parts.append(f"{len(names[ReloadAction.KEEP]):,} untouched")
    return ", ".join(parts)


Done = Callable[[ReloadOutcome], object]


class _Request:
    """One request to read the job files again. `done`: who gets the outcome."""

    __slots__ = ("done", "is_preview", "outcome")

    def __init__(self, done: Done | None, *, is_preview: bool) -> None:
        self.is_preview = is_preview
        self.done: list[Done] = [] if done is None else [done]
        self.outcome = _LOST


# The outcome of a reload that has failed in our own code.
_LOST = ReloadOutcome(error=f"internal error; {_UNCHANGED}", code="internal-error")


class Reloader:
    """Runs the reloads of one program, one at a time.

    `show` writes a text of several lines: the problems of the job files. `after_import` is called on the thread of the
    reload whenever plugins may have been imported, and `after_read` with the jobs before they are applied; it returns
    what undoes that if they cannot be applied. Each reload is one line; with `is_verbose` each changed job has one.
    `settings`: those with which the program runs. A reload changes none of them, and says so if the files do.
    `history`: knows what earlier starts have left of jobs that are new. `service`: is told of each reload.
    """

    def __init__(
        self,
        files: JobFiles,
        scheduler: Scheduler,
        console: Console,
        show: Callable[[str], object],
        after_import: Callable[[], object] = lambda: None,
        *,
        after_read: Callable[[Selection], Callable[[], object]] = lambda _: lambda: None,
        is_verbose: bool = False,
        settings: Mapping[str, Given] | None = None,
        history: ProgramHistory | None = None,
        service: ServiceManager | None = None,
    ) -> None:
        self._service = service or ServiceManager(None)
        self._history = history or ProgramHistory()
        self._settings = settings or {}
        self._files = files
        self._scheduler = scheduler
        self._console = console
        self._show = show
        self._after_import = after_import
        self._after_read = after_read
        self._is_verbose = is_verbose
        self._lock = threading.Lock()
        # The reload under way, and the one that follows it.
        self._requests: deque[_Request] = deque()
        self._thread: KeptThread | None = None
        # For the thread alone: what it is working on, or has done.
        self._current: _Request | None = None

    def request(self, *, is_preview: bool = False, done: Done | None = None) -> None:
        """Start a reload and return at once. If one is under way, exactly one more follows it.

        One more is needed, since the files may have changed after they were read. `done` is called once with the
        outcome, on the thread of the reload. With `is_preview` nothing is changed: only `done` gets what would change.
        """
        if not is_preview:
            self._service.reloading()
        with self._lock:
            before = len(self._requests)
            waiting = next((each for each in list(self._requests)[1:] if each.is_preview is is_preview), None)
            if waiting is None:
                self._requests.append(_Request(done, is_preview=is_preview))
            elif done is not None:
                waiting.done.append(done)
            thread = self._thread
        if before == 0:
            if not is_preview:
                self._log("reading the job files again")
            self._begin()
            return
        if waiting is None and not is_preview:
            self._log("a reload is under way; another one follows it")
        if thread is not None:
            thread.ensure()

    def _begin(self) -> None:
        self._thread = KeptThread("taskloom-reload", self._reload_next, self._lose_current)
        try:
            self._thread.start()
        except RuntimeError as error:
            with self._lock:
                requests = list(self._requests)
                self._requests.clear()
            message = f"cannot read the job files: {error}; {_UNCHANGED}"
            if not all(request.is_preview for request in requests):
                self._log(message, level="ERROR")
            for request in requests:
                request.outcome = ReloadOutcome(error=message, code="no-resources")
                _give_outcome(request)
            self._service.reloaded()

    # -- on the thread of the reload

    def _reload_next(self) -> bool:
        """Do the oldest request; return True once there is none."""
        with self._lock:
            if not self._requests:
                return True
            current = self._current = self._requests[0]
        try:
            current.outcome = self._preview() if current.is_preview else self._reload()
        except BaseException as error:  # noqa: BLE001 - it must not end the jobs, or the next reload
            current.outcome = self._failed(error)
        return self._finish_current()

    def _finish_current(self) -> bool:
        """Give the outcome of the request that is done, and forget it; return True if there is no other one.

        In this order: as long as it is here, no other thread begins.
        """
        if self._current is not None:
            _give_outcome(self._current)
        with self._lock:
            if self._requests and self._requests[0] is self._current:
                self._requests.popleft()
            left = list(self._requests)
        if self._current is not None and not self._current.is_preview and all(each.is_preview for each in left):
            self._service.reloaded()
        return not left

    def _lose_current(self, error: BaseException) -> None:
        """Forget the request whose reload has failed in our own code outside of it."""
        self._finish_current()
        self._failed(error)

    def _preview(self) -> ReloadOutcome:
        """Return what a reload would change now."""
        try:
            selection = self._read()
            changes = self._scheduler.preview(selection.specs)
        except (JobFileError, click.UsageError, OutOfResources, TaskloomError) as error:
            return _refused(error)
        return _done(self._with_late_settings(selection), changes)

    def _reload(self) -> ReloadOutcome:
        try:
            selection = self._read()
            self._console.names.fit(longest_name(selection.specs))
            begun = MonotonicClock().now()
            changes = self._apply(selection)
        except JobFileError as error:
            self._show_problems(error.problems)
            outcome = _refused(error)
            self._log(f"{outcome.error}", level="ERROR")
            return outcome
        except (click.UsageError, OutOfResources, TaskloomError) as error:
            outcome = _refused(error)
            self._log(f"{outcome.error}", level="WARNING" if isinstance(error, SchedulerStopped) else "ERROR")
            return outcome
        self._show_problems(selection.warnings)
        if selection.dependencies:
            self._log(DEPENDENCIES_TOO + ", ".join(selection.dependencies))
        self._log_changes(changes, begun)
        late = self._late_settings(selection)
        if late:
            self._log(f"settings apply at the next start of the program: {', '.join(late)}", level="WARNING")
        return _done(self._with_late_settings(selection), changes)

    def _read(self) -> Selection:
        try:
            selection = self._files.read()
        finally:
            self._after_import()
        self._history.check(selection.specs)
        return selection

    def _apply(self, selection: Selection) -> Sequence[Change]:
        undo = self._after_read(selection)
        try:
            return self._scheduler.reload(selection.specs, remembered=self._history.remembered(selection.specs))
        except BaseException:
            undo()
            raise

    def _failed(self, error: BaseException) -> ReloadOutcome:
        """Log an unexpected error, and return it as an outcome."""
        advice = advice_for(error)
        if not advice:
            trace = "".join(traceback.format_exception(error))
            self._log(f"internal error; {_UNCHANGED}; please report it\n{trace}", level="CRITICAL")
            return _LOST
        why = str(error) or type(error).__name__
        message = f"cannot read the job files: {why}; {advice}; {_UNCHANGED}"
        self._log(message, level="ERROR")
        return ReloadOutcome(error=message, code="no-resources")

    def _log_changes(self, changes: Sequence[Change], at: Moment) -> None:
        """Log what the reload does in one line, and in detail if wanted. `at` sorts the lines before their effects."""
        self._log(sum_of(changes), at=at)
        if not self._is_verbose:
            return
        changed = [change for change in changes if change.action is not ReloadAction.KEEP]
        for change in changed[:MOST_CHANGES]:
            self._log(str(change), level="DEBUG", at=at)
        if len(changed) > MOST_CHANGES:
            self._log(f"and {plural(len(changed) - MOST_CHANGES, 'more change')}", level="DEBUG", at=at)

    def _late_settings(self, selection: Selection) -> list[str]:
        """Return which settings of the files are not those with which the program runs."""
        return [
            name for name, given in selection.settings.items() if given.value != self._settings.get(name, given).value
        ]

    def _with_late_settings(self, selection: Selection) -> Selection:
        """Return the selection with a warning for each of these settings, at its place if it is in a file."""
        nowhere = Place(self._files.paths[0], 1, 1)
        warnings = [
            Problem(
                selection.settings[name].place or nowhere,
                f"setting {name!r} applies at the next start of the program",
                severity="warning",
            )
            for name in self._late_settings(selection)
        ]
        return selection._replace(warnings=(*selection.warnings, *warnings))

    def _show_problems(self, problems: Iterable[Problem]) -> None:
        text = render_all(problems)
        if text:
            self._show(f"{text}\n")

    def _log(self, message: str, *, level: str = "INFO", at: Moment | None = None) -> None:
        self._console.log(f"reload: {message}", level=level, at=at)


def _give_outcome(request: _Request) -> None:
    while request.done:
        request.done.pop()(request.outcome)


def _done(selection: Selection, changes: Sequence[Change]) -> ReloadOutcome:
    return ReloadOutcome(changes, sum_of(changes), warnings=selection.warnings, text=render_all(selection.warnings))


def _refused(error: Exception) -> ReloadOutcome:
    """Return the outcome of a reload that was refused: nothing has changed."""
    if isinstance(error, JobFileError):
        errors = sum(problem.severity == "error" for problem in error.problems)
        return ReloadOutcome(
            error=f"cannot use the job files ({plural(errors, 'error')}); {_UNCHANGED}",
            code="invalid-files",
            problems=error.problems,
            text=render_all(error.problems),
        )
    if isinstance(error, SchedulerStopped):
        return ReloadOutcome(error=f"the program is stopping; {_UNCHANGED}", code="scheduler-stopped")
    code = "no-resources" if isinstance(error, OutOfResources) else "refused"
    return ReloadOutcome(error=f"{error}; {_UNCHANGED}", code=code)
