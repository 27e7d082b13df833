"""The stop ladder of one run: ask, wait, hurry, name. What comes after `within` is the join policy's.

A stop sets its deadlines as data: at three quarters of `within` the run is hurried, and at `within` it is named:
the shell looks where it stands and answers with StackCaptured.
"""

from __future__ import annotations

from itertools import islice

from taskloom.core.actions import CancelRun, CaptureStack, MarkUrgent, ReportStopProgress
from taskloom.core.deadlines import DeadlineKind, Deadlines
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Reason, WaitingFor
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.store import JobStore
from taskloom.core.transitions import Trigger

__all__ = ["FIRST_PROGRESS_SECONDS", "PROGRESS_RUNS", "PROGRESS_SECONDS", "URGENT_SHARE", "StopSequence"]

# A stop that is quicker than this needs no words; supervisord and process-compose say "waiting for" every 3 s.
FIRST_PROGRESS_SECONDS = 2.0
PROGRESS_SECONDS = 3.0
PROGRESS_RUNS = 5
# The last quarter of the time is for those who can drop work: benthos splits its shutdown at 3/4 too.
URGENT_SHARE = 0.75
_NEVER = float("inf")


class StopSequence:
    """All runs that are being stopped."""

    def __init__(self, store: JobStore, deadlines: Deadlines) -> None:
        self.stopping: dict[str, RunRecord] = {}
        """The runs that a stop awaits, oldest ask first; an overdue one is awaited no more."""
        self.latest = _NEVER
        """Monotonic seconds: the deadline of a whole shutdown, which cuts every run's own."""
        self._store = store
        self._deadlines = deadlines
        self._progress_at = _NEVER
        self._urgent = DeadlineKind(self.mark_urgent, lambda _, run: run.is_urgent or run.id not in self.stopping)
        self._overdue = DeadlineKind(
            self._capture_stack, lambda when, run: run.overdue_at != when or run.id not in self.stopping
        )
        self._progress = DeadlineKind(self._report_progress, lambda when, _: when != self._progress_at)

    def stop(self, job: JobRecord, reason: Reason) -> None:
        """Carry out a STOP on the job, whatever its state: all that was pending ends, and its run is asked."""
        store = self._store
        job.next_firing = None
        self._cancel_follow_up(job)
        if job.state is JobState.WAITING and job.waiting_for is not WaitingFor.START:
            store.move(job, Trigger.STOP, JobState.SKIPPED if job.last_run is None else JobState.FINISHED)
            job.reason = reason
            store.emit(EventName.SKIPPED, job.spec.name, reason=reason)
        elif job.state is JobState.RUNNING and job.run is not None:
            self.request(job.run, reason)
        else:
            store.move(job, Trigger.STOP, job.state, job.waiting_for)

    def cancel(self, job: JobRecord, reason: Reason) -> None:
        """Stop the job's run, which no restart follows; its schedule goes on, a queued firing included."""
        if job.follow_up is not FollowUp.FIRING:
            self._cancel_follow_up(job)
        if job.run is not None:
            self.request(job.run, reason)

    def request(self, run: RunRecord, reason: Reason) -> None:
        """Ask a run to stop; what follows it is not decided here. The first reason counts, later ones are nothing."""
        if run.job.state is JobState.RUNNING:
            self._store.move(run.job, Trigger.STOP, JobState.STOPPING)
            self._begin(run, reason)

    def _cancel_follow_up(self, job: JobRecord) -> None:
        # A job that a reload took away goes all the same.
        if job.follow_up is not FollowUp.REMOVAL:
            job.follow_up = FollowUp.NOTHING

    def limit_all(self, deadline: float) -> None:
        """Let no run have longer than that, now and from now on."""
        self.latest = min(self.latest, deadline)
        for run in self.stopping.values():
            self._set_overdue(run, min(run.overdue_at, self._latest_for(run)))

    def mark_all_urgent(self) -> None:
        """Tell every run that is awaited that little time is left."""
        for run in self.stopping.values():
            self.mark_urgent(run)

    def release(self, run: RunRecord) -> None:
        """Await the run no more: it has ended, or is overdue."""
        self.stopping.pop(run.id, None)
        if not self.stopping:
            self._progress_at = _NEVER

    # -- what falls due

    def mark_urgent(self, run: RunRecord) -> None:
        """Tell a run that little time is left; twice is once."""
        if not run.is_urgent:
            run.is_urgent = True
            self._store.actions.append(MarkUrgent(run.id))

    def _capture_stack(self, run: RunRecord) -> None:
        """Have somebody look where the run stands."""
        self._store.actions.append(CaptureStack(run.id))

    def _report_progress(self, _: None) -> None:
        """Say who is awaited, and come back."""
        first = tuple(islice(self.stopping, PROGRESS_RUNS))
        self._store.actions.append(ReportStopProgress(first, len(self.stopping) - len(first)))
        self._set_progress(PROGRESS_SECONDS)

    # -- setting deadlines

    def _begin(self, run: RunRecord, reason: Reason) -> None:
        store, now = self._store, self._store.now
        run.requested, run.reason, run.job.reason = now, reason, reason
        self.stopping[run.id] = run
        store.emit_run(EventName.CANCEL_REQUESTED, run, reason=reason)
        store.actions.append(CancelRun(run.id, reason))
        self._set_overdue(run, min(now.mono + run.spec.join.within, self._latest_for(run)))
        if self._progress_at == _NEVER:
            self._set_progress(FIRST_PROGRESS_SECONDS)

    def _latest_for(self, run: RunRecord) -> float:
        # A level may be asked after the deadline of the shutdown: to look where the one before hangs takes time.
        return max(self.latest, run.requested.mono) if run.requested is not None else self.latest

    def _set_overdue(self, run: RunRecord, overdue_at: float) -> None:
        """Set when the join policy decides, and when the run is hurried before that."""
        if overdue_at == run.overdue_at or run.requested is None:
            return
        run.overdue_at = overdue_at
        self._deadlines.add(run.requested.mono + URGENT_SHARE * (overdue_at - run.requested.mono), self._urgent, run)
        self._deadlines.add(overdue_at, self._overdue, run)

    def _set_progress(self, seconds: float) -> None:
        self._progress_at = self._store.now.mono + seconds
        self._deadlines.add(self._progress_at, self._progress)
