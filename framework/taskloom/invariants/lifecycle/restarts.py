"""I6: restarts obey their policy: how long they wait, when a job gives up, and how many begin at once."""

from __future__ import annotations

from collections import deque

from taskloom.invariants.event_rules import Fact, RunFacts
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.invariants.lifecycle.model import EPSILON_SECONDS, Between, Books, JobBook, Wait
from taskloom.text import duration

__all__ = ["Restarts"]

HEALTHY_SECONDS = 30.0
FLAPPING_RESTARTS, FLAPPING_SECONDS = 5, 60.0
GATE_RESTARTS, GATE_SECONDS = 20, 0.1


class Restarts:
    """All restarts that are waited for, and the gate that lets in so many at once."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._due: ExpectedDeadlines[str] = ExpectedDeadlines()
        self._at_gate: dict[str, float] = {}
        """Those whose delay is over, and since when."""
        self._opened, self._let_in = float("-inf"), 0

    # -- after a run

    def is_exhausted(self, book: JobBook) -> bool:
        """Tell whether one more restart is more than the policy allows."""
        limit = book.spec.restart.limit
        since = self._books.now - (limit.within if limit is not None else 0.0)
        return limit is not None and sum(when > since for when in book.restarts) >= limit.times

    def owe(self, book: JobBook, run: RunFacts) -> None:
        """Have the step schedule a restart after as long as the policy says."""
        policy = book.spec.restart
        healthy = run.ended - run.ready if run.ended is not None and run.ready is not None else 0.0
        if book.delay == 0.0 or healthy >= max(HEALTHY_SECONDS, book.delay):
            book.delay = min(policy.delay, policy.max_delay)
        else:
            book.delay = min(book.delay * policy.factor, policy.max_delay)
        book.wait_for(Wait.BACKOFF)
        between = Between(book.delay, book.delay * (1.0 + policy.jitter))
        self._books.owe("restart_scheduled", run.run, seconds=between)

    def scheduled(self, book: JobBook, fact: Fact) -> None:
        """Wait for as long as was said."""
        due = self._books.now + (fact.seconds or 0.0)
        self._due.set(book.spec.name, due)
        self._books.alarms.set(("the restart", book.spec.name), due)

    def forget(self, book: JobBook) -> None:
        """Drop the restart of a job that waits for it no more."""
        name = book.spec.name
        self._due.drop(name)
        self._books.alarms.drop(("the restart", name))
        if self._at_gate.pop(name, None) is not None and not self._at_gate:
            self._books.alarms.drop(("the gate", ""))

    # -- when it is over

    def begins(self, book: JobBook, fact: Fact) -> None:
        """Judge a run that follows as a restart, and count it."""
        books, name, now = self._books, book.spec.name, self._books.now
        due = self._at_gate.get(name, self._due.due_of(name))
        if due is None or due > now + EPSILON_SECONDS:
            books.broken("I6", f"{fact.run} is a restart at {duration(now)}, due at second {due}")
        elif self._at_gate:
            first, its_due = next(iter(self._at_gate.items()))
            if its_due < due:
                books.broken("I6", f"{fact.run} was let in before {first}")
        if fact.attempt != book.attempt + 1:
            books.broken("I6", f"{fact.run} is attempt {fact.attempt}, after attempt {book.attempt}")
        self._pass_gate(fact)
        self._count(book)

    def _pass_gate(self, fact: Fact) -> None:
        now = self._books.now
        if now >= self._opened + GATE_SECONDS:
            self._opened, self._let_in = now, 0
        self._let_in += 1
        if self._let_in > GATE_RESTARTS:
            self._books.broken("I6", f"{fact.run} is restart {self._let_in} since {duration(self._opened)}")

    def _count(self, book: JobBook) -> None:
        now = self._books.now
        was_flapping = _is_flapping(book.restarts, now)
        book.restarts.append(now)
        limit = book.spec.restart.limit
        while len(book.restarts) > max(FLAPPING_RESTARTS, limit.times if limit is not None else 0):
            book.restarts.popleft()
        if not was_flapping and _is_flapping(book.restarts, now):
            self._books.owe("flapping", book.spec.name)

    def end_tick(self) -> None:
        """Judge that nobody waits whom the gate would let in."""
        books = self._books
        if self._due.is_any_due(books.now):
            for name, due in self._due.pop_until(books.now):
                books.alarms.drop(("the restart", name))
                if books.jobs[name].wait is Wait.BACKOFF:
                    self._at_gate[name] = due
        elif not self._at_gate:
            return
        if not self._at_gate:
            books.alarms.drop(("the gate", ""))
            return
        if self._let_in < GATE_RESTARTS or books.now >= self._opened + GATE_SECONDS:
            books.broken("I6", f"{', '.join(self._at_gate)} had to be restarted, and nothing was in the way")
        books.alarms.set(("the gate", ""), self._opened + GATE_SECONDS)


def _is_flapping(times: deque[float], now: float) -> bool:
    return sum(when > now - FLAPPING_SECONDS for when in times) >= FLAPPING_RESTARTS
