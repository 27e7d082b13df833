"""Where runs stand: one look at all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskloom.live import LiveRun
from taskloom.runners import Runner, Stack

__all__ = ["look"]


def look(runners: Mapping[str, Runner], runs: Iterable[LiveRun], texts: int) -> list[tuple[LiveRun, Stack]]:
    """Say where the runs stand that began, in one look per runner; whole texts for the first `texts` of each."""
    by_runner: dict[str, list[LiveRun]] = {}
    for run in runs:
        if run.handle is not None:
            by_runner.setdefault(run.runner_name, []).append(run)
    found: list[tuple[LiveRun, Stack]] = []
    for name, group in by_runner.items():
        handles = [run.handle for run in group if run.handle is not None]
        stacks = runners[name].stacks(handles, texts)
        found.extend(zip(group, stacks, strict=True))
    return found
