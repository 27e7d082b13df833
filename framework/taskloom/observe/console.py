"""The log on the terminal: one plain line for each thing that is said or happens."""

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
from taskloom.observe.event_text import LogLine, describe
from taskloom.observe.rate_limit import DuplicateFilter, Limit, RateLimiter, Suppressed
from taskloom.runners.context import current_run
from taskloom.text import duration, plural

__all__ = ["Console", "ConsoleHandler"]

_COLORS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_TRACEBACKS = "tracebacks were left out"
# A traceback is ten lines, and the tenth says no more than the first few.
_TIGHTER = {_TRACEBACKS: Limit(20, 1.0)}


def _call_later(seconds: float, callback: Callable[[], None]) -> None:
    """Have it called on a daemon thread of its own, once so many seconds have passed."""
    timer = threading.Timer(seconds, callback)
    timer.daemon = True
    timer.name = "taskloom-console"
    try:
        timer.start()
    except RuntimeError:
        pass  # no thread to be had: the next event tells what is due


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
        # For what follows: events come on one thread, and the time to tell a sum on another.
        self._lock = allocate_lock()
        self._flood = RateLimiter(special=_TIGHTER)
        self._repeats = DuplicateFilter()
        # The level of each kind of line, and what the wall clock is ahead of the monotonic one.
        self._levels: dict[str, str] = {}
        self._ahead = 0.0
        self._is_timed = False

    def say(self, message: str, *, level: str = "INFO", job: str = "taskloom", at: float | None = None) -> None:
        """Write a line, or several that begin alike. `at`: seconds since the epoch; None is now."""
        at = wall() if at is None else at
        moment = datetime.fromtimestamp(at)  # noqa: DTZ006 - for people here
        head = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} {level:<7} {job:<12} "
        color = _COLORS.get(level) if self._is_colored else None
        lines = [head + _printable(line) for line in message.splitlines() or [""]]
        text = "\n".join(f"\033[{color}m{line}\033[0m" if color else line for line in lines)
        self._put((text + "\n").encode("utf-8", "backslashreplace"), at)

    # -- events

    def __call__(self, event: Event) -> None:
        """Say what an event means, if it is worth a line; a listener of the scheduler.

        Lines of one kind that come too thick are counted instead, and told in a sum some seconds later.
        """
        with self._lock:
            self._ahead = event.at - event.mono
            self._say_sums(event.mono, everything=event.event is EventName.SCHEDULER_STOPPED)
            telling = describe(event)
            if telling is not None:
                self._tell(event, telling)
            self._time_sums(event.mono)

    def _tell(self, event: Event, telling: LogLine) -> None:
        job = event.job or "taskloom"
        self._levels[telling.kind] = telling.level
        if event.event is EventName.JOB_REMOVED:
            self._repeats.forget(job)
        if telling.kind and not self._flood.admits(telling.kind, job, event.mono):
            return
        message = telling.message
        if telling.traceback:
            message += self._traceback(job, telling.traceback, event.mono)
        self.say(message, level=telling.level, job=job, at=event.at)

    def _traceback(self, job: str, traceback: str, at: float) -> str:
        if self._repeats.is_repeated(job, traceback, at):
            return " (traceback as before)"
        if not self._flood.admits(_TRACEBACKS, job, at):
            return ""
        self._repeats.note(job, traceback, at)
        return f"\n{traceback}"

    def _say_sums(self, at: float, *, everything: bool = False) -> None:
        for sum_ in self._flood.suppressed(at, everything=everything):
            level = self._levels.get(sum_.kind, "INFO")
            self.say(_summed(sum_), level=level, at=at + self._ahead)

    def _time_sums(self, at: float) -> None:
        """See that the next sum is told even if nothing happens any more."""
        due = self._flood.due
        if due is not None and not self._is_timed:
            self._is_timed = True
            self._call_later(max(0.0, due - at), partial(self._on_time, due))

    def _on_time(self, at: float) -> None:
        with self._lock:
            self._is_timed = False
            self._say_sums(at)
            self._time_sums(at)


def _summed(sum_: Suppressed) -> str:
    """Return `and 4,321 more runs failed in the last 5 s, of 1,234 jobs`."""
    kind = sum_.kind
    if sum_.lines == 1:
        noun, _, rest = kind.partition(" ")
        kind = f"{noun.removesuffix('s')} {rest.replace('were ', 'was ').replace('are ', 'is ')}"
    jobs = f", of {plural(sum_.jobs, 'job')}"
    return f"and {sum_.lines:,} more {kind} in the last {duration(max(1, round(sum_.seconds)))}{jobs}"


def _printable(line: str) -> str:
    """Take the terminal's own language out of what others wrote."""
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
        """Hand the record on without the handler's lock: the console's queue has its own, held for a moment."""
        passed: Any = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # from 3.12 on a filter may put another in its place
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self._formatter.format(record)
        except Exception as error:  # noqa: BLE001 - a bad log call must not end the run that made it
            message = f"cannot format the log message {record.msg!r}: {error}"
        self._console.say(message, level=record.levelname, job=_owner(record), at=record.created)


def _owner(record: logging.LogRecord) -> str:
    job = getattr(record, "job", None)
    if isinstance(job, str):
        return job
    context = current_run.get()
    if context is not None:
        return context.job
    return "taskloom" if record.name.startswith("taskloom") else record.name
