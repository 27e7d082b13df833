"""I10: each instant of a schedule comes to at most one run, and to a word where it comes to none.

Intervals count on the monotonic clock, calendars on the wall clock; every 15 s somebody looks whether that was set.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import floor

from taskloom.core.policies import Calendar, Missed, Overlap, Schedule
from taskloom.invariants.event_rules import Fact
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.invariants.lifecycle.model import EPSILON_SECONDS, NEVER, Books, JobBook, Next, Wait
from taskloom.text import duration

__all__ = ["Schedules"]

LATE_SECONDS = 1.0
LOOK_SECONDS, STEP_SECONDS, CORRECTION_SECONDS = 15.0, 0.1, 3 * 3600.0
COUNTED = 1000


class Schedules:
    """All armed schedules. Jitter is chance that nobody tells: a window is open from an instant to its last second."""

    def __init__(self, books: Books, judge_essential: Callable[[JobBook], None]) -> None:
        self._books = books
        self._judge_essential = judge_essential
        self._due: ExpectedDeadlines[str] = ExpectedDeadlines()
        self._ends: ExpectedDeadlines[str] = ExpectedDeadlines()
        """When each window closes."""
        self._offset = 0.0
        self._open: dict[str, None] = {}
        """Jobs whose instant has come, and may not have been handled yet."""
        self._calendars: dict[str, float] = {}
        """Jobs aimed by a calendar, and what the wall clock was ahead of the monotonic one then."""
        self._look_at = NEVER

    # -- arming

    def arm(self, book: JobBook) -> None:
        """Aim at the first instant; there may be none."""
        books, schedule = self._books, book.spec.schedule
        if schedule is None:
            return
        if schedule.every is not None:
            self._aim(book, schedule, books.now + schedule.every)
        elif schedule.calendar is not None:
            if self._look_at == NEVER:
                self._look_at = books.now + LOOK_SECONDS
            self._aim(book, schedule, schedule.calendar.after(books.wall))

    def rearm(self, book: JobBook) -> None:
        """Have the schedule go on of a job that a person starts."""
        if book.instant is None:
            self.arm(book)

    def disarm(self, book: JobBook) -> None:
        """No instant comes any more."""
        name = book.spec.name
        book.instant = None
        self._due.drop(name)
        self._ends.drop(name)
        self._open.pop(name, None)
        self._calendars.pop(name, None)

    def run_dry(self, book: JobBook) -> None:
        """Have a job come to rest that has no instant left."""
        book.come_to_rest("finished")
        self._books.touch(book.spec.name)
        self._books.owe("skipped", book.spec.name)
        self._judge_essential(book)

    def _aim(self, book: JobBook, schedule: Schedule, instant: float | None) -> None:
        self.disarm(book)
        book.instant = instant
        if instant is not None:
            self._set_due(book, schedule)

    def _set_due(self, book: JobBook, schedule: Schedule) -> None:
        books, instant = self._books, book.instant or 0.0
        if _is_loose(schedule, instant):
            return
        due = instant if schedule.every is not None else books.now + (instant - books.wall)
        if schedule.calendar is not None:
            self._calendars[book.spec.name] = books.wall - books.now
        self._due.set(book.spec.name, due)
        self._ends.set(book.spec.name, due + schedule.jitter)

    # -- what time brings

    def begin_tick(self) -> None:
        """See whose instant has come."""
        if self._look_at <= self._books.now:
            self._look_at_clock()
        if self._due.is_any_due(self._books.now):
            for name, _ in self._due.pop_until(self._books.now):
                self._open[name] = None

    def _look_at_clock(self) -> None:
        books = self._books
        if not self._calendars:
            self._look_at = NEVER
            return
        self._look_at = books.now + LOOK_SECONDS
        for name in list(self._calendars):
            self._follow_clock(books.jobs[name])

    def _follow_clock(self, book: JobBook) -> None:
        """Aim anew where the wall clock was set since: at the same instant, or by the new time where that is right."""
        books, schedule = self._books, book.spec.schedule
        step = books.wall - books.now - self._calendars.get(book.spec.name, 0.0)
        if schedule is None or schedule.calendar is None or abs(step) < STEP_SECONDS:
            return
        self._open.pop(book.spec.name, None)
        if step < -CORRECTION_SECONDS:
            self._aim(book, schedule, schedule.calendar.after(books.wall))
        else:
            self._set_due(book, schedule)

    def may_fire(self, job: str) -> bool:
        """Tell whether an instant of the job has come that may not have been handled yet."""
        return job in self._open

    def close_windows(self) -> None:
        """Handle those that fired unseen, by their jitter, and note those that should have and did not."""
        books = self._books
        offset = books.wall - books.now
        if abs(offset - self._offset) > EPSILON_SECONDS:
            self._offset = offset
            for book in [books.jobs[name] for name in self._open]:
                if self._was_set_back(book):
                    self._follow_clock(book)
        if self._ends.is_any_due(books.now - books.lateness):
            for name, due in list(self._ends.pop_until(books.now - books.lateness)):
                self._close_window(books.jobs[name], due)

    def _close_window(self, book: JobBook, due: float) -> None:
        instant, name = book.instant, book.spec.name
        if name in self._open:
            self.fire_unseen(book)
        if book.instant == instant:
            self._books.broken(
                "I7", f"the firing of {name} was due at {duration(due)}, it is {duration(self._books.now)}"
            )

    def _was_set_back(self, book: JobBook) -> bool:
        """Tell whether the wall clock says that the instant is still to come."""
        is_calendar = book.spec.schedule is not None and book.spec.schedule.calendar is not None
        return is_calendar and book.instant is not None and self._books.wall < book.instant - STEP_SECONDS

    def fire_unseen(self, book: JobBook) -> None:
        """Handle an instant whose firing nothing told of: a run waits for the end of the one that there is."""
        schedule, first = book.spec.schedule, book.instant
        if schedule is None or first is None or book.run is None:
            return
        if _is_loose(schedule, first):
            book.follows = Next.FIRING if book.follows is not Next.AGAIN else book.follows
            return
        is_told = schedule.overlap is Overlap.SKIP or book.follows is Next.FIRING
        if is_told or (schedule.overlap is Overlap.REPLACE and book.is_running):
            return
        if book.follows not in (Next.AGAIN, Next.REMOVAL):  # as somebody wanted since then
            book.follows = Next.FIRING
        self._aim(book, schedule, first + schedule.every if schedule.every else _after(schedule.calendar, first))

    def look_for_unseen(self, book: JobBook) -> None:
        """See from the run that follows at once that the schedule fired, by its jitter, while the last one went on."""
        name, schedule = book.spec.name, book.spec.schedule
        is_loose = schedule is not None and book.instant is not None and _is_loose(schedule, book.instant)
        if (name in self._open or is_loose) and any(one.attempt == 1 for one in self._books.coming("queued", name)):
            self.fire_unseen(book)

    def take_of(self, fact: Fact) -> None:
        """Handle the instant that an event of this tick may speak of."""
        book = self._books.jobs.get(fact.job or "")
        if book is not None and book.spec.name in self._open:
            self.take(book)

    def excuses(self, book: JobBook, fact: Fact) -> bool:
        """Tell whether chance alone may be behind an event: which instant has come is open with so much jitter."""
        schedule, kind = book.spec.schedule, fact.reason[0] if fact.reason is not None else ""
        if schedule is None or book.instant is None or not _is_loose(schedule, book.instant):
            return False
        if fact.event == "cancel_requested" and kind == "replaced":
            book.follows = Next.FIRING
            return True
        if fact.event == "skipped" and kind == "finished":
            self.disarm(book)
            book.come_to_rest("finished")
            return True
        is_first = fact.event == "queued" and fact.attempt == 1
        return fact.event == "missed" or (is_first and book.wait in (Wait.FIRING, Wait.BACKOFF))

    def end_tick(self) -> None:
        """Handle those of whom nothing was seen, and that were due."""
        if not self._ends.is_any_due(self._books.now):
            return
        for name, _ in self._ends.pop_until(self._books.now):
            book = self._books.jobs[name]
            if name in self._open and self._was_abandoned_since(book):
                self.fire_unseen(book)
            elif name in self._open:
                self.take(book)

    def _was_abandoned_since(self, book: JobBook) -> bool:
        """Tell whether an instant may have come, by its jitter, before the run was abandoned: nothing says that not."""
        schedule = book.spec.schedule
        may_queue = schedule is not None and schedule.jitter > 0 and schedule.overlap is not Overlap.SKIP
        return may_queue and book.is_blocked and not any(self._books.coming("missed", book.spec.name))

    def take(self, book: JobBook) -> None:
        """Handle the instant that has come: say what the step has to bring, and aim at the next."""
        books, schedule, first = self._books, book.spec.schedule, book.instant
        self._open.pop(book.spec.name, None)
        if schedule is None or first is None:
            return
        passed = self._every(book, schedule, first) if schedule.every else self._calendar(book, schedule, first)
        if passed is None:
            self._follow_clock(book)
            return
        latest, older = passed
        following = latest + schedule.every if schedule.every else _after(schedule.calendar, latest)
        self._aim(book, schedule, following)
        if older:
            books.owe("missed", book.spec.name, count=older, why="late")
        self._land(book, schedule, latest, told_late=int(older > 0))
        if following is None and book.wait is Wait.FIRING and ("queued", book.spec.name) not in _heads(books):
            self.run_dry(book)

    # -- how many instants have come

    def _every(self, book: JobBook, schedule: Schedule, first: float) -> tuple[float, int] | None:
        every, passed = schedule.every or 1.0, self._books.now - first
        most = floor(max(0.0, passed + EPSILON_SECONDS) / every)
        least = floor(max(0.0, passed + EPSILON_SECONDS - schedule.jitter) / every)
        older = most if most == least else self._told_older(book, least, most)
        return first + older * every, older

    def _calendar(self, book: JobBook, schedule: Schedule, first: float) -> tuple[float, int] | None:
        calendar, wall = schedule.calendar, self._books.wall
        if calendar is None or wall - first < -STEP_SECONDS:
            return None  # the wall clock was set back
        most, least = _count(calendar, first, wall), _count(calendar, first, wall - schedule.jitter)
        older = most if most == least else self._told_older(book, least, most)
        latest = _latest(calendar, first, wall) if older == most else _nth(calendar, first, older)
        return latest, older

    def _told_older(self, book: JobBook, least: int, most: int) -> int:
        """Take over what was told, where the jitter leaves it open how many instants were too late."""
        for event in self._books.coming("missed", book.spec.name):
            if event.data["why"] == "late" and least <= event.data["count"] <= most:
                return int(event.data["count"])
        return least

    # -- what the latest of them comes to

    def _land(self, book: JobBook, schedule: Schedule, latest: float, *, told_late: int) -> None:
        books, name = self._books, book.spec.name
        when = latest if schedule.calendar is None else books.now + (latest - books.wall)
        if self._is_too_late(book, schedule, books.now - when, told_late):
            books.owe("missed", name, count=1, why="late", instant=_Instant(books.wall + when - books.now))
        elif book.wait in (Wait.FIRING, Wait.BACKOFF):
            books.owe("queued", name, attempt=1)
        elif book.is_blocked:
            books.owe("missed", name, count=1, why="blocked", instant=_Instant(books.wall + when - books.now))
        elif schedule.overlap is Overlap.SKIP or book.follows in (Next.FIRING, Next.AGAIN, Next.REMOVAL):
            books.owe("missed", name, count=1, why="overlap", instant=_Instant(books.wall + when - books.now))
        else:
            book.follows = Next.FIRING
            if schedule.overlap is Overlap.REPLACE and book.is_running:
                books.owe("cancel_requested", name, reason=("replaced", "its schedule fired again"))

    def _is_too_late(self, book: JobBook, schedule: Schedule, late: float, told_late: int) -> bool:
        allowed = LATE_SECONDS if schedule.missed is Missed.SKIP else max(LATE_SECONDS, schedule.grace)
        if abs(late - allowed) < EPSILON_SECONDS or late - schedule.jitter <= allowed < late:
            # Left open by the jitter, or by the last digit: what was told counts, older instants apart.
            coming = self._books.coming("missed", book.spec.name)
            return len([event for event in coming if event.data["why"] == "late"]) > told_late
        return late > allowed


class _Instant:
    """A second of the wall clock; equal to its RFC 3339 text, to the millisecond."""

    def __init__(self, wall: float) -> None:
        self._wall = wall

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and abs(datetime.fromisoformat(other).timestamp() - self._wall) < 1e-3

    def __hash__(self) -> int:
        return hash(self._wall)

    def __repr__(self) -> str:
        return datetime.fromtimestamp(self._wall, UTC).isoformat()


def _is_loose(schedule: Schedule, instant: float) -> bool:
    """Tell whether a later instant may fire before this one."""
    following = schedule.calendar.after(instant) if schedule.calendar is not None and schedule.jitter else None
    return following is not None and following - instant <= schedule.jitter


def _heads(books: Books) -> list[tuple[str, str]]:
    return [(event, subject) for event, subject, _ in books.owed]


def _after(calendar: Calendar | None, instant: float) -> float | None:
    return calendar.after(instant) if calendar is not None else None


def _latest(calendar: Calendar, first: float, wall: float) -> float:
    return max(first, calendar.latest(wall) or first) if wall >= first + 1.0 else first


def _count(calendar: Calendar, first: float, wall: float) -> int:
    """Count the instants from the first to just before the latest that has come."""
    latest, count = _latest(calendar, first, wall), 0
    instant: float | None = first
    while instant is not None and instant < latest and count < COUNTED:
        count += 1
        instant = calendar.after(instant)
    return count


def _nth(calendar: Calendar, first: float, count: int) -> float:
    instant = first
    for _ in range(count):
        instant = calendar.after(instant) or instant
    return instant
