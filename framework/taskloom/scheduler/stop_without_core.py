"""A stop of everything whose bookkeeping has failed: a bug of ours, or no memory, has left the core in doubt.

Every live run is requested to stop at once, without the order of dependencies. The stop ends when each has ended, or at
its deadline. The report names the runs whose threads are still alive.
"""

from __future__ import annotations

from math import inf

from taskloom.clock import mono
from taskloom.core.inputs import Shutdown
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment
from taskloom.core.policies import Otherwise
from taskloom.core.report import StopReport, Survivor, make_job_report
from taskloom.runners import Stack
from taskloom.scheduler.action_executor import ActionExecutor
from taskloom.scheduler.live_run import LiveRun

__all__ = ["StopWithoutCore"]

# How often it is checked whether runs have ended: their reports do not count here.
CHECK_SECONDS = 0.05
# A killed process is gone, and its end reported, within milliseconds.
KILL_SECONDS = 0.5


class StopWithoutCore:
    """One such stop, by the machine's clock: the one that a host has passed in may be what has failed.

    Only the scheduler thread uses it.
    """

    def __init__(self, executor: ActionExecutor, stop: Shutdown) -> None:
        self._executor = executor
        self._stop = stop
        self._begun = mono()
        self._deadline = self._begun + stop.within
        # When the runs that can be killed are killed; inf once that is done.
        self._kill_at = self._deadline - min(KILL_SECONDS, 0.1 * stop.within)
        for run in self._alive():
            executor.cancel_waves.add(run, stop.reason)

    def _alive(self) -> list[LiveRun]:
        """Return the runs whose body may still be executing, as their runners say."""
        runs = list(self._executor.live.values())
        return [run for run in runs if run.is_alive() and run.handle is not None and run.handle.is_alive()]

    def is_over(self) -> bool:
        """Return whether every run has ended or the deadline has passed. Kills what can be killed just before that."""
        if mono() >= self._kill_at:
            self._kill_at = inf
            for run in self._alive():
                if run.record.spec.join.kills:
                    self._executor.call_handle(run.id, "kill")
        return mono() >= self._deadline or not self._alive()

    def seconds_to_check(self) -> float:
        """Return after how many seconds to check again."""
        return min(CHECK_SECONDS, self._deadline - mono())

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
        place = run.record.whereabouts
        return Survivor(
            run.job,
            run.id,
            stack.where,
            "",
            run.poll_age(now),
            min(join.within, waited),
            waited,
            otherwise,
            host=place.host if place is not None else "",
        )
