"""The schedules of all jobs: when each fires next, and what a firing does while the job is busy.

Rules: intervals are counted on the monotonic clock from when they were armed, so they never drift. Calendars are
read on the wall clock. It may be set, so it is compared with the monotonic clock at each tick (`wall_clock.py`). One
instant starts at most one run, and of the instants that have passed at most one is made up for.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import NamedTuple

from taskloom.core.deadlines import DeadlineKind
from taskloom.core.model import JobState, Moment, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import HELD_BACK_SECONDS, Calendar, Missed, Overlap, Schedule, repeats_after
from taskloom.core.records import DueInstant, FollowUp, JobRecord, NextFiring
from taskloom.core.stopping import StopSequence
from taskloom.core.store import JobStore
from taskloom.core.wall_clock import STEP_SECONDS, ClockChange, WallClock

__all__ = ["COUNTED_INSTANTS", "LATE_SECONDS", "ScheduleTimers"]

# A firing that is handled later than this found the process busy or asleep: its instant was missed.
LATE_SECONDS = 1.0
# The instants of a calendar are at least this far apart, so none has passed since one that is more recent than that.
CALENDAR_SECONDS = 1.0
# Missed instants are counted up to this number.
COUNTED_INSTANTS = 1000
OnJob = Callable[[JobRecord], None]
Fire = Callable[[JobRecord, DueInstant], None]


class _Passed(NamedTuple):
    """The instants of a schedule that have passed: the latest, and how many before it."""

    latest: float
    older: int
    late: float
    """Seconds since the latest was due."""


class ScheduleTimers:
    """All armed schedules. `random` returns a number from 0.0 to 1.0.

    `fire` starts a run of a job. `exhausted` handles a job that waits for a firing when there is none.
    """

    def __init__(
        self,
        store: JobStore,
        stops: StopSequence,
        *,
        fire: Fire,
        exhausted: OnJob,
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._stops = stops
        self._fire = fire
        self._exhausted = exhausted
        self._random = random
        self.clock = WallClock()
        self._firing = DeadlineKind(
            self._fire_due, lambda when, job: job.next_firing is None or job.next_firing.due_at != when
        )
        # The jobs whose next firing was set from a calendar; some may have been disarmed since.
        self._by_calendar: dict[JobRecord, None] = {}

    def arm(self, job: JobRecord, schedule: Schedule, since: Moment | None = None) -> bool:
        """Arm the schedule: the first instant is one interval from now, or the calendar's next, counted from `since`.

        Return whether there is one. If it has passed since then, it is due at once.
        """
        now = self._store.now
        if job.catches_up_since is not None:
            self._miss_down(job, schedule)
        if schedule.every is not None:
            self._set_instant(job, schedule, now.mono + schedule.every)
        elif schedule.calendar is not None:
            self.clock.watch(now)
            start = self._start_of(job, schedule, schedule.calendar)
            if since is not None and start <= now.wall:  # otherwise it is held back: the clock was set
                start = min(start, since.wall)
            self._set_instant(job, schedule, schedule.calendar.after(start))
        return job.next_firing is not None

    def _start_of(self, job: JobRecord, schedule: Schedule, calendar: Calendar) -> float:
        """Return the time after which a calendar that is armed now has its first instant."""
        if self._is_held_back(job, schedule) and job.latest_instant is not None:
            return job.latest_instant
        return self.clock.start_of(_repeats_after(schedule, calendar), job.latest_instant, self._store.now)

    def _is_held_back(self, job: JobRecord, schedule: Schedule) -> bool:
        """Return whether the clock was set back, perhaps while the program was down, before the job's latest instant.

        By how much the calendars in general have seen it set back does not matter: an instant starts no second run.
        """
        latest, now = job.latest_instant, self._store.now
        return schedule.catches_up and latest is not None and 0 < latest - now.wall <= HELD_BACK_SECONDS + STEP_SECONDS

    # -- the instants that passed while the program was down

    def catch_up(self, job: JobRecord, schedule: Schedule) -> bool:
        """Arm the schedule from what the job remembers. Make up for the latest instant since then; miss the others.

        Return whether it is armed by that, or has no further instants; if not, the job remembers nothing.
        """
        if job.catches_up_since is None:
            return False
        self._arm_since(job, schedule, job.catches_up_since)
        job.catches_up_since = None
        if self._has_passed(job.next_firing, schedule):
            self._fire_passed(job)
        return True

    def _miss_down(self, job: JobRecord, schedule: Schedule) -> None:
        """Miss what has passed while the program was down: a user has started the job since then, or resumed it."""
        if job.catches_up_since is not None:
            self._arm_since(job, schedule, job.catches_up_since)
        job.catches_up_since = None
        firing = job.next_firing
        if firing is not None and self._has_passed(firing, schedule):
            passed = self._passed(firing, schedule)
            if schedule.every is None:
                job.latest_instant = passed.latest
            self._record_missed(job, schedule, passed.latest, passed.older + 1, "down")

    def _arm_since(self, job: JobRecord, schedule: Schedule, since: float) -> None:
        """Arm the schedule as if that had been done at `since`, in seconds since the epoch. The past has no jitter."""
        now, instant = self._store.now, None
        if schedule.every is not None:
            instant = now.mono + min(0.0, since - now.wall) + schedule.every
        elif schedule.calendar is not None:
            self.clock.watch(now)
            start = self._start_of(job, schedule, schedule.calendar)
            instant = schedule.calendar.after(start if start > now.wall else min(start, since))
        self._set_instant(job, schedule, instant)
        firing = job.next_firing
        if firing is not None:
            firing.down_until = now.wall
            if self._wall(schedule, firing.instant) <= now.wall:
                firing.jitter = 0.0
                self._set_due(job, firing, schedule)

    # -- firing

    def _fire_due(self, job: JobRecord) -> None:
        """Fire, and set the next instant. Without one, a job that waits for it is finished."""
        self._fire_passed(job)
        if _is_exhausted(job):
            self._exhausted(job)

    def _fire_passed(self, job: JobRecord) -> None:
        """Fire for the instants that have passed, and set the next one."""
        firing, schedule = job.next_firing, job.spec.schedule
        if firing is None or schedule is None:
            return
        passed = self._passed(firing, schedule)
        if schedule.every is None:
            job.latest_instant = passed.latest
        self._store.set_next_firing(job, None)
        self._set_instant(job, schedule, self._next(schedule, passed.latest))
        if job.is_paused:
            self._record_missed(job, schedule, passed.latest, passed.older + 1, "paused")
        else:
            if passed.older:
                previous = self._previous(schedule, passed.latest)
                why = self._why_late(firing, self._wall(schedule, previous))
                self._record_missed(job, schedule, previous, passed.older, why)
            self._start_or_miss(job, schedule, passed, firing)

    def _why_late(self, firing: NextFiring, wall: float) -> str:
        """Return why no run could start at this instant of a schedule, in seconds since the epoch."""
        return "down" if wall <= firing.down_until else "late"

    # -- while the job is paused

    def miss_queued(self, job: JobRecord) -> None:
        """Record as missed the firing that waits for the end of the job's run, since the job was paused."""
        self._store.report_missed(job, job.queued_instant.wall, 1, "paused")

    def miss_immediate(self, job: JobRecord) -> None:
        """Record as missed the run that a paused job would begin when its schedule is armed."""
        self._store.report_missed(job, self._store.now.wall, 1, "paused")

    def miss_passed(self, job: JobRecord) -> None:
        """Miss the instants of a paused job that have passed by now, although their deadline was not handled yet.

        A calendar is compared with the wall clock, not with the deadline: if the clock was set, or the system was
        suspended, since the last check, the deadline is still ahead and would be made up for.
        """
        schedule = job.spec.schedule
        while schedule is not None and self._has_passed(job.next_firing, schedule):
            self._fire_due(job)

    def _has_passed(self, firing: NextFiring | None, schedule: Schedule) -> bool:
        if firing is None:
            return False
        now = self._store.now
        return firing.due_at <= now.mono if schedule.every is not None else firing.instant + firing.jitter <= now.wall

    def forget(self, job: JobRecord) -> None:
        """Drop what is kept about a job that is removed."""
        self._by_calendar.pop(job, None)

    def check_clock(self, steady_until: float) -> None:
        """Adjust the calendars if the wall clock was set; it was not until `steady_until`, in monotonic seconds."""
        now, clock = self._store.now, self.clock
        self._drop_disarmed()
        if not self._by_calendar:
            clock.stop_watching(now)
            return
        change = clock.check(now, steady_until)
        if change is not None:
            for job in list(self._by_calendar):
                self._adjust_to_clock(job, change)

    # -- what a firing does

    def _start_or_miss(self, job: JobRecord, schedule: Schedule, passed: _Passed, firing: NextFiring) -> None:
        """Start a run for the latest instant, or record it as missed."""
        is_late = passed.late > LATE_SECONDS
        why = self._why_late(firing, self._wall(schedule, passed.latest))
        due = DueInstant(self._wall(schedule, passed.latest), is_made_up=why == "down")
        if is_late and (schedule.missed is Missed.SKIP or passed.late > schedule.grace):
            self._record_missed(job, schedule, passed.latest, 1, why)
        elif job.recording is not None:
            self._record_missed(job, schedule, passed.latest, 1, "overlap")
        elif job.state is JobState.WAITING:
            self._fire(job, due)
        elif job.state is JobState.BLOCKED:
            self._record_missed(job, schedule, passed.latest, 1, "blocked")
        elif schedule.overlap is Overlap.SKIP or job.follow_up in (FollowUp.FIRING, FollowUp.RESTART, FollowUp.REMOVAL):
            self._record_missed(job, schedule, passed.latest, 1, "overlap")
        else:
            job.queued_instant = due
            self._store.set_follow_up(job, FollowUp.FIRING)
            if schedule.overlap is Overlap.REPLACE and job.run is not None:
                self._stops.request(job.run, Reason(ReasonKind.REPLACED, "its schedule fired again"))

    def _record_missed(self, job: JobRecord, schedule: Schedule, instant: float, count: int, why: str) -> None:
        self._store.report_missed(job, self._wall(schedule, instant), count, why)

    def _wall(self, schedule: Schedule, instant: float) -> float:
        """Return an instant of the schedule in seconds since the epoch."""
        now = self._store.now
        return now.wall + (instant - now.mono) if schedule.every is not None else instant

    def _passed(self, firing: NextFiring, schedule: Schedule) -> _Passed:
        """Return the instants that have passed."""
        now = self._store.now
        if schedule.every is not None:
            late = now.mono - firing.due_at
            # Counted from when it was due, not from its instant: with much jitter the next instant may precede that.
            older = floor(max(0.0, late) / schedule.every)
            return _Passed(firing.instant + older * schedule.every, older, late - older * schedule.every)
        late = now.wall - firing.jitter - firing.instant
        latest = firing.instant
        if schedule.calendar is None:
            return _Passed(latest, 0, late)
        if late >= CALENDAR_SECONDS:
            latest = max(latest, schedule.calendar.latest(firing.instant + late) or latest)
        older = _count(schedule.calendar, firing.instant, latest)
        return _Passed(latest, older, max(0.0, now.wall - firing.jitter - latest))

    def _previous(self, schedule: Schedule, instant: float) -> float:
        """Return the instant before this one, which is the last that was missed."""
        if schedule.every is not None:
            return instant - schedule.every
        previous = schedule.calendar.latest(instant - 0.001) if schedule.calendar is not None else None
        return instant if previous is None else previous

    # -- the next instant

    def _next(self, schedule: Schedule, instant: float) -> float | None:
        if schedule.every is not None:
            return instant + schedule.every
        return schedule.calendar.after(instant) if schedule.calendar is not None else None

    def _set_instant(self, job: JobRecord, schedule: Schedule, instant: float | None) -> None:
        if instant is None:
            self._store.set_next_firing(job, None)
            return
        jitter = schedule.jitter * self._random() if schedule.jitter else 0.0
        firing = NextFiring(instant, jitter, 0.0)
        self._store.set_next_firing(job, firing)
        self._set_due(job, firing, schedule)

    def _drop_disarmed(self) -> None:
        """Drop disarmed jobs up to the first armed one, so that the collection is empty when none is armed."""
        while self._by_calendar:
            job = next(iter(self._by_calendar))
            if _calendar(job) is not None:
                return
            del self._by_calendar[job]

    def _adjust_to_clock(self, job: JobRecord, change: ClockChange) -> None:
        """Adjust the next firing if the wall clock was set since it was computed.

        Each is compared by its own offset: jobs may have been armed between two steps of the clock that cancel out.
        """
        firing, schedule, now = job.next_firing, job.spec.schedule, self._store.now
        calendar = _calendar(job)
        if firing is None or schedule is None or calendar is None:
            return
        offset = firing.instant + firing.jitter - firing.due_at
        if abs(now.wall - now.mono - offset) < STEP_SECONDS:
            return
        start = change.new_start(_repeats_after(schedule, calendar), firing.instant, offset)
        if start is not None and job.latest_instant is not None and self._is_held_back(job, schedule):
            start = max(start, job.latest_instant)
        instant = calendar.after(start) if start is not None else None
        if instant is None or instant == firing.instant:
            self._set_due(job, firing, schedule)
        else:
            self._set_instant(job, schedule, instant)

    def _set_due(self, job: JobRecord, firing: NextFiring, schedule: Schedule) -> None:
        instant, now = firing.instant, self._store.now
        if schedule.every is None:
            instant = now.mono + (instant - now.wall)
            self._by_calendar[job] = None
            self.clock.note_offset(now)
        firing.due_at = instant + firing.jitter
        self._store.deadlines.add(firing.due_at, self._firing, job)
        self._store.mark_changed(job)


def _repeats_after(schedule: Schedule, calendar: Calendar) -> float:
    """Return by how many seconds the clock may be set back without the calendar's instants coming again.

    An instant of a schedule that catches up starts no second run, so even one with wildcards is held back.
    """
    return HELD_BACK_SECONDS if schedule.catches_up else repeats_after(calendar)


def _is_exhausted(job: JobRecord) -> bool:
    return job.next_firing is None and job.waiting_for is WaitingFor.FIRING


def _calendar(job: JobRecord) -> Calendar | None:
    schedule = job.spec.schedule
    return schedule.calendar if job.next_firing is not None and schedule is not None else None


def _count(calendar: Calendar, first: float, latest: float) -> int:
    """Return how many instants there are from the first up to, but not including, the latest."""
    count, instant = 0, first
    while instant < latest and count < COUNTED_INSTANTS:
        count += 1
        following = calendar.after(instant)
        if following is None:
            break
        instant = following
    return count
