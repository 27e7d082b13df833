"""I11: a job starts after what it waits for, and is skipped when that can no longer come true."""

from __future__ import annotations

from taskloom.core.policies import Condition
from taskloom.invariants.lifecycle.model import Books, JobBook, Next

__all__ = ["LOST", "MET", "OPEN", "stands"]

MET, OPEN, LOST = "met", "open", "lost"


def stands(books: Books, book: JobBook) -> str:
    """Say how the dependencies of a job stand together: one that is lost counts before one that is open."""
    found = MET
    for need in book.spec.after:
        members = list(books.members(need.job))
        if not members:
            return LOST
        for member in members:
            if _is_met(member, need.condition):
                continue
            if _is_lost(member, need.condition):
                return LOST
            found = OPEN
    return found


def _is_met(job: JobBook, condition: Condition) -> bool:
    if condition is Condition.FINISHED:
        return job.rest == "finished"
    run = job.last
    if run is None:
        return False
    if condition is Condition.SUCCEEDED or run.outcome is not None:
        has_come = run.started if condition is Condition.STARTED else run.ready
        return run.outcome == "succeeded" and (condition is Condition.SUCCEEDED or has_come is not None)
    since = run.started if condition is Condition.STARTED else run.ready
    return since is not None and run.asked is None


def _is_lost(job: JobBook, condition: Condition) -> bool:
    """Tell whether nothing but a person can bring it: the job is at rest, or blocked with nothing to follow."""
    if job.is_blocked:
        return condition is not Condition.FINISHED and job.follows in (Next.NOTHING, Next.REMOVAL)
    return job.rest != ""
