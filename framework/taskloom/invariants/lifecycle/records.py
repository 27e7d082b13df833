"""I10, for a schedule that catches up: its instant is recorded before its run starts, and starts no second run.

The run starts when the answer comes, and is marked if that is not a record; without an answer it starts after a second.
"""

from __future__ import annotations

from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.events import format_wall
from taskloom.invariants.event_rules import Fact
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.invariants.lifecycle.model import EPSILON_SECONDS, FollowUp, JobModel, Model, Wait
from taskloom.invariants.lifecycle.restarts import Restarts
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.text import duration

__all__ = ["Records"]

RECORD_SECONDS = 1.0
END_OF_WAIT = "the run that waits for its record"


class Records:
    """The jobs that wait for the record of an instant."""

    def __init__(self, model: Model, schedules: Schedules, restarts: Restarts) -> None:
        self._model = model
        self._restarts = restarts
        self._schedules = schedules
        self._due: ExpectedDeadlines[str] = ExpectedDeadlines()

    def check_action(self, action: actions.RecordInstant) -> None:
        """Check that an instant has come for which a run is to start."""
        model, name = self._model, action.job
        job = model.jobs.get(name)
        if job is None or not model.may_start_runs:
            model.report("I10", f"an instant of {name} is recorded, but nothing starts")
            return
        if not model.fulfil_action("RecordInstant", name):
            self._check_cause(job)
        if job.wait is Wait.BACKOFF:
            self._restarts.cancel(job)
        job.wait_for(Wait.RECORD)
        job.recorded, job.follow_up = action.instant, FollowUp.POLICY
        model.mark_changed(name)
        self._due.set(name, model.now + RECORD_SECONDS)
        model.deadlines.set((END_OF_WAIT, name), model.now + RECORD_SECONDS)

    def _check_cause(self, job: JobModel) -> None:
        model, name = self._model, job.spec.name
        if model.is_tick and self._schedules.is_open(name):
            self._schedules.handle_instant(job)
        if not model.fulfil_action("RecordInstant", name) and not self._schedules.may_explain_record(job):
            model.report("I2", f"an instant of {name} is recorded without a cause")

    def answer(self, report: inputs.InstantRecorded) -> None:
        """Expect the run, unless the job waits for another record or for none."""
        job = self._model.jobs.get(report.job)
        if job is not None and job.wait is Wait.RECORD and job.recorded == report.instant:
            self._expect_run(job, is_recorded=report.is_recorded)

    def explain(self, job: JobModel) -> None:
        """Expect the run of a job whose record has not come in time; called for its event in a tick."""
        due = self._due.due_of(job.spec.name)
        if due is None or due > self._model.now + EPSILON_SECONDS:
            self._model.report("I10", f"{job.spec.name} starts before its instant is recorded, due {due}")
        self._expect_run(job, is_recorded=False)

    def _expect_run(self, job: JobModel, *, is_recorded: bool) -> None:
        told: dict[str, Any] = {"instant": format_wall(job.recorded)}
        if not is_recorded:
            told["unrecorded"] = True
        self._model.expect("queued", job.spec.name, attempt=1, **told)

    def drop(self, job: JobModel) -> None:
        """Forget the record that the job waited for."""
        self._due.drop(job.spec.name)
        self._model.deadlines.drop((END_OF_WAIT, job.spec.name))

    def miss(self, job: JobModel, why: str) -> None:
        """Expect that the instant is missed, if the job waits for its record."""
        if job.wait is Wait.RECORD:
            self.drop(job)
            self._model.expect("missed", job.spec.name, count=1, why=why, instant=format_wall(job.recorded))

    def check_queued(self, job: JobModel, fact: Fact) -> None:
        """Check that the run is the first for its instant, unless that has come again since the clock was set back.

        An interval goes on without regard to the clock, and the clock may show its instants again. For a calendar the
        schedules know when that is so.
        """
        model, schedule, instant = self._model, job.spec.schedule, fact.data.get("instant")
        if not job.catches_up or schedule is None or instant is None:
            return
        if schedule.every is not None:
            if job.times_set_back != model.times_set_back:
                job.begun_instants.clear()
            if job.recorded > model.wall + EPSILON_SECONDS:
                return  # the clock was set back while the firing waited
        job.times_set_back = model.times_set_back
        if instant in job.begun_instants:
            model.report("I10", f"{fact.run} at {duration(model.now)} is a second run for {instant}")
        job.begun_instants.add(instant)
