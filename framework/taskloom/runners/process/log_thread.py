"""Passes the log lines of processes to `logging`, on one thread: a log handler may block, and the IO thread must not.

The queue has a limit for each run. While it is full, the output of its processes is not read: they block in
their next print, as a thread does. Log records are dropped then, and counted: they come through the same socket as all
other messages, which must be read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, NamedTuple

from taskloom.clock import wall
from taskloom.runners.logs import TASK_LOGGER
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.text import plural

__all__ = ["MOST_BYTES", "MOST_ENTRIES", "LogEntry", "LogThread", "RunLog"]

MOST_ENTRIES = 1000
MOST_BYTES = 1024 * 1024
"""The limits of the queue for one run: enough for the thread to have work while the IO thread does something else."""
# More names than these do not get loggers of their own: `logging` never forgets one.
_MOST_LOGGERS = 1000
# Attributes of a record that a message from another process cannot set.
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "job", "run"}


class LogEntry(NamedTuple):
    """One line or record for the log. `created`: seconds since the epoch."""

    level: int
    name: str
    text: str
    created: float
    exc: str = ""
    stack: str = ""
    thread: str = ""
    path: str = ""
    line: int = 0
    function: str = ""
    extra: Mapping[str, Any] = {}


class RunLog:
    """The log of one run. Its methods are for the IO thread.

    `resume` is called on the log thread when there is space again after `is_full` was True.
    """

    __slots__ = (
        "_done",
        "_done_bytes",
        "_dropped",
        "_put",
        "_put_bytes",
        "_thread",
        "is_paused",
        "job",
        "pid",
        "resume",
        "run",
    )

    def __init__(self, thread: LogThread, job: str, run: str, resume: Callable[[], object]) -> None:
        self.job = job
        self.run = run
        self.pid = 0
        """The main process, for the records."""
        self.resume = resume
        self.is_paused = False
        self._thread = thread
        # Each is written by one thread alone: the first two by the IO thread, the others by the log thread.
        self._put = self._put_bytes = 0
        self._done = self._done_bytes = 0
        self._dropped = 0

    @property
    def is_full(self) -> bool:
        """Whether no more lines should come for now."""
        return self._put - self._done >= MOST_ENTRIES or self._put_bytes - self._done_bytes >= MOST_BYTES

    @property
    def is_half_empty(self) -> bool:
        """Whether a reader that was paused should go on."""
        return self._put - self._done <= MOST_ENTRIES // 2 and self._put_bytes - self._done_bytes <= MOST_BYTES // 2

    @property
    def is_empty(self) -> bool:
        """Whether everything was passed on, and what was dropped is told."""
        return self._put == self._done and not self._dropped

    def add(self, entry: LogEntry) -> None:
        """Queue a line, even if the log is full: it was read already."""
        self._count(entry)
        self._thread.put(self, entry)

    def add_or_drop(self, entry: LogEntry) -> bool:
        """Queue a record; return False if the log is full and it was dropped."""
        if self.is_full:
            self._dropped += 1
            return False
        self._tell_dropped()
        self.add(entry)
        return True

    def finish(self, drained: Callable[[], object]) -> None:
        """Have `drained` called on the log thread, when all lines before were passed on."""
        self._tell_dropped()
        self._thread.put(self, drained)

    def entry_done(self, entry: LogEntry) -> None:
        """Count an entry as passed on. Called on the log thread."""
        self._done_bytes += _size(entry)
        self._done += 1
        if self.is_paused and self.is_half_empty:
            self.is_paused = False
            self.resume()

    def _count(self, entry: LogEntry) -> None:
        self._put += 1
        self._put_bytes += _size(entry)

    def _tell_dropped(self) -> None:
        if self._dropped:
            text = (
                f"{plural(self._dropped, 'log record')} of the process dropped: they came faster than the log took them"
            )
            self._dropped = 0
            self.add(LogEntry(logging.WARNING, "", text, wall()))


class LogThread:
    """The thread and its queue. Made with the first run of a runner; `close` lets it end when the queue is empty."""

    def __init__(
        self, take: Callable[[RunLog, LogEntry], object] | None = None, *, name: str = "taskloom-process-logs"
    ) -> None:
        """Prepare. `take`: gets each entry on the thread, in place of `logging`."""
        self._take = take or _to_logging
        # None ends the thread.
        self._queue: SimpleQueue[tuple[RunLog, LogEntry | Callable[[], object]] | None] = SimpleQueue()
        # The item that the thread has taken and not done yet.
        self._taken: list[tuple[RunLog, LogEntry | Callable[[], object]]] = []
        self._has_ended = Latch()
        self._thread = KeptThread(name, self._step, self._failed)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if that is not possible."""
        self._thread.start()

    def put(self, log: RunLog, what: LogEntry | Callable[[], object]) -> None:
        """Queue an entry, or a function to call after all that is queued; never blocks."""
        self._queue.put((log, what))
        self._thread.ensure()

    def close(self) -> None:
        """Let the thread end once the queue is empty; never blocks."""
        self._queue.put(None)

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the thread has ended."""
        return self._has_ended.wait(timeout)

    def _step(self) -> bool:
        if not self._taken:
            item = self._queue.get()
            if item is None:
                self._has_ended.open()
                return True
            self._taken.append(item)
        self._pass_on(*self._taken[0])
        self._taken.clear()
        return False

    def _failed(self, error: BaseException) -> None:
        """Drop what has raised: a handler of the host, or too little memory."""
        if self._taken:
            log, what = self._taken.pop()
            if isinstance(what, LogEntry):
                log.entry_done(what)
            else:
                what()

    def _pass_on(self, log: RunLog, what: LogEntry | Callable[[], object]) -> None:
        if not isinstance(what, LogEntry):
            what()
            return
        self._take(log, what)
        log.entry_done(what)


def _to_logging(log: RunLog, entry: LogEntry) -> None:
    logger = _logger(entry.name)
    if logger.isEnabledFor(entry.level):
        logger.handle(_record(log, entry, logger.name))


def _logger(name: str) -> logging.Logger:
    """Return the logger of a record; the one of tasks if the processes have named too many."""
    known = logging.Logger.manager.loggerDict
    return logging.getLogger(name if name in known or (name and len(known) < _MOST_LOGGERS) else TASK_LOGGER)


def _record(log: RunLog, entry: LogEntry, name: str) -> logging.LogRecord:
    record = logging.LogRecord(name, entry.level, entry.path, entry.line, entry.text, (), None, entry.function or None)
    record.created = entry.created
    record.msecs = entry.created % 1 * 1000
    record.process = log.pid or os.getpid()
    record.threadName = entry.thread or log.job
    record.thread = None
    record.exc_text = entry.exc or None
    record.stack_info = entry.stack or None
    for key, value in entry.extra.items():
        if key not in _OWN_FIELDS:
            vars(record)[key] = value
    record.job = log.job
    record.run = log.run
    return record


def _size(entry: LogEntry) -> int:
    extra = len(repr(entry.extra)) if entry.extra else 0
    return len(entry.text) + len(entry.exc) + len(entry.stack) + extra
