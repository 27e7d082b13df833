"""All output of one program: the log, what tasks print, and what they log; in one place to set up and to take down."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec
from taskloom.observe.console import Console, ConsoleHandler
from taskloom.observe.job_logs import JobLogs, level_number
from taskloom.observe.log_format import LogFormat
from taskloom.observe.log_guard import LogGuard
from taskloom.observe.masking import Masker
from taskloom.observe.name_column import NameColumn, longest_name
from taskloom.observe.output import Output
from taskloom.observe.prints import Prints
from taskloom.observe.streams import Put, TextStream
from taskloom.observe.terminal import has_styles, is_terminal, mark_for, width
from taskloom.text import plural

__all__ = ["ProgramOutput"]

# At the end, for the last lines of log files: a disk that works needs milliseconds.
FILES_SECONDS = 0.15


class ProgramOutput:
    """Replaces `sys.stdout`, `sys.stderr` and the handler of the root logger. A listener of the scheduler.

    `log_format` None is short on a terminal and full elsewhere. With `data_to_log` what tasks print to standard output
    goes to standard error. `data`: the descriptor of standard output. `level` is the least one of the log, unless a job
    sets another one; with `is_quiet` standard error has only warnings and errors. `color`: `auto`, `always` or `never`.
    `folder`: that of the log files. Secrets that `masker` knows are masked in all of it.
    """

    def __init__(
        self,
        *,
        log_format: LogFormat | None = None,
        level: str = "info",
        is_quiet: bool = False,
        color: str = "auto",
        folder: str | None = None,
        masker: Masker | None = None,
        data_to_log: bool = False,
        data: int = 1,
    ) -> None:
        log_format = log_format or (LogFormat.SHORT if is_terminal(sys.stderr) else LogFormat.FULL)
        self.output = Output(data)
        self.masker = masker or Masker()
        self.logs = JobLogs(
            level=level_number(level.upper()),
            folder=folder,
            log_format=LogFormat.JSON if log_format is LogFormat.JSON else LogFormat.FULL,
            tell=self._warn,
        )
        """What is kept of the jobs' output."""
        encoding = _encoding(sys.__stderr__)
        self.console = Console(
            self.output.line,
            is_colored=has_styles(sys.stderr, choice=color) and not data_to_log,
            log_format=log_format,
            encoding=encoding,
            names=NameColumn(width() if is_terminal(sys.stderr) else None, mark_for(encoding)),
            logs=self.logs,
            masker=self.masker,
            least_level=logging.WARNING if is_quiet else 0,
        )
        self.output.tell = self._warn
        self.output.before_end = self._finish
        self._guard = LogGuard(ConsoleHandler(self.console), self.logs.least_level, self._warn)
        put_data: Put = self.output.text if data_to_log else self.output.data
        self._prints = [Prints(put, self.masker, self.logs) for put in (put_data, self.output.text)]
        self._stdout = TextStream(self._prints[0], 2 if data_to_log else 1, encoding=_encoding(sys.__stdout__))
        self._stderr = TextStream(self._prints[1], 2, encoding=encoding)
        self._before: tuple[Any, Any] = sys.stdout, sys.stderr
        self._specs: Sequence[JobSpec] = ()

    @property
    def streams(self) -> tuple[TextStream, TextStream]:
        """The replacements of `sys.stdout` and `sys.stderr`."""
        return self._stdout, self._stderr

    def install(self) -> None:
        """Put the streams and the log handler in place."""
        self._before = sys.stdout, sys.stderr
        for stream in self._before:
            _flush(stream)
        sys.stdout, sys.stderr = self._stdout, self._stderr
        self._guard.install()

    def remove(self) -> None:
        """Take the streams and the log handler out of place; what tasks have printed so far is queued."""
        self._flush()
        self._guard.remove()
        sys.stdout, sys.stderr = self._before

    def apply(self, specs: Sequence[JobSpec]) -> Callable[[], object]:
        """Use the `log` of these jobs from now on; return what undoes that.

        Raises RuntimeError if no thread can be had for log files.
        """
        before, self._specs = self._specs, tuple(specs)
        self.console.names.fit(longest_name(specs))
        self.logs.apply(specs)
        self._guard.set_level(self.logs.least_level)
        return partial(self.apply, before)

    def detach(self) -> None:
        """Write at once from now on, and keep nothing: called in a forked child."""
        self.output.detach()
        self.logs.detach()
        for each in self._prints:
            each.forget()

    def check_logging(self, culprit: str) -> None:
        """Set again what plugins have changed about logging, and report it. Called after they were imported."""
        self._guard.check(culprit)

    def __call__(self, event: Event) -> None:
        """Log an event; pass on what a run that has ended has printed without a newline."""
        if event.event is EventName.ENDED and event.run is not None:
            self._stdout.flush_run(event.run)
            self._stderr.flush_run(event.run)
            for prints in self._prints:
                prints.end(event.run)
        self._guard.watch()
        self.console(event)

    def _flush(self) -> None:
        """Queue what all threads have printed without a newline, and what is in a wrapper that a task has made."""
        for stream in (sys.stdout, sys.stderr):
            if getattr(stream, "buffer", None) in (self._stdout.buffer, self._stderr.buffer):
                _flush(stream)
        self._stdout.flush_all()
        self._stderr.flush_all()
        for prints in self._prints:
            prints.end_all()

    def _finish(self) -> None:
        """Queue and write what is left: the program ends."""
        self._flush()
        lost = self.logs.finish(FILES_SECONDS)
        if lost:
            why = f": {self.logs.problem}" if self.logs.problem else ""
            self._warn(f"{plural(lost, 'line')} could not be written to log files{why}")

    def _warn(self, sentence: str) -> None:
        self.console.log(sentence, level="WARNING")


def _encoding(stream: Any) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _flush(stream: Any) -> None:
    """Flush what was written before, by packages that were imported, so that it comes first."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        pass  # a full disk, or a stream that a package has closed
