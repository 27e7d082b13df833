"""How runs come to be, and what follows when one has ended: dependencies, delays, restarts, firings.

A job that starts by itself goes through up to three waits, in this order: for the jobs that it needs, for its start
delay, and for its schedule. A run that ended is followed by what `Then` says, else by what the restart policy says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from taskloom.core import actions
from taskloom.core.deadlines import Deadlines, Due
from taskloom.core.dependencies import judge
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Outcome, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import RestartWhen
from taskloom.core.records import JobRecord, RunRecord, Then
from taskloom.core.restart import Backoff, RestartGate
from taskloom.core.scheduling import Firings
from taskloom.core.shutdown import WholeStop
from taskloom.core.stopping import StopLadder
from taskloom.core.store import Books
from taskloom.core.transitions import Trigger

__all__ = ["FAILURES", "Supervision"]

FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.START_FAILED)


class Supervision:
    """Begins every run there is. `chance` draws a number from 0.0 to 1.0; `stop_within` is what a stop of
    everything gets that an essential job brings about, in seconds.
    """

    def __init__(
        self,
        books: Books,
        deadlines: Deadlines,
        ladder: StopLadder,
        shutdown: WholeStop,
        *,
        chance: Callable[[], float],
        stop_within: float,
    ) -> None:
        self.firings = Firings(books, deadlines, ladder, fire=self._fire, run_dry=self._fire_no_more, chance=chance)
        self._books = books
        self._deadlines = deadlines
        self._ladder = ladder
        self._shutdown = shutdown
        self._chance = chance
        self._stop_within = stop_within
        self._gate = RestartGate()
        # Restarts whose delay is over, and that the gate has not let in yet; with their `due_at`, to know them by.
        self._at_gate: deque[tuple[JobRecord, float]] = deque()

    # -- how a run comes to be

    def queue(self, job: JobRecord, trigger: Trigger, attempt: int = 1) -> None:
        """Have the runner begin a run of the job."""
        books, spec = self._books, job.spec
        books.move(job, trigger, JobState.RUNNING)
        job.runs += 1
        job.number += 1
        job.reason = None
        job.then = Then.POLICY
        job.has_failed = job.has_given_up = False
        run = RunRecord(f"{spec.name}#{job.number}", job, attempt, books.now, spec)
        job.run = job.last_run = run
        books.runs[run.id] = run
        books.emit_run(EventName.QUEUED, run)
        books.todo.append(actions.StartRun(run.id, spec, attempt, spec.replica))
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
        self._books.move(job, Trigger.ARM, JobState.WAITING, WaitingFor.DEPENDENCY)
        job.reason = None
        self.look_at_needs(job)

    def look_at_needs(self, job: JobRecord) -> None:
        """Go on with a job that waits for others, or skip it, or leave it waiting."""
        if self._comes_to_rest(job):
            self.tell_dependents(job)

    def tell_dependents(self, job: JobRecord) -> None:
        """Have those look again that wait for this job, and then those that wait for the ones that are skipped."""
        if not self._books.is_needed(job.spec.family):
            return  # mostly: a thousand firings a second have nobody to tell
        # A list, and no recursion: a chain of jobs may be longer than the interpreter's stack.
        at_rest = deque((job,))
        while at_rest:
            for dependent in self._books.dependents_of(at_rest.popleft()):
                if dependent.waiting_for is WaitingFor.DEPENDENCY and self._comes_to_rest(dependent):
                    at_rest.append(dependent)

    def _comes_to_rest(self, job: JobRecord) -> bool:
        """Go on with a job that waits for others as they stand; tell whether that was the end of its waiting."""
        verdict = judge(job.spec.after, self._books.families)
        if verdict.is_met:
            self._after_needs(job)
        elif verdict.is_lost:
            self._books.move(job, Trigger.NEEDS_LOST, JobState.SKIPPED)
            job.reason = Reason(ReasonKind.DEPENDENCY, verdict.text)
            self._books.emit(EventName.SKIPPED, job.spec.name, reason=job.reason)
        return not job.is_active

    def _after_needs(self, job: JobRecord) -> None:
        delay = job.spec.start.delay_seconds
        if delay > 0:
            self._books.move(job, Trigger.NEEDS_MET, JobState.WAITING, WaitingFor.DELAY)
            job.due_at = self._books.now.mono + delay
            self._deadlines.add(job.due_at, Due.DELAY, job)
        else:
            self._after_waits(job, Trigger.NEEDS_MET)

    def _after_waits(self, job: JobRecord, trigger: Trigger) -> None:
        schedule = job.spec.schedule
        if schedule is None:
            self.queue(job, trigger)
            return
        self._books.move(job, trigger, JobState.WAITING, WaitingFor.FIRING)
        is_armed = self.firings.arm(job, schedule)
        if schedule.immediately:
            self.queue(job, Trigger.FIRED)
        elif not is_armed:
            self.run_dry(job)

    def run_dry(self, job: JobRecord) -> None:
        """Let a job come to rest that waits for its next firing, and whose schedule has no instant left.

        What that means for others is not drawn yet.
        """
        self._books.move(job, Trigger.FIRED, JobState.FINISHED)
        job.reason = Reason(ReasonKind.FINISHED, "its schedule has no instant to come")
        self._books.emit(EventName.SKIPPED, job.spec.name, reason=job.reason)

    def rearm(self, job: JobRecord) -> None:
        """Have the schedule go on of a job that a person starts; a stop had ended it."""
        if job.spec.schedule is not None and job.firing is None:
            self.firings.arm(job, job.spec.schedule)

    def _fire(self, job: JobRecord) -> None:
        self.queue(job, Trigger.FIRED)

    def _fire_no_more(self, job: JobRecord) -> None:
        self.run_dry(job)
        self.settle(job)

    # -- what falls due

    def delay_over(self, job: JobRecord) -> None:
        """Go on once the start delay is over."""
        self._after_waits(job, Trigger.DELAY_OVER)
        if not job.is_active:
            self.tell_dependents(job)

    def backoff_over(self, job: JobRecord) -> None:
        """Restart the job, now or as soon as the gate lets it in."""
        now = self._books.now.mono
        if not self._at_gate and self._gate.let_in(now):
            self._restart(job)
            return
        if not self._at_gate:
            self._deadlines.add(self._gate.opens_at, Due.GATE)
        self._at_gate.append((job, job.due_at or now))

    def open_gate(self) -> None:
        """Let in as many of the waiting restarts as may begin now."""
        waiting, now = self._at_gate, self._books.now.mono
        while waiting:
            job, due_at = waiting[0]
            if not self._is_waiting_for_backoff(job, due_at):
                waiting.popleft()  # stopped, fired or started by hand meanwhile
                continue
            if not self._gate.let_in(now):
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
        backoff, now = job.backoff or Backoff(), self._books.now.mono
        was_flapping = backoff.is_flapping(now)
        backoff.note(job.spec.restart, now)
        job.restarts += 1
        last = job.last_run
        self.queue(job, Trigger.BACKOFF_OVER, last.attempt + 1 if last is not None else 1)
        if not was_flapping and backoff.is_flapping(now):
            self._books.emit(EventName.FLAPPING, job.spec.name, data={"restarts": backoff.count_recent(now)})

    # -- what follows a run

    def follow(self, run: RunRecord, trigger: Trigger, *, is_permanent: bool = False) -> None:
        """Begin what follows: the run's end is in the books, and it executes no more."""
        job, books = run.job, self._books
        if trigger is Trigger.LATE_EXIT:
            # What follows was decided when it was abandoned; since then a person may have changed that.
            then = job.then if self._shutdown.phase is Phase.OPEN else Then.NOTHING
        else:
            then = self._what_follows(run, is_permanent=is_permanent)
        if then is Then.NOTHING or then is Then.REMOVAL:
            self._come_to_rest(job, trigger)
        elif then is Then.RETRY:
            self._schedule_restart(run, trigger)
        else:
            books.move(job, trigger, JobState.WAITING, WaitingFor.START)
            self.queue(job, Trigger.FIRED if then is Then.FIRING else Trigger.START)
        if then is Then.REMOVAL:
            self.remove(job)
        self.settle(job)

    def keep_pending(self, run: RunRecord) -> None:
        """Decide, when a run is abandoned, what its late exit will release."""
        run.job.then = self._what_follows(run, is_permanent=False)
        self.settle(run.job)

    def settle(self, job: JobRecord) -> None:
        """Draw the consequences for others of how the job stands now."""
        # First this: nobody is started any more because of a job whose failure stops everything.
        if job.has_failed and job.spec.essential and (job.has_given_up or job.firing is None):
            reason = Reason(ReasonKind.ESSENTIAL, f"job {job.spec.name!r} failed for good")
            self._shutdown.begin(reason, self._stop_within)
        self.tell_dependents(job)

    def remove(self, job: JobRecord) -> None:
        """Take away a job that has no run and waits for nothing; to tell its dependents is the caller's."""
        self._books.forget(job)
        self.firings.forget(job)
        self._books.emit(EventName.JOB_REMOVED, job.spec.name)
        self._books.todo.append(actions.ForgetJob(job.spec.name))

    def _come_to_rest(self, job: JobRecord, trigger: Trigger) -> None:
        if job.firing is not None:
            self._books.move(job, trigger, JobState.WAITING, WaitingFor.FIRING)
        else:
            self._books.move(job, trigger, JobState.FINISHED)
            if not job.spec.enabled:
                self._books.move(job, Trigger.RELOADED, JobState.DISABLED)

    def _what_follows(self, run: RunRecord, *, is_permanent: bool) -> Then:
        """Say what follows, and mark a job that failed for good. Nothing follows once everything stops."""
        job = run.job
        has_failed = _counts_as_failure(run)
        then = job.then
        if self._shutdown.phase is not Phase.OPEN:
            then = Then.NOTHING
        elif then is Then.POLICY or then is Then.RETRY:
            then = self._by_policy(run, has_failed=has_failed, is_permanent=is_permanent)
        job.has_failed = job.has_given_up or (has_failed and then is Then.NOTHING)
        return then

    def _by_policy(self, run: RunRecord, *, has_failed: bool, is_permanent: bool) -> Then:
        job, policy = run.job, run.job.spec.restart
        is_wanted = (
            job.then is Then.RETRY
            or policy.when is RestartWhen.ALWAYS
            or (policy.when is RestartWhen.ON_FAILURE and has_failed)
        )
        if not is_wanted:
            return Then.NOTHING
        if is_permanent:
            self._give_up(run, "permanent failure")
            return Then.NOTHING
        if job.backoff is None:
            job.backoff = Backoff()
        if job.backoff.is_exhausted(policy, self._books.now.mono) and policy.limit is not None:
            self._give_up(run, f"more than {policy.limit.times} restarts within {policy.limit.within:g} s")
            return Then.NOTHING
        return Then.RETRY

    def _give_up(self, run: RunRecord, why: str) -> None:
        run.job.has_given_up = True
        self._books.emit_run(EventName.GAVE_UP, run, data={"why": why})

    def _schedule_restart(self, run: RunRecord, trigger: Trigger) -> None:
        job, books = run.job, self._books
        backoff = job.backoff = job.backoff or Backoff()
        wait = backoff.next_delay(job.spec.restart, run.ready_seconds, self._chance())
        books.move(job, trigger, JobState.WAITING, WaitingFor.BACKOFF)
        job.due_at = books.now.mono + wait
        self._deadlines.add(job.due_at, Due.BACKOFF, job)
        books.emit_run(EventName.RESTART_SCHEDULED, run, seconds=wait)


def _counts_as_failure(run: RunRecord) -> bool:
    """Tell whether the end was a failure; an abandoned run ended as what it was stopped for."""
    if run.outcome is Outcome.ABANDONED and run.reason is not None:
        return run.reason.kind in (ReasonKind.DEADLINE, ReasonKind.WATCHDOG)
    return run.outcome in FAILURES
