"""The deadlines and the liveness of a run: `timeout`, `ready_within`, `watchdog`."""

from __future__ import annotations

from taskloom.core import inputs
from taskloom.core.model import JobSpec
from taskloom.core.policies import WatchdogThen
from taskloom.invariants.event_rules import RunFacts
from taskloom.invariants.lifecycle.model import NEVER, Books, JobBook, Next
from taskloom.text import measured

__all__ = ["Limits"]

TIMEOUT, READINESS = "the timeout", "the readiness"


class Limits:
    """The limits of all live runs, from when they were queued."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._limited: set[str] = set()
        """Runs that have a limit."""

    def set(self, run: RunFacts, spec: JobSpec) -> None:
        """Expect the asks of this declaration; what would have been earlier comes now."""
        if run.asked is None and run.ended is None:
            self._limited.add(run.run)
            self._set(TIMEOUT, run, spec.timeout)
            self._set(READINESS, run, spec.ready_within if run.ready is None else None)

    def _set(self, what: str, run: RunFacts, seconds: float | None) -> None:
        due = NEVER if seconds is None else max(run.queued + seconds, self._books.now)
        self._books.alarms.set((what, run.run), due)

    def ready(self, run: str) -> None:
        """It was ready in time."""
        if run in self._limited:
            self._books.alarms.drop((READINESS, run))

    def forget(self, run: str) -> None:
        """It was asked, or has ended."""
        if run not in self._limited:
            return
        self._limited.remove(run)
        self._books.alarms.drop((TIMEOUT, run))
        self._books.alarms.drop((READINESS, run))

    def judge_ask(self, run: str, kind: str) -> None:
        """Judge an ask that time brought."""
        what = TIMEOUT if kind == "deadline" else READINESS
        due = self._books.alarms.due_of((what, run))
        if due is None:
            self._books.broken("I7", f"{run} was asked for {kind}, and {what} was not running")
        else:
            self._books.expect_at(f"{what} of {run}", due)

    # -- the watchdog

    def unresponsive(self, report: inputs.RunUnresponsive) -> None:
        """Have the step say so, and do what the watchdog does."""
        book = self._book_of(report.run)
        watchdog = book.run_spec.watchdog if book is not None and book.run_spec is not None else None
        if book is None or book.run is None or watchdog is None:
            return
        if book.run.ready is None or not book.is_running or book.run.unresponsive is not None:
            return
        self._books.owe("unresponsive", report.run, poll_age=round(report.poll_age, 3))
        if watchdog.then is WatchdogThen.WARN:
            return
        if book.follows is Next.POLICY:
            book.follows = Next.NOTHING if watchdog.then is WatchdogThen.STOP else Next.RETRY
        reason = ("watchdog", f"no poll for {measured(report.poll_age)}")
        self._books.owe("cancel_requested", report.run, reason=reason)

    def responsive(self, report: inputs.RunResponsive) -> None:
        """Have the step say so, where it was unresponsive."""
        book = self._book_of(report.run)
        if book is not None and book.run is not None and not book.is_blocked and book.run.unresponsive is not None:
            self._books.owe("responsive", report.run)

    def _book_of(self, run: str) -> JobBook | None:
        found = self._books.ledger.live.get(run)
        return self._books.jobs.get(found.job) if found is not None else None
