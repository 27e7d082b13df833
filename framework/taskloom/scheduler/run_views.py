"""Views of the runs that have not ended: without the core, so a busy scheduler delays nothing.

Every function raises SchedulerForked in a forked child.
"""

from __future__ import annotations

from taskloom.runners import ProcessInfo, Stack
from taskloom.scheduler.engine import Engine
from taskloom.scheduler.handles import Run
from taskloom.scheduler.live_run import LiveRun, RunGauges, run_gauges

__all__ = ["gauges", "places", "processes", "stacks"]


def stacks(engine: Engine, timeout: float | None) -> list[tuple[Run, Stack]]:
    """Return where each run that may be executing is; waits at most `timeout` seconds for the texts."""
    live, reader = _live(engine), engine.executor.stacks
    found = reader.locate(live) if timeout is None else reader.locate_within(live, timeout)
    return [(Run(run, engine), stack) for run, stack in found]


def places(engine: Engine) -> list[tuple[Run, str]]:
    """Return each run that has not ended, and where it is; "" if that is not known."""
    live = [run for run in _live(engine) if not run.over.is_open]
    where = {run: stack.where for run, stack in engine.executor.stacks.places(live)}
    return [(Run(run, engine), where.get(run, "")) for run in live]


def gauges(engine: Engine) -> list[RunGauges]:
    """Return what each run that has not ended has counted and reported, and when it last polled."""
    live = _live(engine)
    now = engine.clock.now().mono
    return [RunGauges(run.id, run.last_polled(now), run_gauges(run)) for run in live if not run.over.is_open]


def processes(engine: Engine) -> list[tuple[Run, ProcessInfo]]:
    """Return each run that is in a process of its own, and its processes as /proc shows them."""
    live = [run for run in _live(engine) if run.is_in_process]
    if not live:
        return []
    from taskloom.scheduler.process_reads import read_processes

    found = read_processes(live)
    return [(Run(run, engine), found[run.id]) for run in live if run.id in found]


def _live(engine: Engine) -> list[LiveRun]:
    engine.check_process()
    # A copy, made in one call: the scheduler's thread adds and removes runs.
    return list(engine.executor.live.values())
