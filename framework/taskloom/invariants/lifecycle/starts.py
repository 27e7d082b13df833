"""How a job starts by itself: after what it needs, after its delay, by its schedule."""

from __future__ import annotations

from taskloom.invariants.lifecycle.dependencies import LOST, MET, stands
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.invariants.lifecycle.model import Books, JobBook, Wait
from taskloom.invariants.lifecycle.schedules import Schedules

__all__ = ["Starts"]


class Starts:
    """The jobs that were told to start by themselves, and have not yet."""

    def __init__(self, books: Books, schedules: Schedules) -> None:
        self._books = books
        self._schedules = schedules
        self._delays: ExpectedDeadlines[str] = ExpectedDeadlines()

    def arm(self, book: JobBook) -> None:
        """Begin with the first wait; a job that waits for nothing is owed a run."""
        spec = book.spec
        book.wait_for(Wait.DEPENDENCY)
        self._books.waiting[spec.name] = None
        self._books.touch(spec.name)
        # It counts though it may be skipped before the step is over.
        self._books.has_held = self._books.has_held or not spec.daemon
        if not spec.after and not spec.start.delay_seconds and spec.schedule is None:
            self.after_needs(book)

    def after_needs(self, book: JobBook) -> None:
        """Go on to the delay."""
        books, spec = self._books, book.spec
        if spec.start.delay_seconds > 0:
            book.wait_for(Wait.DELAY)
            due = books.now + spec.start.delay_seconds
            self._delays.set(spec.name, due)
            books.alarms.set(("the end of the delay", spec.name), due)
        else:
            self.after_delay(book)

    def after_delay(self, book: JobBook) -> None:
        """Go on to the schedule, or to a run."""
        books, schedule = self._books, book.spec.schedule
        if schedule is None:
            books.owe("queued", book.spec.name, attempt=1)
            return
        book.wait_for(Wait.FIRING)
        self._schedules.arm(book)
        if schedule.immediately:
            books.owe("queued", book.spec.name, attempt=1)
        elif book.instant is None:
            self._schedules.run_dry(book)

    def begin_tick(self) -> None:
        """Go on with those whose delay is over."""
        if not self._delays.is_any_due(self._books.now):
            return
        for name, due in self._delays.pop_until(self._books.now):
            self._books.alarms.drop(("the end of the delay", name))
            book = self._books.jobs.get(name)
            if book is not None and book.wait is Wait.DELAY:
                self._books.expect_at(f"the end of the delay of {name}", due)
                self._books.touch(name)
                self.after_delay(book)

    def forget(self, book: JobBook) -> None:
        """Drop the delay of a job that waits for it no more."""
        self._delays.drop(book.spec.name)
        self._books.alarms.drop(("the end of the delay", book.spec.name))

    def settle(self) -> None:
        """After the step: nobody waits for a job any more who could go on, or has to be skipped."""
        books = self._books
        for job in list(books.touched):
            for name in (job, *books.dependents(job)):
                book = books.jobs.get(name)
                if book is not None and book.wait is Wait.DEPENDENCY:
                    self._settle(book)
                elif name in books.waiting:
                    del books.waiting[name]

    def _settle(self, book: JobBook) -> None:
        standing = stands(self._books, book)
        if standing == MET:
            self.after_needs(book)
        elif standing == LOST:
            self._books.broken("I11", f"job {book.spec.name} waits for what can no longer come, and was not skipped")
