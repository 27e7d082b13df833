"""Log lines about a cluster, written on the thread for logs: a handler of the program may block."""

from __future__ import annotations

import logging
from collections.abc import Callable

from taskloom.runners.process.log_thread import LogThread, RunLog

__all__ = ["ClusterLog"]

_LOGGER = "taskloom.dask"


class ClusterLog:
    """Writes on the thread for the logs of one cluster. Any thread may call it; never blocks."""

    def __init__(self, logs: LogThread) -> None:
        self._logs = logs
        self._tag = RunLog(logs, "", "", lambda: None)

    def warn(self, text: str, *values: object) -> None:
        """Log a warning: a format and its values."""
        self.put(lambda: logging.getLogger(_LOGGER).warning(text, *values))

    def inform(self, text: str, *values: object) -> None:
        """Log a line that is no warning."""
        self.put(lambda: logging.getLogger(_LOGGER).info(text, *values))

    def put(self, log: Callable[[], object]) -> None:
        """Have the function called on the thread."""
        self._logs.put(self._tag, log)
