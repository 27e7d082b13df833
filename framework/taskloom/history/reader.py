"""Reads a history for the verbs: short queries that change nothing, whether or not the program that writes it lives.

Every error of the database is a `HistoryError`, one sentence without a traceback. A value that is damaged hides no
other: all of them are read as they are, without SQLAlchemy's types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from taskloom.history import database, tables
from taskloom.history.alive import is_written
from taskloom.history.blocks import Block, BlockFold
from taskloom.history.read_rows import (
    FAILURES,
    LOST_WITH_PROGRAM,
    ActionEntry,
    JobTotals,
    LogTail,
    Page,
    RunEntry,
    RunFilter,
    StartEntry,
    instant_of,
)

if TYPE_CHECKING:
    from taskloom.history.location import Target

__all__ = ["Reader", "open_reader"]

# SQLite allows 32,766 variables in one statement.
_MOST_NAMES = 10_000
# Columns that no table shows.
_LONG = ("error_traceback", "stuck_stack")
# All that a timeline needs. A million rows are read for it, so they are not made into records.
_OF_BLOCKS = ("job", "start", "run", "queued_at", "started_at", "ended_at", "outcome", "instant", "folded")
_BRIEF = (
    *("name", "start", "run", "job", "attempt", "instant", "queued_at", "started_at", "ended_at", "seconds"),
    *("outcome", "reason_kind", "reason_text", "error_type", "error_message"),
    *("host", "worker", "pid"),
)
# A firing that is later than this may make up for an instant that passed while the program was down.
_LATE_SECONDS = 1.0


class Reader:
    """One connection to a history. Each method raises HistoryError."""

    def __init__(self, connection: sa.Connection, target: Target) -> None:
        self._connection, self._target = connection, target

    @property
    def shown(self) -> str:
        """The path or the URL of the database, without a password."""
        return self._target.shown

    def names(self) -> list[str]:
        """Return the names of the programs that have written to it."""
        return self._texts(sa.select(self._plain(tables.starts.c.name).label("text")).distinct())

    def jobs(self, name: str) -> list[str]:
        """Return the names of all jobs of a program that have runs."""
        # From one job to the next by the index: `DISTINCT` would read the rows of a million runs.
        job, of_program = tables.runs.c.job, tables.runs.c.name == name
        walk = sa.select(self._plain(sa.func.min(job)).label("text")).where(of_program).cte(recursive=True)
        following = sa.select(sa.func.min(job)).where(of_program, job > walk.c.text).scalar_subquery()
        walk = walk.union_all(sa.select(self._plain(following)).where(walk.c.text.is_not(None)))
        return self._texts(sa.select(walk.c.text))

    def _texts(self, statement: sa.Select[Any]) -> list[str]:
        return sorted(row["text"] for row in self._rows(statement) if isinstance(row["text"], str))

    def is_written(self, name: str) -> bool:
        """Return whether a program writes the history of this name now; True if that cannot be found out."""
        return is_written(self._target, self._connection, name)

    # -- starts and stop reports

    def starts(self, name: str, most: int | None = None) -> Page:
        """Return the last starts of a program."""
        table = tables.starts
        wanted = self._select(table, without=("report",)).where(table.c.name == name)
        latest_first = (table.c.since.desc(), table.c.start.desc())
        return self._page(StartEntry.read, wanted, latest_first, most)

    def report(self, start: StartEntry) -> Any:
        """Return the data of the stop report of a start; None if it has none."""
        table = tables.starts
        wanted = self._select(table, only=("report",)).where(table.c.name == start.name, table.c.start == start.start)
        return next((row["report"] for row in self._rows(wanted)), None)

    # -- runs

    def totals(self, wanted: RunFilter) -> list[JobTotals]:
        """Return the totals of each job, by its name."""
        table = tables.runs
        folded = sa.func.coalesce(table.c.folded, 1)
        outcome = self._plain(table.c.outcome)
        found = sa.select(
            self._plain(table.c.job).label("job"),
            sa.func.sum(folded).label("runs"),
            sa.func.sum(sa.case((outcome == "succeeded", folded), else_=0)).label("succeeded"),
            sa.func.sum(sa.case((self._has_failed(wanted), folded), else_=0)).label("failed"),
            sa.func.max(table.c.queued_at).label("last_at"),
        )
        found = found.where(*self._conditions(wanted)).group_by(table.c.job)
        rows = [row for row in self._rows(found) if isinstance(row["job"], str)]
        totals = [
            JobTotals(row["job"], int(row["runs"]), int(row["succeeded"]), int(row["failed"]), row["last_at"])
            for row in rows
        ]
        return sorted(totals)

    def runs(self, wanted: RunFilter, most: int | None = None, *, is_whole: bool = False) -> Page:
        """Return the last runs; with their tracebacks and stacks if `is_whole`."""
        selected = self._select(tables.runs, without=() if is_whole else _LONG)
        page = self._page(
            _reader_of_runs(wanted), selected.where(*self._conditions(wanted)), self._latest_first(), most
        )
        return page._replace(rows=self._with_made_up(page.rows))

    def blocks(self, wanted: RunFilter, *, until: float | None, every: float, most: int) -> list[Block]:
        """Return the runs that ended before `until`, None for all that have, close ones together; see `blocks`."""
        table = tables.runs
        conditions = self._conditions(wanted._replace(since=None))
        if wanted.since is not None:  # a run that began before may end after
            conditions.append(sa.or_(table.c.queued_at >= wanted.since, table.c.ended_at >= wanted.since))
        selected = self._select(table, only=_OF_BLOCKS).where(*conditions).order_by(table.c.queued_at)
        fold = BlockFold(every)
        for row in self._connection.execute(selected).mappings():
            block = _block_of(dict(row), wanted.killed)
            if block is not None and (until is None or block.end < until):
                fold.add(block)
        return fold.blocks(most)

    def brief_runs(self, wanted: RunFilter, most: int) -> Page:
        """Return the last runs with what a timeline shows of them; the rest of each entry is empty.

        The page's `older` is 1 if there are more: to count them reads the whole table.
        """
        selected = self._select(tables.runs, only=_BRIEF).where(*self._conditions(wanted))
        rows = self._rows(selected.order_by(*self._latest_first()).limit(most + 1))
        return Page(list(map(RunEntry.read, rows[:most]))[::-1], max(0, len(rows) - most))

    def last_runs(self, job: str, wanted: RunFilter, most: int) -> list[RunEntry]:
        """Return the last runs of one job that `wanted` lets pass, oldest first."""
        selected = self._select(tables.runs, without=_LONG)
        found = selected.where(*self._conditions(wanted._replace(jobs=(job,)))).order_by(*self._latest_first())
        return list(map(_reader_of_runs(wanted), self._rows(found.limit(most))))[::-1]

    def alive_runs(self, start: StartEntry) -> list[RunEntry]:
        """Return the runs of a start that have not ended, or that were lost with it; the oldest first."""
        table = tables.runs
        selected = self._select(table).where(table.c.name == start.name, table.c.start == start.start)
        outcome = self._plain(table.c.outcome)
        # A run whose process was lost earlier had ended when its program was last seen alive.
        lost = sa.and_(outcome == "lost", table.c.ended_at >= (start.alive_at or 0.0))
        alive = selected.where(sa.or_(outcome.is_(None), lost)).order_by(table.c.queued_at, table.c.run)
        runs = list(map(RunEntry.read, self._rows(alive)))
        return [run if run.outcome or start.how != "lost" else run.as_lost(start.alive_at) for run in runs]

    def find_run(self, name: str, run: str, start: str | None = None) -> RunEntry | None:
        """Return the run with this id: in the start whose id begins so, or in the latest start that has it."""
        table = tables.runs
        selected = self._select(table).where(table.c.name == name, table.c.run == run)
        if start is not None:
            selected = selected.where(table.c.start.startswith(start, autoescape=True))
        latest = selected.order_by(*self._latest_first()).limit(1)
        return next(map(RunEntry.read, self._rows(latest)), None)

    def log_tail(self, run: RunEntry) -> LogTail | None:
        """Return the last lines of a run; None if none were kept."""
        table = tables.log_tails
        wanted = self._select(table).where(table.c.name == run.name, table.c.start == run.start, table.c.run == run.run)
        return next(map(LogTail.read, self._rows(wanted)), None)

    # -- actions

    def actions(self, wanted: RunFilter, most: int | None = None) -> Page:
        """Return the last actions. Of jobs that are named: those on one of them, or on the whole program."""
        table = tables.actions
        conditions = [table.c.name == wanted.name]
        if wanted.since is not None:
            conditions.append(table.c.at >= wanted.since)
        selected = self._select(table).where(*conditions).order_by(table.c.at.desc())
        found: list[ActionEntry] = []
        older = 0
        jobs = None if wanted.jobs is None else frozenset(wanted.jobs)
        for action in map(ActionEntry.read, self._rows(selected)):
            if jobs is not None and action.jobs and jobs.isdisjoint(action.jobs):
                continue
            if most is None or len(found) < most:
                found.append(action)
            else:
                older += 1
        return Page(found[::-1], older)

    # -- how it is asked

    def _with_made_up(self, runs: Sequence[RunEntry]) -> list[RunEntry]:
        """Return the runs, with a mark on those that make up for an instant: only their events have it."""
        late = [run for run in runs if run.instant is not None and (run.queued_at or 0.0) > run.instant + _LATE_SECONDS]
        table = tables.events
        if not late:
            return list(runs)
        times = [run.queued_at for run in late if run.queued_at is not None]
        found = self._select(table, only=("start", "run")).where(
            table.c.name == late[0].name,
            table.c.at.between(min(times) - _LATE_SECONDS, max(times) + _LATE_SECONDS),
            table.c.event == "queued",
            self._plain(table.c.data).like('%"made_up"%'),
        )
        made_up = {(row["start"], row["run"]) for row in self._rows(found)}
        return [run._replace(is_made_up=(run.start, run.run) in made_up) for run in runs]

    def _conditions(self, wanted: RunFilter) -> list[sa.ColumnElement[bool]]:
        table = tables.runs
        found: list[sa.ColumnElement[bool]] = [table.c.name == wanted.name]
        if wanted.jobs is not None:
            names = list(wanted.jobs)
            batches = [names[at : at + _MOST_NAMES] for at in range(0, len(names), _MOST_NAMES)]
            found.append(sa.or_(sa.false(), *(table.c.job.in_(batch) for batch in batches)))
        if wanted.since is not None:
            found.append(table.c.queued_at >= wanted.since)
        if wanted.only_failed:
            found.append(self._has_failed(wanted))
        return found

    def _has_failed(self, wanted: RunFilter) -> sa.ColumnElement[bool]:
        table = tables.runs
        outcome = self._plain(table.c.outcome)
        lost = sa.and_(outcome.is_(None), table.c.start.in_(list(wanted.killed)))
        return sa.or_(outcome.in_(FAILURES), lost)

    @staticmethod
    def _latest_first() -> Sequence[sa.ColumnElement[Any]]:
        # As the indexes of the table have it.
        return (tables.runs.c.queued_at.desc(), tables.runs.c.run.desc())

    @staticmethod
    def _plain(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return the column as the driver reads it: SQLAlchemy's types raise for values that are damaged."""
        return sa.type_coerce(column, sa.types.NullType())

    def _select(self, table: sa.Table, *, without: Sequence[str] = (), only: Sequence[str] = ()) -> sa.Select[Any]:
        """Return the selection of the columns of a table, with all values as the driver reads them."""
        wanted = [each for each in table.c if each.name not in without]
        return sa.select(*(self._plain(each).label(each.name) for each in wanted if not only or each.name in only))

    def _page(
        self,
        read: Callable[[Mapping[str, Any]], Any],
        selected: sa.Select[Any],
        latest_first: Sequence[Any],
        most: int | None,
    ) -> Page:
        ordered = selected.order_by(*latest_first)
        rows = list(map(read, self._rows(ordered if most is None else ordered.limit(most))))[::-1]
        if most is None or len(rows) < most:
            return Page(rows, 0)
        counted = selected.with_only_columns(sa.func.count().label("count"), maintain_column_froms=True)
        count = next((int(row["count"]) for row in self._rows(counted)), 0)
        return Page(rows, max(0, count - len(rows)))

    def _rows(self, statement: sa.Select[Any]) -> list[Mapping[str, Any]]:
        return [dict(row) for row in self._connection.execute(statement).mappings()]


