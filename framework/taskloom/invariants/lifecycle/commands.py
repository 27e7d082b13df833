"""The events that a command makes expected, and the commands that are refused."""

from __future__ import annotations

from taskloom.core import inputs
from taskloom.core.model import Hold, Reason
from taskloom.errors import DependencyUnmet, SchedulerStopped, UsageError
from taskloom.invariants.lifecycle.holds import check_refused_hold
from taskloom.invariants.lifecycle.model import FollowUp, JobModel, Model, Wait
from taskloom.invariants.lifecycle.records import Records
from taskloom.invariants.lifecycle.restarts import Restarts
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.invariants.lifecycle.starts import SATISFIED, Starts, dependency_state

__all__ = ["Commands", "check_refusal"]


class Commands:
    """Reads the commands about jobs; a reload, which changes many, has a class of its own."""

    def __init__(
        self, model: Model, starts: Starts, schedules: Schedules, restarts: Restarts, records: Records
    ) -> None:
        self._model = model
        self._records = records
        self._starts = starts
        self._schedules = schedules
        self._restarts = restarts

    def add(self, command: inputs.AddJob) -> None:
        """Add the job to the model."""
        self.add_all(inputs.AddJobs((command.spec,)))

    def add_all(self, command: inputs.AddJobs) -> None:
        """Add the jobs to the model."""
        for spec in command.specs:
            self._model.mark_changed(self._model.declare(spec).spec.name)

    def start_all(self, command: inputs.StartAll) -> None:
        """Arm every job that starts automatically."""
        self._model.has_started = True
        for job in list(self._model.jobs.values()):
            if job.is_auto_start:
                self._starts.arm(job)

    def start(self, command: inputs.StartJob) -> None:
        """Expect a run now; without `is_now` the dependencies must be satisfied."""
        job = self._model.jobs[command.job]
        job.holds.pop(Hold.STOPPED, None)
        if not command.is_now and job.awaits_removal:
            self._model.report("I12", f"job {command.job} was started before what a reload removed had ended")
        if not command.is_now and dependency_state(self._model, job) != SATISFIED:
            self._model.report("I11", f"job {command.job} was started before its dependencies were satisfied")
        self._start_now(job, command.reason)

    def _start_now(self, job: JobModel, reason: Reason | None = None) -> None:
        self._records.miss(job, "overlap")
        told = (reason.kind.value, reason.text) if reason is not None else None
        self._model.expect("queued", job.spec.name, attempt=1, reason=told)
        self._schedules.rearm(job)

    def arm(self, command: inputs.ArmJob) -> None:
        """Arm the job, unless it is active."""
        job = self._model.jobs[command.job]
        job.holds.pop(Hold.STOPPED, None)
        if not job.is_active:
            self._starts.arm(job)

    def restart(self, command: inputs.RestartJob) -> None:
        """Expect a run: now, or at once after the present one, which is cancelled."""
        job = self._model.jobs[command.job]
        if job.is_blocked or not job.spec.enabled:
            self._model.report("I9", f"job {command.job} was restarted, but is blocked or disabled")
        if job.run is None:
            self.start(inputs.StartJob(command.job, command.is_now, command.reason))
            return
        job.holds.pop(Hold.STOPPED, None)
        if job.follow_up is not FollowUp.REMOVAL:
            job.follow_up = FollowUp.RESTART
            self._schedules.rearm(job)
        self._expect_cancel(job, command.reason)

    def reset(self, command: inputs.ResetJob) -> None:
        """Expect that the failures are forgotten, and the run that they delayed or prevented."""
        model, job = self._model, self._model.jobs[command.job]
        had_given_up = job.has_given_up
        self._restarts.forget(job, (command.reason.kind.value, command.reason.text))
        model.mark_changed(command.job)
        if job.follow_up is FollowUp.REMOVAL or not job.spec.enabled or job.is_stopped:
            return
        if job.is_blocked and (had_given_up or job.follow_up is FollowUp.RETRY):
            job.follow_up = FollowUp.RESTART
            self._starts.expect_waking([job])
        elif job.end_state == "finished" and had_given_up:
            if dependency_state(model, job) == SATISFIED:
                job.wait_for(Wait.COMMAND)
                self._start_now(job)
            else:
                self._starts.arm(job)
            self._starts.expect_waking([job])

    def stop(self, command: inputs.StopJob) -> None:
        """Expect the stop of the job, or only the cancel of one run."""
        if command.run is not None and command.job not in self._model.jobs:
            return  # the run of a job that was removed since
        job = self._model.jobs[command.job]
        if command.run is None:
            if self._model.may_start_runs:
                job.holds.setdefault(Hold.STOPPED, (command.reason.kind.value, command.reason.text))
            self.stop_job(job, command.reason)
        elif job.run is not None and job.run.run == command.run:
            # A queued firing is kept: this command stops one run, not the schedule.
            if job.follow_up not in (FollowUp.REMOVAL, FollowUp.FIRING):
                job.follow_up = FollowUp.NOTHING
            self._expect_cancel(job, command.reason)
            self._model.mark_changed(command.job)

    def stop_job(self, job: JobModel, reason: Reason) -> None:
        """Expect that nothing pending starts any more and that the live run is cancelled."""
        self._schedules.disarm(job)
        if job.follow_up is not FollowUp.REMOVAL:
            job.follow_up = FollowUp.NOTHING
        if job.is_pending:
            self.skip(job, (reason.kind.value, reason.text))
        self._expect_cancel(job, reason)
        self._model.mark_changed(job.spec.name)

    def skip(self, job: JobModel, reason: tuple[str, str] | None) -> None:
        """Expect that a pending job is skipped."""
        self._records.miss(job, "stopping")
        self.cancel_waits(job)
        job.finish("skipped" if job.last_run is None else "finished")
        self._model.expect("skipped", job.spec.name, reason=reason)

    def miss_recorded(self, job: JobModel) -> None:
        """Expect that the instant is missed whose record the job waits for; it then waits for its next firing."""
        self._records.miss(job, "stopping")
        job.wait_for(Wait.FIRING)

    def _expect_cancel(self, job: JobModel, reason: Reason) -> None:
        if job.is_running and job.run is not None:
            self._model.expect("cancel_requested", job.run.run, reason=(reason.kind.value, reason.text))

    def cancel_waits(self, job: JobModel) -> None:
        """Drop the delay or the restart that the job waits for."""
        if job.wait is Wait.DELAY:
            self._starts.cancel_delay(job)
        elif job.wait is Wait.BACKOFF:
            self._restarts.cancel(job)
        elif job.wait is Wait.RECORD:
            self._records.drop(job)


def check_refusal(model: Model, command: inputs.Input, error: UsageError) -> None:
    """I9: report a command that was refused without a reason of its own."""
    if isinstance(error, SchedulerStopped) and model.may_start_runs:
        model.report("I9", f"refused because the scheduler was stopped, but it was not: {command}")
    if isinstance(command, inputs.PauseJob | inputs.ResumeJob):
        check_refused_hold(model, command, error)
    if not model.may_start_runs or not isinstance(command, inputs.StartJob | inputs.ArmJob | inputs.RestartJob):
        return
    job = model.jobs.get(command.job)
    if job is None or not job.spec.enabled or job.end_state == "disabled":
        return
    if isinstance(error, DependencyUnmet):
        is_now = command.is_now if isinstance(command, inputs.StartJob | inputs.RestartJob) else True
        is_satisfied = dependency_state(model, job) == SATISFIED and not job.awaits_removal
        if is_now or job.run is not None or is_satisfied:
            model.report("I11", f"a start was refused without a reason: {error}")
    elif job.run is None or (isinstance(command, inputs.RestartJob) and not job.is_blocked):
        model.report("I9", f"a start was refused without a reason: {error}")
