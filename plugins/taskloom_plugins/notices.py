"""Warnings that a hostile or broken peer cannot turn into a flood."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["EVERY_SECONDS", "Notices"]

EVERY_SECONDS = 10.0
"""At most one warning of a kind in so many seconds; the next one says how many were held back."""


class Notices:
    """Logs at most one warning of each kind per `EVERY_SECONDS`."""

    def __init__(self, log: logging.LoggerAdapter[logging.Logger], clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._quiet_until: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def warn(self, kind: str, message: str, *args: object) -> None:
        """Log the warning, unless one of its kind was logged a moment ago: then only count it."""
        now = self._clock()
        if now < self._quiet_until.get(kind, now):
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return
        self._quiet_until[kind] = now + EVERY_SECONDS
        held_back = self._held_back.pop(kind, 0)
        more = f" (and {held_back} more of these before)" if held_back else ""
        self._log.warning(message + "%s", *args, more)

    def close(self) -> None:
        """Say how many were held back since the last one of each kind."""
        for kind, held_back in sorted(self._held_back.items()):
            self._log.warning("%d more warnings like the last one about %s", held_back, kind)
        self._held_back.clear()