@contextmanager
def open_reader(target: Target) -> Iterator[Reader]:
    """Open a history for reading, and close it at the end. Raises HistoryError, also where the reader is used."""
    with database.read_only(target) as connection:
        yield Reader(connection, target)


def _reader_of_runs(wanted: RunFilter) -> Callable[[Mapping[str, Any]], RunEntry]:
    killed = wanted.killed

    def read(row: Mapping[str, Any]) -> RunEntry:
        run = RunEntry.read(row)
        return run if run.outcome or run.start not in killed else run.as_lost(killed[run.start])

    return read


def _block_of(row: Mapping[str, Any], killed: Mapping[str, float | None]) -> Block | None:
    """Return a run as a block; None if it is executing, or if its row is damaged."""
    job, start, run, outcome, count = row["job"], row["start"], row["run"], row["outcome"], row["folded"]
    end, due = instant_of(row["ended_at"]), instant_of(row["instant"])
    if not outcome and start in killed:
        outcome, end = LOST_WITH_PROGRAM, killed[start]
    begin = instant_of(row["started_at"]) or instant_of(row["queued_at"])
    if not (isinstance(job, str) and isinstance(run, str) and isinstance(start, str) and isinstance(outcome, str)):
        return None
    if begin is None or end is None:
        return None
    runs = count if isinstance(count, int) and count > 1 else 1
    # The instant of a folded row is that of its first run: it began late or not, and that is still true.
    return Block(job, start, run, begin, max(begin, end), outcome, due, runs, runs if outcome in FAILURES else 0)
