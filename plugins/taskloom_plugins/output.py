"""Where records go: the program's standard output, or a file that only ever grows by whole records."""

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

# Enough to make one write for many records worth it, little enough to be lost by nobody's measure.
_HELD_AT_MOST = 256 * 1024


class OutputError(Exception):
    """Records cannot be written; the sentence names the file."""


class Target(Protocol):
    """Takes whole records."""

    def write(self, records: bytes) -> None:
        """Write all of it; raise OutputError when that cannot be done."""

    def close(self) -> None:
        """Let go of it; twice is once."""


class StdoutTarget:
    """The program's standard output, whatever stands there when a batch is written."""

    def write(self, records: bytes) -> None:
        """See `Target.write`; one call for each batch, so that records of several jobs do not mix."""
        stdout = sys.stdout
        try:
            if hasattr(stdout, "buffer"):
                stdout.buffer.write(records)
            else:  # something that a host program put there for text alone
                stdout.write(records.decode("utf-8", "replace"))
            stdout.flush()
        except (OSError, ValueError, AttributeError) as error:
            why = explain(error) if isinstance(error, OSError) else str(error)
            raise OutputError(f"cannot write to standard output: {why}") from None

    def close(self) -> None:
        """See `Target.close`; it is not ours to close."""


class FileTarget:
    """A file that is appended to. Each batch is one write where the system takes it so."""

    def __init__(self, ctx: Context, path: str) -> None:
        """Open or make the file. Raises OutputError."""
        self._ctx, self._path = ctx, path
        try:
            # Non-blocking: a named pipe that nobody reads is an error at once, not a hang.
            self._descriptor = os.open(
                path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666
            )
        except (OSError, ValueError) as error:
            why = explain(error) if isinstance(error, OSError) else "it is no path"
            raise OutputError(f"cannot append to {path!r}: {why}") from None

    def write(self, records: bytes) -> None:
        """See `Target.write`. Raises Cancelled where a pipe is full and the run is asked to stop."""
        rest = memoryview(records)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                wait_for(self._ctx, self._descriptor, select.POLLOUT)
            except OSError as error:
                raise OutputError(f"cannot append to {self._path!r}: {explain(error)}") from None

    def end_last_line(self) -> None:
        """Write a newline after a record that an earlier run could not finish, so that ours begins a line."""
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return
        try:
            with Path(self._path).open("rb") as file:
                file.seek(-1, os.SEEK_END)
                is_finished = file.read(1) == b"\n"
        except OSError:
            return  # may be written and not be read: then it stays as it is
        if not is_finished:
            self.write(b"\n")

    def close(self) -> None:
        """See `Target.close`."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_target(ctx: Context, where: str, *, is_lines: bool) -> Target:
    """Return the target that a job file names: `stdout` or a path. Raises OutputError."""
    if where == "stdout":
        return StdoutTarget()
    target = FileTarget(ctx, where)
    if is_lines:
        target.end_last_line()
    return target


class Output:
    """Writes each batch at once, or gathers for `flush_seconds` at most."""

    def __init__(self, target: Target, flush_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._target, self._flush_seconds, self._clock = target, flush_seconds, clock
        self._held: list[bytes] = []
        self._size = 0
        self.deadline = math.inf
        """When `tick` wants to be called, in the clock's seconds."""

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what is held, also where the run failed for another reason, and close the target."""
        try:
            if not isinstance(error, OutputError):
                self.flush()
        finally:
            self._target.close()

    def write(self, records: bytes) -> None:
        """Take whole records."""
        if not self._flush_seconds:
            self._target.write(records)
            return
        if not self._held:
            self.deadline = self._clock() + self._flush_seconds
        self._held.append(records)
        self._size += len(records)
        if self._size >= _HELD_AT_MOST:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        records, self._held = b"".join(self._held), []
        self._size, self.deadline = 0, math.inf
        if records:
            self._target.write(records)

    def tick(self, now: float) -> None:
        """Called when the deadline is over."""
        del now
        self.flush()
