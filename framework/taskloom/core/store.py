"""The store: every job and run, the only place where their state changes, and the events that report it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.core.actions import Action
from taskloom.core.deadlines import Deadlines
from taskloom.core.dependencies import Dependencies
from taskloom.core.events import EVERYTHING, NOTHING, Event, EventName, format_wall
from taskloom.core.model import Hold, JobSpec, JobState, Moment, Outcome, Reason, WaitingFor
from taskloom.core.records import FollowUp, HoldBeginning, JobRecord, NextFiring, RunRecord
from taskloom.core.transitions import TRANSITIONS, Decision
from taskloom.errors import InternalError, UnknownJob

__all__ = ["JobStore"]


class JobStore:
    """The state that the parts of the lifecycle share.

    `now` and `actions` belong to the message that is being handled.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.runs: dict[str, RunRecord] = {}
        """Every run whose body may still be executing: running, stopping, or abandoned."""
        self.deadlines = Deadlines()
        self.now = Moment(0.0, 0.0)
        self.actions: list[Action] = []
        self.audience = EVERYTHING
        """The events that are made. All others are counted but not made."""
        self.changed: dict[JobRecord, None] | None = None
        """The jobs whose wait may have changed; None while nothing listens to that."""
        self.dependencies = Dependencies()
        self.version = 0
        """Changes with each declaration."""
        # How many runs each removed job had. If it is declared again, its numbers continue: the name of a run is
        # unique in the life of a scheduler.
        self._numbers: dict[str, int] = {}
        self._seq = 0
        # How many non-daemon jobs are active, and whether there ever was one.
        self._active_jobs = 0
        self._has_been_active = False
        self._active_daemons = 0

    def job(self, name: str) -> JobRecord:
        """Return a job's record. Raises UnknownJob."""
        try:
            return self.jobs[name]
        except KeyError:
            raise UnknownJob(name, self.jobs) from None

    def declare(self, spec: JobSpec, data: Mapping[str, Any] = NOTHING) -> JobRecord:
        """Add a new job. `data`: more of the event, about what the job remembers."""
        state, waiting_for = (JobState.WAITING, WaitingFor.START) if spec.enabled else (JobState.DISABLED, None)
        job = self.jobs[spec.name] = JobRecord(spec, state, waiting_for)
        job.number = self._numbers.pop(spec.name, 0)
        self.version += 1
        self.dependencies.add(job)
        self.mark_changed(job)
        self.emit(EventName.JOB_ADDED, spec.name, data={"task": spec.task, "daemon": spec.daemon, **data})
        return job

    def redeclare(self, job: JobRecord, spec: JobSpec) -> None:
        """Replace a job's declaration."""
        was_active, was_daemon = job.is_active, job.spec.daemon
        job.spec = spec
        self.version += 1
        if was_daemon is not spec.daemon:
            self._count_active(spec.daemon, int(job.is_active))
            self._count_active(was_daemon, -int(was_active))
        self.dependencies.replace(job)

    def forget(self, job: JobRecord) -> None:
        """Remove a job that has no run and waits for none."""
        self.dependencies.remove(job)
        self.version += 1
        del self.jobs[job.spec.name]
        self._numbers[job.spec.name] = job.number
        if self.changed is not None:
            self.changed.pop(job, None)

    def live(self, run_id: str) -> RunRecord:
        """Return the record of a run that may be executing. Raises InternalError: no other run can send a report."""
        try:
            return self.runs[run_id]
        except KeyError:
            raise InternalError(f"a report came for run {run_id}, which is not live") from None

    @property
    def last_seq(self) -> int:
        """The number of the last event, whether it was made or only counted; 0 before the first."""
        return self._seq

    @property
    def is_work_over(self) -> bool:
        """Return whether nothing keeps the program alive.

        That is: no non-daemon job runs, stops, or waits for anything but a start. If no non-daemon job was ever
        active, or since a reload left daemons only, daemons keep the program alive.
        """
        return self._active_jobs == 0 and (self._has_been_active or self._active_daemons == 0)

    def move(self, job: JobRecord, decision: Decision, waiting_for: WaitingFor = WaitingFor.START) -> None:
        """Change the job's state as the table says. Raises InternalError, changing nothing, for an illegal pair.

        `waiting_for` counts for a decision that makes the job wait.
        """
        target = TRANSITIONS[job.state].get(decision)
        if target is None:
            raise InternalError(f"cannot decide {decision.value!r} for job {job.spec.name!r}: it is {job.state.value}")
        was_active, waited_for = job.is_active, job.waiting_for
        job.state, job.waiting_for = target, waiting_for if target is JobState.WAITING else None
        change = job.is_active - was_active
        if change:
            self._count_active(job.spec.daemon, change)
        if self.changed is not None:
            self.changed[job] = None
        if job.waiting_for is not waited_for:
            if waited_for is WaitingFor.DEPENDENCY:
                del job.dependencies.waiting[job]
            elif job.waiting_for is WaitingFor.DEPENDENCY:
                job.dependencies.waiting[job] = None
        if job.family.requirements:  # asked before each call: for most jobs there are none
            job.family.refresh(job)

    def set_follow_up(self, job: JobRecord, follow_up: FollowUp) -> None:
        """Decide what follows the end of the job's run."""
        was_active = job.state is JobState.BLOCKED and job.is_active
        job.follow_up = follow_up
        if job.state is JobState.BLOCKED:
            self._count_change(job, was_active)
        if self.changed is not None:
            self.changed[job] = None
        if job.family.requirements:
            job.family.refresh(job)

    def set_next_firing(self, job: JobRecord, firing: NextFiring | None) -> None:
        """Arm the job's schedule for this firing, or disarm it."""
        was_active = job.state is JobState.BLOCKED and job.is_active
        job.next_firing = firing
        if job.state is JobState.BLOCKED:
            self._count_change(job, was_active)
        if self.changed is not None:
            self.changed[job] = None

    def report_missed(self, job: JobRecord, wall: float, count: int, why: str) -> None:
        """Report instants of the job's schedule that start no run. `wall`: the latest, in seconds since the epoch.

        An earlier one may still wait to start a run. The event says so, because only that one counts after a crash.
        """
        job.missed += count
        job.missed_last = (wall, why)
        data: dict[str, Any] = {"instant": format_wall(wall), "count": count, "why": why}
        is_firing_queued = job.run is not None and job.follow_up is FollowUp.FIRING
        if why == "overlap" and (job.recording is not None or is_firing_queued):
            data["pending"] = True
        self.emit(EventName.MISSED, job.spec.name, data=data)

    def hold(self, job: JobRecord, hold: Hold, reason: Reason, since: Moment | None = None) -> None:
        """Record that a user holds the job back. The first reason is kept. `since`: when that began, if not now."""
        if hold not in job.holds:
            job.holds = {**job.holds, hold: reason}
            job.hold_beginnings = {**job.hold_beginnings, hold: HoldBeginning(since or self.now, job.missed)}
            self.mark_changed(job)

    def end_hold(self, job: JobRecord, hold: Hold) -> None:
        """Record that the job is no longer held back in this way; idempotent."""
        if hold in job.holds:
            job.holds = {kind: reason for kind, reason in job.holds.items() if kind is not hold}
            self.mark_changed(job)

    def mark_changed(self, job: JobRecord) -> None:
        """Have it told what the job waits for now, if someone listens to that."""
        if self.changed is not None:
            self.changed[job] = None

    def leave_daemons_only(self) -> None:
        """Let daemons alone keep the program alive from now on, as if no other job had ever been active."""
        self._has_been_active = False

    def note_active(self) -> None:
        """Let the end of the last active job end the program, although none of them has begun since."""
        self._has_been_active = True

    def _count_change(self, job: JobRecord, was_active: bool) -> None:
        # A blocked job is active if something follows; the state of all others decides alone.
        change = job.is_active - was_active
        if change:
            self._count_active(job.spec.daemon, change)

    def _count_active(self, is_daemon: bool, change: int) -> None:
        if is_daemon:
            self._active_daemons += change
        else:
            self._active_jobs += change
            # Not by the end of a run that a reload has stopped, after which it has left daemons only.
            self._has_been_active = self._has_been_active or change > 0

    def begin_run(self, run: RunRecord) -> None:
        """Record a new run as the job's."""
        job = run.job
        job.run = job.last_run = run
        self.runs[run.id] = run
        if job.family.requirements:
            job.family.refresh(job)

    def record_start(self, run: RunRecord) -> None:
        """Record that the run's body is about to be called."""
        run.started = self.now
        if run.job.family.requirements:
            run.job.family.refresh(run.job)
            self.mark_changed(run.job)  # others may wait for it

    def record_ready(self, run: RunRecord) -> None:
        """Record that the run is ready."""
        run.ready = self.now
        if run.job.family.requirements:
            run.job.family.refresh(run.job)
            self.mark_changed(run.job)  # others may wait for it

    def record_request(self, run: RunRecord, reason: Reason) -> None:
        """Record that the run is requested to stop."""
        run.requested, run.reason, run.job.reason = self.now, reason, reason
        if run.job.family.requirements:
            run.job.family.refresh(run.job)

    def record_end(self, run: RunRecord, outcome: Outcome, data: Mapping[str, Any] = NOTHING) -> None:
        """Record the end of a run; called exactly once for each run. `data`: of the event."""
        run.outcome, run.ended = outcome, self.now
        outcomes = run.job.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if run.job.family.requirements:
            run.job.family.refresh(run.job)
        if outcome in self.audience.outcomes:
            ended = {"reason": run.reason, "outcome": outcome, "seconds": run.seconds, "error": run.error}
            self.emit_run(EventName.ENDED, run, **ended, data=data)
        else:
            self._seq += 1

    def remove_run(self, run: RunRecord) -> None:
        """Remove a run that is no longer executing."""
        run.job.run = None
        del self.runs[run.id]

    def emit(self, name: EventName, job: str | None = None, **fields: Any) -> None:
        """Add an event of the scheduler or of a job to the actions."""
        self._seq += 1
        if name in self.audience.names:
            now = self.now
            self.actions.append(Event(self._seq, now.wall, now.mono, name, job, **fields))

    def emit_run(self, name: EventName, run: RunRecord, **fields: Any) -> None:
        """Add an event of a run to the actions."""
        self._seq += 1
        if name in self.audience.names:
            now, job = self.now, run.job.spec.name
            self.actions.append(Event(self._seq, now.wall, now.mono, name, job, run.id, run.attempt, **fields))
