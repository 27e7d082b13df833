"""Which rows go, oldest first: the statements of retention. Each function is one slice, in the caller's transaction.

Every function takes the `name` whose rows it may touch; several names share one PostgreSQL. Rows of a run go together
with its log tail: there is never a tail without its run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    literal,
    select,
    tuple_,
    update,
)

from taskloom.history.ages import FUTURE_SECONDS
from taskloom.history.folding import PLACE, SINGLE_RUNS, fold
from taskloom.history.space import weight
from taskloom.history.tables import events, log_tails, runs, starts

__all__ = [
    "FIRST",
    "Discarded",
    "Key",
    "active_jobs",
    "discard",
    "discard_gone_jobs",
    "discard_runs",
    "discard_starts",
    "fold_job",
    "forget_reports",
]

ROWS = 500
"""The number of rows that one slice reads or deletes at most."""
FIRING_BYTES = 1500.0  # a run with its three events
GONE_JOBS = 25  # of one slice: SINGLE_RUNS rows each

Key = tuple[float, str, str]
"""The order of runs: when they were queued, and for equal times their start and id."""
FIRST: Key = (-math.inf, "", "")

_KEY = (runs.c.queued_at, runs.c.start, runs.c.run)
_FOLDED_COLUMNS = ("ended_at", "seconds", "folded", "folded_seconds", "counters", *PLACE)
_READ_COLUMNS = (*_KEY, runs.c.job, runs.c.replica, runs.c.attempt, runs.c.instant, runs.c.is_unrecorded)
_TIMES = ("queued_at", "started_at", "ready_at", "ended_at")
_READ_TIMES = (runs.c.started_at, runs.c.ready_at, runs.c.ended_at, runs.c.outcome)
_READ_SUMS = (
    runs.c.seconds,
    runs.c.folded,
    runs.c.folded_seconds,
    runs.c.counters,
    *(runs.c[column] for column in PLACE),
)


class Discarded(NamedTuple):
    """The outcome of one slice."""

    rows: int
    bytes: float = 0.0
    """About how much they took."""
    folded: int = 0
    """How many of the rows are now part of another one."""
    after: Key | None = None
    """The run at which the next slice goes on; None after the last."""


def discard(
    connection: Connection, table: Table, name: str, most: float, *conditions: ColumnElement[bool]
) -> Discarded:
    """Delete the oldest rows of a table with a column `at`: about `most` bytes, at least one row if there is any."""
    keys = list(table.primary_key.columns)[1:]
    chosen = _light(
        connection,
        select(*keys, weight(table, connection.dialect.name).label("weight"))
        .where(table.c.name == name, *conditions)
        .order_by(table.c.at)
        .limit(_slice(table)),
        most,
    )
    _delete(connection, table, name, keys, chosen)
    return Discarded(len(chosen), sum(row.weight for row in chosen))


def discard_runs(
    connection: Connection, name: str, most: float, *conditions: ColumnElement[bool], now: float, after: Key = FIRST
) -> Discarded:
    """Delete the oldest runs that have ended, but none of the last 20 of a job, from `after` on: about `most` bytes."""
    found = connection.execute(
        select(*_KEY, runs.c.job, runs.c.ended_at, weight(runs, connection.dialect.name).label("weight"))
        .where(runs.c.name == name, _is_after(after), *conditions)
        .order_by(*_KEY)
        .limit(ROWS)
    ).all()
    floors = Floors(connection, name, now)
    chosen: list[Any] = []
    freed, last = 0.0, None
    for row in found:
        if freed >= most:
            break
        last = _key(row)
        if row.ended_at is not None and not floors.is_protected(row.job, last):
            chosen.append(row)
            freed += row.weight
    _delete_runs(connection, name, chosen)
    is_last = len(found) < ROWS and (not found or last == _key(found[-1]))
    return Discarded(len(chosen), freed, after=None if is_last else last)


def discard_gone_jobs(connection: Connection, name: str, before: float) -> Discarded:
    """Delete also the last runs of jobs that have had none since `before`, those that ended longest ago first."""
    latest = func.max(runs.c.queued_at)
    gone = connection.execute(
        select(runs.c.job)
        .where(runs.c.name == name)
        .group_by(runs.c.job)
        .having(latest < before)
        .order_by(latest)
        .limit(GONE_JOBS)
    ).scalars()
    chosen = connection.execute(
        select(runs.c.start, runs.c.run, weight(runs, connection.dialect.name).label("weight")).where(
            runs.c.name == name, runs.c.job.in_(list(gone)), runs.c.ended_at.is_not(None)
        )
    ).all()
    _delete_runs(connection, name, chosen)
    return Discarded(len(chosen), sum(row.weight for row in chosen))


def discard_starts(connection: Connection, name: str, start: str, *conditions: ColumnElement[bool]) -> Discarded:
    """Delete the oldest starts of which no run is left; not those that may be alive, and not `start`."""
    has_runs = exists().where(runs.c.name == starts.c.name, runs.c.start == starts.c.start)
    chosen = connection.execute(
        select(starts.c.start, weight(starts, connection.dialect.name).label("weight"))
        .where(starts.c.name == name, starts.c.start != start, starts.c.how != "running", ~has_runs, *conditions)
        .order_by(starts.c.since)
        .limit(ROWS)
    ).all()
    _delete(connection, starts, name, [starts.c.start], chosen)
    return Discarded(len(chosen), sum(row.weight for row in chosen))


def forget_reports(connection: Connection, name: str, start: str, most: float) -> Discarded:
    """Delete the stop reports of the oldest starts, which may be long, but not those of the last 20."""
    latest = (
        select(starts.c.start)
        .where(starts.c.name == name)
        .order_by(starts.c.since.desc())
        .limit(SINGLE_RUNS)
        .subquery()
    )
    chosen = _light(
        connection,
        select(starts.c.start, weight(starts, connection.dialect.name).label("weight"))
        .where(starts.c.name == name, starts.c.start != start, starts.c.report.is_not(None))
        .where(starts.c.start.not_in(select(latest.c.start)))
        .order_by(starts.c.since)
        .limit(ROWS),
        most,
    )
    if chosen:
        statement = update(starts).where(starts.c.name == name, starts.c.start == bindparam("old_start"))
        connection.execute(statement.values(report=None), [{"old_start": row.start} for row in chosen])
    return Discarded(len(chosen), sum(row.weight for row in chosen))


def fold_job(
    connection: Connection, name: str, job: str, *, now: float, settled: float, after: Key = FIRST
) -> tuple[Discarded, bool]:
    """Fold succeeded firings of one job that began before `settled`, from `after` on (included).

    The events of a run that goes go with it. The last 20 runs of the job stay as they are. Return what was done, and
    whether that was all. `after` of the answer is where the next slice goes on, also one that is made minutes later: it
    reads the last folded row again, and adds to it.
    """
    found = [
        dict(row)
        for row in connection.execute(
            select(*_READ_COLUMNS, *_READ_TIMES, *_READ_SUMS)
            .where(runs.c.name == name, runs.c.job == job, runs.c.queued_at < settled, _is_after(after, included=True))
            .order_by(*_KEY)
            .limit(ROWS)
        )
        .mappings()
        .all()
    ]
    floors = Floors(connection, name, now)
    rows = [row for row in found if not floors.is_protected(job, _key_of(row))]
    folded = fold(rows)
    if folded.gone:
        unchanged = set(map(id, rows))
        _write_folded(connection, name, [row for row in folded.rows if id(row) not in unchanged])
        _delete_events(connection, name, folded.gone)
        _delete_runs(connection, name, folded.gone)
    reached = _resume(folded.rows, after) if rows else after
    if len(found) == ROWS and reached == after:
        reached = _key_of(found[-1])
    is_last = len(found) < ROWS
    gone = len(folded.gone)
    return Discarded(gone, gone * FIRING_BYTES, folded=gone, after=reached), is_last


def active_jobs(connection: Connection, name: str, since: float) -> Sequence[str]:
    """Return the jobs with runs since then."""
    found = select(runs.c.job).where(runs.c.name == name, runs.c.queued_at >= since).distinct()
    return connection.execute(found).scalars().all()


class Floors:
    """For each job the oldest of its last 20 runs.

    After the clock was set back there are runs from the future, and a run that ends now would be older than 20 others.
    So both the last 20 of all and the last 20 until now are protected.
    """

    def __init__(self, connection: Connection, name: str, now: float) -> None:
        self._connection, self._name = connection, name
        self._until = now + FUTURE_SECONDS
        latest = connection.execute(select(func.max(runs.c.queued_at)).where(runs.c.name == name)).scalar()
        self._has_future = latest is not None and latest > self._until
        self._floors: dict[str, tuple[Key | None, Key | None]] = {}

    def is_protected(self, job: str, key: Key) -> bool:
        """Return whether this run is among the last of its job."""
        if job not in self._floors:
            of_all = self._floor(job)
            self._floors[job] = (
                of_all,
                self._floor(job, runs.c.queued_at <= self._until) if self._has_future else of_all,
            )
        of_all, until_now = self._floors[job]
        if of_all is None or key >= of_all:
            return True
        return key[0] <= self._until and (until_now is None or key >= until_now)

    def _floor(self, job: str, *conditions: ColumnElement[bool]) -> Key | None:
        found = self._connection.execute(
            select(*_KEY)
            .where(runs.c.name == self._name, runs.c.job == job, *conditions)
            .order_by(*(column.desc() for column in _KEY))
            .limit(1)
            .offset(SINGLE_RUNS - 1)
        ).first()
        return None if found is None else _key(found)


def _light(connection: Connection, statement: Select[Any], most: float) -> list[Any]:
    """Return the first rows that weigh `most` bytes together; one at least."""
    chosen: list[Any] = []
    total = 0.0
    for row in connection.execute(statement).all():
        if total >= most and chosen:
            break
        chosen.append(row)
        total += row.weight
    return chosen


def _delete(
    connection: Connection, table: Table, name: str, keys: Iterable[Column[Any]], chosen: Sequence[Any]
) -> None:
    if chosen:
        same = [column == bindparam(f"old_{column.name}") for column in keys]
        statement = delete(table).where(table.c.name == name, *same)
        connection.execute(statement, [{f"old_{key.name}": getattr(row, key.name) for key in keys} for row in chosen])


def _delete_runs(connection: Connection, name: str, chosen: Sequence[Any]) -> None:
    """Delete these runs, rows with a start and a run, and their log tails."""
    if not chosen:
        return
    parameters = [{"old_start": start, "old_run": run} for start, run in map(_names, chosen)]
    for table in (log_tails, runs):
        statement = delete(table).where(
            table.c.name == name, table.c.start == bindparam("old_start"), table.c.run == bindparam("old_run")
        )
        connection.execute(statement, parameters)


def _names(row: Any) -> tuple[str, str]:
    if isinstance(row, Mapping):
        return row["start"], row["run"]
    return row.start, row.run


def _write_folded(connection: Connection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    statement = (
        update(runs)
        .where(runs.c.name == name, runs.c.start == bindparam("old_start"), runs.c.run == bindparam("old_run"))
        .values({column: bindparam(f"new_{column}") for column in _FOLDED_COLUMNS})
    )
    connection.execute(
        statement,
        [
            {"old_start": row["start"], "old_run": row["run"]} | {f"new_{each}": row[each] for each in _FOLDED_COLUMNS}
            for row in rows
        ],
    )


def _delete_events(connection: Connection, name: str, gone: Sequence[Mapping[str, Any]]) -> None:
    """Delete the events of these runs that have the times of their rows: queued, started, ready, ended.

    Others, such as an `unresponsive` between them, say something and stay. Events have no index by run, so they are
    found by their times; `start` is made an expression, or SQLite would read all events of the start for each run.
    """
    times: list[BindParameter[Any]] = [bindparam(f"old_{time}") for time in _TIMES]
    statement = delete(events).where(
        events.c.name == name,
        events.c.at.in_(times),
        literal("").concat(events.c.start) == bindparam("old_start"),
        events.c.run == bindparam("old_run"),
    )
    connection.execute(
        statement,
        [
            {"old_start": row["start"], "old_run": row["run"]} | {f"old_{time}": row[time] for time in _TIMES}
            for row in gone
        ],
    )


def _slice(table: Table) -> int:
    """Return how many rows are read at once to choose from; log tails are long."""
    return 32 if table is log_tails else ROWS


def _resume(rows: Sequence[Mapping[str, Any]], after: Key) -> Key:
    """Return the first row of the last minute: rows that come later may belong to the same."""
    if not rows:
        return after
    minute = _key_of(rows[-1])[0] // 60
    return next(_key_of(row) for row in rows if _key_of(row)[0] // 60 == minute)


def _is_after(key: Key, *, included: bool = False) -> ColumnElement[bool]:
    # The first condition is for the index.
    later = tuple_(*_KEY) >= key if included else tuple_(*_KEY) > key
    return (runs.c.queued_at >= key[0]) & later


def _key(row: Any) -> Key:
    return row.queued_at, row.start, row.run


def _key_of(row: Mapping[str, Any]) -> Key:
    return row["queued_at"], row["start"], row["run"]
