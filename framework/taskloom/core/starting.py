"""How runs come to be, and what follows when one has ended: dependencies, delays, restarts, firings.

A job that starts by itself goes through up to three waits, in this order: for the jobs that it needs, for its start
delay, and for its schedule. A run that ended is followed by what `Then` says, else by what the restart policy says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from taskloom.core import actions
from taskloom.core.deadlines import Deadlines, Due
from taskloom.core.dependencies import evaluate
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import RestartWhen
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.restart import Backoff, RestartGate
from taskloom.core.scheduling import ScheduleTimers
from taskloom.core.shutdown import WholeStop
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.transitions import Trigger
from taskloom.text import duration

__all__ = ["FAILURES", "Supervision"]

FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED)


class Supervision:
    """Begins every run there is. `random` draws a number from 0.0 to 1.0; `stop_within` is what a stop of
    everything gets that an essential job brings about, in seconds.
    """

    def __init__(
        self,
        store: JobStore,
        deadlines: Deadlines,
        stops: StopSequence,
        shutdown: WholeStop,
        *,
        random: Callable[[], float],
        stop_within: float,
    ) -> None:
        self.timers = ScheduleTimers(
            store, deadlines, stops, fire=self._fire, exhausted=self._end_schedule, random=random
        )
        self._store = store
        self._deadlines = deadlines
        self._stops = stops
        self._shutdown = shutdown
        self._random = random
        self._stop_within = stop_within
        self._gate = RestartGate()
        # Restarts whose delay is over, and that the gate has not let in yet; with their `due_at`, to know them by.
        self._at_gate: deque[tuple[JobRecord, float]] = deque()

    # -- how a run comes to be

    def queue(self, job: JobRecord, trigger: Trigger, attempt: int = 1) -> None:
        """Have the runner begin a run of the job."""
        store, spec = self._store, job.spec
        store.move(job, trigger, JobState.RUNNING)
        job.runs += 1
        job.number += 1
        job.reason = None
        job.follow_up = FollowUp.POLICY
        job.has_failed = job.has_given_up = False
        run = RunRecord(f"{spec.name}#{job.number}", job, attempt, store.now, spec)
        job.run = job.last_run = run
        store.runs[run.id] = run
        store.emit_run(EventName.QUEUED, run)
        store.actions.append(actions.StartRun(run.id, spec, attempt, spec.replica))
        if spec.timeout is not None or spec.ready_within is not None:
            self.set_limits(run)

    def set_limits(self, run: RunRecord) -> None:
        """Set by when the run has to be ready, and over."""
        spec, queued = run.spec, run.queued.mono
        run.timeout_at = queued + spec.timeout if spec.timeout is not None else float("inf")
        run.unready_at = queued + spec.ready_within if spec.ready_within is not None else float("inf")
        self._deadlines.add(run.timeout_at, Due.TIMEOUT, run)
        self._deadlines.add(run.unready_at, Due.UNREADY, run)

    def arm(self, job: JobRecord) -> None:
        """Have the job start by itself, after all that it waits for."""
        spec = job.spec
        if not spec.after and not spec.start.delay_seconds and spec.schedule is None:
            self.queue(job, Trigger.START)
            return
        self._store.move(job, Trigger.ARM, JobState.WAITING, WaitingFor.DEPENDENCY)
        job.reason = None
        self.check_dependencies(job)

    def check_dependencies(self, job: JobRecord) -> None:
        """Go on with a job that waits for others, or skip it, or leave it waiting."""
        if self._update_waiting(job):
            self.update_dependents(job)

    def update_dependents(self, job: JobRecord) -> None:
        """Have those look again that wait for this job, and then those that wait for the ones that are skipped."""
        if not self._store.has_dependents(job.spec.family):
            return  # mostly: a thousand firings a second have nobody to tell
        # A list, and no recursion: a chain of jobs may be longer than the interpreter's stack.
        at_rest = deque((job,))
        while at_rest:
            for dependent in self._store.dependents_of(at_rest.popleft()):
                if dependent.waiting_for is WaitingFor.DEPENDENCY and self._update_waiting(dependent):
                    at_rest.append(dependent)

    def _update_waiting(self, job: JobRecord) -> bool:
        """Go on with a job that waits for others as they stand; tell whether that was the end of its waiting."""
        verdict = evaluate(job.spec.after, self._store.families)
        if verdict.is_satisfied:
            self._after_dependencies(job)
        elif verdict.is_impossible:
            self._store.move(job, Trigger.NEEDS_LOST, JobState.SKIPPED)
            job.reason = Reason(ReasonKind.DEPENDENCY, verdict.text)
            self._store.emit(EventName.SKIPPED, job.spec.name, reason=job.reason)
        return not job.is_active

    def _after_dependencies(self, job: JobRecord) -> None:
        delay = job.spec.start.delay_seconds
        if delay > 0:
            self._store.move(job, Trigger.NEEDS_MET, JobState.WAITING, WaitingFor.DELAY)
            job.due_at = self._store.now.mono + delay
            self._deadlines.add(job.due_at, Due.DELAY, job)
        else:
            self._after_waits(job, Trigger.NEEDS_MET)

    def _after_waits(self, job: JobRecord, trigger: Trigger) -> None:
        schedule = job.spec.schedule
        if schedule is None:
            self.queue(job, trigger)
            return
        self._store.move(job, trigger, JobState.WAITING, WaitingFor.FIRING)
        is_armed = self.timers.arm(job, schedule)
        if schedule.immediately:
            self.queue(job, Trigger.FIRED)
        elif not is_armed:
            self.schedule_exhausted(job)

    def schedule_exhausted(self, job: JobRecord) -> None:
        """Let a job come to rest that waits for its next firing, and whose schedule has no instant left.

        What that means for others is not drawn yet.
        """
        self._store.move(job, Trigger.FIRED, JobState.FINISHED)
        job.reason = Reason(ReasonKind.FINISHED, "its schedule has no instant to come")
        self._store.emit(EventName.SKIPPED, job.spec.name, reason=job.reason)

    def rearm(self, job: JobRecord) -> None:
        """Have the schedule go on of a job that a person starts; a stop had ended it."""
        if job.spec.schedule is not None and job.next_firing is None:
            self.timers.arm(job, job.spec.schedule)

    def _fire(self, job: JobRecord) -> None:
        self.queue(job, Trigger.FIRED)

    def _end_schedule(self, job: JobRecord) -> None:
        self.schedule_exhausted(job)
        self.propagate(job)

    # -- what falls due

    def delay_over(self, job: JobRecord) -> None:
        """Go on once the start delay is over."""
        self._after_waits(job, Trigger.DELAY_OVER)
        if not job.is_active:
            self.update_dependents(job)

    def backoff_over(self, job: JobRecord) -> None:
        """Restart the job, now or as soon as the gate lets it in."""
        now = self._store.now.mono
        if not self._at_gate and self._gate.try_acquire(now):
            self._restart(job)
            return
        if not self._at_gate:
            self._deadlines.add(self._gate.opens_at, Due.GATE)
        self._at_gate.append((job, job.due_at or now))

    def open_gate(self) -> None:
        """Let in as many of the waiting restarts as may begin now."""
        waiting, now = self._at_gate, self._store.now.mono
        while waiting:
            job, due_at = waiting[0]
            if not self._is_waiting_for_backoff(job, due_at):
                waiting.popleft()  # stopped, fired or started by hand meanwhile
                continue
            if not self._gate.try_acquire(now):
                self._deadlines.add(self._gate.opens_at, Due.GATE)
                return
            waiting.popleft()
            self._restart(job)

    def is_stale(self, when: float, due: Due, job: JobRecord) -> bool:
        """Tell whether the end of a delay or a backoff no longer counts."""
        if due is Due.BACKOFF:
            return not self._is_waiting_for_backoff(job, when)
        return job.waiting_for is not WaitingFor.DELAY or job.due_at != when

    def _is_waiting_for_backoff(self, job: JobRecord, due_at: float) -> bool:
        return job.waiting_for is WaitingFor.BACKOFF and job.due_at == due_at

    def _restart(self, job: JobRecord) -> None:
        backoff, now = job.backoff or Backoff(), self._store.now.mono
        was_flapping = backoff.is_flapping(now)
        backoff.note(job.spec.restart, now)
        job.restarts += 1
        last = job.last_run
        self.queue(job, Trigger.BACKOFF_OVER, last.attempt + 1 if last is not None else 1)
        if not was_flapping and backoff.is_flapping(now):
            self._store.emit(EventName.FLAPPING, job.spec.name, data={"restarts": backoff.count_recent(now)})

    # -- what follows a run

    def begin_follow_up(self, run: RunRecord, trigger: Trigger, *, is_permanent: bool = False) -> None:
        """Begin what follows: the run's end is in the store, and it executes no more."""
        job, store = run.job, self._store
        if trigger is Trigger.LATE_EXIT:
            # What follows was decided when it was abandoned; since then a person may have changed that.
            then = job.follow_up if self._shutdown.phase is Phase.OPEN else FollowUp.NOTHING
        else:
            then = self._decide_follow_up(run, is_permanent=is_permanent)
        if then is FollowUp.NOTHING or then is FollowUp.REMOVAL:
            self._finish(job, trigger)
        elif then is FollowUp.RETRY:
            self._schedule_restart(run, trigger)
        else:
            store.move(job, trigger, JobState.WAITING, WaitingFor.START)
            self.queue(job, Trigger.FIRED if then is FollowUp.FIRING else Trigger.START)
        if then is FollowUp.REMOVAL:
            self.remove(job)
        self.propagate(job)

    def remember_follow_up(self, run: RunRecord) -> None:
        """Decide, when a run is abandoned, what its late exit will release."""
        run.job.follow_up = self._decide_follow_up(run, is_permanent=False)
        self.propagate(run.job)

    def propagate(self, job: JobRecord) -> None:
        """Draw the consequences for others of how the job stands now."""
        # First this: nobody is started any more because of a job whose failure stops everything.
        if job.has_failed and job.spec.essential and (job.has_given_up or job.next_firing is None):
            reason = Reason(ReasonKind.ESSENTIAL, f"job {job.spec.name!r} failed for good")
            self._shutdown.begin(reason, self._stop_within)
        self.update_dependents(job)

    def remove(self, job: JobRecord) -> None:
        """Take away a job that has no run and waits for nothing; to tell its dependents is the caller's."""
        self._store.forget(job)
        self.timers.forget(job)
        self._store.emit(EventName.JOB_REMOVED, job.spec.name)
        self._store.actions.append(actions.ForgetJob(job.spec.name))

    def _finish(self, job: JobRecord, trigger: Trigger) -> None:
        if job.next_firing is not None:
            self._store.move(job, trigger, JobState.WAITING, WaitingFor.FIRING)
        else:
            self._store.move(job, trigger, JobState.FINISHED)
            if not job.spec.enabled:
                self._store.move(job, Trigger.RELOADED, JobState.DISABLED)

    def _decide_follow_up(self, run: RunRecord, *, is_permanent: bool) -> FollowUp:
        """Say what follows, and mark a job that failed for good. Nothing follows once everything stops."""
        job = run.job
        has_failed = _counts_as_failure(run)
        then = job.follow_up
        if self._shutdown.phase is not Phase.OPEN:
            then = FollowUp.NOTHING
        elif then is FollowUp.POLICY or then is FollowUp.RETRY:
            then = self._by_policy(run, has_failed=has_failed, is_permanent=is_permanent)
        job.has_failed = job.has_given_up or (has_failed and then is FollowUp.NOTHING)
        return then

    def _by_policy(self, run: RunRecord, *, has_failed: bool, is_permanent: bool) -> FollowUp:
        job, policy = run.job, run.job.spec.restart
        is_wanted = (
            job.follow_up is FollowUp.RETRY
            or policy.when is RestartWhen.ALWAYS
            or (policy.when is RestartWhen.ON_FAILURE and has_failed)
        )
        if not is_wanted:
            return FollowUp.NOTHING
        if is_permanent:
            self._give_up(run, "permanent failure")
            return FollowUp.NOTHING
        if job.backoff is None:
            job.backoff = Backoff()
        if job.backoff.is_exhausted(policy, self._store.now.mono) and policy.limit is not None:
            self._give_up(run, f"more than {policy.limit.times} restarts within {duration(policy.limit.within)}")
            return FollowUp.NOTHING
        return FollowUp.RETRY

    def _give_up(self, run: RunRecord, why: str) -> None:
        run.job.has_given_up = True
        self._store.emit_run(EventName.GAVE_UP, run, data={"why": why})

    def _schedule_restart(self, run: RunRecord, trigger: Trigger) -> None:
        job, store = run.job, self._store
        backoff = job.backoff = job.backoff or Backoff()
        wait = backoff.next_delay(job.spec.restart, run.ready_seconds, self._random())
        store.move(job, trigger, JobState.WAITING, WaitingFor.BACKOFF)
        job.due_at = store.now.mono + wait
        self._deadlines.add(job.due_at, Due.BACKOFF, job)
        store.emit_run(EventName.RESTART_SCHEDULED, run, seconds=wait)


def _counts_as_failure(run: RunRecord) -> bool:
    """Tell whether the end was a failure; an abandoned run ended as what it was stopped for."""
    if run.outcome is Outcome.ABANDONED and run.reason is not None:
        return run.reason.kind in (ReasonKind.DEADLINE, ReasonKind.WATCHDOG)
    return run.outcome in FAILURES
