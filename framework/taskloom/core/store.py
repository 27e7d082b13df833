"""The store: every job and run, the one door through which a state changes, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec, JobState, Moment, Outcome, WaitingFor
from taskloom.core.records import JobRecord, RunRecord
from taskloom.core.transitions import TRANSITIONS, Trigger
from taskloom.errors import InternalError, UnknownJob

__all__ = ["JobStore"]


class JobStore:
    """What the parts of the lifecycle share. `now` and `todo` belong to the message that is being handled."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.runs: dict[str, RunRecord] = {}
        """Every run whose body may still be executing: running, stopping, or abandoned."""
        self.now = Moment(0.0, 0.0)
        self.actions: list[Action] = []
        self.has_listeners = True
        """False while nobody listens: events are then counted, and not made."""
        self.families: dict[str, list[JobRecord]] = {}
        """The records of each declared name: one, or those of its replicas."""
        # The names of the jobs that start after each declared name; a dict for its order.
        self._dependents: dict[str, dict[str, None]] = {}
        # How many runs were made of jobs that are gone: one that comes back goes on counting, for a run's name is
        # given once in the life of a scheduler.
        self._numbers: dict[str, int] = {}
        self._seq = 0
        # How many jobs keep the program alive, daemons apart.
        self._holding = 0
        self._active_daemons = 0
        self._has_held = False

    def job(self, name: str) -> JobRecord:
        """Return a job's record. Raises UnknownJob."""
        try:
            return self.jobs[name]
        except KeyError:
            raise UnknownJob(name, self.jobs) from None

    def dependencies(self) -> dict[str, list[str]]:
        """Return for every job the names of those that it starts after."""
        return {
            name: [needed.spec.name for need in job.spec.after for needed in self.families.get(need.job, ())]
            for name, job in self.jobs.items()
        }

    def dependencies_of(self, family: str) -> list[str]:
        """Return the names that a declared name starts after; none for one that is not declared."""
        jobs = self.families.get(family)
        return [need.job for need in jobs[0].spec.after] if jobs else []

    def has_dependents(self, family: str) -> bool:
        """Tell whether a job starts after this declared name."""
        return bool(self._dependents.get(family))

    def dependents_of(self, job: JobRecord) -> Sequence[JobRecord]:
        """Return the jobs that start after this one, in the order of their declarations."""
        names = self._dependents.get(job.spec.family)
        return [self.jobs[name] for name in names] if names else ()

    def declare(self, spec: JobSpec) -> JobRecord:
        """Take in a new job."""
        job = self.jobs[spec.name] = JobRecord.declared(spec)
        job.number = self._numbers.pop(spec.name, 0)
        self._enter(job)
        self.emit(EventName.JOB_ADDED, spec.name, data={"task": spec.task, "daemon": spec.daemon})
        return job

    def redeclare(self, job: JobRecord, spec: JobSpec) -> None:
        """Put a new declaration in the place of a job's old one."""
        was_active = job.is_active
        if was_active and job.spec.daemon is not spec.daemon:
            self._count_active(spec, 1)
            self._count_active(job.spec, -1)
        self._strike_out(job)
        job.spec = spec
        self._enter(job)

    def forget(self, job: JobRecord) -> None:
        """Strike out a job that neither has nor will have a run."""
        self._strike_out(job)
        del self.jobs[job.spec.name]
        self._numbers[job.spec.name] = job.number

    def _enter(self, job: JobRecord) -> None:
        self.families.setdefault(job.spec.family, []).append(job)
        for need in job.spec.after:
            self._dependents.setdefault(need.job, {})[job.spec.name] = None

    def _strike_out(self, job: JobRecord) -> None:
        family = self.families[job.spec.family]
        family.remove(job)
        if not family:
            del self.families[job.spec.family]
        for need in job.spec.after:
            self._dependents.get(need.job, {}).pop(job.spec.name, None)

    def live(self, run_id: str) -> RunRecord:
        """Return the record of a run that may be executing. Raises InternalError: nobody else reports."""
        try:
            return self.runs[run_id]
        except KeyError:
            raise InternalError(f"a report came for run {run_id}, which is not live") from None

    @property
    def is_work_over(self) -> bool:
        """Tell whether `taskloom run` would end: nothing keeps the program alive.

        That is: no job that is no daemon runs, stops or waits for a time of its own. Where no such job was
        ever started, living daemons keep the program alive by themselves.
        """
        return self._holding == 0 and (self._has_held or self._active_daemons == 0)

    def move(self, job: JobRecord, trigger: Trigger, target: JobState, waiting_for: WaitingFor | None = None) -> None:
        """Change the job's state as the table allows. Raises InternalError, and changes nothing, where it does not."""
        if target not in TRANSITIONS[job.state].get(trigger, ()):
            raise InternalError(f"{trigger.value} leads no job from {job.state.value} to {target.value}")
        if target is job.state and waiting_for is job.waiting_for:
            return  # most reports change no state: it is only seen to that they may come
        was_active = job.is_active
        job.state, job.waiting_for = target, waiting_for
        change = job.is_active - was_active
        if change:
            self._count_active(job.spec, change)

    def _count_active(self, spec: JobSpec, change: int) -> None:
        if spec.daemon:
            self._active_daemons += change
        else:
            self._holding += change
            self._has_held = True

    def record_end(self, run: RunRecord, outcome: Outcome) -> None:
        """Write the run's one end."""
        run.outcome, run.ended = outcome, self.now
        outcomes = run.job.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        self.emit_run(
            EventName.ENDED,
            run,
            reason=run.reason,
            outcome=outcome,
            seconds=run.seconds,
            error=run.error,
        )

    def remove_run(self, run: RunRecord) -> None:
        """Strike out a run that executes no more."""
        run.job.run = None
        del self.runs[run.id]

    def emit(self, name: EventName, job: str | None = None, run: RunRecord | None = None, **fields: Any) -> None:
        """Put an event among the actions."""
        self._seq += 1
        if not self.has_listeners:
            return
        run_id, attempt = (run.id, run.attempt) if run is not None else (None, None)
        self.actions.append(Event(self._seq, self.now.wall, self.now.mono, name, job, run_id, attempt, **fields))

    def emit_run(self, name: EventName, run: RunRecord, **fields: Any) -> None:
        """Put an event of a run among the actions."""
        if not self.has_listeners:
            self._seq += 1
            return
        self.emit(name, run.job.spec.name, run, **fields)
