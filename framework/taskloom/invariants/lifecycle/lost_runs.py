"""I3, I8: a lost run blocks its job until nothing of it can be left; the marks on runs that execute elsewhere."""

from __future__ import annotations

from taskloom.core import inputs
from taskloom.core.model import How
from taskloom.invariants.event_rules import Fact, RunFacts
from taskloom.invariants.lifecycle.changeovers import Changeovers
from taskloom.invariants.lifecycle.instants import WallInstant
from taskloom.invariants.lifecycle.model import Between, JobModel, Model
from taskloom.invariants.lifecycle.run_ends import RunEnds

__all__ = ["LostRuns"]

RELEASE = "the release of a lost run"
LONGEST_SECONDS = 86400.0


class LostRuns:
    """All runs that a runner has lost and that may still be executing, and the runs elsewhere."""

    def __init__(self, model: Model, run_ends: RunEnds, changeovers: Changeovers) -> None:
        self._model = model
        self._run_ends = run_ends
        self._changeovers = changeovers
        self._heard: dict[str, float] = {}
        """When each unreachable run was last heard of, in monotonic seconds."""

    # -- reports

    def note_end(self, report: inputs.RunEnded) -> None:
        """Note that something may be left of a run that has ended: its job is blocked, or its abandoned run lives on.

        `_lose` reads its end, if it was not abandoned.
        """
        model = self._model
        self._heard.pop(report.run, None)
        if report.how is How.LOST and report.stopped_by > model.now and report.run in model.event_rules.live:
            until = min(report.stopped_by, model.now + LONGEST_SECONDS)
            model.left[report.run] = until
            model.deadlines.set((RELEASE, report.run), until)

    def expect_placed(self, report: inputs.RunPlaced) -> None:
        """Expect the event of the first place, and of the first one with a process."""
        run = self._live(report.run)
        if run is not None and (not run.places or (report.whereabouts.pid and not run.is_process_known)):
            self._model.expect("placed", report.run, **report.whereabouts._asdict())

    def expect_unreachable(self, report: inputs.RunUnreachable) -> None:
        """Expect the event, unless the run is unreachable already."""
        run, model = self._live(report.run), self._model
        if run is not None and run.unreachable is None:
            self._heard[report.run] = report.since
            model.expect("unreachable", report.run, since=WallInstant(model.wall + report.since - model.now))

    def expect_reachable(self, report: inputs.RunReachable) -> None:
        """Expect the event if the run was unreachable."""
        run = self._live(report.run)
        if run is not None and run.unreachable is not None:
            seconds = self._model.now - self._heard.pop(report.run)
            self._model.expect("reachable", report.run, seconds=Between(seconds, seconds))

    def _live(self, name: str) -> RunFacts | None:
        run = self._model.event_rules.live.get(name)
        return run if run is not None and run.ended is None else None

    # -- events

    def lose(self, job: JobModel, run: RunFacts) -> None:
        """Expect that the job of a run that has just ended as lost is blocked."""
        model = self._model
        self._run_ends.keep(job, run)
        until = model.wall + model.left[run.run] - model.now
        model.expect("blocked", run.run, until=WallInstant(until))

    def check_release(self, job: JobModel, run: RunFacts, fact: Fact) -> None:
        """Check when and why a lost run is released, and expect what follows."""
        is_confirmed = self._model.end_left(run.run)
        if fact.data.get("confirmed") is not is_confirmed:
            self._model.report("I8", f"{run.run} was released, and it is wrong whether that is confirmed")
        self._run_ends.exit_late(job, run)
        self._changeovers.release(run.run)
