"""Forget the failures of a job: its restart delay, the restarts that its limit counts, and that it gave up.

A user requests it when the cause of the failures is removed. A reload does it when it changes what the job fails
because of (`may_fix`). A start that the failures delayed comes at once then, and a job that they ended begins again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from taskloom.core.events import EventName
from taskloom.core.model import JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import RestartWhen
from taskloom.core.records import FollowUp, JobRecord
from taskloom.core.requirements import DependencyState
from taskloom.core.starting import Starter
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision

__all__ = ["Resetter", "may_fix"]


class Resetter:
    """Forgets failures."""

    def __init__(self, store: JobStore, starter: Starter) -> None:
        self._store = store
        self._starter = starter

    def reset(self, job: JobRecord, reason: Reason) -> None:
        """Forget the failures of a job, and begin the run that they delayed or prevented. Idempotent.

        A job that gave up goes on by its schedule, if that is armed. Without one it starts, after its dependencies. One
        that a user stopped does not start.
        """
        has_given_up = job.has_given_up
        self.forget(job, reason)
        if job.follow_up is FollowUp.REMOVAL or not job.spec.enabled:
            return  # a reload has decided that no run follows
        if job.is_stopped:
            return  # only a user ends that, with a start or a resume
        if job.state is JobState.BLOCKED and (has_given_up or job.follow_up is FollowUp.RETRY):
            self._store.set_follow_up(job, FollowUp.RESTART)
            self.wake(self.revive_dependents([job]))
        elif job.state is JobState.FINISHED and has_given_up:
            self._start(job)
            self.wake(self.revive_dependents([job]))

    def forget(self, job: JobRecord, reason: Reason) -> None:
        """Forget the failures of a job. One that waits for its restart delay starts at once, others are left alone."""
        is_known = job.has_given_up or (job.backoff is not None and job.backoff.has_history)
        job.backoff, job.has_given_up = None, False
        if job.waiting_for is WaitingFor.BACKOFF:
            # As attempt 1, which says that what was before does not count.
            self._starter.queue(job, data={"reset": True})
        elif is_known:
            self._store.emit(EventName.RESET, job.spec.name, reason=reason)

    def _start(self, job: JobRecord) -> None:
        if job.dependencies.state is DependencyState.SATISFIED:
            self._starter.queue(job)
            self._starter.rearm(job)
        else:
            self._starter.arm(job)

    def revive_dependents(self, begun: Iterable[JobRecord]) -> list[JobRecord]:
        """Return the jobs that were skipped because of jobs that have begun again, and those after them.

        They are skipped no longer, and wait for the caller's `wake`.
        """
        families = deque(dict.fromkeys(job.spec.family for job in begun if job.family.requirements))
        skipped: dict[str, list[JobRecord]] = {}
        for job in self._store.jobs.values() if families else ():
            if _was_skipped(job):
                for dependency in job.spec.after:
                    skipped.setdefault(dependency.job, []).append(job)
        revived: list[JobRecord] = []
        while families:
            for job in skipped.pop(families.popleft(), ()):
                if _was_skipped(job) and job.dependencies.state is not DependencyState.IMPOSSIBLE:
                    self._store.move(job, Decision.WAIT, WaitingFor.START)
                    revived.append(job)
                    families.append(job.spec.family)
        return revived

    def wake(self, revived: Iterable[JobRecord]) -> None:
        """Let revived jobs wait for their dependencies again."""
        for job in revived:
            if job.waiting_for is WaitingFor.START:
                self._starter.arm(job)


def may_fix(job: JobRecord, fields: Iterable[str]) -> bool:
    """Return whether the change of these fields may have ended the failures of a job without a live run.

    A change of what a run is made from always may; this is about the other fields.
    """
    run, causes = job.last_run, set[str]()
    if run is not None and run.has_failed:
        causes.update(_CAUSES.get(run.reason.kind if run.reason is not None else None, ()))
    if job.has_given_up and job.spec.restart.when is not RestartWhen.NEVER:
        causes.add("restart")  # of its limit
    return not causes.isdisjoint(fields)


# By why a failed run was stopped. One that was not stopped may have used `ctx.poll_interval`.
_CAUSES: Mapping[ReasonKind | None, tuple[str, ...]] = {
    None: ("poll_interval",),
    ReasonKind.DEADLINE: ("timeout",),
    ReasonKind.WATCHDOG: ("watchdog", "ready_within"),
}


def _was_skipped(job: JobRecord) -> bool:
    """Return whether the job was skipped because of its dependencies, and no user has stopped it since."""
    is_skipped = job.state is JobState.SKIPPED and not job.is_stopped
    return is_skipped and job.reason is not None and job.reason.kind is ReasonKind.DEPENDENCY
