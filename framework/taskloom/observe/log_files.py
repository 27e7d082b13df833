"""The log files of the jobs: one thread writes them, and no job ever waits for it.

Lines are queued, up to QUEUE_BYTES, and dropped and counted beyond; for jobs that write little there is a reserve. If a
write fails, it is tried again once a second: a full disk, a folder that was removed or is read-only. One line in the
log says so, and another one that it works again; the files have a line in the place of those that were dropped.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from taskloom.clock import mono, wall
from taskloom.observe.log_file import FileLimits, append, locked, trim
from taskloom.observe.log_format import LogFormat, LogMessage, render
from taskloom.observe.log_ring import LINE_BYTES
from taskloom.observe.name_column import NameColumn
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.sync.wakeup_fd import WakeupFd
from taskloom.text import plural

__all__ = ["FileLine", "LogFiles"]

# About as much as the output thread queues.
QUEUE_BYTES = 4 * 1024 * 1024
# Kept for files that have little in the queue: a job that floods its log pushes out no lines of the others.
RESERVE_BYTES = 1024 * 1024
LITTLE_BYTES = 16 * 1024
# The limit for a file that cannot be written: it leaves room for the others.
BACKLOG_BYTES = 256 * 1024
# Lines that come within this time are written together: a file is opened once for all of them.
GATHER_SECONDS = 0.05
RETRY_SECONDS = 1.0
# A failure that goes on is told again after this time.
REMINDER_SECONDS = 60.0
# Another program writes to the same folder: its piece takes milliseconds, unless it was suspended.
LOCKED_SECONDS = 0.02
PATIENCE_SECONDS = 10.0


class FileLine(NamedTuple):
    """A line for a file. `text` of a print is bytes, with its line break if it has one."""

    at: float
    """Seconds since the epoch."""
    level: str
    job: str
    run: str
    text: str | bytes

    @property
    def cost(self) -> int:
        """How many bytes of the queue it takes."""
        return len(self.text) + LINE_BYTES


class _Backlog:
    """The lines of one file that are not written yet."""

    __slots__ = ("dropped", "lines", "size")

    def __init__(self) -> None:
        self.lines: list[FileLine] = []
        self.size = 0
        self.dropped = 0


class LogFiles:
    """Writes lines to files. `tell` is called with a sentence for people, on the thread that writes.

    `folder`: the one whose total is limited; None if there is none.
    """

    def __init__(
        self,
        folder: str | None,
        tell: Callable[[str], object],
        *,
        log_format: LogFormat = LogFormat.FULL,
        limits: FileLimits | None = None,
    ) -> None:
        self.jobs = 1
        """How many jobs have a file: of many, each gets a smaller one."""
        self.dropped = 0
        """How many lines were dropped."""
        self.on_problem: Callable[[str], object] = lambda _: None
        """Called when `problem` has changed."""
        self.problem = ""
        """Why files cannot be written at the moment; "" if they can."""
        self._folder = folder
        self._tell = tell
        self._format = log_format
        self._names = NameColumn()
        self._limits = limits or FileLimits()
        # Guards the queue. Re-entrant: a finalizer may print while we hold it.
        self._lock = threading.RLock()
        self._queue: deque[tuple[str, FileLine]] = deque()
        self._size = 0
        # The bytes of each file that are not written yet.
        self._sizes: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        # For the thread alone.
        self._backlogs: dict[str, _Backlog] = {}
        self._retry_at: dict[str, float] = {}
        self._locked_since: dict[str, float] = {}
        self._failing: dict[str, str] = {}
        self._told_at = float("-inf")
        self._told_dropped = 0
        self._until: float | None = None
        self._finishing, self._ended = Latch(), Latch()
        self._wakeup = WakeupFd()
        self._thread: KeptThread | None = None

    def start(self) -> None:
        """Start the thread; idempotent. Raises RuntimeError if that is not possible."""
        if self._thread is None:
            thread = KeptThread("taskloom-log-files", self._step, self._recover)
            thread.start()
            self._thread = thread

    def put(self, path: str, line: FileLine) -> None:
        """Queue a line for a file; never blocks. If too much is queued, the line is dropped and counted."""
        with self._lock:
            size = self._sizes.get(path, 0)
            if self._size > QUEUE_BYTES + (RESERVE_BYTES if size <= LITTLE_BYTES else 0):
                self.dropped += 1
                self._refused[path] = self._refused.get(path, 0) + 1
                return
            is_first = not self._queue
            self._queue.append((path, line))
            self._size += line.cost
            self._sizes[path] = size + line.cost
        if is_first:
            self._wakeup.set()

    def finish(self, seconds: float) -> int:
        """Write what is queued within `seconds`; return how many lines could not be written. Idempotent."""
        if self._thread is None:
            return 0
        self._until = self._until or mono() + seconds
        self._finishing.open()
        self._wakeup.set()
        self._thread.wait_for(self._ended, seconds)
        with self._lock:
            waiting = len(self._queue) + sum(len(each.lines) for each in self._backlogs.copy().values())
        return self.dropped + waiting

    # -- the thread

    def _step(self) -> bool:
        """Write what there is to write; return True at the end."""
        if self._until is None:
            self._wait()
            self._finishing.wait(GATHER_SECONDS)
        self._take()
        self._write()
        is_over = self._until is not None and (not (self._queue or self._backlogs) or mono() >= self._until)
        if is_over:
            self._ended.open()
        elif self._until is not None:
            self._ended.wait(LOCKED_SECONDS)
        return is_over

    def _recover(self, error: BaseException) -> None:
        """Wait a little: there was no memory for a moment. What was queued still is."""
        self._ended.wait(LOCKED_SECONDS)

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        due = min(self._retry_at.values(), default=None)
        if not self._queue:
            poller.poll(None if due is None else max(0.0, due - mono()) * 1000)
        self._wakeup.clear()

    def _take(self) -> None:
        """Move the queued lines to the backlogs of their files."""
        while self._queue:
            with self._lock:
                path, line = self._queue.popleft()
                backlog = self._backlogs.setdefault(path, _Backlog())
                if path in self._failing and backlog.size > BACKLOG_BYTES:
                    backlog.dropped += 1
                    self.dropped += 1
                    self._free(path, line.cost)
                else:
                    backlog.lines.append(line)
                    backlog.size += line.cost
        with self._lock:
            refused, self._refused = self._refused, {}
        for path, count in refused.items():
            self._backlogs.setdefault(path, _Backlog()).dropped += count

    def _write(self) -> None:
        """Write each file whose time has come, folder by folder."""
        now = mono()
        folders: dict[str, list[str]] = {}
        for path in self._backlogs:
            if self._until is not None or now >= self._retry_at.get(path, now):
                folders.setdefault(os.path.dirname(path) or ".", []).append(path)  # noqa: PTH120 - paths are text
        for folder, paths in folders.items():
            try:
                with locked(folder):
                    self._write_files(folder, paths)
                self._locked_since.pop(folder, None)
            except BlockingIOError:
                self._wait_for_lock(folder, paths)
            except OSError as error:
                for path in paths:
                    self._fail(path, error.strerror or str(error))
        self._tell_state()

    def _wait_for_lock(self, folder: str, paths: list[str]) -> None:
        now = mono()
        if now >= self._locked_since.setdefault(folder, now) + PATIENCE_SECONDS:
            for path in paths:
                self._fail(path, "another program has locked its folder")
        for path in paths:
            self._retry_at[path] = now + LOCKED_SECONDS

    def _write_files(self, folder: str, paths: list[str]) -> None:
        file_bytes = self._limits.file_bytes_for(self.jobs)
        is_rotated = False
        for path in paths:
            try:
                is_rotated |= append(path, self._rendered(self._backlogs[path]), file_bytes, self._limits.files)
            except OSError as error:
                self._fail(path, error.strerror or str(error))
            else:
                self._written(path)
        if is_rotated and folder == self._folder:
            trim(folder, self._limits.total_bytes)

    def _rendered(self, backlog: _Backlog) -> bytes:
        # By their times: the line that a run has started comes from another thread than its first print.
        lines = sorted(backlog.lines, key=lambda line: line.at)
        if backlog.dropped:
            text = f"{plural(backlog.dropped, 'line')} could not be written and {_are(backlog.dropped)} left out here"
            lines.append(FileLine(wall(), "WARNING", "taskloom", "", text))
        return b"".join(map(self._render, lines))

    def _render(self, line: FileLine) -> bytes:
        text = line.text if isinstance(line.text, str) else line.text.decode("utf-8", "backslashreplace")
        message = LogMessage(text.removesuffix("\n"), line.level, line.job, line.run)
        return render(self._format, message, line.at, names=self._names).encode("utf-8", "backslashreplace")

    def _written(self, path: str) -> None:
        with self._lock:
            self._free(path, self._backlogs.pop(path).size)
        self._retry_at.pop(path, None)
        self._failing.pop(path, None)

    def _free(self, path: str, size: int) -> None:
        """Give back room in the queue. Called with the lock."""
        self._size -= size
        left = self._sizes.pop(path, 0) - size
        if left > 0:
            self._sizes[path] = left

    def _fail(self, path: str, why: str) -> None:
        self._failing[path] = why
        self._retry_at[path] = mono() + RETRY_SECONDS

    # -- what people are told

    def _tell_state(self) -> None:
        """Tell once that files cannot be written, however many there are; that they are written again; and drops."""
        before, now = self.problem, mono()
        path, why = next(iter(self._failing.items()), ("", ""))
        self.problem = f"cannot write log file {path!r}: {why}" if why else ""
        if self.problem != before:
            self.on_problem(self.problem)
        lost = self.dropped - self._told_dropped
        because = f"; {plural(lost, 'line')} {_are(lost)} lost in the log files" if lost else ""
        if self.problem and (not before.endswith(why) or not before or now >= self._told_at + REMINDER_SECONDS):
            more = f" ({plural(len(self._failing) - 1, 'more file')} like it)" if len(self._failing) > 1 else ""
            self._say(f"{self.problem}{more}; trying again{because}", now)
        elif before and not self.problem:
            self._say(f"writing log files again{because}", now)
        elif lost and not self.problem and now >= self._told_at + REMINDER_SECONDS:
            self._say(f"log files cannot be written fast enough{because}", now)

    def _say(self, sentence: str, now: float) -> None:
        self._told_at, self._told_dropped = now, self.dropped
        self._tell(sentence)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
