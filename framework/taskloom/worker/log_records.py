"""Sends the log records of a run to the program, which gives them to its own handlers.

The levels of the loggers are those of the program, so what no handler there would get is not even made here.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from taskloom.runners.wire import Logged
from taskloom.text import to_json

__all__ = ["SendingHandler", "install"]

# The attributes of every record, and those that the logger of a run adds: the program knows its job and run.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "job", "run"}
_MOST_EXTRA_CHARACTERS = 32 * 1024


def install(send: Callable[[Logged], object], levels: Mapping[str, int]) -> SendingHandler:
    """Give the loggers the levels of the program, and the root a handler that passes each record to `send`."""
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    handler = SendingHandler(send)
    logging.getLogger().addHandler(handler)
    return handler


class SendingHandler(logging.Handler):
    """Passes each record on. In a forked child, which must not send, it writes to standard error."""

    def __init__(self, send: Callable[[Logged], object]) -> None:
        super().__init__()
        self._send = send
        self._pid = os.getpid()

    def handle(self, record: logging.LogRecord) -> bool:
        """Pass the record on, without the lock of a handler: a finalizer may log while its thread is here."""
        found: Any = self.filter(record)
        if isinstance(found, logging.LogRecord):
            record = found
        if found:
            self.emit(record)
        return bool(found)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on. If it cannot be formatted, `logging` says so on standard error."""
        try:
            if os.getpid() == self._pid:
                self._send(_message_of(record))
            elif sys.stderr is not None:
                sys.stderr.write(f"{self.format(record)}\n")
                sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as every handler does; not what a signal raises
            self.handleError(record)


def _message_of(record: logging.LogRecord) -> Logged:
    exc = record.exc_text or ""
    if record.exc_info and not exc:
        exc = logging.Formatter().formatException(record.exc_info)
    return Logged(
        record.levelno,
        record.name,
        record.getMessage(),
        record.created,
        exc,
        record.stack_info or "",
        record.threadName or "",
        record.pathname,
        record.lineno,
        record.funcName or "",
        {name: _plain(value) for name, value in vars(record).items() if name not in _USUAL},
    )


def _plain(value: object) -> object:
    """Return the value if it is JSON data of moderate size, else its text."""
    if value is None or type(value) in (bool, int, float):
        return value if type(value) is not int or abs(value) < 10**300 else "a huge number"
    if type(value) is str:
        return value
    try:
        if len(to_json(value)) <= _MOST_EXTRA_CHARACTERS:
            return value
    except Exception:  # noqa: BLE001 - an object of the task
        pass
    return str(value)[:_MOST_EXTRA_CHARACTERS]
