"""The targets of records: the program's standard output, or a file to which whole records are appended."""

from __future__ import annotations

import math
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from taskloom import Context
from taskloom_plugins.endpoints import explain, wait_for

__all__ = ["FileTarget", "Output", "OutputError", "StdoutTarget", "Target", "open_target"]

# Large enough that one write serves many records, small enough that a crash loses little.
_MAX_BUFFERED_BYTES = 256 * 1024


class OutputError(Exception):
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
    """A file to append to. Each batch is one write if the system accepts it at once."""

    def __init__(self, ctx: Context, path: str) -> None:
        """Open or create the file. Raises OutputError."""
        self._ctx, self._path = ctx, path
        try:
            # Non-blocking: opening a named pipe without a reader fails at once instead of hanging.
            self._descriptor = os.open(
                path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666
            )
        except (OSError, ValueError) as error:
            why = explain(error) if isinstance(error, OSError) else "it is not a path"
            raise OutputError(f"cannot append to {path!r}: {why}") from None

    def write(self, records: bytes) -> None:
        """See `Target.write`. Raises Cancelled if the run is cancelled while a pipe is full."""
        remaining = memoryview(records)
        while remaining:
            try:
                remaining = remaining[os.write(self._descriptor, remaining) :]
            except BlockingIOError:
                wait_for(self._ctx, self._descriptor, select.POLLOUT)
            except OSError as error:
                raise OutputError(f"cannot append to {self._path!r}: {explain(error)}") from None

    def end_last_line(self) -> None:
        """If an earlier run left its last record unfinished, write a newline, so that the next record begins a line."""
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return
        try:
            with Path(self._path).open("rb") as file:
                file.seek(-1, os.SEEK_END)
                is_finished = file.read(1) == b"\n"
        except OSError:
            return  # writable, but not readable: leave the last line as it is
        if not is_finished:
            self.write(b"\n")

    def close(self) -> None:
        """See `Target.close`."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_target(ctx: Context, where: str, *, is_lines: bool) -> Target:
    """Return the target for `stdout` or a path. Raises OutputError."""
    if where == "stdout":
        return StdoutTarget()
    target = FileTarget(ctx, where)
    if is_lines:
        target.end_last_line()
    return target


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
