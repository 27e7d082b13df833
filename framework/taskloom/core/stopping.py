"""The stop ladder of one run: request, wait, mark urgent, capture the stack. After `within` the join policy decides.

A stop sets its deadlines as data. At three quarters of `within` the run is marked urgent. At `within` the engine is
asked where the run is, and answers with StackCaptured.

With `otherwise: kill` there are two more steps. Shortly before `within` is over, the processes of the run get TERM.
When its stack was captured they are killed, and the stop still waits for the run, which is gone within milliseconds.
If the kernel cannot kill it, such as in a read from a disk that does not answer, it is abandoned after KILL_SECONDS.

No stop waits for a run with `join: 0s`. A whole shutdown goes on without it, and decides about it at its end: a run
that is still alive then is abandoned, and one that has ended is not. A run that can be killed is killed at the end of
its level: what it depends on is stopped when it is gone. The stop of a single job decides at the next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from taskloom.core.actions import CancelRun, CaptureStack, KillRun, MarkUrgent, ReportStopProgress, TerminateRun
from taskloom.core.deadlines import DeadlineKind
from taskloom.core.events import NOTHING, EventName
from taskloom.core.model import JobSpec, JobState, Reason, WaitingFor
from taskloom.core.recording import drop_recording
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision

__all__ = [
    "FIRST_PROGRESS_SECONDS",
    "KILL_SECONDS",
    "PROGRESS_RUNS",
    "PROGRESS_SECONDS",
    "TERM_SECONDS",
    "TERM_SHARE",
    "URGENT_SHARE",
    "StopSequence",
    "longest_kill",
    "terminate_at",
]

# A quicker stop needs no progress report; supervisord and process-compose report "waiting for" every 3 s.
FIRST_PROGRESS_SECONDS = 2.0
PROGRESS_SECONDS = 3.0
PROGRESS_RUNS = 5
# In the last quarter of the time, tasks that can drop work should do so: benthos splits its shutdown at 3/4 too.
URGENT_SHARE = 0.75
# TERM comes so long before KILL, but not before the last fifth of the time: the run has the rest for a clean end.
TERM_SECONDS = 2.0
TERM_SHARE = 0.2
# A killed process is gone within milliseconds. On a machine with ten times more work than processors that takes over a
# second: the supervisor, the dying process and the program must each get a processor. A runner calls a run elsewhere
# lost after 2 s without a confirmed end; the rest is for the way of that report.
KILL_SECONDS = 3.0
_NEVER = float("inf")


def longest_kill(spec: JobSpec) -> float:
    """Return for how many seconds a stop waits at most for a run of the job that it has killed."""
    return KILL_SECONDS if spec.join.kills else 0.0


def terminate_at(requested: float, overdue_at: float) -> float:
    """Return when a run that can be killed gets TERM. All times in monotonic seconds; inf if it is never overdue."""
    return overdue_at - min(TERM_SECONDS, TERM_SHARE * (overdue_at - requested))


class StopSequence:
    """All runs that are being stopped. `outlive` decides about a run that a stop waits for no longer."""

    def __init__(self, store: JobStore, outlive: Callable[[RunRecord], None]) -> None:
        self.stopping: dict[str, RunRecord] = {}
        """The runs that a stop waits for, earliest request first; overdue ones only while they are being killed."""
        self.latest = _NEVER
        """The deadline of a whole shutdown in monotonic seconds, which limits the deadline of every run."""
        # The runs that a whole shutdown does not wait for, until its end; None before a shutdown.
        self._unawaited: dict[str, RunRecord] | None = None
        # Those that it does not wait for until their level is over, and kills then.
        self._unkilled: dict[str, RunRecord] = {}
        self._store = store
        self._progress_at = _NEVER
        self._urgent = DeadlineKind(
            self.mark_urgent, lambda _, run: run.is_urgent or not self._is_pending(run), RunRecord.has_met
        )
        self._overdue = DeadlineKind(
            lambda run: self._store.actions.append(CaptureStack(run.id)),
            lambda when, run: run.overdue_at != when or run.id not in self.stopping,
            RunRecord.has_met,
        )
        self._terminate = DeadlineKind(
            self._send_term,
            lambda _, run: run.terminated is not None or run.killed is not None or run.id not in self.stopping,
            RunRecord.has_met,
        )
        self._unkillable = DeadlineKind(outlive, lambda _, run: run.id not in self.stopping, RunRecord.has_met)
        self._progress = DeadlineKind(self._report_progress, lambda when, _: when != self._progress_at)

    # -- beginning and ending a stop

    def stop(self, job: JobRecord, reason: Reason) -> None:
        """Stop the job in any state: disarm its schedule, end its wait, and request its run to stop."""
        store = self._store
        store.set_next_firing(job, None)
        self._cancel_follow_up(job)
        if job.state is JobState.WAITING and job.waiting_for is not WaitingFor.START:
            drop_recording(store, job, "stopping")
            store.move(job, Decision.SKIP if job.last_run is None else Decision.FINISH)
            job.reason = reason
            store.emit(EventName.SKIPPED, job.spec.name, reason=reason, data=_disarmed(job))
        elif job.run is not None:
            self.request(job.run, reason, _disarmed(job))

    def cancel(self, job: JobRecord, reason: Reason) -> None:
        """Stop the job's run without a restart. Its schedule goes on, including a queued firing."""
        if job.follow_up is not FollowUp.FIRING:
            self._cancel_follow_up(job)
        if job.run is not None:
            self.request(job.run, reason)

    def request(self, run: RunRecord, reason: Reason, data: Mapping[str, Any] = NOTHING) -> None:
        """Request the run to stop, whatever follows it. Only the first request counts. `data`: of the event."""
        if run.job.state is not JobState.RUNNING:
            return
        store, now = self._store, self._store.now
        store.move(run.job, Decision.REQUEST_STOP)
        store.record_request(run, reason)
        store.emit_run(EventName.CANCEL_REQUESTED, run, reason=reason, data=data)
        store.actions.append(CancelRun(run.id, reason))
        if self._unawaited is not None and not run.spec.join.is_awaited:
            waiting = self._unkilled if run.spec.join.kills else self._unawaited
            waiting[run.id] = run
            self._store.deadlines.add(now.mono, self._urgent, run)
            return
        self.stopping[run.id] = run
        self._set_overdue(run, min(now.mono + run.spec.join.within, self._latest_for(run)))
        if self._progress_at == _NEVER:
            self._set_progress(FIRST_PROGRESS_SECONDS)

    def kill(self, run: RunRecord) -> None:
        """Kill an overdue run, and wait until it is gone."""
        run.killed = self._store.now
        self._store.actions.append(KillRun(run.id))
        self._store.deadlines.add(run.killed.mono + KILL_SECONDS, self._unkillable, run)

    def release(self, run: RunRecord) -> None:
        """Stop waiting for the run: it has ended, or the join policy has decided about it. Idempotent."""
        self.stopping.pop(run.id, None)
        self._unkilled.pop(run.id, None)
        if self._unawaited is not None:
            self._unawaited.pop(run.id, None)
        if not self.stopping:
            self._progress_at = _NEVER

    def _cancel_follow_up(self, job: JobRecord) -> None:
        # A job that a reload removed is still removed.
        if job.follow_up is not FollowUp.REMOVAL:
            self._store.set_follow_up(job, FollowUp.NOTHING)

    # -- a whole shutdown

    def begin_whole(self, deadline: float) -> None:
        """Limit every stop to the deadline of a whole shutdown; it will not wait for runs with `join: 0s`."""
        self._unawaited = {}
        self.limit_all(deadline)

    def decide_unkilled(self) -> list[str]:
        """Have those of these runs captured at the next tick that can be killed: their level is over otherwise."""
        return self._decide(self._unkilled)

    def decide_unawaited(self) -> list[str]:
        """Have all others captured at the next tick: the shutdown is over otherwise. Both return the ids."""
        return self._decide(self._unawaited or {})

    def _decide(self, waiting: dict[str, RunRecord]) -> list[str]:
        runs = list(waiting.values())
        waiting.clear()
        for run in runs:
            self.stopping[run.id] = run
            run.overdue_at = self._store.now.mono
            self._add_decision(run)
        return [run.id for run in runs]

    def _is_pending(self, run: RunRecord) -> bool:
        return run.id in self.stopping or run.id in self._unkilled or run.id in (self._unawaited or ())

    # -- deadlines

    def limit_all(self, deadline: float) -> None:
        """Limit every stop to this deadline, in monotonic seconds; later stops as well."""
        self.latest = min(self.latest, deadline)
        for run in self.stopping.values():
            # A deadline that is due is acted on once; an earlier one would be due a second time.
            if run.overdue_at > self._store.now.mono:
                self._set_overdue(run, min(run.overdue_at, self._latest_for(run)))

    def mark_urgent(self, run: RunRecord) -> None:
        """Tell a run that little time is left; idempotent."""
        if not run.is_urgent:
            run.is_urgent = True
            self._store.actions.append(MarkUrgent(run.id))

    def _send_term(self, run: RunRecord) -> None:
        run.terminated = self._store.now
        self._store.actions.append(TerminateRun(run.id))

    def _report_progress(self, _: None) -> None:
        first = tuple(islice(self.stopping, PROGRESS_RUNS))
        self._store.actions.append(ReportStopProgress(first, len(self.stopping) - len(first)))
        self._set_progress(PROGRESS_SECONDS)

    def _latest_for(self, run: RunRecord) -> float:
        # A level may be stopped after the deadline of the shutdown: capturing the stacks of the last one takes time.
        return max(self.latest, run.requested.mono) if run.requested is not None else self.latest

    def _set_overdue(self, run: RunRecord, overdue_at: float) -> None:
        """Set when the join policy decides, and when the run is marked urgent before that."""
        if overdue_at == run.overdue_at or run.requested is None:
            return
        run.overdue_at = overdue_at
        urgent_at = run.requested.mono + URGENT_SHARE * (overdue_at - run.requested.mono)
        self._store.deadlines.add(urgent_at, self._urgent, run)
        self._add_decision(run)

    def _add_decision(self, run: RunRecord) -> None:
        """Have the join policy decide when the run is overdue; one that will be killed gets TERM before that."""
        requested, overdue_at = run.requested, run.overdue_at
        if requested is not None and run.spec.join.kills:  # TERM first, also where both are due at one instant
            self._store.deadlines.add(terminate_at(requested.mono, overdue_at), self._terminate, run)
        self._store.deadlines.add(overdue_at, self._overdue, run)

    def _set_progress(self, seconds: float) -> None:
        self._progress_at = self._store.now.mono + seconds
        self._store.deadlines.add(self._progress_at, self._progress)


def _disarmed(job: JobRecord) -> Mapping[str, Any]:
    """Return the data of an event: whether a user has stopped a schedule that catches up, so nothing is made up for."""
    schedule = job.spec.schedule
    return {"disarmed": True} if job.is_stopped and schedule is not None and schedule.catches_up else NOTHING
