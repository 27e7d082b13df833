"""Whether the work is over: nothing keeps the program alive any more, and that is said once."""

from __future__ import annotations

from taskloom.core import actions
from taskloom.invariants.lifecycle.model import Books

__all__ = ["Work"]


class Work:
    """Counts the jobs that run, or will by themselves; daemons apart."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._active = {False: 0, True: 0}
        self._counted: dict[str, bool] = {}
        """The active jobs, and whether each is a daemon."""
        self._was_over = True
        self._said = 0
        self.is_essential_lost = False
        """Everything stops because an essential job failed for good: whoever waits for the work need not."""

    def say(self, action: actions.WorkFinished) -> None:
        """Count that it was said."""
        self._said += 1

    def note(self, job: str) -> None:
        """Count the job as it stands now."""
        book, was = self._books.jobs.get(job), self._counted.get(job)
        now = book.spec.daemon if book is not None and book.is_active else None
        if now is was:
            return
        if was is not None:
            self._active[was] -= 1
            del self._counted[job]
        if now is not None:
            self._counted[job] = now
            self._active[now] += 1
            self._books.has_held = self._books.has_held or not now

    def judge(self) -> None:
        """Hold what was said against what is."""
        for job in self._books.touched:
            self.note(job)
        is_over = self._active[False] == 0 and (self._books.has_held or self._active[True] == 0)
        is_over = is_over or self.is_essential_lost
        expected = int(is_over and not self._was_over)
        self._was_over = is_over
        found, self._said = self._said, 0
        if found != expected:
            self._books.broken("I9", f"WorkFinished came {found} times, expected {expected}")
