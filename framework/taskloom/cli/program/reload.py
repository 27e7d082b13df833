"""What HUP does to `taskloom run`: the job files are read again, and all of what they say now takes effect, or none.

The files are read on a thread of their own. Ten thousand jobs take seconds, and a package that is imported for the
first time may take as long as it likes: the main thread has signals to wait for meanwhile. A stop that begins
while the files are read wins, since nothing can be added to a scheduler that stops.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable

import click

from taskloom.cli.program.selection import JobFiles
from taskloom.clock import wall
from taskloom.core.reload import Change, ReloadAction
from taskloom.diagnostics import Problem
from taskloom.errors import JobFileError, SchedulerStopped, TaskloomError
from taskloom.observe.console import Console
from taskloom.scheduler.facade import Scheduler
from taskloom.text import plural

__all__ = ["NEEDED_WORDS", "Reloading"]

# Of more changes than anybody reads, the numbers alone are of use.
TOLD_CHANGES = 100
NEEDED_WORDS = "run too, since others start after them: "
_UNCHANGED = "nothing has changed"


class Reloading:
    """All reloads of one program, one at a time. `show` takes text as it is, for the problems of job files."""

    def __init__(self, files: JobFiles, scheduler: Scheduler, console: Console, show: Callable[[str], object]) -> None:
        self._files = files
        self._scheduler = scheduler
        self._console = console
        self._show = show
        self._lock = threading.Lock()
        self._is_busy = False
        self._is_wanted_again = False

    def ask(self) -> None:
        """Begin a reload and return at once; while one goes on, however often it is asked, one more follows it.

        One more: the files may have changed after they were read.
        """
        with self._lock:
            is_first = not self._is_busy
            is_news = not is_first and not self._is_wanted_again
            self._is_wanted_again = not is_first
            self._is_busy = True
        if is_first:
            self._say("reading the job files again")
            self._begin()
        elif is_news:
            self._say("the job files are being read; they will be once more after that")

    def _begin(self) -> None:
        try:
            threading.Thread(target=self._work, name="taskloom-reload", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._is_busy = False
            self._say(f"cannot read the job files: {error}; {_UNCHANGED}", level="ERROR")

    def _work(self) -> None:
        while True:
            try:
                self._reload()
            except Exception:  # noqa: BLE001 - it is ours; the jobs go on all the same
                self._say(f"internal error; {_UNCHANGED}; please report it\n{traceback.format_exc()}", level="CRITICAL")
            with self._lock:
                if not self._is_wanted_again:
                    self._is_busy = False
                    return
                self._is_wanted_again = False

    def _reload(self) -> None:
        try:
            selection = self._files.read()
            begun = wall()
            changes = self._scheduler.reload(selection.specs)
        except JobFileError as error:
            self._show_problems(error.problems)
            errors = sum(problem.severity == "error" for problem in error.problems)
            self._say(f"cannot use the job files ({plural(errors, 'error')}); {_UNCHANGED}", level="ERROR")
        except SchedulerStopped:
            self._say(f"everything is being stopped; {_UNCHANGED}", level="WARNING")
        except click.UsageError as error:
            self._say(f"{error.message}; {_UNCHANGED}", level="ERROR")
        except TaskloomError as error:
            self._say(f"{error}; {_UNCHANGED}", level="ERROR")
        else:
            self._show_problems(selection.warnings)
            if selection.needed:
                self._say(NEEDED_WORDS + ", ".join(selection.needed))
            self._tell(changes, begun)

    def _tell(self, changes: Iterable[Change], at: float) -> None:
        """Say what becomes of each job that changes, and count all; `at` puts it before what came of it."""
        counts = dict.fromkeys(ReloadAction, 0)
        lines = []
        for change in changes:
            counts[change.action] += 1
            if change.action is not ReloadAction.KEEP:
                lines.append(str(change))
        for line in lines[:TOLD_CHANGES]:
            self._say(line, at=at)
        if len(lines) > TOLD_CHANGES:
            self._say(f"{len(lines) - TOLD_CHANGES} more are not named here", at=at)
        self._say(", ".join(f"{verdict.value} {count}" for verdict, count in counts.items() if count), at=at)

    def _show_problems(self, problems: Iterable[Problem]) -> None:
        from taskloom.jobfile.render import render_all

        text = render_all(problems)
        if text:
            self._show(f"{text}\n")

    def _say(self, message: str, *, level: str = "INFO", at: float | None = None) -> None:
        self._console.say(f"reload: {message}", level=level, at=at)
