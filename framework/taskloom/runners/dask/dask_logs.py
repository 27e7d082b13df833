"""The log lines of Dask: a few of its warnings reach the program's log, attributed to it, in one line each.

Importing `distributed` gives its loggers handlers that write to standard error, with tracebacks of losses that the
runner itself reports. A program that has imported it before has decided about them, and nothing is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from taskloom.clock import mono
from taskloom.text import plural

__all__ = ["DASK_LOGS", "DaskLogs", "attributed_logs"]

_NAMES = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application", "bokeh")
# At most this number of lines is passed on in a window of that many seconds.
_WINDOW_SECONDS = 60.0
_MOST_LINES = 5
_LONGEST_LINE = 300


Put = Callable[[Callable[[], object]], object]
"""Has a function called soon, on a thread of its own."""


class DaskLogs(logging.Handler):
    """Passes warnings on to the logger `taskloom.dask`, at most five a minute; what was left out is counted."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        # One for each connected cluster. Any of them can log.
        self._puts: list[Put] = []
        self._logger = logging.getLogger("taskloom.dask")
        self._window = -_WINDOW_SECONDS
        self._passed = 0
        self._left_out = 0

    def use(self, put: Put) -> None:
        """Have lines logged by `put`, on a thread that a handler of the program may hold up. Idempotent.

        Without any, a line is logged on the thread on which it was written.
        """
        if put not in self._puts:
            self._puts.append(put)

    def leave(self, put: Put) -> None:
        """Use this one no more. Idempotent."""
        with suppress(ValueError):
            self._puts.remove(put)

    def handle(self, record: logging.LogRecord) -> bool:
        """Pass the record on, without the lock of a handler: the handlers of the program do what they like."""
        try:
            self.pass_on(record.getMessage())
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Do the same."""
        self.handle(record)

    def pass_on(self, text: str) -> None:
        """Log one line of Dask, unless there were many."""
        now = mono()
        if now - self._window >= _WINDOW_SECONDS:
            left_out, self._left_out = self._left_out, 0
            self._window, self._passed = now, 0
            if left_out:
                self._warn(f"{plural(left_out, 'more warning')} left out")
        self._passed += 1
        if self._passed > _MOST_LINES:
            self._left_out += 1
            return
        line = " ".join(text.split())
        self._warn(line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}...")

    def _warn(self, text: str) -> None:
        warn = partial(self._logger.warning, "Dask: %s", text)
        for put in self._puts[-1:]:
            put(warn)
            return
        warn()


DASK_LOGS = DaskLogs()
"""The only one, since the loggers of Dask are shared by all clusters of the program."""


@contextmanager
def attributed_logs(handler: logging.Handler, *, is_imported: bool) -> Iterator[None]:
    """Have the handler take the place of those that an import of `distributed` in the block adds."""
    before = {name: list(logging.getLogger(name).handlers) for name in _NAMES}
    yield
    if is_imported:
        return
    for name, handlers in before.items():
        logger = logging.getLogger(name)
        added = [one for one in logger.handlers if one not in handlers]
        for one in added:
            logger.removeHandler(one)
        if added or name == "distributed":
            logger.addHandler(handler)
            logger.propagate = False
            logger.setLevel(logging.WARNING)
