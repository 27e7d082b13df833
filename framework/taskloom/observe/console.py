"""The log on standard error: one line for each message and each event that is worth one."""

from __future__ import annotations

import logging
import threading
from _thread import allocate_lock
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from taskloom.clock import wall
from taskloom.core.events import Event, EventName
from taskloom.observe.event_text import describe
from taskloom.runners.context import current_run
from taskloom.scheduler.failure_text import LogLine
from taskloom.scheduler.rate_limit import DuplicateFilter, Limit, RateLimiter

__all__ = ["Console", "ConsoleHandler"]

_COLORS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
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


class Console:
    """Writes lines `12:00:01.234 INFO    job         message` to `put`, which never blocks."""

    def __init__(
        self,
        put: Callable[[bytes, float], None],
        *,
        is_colored: bool,
        call_later: Callable[[float, Callable[[], None]], None] = _call_later,
    ) -> None:
        self._put = put
        self._is_colored = is_colored
        self._call_later = call_later
        # Guards all below: events come on one thread, the timer calls on another.
        self._lock = allocate_lock()
        self._limiter = RateLimiter(special=_LOWER_LIMITS)
        self._duplicates = DuplicateFilter()
        # The level of each kind of line, and the wall clock minus the monotonic one.
        self._levels: dict[str, str] = {}
        self._wall_offset = 0.0
        self._is_scheduled = False

    def log(self, message: str, *, level: str = "INFO", job: str = "taskloom", at: float | None = None) -> None:
        """Write the message; each of its lines gets the same head. `at`: seconds since the epoch; None is now."""
        at = wall() if at is None else at
        moment = datetime.fromtimestamp(at)  # noqa: DTZ006 - local time, for people
        head = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} {level:<7} {job:<12} "
        color = _COLORS.get(level) if self._is_colored else None
        lines = [head + _printable(line) for line in message.splitlines() or [""]]
        text = "\n".join(f"\033[{color}m{line}\033[0m" if color else line for line in lines)
        self._put((text + "\n").encode("utf-8", "backslashreplace"), at)

    # -- events

    def __call__(self, event: Event) -> None:
        """Log an event, if it is worth a line. The console is a listener of the scheduler.

        Lines of one kind that come too fast are counted instead; some seconds later one line gives their number.
        """
        with self._lock:
            self._wall_offset = event.at - event.mono
            self._log_suppressed(event.mono, everything=event.event is EventName.SCHEDULER_STOPPED)
            line = describe(event)
            if line is not None:
                self._log_event(event, line)
            self._schedule_suppressed(event.mono)

    def _log_event(self, event: Event, line: LogLine) -> None:
        job = event.job or "taskloom"
        self._levels[line.kind] = line.level
        if event.event is EventName.JOB_REMOVED:
            self._duplicates.forget(job)
        if line.kind and not self._limiter.allows(line.kind, job, event.mono):
            return
        message = line.message
        if line.traceback:
            message += self._traceback_text(job, line.traceback, event.mono)
        self.log(message, level=line.level, job=job, at=event.at)

    def _traceback_text(self, job: str, traceback: str, at: float) -> str:
        if self._duplicates.is_repeated(job, traceback, at):
            return " (traceback as before)"
        if not self._limiter.allows(_TRACEBACKS, job, at):
            return ""
        self._duplicates.add(job, traceback, at)
        return f"\n{traceback}"

    def _log_suppressed(self, at: float, *, everything: bool = False) -> None:
        for suppressed in self._limiter.take_suppressed(at, everything=everything):
            level = self._levels.get(suppressed.kind, "INFO")
            self.log(str(suppressed), level=level, at=at + self._wall_offset)

    def _schedule_suppressed(self, at: float) -> None:
        """Start the timer, so that the next count is logged even if no event follows."""
        due = self._limiter.due
        if due is not None and not self._is_scheduled:
            self._is_scheduled = True
            self._call_later(max(0.0, due - at), partial(self._on_timer, due))

    def _on_timer(self, at: float) -> None:
        with self._lock:
            self._is_scheduled = False
            self._log_suppressed(at)
            self._schedule_suppressed(at)


def _printable(line: str) -> str:
    """Escape control characters, so that text from elsewhere cannot drive the terminal."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in line)


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
        try:
            message = self._formatter.format(record)
        except Exception as error:  # noqa: BLE001 - a bad log call must not end the run that made it
            message = f"cannot format the log message {record.msg!r}: {error}"
        self._console.log(message, level=record.levelname, job=_job_of(record), at=record.created)


def _job_of(record: logging.LogRecord) -> str:
    job = getattr(record, "job", None)
    if isinstance(job, str):
        return job
    context = current_run.get()
    if context is not None:
        return context.job
    return "taskloom" if record.name.startswith("taskloom") else record.name
