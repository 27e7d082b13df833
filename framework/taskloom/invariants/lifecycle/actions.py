"""I4, I8: each event has its action, and each action its event. I9: WorkFinished comes when the work is over."""

from __future__ import annotations

from taskloom.core import actions, inputs
from taskloom.invariants.lifecycle.model import Model

__all__ = ["ActionRules", "WorkFinishedRule"]


class ActionRules:
    """Checks the actions beside the events.

    `starts` and `cancels` count the events `queued` and `cancel_requested` of a step, less their actions.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.starts = self.cancels = 0
        self._released = ""
        """The run that this step released."""
        self._finished_shutdowns = 0

    def check_end(self) -> None:
        """Check that the shutdown finished once."""
        if self._finished_shutdowns != 1:
            self._model.report("I7", f"ShutdownFinished came {self._finished_shutdowns} times")

    def check_step(self) -> None:
        """Check that the step has every action and event that its input requires."""
        if self.starts or self.cancels:
            self._check_counts()
        message = self._model.message
        kind, run = type(message), str(getattr(message, "run", ""))
        if kind is inputs.RunEnded or kind is inputs.RunStartFailed:
            if self._released != run and not self._is_left(run):
                self._model.report("I8", f"{run} has ended, but no ReleaseRun came")
        elif kind is inputs.RunReleased and run in self._model.left:
            self._model.report("I8", f"nothing is left of {run}, but its job is still blocked")
        elif kind is inputs.RunStarted:
            found = self._model.event_rules.live.get(run)
            if found is not None and found.started is None and found.ended is None:
                self._model.report("I4", f"{found.run} has started, but no event came")
        self._released = ""

    def _is_left(self, run: str) -> bool:
        """Return whether an abandoned run was lost: it is released when nothing can be left of it."""
        return run in self._model.left and run in self._model.event_rules.live

    def _check_counts(self) -> None:
        for event, action, excess in (
            ("queued", "StartRun", self.starts),
            ("cancel_requested", "CancelRun", self.cancels),
        ):
            if excess:
                self._model.report("I4", f"{abs(excess)} {'more' if excess > 0 else 'fewer'} {event} than {action}")
        self.starts = self.cancels = 0

    def check_start_run(self, action: actions.StartRun) -> None:
        """Check that the run was just queued, with this declaration."""
        model = self._model
        self.starts -= 1
        run, job = model.event_rules.live.get(action.run), model.jobs.get(action.spec.name)
        if run is None or run.job != action.spec.name or run.started is not None or run.queued != model.now:
            model.report("I4", f"StartRun of {action.run}, which was not just queued")
        elif run.attempt != action.attempt or action.replica != action.spec.replica:
            model.report("I4", f"StartRun of {action.run} as attempt {action.attempt} of replica {action.replica}")
        if job is None or action.spec is not job.spec:
            model.report("I4", f"StartRun of {action.run} with another declaration than its job's")

    def check_cancel_run(self, action: actions.CancelRun) -> None:
        """Check that an event requested this cancel for the same reason."""
        self.cancels -= 1
        run = self._model.event_rules.live.get(action.run)
        reason = (action.reason.kind.value, action.reason.text)
        if run is None or run.cancel_requested != self._model.now or run.reason != reason:
            self._model.report("I4", f"CancelRun of {action.run} for {action.reason} does not match its event")

    def check_release_run(self, action: actions.ReleaseRun) -> None:
        """Check that the run has ended in this step."""
        self._released = action.run
        if action.run in self._model.event_rules.live:
            self._model.report("I8", f"ReleaseRun of {action.run}, which is live")
        message = self._model.message
        if action.run in self._model.left and not isinstance(message, inputs.RunEnded):
            self._model.end_left(action.run)  # it was abandoned, and lost later
            return
        if not isinstance(message, inputs.RunEnded | inputs.RunStartFailed) or message.run != action.run:
            self._model.report("I8", f"ReleaseRun of {action.run}, which no runner reported as ended")

    def check_shutdown_finished(self, action: actions.ShutdownFinished) -> None:
        """Check that an event finished the shutdown too."""
        self._finished_shutdowns += 1
        if self._model.event_rules.stopped != self._model.now:
            self._model.report("I7", "ShutdownFinished without scheduler_stopped")


class WorkFinishedRule:
    """Checks that WorkFinished comes once, when nothing keeps the program alive any more.

    It counts the active jobs: those that have a run or will start one without a command.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._active = {False: 0, True: 0}
        """Number of active jobs by whether they are daemons."""
        self._counted: dict[str, bool] = {}
        """The active jobs, and whether each is a daemon."""
        self._was_finished = True
        self._found = 0
        """How often WorkFinished came in this step."""

    def record(self, action: actions.WorkFinished) -> None:
        """Count the action."""
        self._found += 1

    def _update(self, name: str) -> None:
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

    def count_changes(self) -> None:
        """Count the jobs that this step has made active or inactive."""
        for name in self._model.changed:
            self._update(name)

    def check_step(self) -> None:
        """Check that the action came if, and only if, the work finished in this step."""
        is_finished = self._active[False] == 0 and (self._model.had_non_daemon or self._active[True] == 0)
        is_finished = is_finished or self._model.has_essential_failed
        expected = int(is_finished and not self._was_finished)
        self._was_finished = is_finished
        found, self._found = self._found, 0
        if found != expected:
            self._model.report("I9", f"WorkFinished came {found} times, expected {expected}")
