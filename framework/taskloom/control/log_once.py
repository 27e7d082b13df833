"""The log lines of the control server: each kind of trouble is logged once, however often clients cause it."""

from __future__ import annotations

from collections.abc import Callable

from taskloom.text import error_text, traceback_of

__all__ = ["Log", "LogOnce"]

Log = Callable[[str, str], object]
"""Takes a line and its level."""


class LogOnce:
    """Remembers what was logged. For the control thread alone; no method raises."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._keys: set[object] = set()

    def warn(self, line: str) -> None:
        """Log a warning, whether or not it was logged before."""
        self._write(line, "WARNING")

    def warn_once(self, key: object, line: str) -> None:
        """Log the line unless one with this key was logged."""
        self._once(key, line, "WARNING")

    def failure(self, what: str, error: BaseException) -> None:
        """Log the traceback of an exception once, however often it is raised at the same place."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        key = (type(error), place and (place.tb_frame.f_code, place.tb_lineno))
        if isinstance(error, MemoryError):
            self._once(key, f"{what} failed: {error_text(error)}", "ERROR")
        else:
            traceback = traceback_of(error, error.__traceback__)
            self._once(key, f"{what} failed, which is a bug in Taskloom; please report it\n{traceback}", "ERROR")

    def _once(self, key: object, line: str, level: str) -> None:
        if key not in self._keys:
            self._keys.add(key)
            self._write(line, level)

    def _write(self, line: str, level: str) -> None:
        try:
            self._log(line, level)
        except Exception:  # noqa: BLE001 - the log of a host program; the control goes on without it
            pass
