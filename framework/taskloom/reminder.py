"""Says who is still awaited while a stop goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom.handles import Run
    from taskloom.shell import Shell

__all__ = ["remind"]

_log = logging.getLogger("taskloom.stop")


def remind(shell: Shell, runs: list[Run], more: int) -> None:
    """Log a line for each run, and how many more there are; called on a helper thread."""
    now = shell.now().mono
    for run, stack in shell.look([run for run in runs if run.is_alive()], texts=0):
        _log.warning("%s", _sentence(run, stack.where, now), extra={"job": run.job, "run": run.id})
    if more:
        _log.warning("still stopping: and %d more", more)


def _sentence(run: Run, where: str, now: float) -> str:
    record = run.record
    elapsed = now - record.asked.mono if record.asked else 0.0
    left = record.overdue_at - now
    parts = [f"still stopping after {elapsed:.1f} s"]
    parts.append("no deadline" if left == float("inf") else f"{max(0.0, left):.1f} s left")
    age = run.poll_age(now)
    parts.append("polls unobserved" if age is None else f"polled {age:.1f} s ago")
    if where:
        parts.append(f"at {where}")
    return ", ".join(parts)
