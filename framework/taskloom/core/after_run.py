"""Decide and begin what follows a run that has ended: a restart, the next firing, another run at once, or nothing.

`FollowUp` says what was decided before the end; without such a decision, the restart policy decides. The follow-up of
an abandoned run is decided when it is abandoned, and begins when its thread exits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from taskloom.core import actions
from taskloom.core.deadlines import DeadlineKind
from taskloom.core.events import NOTHING, EventName
from taskloom.core.model import Outcome, Phase, WaitingFor
from taskloom.core.policies import RestartWhen
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.restart import Backoff, RestartGate
from taskloom.core.shutdown import WholeStop
from taskloom.core.starting import Starter
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision
from taskloom.text import duration

__all__ = ["FollowUps"]


class FollowUps:
    """Decides and begins what follows each run. `random` returns a number from 0.0 to 1.0."""

    def __init__(self, store: JobStore, starter: Starter, shutdown: WholeStop, random: Callable[[], float]) -> None:
        self._store = store
        self._starter = starter
        self._shutdown = shutdown
        self._random = random
        self._gate = RestartGate()
        # Restarts whose delay is over and that wait for the gate, each with the `due_at` by which it is recognised.
        self._at_gate: deque[tuple[JobRecord, float]] = deque()
        self._backoff = DeadlineKind(self._backoff_over, lambda when, job: not _waits_for_backoff(job, when))
        self._gate_opening = DeadlineKind(self._open_gate, lambda *_: False)

    # -- what follows

    def begin(self, run: RunRecord, *, is_permanent: bool = False) -> None:
        """Begin what follows a run that has ended and is no longer executing."""
        self._begin(run, self._decide(run, is_permanent=is_permanent))

    def remember(self, run: RunRecord) -> None:
        """Decide what follows a run that is abandoned or lost; it begins when nothing of the run is left."""
        self._store.set_follow_up(run.job, self._decide(run, is_permanent=False))
        self._starter.propagate(run.job)

    def outlive(self, run: RunRecord) -> None:
        """Take an overdue run of an essential job as a failure for good if a limit or the watchdog stopped it.

        Whatever its policy or its schedule would start next cannot start while its thread lives, which may be for ever.
        A user or a reload that wants another run has decided otherwise.
        """
        job = run.job
        is_wanted = job.follow_up is FollowUp.RESTART or job.follow_up is FollowUp.REMOVAL
        if job.spec.essential and run.was_stopped_for_failure and not is_wanted:
            job.has_failed = True
            self._shutdown.begin_for(job)

    def begin_remembered(self, run: RunRecord) -> None:
        """Begin what was decided when the run was abandoned or lost, unless a command has changed that since."""
        is_open = self._shutdown.phase is Phase.OPEN
        self._begin(run, run.job.follow_up if is_open else FollowUp.NOTHING)

    def remove(self, job: JobRecord) -> None:
        """Remove a job that has no run and waits for none. The caller updates its dependents."""
        self._store.forget(job)
        self._starter.timers.forget(job)
        self._store.emit(EventName.JOB_REMOVED, job.spec.name)
        self._store.actions.append(actions.ForgetJob(job.spec.name))

    def _begin(self, run: RunRecord, follow_up: FollowUp) -> None:
        job = run.job
        if follow_up is FollowUp.NOTHING or follow_up is FollowUp.REMOVAL:
            self._finish(job)
        elif follow_up is FollowUp.RETRY:
            self._schedule_restart(run)
        else:
            self._store.move(job, Decision.WAIT, WaitingFor.START)
            if follow_up is FollowUp.FIRING:
                self._starter.fire(job, job.queued_instant)
            else:
                self._starter.queue(job)
        if follow_up is FollowUp.REMOVAL:
            self.remove(job)
        self._starter.propagate(job)

    def _finish(self, job: JobRecord) -> None:
        if job.next_firing is not None:
            self._store.move(job, Decision.WAIT, WaitingFor.FIRING)
        else:
            self._store.move(job, Decision.FINISH)
            if not job.spec.enabled:
                self._store.move(job, Decision.DISABLE)

    # -- the decision

    def _decide(self, run: RunRecord, *, is_permanent: bool) -> FollowUp:
        """Return what follows, and mark a job that failed for good. Nothing follows during a shutdown."""
        job = run.job
        has_failed = run.has_failed
        follow_up = job.follow_up
        if self._shutdown.phase is not Phase.OPEN:
            follow_up = FollowUp.NOTHING
        elif follow_up is FollowUp.POLICY or follow_up is FollowUp.RETRY:
            follow_up = self._by_policy(run, has_failed=has_failed, is_permanent=is_permanent)
        job.has_failed = job.has_given_up or (has_failed and follow_up is FollowUp.NOTHING)
        return follow_up

    def _by_policy(self, run: RunRecord, *, has_failed: bool, is_permanent: bool) -> FollowUp:
        job, policy = run.job, run.job.spec.restart
        is_wanted = (
            job.follow_up is FollowUp.RETRY
            or policy.when is RestartWhen.ALWAYS
            or (policy.when is RestartWhen.ON_FAILURE and has_failed)
        )
        if not is_wanted:
            return FollowUp.NOTHING
        backoff = job.backoff = job.backoff or Backoff()
        if is_permanent:
            why = "permanent failure"
        elif policy.limit is not None and backoff.is_exhausted(policy, self._store.now.mono):
            why = f"more than {policy.limit.times} restarts within {duration(policy.limit.within)}"
        else:
            return FollowUp.RETRY
        job.has_given_up, job.gave_up_because = True, why
        self._store.emit_run(EventName.GAVE_UP, run, data={"why": why})
        return FollowUp.NOTHING

    # -- restarts

    def hasten(self, job: JobRecord) -> None:
        """Let a pending restart come after the first delay of a new policy, if that is earlier."""
        run, due_at = job.last_run, job.due_at
        if job.waiting_for is not WaitingFor.BACKOFF or run is None or due_at is None:
            return
        new = Backoff()
        delay = new.next_delay(job.spec.restart, 0.0, self._random())
        if self._store.now.mono + delay < due_at:
            if job.backoff is not None:
                job.backoff.delay = new.delay
            self._set_restart(run, delay)

    def _schedule_restart(self, run: RunRecord) -> None:
        job = run.job
        backoff = job.backoff = job.backoff or Backoff()
        delay = backoff.next_delay(job.spec.restart, run.ready_seconds, self._random())
        if run.outcome is Outcome.LOST and run.ended is not None:
            delay = max(0.0, run.ended.mono + delay - self._store.now.mono)  # counted from the loss
        self._store.move(job, Decision.WAIT, WaitingFor.BACKOFF)
        self._set_restart(run, delay)

    def _set_restart(self, run: RunRecord, delay: float) -> None:
        job, store = run.job, self._store
        job.due_at = store.now.mono + delay
        store.deadlines.add(job.due_at, self._backoff, job)
        data = {"delay": job.backoff.delay} if job.backoff is not None else NOTHING
        store.emit_run(EventName.RESTART_SCHEDULED, run, seconds=delay, data=data)

    def _backoff_over(self, job: JobRecord) -> None:
        """Restart the job, now or as soon as the gate admits it."""
        now = self._store.now.mono
        if not self._at_gate and self._gate.try_acquire(now):
            self._restart(job)
            return
        if not self._at_gate:
            self._store.deadlines.add(self._gate.opens_at, self._gate_opening)
        self._at_gate.append((job, job.due_at or now))
        self._store.mark_changed(job)

    def _open_gate(self, _: None) -> None:
        """Restart as many of the waiting jobs as the gate admits now."""
        waiting, now = self._at_gate, self._store.now.mono
        while waiting:
            job, due_at = waiting[0]
            if not _waits_for_backoff(job, due_at):
                waiting.popleft()  # it was stopped or started meanwhile
                continue
            if not self._gate.try_acquire(now):
                self._store.deadlines.add(self._gate.opens_at, self._gate_opening)
                return
            waiting.popleft()
            self._restart(job)

    def _restart(self, job: JobRecord) -> None:
        backoff, now = job.backoff or Backoff(), self._store.now.mono
        was_flapping = backoff.is_flapping(now)
        backoff.record_restart(job.spec.restart, now)
        job.restarts += 1
        last = job.last_run
        self._starter.queue(job, last.attempt + 1 if last is not None else 1)
        if not was_flapping and backoff.is_flapping(now):
            self._store.emit(EventName.FLAPPING, job.spec.name, data={"restarts": backoff.count_recent(now)})


def _waits_for_backoff(job: JobRecord, due_at: float) -> bool:
    return job.waiting_for is WaitingFor.BACKOFF and job.due_at == due_at
