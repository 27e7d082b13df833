"""The log on standard error: one line for each message and each event that is worth one."""

from __future__ import annotations

import logging
import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Protocol

from taskloom.clock import mono, wall
from taskloom.core.events import Event, EventName
from taskloom.core.model import Moment
from taskloom.observe.event_text import describe
from taskloom.observe.job_logs import JobLogs, level_number
from taskloom.observe.log_format import LogFormat, LogMessage, render
from taskloom.observe.masking import Masker
from taskloom.observe.name_column import NameColumn
from taskloom.runners.thread_owner import calling_run
from taskloom.scheduler.failure_text import LogLine
from taskloom.scheduler.rate_limit import DuplicateFilter, Limit, RateLimiter, Suppressed
from taskloom.text import printable_lines

__all__ = ["Console", "ConsoleHandler"]

# After a lack of memory on the thread of the timer.
_RETRY_SECONDS = 1.0
_TRACEBACKS = "tracebacks were left out"
# A traceback has about ten lines, and many of them say little more than the first few.
_LOWER_LIMITS = {_TRACEBACKS: Limit(20, 1.0)}


def _call_later(seconds: float, callback: Callable[[], None]) -> None:
    """Call `callback` on a daemon thread of its own after `seconds`."""
    timer = threading.Timer(seconds, callback)
    timer.daemon = True
    timer.name = "taskloom-console"
    try:
        timer.start()
    except RuntimeError:
        pass  # no thread could be started: the next event logs what is due


class Put(Protocol):
    """Takes whole lines of the log."""

    def __call__(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> object:
        """Take lines that happened at the monotonic second `at`, about or from a run; never blocks."""


class Console:
    """Writes lines such as `12:00:01.234 INFO    job         message` to `put`, which never blocks.

    The lines are ordered by the monotonic clock, and show the wall clock, which may be set meanwhile. `logs` keeps each
    message, too, and decides by its level whether it is logged; `put` gets only those of `least_level` or above.
    Secrets that `masker` knows are masked.
    """

    def __init__(
        self,
        put: Put,
        *,
        is_colored: bool,
        log_format: LogFormat = LogFormat.SHORT,
        encoding: str = "utf-8",
        names: NameColumn | None = None,
        logs: JobLogs | None = None,
        masker: Masker | None = None,
        least_level: int = 0,
        call_later: Callable[[float, Callable[[], None]], None] = _call_later,
    ) -> None:
        self.names = names or NameColumn()
        """The column of the job names; make room for those that are known."""
        self._put = put
        self._format = log_format
        self._is_colored = is_colored
        self._logs = logs
        self._masker = masker or Masker()
        self._least_level = least_level
        # JSON is UTF-8 wherever it is read.
        self._encoding = "utf-8" if log_format is LogFormat.JSON else encoding
        self._call_later = call_later
        # Guards all below: events come on one thread, the timer calls on another.
        self._lock = allocate_lock()
        self._limiter = RateLimiter(special=_LOWER_LIMITS)
        self._duplicates = DuplicateFilter()
        # The level of each kind of line, and the wall clock minus the monotonic one.
        self._levels: dict[str, str] = {}
        self._wall_offset = 0.0
        self._is_scheduled = False
        # The counts that are to be logged now.
        self._counts: deque[Suppressed] = deque()

    def log(
        self, message: str, *, level: str = "INFO", job: str = "taskloom", run: str = "", at: Moment | None = None
    ) -> None:
        """Write the message; each of its lines gets the same head. `at` None is now.

        `run`: the id of the run that the message comes from; it is written after the line that the run has started.
        """
        self._write(LogMessage(message, level, job, run), at or Moment(mono(), wall()), run)

    def log_line(self, line: LogLine, job: str, at: Moment) -> None:
        """Write a line about a job, unless too many of its kind come; those are counted, as events are."""
        with self._lock:
            self._levels[line.kind] = line.level
            if not line.kind or self._limiter.allows(line.kind, job, at.mono):
                self._write(LogMessage(line.message, line.level, job, ""), at)
            self._schedule_suppressed(at.mono)

    def show(self, text: str, *, is_last: bool = False) -> None:
        """Write a text of several lines without a head among the log lines; as the last of them if it `is_last`."""
        at = Moment(mono(), wall())
        text = self._masker.mask(text)
        shown = printable_lines(text)
        if self._format is LogFormat.JSON:
            shown = render(self._format, LogMessage(text.rstrip("\n"), "INFO", "taskloom", ""), at)
        self._put(self._encoded(shown), inf if is_last else at.mono)

    def _write(self, message: LogMessage, at: Moment, run: str = "", *, is_start: bool = False) -> None:
        level = level_number(message.level)
        text = b""
        if self._logs is None or self._logs.passes(level, message.job):
            message = message._replace(text=self._masker.mask(message.text))
            if self._logs is not None:
                self._logs.message(message, at.wall)
            if level >= self._least_level:
                text = self._encoded(render(self._format, message, at, is_colored=self._is_colored, names=self.names))
        if text or is_start:  # the lines of a run wait for its start, whether that has a line or not
            self._put(text, at.mono, run, is_start=is_start)

    def passes(self, level: int, job: str) -> bool:
        """Return whether messages of this level are logged for a job."""
        return self._logs is None or self._logs.passes(level, job)

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, "backslashreplace")

    # -- events

    def __call__(self, event: Event) -> None:
        """Log an event, if it is worth a line. The console is a listener of the scheduler.

        Lines of one kind that come too fast are counted instead; some seconds later one line gives their number.
        """
        with self._lock:
            self._wall_offset = event.at - event.mono
            self._log_suppressed(event.mono, everything=event.event is EventName.SCHEDULER_STOPPED)
            line = describe(event)
            is_written = line is not None and self._log_event(event, line)
            if event.event is EventName.STARTED and not is_written:
                self._put(b"", event.mono, event.run or "", is_start=True)
            self._schedule_suppressed(event.mono)

    def _log_event(self, event: Event, line: LogLine) -> bool:
        """Log an event, unless there are too many of its kind; return whether it was logged."""
        job = event.job or "taskloom"
        self._levels[line.kind] = line.level
        if event.event is EventName.JOB_REMOVED:
            self._duplicates.forget(job)
        if line.kind and not self._limiter.allows(line.kind, job, event.mono):
            return False
        message = line.message
        if line.traceback:
            message += self._traceback_text(job, line.traceback, event.mono)
        shown = LogMessage(message, line.level, job, event.run or "")
        at = Moment(event.mono, event.at)
        if event.event is EventName.STARTED:
            self._write(shown, at, event.run or "", is_start=True)
        else:  # in the order of its time: it may be about a run that has never started
            self._write(shown, at)
        return True

    def _traceback_text(self, job: str, traceback: str, at: float) -> str:
        if self._duplicates.is_repeated(job, traceback, at):
            return " (traceback as before)"
        if not self._limiter.allows(_TRACEBACKS, job, at):
            return ""
        self._duplicates.add(job, traceback, at)
        return f"\n{traceback}"

    def _log_suppressed(self, at: float, *, everything: bool = False) -> None:
        self._counts.extend(self._limiter.take_suppressed(at, everything=everything))
        while self._counts:  # each leaves the queue after it was logged: an error in between loses none
            level = self._levels.get(self._counts[0].kind, "INFO")
            self.log(str(self._counts[0]), level=level, at=Moment(at, at + self._wall_offset))
            self._counts.popleft()

    def _schedule_suppressed(self, at: float) -> None:
        """Start the timer, so that the next count is logged even if no event follows."""
        due = self._limiter.due
        if due is not None and not self._is_scheduled:
            self._call_later(max(0.0, due - at), partial(self._on_timer, due))
            self._is_scheduled = True

    def _on_timer(self, at: float) -> None:
        """Log the counts that are due, on the thread of the timer; later if there is no memory for it now."""
        try:
            with self._lock:
                self._log_suppressed(at)
                self._is_scheduled = False
                self._schedule_suppressed(at)
        except MemoryError:
            self._call_later(_RETRY_SECONDS, partial(self._on_timer, at))


