"""Logs which runs a stop still waits for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from taskloom.runners import Stack
from taskloom.scheduler.live_run import LiveRun
from taskloom.text import first_of, measured

__all__ = ["log_not_terminated", "log_stop_progress"]

_log = logging.getLogger("taskloom.stop")


def log_stop_progress(found: Iterable[tuple[LiveRun, Stack]], more: int, now: float) -> None:
    """Log one line for each run, and how many more runs there are; called on a helper thread.

    A run that has ended since it was located is left out: a process may take a fifth of a second to say where it is.
    """
    for run, stack in found:
        if not run.is_alive():
            continue
        _log.warning("%s", _progress_of(run, stack.where, now), extra={"job": run.job, "run": run.id})
    if more:
        _log.warning("still stopping %d more %s", more, "run" if more == 1 else "runs")


def _progress_of(run: LiveRun, where: str, now: float) -> str:
    record = run.record
    elapsed = now - record.requested.mono if record.requested else 0.0
    left = record.overdue_at - now
    parts = [f"still stopping after {measured(elapsed)}"]
    parts.append("no deadline" if left == float("inf") else f"{measured(max(0.0, left))} left")
    age = run.poll_age(now)
    parts.append("polls not observed" if age is None else f"no poll for {measured(age)}")
    if where:
        parts.append(f"currently at {where}")
    return ", ".join(parts)


def log_not_terminated(runs: Sequence[str]) -> None:
    """Log the ended runs whose `terminate` could not be called before the scheduler ended."""
    _log.warning("terminate() not called, since all helper threads are busy with callbacks: %s", first_of(runs, 5))
