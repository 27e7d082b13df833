"""Tells the runs that a reload keeps that the job files were read again: a program may want a signal then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskloom.core.reload import Change, ReloadAction
from taskloom.scheduler.live_run import LiveRun

__all__ = ["tell_kept_runs"]

_KEEPING = frozenset({ReloadAction.KEEP, ReloadAction.APPLY})


def tell_kept_runs(runs: Iterable[LiveRun], changes: Sequence[Change]) -> None:
    """Call `reload` of the handle of each run in a process whose job the reload keeps. Never blocks."""
    kept: set[str] | None = None
    for run in runs:
        if not run.is_in_process or not run.is_alive() or run.token.is_requested:
            continue
        if kept is None:
            kept = {change.job for change in changes if change.action in _KEEPING}
        tell = getattr(run.handle, "reload", None)
        if run.job in kept and tell is not None:
            tell()
