"""I9: a command is refused for its reason, and for no other."""

from __future__ import annotations

from taskloom.core import inputs
from taskloom.errors import DependencyUnmet, SchedulerStopped, UsageError
from taskloom.invariants.lifecycle.dependencies import MET, stands
from taskloom.invariants.lifecycle.model import Books

__all__ = ["judge_refusal"]


def judge_refusal(books: Books, command: inputs.Input, error: UsageError) -> None:
    """Note where a command was refused without need."""
    if isinstance(error, SchedulerStopped) and books.is_open:
        books.broken("I9", f"refused as stopped, and it was not: {command}")
    if not books.is_open or not isinstance(command, inputs.StartJob | inputs.ArmJob | inputs.RestartJob):
        return
    book = books.jobs.get(command.job)
    if book is None or not book.spec.enabled or book.rest == "disabled":
        return
    if isinstance(error, DependencyUnmet):
        if not isinstance(command, inputs.StartJob) or command.is_now or stands(books, book) == MET:
            books.broken("I11", f"a start was refused without need: {error}")
    elif book.run is None or (isinstance(command, inputs.RestartJob) and not book.is_blocked):
        books.broken("I9", f"a start was refused without need: {error}")
