"""What follows a run: nothing, a restart, another run at once, or the end of the job."""

from __future__ import annotations

from taskloom.core.policies import RestartWhen
from taskloom.invariants.event_rules import RunFacts
from taskloom.invariants.lifecycle.model import Books, JobBook, Next, Wait
from taskloom.invariants.lifecycle.restarts import Restarts

__all__ = ["Ends"]

FAILURES = ("failed", "timed_out", "start_failed")
# An abandoned run ended as what it was stopped for.
FAILURE_KINDS = ("deadline", "watchdog")


class Ends:
    """The ends of all runs."""

    def __init__(self, books: Books, restarts: Restarts) -> None:
        self._books = books
        self._restarts = restarts

    def abandoned(self, book: JobBook, run: RunFacts) -> None:
        """Its thread lives on: what would follow is kept for its late exit."""
        book.follows = self._decide(book, run, is_permanent=False)
        self.judge_essential(book)

    def over(self, book: JobBook, run: RunFacts, *, is_permanent: bool) -> None:
        """It has ended."""
        book.run = None
        self._follow(book, run, self._decide(book, run, is_permanent=is_permanent))

    def exited_late(self, book: JobBook, run: RunFacts) -> None:
        """The thread of an abandoned run is back: what was kept for it is released."""
        book.run = None
        self._follow(book, run, book.follows if self._books.is_open else Next.NOTHING)

    def _follow(self, book: JobBook, run: RunFacts, found: Next) -> None:
        books, name = self._books, book.spec.name
        if found is Next.RETRY:
            self._restarts.owe(book, run)
        elif found is Next.AGAIN or found is Next.FIRING:
            book.wait_for(Wait.PERSON)
            books.owe("queued", name, attempt=1)
        else:
            self._rest(book)
            if found is Next.REMOVAL:
                books.owe("job_removed", name)
        self.judge_essential(book)

    def _rest(self, book: JobBook) -> None:
        if book.instant is not None:
            book.wait_for(Wait.FIRING)
        else:
            book.come_to_rest("finished" if book.spec.enabled else "disabled")

    def _decide(self, book: JobBook, run: RunFacts, *, is_permanent: bool) -> Next:
        has_failed = _is_failure(run)
        found = book.follows
        if not self._books.is_open:
            found = Next.NOTHING
        elif found is Next.POLICY or found is Next.RETRY:
            found = self._by_policy(book, run, has_failed=has_failed, is_permanent=is_permanent)
        book.has_failed = book.has_given_up or (has_failed and found is Next.NOTHING)
        return found

    def _by_policy(self, book: JobBook, run: RunFacts, *, has_failed: bool, is_permanent: bool) -> Next:
        when = book.spec.restart.when
        is_wanted = book.follows is Next.RETRY or when is RestartWhen.ALWAYS
        if not is_wanted and not (has_failed and when is RestartWhen.ON_FAILURE):
            return Next.NOTHING
        if is_permanent or self._restarts.is_exhausted(book):
            book.has_given_up = True
            self._books.owe("gave_up", run.run)
            return Next.NOTHING
        return Next.RETRY

    def judge_essential(self, book: JobBook) -> None:
        """Have everything stop where an essential job has failed for good."""
        books = self._books
        is_for_good = book.has_failed and (book.has_given_up or book.instant is None)
        if is_for_good and book.spec.essential and books.is_open and not books.owes("scheduler_stopping"):
            books.owe("scheduler_stopping", "", reason=("essential", f"job {book.spec.name!r} failed for good"))


def _is_failure(run: RunFacts) -> bool:
    if run.outcome == "abandoned":
        return run.reason is not None and run.reason[0] in FAILURE_KINDS
    return run.outcome in FAILURES
