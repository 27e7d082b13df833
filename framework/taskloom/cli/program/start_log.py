"""The first lines of the log: warnings from before there was a log, and what was loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskloom.cli.program.reload import DEPENDENCIES_TOO
from taskloom.cli.program.selection import Selection
from taskloom.observe.console import Console
from taskloom.text import first_of, plural

__all__ = ["StartLog"]

# More names than these make a log line too long to read.
_MOST_LOADED = 8


class StartLog:
    """Keeps the warnings until `begin`, and logs them at once from then on. Any thread may warn."""

    def __init__(self, early_warnings: Iterable[str]) -> None:
        self._early = list(early_warnings)
        self._console: Console | None = None

    def warn(self, sentence: str) -> None:
        """Log a warning, now or as soon as there is a log."""
        if self._console is None:
            self._early.append(sentence)
        else:
            self._console.log(sentence, level="WARNING")

    def begin(self, console: Console, selection: Selection, paths: Sequence[str], *, is_default: bool) -> None:
        """Log the warnings so far, those about the files, and the names of the jobs.

        `is_default`: the user has given no path, so the log says which ones are used.
        """
        self._console = console
        while self._early:
            self.warn(self._early.pop(0))
        if selection.warnings:
            from taskloom.jobfile.render import render_all

            console.show(f"{render_all(selection.warnings)}\n")
        jobs = plural(len(selection.specs), "job")
        names = first_of([spec.name for spec in selection.specs], _MOST_LOADED)
        default = " (no PATH was given)" if is_default else ""
        console.log(f"loaded {jobs} from {', '.join(paths)}{default}: {names}")
        if selection.dependencies:
            console.log(DEPENDENCIES_TOO + ", ".join(selection.dependencies))
