"""A stop of everything whose bookkeeping has failed: a bug of ours, or no memory, has left the core in doubt.

Every live run is requested to stop at once, without the order of dependencies. The stop ends when each has ended, or at
its deadline. Runs that can be killed are killed then, and the stop waits a little longer for them. The report names the
runs that are still alive.
"""

from __future__ import annotations

from taskloom.clock import mono
from taskloom.core.inputs import Shutdown
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment
from taskloom.core.policies import Otherwise
from taskloom.core.report import StopReport, Survivor, make_job_report
from taskloom.core.stopping import KILL_SECONDS
from taskloom.runners import Stack
from taskloom.scheduler.action_executor import ActionExecutor
from taskloom.scheduler.live_run import LiveRun

__all__ = ["StopWithoutCore"]

# How often it is checked whether runs have ended: their reports do not count here.
CHECK_SECONDS = 0.05


class StopWithoutCore:
    """One such stop, by the machine's clock: the one that a host has passed in may be what has failed.

    Only the scheduler thread uses it.
    """

    def __init__(self, executor: ActionExecutor, stop: Shutdown) -> None:
        self._executor = executor
        self._stop = stop
        self._begun = mono()
        self._deadline = self._begun + stop.within
        # The ids of the runs that were killed.
        self._killed: set[str] = set()
        for run in self._alive():
            executor.cancel_waves.add(run, stop.reason)

    def _alive(self) -> list[LiveRun]:
        """Return the runs whose body may still be executing, as their runners say."""
        runs = list(self._executor.live.values())
        return [run for run in runs if run.is_alive() and run.handle is not None and run.handle.is_alive()]

    def is_over(self) -> bool:
        """Return whether every run has ended or the deadline has passed. Kill what can be killed then."""
        alive, now = self._alive(), mono()
        if not alive or now < self._deadline:
            return not alive
        killable = [run for run in alive if run.record.spec.join.kills]
        for run in killable:
            self._kill(run)
        return not killable or now >= self._deadline + KILL_SECONDS

    def _kill(self, run: LiveRun) -> None:
        if run.id in self._killed:
            return
        self._killed.add(run.id)
        kill = getattr(run.handle, "kill", None)
        try:
            if kill is not None:
                kill()
        except Exception:  # noqa: BLE001 - the runner is foreign code, and it breaks its contract: the run is reported
            return

    def seconds_to_check(self) -> float:
        """Return after how many seconds to check again."""
        left = self._deadline - mono()
        return min(CHECK_SECONDS, left) if left > 0 else CHECK_SECONDS

    def report(self, core: Lifecycle, now: Moment) -> StopReport:
        """Return the report: what the core knows of the jobs, and which threads are alive."""
        alive = self._alive()
        for run in self._executor.live.values():
            if run not in alive:
                run.over.open()
        reports = []
        for job in core.jobs.values():
            try:
                reports.append(make_job_report(core, job, now))
            except Exception:  # noqa: BLE001 - this record is what the bug has broken
                continue
        places = dict(self._executor.stacks.places(alive))
        survivors = tuple(self._survivor(run, places.get(run, Stack("", "")), now.mono) for run in alive)
        return StopReport(self._stop.reason, mono() - self._begun, tuple(reports), survivors)

    def _survivor(self, run: LiveRun, stack: Stack, now: float) -> Survivor:
        join, waited = run.record.spec.join, mono() - self._begun
        otherwise = Otherwise.ABANDON if join.abandons else join.otherwise
        return Survivor(
            run.job, run.id, stack.where, "", run.poll_age(now), min(join.within, waited), waited, otherwise
        )
