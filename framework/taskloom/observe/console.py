"""The log on the terminal: one plain line for each thing that is said or happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from taskloom.clock import wall
from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome
from taskloom.runners.context import current_run

__all__ = ["Console", "ConsoleHandler"]

_COLORS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_BAD = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED, Outcome.ABANDONED)


class Console:
    """Writes lines `12:00:01.234 INFO    job         message` to `put`, which never blocks."""

    def __init__(self, put: Callable[[bytes, float], None], *, is_colored: bool) -> None:
        self._put = put
        self._is_colored = is_colored

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
        """Say what an event means, if it is worth a line; a listener of the scheduler."""
        teller = _TELLERS.get(event.event)
        if teller is not None:
            message, level = teller(event)
            self.say(message, level=level, job=event.job or "taskloom", at=event.at)


def _printable(line: str) -> str:
    """Take the terminal's own language out of what others wrote."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in line)


def _started(_: Event) -> tuple[str, str]:
    return "started", "INFO"


def _cancel_requested(event: Event) -> tuple[str, str]:
    return f"asked to stop ({event.reason})", "INFO"


def _ended(event: Event) -> tuple[str, str]:
    outcome = event.outcome or Outcome.FAILED
    message = f"{outcome.value} after {event.seconds or 0.0:.1f} s"
    if event.error is not None:
        message += f": {event.error}"
        if outcome is Outcome.FAILED and not event.error.is_explained:
            message += f"\n{event.error.traceback.rstrip()}"
    level = "ERROR" if outcome in _BAD else "INFO"
    return message, level


def _overdue(event: Event) -> tuple[str, str]:
    where = event.data.get("where")
    place = f" at {where}" if where else " at an unknown place"
    age = event.data.get("poll_age")
    polled = "" if age is None else f", no poll for {age:.1f} s"
    callbacks = "".join(f", {text}" for text in event.data.get("callbacks", ()))
    return f"did not stop within {event.data['within']:g} s: it stands{place}{polled}{callbacks}", "ERROR"


def _late_exit(event: Event) -> tuple[str, str]:
    return f"its abandoned thread has ended, {event.seconds or 0.0:.1f} s late", "WARNING"


def _blocked(_: Event) -> tuple[str, str]:
    return "abandoned: its thread is left behind; no new run until that ends", "WARNING"


def _skipped(event: Event) -> tuple[str, str]:
    return f"skipped ({event.reason})", "INFO"


def _callback_failed(event: Event) -> tuple[str, str]:
    return f"its {event.data['callback']} failed: {event.error}", "WARNING"


_TELLERS: dict[EventName, Callable[[Event], tuple[str, str]]] = {
    EventName.STARTED: _started,
    EventName.CANCEL_REQUESTED: _cancel_requested,
    EventName.ENDED: _ended,
    EventName.STOP_OVERDUE: _overdue,
    EventName.LATE_EXIT: _late_exit,
    EventName.BLOCKED: _blocked,
    EventName.SKIPPED: _skipped,
    EventName.CALLBACK_FAILED: _callback_failed,
}


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
