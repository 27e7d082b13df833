"""Warnings about peers, limited so that a hostile or broken peer cannot flood the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["INTERVAL_SECONDS", "Notices"]

INTERVAL_SECONDS = 10.0
"""At most one warning of a kind is logged in this time; the next one has the number of those left out."""


class Notices:
    """Logs at most one warning of each kind per `INTERVAL_SECONDS`."""

    def __init__(self, log: logging.LoggerAdapter[logging.Logger], clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._quiet_until: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def warn(self, kind: str, message: str, *args: object) -> None:
        """Log the warning, or only count it if one of its kind was logged within `INTERVAL_SECONDS`."""
        now = self._clock()
        if now < self._quiet_until.get(kind, now):
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        self._quiet_until[kind] = now + INTERVAL_SECONDS
        suppressed = self._suppressed.pop(kind, 0)
        more = f" (and {suppressed} more that were not logged)" if suppressed else ""
        self._log.warning(message + "%s", *args, more)

    def close(self) -> None:
        """Log how many warnings of each kind were left out since the last one."""
        for kind, suppressed in sorted(self._suppressed.items()):
            self._log.warning("%d more warnings about %s were not logged", suppressed, kind)
        self._suppressed.clear()
