"""Our ends of the pipes that the processes of one run write their output to."""

from __future__ import annotations

import os
import select
from functools import partial
from typing import TYPE_CHECKING, Protocol

from taskloom.runners.process.io_thread import IoThread, Member
from taskloom.runners.process.output_lines import OutputLines
from taskloom.runners.process.run_socket import MOST_LEFT, READ_BYTES
from taskloom.sync.own_descriptor import OwnDescriptor

if TYPE_CHECKING:
    from taskloom.runners.process.driven_run import Stream
    from taskloom.runners.process.launch import Launched
    from taskloom.runners.process.log_thread import RunLog

__all__ = ["OutputPipes", "OutputReader"]


class OutputReader(Member, Protocol):
    """Takes the output of a run."""

    def line_written(self, stream: Stream, line: str, now: float) -> None:
        """Take one line, without its newline."""


class OutputPipes:
    """Standard output and standard error of one run. Belongs to the IO thread.

    While the log of the run is full they are not read: the processes wait in their next print.
    """

    def __init__(self, io: IoThread, reader: OutputReader, launched: Launched, log: RunLog) -> None:
        self._io = io
        self._reader = reader
        self._launched = launched
        self._log = log
        self._own: dict[Stream, OwnDescriptor] = {
            "stdout": OwnDescriptor(launched.stdout),
            "stderr": OwnDescriptor(launched.stderr),
        }
        # Those that are not at their end.
        self._lines: dict[Stream, OutputLines] = {"stdout": OutputLines(), "stderr": OutputLines()}
        self._is_stopped = False

    def watch(self) -> None:
        """Be called by the IO thread when there is something to read."""
        for stream in self._ours():
            self._io.watch(self._descriptor(stream), select.EPOLLIN, self._reader, partial(self._ready, stream))

    def resume(self) -> None:
        """Read again after a pause: the log has space."""
        self._log.is_paused = False
        if not self._is_stopped:
            self.watch()

    def stop(self) -> None:
        """Be called no more: no process of the run is left."""
        self._is_stopped = True
        self._unwatch()

    def read_rest(self, now: float) -> None:
        """Read what is left in the pipes, and close them."""
        for stream in self._ours():
            left = MOST_LEFT
            while stream in self._lines and left > 0 and (size := self._read(stream, now)):
                left -= size
            if stream in self._lines:  # a process that is not of this run has it, too
                for line in self._lines[stream].end():
                    self._reader.line_written(stream, line, now)
                self._close(stream)

    def forget(self) -> None:
        """Forget both before they are closed, for good those whose numbers are files of a task by now."""
        if not self._own["stdout"].is_ours():
            self._launched.stdout = -1
        if not self._own["stderr"].is_ours():
            self._launched.stderr = -1
        self._lines = {}

    def _ready(self, stream: Stream, _: int, now: float) -> None:
        self._read(stream, now)

    def _read(self, stream: Stream, now: float) -> int:
        """Read once and pass complete lines on; return how many bytes came."""
        try:
            data = os.read(self._descriptor(stream), READ_BYTES)
        except BlockingIOError:
            return 0
        lines = self._lines[stream]
        found = lines.feed(data) if data else lines.end()
        if not data:
            self._close(stream)
        for line in found:
            self._reader.line_written(stream, line, now)
        if self._log.is_full and not self._is_stopped:
            self._pause()
        return len(data)

    def _pause(self) -> None:
        self._unwatch()
        self._log.is_paused = True
        if self._log.is_half_empty:  # in between: then the log thread may not have seen the flag
            self.resume()

    def _unwatch(self) -> None:
        for stream in self._ours():
            self._io.unwatch(self._descriptor(stream))

    def _ours(self) -> list[Stream]:
        """Return those that are open: not at their end, and not closed by a task, whose file the number may be now."""
        return [stream for stream in self._lines if self._own[stream].is_ours()]

    def _close(self, stream: Stream) -> None:
        self._io.unwatch(self._descriptor(stream))
        del self._lines[stream]
        if stream == "stdout":
            self._launched.close_stdout()
        else:
            self._launched.close_stderr()

    def _descriptor(self, stream: Stream) -> int:
        return self._launched.stdout if stream == "stdout" else self._launched.stderr
