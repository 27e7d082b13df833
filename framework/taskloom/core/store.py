"""The store: every job and run, the only place where their state changes, and the events that report it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskloom.core.actions import Action
from taskloom.core.deadlines import Deadlines
from taskloom.core.events import EVERYTHING, Event, EventName
from taskloom.core.model import JobSpec, JobState, Moment, Outcome, WaitingFor
from taskloom.core.records import FollowUp, JobRecord, NextFiring, RunRecord
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
        self.families: dict[str, list[JobRecord]] = {}
        """The records of each declared name: one, or those of its replicas."""
        # The names of the jobs that start after each declared name; a dict for its order.
        self._dependents: dict[str, dict[str, None]] = {}
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

    def dependencies(self) -> dict[str, list[str]]:
        """Return for every job the names of the jobs that it starts after."""
        return {
            name: [member.spec.name for needed in job.spec.after for member in self.families.get(needed.job, ())]
            for name, job in self.jobs.items()
        }

    def dependencies_of(self, family: str) -> list[str]:
        """Return the names that a declared name starts after; empty if it is not declared."""
        jobs = self.families.get(family)
        return [dependency.job for dependency in jobs[0].spec.after] if jobs else []

    def has_dependents(self, family: str) -> bool:
        """Return whether a job starts after this declared name."""
        return bool(self._dependents.get(family))

    def dependents_of(self, job: JobRecord) -> Sequence[JobRecord]:
        """Return the jobs that start after this one, in the order of their declarations."""
        names = self._dependents.get(job.spec.family)
        return [self.jobs[name] for name in names] if names else ()

    def declare(self, spec: JobSpec) -> JobRecord:
        """Add a new job."""
        state, waiting_for = (JobState.WAITING, WaitingFor.START) if spec.enabled else (JobState.DISABLED, None)
        job = self.jobs[spec.name] = JobRecord(spec, state, waiting_for)
        job.number = self._numbers.pop(spec.name, 0)
        self._add_relations(job)
        self.emit(EventName.JOB_ADDED, spec.name, data={"task": spec.task, "daemon": spec.daemon})
        return job

    def redeclare(self, job: JobRecord, spec: JobSpec) -> None:
        """Replace a job's declaration."""
        if job.is_active and job.spec.daemon is not spec.daemon:
            self._count_active(spec, 1)
            self._count_active(job.spec, -1)
        self._remove_relations(job)
        job.spec = spec
        self._add_relations(job)

    def forget(self, job: JobRecord) -> None:
        """Remove a job that has no run and waits for none."""
        self._remove_relations(job)
        del self.jobs[job.spec.name]
        self._numbers[job.spec.name] = job.number

    def _add_relations(self, job: JobRecord) -> None:
        self.families.setdefault(job.spec.family, []).append(job)
        for dependency in job.spec.after:
            self._dependents.setdefault(dependency.job, {})[job.spec.name] = None

    def _remove_relations(self, job: JobRecord) -> None:
        family = self.families[job.spec.family]
        family.remove(job)
        if not family:
            del self.families[job.spec.family]
        for dependency in job.spec.after:
            self._dependents.get(dependency.job, {}).pop(job.spec.name, None)

    def live(self, run_id: str) -> RunRecord:
        """Return the record of a run that may be executing. Raises InternalError: no other run can send a report."""
        try:
            return self.runs[run_id]
        except KeyError:
            raise InternalError(f"a report came for run {run_id}, which is not live") from None

    @property
    def is_work_over(self) -> bool:
        """Return whether nothing keeps the program alive.

        That is: no non-daemon job runs, stops, or waits for anything but a start. If no non-daemon job was ever
        active, daemons keep the program alive.
        """
        return self._active_jobs == 0 and (self._has_been_active or self._active_daemons == 0)

    def move(self, job: JobRecord, decision: Decision, waiting_for: WaitingFor = WaitingFor.START) -> None:
        """Change the job's state as the table says. Raises InternalError, changing nothing, for an illegal pair.

        `waiting_for` counts for a decision that makes the job wait.
        """
        target = TRANSITIONS[job.state].get(decision)
        if target is None:
            raise InternalError(f"cannot decide {decision.value!r} for job {job.spec.name!r}: it is {job.state.value}")
        was_active = job.is_active
        job.state, job.waiting_for = target, waiting_for if target is JobState.WAITING else None
        change = job.is_active - was_active
        if change:
            self._count_active(job.spec, change)

    def set_follow_up(self, job: JobRecord, follow_up: FollowUp) -> None:
        """Decide what follows the end of the job's run."""
        job.follow_up = follow_up

    def set_next_firing(self, job: JobRecord, firing: NextFiring | None) -> None:
        """Arm the job's schedule for this firing, or disarm it."""
        job.next_firing = firing

    def _count_active(self, spec: JobSpec, change: int) -> None:
        if spec.daemon:
            self._active_daemons += change
        else:
            self._active_jobs += change
            self._has_been_active = True

    def record_end(self, run: RunRecord, outcome: Outcome) -> None:
        """Record the end of a run; called exactly once for each run."""
        run.outcome, run.ended = outcome, self.now
        outcomes = run.job.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if outcome in self.audience.outcomes:
            fields = {"reason": run.reason, "outcome": outcome, "seconds": run.seconds, "error": run.error}
            self.emit_run(EventName.ENDED, run, **fields)
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
