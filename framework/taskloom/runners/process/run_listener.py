"""Takes over what runs in processes report beside the reports of a runner, to pass it on elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskloom.runners.process.log_thread import LogEntry
    from taskloom.runners.wire import Up

__all__ = ["RunListener"]


class RunListener(Protocol):
    """Is told about all runs of one ProcessRunner. No method may block or raise: other runs would wait for it."""

    def worker_said(self, run: str, message: Up) -> None:
        """Called on the IO thread with each message of a worker but Logged, after the run has taken it."""

    def logged(self, run: str, entry: LogEntry) -> None:
        """Called on the log thread with each log record and each line of output, in place of `logging`."""
