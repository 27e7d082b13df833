"""The log of failures: a scheduler inside of a program logs them by itself, as `threading` prints an exception.

They go to the logger `taskloom`. No handler is added: in a program that never set up logging, Python writes warnings
and errors to standard error.

Guarantees:
- Log handlers are called on a thread of the log alone. If one raises or blocks, neither a run nor a stop notices it.
- The thread exists only while there is something to log: a program whose jobs never fail has no further thread.
- Failures that come too fast are counted instead. Each traceback of a job is logged again only after ten minutes.
"""

from __future__ import annotations

from _thread import allocate_lock
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from taskloom.clock import mono
from taskloom.core.events import FAILURE_OUTCOMES, FAILURES, Event, EventName
from taskloom.scheduler.failure_text import LogLine, describe_failure
from taskloom.scheduler.rate_limit import DuplicateFilter, Limit, RateLimiter
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.text import plural

if TYPE_CHECKING:
    import logging

__all__ = ["LOGGER", "FailureLog", "make_failure_log"]

LOGGER = "taskloom"
# A few megabytes. More failures than this while one handler blocks are counted and dropped.
QUEUE_LIMIT = 10_000
# How long the thread stays for the next failure: many jobs fail together, or again and again.
IDLE_SECONDS = 10.0
_TRACEBACKS = "tracebacks were left out"
_LOWER_LIMITS = {_TRACEBACKS: Limit(20, 1.0)}


def make_failure_log(log: bool | logging.Logger) -> FailureLog | None:
    """Return the log for the argument of a scheduler: True for the logger `taskloom`, False for no log.

    Raises TypeError for anything that is not a logger.
    """
    if isinstance(log, bool):
        return FailureLog() if log else None
    if not hasattr(log, "makeRecord"):  # a test by its class would import `logging`
        raise TypeError(f"cannot use {log!r} as log; expected True, False or a logging.Logger")
    return FailureLog(log)


class _Line(NamedTuple):
    """A line that is not about an event."""

    message: str
    level: str
    error: BaseException | None = None


