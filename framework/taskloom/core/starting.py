"""How runs begin: at once, or after the waits for removed jobs, dependencies, the start delay and the schedule.

A job that starts by itself goes through up to four waits, in this order: if a reload has added it, for the runs that
the reload stopped (`changeover.py`); for the jobs that it starts after; for its start delay; and for its schedule.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from taskloom.core import actions
from taskloom.core.deadlines import DeadlineKind
from taskloom.core.events import NOTHING, EventName
from taskloom.core.model import Moment, Reason, ReasonKind, WaitingFor
from taskloom.core.recording import InstantRecords, drop_recording, firing_data, queued_data
from taskloom.core.records import DueInstant, FollowUp, JobRecord, RunRecord
from taskloom.core.requirements import DependencyState
from taskloom.core.scheduling import ScheduleTimers
from taskloom.core.shutdown import WholeStop
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision
from taskloom.text import duration

__all__ = ["Starter"]

_NEVER = float("inf")


class Starter:
    """Begins all runs. `random` returns a number from 0.0 to 1.0."""

    def __init__(self, store: JobStore, stops: StopSequence, shutdown: WholeStop, random: Callable[[], float]) -> None:
        self.timers = ScheduleTimers(store, stops, fire=self.fire, exhausted=self._end_schedule, random=random)
        self.records = InstantRecords(store, self.queue_firing)
        self._store = store
        self._stops = stops
        self._shutdown = shutdown
        self._delay = DeadlineKind(
            self._delay_over, lambda when, job: job.waiting_for is not WaitingFor.DELAY or job.due_at != when
        )
        self._timeout = DeadlineKind(self._time_out, _is_other_timeout, RunRecord.has_met)
        self._readiness = DeadlineKind(self._miss_readiness, _is_other_readiness, RunRecord.has_met)

    # -- a run

    def fire(self, job: JobRecord, due: DueInstant) -> None:
        """Begin a run for an instant of the job's schedule; one that catches up is recorded first."""
        schedule = job.spec.schedule
        if schedule is not None and schedule.catches_up:
            self.records.begin(job, due)
        else:
            self.queue_firing(job, due)

    def queue_firing(self, job: JobRecord, due: DueInstant, *, is_recorded: bool = True) -> None:
        """Have the runner begin a run for an instant."""
        self.queue(job, data=firing_data(due, is_recorded=is_recorded))
        if job.run is not None:
            job.run.due, job.run.is_recorded = due, is_recorded

    def queue(
        self, job: JobRecord, attempt: int = 1, reason: Reason | None = None, data: Mapping[str, Any] = NOTHING
    ) -> None:
        """Have the runner begin a run of the job. `reason`: why a user started it. `data`: of the event.

        If it waits for the record of an instant, the run comes before that one's.
        """
        store, spec = self._store, job.spec
        drop_recording(store, job, "overlap")
        store.move(job, Decision.RUN)
        job.runs += 1
        job.number += 1
        job.reason = None
        store.set_follow_up(job, FollowUp.POLICY)
        job.has_failed = job.has_given_up = False
        run = RunRecord(f"{spec.name}#{job.number}", job, attempt, store.now, spec)
        store.begin_run(run)
        store.emit_run(EventName.QUEUED, run, reason=reason, data=queued_data(spec, data))
        store.actions.append(actions.StartRun(run.id, spec, attempt, spec.replica))
        if spec.timeout is not None or spec.ready_within is not None:
            self.set_limits(run)

    def set_limits(self, run: RunRecord) -> None:
        """Set the deadlines of the run's `timeout` and `ready_within`, both counted from when it was queued."""
        spec, queued = run.spec, run.queued.mono
        run.timeout_at = queued + spec.timeout if spec.timeout is not None else _NEVER
        run.unready_at = queued + spec.ready_within if spec.ready_within is not None else _NEVER
        self._store.deadlines.add(run.timeout_at, self._timeout, run)
        self._store.deadlines.add(run.unready_at, self._readiness, run)

    def _time_out(self, run: RunRecord) -> None:
        reason = Reason(ReasonKind.DEADLINE, f"longer than its timeout of {duration(run.spec.timeout or 0.0)}")
        self._stops.request(run, reason)

    def _miss_readiness(self, run: RunRecord) -> None:
        text = f"not ready within {duration(run.spec.ready_within or 0.0)}"
        self._stops.request(run, Reason(ReasonKind.WATCHDOG, text))

    # -- the waits before it

    def arm(self, job: JobRecord) -> None:
        """Have the job start by itself, after its waits."""
        spec = job.spec
        if job.awaits_removal:
            self._store.move(job, Decision.WAIT, WaitingFor.REMOVAL)
            job.reason, job.held_since = None, self._store.now
            return
        if not spec.after and not spec.start.delay_seconds and spec.schedule is None:
            self.queue(job)
            return
        self._store.move(job, Decision.WAIT, WaitingFor.DEPENDENCY)
        job.reason = None
        self.check_dependencies(job)

    def end_removal_wait(self, job: JobRecord) -> None:
        """Continue with the next wait of a job that waited for the runs that a reload stopped."""
        spec = job.spec
        if spec.schedule is None or spec.after or spec.start.delay_seconds:
            self.arm(job)
            return
        # Without this an `at`, or a daily instant, that came during the wait would never have been due.
        self._after_waits(job, job.held_since)
        if not job.is_active:
            self.update_dependents(job)

    def check_dependencies(self, job: JobRecord) -> None:
        """Evaluate the dependencies of a job that waits for them, and then of the jobs that wait for this one."""
        if self._end_dependency_wait(job):
            self.update_dependents(job)

    def update_dependents(self, job: JobRecord) -> None:
        """Evaluate the dependencies of the jobs that wait for this one, and of those that wait for skipped ones."""
        if not job.family.decided:
            return  # the usual case, a thousand times a second
        # A list, not recursion: a chain of jobs may be longer than the interpreter's stack.
        changed = deque((job,))
        while changed:
            for dependent in self._store.dependencies.decided_dependents(changed.popleft()):
                if self._end_dependency_wait(dependent):
                    changed.append(dependent)

    def propagate(self, job: JobRecord) -> None:
        """Apply what the job's state means for others: after an essential failure all stop, dependents may go on."""
        # In this order: no dependent starts because of a job whose failure stops everything.
        self._shutdown.begin_after_essential_failure(job)
        self.update_dependents(job)

    def _end_dependency_wait(self, job: JobRecord) -> bool:
        """Start or skip the job if its dependencies are decided. Return whether it has become inactive."""
        state = job.dependencies.state
        if state is DependencyState.SATISFIED:
            self._after_dependencies(job)
        elif state is DependencyState.IMPOSSIBLE:
            job.reason = Reason(ReasonKind.DEPENDENCY, job.dependencies.describe())
            self._store.move(job, Decision.SKIP)
            self._store.emit(EventName.SKIPPED, job.spec.name, reason=job.reason)
        return not job.is_active

    def _after_dependencies(self, job: JobRecord) -> None:
        delay = job.spec.start.delay_seconds
        if delay > 0:
            self._store.move(job, Decision.WAIT, WaitingFor.DELAY)
            job.due_at = self._store.now.mono + delay
            self._store.deadlines.add(job.due_at, self._delay, job)
        else:
            self._after_waits(job)

    def _delay_over(self, job: JobRecord) -> None:
        self._after_waits(job)
        if not job.is_active:
            self.update_dependents(job)

    def _after_waits(self, job: JobRecord, since: Moment | None = None) -> None:
        """Begin a run, or the schedule, which has begun at `since` if it is a calendar."""
        schedule = job.spec.schedule
        if schedule is None:
            self.queue(job)
            return
        self._store.move(job, Decision.WAIT, WaitingFor.FIRING)
        makes_up = self.timers.catch_up(job, schedule)
        if makes_up and job.waiting_for is not WaitingFor.FIRING:
            return  # its run is the immediate one as well
        is_armed = job.next_firing is not None if makes_up else self.timers.arm(job, schedule, since)
        if schedule.immediately and not job.is_paused:
            self.queue(job)
            return
        if schedule.immediately:
            self.timers.miss_immediate(job)
        if not is_armed:
            self.schedule_exhausted(job)

    # -- the schedule

    def rearm(self, job: JobRecord) -> None:
        """Resume the schedule of a job that a user starts, if a stop had disarmed it."""
        if job.spec.schedule is not None and job.next_firing is None:
            self.timers.arm(job, job.spec.schedule)

    def schedule_exhausted(self, job: JobRecord) -> None:
        """Finish a job that waits for its next firing when there is none. The caller updates its dependents."""
        self._store.move(job, Decision.FINISH)
        job.reason = Reason(ReasonKind.FINISHED, "its schedule has no further firings")
        self._store.emit(EventName.SKIPPED, job.spec.name, reason=job.reason)

    def _end_schedule(self, job: JobRecord) -> None:
        self.schedule_exhausted(job)
        self.propagate(job)


def _is_other_timeout(when: float, run: RunRecord) -> bool:
    return run.ended is not None or run.requested is not None or run.timeout_at != when


def _is_other_readiness(when: float, run: RunRecord) -> bool:
    return run.ready is not None or run.requested is not None or run.ended is not None or run.unready_at != when
