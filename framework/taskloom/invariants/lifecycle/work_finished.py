"""I9: WorkFinished comes once, when nothing keeps the program alive any more."""

from __future__ import annotations

from taskloom.core import actions
from taskloom.invariants.lifecycle.model import Model

__all__ = ["WorkFinishedRule"]


class WorkFinishedRule:
    """Counts the active jobs: those that have a run or will start one without a command."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._active = {False: 0, True: 0}
        """Number of active jobs by whether they are daemons."""
        self._counted: dict[str, bool] = {}
        """The active jobs, and whether each is a daemon."""
        self._was_finished = True
        self._found = 0
        """How often WorkFinished came in this step."""
        self.has_essential_failed = False
        """An essential job failed for good, which began a shutdown: that finishes the work at once."""

    def record(self, action: actions.WorkFinished) -> None:
        """Count the action."""
        self._found += 1

    def _update(self, name: str) -> None:
        """Count the job in its present state."""
        job, before = self._model.jobs.get(name), self._counted.get(name)
        now = job.spec.daemon if job is not None and job.is_active else None
        if now is before:
            return
        if before is not None:
            self._active[before] -= 1
            del self._counted[name]
        if now is not None:
            self._counted[name] = now
            self._active[now] += 1
            self._model.had_non_daemon = self._model.had_non_daemon or not now

    def check_step(self) -> None:
        """Check that the action came if, and only if, the work finished in this step."""
        for name in self._model.changed:
            self._update(name)
        is_finished = self._active[False] == 0 and (self._model.had_non_daemon or self._active[True] == 0)
        is_finished = is_finished or self.has_essential_failed
        expected = int(is_finished and not self._was_finished)
        self._was_finished = is_finished
        found, self._found = self._found, 0
        if found != expected:
            self._model.report("I9", f"WorkFinished came {found} times, expected {expected}")
