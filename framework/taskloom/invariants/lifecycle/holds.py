"""I13: a user holds a job back: each firing of a paused job is missed, and nothing but a user starts a stopped one."""

from __future__ import annotations

from taskloom.core import inputs
from taskloom.core.model import Hold, Reason
from taskloom.core.policies import WatchdogThen
from taskloom.errors import DependencyUnmet, NotScheduled, UsageError
from taskloom.invariants.lifecycle.instants import may_be_overtaken
from taskloom.invariants.lifecycle.model import FollowUp, JobModel, Model, Wait
from taskloom.invariants.lifecycle.records import Records
from taskloom.invariants.lifecycle.run_ends import RunEnds, has_failed
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.invariants.lifecycle.starts import SATISFIED, dependency_state

__all__ = ["Holds", "check_refused_hold"]


class Holds:
    """Begins and ends the holds of all jobs."""

    def __init__(self, model: Model, schedules: Schedules, run_ends: RunEnds, records: Records) -> None:
        self._model = model
        self._records = records
        self._schedules = schedules
        self._run_ends = run_ends

    # -- commands

    def pause(self, command: inputs.PauseJob) -> None:
        """Expect the event, unless the job is paused. A firing that waits for the end of the run is missed."""
        model, job = self._model, self._model.jobs[command.job]
        if job.spec.schedule is None:
            model.report("I13", f"job {command.job} was paused, but has no schedule")
        if job.is_paused:
            return
        self._note_unseen_firing(job)
        self._begin_pause(job, _told(command.reason))
        if job.follow_up is FollowUp.FIRING:
            model.expect("missed", command.job, count=1, why="paused")
            job.follow_up = _follow_up_without_firing(job)
            if job.is_blocked and job.run is not None:
                job.has_failed = job.has_given_up or has_failed(job.run)
            self._run_ends.expect_essential_shutdown(job)
        elif job.wait is Wait.RECORD:
            self._records.miss(job, "paused")
            job.wait_for(Wait.FIRING)
            if job.instant is None:
                self._schedules.finish_exhausted(job)
        model.mark_changed(command.job)

    def resume(self, command: inputs.ResumeJob) -> None:
        """Expect the event, and that the schedule of a stopped job is armed, but no run."""
        model, job = self._model, self._model.jobs[command.job]
        if job.spec.schedule is None:
            model.report("I13", f"job {command.job} was resumed, but has no schedule")
        if not job.holds:
            return
        was_stopped = job.is_stopped
        if not was_stopped:
            self._miss_passed(job)
            if model.is_expected("scheduler_stopping"):
                return
        model.expect("resumed", command.job, reason=_told(command.reason))
        job.holds.clear()
        if was_stopped and (model.has_started or not job.is_auto_start):
            self._arm(job)

    # -- reloads

    def of_families(self) -> dict[str, dict[Hold, tuple[str, str]]]:
        """Return the holds that all jobs of a declared name have that are not being removed, by that name."""
        found: dict[str, list[JobModel]] = {}
        for job in self._model.jobs.values():
            if job.follow_up is not FollowUp.REMOVAL:
                found.setdefault(job.spec.family, []).append(job)
        return {
            family: {hold: why for hold, why in jobs[0].holds.items() if all(hold in job.holds for job in jobs)}
            for family, jobs in found.items()
        }

    def inherit(self, job: JobModel, holds: dict[Hold, tuple[str, str]]) -> None:
        """Hold a new replica back as all others of its declared name are."""
        for hold, reason in holds.items():
            if hold is Hold.STOPPED:
                job.holds[hold] = reason
            elif job.spec.schedule is not None:
                self._begin_pause(job, reason)

    def end_without_schedule(self, job: JobModel) -> None:
        """Expect that a pause ends whose job has no schedule any more."""
        if job.is_paused and job.spec.schedule is None:
            del job.holds[Hold.PAUSED]
            self._model.expect("resumed", job.spec.name, reason=("reload", "it has no schedule any more"))

    # -- steps

    def _begin_pause(self, job: JobModel, reason: tuple[str, str]) -> None:
        job.holds[Hold.PAUSED] = reason
        self._model.expect("paused", job.spec.name, reason=reason)

    def _note_unseen_firing(self, job: JobModel) -> None:
        """Take an instant as fired before this step, by its jitter, if the step shows that its run was queued."""
        name, schedule = job.spec.name, job.spec.schedule
        if schedule is None or job.instant is None or not any(self._model.events_of_step("missed", name)):
            return
        if self._schedules.is_open(name) or may_be_overtaken(schedule, job.instant):
            self._schedules.assume_fired(job)

    def _miss_passed(self, job: JobModel) -> None:
        """Expect that the instants are missed that have passed by now, although no tick has handled them.

        A calendar is compared with the wall clock, which may have been set since. The events of the step decide what
        the jitter leaves open.
        """
        model, schedule, name = self._model, job.spec.schedule, job.spec.name
        while schedule is not None and job.instant is not None and not may_be_overtaken(schedule, job.instant):
            now = model.now if schedule.every is not None else model.wall
            events = len(list(model.events_of_step("missed", name)))
            if job.instant > now or (job.instant + schedule.jitter > now and events <= model.count_expected(name)):
                return
            self._schedules.handle_instant(job)

    def _arm(self, job: JobModel) -> None:
        """Expect that the schedule of a job is armed that was stopped and is resumed."""
        model = self._model
        if not job.spec.enabled or job.follow_up is FollowUp.REMOVAL:
            return
        if job.awaits_removal or dependency_state(model, job) != SATISFIED:
            model.report("I11", f"job {job.spec.name} was resumed before its dependencies were satisfied")
        model.mark_changed(job.spec.name)
        if job.run is not None:
            self._schedules.rearm(job)
            self._run_ends.expect_essential_shutdown(job)
            return
        job.wait_for(Wait.FIRING)
        self._schedules.arm(job)
        if job.instant is None:
            self._schedules.finish_exhausted(job)


def _told(reason: Reason) -> tuple[str, str]:
    return reason.kind.value, reason.text


def _follow_up_without_firing(job: JobModel) -> FollowUp:
    """Return what follows the live run if the firing that waits for its end is dropped."""
    run = job.run
    kind = run.reason[0] if run is not None and run.reason is not None else ""
    if run is None or job.is_blocked or kind not in ("", "deadline", "watchdog"):
        return FollowUp.NOTHING
    watchdog = job.run_spec.watchdog if job.run_spec is not None else None
    if kind != "watchdog" or run.unresponsive is None or watchdog is None:
        return FollowUp.POLICY
    return FollowUp.RETRY if watchdog.then is WatchdogThen.RESTART else FollowUp.NOTHING


def check_refused_hold(model: Model, command: inputs.PauseJob | inputs.ResumeJob, error: UsageError) -> None:
    """Report a pause or a resume that was refused without a reason of its own."""
    job = model.jobs.get(command.job)
    if job is None or not model.may_start_runs:
        return
    if isinstance(error, DependencyUnmet):
        is_unmet = job.awaits_removal or dependency_state(model, job) != SATISFIED
        has_reason = isinstance(command, inputs.ResumeJob) and job.is_stopped and is_unmet
    else:
        has_reason = isinstance(error, NotScheduled) and job.spec.schedule is None
    if not has_reason:
        model.report("I13", f"a pause or a resume was refused without a reason: {error}")