class ConsoleHandler(logging.Handler):
    """Sends log records to the console; a record of a run's thread is attributed to its job."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._formatter = logging.Formatter()

    def handle(self, record: logging.LogRecord) -> bool:
        """Pass the record on without the handler's lock: the console's queue has its own, which is held briefly."""
        passed: Any = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # from 3.12 on a filter may replace the record
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Never raises: a bad log call must not end the run that made it."""
        job, run = _origin_of(record)
        if not self._console.passes(record.levelno, job):
            return
        try:
            message = self._formatter.format(record)
        except Exception as error:  # noqa: BLE001 - the code of the arguments, or of a filter
            message = f"cannot format the log message {_quoted(record.msg)}: {_quoted(error, str)}"
        # The record has only the wall clock, which may have been set since: the order needs the monotonic one.
        at = Moment(mono(), record.created)
        level = str(record.levelname)
        try:
            self._console.log(message, level=level, job=job, run=run, at=at)
        except (ValueError, OverflowError, OSError, TypeError):  # a record that was made by hand, with no valid time
            self._console.log(message, level=level, job=job, run=run)


def _quoted(value: object, how: Callable[[object], str] = repr) -> str:
    try:
        return how(value)
    except Exception:  # noqa: BLE001 - the code of a class that a task has brought
        return f"of type {type(value).__name__}"


def _origin_of(record: logging.LogRecord) -> tuple[str, str]:
    """Return the job of a record and the id of its run; the name of its logger and "" if it comes from no run."""
    job, run = getattr(record, "job", None), getattr(record, "run", None)
    if isinstance(job, str):
        return job, run if isinstance(run, str) else ""
    context = calling_run()
    if context is not None:
        return context.job, context.run_id
    return "taskloom" if record.name.startswith("taskloom") else str(record.name), ""
