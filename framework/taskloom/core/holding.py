"""Hold jobs back for users, who stop a job or pause its schedule, and let them go on.

A pause is about the schedule alone: it stays armed, and each firing is missed with the reason `paused`, also one that
waits behind a run. A live run, a pending restart and the starts by a user go on. A pause ends only when a user resumes
the job, or when its schedule is removed; a start does not end it.

A stop holds back every run that would begin by itself. A user ends it with a start, a restart, an `arm` or a resume.
Neither hold ends by a reload: the replicas that a reload adds are held like all of their family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskloom.core.events import EventName
from taskloom.core.model import Hold, JobState, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import WatchdogThen
from taskloom.core.recording import drop_recording
from taskloom.core.records import FollowUp, JobRecord, RunRecord
from taskloom.core.requirements import DependencyState
from taskloom.core.shutdown import WholeStop
from taskloom.core.starting import Starter
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision
from taskloom.errors import DependencyUnmet, NotScheduled

__all__ = ["Holder"]

Holds = Mapping[Hold, Reason]


class Holder:
    """Begins and ends all holds."""

    def __init__(self, store: JobStore, starter: Starter, shutdown: WholeStop) -> None:
        self._store = store
        self._starter = starter
        self._shutdown = shutdown

    # -- commands

    def stop(self, job: JobRecord, reason: Reason) -> None:
        """Let nothing but a user start the job; idempotent. The caller stops what it has now."""
        job.catches_up_since = None
        self._store.hold(job, Hold.STOPPED, reason)

    def end_stop(self, job: JobRecord) -> None:
        """Let the job start by itself again, because a user starts it."""
        self._store.end_hold(job, Hold.STOPPED)

    def pause(self, job: JobRecord, reason: Reason) -> None:
        """Have each firing missed from now on; idempotent. Raises NotScheduled."""
        if job.spec.schedule is None:
            raise NotScheduled("pause", job.spec.name, "stop")
        if job.is_paused:
            return
        self._begin_pause(job, reason)
        if job.follow_up is FollowUp.FIRING:
            self._drop_queued_firing(job)
        elif job.recording is not None:
            self._drop_recorded_firing(job)

    def resume(self, job: JobRecord, reason: Reason, *, has_started: bool) -> None:
        """End the holds of the job, and arm the schedule of a stopped one; idempotent. No run begins.

        `has_started`: whether the scheduler has started; before that, its start arms the schedule. Raises NotScheduled
        or DependencyUnmet.
        """
        if job.spec.schedule is None:
            raise NotScheduled("resume", job.spec.name, "start")
        if not job.holds:
            return
        was_stopped = job.is_stopped
        if was_stopped:
            self._refuse_unmet(job)
        elif job.is_paused:
            self._starter.timers.miss_passed(job)
            if self._shutdown.phase is not Phase.OPEN:
                return  # the last firing of an essential job that failed was among them, and everything stops now
        self._end_all(job, reason)
        if was_stopped and (has_started or not job.may_autostart):
            self._arm(job)

    # -- reloads

    def drop_pause(self, job: JobRecord, reason: Reason) -> None:
        """End the pause of a job whose schedule is removed."""
        if job.is_paused:
            self._store.end_hold(job, Hold.PAUSED)
            self._store.emit(EventName.RESUMED, job.spec.name, reason=reason)

    def of_families(self) -> dict[str, Holds]:
        """Return the holds that all jobs of a declared name have in common, by that name."""
        found: dict[str, Holds] = {}
        for job in self._store.jobs.values():
            if job.holds and job.spec.family not in found:
                found[job.spec.family] = _common(job.family.members.values())
        return found

    def inherit(self, job: JobRecord, holds: Holds) -> None:
        """Hold a new replica back like all others of its declared name."""
        for hold, reason in holds.items():
            if hold is Hold.STOPPED:
                self.stop(job, reason)
            elif job.spec.schedule is not None and not job.is_paused:  # it may remember a pause of its own
                self._begin_pause(job, reason)

    # -- steps

    def _begin_pause(self, job: JobRecord, reason: Reason) -> None:
        self._store.hold(job, Hold.PAUSED, reason)
        self._store.emit(EventName.PAUSED, job.spec.name, reason=reason)

    def _end_all(self, job: JobRecord, reason: Reason) -> None:
        for hold in Hold:
            self._store.end_hold(job, hold)
        self._store.emit(EventName.RESUMED, job.spec.name, reason=reason)

    def _drop_queued_firing(self, job: JobRecord) -> None:
        """Miss the firing that waits for the end of the run. Then follows what would follow without it."""
        self._starter.timers.miss_queued(job)
        run = job.run
        follow_up = _follow_up_without_firing(run) if run is not None else FollowUp.NOTHING
        if job.state is JobState.BLOCKED and run is not None:
            follow_up = FollowUp.NOTHING
            job.has_failed = job.has_given_up or run.has_failed
        self._store.set_follow_up(job, follow_up)
        self._starter.propagate(job)

    def _drop_recorded_firing(self, job: JobRecord) -> None:
        """Miss the firing that waits for its record."""
        drop_recording(self._store, job, "paused")
        self._store.move(job, Decision.WAIT, WaitingFor.FIRING)
        if job.next_firing is None:
            self._starter.schedule_exhausted(job)
        self._starter.propagate(job)

    def _refuse_unmet(self, job: JobRecord) -> None:
        """Raise DependencyUnmet if the job is stopped and a start would be refused for that."""
        name, changeover, state = job.spec.name, job.changeover, job.dependencies.state
        if changeover is not None and job.awaits_removal:
            raise DependencyUnmet(name, changeover.describe(), is_lost=False, request="resume")
        if job.spec.enabled and state is not DependencyState.SATISFIED:
            is_lost = state is DependencyState.IMPOSSIBLE
            raise DependencyUnmet(name, job.dependencies.describe(), is_lost=is_lost, request="resume")

    def _arm(self, job: JobRecord) -> None:
        """Arm the schedule of a job that was stopped."""
        schedule = job.spec.schedule
        if schedule is None or not job.spec.enabled or job.follow_up is FollowUp.REMOVAL:
            return
        if job.run is not None:
            self._starter.rearm(job)
            self._starter.propagate(job)
            return
        self._store.move(job, Decision.WAIT, WaitingFor.FIRING)
        job.reason = None
        if not self._starter.timers.arm(job, schedule):
            self._starter.schedule_exhausted(job)
        self._starter.propagate(job)


def _common(jobs: Iterable[JobRecord]) -> Holds:
    """Return the holds that all of these jobs have, without those that are being removed."""
    common: Holds | None = None
    for job in jobs:
        if job.follow_up is not FollowUp.REMOVAL:
            common = job.holds if common is None else {hold: common[hold] for hold in common if hold in job.holds}
    return common or {}


def _follow_up_without_firing(run: RunRecord) -> FollowUp:
    """Return what follows a live run whose queued firing is dropped: what was decided before that firing."""
    kind = run.reason.kind if run.reason is not None else None
    if kind is ReasonKind.WATCHDOG and run.unresponsive is not None and run.spec.watchdog is not None:
        return FollowUp.RETRY if run.spec.watchdog.then is WatchdogThen.RESTART else FollowUp.NOTHING
    if kind in (None, ReasonKind.WATCHDOG, ReasonKind.DEADLINE):
        return FollowUp.POLICY
    return FollowUp.NOTHING
