"""I12: what a reload adds begins when the runs that it stopped have ended or are overdue, and an event says so."""

from __future__ import annotations

from collections.abc import Collection

from taskloom.invariants.lifecycle.model import Changeover, JobModel, Model, Wait
from taskloom.invariants.lifecycle.starts import Starts

__all__ = ["Changeovers"]


class Changeovers:
    """The jobs that wait for the end of runs that a reload stopped."""

    def __init__(self, model: Model, starts: Starts) -> None:
        self._model = model
        self._starts = starts
        self._pending: list[Changeover] = []

    def begin(self, added: Collection[str], starting: Collection[str], ending: Collection[str]) -> None:
        """Have the added jobs wait, of which those in `starting` start by themselves.

        `ending`: the jobs whose runs the reload ends.
        """
        model = self._model
        awaited, outlived = [], []
        for name, job in model.jobs.items():
            run = job.run
            if run is None or not (name in ending or self._was_stopped_by_reload(job)):
                continue
            if job.is_lost or (run.outcome is None and (run.overdue is None or run.is_killed)):
                awaited.append(run.run)
            elif name in ending:
                outlived.append(run.run)
        if awaited:
            changeover = Changeover(dict.fromkeys(awaited), outlived)
            self._pending.append(changeover)
            for name in added:
                if model.jobs[name].run is None:
                    model.jobs[name].changeover = changeover
                    changeover.jobs.append(model.jobs[name])
            if starting:
                model.expect("reload_waiting", "", jobs=[*starting], runs=awaited)
        elif outlived and starting:
            model.expect("reload_overdue", "", jobs=[*starting], runs=outlived)

    def _was_stopped_by_reload(self, job: JobModel) -> bool:
        run = job.run
        if run is None:
            return False
        is_awaited = any(run.run in changeover.awaited for changeover in self._pending if changeover.jobs)
        return is_awaited or (run.reason is not None and run.reason[0] == "reload")

    def release(self, run: str) -> None:
        """Expect that the jobs begin whose last awaited run has ended or is overdue, unless everything stops now."""
        model = self._model
        for changeover in [changeover for changeover in self._pending if run in changeover.awaited]:
            del changeover.awaited[run]
            if run in model.event_rules.live:
                changeover.outlived.append(run)
            if not changeover.awaited:
                self._pending.remove(changeover)
                self._open(changeover)

    def _open(self, changeover: Changeover) -> None:
        model = self._model
        if not model.may_start_runs or model.is_expected("scheduler_stopping"):
            return
        waiting = [job for job in changeover.jobs if job.changeover is changeover and job.wait is Wait.REMOVAL]
        alive = [run for run in changeover.outlived if run in model.event_rules.live]
        if waiting and alive:
            model.expect("reload_overdue", "", jobs=[job.spec.name for job in waiting], runs=alive)
        for job in waiting:
            self._starts.end_removal_wait(job)