class FailureLog:
    """Logs the events that are failures. Any thread may call any method; none of them raises or does I/O.

    Implements `subscribers.EventSink`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        """`logger`: None for the logger `taskloom`."""
        self.dropped = 0
        """How many failures were not logged because the queue was full or there was no memory."""
        self._logger = logger
        # A latch between the lines is a marker of `flush`; None only wakes the thread.
        self._queue: SimpleQueue[Event | _Line | Latch | None] = SimpleQueue()
        self._is_closing = False
        # Guards `_thread`, and is held only to read or write it.
        self._lock = allocate_lock()
        self._thread: KeptThread | None = None
        # For the log's thread alone. What it is logging.
        self._current: Event | _Line | Latch | None = None
        self._limiter = RateLimiter(special=_LOWER_LIMITS)
        self._duplicates = DuplicateFilter()
        self._levels: dict[str, str] = {}
        self._dropped_before = 0

    def put(self, event: Event) -> None:
        """Log the event if it is a failure."""
        if event.event in FAILURES.names and (event.event is not EventName.ENDED or event.outcome in FAILURE_OUTCOMES):
            self._put(event)

    def put_warning(self, message: str) -> None:
        """Log a warning that is not about an event."""
        self._put(_Line(message, "WARNING"))

    def put_line(self, message: str, level: str) -> None:
        """Log a line that is not about an event, with this level."""
        self._put(_Line(message, level))

    def put_bug(self, error: BaseException) -> None:
        """Log an error of Taskloom itself, with its traceback."""
        self._put(_Line(f"{str(error) or type(error).__name__}; please report it", "CRITICAL", error))

    def flush(self, timeout: float | None = 1.0) -> bool:
        """Wait until all failures so far are logged; return False after `timeout` seconds."""
        if self._queue.empty() and self._thread is None:
            return True
        until = None if timeout is None else mono() + timeout
        marker = Latch()
        self._queue.put(marker)
        thread = self._ensure_thread()
        if thread is None or thread.is_current():
            return False
        is_done = thread.wait_for(marker, timeout)
        if is_done and self._is_closing:
            thread.join(None if until is None else max(0.0, until - mono()))
        return is_done

    def finish(self) -> None:
        """Let the thread end as soon as everything is logged. Later failures are still logged."""
        self._is_closing = True
        if self._thread is not None:
            self._queue.put(None)

    def _put(self, item: Event | _Line) -> None:
        if self._queue.qsize() >= QUEUE_LIMIT:
            self.dropped += 1
            return
        self._queue.put(item)
        self._ensure_thread()

    def _ensure_thread(self) -> KeptThread | None:
        """Return the log's thread; start it if there is none. None if the system has no thread for us.

        The queue keeps what could not be logged; the next failure and `flush` try again.
        """
        with self._lock:
            if self._thread is not None:
                self._thread.ensure()
                return self._thread
            thread = self._thread = KeptThread("taskloom-log", self._log_next, self._lose_current)
        try:
            thread.start()
        except BaseException as error:
            if thread.ident is None:
                self._thread = None
            if not isinstance(error, Exception):
                raise  # a Ctrl-C in `flush`
            return None  # no thread, no memory, or the interpreter is ending
        return thread

    # -- on the log's thread

    def _log_next(self) -> bool:
        """Wait for the next line and log it; return True once the thread may end."""
        if self._has_left():
            return True  # an error has struck the end of this method
        due = self._limiter.due
        patience = IDLE_SECONDS if due is None else max(0.0, due - mono())
        try:
            item = self._current = self._queue.get(timeout=0 if self._is_closing else patience)
        except Empty:
            self._log_suppressed(everything=self._is_closing)
            return self._limiter.due is None and self._try_end()
        if isinstance(item, Latch):
            item.open()
        elif item is not None:
            self._log(item)
        self._current = None
        return False

    def _has_left(self) -> bool:
        """Return whether `_try_end` has given the log to a later thread."""
        return self._thread is None or not self._thread.is_current()

    def _lose_current(self, error: BaseException) -> None:
        """Count the line at which our own code has raised, such as for lack of memory; the next one is logged."""
        lost, self._current = self._current, None
        if isinstance(lost, Latch):
            lost.open()
        elif lost is not None:
            self.dropped += 1

    def _try_end(self) -> bool:
        """Return whether the thread may end. A failure that is queued later starts another thread."""
        with self._lock:
            if not self._queue.empty():
                return False
            self._thread = None
            return True

    def _log(self, item: Event | _Line) -> None:
        self._log_suppressed()
        if isinstance(item, _Line):
            self._emit(item.message, item.level, error=item.error)
            return
        line = describe_failure(item)
        if line is None:
            return
        self._levels[line.kind] = line.level
        now, job = mono(), item.job or ""
        if self._limiter.allows(line.kind, job, now):
            traceback, remark = self._traceback(line, job, now)
            name = item.run or job
            message = f"{name}: {line.message}{remark}" if name else line.message
            self._emit(message, line.level, traceback=traceback, extra={"job": job, "run": item.run})

    def _traceback(self, line: LogLine, job: str, now: float) -> tuple[str, str]:
        """Return the traceback to log, and what to add to the message."""
        if not line.traceback:
            return "", ""
        if self._duplicates.is_repeated(job, line.traceback, now):
            return "", " (traceback as before)"
        if not self._limiter.allows(_TRACEBACKS, job, now):
            return "", ""
        self._duplicates.add(job, line.traceback, now)
        return line.traceback, ""

    def _log_suppressed(self, *, everything: bool = False) -> None:
        for suppressed in self._limiter.take_suppressed(mono(), everything=everything):
            self._emit(str(suppressed), self._levels.get(suppressed.kind, "ERROR"))
        lost = self.dropped - self._dropped_before
        if lost:
            self._dropped_before += lost
            self._emit(f"{plural(lost, 'failure')} not logged: the log handlers are too slow, or no memory", "WARNING")

    def _emit(
        self,
        message: str,
        level: str,
        *,
        traceback: str = "",
        error: BaseException | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        try:
            import logging  # here, because most programs start without it, and the log may never be needed

            logger = self._logger or logging.getLogger(LOGGER)
            number = logging.getLevelNamesMapping()[level]
            if not logger.isEnabledFor(number):
                return
            cause = None if error is None else (type(error), error, error.__traceback__)
            record = logger.makeRecord(logger.name, number, __file__, 0, message, (), cause, extra=extra)
            # The exception itself is gone: a run keeps no exception, whose frames would keep its objects alive. Each
            # formatter of the standard library adds this text as if it had formatted the exception.
            record.exc_text = traceback or None
            logger.handle(record)
        except MemoryError:
            self.dropped += 1
        except BaseException:  # noqa: BLE001 - handlers and filters are foreign code; nothing is left to inform
            pass
