"""All output of one program: the log, what tasks print, and what they log; in one place to set up and to take down."""

from __future__ import annotations

import logging
import sys
from typing import Any

from taskloom.core.events import Event, EventName
from taskloom.observe.console import Console, ConsoleHandler
from taskloom.observe.log_format import LogFormat
from taskloom.observe.log_guard import LogGuard
from taskloom.observe.name_column import NameColumn
from taskloom.observe.output import Output
from taskloom.observe.streams import Put, TextStream
from taskloom.observe.terminal import has_styles, is_terminal, mark_for, width

__all__ = ["ProgramOutput"]


class ProgramOutput:
    """Replaces `sys.stdout`, `sys.stderr` and the handler of the root logger. A listener of the scheduler.

    `log_format` None is short on a terminal and full elsewhere. With `data_to_log` what tasks print to standard output
    goes to standard error. `data`: the descriptor of standard output.
    """

    def __init__(
        self, *, log_format: LogFormat | None = None, is_verbose: bool = False, data_to_log: bool = False, data: int = 1
    ) -> None:
        log_format = log_format or (LogFormat.SHORT if is_terminal(sys.stderr) else LogFormat.FULL)
        self.output = Output(data)
        encoding = _encoding(sys.__stderr__)
        self.console = Console(
            self.output.line,
            is_colored=has_styles(sys.stderr) and not data_to_log,
            log_format=log_format,
            encoding=encoding,
            names=NameColumn(width() if is_terminal(sys.stderr) else None, mark_for(encoding)),
        )
        self.output.tell = self._warn
        self.output.before_end = self._flush
        self._guard = LogGuard(ConsoleHandler(self.console), logging.DEBUG if is_verbose else logging.INFO, self._warn)
        put_data: Put = self.output.text if data_to_log else self.output.data
        self._stdout = TextStream(put_data, 2 if data_to_log else 1, encoding=_encoding(sys.__stdout__))
        self._stderr = TextStream(self.output.text, 2, encoding=encoding)
        self._before: tuple[Any, Any] = sys.stdout, sys.stderr

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

    def check_logging(self, culprit: str) -> None:
        """Set again what plugins have changed about logging, and report it. Called after they were imported."""
        self._guard.check(culprit)

    def __call__(self, event: Event) -> None:
        """Log an event; pass on what a run that has ended has printed without a newline."""
        if event.event is EventName.ENDED and event.run is not None:
            self._stdout.flush_run(event.run)
            self._stderr.flush_run(event.run)
        self._guard.watch()
        self.console(event)

    def _flush(self) -> None:
        """Queue what all threads have printed without a newline, and what is in a wrapper that a task has made."""
        for stream in (sys.stdout, sys.stderr):
            if getattr(stream, "buffer", None) in (self._stdout.buffer, self._stderr.buffer):
                _flush(stream)
        self._stdout.flush_all()
        self._stderr.flush_all()

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
