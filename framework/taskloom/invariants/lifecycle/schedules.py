"""I10: each instant of a schedule starts at most one run, and has a `missed` event if it starts none.

Intervals count on the monotonic clock, calendars on the wall clock, which may be set (`clock_steps.py`). Jitter is
drawn at random and no event shows it, so each instant has a window: it fires at some second between the instant and the
instant plus the jitter.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from taskloom.core import inputs
from taskloom.core.policies import Calendar, Missed, Overlap, Schedule
from taskloom.invariants.event_rules import Fact
from taskloom.invariants.lifecycle.clock_steps import HOURS_3, STEP_SECONDS, ClockSteps
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.invariants.lifecycle.instants import WallInstant, after, count_until, latest_until, may_be_overtaken
from taskloom.invariants.lifecycle.model import EPSILON_SECONDS, FollowUp, JobModel, Model, Wait
from taskloom.text import duration

__all__ = ["Schedules"]

LATE_SECONDS = 1.0


class Schedules:
    """All armed schedules. `expect_essential_shutdown` is called when a schedule has no further instant."""

    def __init__(self, model: Model, expect_essential_shutdown: Callable[[JobModel], None]) -> None:
        self._model = model
        self._expect_essential_shutdown = expect_essential_shutdown
        self._window_starts: ExpectedDeadlines[str] = ExpectedDeadlines()
        self._window_ends: ExpectedDeadlines[str] = ExpectedDeadlines()
        self._open: dict[str, None] = {}
        """Jobs in an open window: their instant has come, but no event shows yet that it fired."""
        self._calendar_offsets: dict[str, float] = {}
        """Seconds from the monotonic to the wall clock when the window was set, by job with a calendar."""
        self._clock = ClockSteps()
        self._offset = 0.0
        self._was_clock_set = False
        """Whether the wall clock was set since the last tick: without that, no window needs to be set again."""

    # -- arming

    def arm(self, job: JobModel, since_wall: float | None = None) -> None:
        """Set the first instant, if the schedule has one; of a calendar, the first since then."""
        model, schedule = self._model, job.spec.schedule
        if schedule is None:
            return
        if schedule.every is not None:
            self._set_instant(job, schedule, model.now + schedule.every)
        elif schedule.calendar is not None:
            self._clock.watch(model.now, model.wall)
            since = model.wall if since_wall is None else min(since_wall, model.wall)
            instant = self._clock.first_instant(job, schedule, model.now, model.wall, since)
            self._set_instant(job, schedule, instant)
            if since < model.wall and model.is_tick:
                self._open_windows()  # an instant that has passed since then fires in this tick

    def rearm(self, job: JobModel) -> None:
        """Arm the schedule of a job that a command starts, unless it is armed."""
        if job.instant is None:
            self.arm(job)

    def disarm(self, job: JobModel) -> None:
        """Drop the schedule's instant."""
        name = job.spec.name
        job.instant = None
        self._window_starts.drop(name)
        self._window_ends.drop(name)
        self._open.pop(name, None)
        self._calendar_offsets.pop(name, None)

    def finish_exhausted(self, job: JobModel) -> None:
        """Finish a job whose schedule has no further instant."""
        job.finish("finished")
        self._model.mark_changed(job.spec.name)
        self._model.expect("skipped", job.spec.name)
        self._expect_essential_shutdown(job)

    def _set_instant(self, job: JobModel, schedule: Schedule, instant: float | None) -> None:
        self.disarm(job)
        job.instant = instant
        latest = job.latest_instant if schedule.calendar is not None else None
        if latest is not None and instant is not None and instant <= latest and self._model.wall < latest - HOURS_3:
            job.begun_instants.clear()  # the clock was corrected
        if instant is not None:
            self._set_window(job, schedule)

    def _set_window(self, job: JobModel, schedule: Schedule) -> None:
        model, instant = self._model, job.instant or 0.0
        if may_be_overtaken(schedule, instant):
            return
        due = instant if schedule.every is not None else model.now + (instant - model.wall)
        if schedule.calendar is not None:
            self._calendar_offsets[job.spec.name] = model.wall - model.now
        # An instant that has passed is due now.
        self._window_starts.set(job.spec.name, max(due, model.now))
        self._window_ends.set(job.spec.name, max(due + schedule.jitter, model.now))

    # -- time

    def begin_tick(self, tick: inputs.Tick) -> None:
        """Adjust to a clock that was set, and open the windows whose instant has come."""
        self._check_clock(tick.steady_until)
        self._open_windows()

    def _open_windows(self) -> None:
        if self._window_starts.is_any_due(self._model.now):
            self._open |= dict.fromkeys(name for name, _ in self._window_starts.pop_until(self._model.now))

    def _check_clock(self, steady_until: float) -> None:
        model, clock = self._model, self._clock
        if not self._calendar_offsets:
            clock.end(model.now)
        elif not self._was_clock_set:
            clock.last_check = model.now
        else:
            clock.check(model.now, model.wall, steady_until)
            for name in list(self._calendar_offsets):
                self._follow_clock(model.jobs[name])
        self._was_clock_set = False

    def _follow_clock(self, job: JobModel) -> None:
        """Set the window again if the wall clock was set since, and the instant if the calendar follows the step."""
        model, schedule = self._model, job.spec.schedule
        offset = self._calendar_offsets.get(job.spec.name, 0.0)
        is_set = abs(model.wall - model.now - offset) >= STEP_SECONDS
        if schedule is None or schedule.calendar is None or not is_set:
            return
        instant = self._clock.instant_after_step(job, schedule, offset, model.wall)
        if instant == job.instant:
            self._open.pop(job.spec.name, None)
            self._set_window(job, schedule)
        else:
            self._set_instant(job, schedule, instant)

    def end_tick(self) -> None:
        """Handle the instants whose window ends now and that no event of this tick showed."""
        if not self._window_ends.is_any_due(self._model.now):
            return
        for name, _ in self._window_ends.pop_until(self._model.now):
            job = self._model.jobs[name]
            if name in self._open and self._may_have_fired_before_abandon(job):
                self.assume_fired(job)
            elif name in self._open:
                self.handle_instant(job)

    def close_windows(self) -> None:
        """Handle the windows that ended before this step, and report those that ended without a firing."""
        model = self._model
        offset = model.wall - model.now
        if abs(offset - self._offset) > EPSILON_SECONDS:
            self._offset, self._was_clock_set = offset, True
        if self._window_ends.is_any_due(model.now - model.lateness):
            for name, due in list(self._window_ends.pop_until(model.now - model.lateness)):
                self._close_window(model.jobs[name], due)

    def _close_window(self, job: JobModel, due: float) -> None:
        instant, name = job.instant, job.spec.name
        if name in self._open:
            self.assume_fired(job)
        if job.instant == instant:
            self._model.report(
                "I7", f"the firing of {name} was due at {duration(due)}, it is {duration(self._model.now)}"
            )

    # -- firings that no event shows: a run is queued until the present one ends

    def assume_fired(self, job: JobModel) -> None:
        """Take an instant as fired and queued behind the present run."""
        schedule, first = job.spec.schedule, job.instant
        if schedule is None or first is None or job.run is None or job.is_paused:
            return  # each firing of a paused job has an event
        if may_be_overtaken(schedule, first):
            job.follow_up = FollowUp.FIRING if job.follow_up is not FollowUp.RESTART else job.follow_up
            return
        has_event = schedule.overlap is Overlap.SKIP or job.follow_up is FollowUp.FIRING
        if has_event or (schedule.overlap is Overlap.REPLACE and job.is_running):
            return
        if job.follow_up not in (FollowUp.RESTART, FollowUp.REMOVAL):  # a later command takes precedence
            job.follow_up = FollowUp.FIRING
        if schedule.calendar is not None:
            job.latest_instant = first
        self._set_instant(job, schedule, after(schedule, first))

    def detect_unseen_firing(self, job: JobModel) -> None:
        """Take the schedule as fired during the run that ended, if another first attempt follows in this step."""
        name, schedule = job.spec.name, job.spec.schedule
        may_fire = name in self._open or (
            schedule is not None and job.instant is not None and may_be_overtaken(schedule, job.instant)
        )
        if may_fire and self._model.begins_firing(name):
            self.assume_fired(job)

    def detect_firing_before_abandon(self, job: JobModel) -> None:
        """Take the schedule as fired if its instant has come in the tick that abandons a run which KILL did not end.

        Had the run been abandoned first, an event would say that the firing was missed.
        """
        name = job.spec.name
        if name in self._open and self._model.is_tick and not any(self._model.events_of_step("missed", name)):
            self.assume_fired(job)

    def _may_have_fired_before_abandon(self, job: JobModel) -> bool:
        """Return whether the instant may have fired, by its jitter, before the run was abandoned."""
        schedule = job.spec.schedule
        may_queue = schedule is not None and schedule.jitter > 0 and schedule.overlap is not Overlap.SKIP
        is_abandoned = job.is_blocked and not job.is_lost
        return may_queue and is_abandoned and not any(self._model.events_of_step("missed", job.spec.name))

    def may_explain(self, job: JobModel, fact: Fact) -> bool:
        """Return whether random jitter may explain an event: later instants may overtake the next one."""
        schedule, kind = job.spec.schedule, fact.reason[0] if fact.reason is not None else ""
        if schedule is None or job.instant is None or not may_be_overtaken(schedule, job.instant):
            return False
        if fact.event == "cancel_requested" and kind == "replaced":
            job.follow_up = FollowUp.FIRING
            return True
        if fact.event == "skipped" and kind == "finished":
            self.disarm(job)
            job.finish("finished")
            return True
        is_first_attempt = fact.event == "queued" and fact.attempt == 1
        return fact.event == "missed" or (is_first_attempt and job.wait in (Wait.FIRING, Wait.BACKOFF))

    def may_explain_record(self, job: JobModel) -> bool:
        """Return whether random jitter may explain that an instant is recorded, as `may_explain` does for a run."""
        schedule = job.spec.schedule
        is_open = schedule is not None and job.instant is not None and may_be_overtaken(schedule, job.instant)
        return is_open and job.wait in (Wait.FIRING, Wait.BACKOFF)

    # -- the instant that has come

    def is_open(self, name: str) -> bool:
        """Return whether an instant of the job has come and may still fire."""
        return name in self._open

    def handle_instant_of(self, fact: Fact) -> None:
        """Handle the open instant of the event's job, if there is one."""
        job = self._model.job_of(fact)
        if job is not None and job.spec.name in self._open:
            self.handle_instant(job)

    def handle_instant(self, job: JobModel) -> None:
        """Expect the events of the instant that has come, and set the next instant."""
        model, schedule, first = self._model, job.spec.schedule, job.instant
        self._open.pop(job.spec.name, None)
        if schedule is None or first is None:
            return
        latest, older = self._every(job, schedule, first) if schedule.every else self._calendar(job, schedule, first)
        if schedule.calendar is not None:
            job.latest_instant = latest
        following = after(schedule, latest)
        self._set_instant(job, schedule, following)
        if following is not None:
            # By its jitter the latest instant came late, and the following one may be due in the same tick.
            self._open_windows()
        if job.is_paused:
            self._expect_missed(job, schedule, latest, older + 1, "paused")
        else:
            if older:
                model.expect("missed", job.spec.name, count=older, why="late")
            self._expect_firing(job, schedule, latest, late_events=int(older > 0))
        begins = model.is_expected("queued", job.spec.name) or model.is_expected("RecordInstant", job.spec.name)
        if following is None and job.wait is Wait.FIRING and not begins:
            self.finish_exhausted(job)

    def _every(self, job: JobModel, schedule: Schedule, first: float) -> tuple[float, int]:
        """Return the latest instant that has come, and how many came before it."""
        every, passed = schedule.every or 1.0, self._model.now - first
        most = floor(max(0.0, passed + EPSILON_SECONDS) / every)
        least = floor(max(0.0, passed + EPSILON_SECONDS - schedule.jitter) / every)
        older = most if most == least else self._reported_older(job, least, most)
        return first + older * every, older

    def _calendar(self, job: JobModel, schedule: Schedule, first: float) -> tuple[float, int]:
        """Return the same for a calendar."""
        calendar, wall = schedule.calendar, self._model.wall
        if calendar is None:
            return first, 0
        latest = latest_until(calendar, first, wall)
        earliest = latest_until(calendar, first, wall - schedule.jitter)
        while latest > earliest and not self._fits_events(job, calendar, first, latest):
            latest = max(earliest, calendar.latest(latest - 0.001) or earliest)
        return latest, count_until(calendar, first, latest)

    def _fits_events(self, job: JobModel, calendar: Calendar, first: float, latest: float) -> bool:
        """Return whether an instant may be the latest that has come with its jitter, by the events of this step."""
        name, older = job.spec.name, count_until(calendar, first, latest)
        if job.is_paused:
            missed = [event.data for event in self._model.events_of_step("missed", name)]
            return any(WallInstant(latest) == data["instant"] and data["count"] == older + 1 for data in missed)
        late = [event.data for event in self._model.events_of_step("missed", name) if event.data["why"] == "late"]
        previous = WallInstant(calendar.latest(latest - 0.001) or first)
        if older and not any(data["count"] == older and previous == data["instant"] for data in late):
            return False
        is_missed = any(WallInstant(latest) == data["instant"] and data["count"] == 1 for data in late)
        return is_missed or self._model.begins_firing(name) or job.wait not in (Wait.FIRING, Wait.BACKOFF)

    def _reported_older(self, job: JobModel, least: int, most: int) -> int:
        """Return the reported number of older instants, if the jitter allows it."""
        why, latest = ("paused", 1) if job.is_paused else ("late", 0)
        for event in self._model.events_of_step("missed", job.spec.name):
            older = int(event.data["count"]) - latest
            if event.data["why"] == why and least <= older <= most:
                return older
        return least

    def _expect_firing(self, job: JobModel, schedule: Schedule, latest: float, *, late_events: int) -> None:
        model, name = self._model, job.spec.name
        due = self._due(schedule, latest)
        missed = ""
        if self._is_too_late(job, schedule, model.now - due, late_events):
            missed = "late"
        elif job.wait is Wait.RECORD:
            missed = "overlap"
        elif job.wait in (Wait.FIRING, Wait.BACKOFF) and job.catches_up:
            model.expect("RecordInstant", name)
        elif job.wait in (Wait.FIRING, Wait.BACKOFF):
            model.expect("queued", name, attempt=1)
        elif job.is_blocked:
            missed = "blocked"
        elif schedule.overlap is Overlap.SKIP or job.follow_up in _OTHER_RUN_FOLLOWS:
            missed = "overlap"
        else:
            job.follow_up = FollowUp.FIRING
            if schedule.overlap is Overlap.REPLACE and job.is_running:
                model.expect("cancel_requested", name, reason=("replaced", "its schedule fired again"))
        if missed:
            self._expect_missed(job, schedule, latest, 1, missed)

    def _due(self, schedule: Schedule, instant: float) -> float:
        return instant if schedule.calendar is None else self._model.now + (instant - self._model.wall)

    def _expect_missed(self, job: JobModel, schedule: Schedule, latest: float, count: int, why: str) -> None:
        model = self._model
        instant = WallInstant(model.wall + self._due(schedule, latest) - model.now)
        model.expect("missed", job.spec.name, count=count, why=why, instant=instant)

    def _is_too_late(self, job: JobModel, schedule: Schedule, late: float, late_events: int) -> bool:
        allowed = LATE_SECONDS if schedule.missed is Missed.SKIP else max(LATE_SECONDS, schedule.grace)
        if abs(late - allowed) < EPSILON_SECONDS or late - schedule.jitter <= allowed < late:
            # The jitter, or the rounding, leaves it open: the events decide. `late_events` are for older instants.
            events = self._model.events_of_step("missed", job.spec.name)
            return len([event for event in events if event.data["why"] == "late"]) > late_events
        return late > allowed


# No further run can be queued behind the present one.
_OTHER_RUN_FOLLOWS = (FollowUp.FIRING, FollowUp.RESTART, FollowUp.REMOVAL)
