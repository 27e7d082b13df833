"""The row of one start of the program."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskloom import __version__
from taskloom.history.model import StartInfo
from taskloom.history.queue import Rank, Row

__all__ = ["StartRow"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StartRow:
    """Makes the row again whenever something is written: it says when the program was last alive."""

    def __init__(self, start: StartInfo) -> None:
        self.start = start.start
        self._values: dict[str, Any] = {
            "since": start.since,
            "pid": start.pid,
            "host": platform.node(),
            "version": __version__,
            "paths": list(start.paths),
            "command": list(start.command),
            "boot_id": _boot_id(),
            "alive_at": start.since,
            "ended_at": None,
            "exit_code": None,
            "how": "running",
            "stop_reason": None,
            "report": None,
        }

    def alive(self, at: float) -> Row:
        """Return the row of the program, which is alive. `at`: seconds since the epoch."""
        return self._row(alive_at=at)

    def ended(self, at: float, report: Mapping[str, Any], exit_code: int) -> Row:
        """Return the row of the program, which ends."""
        reason = report.get("reason")
        if isinstance(reason, Mapping):
            reason = f"{reason.get('kind', '')}: {reason.get('text', '')}".removesuffix(": ")
        return self._row(
            alive_at=at,
            ended_at=at,
            exit_code=exit_code,
            how="ended",
            stop_reason=None if reason is None else str(reason),
            report=dict(report),
        )

    def _row(self, **changes: Any) -> Row:
        return Row(("starts", self.start), {**self._values, **changes}, Rank.ALIVE)


def _boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text().strip()
    except (OSError, ValueError):
        return None
