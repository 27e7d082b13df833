"""The targets of records: the program's standard output, or a file to which whole records are appended."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

from taskloom import Context, TaskFailure
from taskloom_plugins.endpoints import explain, wait_for

__all__ = ["FileTarget", "Output", "OutputError", "StdoutTarget", "Target", "open_target"]

# Large enough that one write serves many records, small enough that a crash loses little.
_MAX_BUFFERED_BYTES = 256 * 1024

# Errors of a path that leads nowhere: the file, or a folder above it, is not there any more.
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
# logrotate with `create` makes the new file right after it moved the old one, and complains if it is there already.
_CREATE_SECONDS = 0.05
# Long enough for `mv logs old && mkdir logs` on a busy machine; short enough that no peer runs into its own timeout.
_REOPEN_SECONDS = 0.5
_REOPEN_PAUSE_SECONDS = 0.02
# Longer than one write of another program takes.
_UNFINISHED_SECONDS = 0.05


class OutputError(TaskFailure):
    """Records cannot be written; the message names the file."""


class Target(Protocol):
    """Writes whole records."""

    def write(self, records: bytes) -> None:
        """Write all records. Raises OutputError."""

    def close(self) -> None:
        """Close the target; idempotent."""


class StdoutTarget:
    """The program's standard output: the current `sys.stdout` at the time of each write."""

    def write(self, records: bytes) -> None:
        """See `Target.write`; one write for each batch, so that records of several jobs are not mixed."""
        stdout = sys.stdout
        try:
            if hasattr(stdout, "buffer"):
                stdout.buffer.write(records)
            else:  # a replacement by the host program that accepts only text
                stdout.write(records.decode("utf-8", "replace"))
            stdout.flush()
        except (OSError, ValueError, AttributeError) as error:
            why = explain(error) if isinstance(error, OSError) else str(error)
            raise OutputError(f"cannot write to standard output: {why}") from None

    def close(self) -> None:
        """See `Target.close`; standard output stays open."""


class FileTarget:
    """A file to append to. Each batch is one write if the system accepts it at once.

    The path is looked up again before each batch. If it leads to another file, or to none, because the file was
    rotated, moved or removed, the path is opened again. A relative path always starts at the directory that was the
    working directory at the start, even if another job changes that or the directory is renamed.
    """

    def __init__(self, ctx: Context, path: str, *, is_lines: bool = True) -> None:
        """Open or create the file. `is_lines`: the records consist of lines. Raises OutputError."""
        self._ctx, self._path, self._is_lines = ctx, path, is_lines
        self._descriptor, self._folder = -1, None if path.startswith("/") else self._open_folder()
        try:
            self._descriptor = self._open(0o666)
            self._status = os.fstat(self._descriptor)
            self._end_last_line()
        except BaseException:
            self.close()
            raise

    def write(self, records: bytes) -> None:
        """See `Target.write`. Raises Cancelled if the run is cancelled while a pipe is full."""
        if self._was_rotated():
            try:
                self._reopen()
            except OutputError:
                # The former file may still exist elsewhere: what was read goes there before the run fails.
                self._append(records)
                raise
        self._append(records)

    def close(self) -> None:
        """See `Target.close`. Raises OutputError if the system reports only now that earlier writes have failed."""
        descriptors = (self._descriptor, self._folder)
        self._descriptor, self._folder = -1, None
        for descriptor in descriptors:
            if descriptor is not None and descriptor >= 0:
                self._close(descriptor)

    # -- opening -----------------------------------------------------------------------------------

    def _open_folder(self) -> int:
        """Open the working directory, as the place at which a relative path starts."""
        try:
            return os.open(".", os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise self._failure(error) from None

    def _open(self, mode: int, flags: int = os.O_CREAT) -> int:
        # Non-blocking: opening a named pipe without a reader fails at once instead of hanging.
        flags |= os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(self._path, flags, mode, dir_fd=self._folder)
        except OSError as error:
            raise self._failure(error) from None
        except ValueError:
            raise OutputError(f"cannot append to {self._path!r}: it is not a path") from None

    def _was_rotated(self) -> bool:
        """Return whether the path leads to another file than the open one, or to none."""
        try:
            found = os.stat(self._path, dir_fd=self._folder)
        except OSError as error:
            # Other errors, such as a missing permission, do not show that the file is another one.
            return error.errno in _NOT_THERE
        return not os.path.samestat(found, self._status)

    def _reopen(self) -> None:
        """Replace the open file by the one at the path. Raises OutputError."""
        former, self._descriptor = self._descriptor, self._opened_again()
        self._status = os.fstat(self._descriptor)
        self._ctx.log.info("opened %s again: the former file was moved or removed", self._path)
        self._close(former)
        self._end_last_line()

    def _opened_again(self) -> int:
        """Open the path, which was rotated a moment ago; leave the rotating program the time to finish its work.

        First it may make the new file itself; then we make it, and try for longer if its folder is missing, or if the
        new file does not have its permissions yet.
        """
        began, flags, is_stopping = time.monotonic(), 0, False
        while True:
            try:
                # Never readable by more users than the former file.
                return self._open(stat.S_IMODE(self._status.st_mode) & 0o666, flags)
            except OutputError:
                elapsed = time.monotonic() - began
                if flags and (is_stopping or elapsed >= _REOPEN_SECONDS):
                    raise
                is_stopping = self._ctx.wait(_REOPEN_PAUSE_SECONDS)
                if is_stopping or elapsed >= _CREATE_SECONDS:
                    flags = os.O_CREAT

    def _end_last_line(self) -> None:
        """If the file ends with an unfinished line, write a newline, so that the next record begins a line."""
        size = self._size_if_unfinished()
        # Another program may be in the middle of a write, which becomes visible page by page: then the size changes.
        if size and not self._ctx.wait(_UNFINISHED_SECONDS) and self._size_if_unfinished() == size:
            self._write_all(b"\n")

    def _size_if_unfinished(self) -> int:
        """Return the size of the file if its last line has no newline; 0 if it has one, or it cannot be read."""
        if not self._is_lines or not stat.S_ISREG(self._status.st_mode):
            return 0
        try:
            size = os.fstat(self._descriptor).st_size
            reading = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._folder)
        except OSError:
            return 0  # writable, but not readable: leave the last line as it is
        try:
            is_same = os.path.samestat(os.fstat(reading), self._status)
            return size if is_same and size and os.pread(reading, 1, size - 1) != b"\n" else 0
        except OSError:
            return 0
        finally:
            os.close(reading)

    # -- writing -----------------------------------------------------------------------------------

    def _append(self, records: bytes) -> None:
        if self._is_lines and stat.S_ISFIFO(self._status.st_mode):
            for piece in _atomic_pieces(records):
                self._write_all(piece)
        else:
            self._write_all(records)

    def _write_all(self, records: bytes) -> None:
        remaining = memoryview(records)
        while remaining:
            try:
                remaining = remaining[os.write(self._descriptor, remaining) :]
            except BlockingIOError:
                wait_for(self._ctx, self._descriptor, select.POLLOUT)
            except OSError as error:
                self._remove_torn_line(records[: len(records) - len(remaining)])
                raise self._failure(error) from None

    def _remove_torn_line(self, written: bytes) -> None:
        """Remove the beginning of a line whose end the system did not accept, unless another program has written since.

        If it cannot be removed, the next run or the next file of this path begins with a newline.
        """
        torn = len(written) - (written.rfind(b"\n") + 1)
        if not torn or not self._is_lines:
            return
        with contextlib.suppress(OSError):  # a pipe or a device has no position
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if os.fstat(self._descriptor).st_size == end:
                os.ftruncate(self._descriptor, end - torn)

    def _close(self, descriptor: int) -> None:
        try:
            os.close(descriptor)
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(f"cannot append to {self._path!r}: {explain(error)}")


