"""Marks the runs as lost that were alive when their program was killed: each once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from taskloom.core.model import Outcome
from taskloom.history.model import LostRun
from taskloom.history.read_rows import LOST_WITH_PROGRAM
from taskloom.history.tables import runs, starts
from taskloom.text import local_date_time

__all__ = ["mark_lost"]


def mark_lost(connection: Connection, name: str, start: str) -> Sequence[LostRun]:
    """Mark the other starts of this name that were never ended, and their runs that were alive; return these runs.

    Called under the lock of the name, in one transaction: a crash in the middle leaves all of them for the next start.
    `start`: our own.
    """
    of_others = (starts.c.name == name, starts.c.how == "running", starts.c.start != start)
    found = connection.execute(select(starts.c.start, starts.c.alive_at).where(*of_others).order_by(starts.c.since))
    lost: list[LostRun] = []
    for other, alive_at in found.all():
        lost += _runs_of(connection, name, other, alive_at)
        killed = (starts.c.name == name, starts.c.start == other)
        connection.execute(update(starts).where(*killed).values(how="lost", ended_at=alive_at))
        were_alive = (runs.c.name == name, runs.c.start == other, runs.c.outcome.is_(None))
        connection.execute(
            update(runs)
            .where(*were_alive)
            .values(
                outcome=Outcome.LOST.value,
                ended_at=alive_at,
                reason_kind=LOST_WITH_PROGRAM,
                reason_text=f"the program was killed (last seen at {local_date_time(alive_at)})",
            )
        )
        # Only for a run that has begun: one that was only queued took no time.
        took = runs.c.ended_at - runs.c.started_at
        connection.execute(
            update(runs)
            .where(runs.c.name == name, runs.c.start == other, runs.c.outcome == Outcome.LOST.value)
            .where(runs.c.seconds.is_(None), runs.c.started_at.is_not(None), runs.c.started_at <= runs.c.ended_at)
            .values(seconds=took)
        )
    return lost


def _runs_of(connection: Connection, name: str, start: str, alive_at: float) -> list[LostRun]:
    chosen = (runs.c.name == name, runs.c.start == start, runs.c.outcome.is_(None))
    found = connection.execute(
        select(runs.c.run, runs.c.job, runs.c.last_polled).where(*chosen).order_by(runs.c.queued_at, runs.c.run)
    )
    return [LostRun(start, run, job, last_polled, alive_at) for run, job, last_polled in found.all()]