def _atomic_pieces(records: bytes) -> Iterator[bytes]:
    """Split records at newlines into pieces that a pipe accepts as a whole or not at all; see PIPE_BUF in pipe(7).

    So neither a stop while the pipe is full nor a second writer tears a line. Only a longer line can be torn.
    """
    start = 0
    while len(records) - start > select.PIPE_BUF:
        end = records.rfind(b"\n", start, start + select.PIPE_BUF) + 1
        if not end:  # a line over the limit is a piece of its own
            end = records.find(b"\n", start + select.PIPE_BUF) + 1 or len(records)
        yield records[start:end]
        start = end
    if start < len(records):
        yield records[start:]


def open_target(ctx: Context, where: str, *, is_lines: bool) -> Target:
    """Return the target for `stdout` or a path. Raises OutputError."""
    return StdoutTarget() if where == "stdout" else FileTarget(ctx, where, is_lines=is_lines)


class Output:
    """Writes each batch at once, or buffers records for at most `flush_seconds`."""

    def __init__(self, target: Target, flush_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._target, self._flush_seconds, self._clock = target, flush_seconds, clock
        self._buffered: list[bytes] = []
        self._size = 0
        self.deadline = math.inf
        """When `tick` has to be called, in seconds of the clock; infinity if nothing is buffered."""

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write the buffered records, even if the run failed for another reason, and close the target."""
        try:
            if not isinstance(error, OutputError):
                self.flush()
        finally:
            self._target.close()

    def write(self, records: bytes) -> None:
        """Write or buffer whole records."""
        if not self._flush_seconds:
            self._target.write(records)
            return
        if not self._buffered:
            self.deadline = self._clock() + self._flush_seconds
        self._buffered.append(records)
        self._size += len(records)
        if self._size >= _MAX_BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered records."""
        records, self._buffered = b"".join(self._buffered), []
        self._size, self.deadline = 0, math.inf
        if records:
            self._target.write(records)

    def tick(self, now: float) -> None:
        """Called when the deadline has passed."""
        self.flush()
